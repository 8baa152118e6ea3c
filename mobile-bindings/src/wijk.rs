//! The object of the surface: one opened folder, driven by one task, asked from anywhere.
//!
//! Whoever calls sends a request to the task and waits for its answer; nobody holds a lock meanwhile. The task ends when the object
//! is closed or dropped. Dropping is a kill: nothing is lost, and the next opening takes a little longer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use samenspraak_core::app::{App, Command, CommandError, Reply};
use samenspraak_core::model::SubjectId;
use samenspraak_core::ordered::Set;
use samenspraak_core::store::disk::{DiskOptions, DiskStore};
use samenspraak_core::store::keys::first_rows;
use samenspraak_core::store::{SealedStore, Store};
use samenspraak_driver::{Driver, News, Request, Rhythm, SILENCE_MAX, SyncError, ask_wijk, entropy, now, scrub};
use tokio::sync::{mpsc, oneshot, watch};

use crate::held::{Held, LetGo};
use crate::network::Platform;
use crate::runtime::{blocking, runtime, spawn};
use crate::vault::AppVault;
use crate::{BackgroundSync, Connector, KeyVault, Listener, SyncState, WijkError, looks};

/// Requests that may wait to be taken; more callers wait for their turn.
const REQUESTS_MAX: usize = 64;
/// The name of the store's key in the app's vault.
const KEY_NAME: &str = "phone";
/// How long after everything was said and heard an app that nobody opens asks again what others answered: a few times a day, which
/// is a few hundred bytes each.
const HEAR_AGAIN: Duration = Duration::from_secs(6 * 60 * 60);
/// How long is waited at the end of a process for an app whose callback doesn't return; the line's own goodbye takes less.
const LET_GO_MAX: Duration = Duration::from_secs(5);
/// An app that is open follows its server all the time; whether it is open says [`Wijk::set_network`].
const RHYTHM: Rhythm = Rhythm { awake: None, rest: Duration::from_secs(60), silence: SILENCE_MAX };

/// One wijk on this device. See [`open_wijk`].
#[derive(uniffi::Object)]
pub struct Wijk {
    /// Gone once it is closed.
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    /// Whether the task has ended and its store is closed.
    ended: watch::Receiver<bool>,
    shown: Arc<Shown>,
    /// Gone once it has ended: languages that collect garbage may keep this object long after that, and an app's connector holds
    /// threads of its own.
    connector: Mutex<Option<Arc<dyn Connector>>>,
    /// Closed when nothing of the app's is held any more.
    let_go: Arc<LetGo>,
}

/// Who wakes the app while nobody looks at it, if anybody does, and how often that was said.
#[derive(Default)]
struct Background {
    app: Option<Arc<dyn BackgroundSync>>,
    said: u64,
}

/// What is done with the app, on its own task.
type Look = Box<dyn FnOnce(&mut App) + Send>;

/// What is told to whoever listens.
struct Shown {
    state: Mutex<SyncState>,
    changed: Mutex<Set<SubjectId>>,
    background: Mutex<Background>,
    /// Grows with everything there is to tell; the teller waits for it.
    news: watch::Sender<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the folder of a device, making it when it isn't there. The key is in the vault from then on; without it the folder opens
/// nowhere. A folder can be open once at a time.
///
/// `network` says whether there is one now. The listener, if there is one, is called until the wijk is closed.
#[uniffi::export]
pub async fn open_wijk(
    folder: String,
    vault: Arc<dyn KeyVault>,
    connector: Arc<dyn Connector>,
    listener: Option<Arc<dyn Listener>>,
    network: bool,
) -> Result<Arc<Wijk>, WijkError> {
    let opened = blocking(move || Opened::open(&PathBuf::from(folder), &AppVault(vault))).await?;
    let joined = opened.driver.app().joined().is_some();
    let state = match joined {
        true => SyncState::Offline { detail: None, refused: false, next_try_ms: 0 },
        false => SyncState::NotJoined,
    };
    let (news, told) = watch::channel(0);
    let shown =
        Arc::new(Shown { state: Mutex::new(state), changed: Mutex::default(), background: Mutex::default(), news });
    let (requests, queue) = mpsc::channel(REQUESTS_MAX);
    let (ending, ended) = watch::channel(false);
    let let_go = Arc::new(LetGo::default());
    let connector: Arc<dyn Connector> = Held::new(connector, &let_go);
    let listener = listener.map(|listener| -> Arc<dyn Listener> { Held::new(listener, &let_go) });
    spawn(tell(Arc::clone(&shown), listener, told, ended.clone()))?;
    let (platform, noting) = (Platform(Arc::clone(&connector)), Arc::clone(&shown));
    spawn(async move {
        let Opened { driver, disk, rows } = opened;
        driver.stay(&platform, None, RHYTHM, queue, &move |news| noting.note(news)).await;
        let closed = tokio::task::spawn_blocking(move || {
            scrub(rows.as_ref());
            // What was committed is durable; an error here only makes the next opening slower.
            let _ = disk.close();
        });
        let _ = closed.await;
        drop(platform);
        ending.send_replace(true);
    })?;
    let connector = Mutex::new(Some(connector));
    let wijk = Arc::new(Wijk { requests: Mutex::new(Some(requests)), ended, shown, connector, let_go });
    if !network {
        wijk.send(Request::Network(false)).await?;
    }
    Ok(wijk)
}

struct Opened {
    driver: Driver,
    disk: Arc<DiskStore>,
    rows: Arc<dyn Store>,
}

impl Opened {
    fn open(folder: &std::path::Path, vault: &AppVault) -> Result<Self, WijkError> {
        let options = DiskOptions { first_rows: first_rows(), ..DiskOptions::default() };
        let disk = Arc::new(DiskStore::open(folder, options)?.0);
        let place = folder.display().to_string();
        let sealed = SealedStore::open(Arc::clone(&disk) as Arc<dyn Store>, place, vault, KEY_NAME, entropy());
        let rows: Arc<dyn Store> = match sealed {
            Ok((sealed, _)) => Arc::new(sealed),
            Err(error) => {
                let _ = disk.close();
                return Err(error.into());
            }
        };
        // What a kill left undone.
        scrub(rows.as_ref());
        let driver = Driver::open(Arc::clone(&rows))?;
        Ok(Self { driver, disk, rows })
    }
}

impl Shown {
    fn background(&self) -> (Option<Arc<dyn BackgroundSync>>, u64) {
        let background = lock(&self.background);
        (background.app.clone(), background.said)
    }

    fn set(&self, state: SyncState) {
        *lock(&self.state) = state;
        self.news.send_modify(|count| *count += 1);
    }

    fn note(&self, news: News) {
        match news {
            News::Changed(subjects) => {
                lock(&self.changed).extend(subjects);
                self.news.send_modify(|count| *count += 1);
            }
            News::Connected => self.set(SyncState::Syncing),
            News::Settled(None) => self.set(SyncState::UpToDate),
            News::Settled(Some(code)) => self.set(SyncState::Offline {
                detail: Some(SyncError::Refused(code).to_string()),
                refused: true,
                next_try_ms: 0,
            }),
            News::Offline(why, again) => {
                // A refusal stands until something else is known: the server closes the line after it.
                let was_refused = matches!(&*lock(&self.state), SyncState::Offline { refused: true, .. });
                if !was_refused || !matches!(why, Some(SyncError::Broken { .. })) {
                    let detail = why.map(|why| why.to_string());
                    self.set(SyncState::Offline { detail, refused: false, next_try_ms: again.0 });
                }
            }
        }
    }
}

/// Tells the app, one call at a time. What it throws is its own affair: it hears of the next thing all the same.
async fn tell(
    shown: Arc<Shown>,
    listener: Option<Arc<dyn Listener>>,
    mut told: watch::Receiver<u64>,
    mut ended: watch::Receiver<bool>,
) {
    let (mut last, mut last_said) = (lock(&shown.state).clone(), 0);
    loop {
        tokio::select! {
            changed = told.changed() => if changed.is_err() { return },
            _ = ended.wait_for(|ended| *ended) => return,
        }
        let ids: Vec<String> = std::mem::take(&mut *lock(&shown.changed)).iter().map(ToString::to_string).collect();
        let state = lock(&shown.state).clone();
        let (waking, said) = shown.background();
        let wake_at = if state != last || said != last_said { wake_at(&state) } else { None };
        let state = (state != last).then_some(state);
        (last, last_said) = (state.clone().unwrap_or(last), said);
        let calling = listener.clone();
        // On a thread of its own: an app may block in it, or ask this very wijk.
        let called = tokio::task::spawn_blocking(move || {
            if let (Some(waking), Some(at)) = (waking, wake_at) {
                let _ = waking.wake(at);
            }
            let Some(calling) = calling else { return };
            if !ids.is_empty() {
                let _ = calling.changed(ids);
            }
            if let Some(state) = state {
                let _ = calling.sync_state(state);
            }
        });
        let _ = called.await;
    }
}

/// When an app that nobody opens should sync: nothing where that changes nothing, or a sync is under way.
fn wake_at(state: &SyncState) -> Option<u64> {
    match state {
        SyncState::UpToDate => Some(now().0.saturating_add(u64::try_from(HEAR_AGAIN.as_millis()).unwrap_or(u64::MAX))),
        SyncState::Offline { refused: false, next_try_ms, .. } => Some(*next_try_ms),
        SyncState::Offline { .. } | SyncState::NotJoined | SyncState::Syncing => None,
    }
}

impl Wijk {
    async fn send(&self, request: Request) -> Result<(), WijkError> {
        let requests = lock(&self.requests).clone().ok_or(WijkError::Closed)?;
        requests.send(request).await.map_err(|_| WijkError::Closed)
    }

    pub(crate) fn state(&self) -> SyncState {
        lock(&self.shown.state).clone()
    }

    /// Does something as this device; when it returns it is flushed.
    pub(crate) async fn command(&self, command: Command) -> Result<Reply, WijkError> {
        let is_join = matches!(command, Command::Join { .. });
        let (answer, answered) = oneshot::channel::<Result<Reply, CommandError>>();
        self.send(Request::Command(Box::new(command), answer)).await?;
        let reply = answered.await.map_err(|_| WijkError::Closed)??;
        // The line may be there already.
        if is_join && self.state() == SyncState::NotJoined {
            self.shown.set(SyncState::Offline { detail: None, refused: false, next_try_ms: 0 });
        }
        Ok(reply)
    }

    /// Looks at what is here, for a person.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut App) -> Result<T, WijkError> + Send + 'static,
    ) -> Result<T, WijkError> {
        self.looked(look, Request::Look).await
    }

    /// Looks in passing.
    pub(crate) async fn glance<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut App) -> Result<T, WijkError> + Send + 'static,
    ) -> Result<T, WijkError> {
        self.looked(look, Request::Glance).await
    }

    async fn looked<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut App) -> Result<T, WijkError> + Send + 'static,
        request: fn(Look) -> Request,
    ) -> Result<T, WijkError> {
        let (answer, answered) = oneshot::channel();
        let look = Box::new(move |app: &mut App| {
            // Whoever asked may have gone.
            let _ = answer.send(look(app));
        });
        self.send(request(look)).await?;
        answered.await.map_err(|_| WijkError::Closed)?
    }
}

#[uniffi::export]
impl Wijk {
    /// Says that the person looks at this now, such as the notes of a meeting, and whether the person writes there; nothing: at
    /// nothing any more. Others who look at it hear how many do, never who; it is kept nowhere. See [`Wijk::present`].
    pub async fn attend(&self, id: Option<String>, writes: bool) -> Result<(), WijkError> {
        let subject = id.map(|id| looks::subject(&id)).transpose()?;
        self.send(Request::Attend(subject, writes)).await
    }

    /// Says whether there is a network, as far as the platform knows. Without one nothing is tried; with a new one at once. An app
    /// that goes to the background says that there is none, once its last sync is done.
    pub async fn set_network(&self, available: bool) -> Result<(), WijkError> {
        self.send(Request::Network(available)).await
    }

    /// Syncs now, on a new connection, and returns when everything is sent, receipted and received: for a button, or for work in
    /// the background.
    pub async fn sync_now(&self) -> Result<(), WijkError> {
        let (done, is_done) = oneshot::channel();
        self.send(Request::CatchUp(done)).await?;
        Ok(is_done.await.map_err(|_| WijkError::Closed)??)
    }

    /// Says who wakes the app for a sync while nobody looks at it, or that nobody does. Called at once with how things are, and then
    /// whenever that changes, like a [`Listener`] and never beside one.
    pub fn set_background_sync(&self, background: Option<Arc<dyn BackgroundSync>>) -> Result<(), WijkError> {
        if lock(&self.requests).is_none() {
            return Err(WijkError::Closed);
        }
        let app = background.map(|app| -> Arc<dyn BackgroundSync> { Held::new(app, &self.let_go) });
        let said = lock(&self.shown.background).said + 1;
        *lock(&self.shown.background) = Background { app, said };
        self.shown.news.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Asks a server which wijk it serves: for people who type a card's letters instead of scanning its code.
    pub async fn ask_wijk(&self, server: String) -> Result<String, WijkError> {
        let platform = Platform(lock(&self.connector).clone().ok_or(WijkError::Closed)?);
        let asked = runtime()?.spawn(async move { ask_wijk(&platform, &server).await }).await;
        let wijk = asked.map_err(|error| WijkError::unexpected(error.to_string()))??;
        Ok(wijk.to_string())
    }

    /// Ends: what waits is answered, the line says goodbye, the store is closed in order. Ending twice is no error; everything
    /// asked after it is [`WijkError::Closed`]. (Not `close`: Kotlin's objects have one that doesn't wait.)
    pub async fn end(&self) -> Result<(), WijkError> {
        drop(lock(&self.requests).take());
        let mut ended = self.ended.clone();
        // When the task was broken off it can't say so; it has ended all the same.
        let _ = ended.wait_for(|ended| *ended).await;
        drop(lock(&self.connector).take());
        lock(&self.shown.background).app = None;
        Ok(())
    }

    /// Ends like [`Wijk::end`] and holds the caller until nothing here calls the app any more, at most some seconds: for what runs
    /// while a process or an interpreter is being taken down. Never from a callback, nor on a thread that has a screen to draw.
    pub fn end_blocking(self: Arc<Self>) -> Result<(), WijkError> {
        let (done, is_done) = std::sync::mpsc::channel();
        spawn(async move {
            let _ = self.end().await;
            let let_go = Arc::clone(&self.let_go);
            drop(self);
            let _ = tokio::time::timeout(LET_GO_MAX, let_go.closed()).await;
            let _ = done.send(());
        })?;
        is_done.recv().map_err(|_| WijkError::unexpected("the runtime has ended"))
    }
}
