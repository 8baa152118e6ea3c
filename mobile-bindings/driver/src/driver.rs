//! One phone: an app over its store, and what it asks for done.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use samenspraak_core::app::{App, Command, CommandError, Effect, Event, Joined, Reply, Timestamp};
use samenspraak_core::model::SubjectId;
use samenspraak_core::ordered::Set;
use samenspraak_core::replica::ReplicaError;
use samenspraak_core::store::{Batch, Store, StoreError};
use samenspraak_core::sync::phone::SessionError;
use samenspraak_core::sync::wire::RefusalCode;
use tokio::runtime::Handle;

use crate::{Line, Moved, SCRUB_AFTER, SyncError, scrub};

/// Looks at an app whenever it has taken a frame.
pub type Watch<'w> = &'w mut (dyn FnMut(&mut App) + Send);

/// A phone: an app over its store.
pub struct Driver {
    app: App,
    store: Arc<dyn Store>,
    next_command: u64,
    /// When erased words are to leave the files, if any are in them.
    scrub_at: Option<Instant>,
}

/// What effects asked for beside storing.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub frames: Vec<Vec<u8>>,
    pub reply: Option<Result<Reply, CommandError>>,
    pub settled: Option<Option<RefusalCode>>,
    pub disconnect: Option<SessionError>,
    pub connect_at: Option<Timestamp>,
    pub changed: Set<SubjectId>,
}

fn stored(commit: u64, result: Result<(), StoreError>) -> Event {
    match result {
        Ok(()) => Event::Stored { commit },
        Err(error) => Event::StoreFailed { commit, error },
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// 32 bytes of the system's randomness.
///
/// # Panics
/// When the system has none: nothing safe can be done then.
#[must_use]
pub fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

impl Driver {
    /// Opens the phone of a store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, ReplicaError> {
        let app = App::open(Arc::clone(&store))?;
        Ok(Self { app, store, next_command: 0, scrub_at: None })
    }

    /// The app.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The app, for reading documents.
    pub fn app_mut(&mut self) -> &mut App {
        &mut self.app
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    fn perform(&mut self, effects: Vec<Effect>) -> Wanted {
        let (mut wanted, mut left) = (Wanted::default(), VecDeque::from(effects));
        while let Some(effect) = left.pop_front() {
            if let Some((commit, batch)) = self.note(effect, &mut wanted) {
                let event = stored(commit, self.store.commit(&batch));
                left.extend(self.app.handle(now(), event));
            }
        }
        wanted
    }

    /// Notes what an effect asks for; what is to be stored is given back.
    fn note(&mut self, effect: Effect, wanted: &mut Wanted) -> Option<(u64, Batch)> {
        match effect {
            Effect::Commit { commit, batch } => return Some((commit, batch)),
            Effect::Send(bytes) => wanted.frames.push(bytes),
            Effect::Reply { result, .. } => wanted.reply = Some(result),
            Effect::Settled { refusal } => wanted.settled = Some(refusal),
            Effect::Disconnect(error) => wanted.disconnect = Some(error),
            Effect::ConnectAt(at) => wanted.connect_at = Some(at),
            Effect::Changed(subjects) => wanted.changed.extend(subjects),
            // One that stays does it after a while, all others when their store is closed.
            Effect::Scrub => drop(self.scrub_at.get_or_insert_with(|| Instant::now() + SCRUB_AFTER)),
        }
        None
    }

    /// As [`Driver::perform`], storing on another thread: meanwhile the app hears the next frame, and checks what it brings.
    ///
    /// Not `async`, though it waits: whoever gives up a sync must not leave an app behind that waits for ever for a commit that
    /// nobody tells it of.
    fn perform_ahead(&mut self, effects: Vec<Effect>, line: &mut Line, watch: Watch<'_>) -> Wanted {
        let (mut wanted, mut left) = (Wanted::default(), VecDeque::from(effects));
        let mut ahead = true;
        while let Some(effect) = left.pop_front() {
            let Some((commit, batch)) = self.note(effect, &mut wanted) else { continue };
            // A line that broke says so again when it is asked next; what came over it is stored first.
            ahead &= line.send(std::mem::take(&mut wanted.frames)).is_ok();
            let store = Arc::clone(&self.store);
            let mut storing = tokio::task::spawn_blocking(move || store.commit(&batch));
            let storing = async {
                loop {
                    tokio::select! {
                        biased;
                        result = &mut storing => break result,
                        frame = line.receive_patiently(), if ahead && self.app.may_look_ahead() => match frame {
                            Ok(bytes) => left.extend(self.app.handle(now(), Event::Frame(bytes))),
                            Err(_) => ahead = false,
                        },
                    }
                }
            };
            let result = Handle::current().block_on(storing);
            let panicked = |_| Err(StoreError::Closed { place: "the store".into() });
            let event = stored(commit, result.unwrap_or_else(panicked));
            left.extend(self.app.handle(now(), event));
            watch(&mut self.app);
        }
        watch(&mut self.app);
        wanted
    }

    pub(crate) fn ask(&mut self, command: Command) -> Wanted {
        self.ask_with(entropy(), command)
    }

    fn ask_with(&mut self, entropy: [u8; 32], command: Command) -> Wanted {
        let id = self.next_command;
        self.next_command += 1;
        let effects = self.app.handle(now(), Event::Command { id, entropy, command });
        self.perform(effects)
    }

    /// Does something, without a network; when this returns `Ok` it is flushed.
    ///
    /// # Errors
    /// What the app says.
    pub fn command(&mut self, command: Command) -> Result<Reply, CommandError> {
        self.ask(command).reply.unwrap_or(Err(CommandError::NotJoined))
    }

    /// The same with given randomness, for replays that must repeat.
    ///
    /// # Errors
    /// What the app says.
    pub fn command_with(&mut self, entropy: [u8; 32], command: Command) -> Result<Reply, CommandError> {
        self.ask_with(entropy, command).reply.unwrap_or(Err(CommandError::NotJoined))
    }

    /// Takes a frame of a server that runs in the same process; returns frames to send and whether it settled.
    ///
    /// # Errors
    /// When the phone ends the connection.
    pub fn local_frame(&mut self, bytes: Vec<u8>) -> Result<(Vec<Vec<u8>>, bool), SyncError> {
        let effects = self.app.handle(now(), Event::Frame(bytes));
        let wanted = self.perform(effects);
        if let Some(error) = wanted.disconnect {
            return Err(error.into());
        }
        match wanted.settled {
            Some(Some(code)) => Err(SyncError::Refused(code)),
            settled => Ok((wanted.frames, settled.is_some())),
        }
    }

    /// Says that a connection is gone.
    pub fn disconnected(&mut self) -> Option<Timestamp> {
        let effects = self.app.handle(now(), Event::Disconnected);
        self.perform(effects).connect_at
    }

    /// Lets both sides of a new connection say everything there is, and ends it. `watch` looks at the app whenever a frame was
    /// taken: what a screen could show by then.
    ///
    /// # Errors
    /// When the connection breaks, or one side refuses. Nothing is lost then.
    pub async fn sync_over(&mut self, mut line: Line, watch: Watch<'_>) -> Result<Moved, SyncError> {
        let result = self.until_settled(&mut line, watch).await;
        self.disconnected();
        let moved = line.moved();
        line.close().await;
        result.map(|()| moved)
    }

    /// Whether this phone has joined: before that there is nothing to sync.
    ///
    /// # Errors
    /// When it hasn't.
    pub fn must_have_joined(&self) -> Result<(), SyncError> {
        self.app.joined().map(|_| ()).ok_or(SyncError::NotJoined)
    }

    async fn until_settled(&mut self, line: &mut Line, watch: Watch<'_>) -> Result<(), SyncError> {
        let effects = self.app.handle(now(), Event::Connected);
        let mut wanted = self.perform(effects);
        loop {
            if let Some(error) = wanted.disconnect {
                return Err(error.into());
            }
            line.send(std::mem::take(&mut wanted.frames))?;
            match wanted.settled {
                Some(Some(code)) => return Err(SyncError::Refused(code)),
                Some(None) => {
                    wanted = tokio::task::block_in_place(|| self.confirm_erasures());
                    if wanted.frames.is_empty() {
                        return Ok(());
                    }
                    continue;
                }
                None => {}
            }
            let bytes = line.receive().await?;
            wanted = tokio::task::block_in_place(|| {
                let effects = self.app.handle(now(), Event::Frame(bytes));
                self.perform_ahead(effects, line, watch)
            });
        }
    }

    /// A line to the server is there.
    pub(crate) fn connected(&mut self) -> Wanted {
        let effects = self.app.handle(now(), Event::Connected);
        self.perform(effects)
    }

    /// A frame came.
    pub(crate) fn heard(&mut self, bytes: Vec<u8>) -> Wanted {
        let effects = self.app.handle(now(), Event::Frame(bytes));
        self.perform(effects)
    }

    /// What the person looks at from now on.
    pub(crate) fn attend(&mut self, subject: Option<SubjectId>, writes: bool) -> Wanted {
        let effects = self.app.handle(now(), Event::Attend { subject, writes });
        self.perform(effects)
    }

    /// When erased words are to leave the files, if any are in them.
    pub(crate) fn scrub_at(&self) -> Option<Instant> {
        self.scrub_at
    }

    pub(crate) fn scrub_now(&mut self) -> Wanted {
        let done = scrub(self.store.as_ref());
        self.scrub_at = (!done).then(|| Instant::now() + SCRUB_AFTER);
        let effects = self.app.handle(now(), Event::Scrubbed);
        self.perform(effects)
    }

    /// What this connection erased leaves the files now, while the server is still there to hear of it.
    fn confirm_erasures(&mut self) -> Wanted {
        let owes = self.app.joined().is_some_and(Joined::has_unconfirmed);
        if !owes || !scrub(self.store.as_ref()) {
            return Wanted::default();
        }
        self.scrub_at = None;
        let effects = self.app.handle(now(), Event::Scrubbed);
        self.perform(effects)
    }
}
