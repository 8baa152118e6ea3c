//! A device that stays: it follows the server while somebody looks, catches up from time to time while nobody does, and does
//! what it is asked for. Must never keep a person waiting for the network: what is asked is answered from what is here.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use samenspraak_core::app::{App, Command, CommandError, Reply, Timestamp};
use samenspraak_core::model::SubjectId;
use samenspraak_core::ordered::Set;
use samenspraak_core::sync::wire::RefusalCode;
use tokio::sync::{mpsc, oneshot};

use crate::driver::Wanted;
use crate::{Connect, Driver, Line, SyncError, now};

/// When a device follows its server.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// How long after somebody looked or wrote it stays connected; nothing: always.
    pub awake: Option<Duration>,
    /// How often it catches up while it rests.
    pub rest: Duration,
    /// How long a server that was spoken to may be silent before the line counts as broken: a network that went away says nothing.
    pub silence: Duration,
}

/// What others ask of a device that stays.
pub enum Request {
    /// Do this and say when it is flushed.
    Command(Box<Command>, oneshot::Sender<Result<Reply, CommandError>>),
    /// Look at the app, for a person: from then on it follows the server for a while.
    Look(Box<dyn FnOnce(&mut App) + Send>),
    /// Sync with the server now, and say when that is done, or why it can't be.
    CatchUp(oneshot::Sender<Result<(), SyncError>>),
    /// Look at the app in passing.
    Glance(Box<dyn FnOnce(&mut App) + Send>),
    /// The person looks at this, or at nothing any more, and writes there or doesn't: others hear how many do.
    Attend(Option<SubjectId>, bool),
    /// Whether there is a network, as far as the platform knows: without one nothing is tried, with a new one at once.
    Network(bool),
}

/// What happens to a device that stays, for whoever shows it.
#[derive(Debug)]
pub enum News {
    /// What is about these subjects reads differently.
    Changed(Set<SubjectId>),
    /// The line to the server opened.
    Connected,
    /// Everything is sent, receipted and received; or the server refuses this device.
    Settled(Option<RefusalCode>),
    /// There is no line (any more): why, and when it is tried again.
    Offline(Option<SyncError>, Timestamp),
}

struct Staying<'s> {
    connect: &'s dyn Connect,
    rhythm: Rhythm,
    tell: &'s (dyn Fn(News) + Send + Sync),
    line: Option<Line>,
    /// A line in the making: requests are answered meanwhile.
    connecting: Option<BoxFuture<'static, Result<Line, SyncError>>>,
    address: Option<String>,
    next_try: Timestamp,
    /// Nobody has asked for anything yet: the first sync is made, and then it rests.
    asked_at: Option<Instant>,
    /// Since when the server owes an answer.
    spoke_at: Option<Instant>,
    has_settled: bool,
    has_network: bool,
    catching_up: Vec<oneshot::Sender<Result<(), SyncError>>>,
}

impl Driver {
    /// Stays connected, reconnects when the line breaks, and does what `requests` asks for. Ends when they end. `address` is
    /// where the server is, where that is another place than the one on the card.
    pub async fn stay(
        mut self,
        connect: &dyn Connect,
        address: Option<String>,
        rhythm: Rhythm,
        mut requests: mpsc::Receiver<Request>,
        tell: &(dyn Fn(News) + Send + Sync),
    ) {
        let mut at = Staying {
            connect,
            rhythm,
            tell,
            line: None,
            connecting: None,
            address,
            next_try: now(),
            asked_at: None,
            spoke_at: None,
            has_settled: false,
            has_network: true,
            catching_up: Vec::new(),
        };
        loop {
            let awake_until = match (rhythm.awake, at.asked_at) {
                (None, _) => None,
                (Some(awake), Some(asked_at)) => Some(asked_at + awake),
                (Some(_), None) => Some(Instant::now()),
            };
            if at.has_settled && at.line.is_some() && awake_until.is_some_and(|until| Instant::now() >= until) {
                at.rest(&mut self).await;
            }
            let may_try =
                at.line.is_none() && at.connecting.is_none() && at.has_network && self.app().joined().is_some();
            let patience = at.spoke_at.filter(|_| at.line.is_some()).map(|spoke_at| spoke_at + rhythm.silence);
            let wait = Duration::from_millis(at.next_try.0.saturating_sub(now().0));
            let wanted = tokio::select! {
                request = requests.recv() => match request {
                    None => break,
                    Some(request) => at.asked(&mut self, request).await,
                },
                () = until(awake_until), if at.has_settled && at.line.is_some() => Wanted::default(),
                bytes = receive(&mut at.line), if at.line.is_some() => match bytes {
                    Ok(bytes) => {
                        at.spoke_at = None;
                        tokio::task::block_in_place(|| self.heard(bytes))
                    }
                    Err(error) => at.lost(&mut self, Some(error)),
                },
                () = until(patience) => {
                    let silent = at.line.as_ref().map(Line::silent);
                    at.lost(&mut self, silent)
                }
                () = until(self.scrub_at()) => tokio::task::block_in_place(|| self.scrub_now()),
                () = tokio::time::sleep(wait), if may_try => at.begin_to_connect(&self),
                result = made(&mut at.connecting), if at.connecting.is_some() => at.connected(&mut self, result),
            };
            at.follow(&mut self, wanted);
        }
        if let Some(line) = at.line {
            line.close().await;
        }
    }
}

impl Staying<'_> {
    fn woken(&mut self) {
        self.asked_at = Some(Instant::now());
        if self.line.is_none() {
            self.next_try = now();
        }
    }

    async fn rest(&mut self, driver: &mut Driver) {
        if let Some(line) = self.line.take() {
            line.close().await;
        }
        // What the app says about trying again is for lines that broke.
        let _ = driver.disconnected();
        self.next_try = Timestamp(now().0 + u64::try_from(self.rhythm.rest.as_millis()).unwrap_or(u64::MAX));
        self.has_settled = false;
    }

    async fn asked(&mut self, driver: &mut Driver, request: Request) -> Wanted {
        match request {
            Request::Command(command, answer) => {
                self.woken();
                let mut wanted = tokio::task::block_in_place(|| driver.ask(*command));
                // Whoever asked may have gone; what was written stays written.
                let _ = answer.send(wanted.reply.take().unwrap_or(Err(CommandError::NotJoined)));
                return wanted;
            }
            Request::Look(look) => {
                self.woken();
                tokio::task::block_in_place(|| look(driver.app_mut()));
            }
            Request::Glance(look) => tokio::task::block_in_place(|| look(driver.app_mut())),
            Request::Attend(subject, writes) => {
                self.woken();
                return driver.attend(subject, writes);
            }
            Request::CatchUp(done) => {
                let may = driver.must_have_joined();
                let may = may.and(if self.has_network { Ok(()) } else { Err(SyncError::NoNetwork) });
                if let Err(error) = may {
                    // Whoever asked may have gone.
                    let _ = done.send(Err(error));
                    return Wanted::default();
                }
                // A new connection asks for all that there is; what comes on this one has no end.
                if let Some(line) = self.line.take() {
                    line.close().await;
                    let _ = driver.disconnected();
                }
                (self.next_try, self.has_settled) = (now(), false);
                self.catching_up.push(done);
            }
            Request::Network(is_there) => {
                if is_there && !self.has_network {
                    self.next_try = now();
                }
                self.has_network = is_there;
                if !is_there && (self.line.is_some() || self.connecting.is_some()) {
                    return self.lost(driver, None);
                }
            }
        }
        Wanted::default()
    }

    fn begin_to_connect(&mut self, driver: &Driver) -> Wanted {
        let on_card = driver.app().joined().map(|joined| joined.identity().server.clone());
        self.connecting = self.address.clone().or(on_card).map(|address| self.connect.connect(address));
        Wanted::default()
    }

    fn connected(&mut self, driver: &mut Driver, result: Result<Line, SyncError>) -> Wanted {
        self.connecting = None;
        match result {
            Ok(line) => {
                // What was settled on the line before says nothing of this one; and here the server speaks first.
                (self.line, self.has_settled, self.spoke_at) = (Some(line), false, Some(Instant::now()));
                (self.tell)(News::Connected);
                driver.connected()
            }
            Err(error) => self.lost(driver, Some(error)),
        }
    }

    fn lost(&mut self, driver: &mut Driver, why: Option<SyncError>) -> Wanted {
        (self.line, self.connecting) = (None, None);
        let connect_at = driver.disconnected();
        self.ended(why, connect_at.unwrap_or(self.next_try));
        Wanted { connect_at, ..Wanted::default() }
    }

    /// Tells those that wait for the end of a sync, and everybody else.
    fn ended(&mut self, why: Option<SyncError>, again: Timestamp) {
        for done in self.catching_up.drain(..) {
            // Whoever asked may have gone.
            let _ = done.send(Err(why.clone().unwrap_or(SyncError::NoNetwork)));
        }
        (self.tell)(News::Offline(why, again));
    }

    /// Does what the app wants of the line, and tells what happened.
    fn follow(&mut self, driver: &mut Driver, wanted: Wanted) {
        if !wanted.changed.is_empty() {
            (self.tell)(News::Changed(wanted.changed));
        }
        if let Some(at) = wanted.connect_at {
            self.next_try = at;
        }
        if let Some(refusal) = wanted.settled {
            self.has_settled = true;
            for done in self.catching_up.drain(..) {
                // Whoever asked may have gone.
                let _ = done.send(refusal.map_or(Ok(()), |code| Err(SyncError::Refused(code))));
            }
            (self.tell)(News::Settled(refusal));
        }
        if !wanted.frames.is_empty() {
            self.spoke_at.get_or_insert_with(Instant::now);
        }
        let sent = self.line.as_mut().map_or(Ok(()), |line| line.send(wanted.frames));
        let ended = wanted.disconnect.map(SyncError::Session).or(sent.err());
        if let Some(error) = ended {
            let again = self.lost(driver, Some(error)).connect_at;
            self.next_try = again.unwrap_or(self.next_try);
        }
    }
}

async fn made(connecting: &mut Option<BoxFuture<'static, Result<Line, SyncError>>>) -> Result<Line, SyncError> {
    match connecting {
        Some(connecting) => connecting.await,
        None => std::future::pending().await,
    }
}

/// Waits until then, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn receive(line: &mut Option<Line>) -> Result<Vec<u8>, SyncError> {
    match line {
        Some(line) => line.receive_patiently().await,
        None => std::future::pending().await,
    }
}
