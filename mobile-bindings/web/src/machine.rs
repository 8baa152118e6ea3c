//! The driver of a browser's worker, without IO of its own: what happens goes in, what the worker is to do comes out.
//!
//! The core reads synchronously and the browser's storage answers later, so all rows are in memory ([`Rows`]) and every change
//! is written before it is seen. One write at a time: a commit of the core, or a fold. Must never tell the core that something is
//! stored before the browser said so, and never write a second thing meanwhile. The worker holds no rule; what is one line of
//! sockets and timers stands here, where it is tested without a browser. `line` is how this device follows its server.

mod line;
mod store;

use std::collections::VecDeque;
use std::sync::Arc;

use samenspraak::{SyncState, WijkError, looks};
use samenspraak_core::app::{App, Command, CommandError, Effect, Event, Reply, Timestamp};
use samenspraak_core::ordered::Map;
use samenspraak_core::store::erased::is_scrub_due;
use samenspraak_core::store::{Batch, Store, StoreError};

use crate::ask::{Ask, Look, Wants, json};
use crate::rows::{Head, Rows, damaged};
use line::Following;
pub use store::Write;
use store::Writing;

/// Milliseconds that erased words may stay in the browser's storage. Shorter than elsewhere: a tab may be closed at any moment,
/// and only the pages that are hit are written anew.
const SCRUB_AFTER_MS: u64 = 2_000;

/// What happens to the worker.
#[derive(Debug)]
pub enum Input {
    /// The page asks for something.
    Ask {
        /// Names the answer.
        request: u32,
        /// 32 fresh bytes of the system's randomness.
        entropy: [u8; 32],
        /// What.
        ask: Ask,
    },
    /// The page looks.
    Look {
        /// Names the answer.
        request: u32,
        /// At what.
        look: Look,
    },
    /// The page wants to be told when everything is sent, receipted and received, over a new connection.
    CatchUp {
        /// Names the answer.
        request: u32,
    },
    /// Whether there is a network, as far as the browser knows.
    Network(bool),
    /// A socket opened.
    Opened {
        /// Which.
        line: u32,
    },
    /// A message came.
    Frame {
        /// Over which socket.
        line: u32,
        /// What.
        bytes: Vec<u8>,
    },
    /// A socket closed or never opened.
    Closed {
        /// Which.
        line: u32,
        /// Why, in English, for logs.
        reason: String,
    },
    /// What came over a socket isn't to be handed on: this line ends, and nothing is tried until then.
    Rest {
        /// Which.
        line: u32,
        /// Why, in English, for logs.
        reason: String,
        /// Milliseconds since 1970.
        until: Timestamp,
    },
    /// What was to be written is durable, or isn't there at all.
    Written(Result<(), StoreError>),
    /// The time that was asked for has come.
    Tick,
}

/// What the worker is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Out {
    /// Write this in one transaction and report back. Nothing else is given out to be written meanwhile.
    Write(Write),
    /// Open a socket.
    Connect {
        /// Its number.
        line: u32,
        /// Where.
        url: String,
    },
    /// Send a message.
    Send {
        /// Over which socket.
        line: u32,
        /// What.
        frame: Vec<u8>,
    },
    /// Close a socket, also one that hasn't opened yet.
    Close {
        /// Which.
        line: u32,
    },
    /// Answer a request, in JSON.
    Answer {
        /// Which.
        request: u32,
        /// With what.
        result: Result<Vec<u8>, WijkError>,
    },
    /// What is about these ids reads differently.
    Changed(Vec<String>),
    /// How this device and its server are.
    State(SyncState),
    /// Call with [`Input::Tick`] then, instead of at the time named before: milliseconds since 1970.
    WakeAt(Timestamp),
}

/// See the module.
pub struct Machine {
    app: App,
    rows: Arc<Rows>,
    head: Head,
    writing: Option<Writing>,
    /// A commit of the core that waits for a fold.
    waiting: Option<(u64, Batch)>,
    /// Effects that follow from the input in hand.
    effects: VecDeque<Effect>,
    out: Vec<Out>,
    asked: Map<u64, (u32, Wants)>,
    next_command: u64,
    following: Following,
    scrub_at: Option<Timestamp>,
    /// A fold failed: none is tried before then.
    fold_after: Timestamp,
    woken_at: Option<Timestamp>,
}

impl Machine {
    /// Opens what the browser keeps: the head (nothing in a new storage), pages by number, the journal in order.
    ///
    /// # Errors
    /// When a record is missing or can't be read, or what they say can't be; nothing was changed then.
    pub fn open(
        now: Timestamp,
        head: Option<&[u8]>,
        pages: Vec<(u64, Vec<u8>)>,
        journal: &[(u64, Vec<u8>)],
    ) -> Result<Self, WijkError> {
        let head = head.map(Head::decode).transpose().map_err(|error| damaged(format!("head: {error}")))?;
        let head = head.unwrap_or_default();
        let rows = Arc::new(Rows::open(&head, pages, journal)?);
        let app = App::open(Arc::clone(&rows) as Arc<dyn Store>)?;
        let scrub_at = is_scrub_due(rows.as_ref())?.then_some(now);
        let following = Following::new(now, app.joined().is_some());
        Ok(Self {
            app,
            rows,
            head,
            writing: None,
            waiting: None,
            effects: VecDeque::new(),
            out: Vec::new(),
            asked: Map::new(),
            next_command: 0,
            following,
            // A storage that never held anything has nothing to be scrubbed.
            scrub_at,
            fold_after: Timestamp(0),
            woken_at: None,
        })
    }

    /// How this device and its server are.
    #[must_use]
    pub fn state(&self) -> &SyncState {
        self.following.state()
    }

    /// Takes one input and says what to do.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Vec<Out> {
        match input {
            Input::Ask { request, entropy, ask } => self.ask(now, request, entropy, ask),
            Input::Look { request, look } => {
                let result = look.see(&mut self.app);
                self.out.push(Out::Answer { request, result });
            }
            Input::Written(result) => self.written(now, result),
            Input::Tick => self.tick(now),
            Input::CatchUp { request } => self.catch_up(now, request),
            Input::Network(is_there) => self.network(now, is_there),
            Input::Opened { line } => self.opened(now, line),
            Input::Frame { line, bytes } => self.frame(now, line, bytes),
            Input::Closed { line, reason } => self.closed(now, line, reason),
            Input::Rest { line, reason, until } => self.rest(now, line, reason, until),
        }
        self.perform(now);
        self.begin_to_write(now);
        let wake_at = self.next_wake();
        if let Some(at) = wake_at.filter(|_| wake_at != self.woken_at) {
            self.out.push(Out::WakeAt(at));
        }
        self.woken_at = wake_at;
        std::mem::take(&mut self.out)
    }

    fn tell_app(&mut self, now: Timestamp, event: Event) {
        let effects = self.app.handle(now, event);
        self.effects.extend(effects);
    }

    fn ask(&mut self, now: Timestamp, request: u32, entropy: [u8; 32], ask: Ask) {
        if let Ask::Attend { id, writes } = ask {
            let result = self.attend(now, id.as_deref(), writes);
            return self.out.push(Out::Answer { request, result });
        }
        match ask.command() {
            Ok(Some((command, wants))) => self.command(now, request, entropy, command, wants),
            Ok(None) => self.out.push(Out::Answer { request, result: json(&()) }),
            Err(error) => self.out.push(Out::Answer { request, result: Err(error) }),
        }
    }

    fn attend(&mut self, now: Timestamp, id: Option<&str>, writes: bool) -> Result<Vec<u8>, WijkError> {
        let subject = id.map(looks::subject).transpose()?;
        self.tell_app(now, Event::Attend { subject, writes });
        json(&())
    }

    fn command(&mut self, now: Timestamp, request: u32, entropy: [u8; 32], command: Command, wants: Wants) {
        let id = self.next_command;
        self.next_command += 1;
        self.asked.insert(id, (request, wants));
        self.tell_app(now, Event::Command { id, entropy, command });
    }

    fn perform(&mut self, now: Timestamp) {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                // The core has one under way at a time.
                Effect::Commit { commit, batch } => self.waiting = Some((commit, batch)),
                Effect::Send(frame) => self.send(now, frame),
                Effect::Reply { id, result } => self.reply(id, result),
                Effect::Settled { refusal } => self.settled(refusal),
                Effect::Disconnect(error) => self.ended_by_core(now, error),
                Effect::ConnectAt(at) => self.following.next_try = at,
                Effect::Changed(subjects) => {
                    self.out.push(Out::Changed(subjects.iter().map(ToString::to_string).collect()));
                }
                Effect::Scrub => drop(self.scrub_at.get_or_insert(Timestamp(now.0 + SCRUB_AFTER_MS))),
            }
        }
    }

    fn reply(&mut self, id: u64, result: Result<Reply, CommandError>) {
        let Some((request, wants)) = self.asked.remove(&id) else { return };
        let result = result.map_err(WijkError::from).and_then(|reply| wants.answer(&self.app, reply));
        if result.is_ok() && self.app.joined().is_some() {
            self.joined();
        }
        self.out.push(Out::Answer { request, result });
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let scrub = self.scrub_at.filter(|_| self.writing.is_none());
        let fold = self.fold_is_due().then_some(self.fold_after).filter(|_| self.writing.is_none());
        let line = self.next_line_wake();
        [scrub, fold, line].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
