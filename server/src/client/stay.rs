//! A device that stays: it follows the server while somebody looks, catches up from time to time while nobody does, and does
//! what it is asked for. Must never keep a person waiting for the network: what is asked is answered from what is here.

use std::time::{Duration, Instant};

use samenspraak_core::app::{App, Command, CommandError, Event, Reply, Timestamp};
use tokio::sync::mpsc;

use super::{Driver, Link, SyncError, Wanted, connect, now};
use crate::scrub::{SCRUB_AFTER, scrub};

impl Driver {
    /// Stays connected, reconnects when the line breaks, and does what `requests` asks for. Ends when they end.
    pub async fn stay(
        mut self,
        address: String,
        mut requests: mpsc::Receiver<Request>,
        changed: tokio::sync::watch::Sender<u64>,
    ) {
        let mut link: Option<Link> = None;
        let mut next_try = now();
        // Nobody has asked for anything yet: the first sync is made, and then it rests.
        let mut asked_at: Option<Instant> = None;
        let mut has_settled = false;
        let mut catching_up: Vec<tokio::sync::oneshot::Sender<()>> = Vec::new();
        loop {
            let awake_until = asked_at.map(|asked_at| asked_at + AWAKE);
            if has_settled && link.is_some() && awake_until.is_none_or(|until| Instant::now() >= until) {
                if let Some(mut link) = link.take() {
                    link.close().await;
                }
                // What the app says about trying again is for lines that broke.
                let _ = self.disconnected();
                next_try = Timestamp(now().0 + u64::try_from(REST.as_millis()).unwrap_or(u64::MAX));
                has_settled = false;
            }
            let wait = Duration::from_millis(next_try.0.saturating_sub(now().0));
            let wanted = tokio::select! {
                request = requests.recv() => match request {
                    None => break,
                    Some(Request::Command(command, answer)) => {
                        (asked_at, next_try) = (Some(Instant::now()), if link.is_none() { now() } else { next_try });
                        let mut wanted = tokio::task::block_in_place(|| self.ask(*command));
                        // Whoever asked may have gone; what was written stays written.
                        let _ = answer.send(wanted.reply.take().unwrap_or(Err(CommandError::NotJoined)));
                        wanted
                    }
                    Some(Request::Look(look)) => {
                        (asked_at, next_try) = (Some(Instant::now()), if link.is_none() { now() } else { next_try });
                        tokio::task::block_in_place(|| look(&mut self.app));
                        Wanted::default()
                    }
                    Some(Request::CatchUp(done)) => {
                        // A new connection asks for all that there is; what comes on this one has no end.
                        if let Some(mut link) = link.take() {
                            link.close().await;
                            let _ = self.disconnected();
                        }
                        (next_try, has_settled) = (now(), false);
                        catching_up.push(done);
                        Wanted::default()
                    }
                    Some(Request::Glance(look)) => {
                        tokio::task::block_in_place(|| look(&mut self.app));
                        Wanted::default()
                    }
                },
                () = until(awake_until), if has_settled && link.is_some() => Wanted::default(),
                bytes = receive(&mut link), if link.is_some() => match bytes {
                    Ok(bytes) => {
                        let effects = self.app.handle(now(), Event::Frame(bytes));
                        tokio::task::block_in_place(|| self.perform(effects))
                    }
                    Err(_) => {
                        link = None;
                        Wanted { connect_at: self.disconnected(), ..Wanted::default() }
                    }
                },
                () = until(self.scrub_at) => {
                    let done = tokio::task::block_in_place(|| scrub(self.store.as_ref()));
                    self.scrub_at = (!done).then(|| Instant::now() + SCRUB_AFTER);
                    let effects = self.app.handle(now(), Event::Scrubbed);
                    self.perform(effects)
                }
                () = tokio::time::sleep(wait), if link.is_none() => match connect(&address).await {
                    Ok(socket) => {
                        // What was settled on the line before says nothing of this one.
                        (link, has_settled) = (Some(Link::new(&address, socket)), false);
                        let effects = self.app.handle(now(), Event::Connected);
                        self.perform(effects)
                    }
                    Err(_) => Wanted { connect_at: self.disconnected(), ..Wanted::default() },
                },
            };
            if !wanted.changed.is_empty() {
                changed.send_modify(|count| *count += 1);
            }
            if let Some(at) = wanted.connect_at {
                next_try = at;
            }
            if wanted.settled.is_some() {
                has_settled = true;
                // Whoever asked may have gone.
                for done in catching_up.drain(..) {
                    let _ = done.send(());
                }
            }
            let sent = match &mut link {
                Some(link) => link.send(wanted.frames),
                None => Ok(()),
            };
            if wanted.disconnect.is_some() || sent.is_err() {
                link = None;
                next_try = self.disconnected().unwrap_or(next_try);
            }
        }
        if let Some(mut link) = link {
            link.close().await;
        }
    }
}

/// Waits until then, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn receive(link: &mut Option<Link>) -> Result<Vec<u8>, SyncError> {
    match link {
        Some(link) => link.receive_patiently().await,
        None => std::future::pending().await,
    }
}

/// How long after somebody asked for something a device stays connected: as long as a person looks at a page.
const AWAKE: Duration = Duration::from_secs(5 * 60);
/// How often it catches up while nobody looks: taking in a minute's news at once costs a tenth of following it.
const REST: Duration = Duration::from_secs(15);

/// What others ask of a phone that stays connected.
pub enum Request {
    /// Do this and say when it is flushed.
    Command(Box<Command>, tokio::sync::oneshot::Sender<Result<Reply, CommandError>>),
    /// Look at the app, for a person: from then on it follows the server for a while.
    Look(Box<dyn FnOnce(&mut App) + Send>),
    /// Sync with the server now, and say when that is done.
    CatchUp(tokio::sync::oneshot::Sender<()>),
    /// Look at the app in passing.
    Glance(Box<dyn FnOnce(&mut App) + Send>),
}
