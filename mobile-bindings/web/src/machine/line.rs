//! How this device follows its server: one socket at a time, tried again when it broke, given up when the server is silent.
//!
//! The same as the driver of other apps does with a runtime (`samenspraak_driver`), as a page's worker can do it. What the core asks
//! for goes over the socket that is open; what comes over one that was given up is not heard.

use samenspraak::{SyncState, WijkError};
use samenspraak_core::app::{Event, Timestamp};
use samenspraak_core::gate::limits::FRAME_BYTES_MAX;
use samenspraak_core::sync::phone::SessionError;
use samenspraak_core::sync::wire::RefusalCode;
use samenspraak_driver::{SILENCE_MAX, SyncError, sync_url};

use super::{Machine, Out};
use crate::ask::json;

/// How long connecting may take, in milliseconds; browsers take two minutes by themselves.
const CONNECT_MAX_MS: u64 = 20_000;
/// How long until an address that can't be one is looked at again, in milliseconds.
const ADDRESS_AGAIN_MS: u64 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    None,
    Connecting { number: u32, since: Timestamp },
    Open { number: u32 },
}

/// See the module.
#[derive(Debug)]
pub struct Following {
    line: Line,
    next_line: u32,
    /// When connecting is tried next.
    pub next_try: Timestamp,
    has_network: bool,
    has_joined: bool,
    /// Since when the server owes an answer.
    spoke_at: Option<Timestamp>,
    catching_up: Vec<u32>,
    state: SyncState,
}

const OFFLINE: SyncState = SyncState::Offline { detail: None, refused: false, next_try_ms: 0 };

impl Following {
    pub fn new(now: Timestamp, has_joined: bool) -> Self {
        Self {
            line: Line::None,
            next_line: 1,
            next_try: now,
            has_network: true,
            has_joined,
            spoke_at: None,
            catching_up: Vec::new(),
            state: if has_joined { OFFLINE } else { SyncState::NotJoined },
        }
    }

    pub fn state(&self) -> &SyncState {
        &self.state
    }

    fn is_open(&self, line: u32) -> bool {
        self.line == Line::Open { number: line }
    }

    fn number(&self) -> Option<u32> {
        match self.line {
            Line::None => None,
            Line::Connecting { number, .. } | Line::Open { number } => Some(number),
        }
    }
}

impl Machine {
    fn set_state(&mut self, state: SyncState) {
        if self.following.state != state {
            self.following.state = state.clone();
            self.out.push(Out::State(state));
        }
    }

    /// This device has joined, now or before.
    pub(super) fn joined(&mut self) {
        if !self.following.has_joined {
            self.following.has_joined = true;
            self.set_state(OFFLINE);
        }
    }

    fn may_try(&self) -> bool {
        let following = &self.following;
        following.line == Line::None && following.has_network && following.has_joined
    }

    pub(super) fn next_line_wake(&self) -> Option<Timestamp> {
        let silence = u64::try_from(SILENCE_MAX.as_millis()).unwrap_or(u64::MAX);
        match self.following.line {
            Line::None => self.may_try().then_some(self.following.next_try),
            Line::Connecting { since, .. } => Some(Timestamp(since.0.saturating_add(CONNECT_MAX_MS))),
            Line::Open { .. } => self.following.spoke_at.map(|at| Timestamp(at.0.saturating_add(silence))),
        }
    }

    pub(super) fn tick(&mut self, now: Timestamp) {
        if self.next_line_wake().is_none_or(|at| at > now) {
            return;
        }
        match self.following.line {
            Line::None => self.connect(now),
            Line::Connecting { .. } => self.lost(now, Some(self.unreachable("it takes too long".into()))),
            Line::Open { .. } => self.lost(now, Some(self.broken("the server is silent".into()))),
        }
    }

    fn address(&self) -> String {
        self.app.joined().map(|joined| joined.identity().server.clone()).unwrap_or_default()
    }

    fn unreachable(&self, reason: String) -> SyncError {
        SyncError::Unreachable { address: self.address(), reason }
    }

    fn broken(&self, reason: String) -> SyncError {
        SyncError::Broken { address: self.address(), reason }
    }

    fn connect(&mut self, now: Timestamp) {
        match sync_url(&self.address()) {
            Ok(url) => {
                let number = self.following.next_line;
                self.following.next_line += 1;
                self.following.line = Line::Connecting { number, since: now };
                self.out.push(Out::Connect { line: number, url });
            }
            Err(error) => {
                self.following.next_try = Timestamp(now.0 + ADDRESS_AGAIN_MS);
                self.ended(Some(error));
            }
        }
    }

    pub(super) fn opened(&mut self, now: Timestamp, line: u32) {
        if !matches!(self.following.line, Line::Connecting { number, .. } if number == line) {
            return self.out.push(Out::Close { line });
        }
        // Here the server speaks first.
        (self.following.line, self.following.spoke_at) = (Line::Open { number: line }, Some(now));
        self.set_state(SyncState::Syncing);
        self.tell_app(now, Event::Connected);
    }

    pub(super) fn frame(&mut self, now: Timestamp, line: u32, bytes: Vec<u8>) {
        if !self.following.is_open(line) {
            return;
        }
        if bytes.len() > FRAME_BYTES_MAX {
            let reason = format!("a message of {} bytes; {FRAME_BYTES_MAX} are allowed", bytes.len());
            return self.lost(now, Some(self.broken(reason)));
        }
        self.following.spoke_at = None;
        self.tell_app(now, Event::Frame(bytes));
    }

    pub(super) fn closed(&mut self, now: Timestamp, line: u32, reason: String) {
        match self.following.line {
            Line::Connecting { number, .. } if number == line => self.lost(now, Some(self.unreachable(reason))),
            Line::Open { number } if number == line => self.lost(now, Some(self.broken(reason))),
            _ => {}
        }
    }

    pub(super) fn rest(&mut self, now: Timestamp, line: u32, reason: String, until: Timestamp) {
        if self.following.number() == Some(line) {
            self.lost(now, Some(self.broken(reason)));
            self.following.next_try = self.following.next_try.max(until);
        }
    }

    pub(super) fn send(&mut self, now: Timestamp, frame: Vec<u8>) {
        // What is to go over a line that broke meanwhile goes over the next one: the core says it again.
        if let Line::Open { number } = self.following.line {
            self.following.spoke_at.get_or_insert(now);
            self.out.push(Out::Send { line: number, frame });
        }
    }

    pub(super) fn settled(&mut self, refusal: Option<RefusalCode>) {
        for request in std::mem::take(&mut self.following.catching_up) {
            let result = refusal.map_or_else(|| json(&()), |code| Err(SyncError::Refused(code).into()));
            self.out.push(Out::Answer { request, result });
        }
        self.set_state(match refusal {
            None => SyncState::UpToDate,
            Some(code) => {
                let detail = Some(SyncError::Refused(code).to_string());
                SyncState::Offline { detail, refused: true, next_try_ms: 0 }
            }
        });
    }

    pub(super) fn ended_by_core(&mut self, now: Timestamp, error: SessionError) {
        self.lost(now, Some(SyncError::Session(error)));
    }

    /// The line is gone, or is given up.
    fn lost(&mut self, now: Timestamp, why: Option<SyncError>) {
        if let Some(line) = self.following.number() {
            self.out.push(Out::Close { line });
        }
        (self.following.line, self.following.spoke_at) = (Line::None, None);
        self.tell_app(now, Event::Disconnected);
        // When it is tried again is told with it.
        self.perform(now);
        self.ended(why);
    }

    /// Tells those that wait for the end of a sync, and everybody else.
    fn ended(&mut self, why: Option<SyncError>) {
        for request in std::mem::take(&mut self.following.catching_up) {
            let error = why.clone().unwrap_or(SyncError::NoNetwork);
            self.out.push(Out::Answer { request, result: Err(WijkError::from(error)) });
        }
        // A refusal stands until something else is known: the server closes the line after it.
        let was_refused = matches!(self.following.state, SyncState::Offline { refused: true, .. });
        if !was_refused || !matches!(why, Some(SyncError::Broken { .. })) {
            let next_try_ms = if self.following.has_network { self.following.next_try.0 } else { 0 };
            self.set_state(SyncState::Offline { detail: why.map(|why| why.to_string()), refused: false, next_try_ms });
        }
    }

    pub(super) fn catch_up(&mut self, now: Timestamp, request: u32) {
        let may = if !self.following.has_joined {
            Err(SyncError::NotJoined)
        } else if !self.following.has_network {
            Err(SyncError::NoNetwork)
        } else {
            Ok(())
        };
        if let Err(error) = may {
            return self.out.push(Out::Answer { request, result: Err(error.into()) });
        }
        // A new connection asks for all that there is; what comes on this one has no end.
        if let Line::Open { number } = self.following.line {
            self.out.push(Out::Close { line: number });
            (self.following.line, self.following.spoke_at) = (Line::None, None);
            self.tell_app(now, Event::Disconnected);
            self.perform(now);
        }
        self.following.catching_up.push(request);
        if self.following.line == Line::None {
            self.connect(now);
        }
    }

    pub(super) fn network(&mut self, now: Timestamp, is_there: bool) {
        if is_there && !self.following.has_network {
            self.following.next_try = now;
        }
        self.following.has_network = is_there;
        if !is_there && self.following.line != Line::None {
            self.lost(now, None);
        }
    }
}
