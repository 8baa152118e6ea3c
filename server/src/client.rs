//! Drives a phone: performs what the core asks for, over a disk or memory store and a WebSocket.
//!
//! Used by the terminal phone, by the board's device inside the server, and by every participant of a replay. It decides
//! nothing: it stores, sends, receives, and hands everything to the core.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use samenspraak_core::app::{App, Command, CommandError, Effect, Event, Reply, Timestamp};
use samenspraak_core::model::{SubjectId, WijkId};
use samenspraak_core::replica::ReplicaError;
use samenspraak_core::store::{Batch, Store, StoreError};
use samenspraak_core::sync::phone::SessionError;
use samenspraak_core::sync::wire::{Frame, RefusalCode};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

mod connect;
mod stay;

use connect::{Socket, connect};
pub use connect::{sync_address, trust};
pub use stay::Request;

use crate::scrub::{SCRUB_AFTER, scrub};

/// How long a server may be silent before a phone gives up: longer than a slow line needs for one frame.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Why a sync didn't finish. What was written stays safe on the phone.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The address is none.
    #[error("{address} is no address of a server: it begins with https:// or http://")]
    Address {
        /// What was given.
        address: String,
    },
    /// The file of authorities can't be used, or the system trusts none.
    #[error("cannot tell whom to trust: {reason}")]
    Trust {
        /// Why.
        reason: String,
    },
    /// Nobody answers.
    #[error("no server answers at {address}: {reason}")]
    Unreachable {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection to {address} broke: {reason}")]
    Broken {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The phone ended it.
    #[error("{0}")]
    Session(#[from] SessionError),
    /// The server lets this phone in no further.
    #[error("the server refuses: {}", refusal_words(*.0))]
    Refused(RefusalCode),
    /// The phone hasn't joined.
    #[error("this phone hasn't joined a wijk yet; use `phone join` first")]
    NotJoined,
}

fn refusal_words(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::CardUsed => "this card was used by another device; ask for a new card",
        RefusalCode::CardUnknown => "this card isn't known in this wijk; check the letters or ask for a new card",
        RefusalCode::CardWithdrawn => "this card was withdrawn; ask for a new card",
        RefusalCode::Revoked => "this device no longer belongs to the wijk; ask whoever gave you the card",
        RefusalCode::NotMember | RefusalCode::NotReadable => "this device doesn't belong to the wijk",
        RefusalCode::Fork => "this device exists twice, perhaps from a copied folder; join again with a new card",
        RefusalCode::Gap | RefusalCode::UnknownSubject => "it misses entries of this device",
        RefusalCode::Form | RefusalCode::Signature | RefusalCode::OtherBody => "what this phone sent can't be placed",
        RefusalCode::Newer => "this program is too old to know why; install the newest one",
        RefusalCode::NotNow => "it can't store anything now; try again later",
    }
}

/// What a sync moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes of frames sent.
    pub bytes_up: u64,
    /// Bytes of frames received.
    pub bytes_down: u64,
    /// Frames sent.
    pub frames_up: u64,
    /// Frames received.
    pub frames_down: u64,
    /// Times this side spoke: frames that left together count once, so one flight is one round trip.
    pub flights_up: u64,
}

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
struct Wanted {
    frames: Vec<Vec<u8>>,
    reply: Option<Result<Reply, CommandError>>,
    settled: Option<Option<RefusalCode>>,
    disconnect: Option<SessionError>,
    connect_at: Option<Timestamp>,
    changed: BTreeSet<SubjectId>,
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
    async fn perform_ahead(
        &mut self,
        effects: Vec<Effect>,
        link: &mut Link,
        watch: Watch<'_>,
    ) -> Result<Wanted, SyncError> {
        let (mut wanted, mut left) = (Wanted::default(), VecDeque::from(effects));
        let mut ahead = true;
        while let Some(effect) = left.pop_front() {
            let Some((commit, batch)) = self.note(effect, &mut wanted) else { continue };
            link.send(std::mem::take(&mut wanted.frames))?;
            let store = Arc::clone(&self.store);
            let mut storing = tokio::task::spawn_blocking(move || store.commit(&batch));
            let result = loop {
                tokio::select! {
                    biased;
                    result = &mut storing => break result,
                    frame = link.receive_patiently(), if ahead && self.app.may_look_ahead() => match frame {
                        Ok(bytes) => {
                            let event = Event::Frame(bytes);
                            left.extend(tokio::task::block_in_place(|| self.app.handle(now(), event)));
                        }
                        // The line says so again when it is asked next; what came over it is stored first.
                        Err(_) => ahead = false,
                    },
                }
            };
            let panicked = |_| Err(StoreError::Closed { place: "the store".into() });
            let event = stored(commit, result.unwrap_or_else(panicked));
            tokio::task::block_in_place(|| {
                left.extend(self.app.handle(now(), event));
                watch(&mut self.app);
            });
        }
        tokio::task::block_in_place(|| watch(&mut self.app));
        Ok(wanted)
    }

    fn ask(&mut self, command: Command) -> Wanted {
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

    /// Connects, lets both sides say everything there is, and ends.
    ///
    /// # Errors
    /// When the server can't be reached, the connection breaks, or one side refuses. Nothing is lost then.
    pub async fn sync_once(&mut self, address: &str) -> Result<Moved, SyncError> {
        self.sync_watched(address, &mut |_| {}).await
    }

    /// The same, letting `watch` look at the app whenever a frame was taken: what a screen could show by then.
    ///
    /// # Errors
    /// As for [`Driver::sync_once`].
    pub async fn sync_watched(&mut self, address: &str, watch: Watch<'_>) -> Result<Moved, SyncError> {
        if self.app.joined().is_none() {
            return Err(SyncError::NotJoined);
        }
        let socket = connect(address).await?;
        let mut link = Link::new(address, socket);
        let result = self.until_settled(&mut link, watch).await;
        self.disconnected();
        link.close().await;
        result.map(|()| link.moved)
    }

    async fn until_settled(&mut self, link: &mut Link, watch: Watch<'_>) -> Result<(), SyncError> {
        let effects = self.app.handle(now(), Event::Connected);
        let mut wanted = self.perform(effects);
        loop {
            if let Some(error) = wanted.disconnect {
                return Err(error.into());
            }
            link.send(std::mem::take(&mut wanted.frames))?;
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
            let bytes = link.receive().await?;
            let effects = self.app.handle(now(), Event::Frame(bytes));
            wanted = self.perform_ahead(effects, link, watch).await?;
        }
    }

    /// What this connection erased leaves the files now, while the server is still there to hear of it.
    fn confirm_erasures(&mut self) -> Wanted {
        let owes = self.app.joined().is_some_and(samenspraak_core::app::Joined::has_unconfirmed);
        if !owes || !scrub(self.store.as_ref()) {
            return Wanted::default();
        }
        self.scrub_at = None;
        let effects = self.app.handle(now(), Event::Scrubbed);
        self.perform(effects)
    }
}

/// One connection. Sending never waits for receiving, so two sides that both have much to say can't block each other.
struct Link {
    address: String,
    outgoing: mpsc::UnboundedSender<Message>,
    incoming: futures_util::stream::SplitStream<Socket>,
    sender: tokio::task::JoinHandle<()>,
    moved: Moved,
}

impl Link {
    fn new(address: &str, socket: Socket) -> Self {
        let (mut sink, incoming) = socket.split();
        // Unbounded in form only: the core has at most a few pushes under way at once.
        let (outgoing, mut queue) = mpsc::unbounded_channel::<Message>();
        let sender = tokio::spawn(async move {
            while let Some(message) = queue.recv().await {
                if sink.feed(message).await.is_err() {
                    return;
                }
                while let Ok(message) = queue.try_recv() {
                    if sink.feed(message).await.is_err() {
                        return;
                    }
                }
                if sink.flush().await.is_err() {
                    return;
                }
            }
            // The other side may be gone already.
            let _ = sink.close().await;
        });
        Self { address: address.to_owned(), outgoing, incoming, sender, moved: Moved::default() }
    }

    fn broken(&self, reason: impl std::fmt::Display) -> SyncError {
        SyncError::Broken { address: self.address.clone(), reason: reason.to_string() }
    }

    fn send(&mut self, frames: Vec<Vec<u8>>) -> Result<(), SyncError> {
        self.moved.flights_up += u64::from(!frames.is_empty());
        for frame in frames {
            self.moved.bytes_up += frame.len() as u64;
            self.moved.frames_up += 1;
            if self.outgoing.send(Message::Binary(frame.into())).is_err() {
                return Err(self.broken("the line is closed"));
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Vec<u8>, SyncError> {
        match tokio::time::timeout(SILENCE_MAX, self.receive_patiently()).await {
            Ok(received) => received,
            Err(_) => Err(self.broken("the server is silent")),
        }
    }

    async fn receive_patiently(&mut self) -> Result<Vec<u8>, SyncError> {
        loop {
            match self.incoming.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    self.moved.bytes_down += bytes.len() as u64;
                    self.moved.frames_down += 1;
                    return Ok(bytes.into());
                }
                Some(Ok(Message::Close(_))) | None => return Err(self.broken("the server closed it")),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(self.broken(error)),
            }
        }
    }

    async fn close(&mut self) {
        let (closed, _) = mpsc::unbounded_channel();
        // Dropping the old queue lets the sender finish what is in it and say goodbye.
        drop(std::mem::replace(&mut self.outgoing, closed));
        let _ = tokio::time::timeout(Duration::from_secs(2), &mut self.sender).await;
    }
}

/// Asks a server which wijk it serves: for people who type letters instead of scanning a code.
///
/// # Errors
/// When no server answers.
pub async fn ask_wijk(address: &str) -> Result<WijkId, SyncError> {
    let mut link = Link::new(address, connect(address).await?);
    let bytes = link.receive().await?;
    link.close().await;
    match Frame::decode(&bytes) {
        Ok(Frame::Hello { wijk, .. }) => Ok(wijk),
        _ => Err(SyncError::Session(SessionError::Frame)),
    }
}
