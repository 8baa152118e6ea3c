//! The board's own device inside the server, and its page.
//!
//! The device is an ordinary phone: an app over the store in `board/`, syncing over loopback. The page shows what this
//! device knows and writes what it signs (while nobody looks it catches up from time to time only), so the server itself opens no document. `access` says who may see it, and each
//! page has a file of its own. A web app takes its place later: keep it small.

pub(crate) mod access;
mod contribution;
mod decide;
mod layout;
mod meetings;
mod queue;
mod routes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use samenspraak_core::app::{App, Command, CommandError, Reply};
use samenspraak_core::store::StoreError;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::client::{Driver, Request};
use crate::error::ProgramError;
use crate::folder::{Folder, Which};
use access::Access;
pub use access::LINK_LIFE;
pub use routes::routes;

/// Requests of the page that may wait.
const REQUESTS_MAX: usize = 64;

/// How long a device that is asked to end may take, with closing its store.
const END_MAX: Duration = Duration::from_secs(5);
/// The same for one that is just being opened, of the largest wijk: a store that is left open costs the next start much more.
const OPENING_MAX: Duration = Duration::from_secs(60);

/// How long after there was no room to open it a device is opened again.
const AGAIN: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Clone)]
pub struct Board {
    requests: Arc<Mutex<Option<mpsc::Sender<Request>>>>,
    changed: watch::Receiver<u64>,
    is_open: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
    access: Arc<Access>,
    running: Arc<Mutex<Option<tokio::task::JoinHandle<()>>>>,
    /// The device must not write yet: phones are bringing back what it may have written before.
    is_waiting: bool,
}

impl Board {
    /// Opens the folder's board device beside the server, which answers phones meanwhile, when `first` is over, and lets it sync with
    /// the server at `address`. What is asked of it waits until it is open. Pages that wait for changes end when `stopping` says so.
    /// `failed` hears when its store can't be opened or closed.
    ///
    /// # Errors
    /// When the folder names no wijk.
    pub fn start(
        folder: &Folder,
        address: String,
        stopping: watch::Receiver<bool>,
        first: impl Future<Output = ()> + Send + 'static,
        failed: mpsc::UnboundedSender<ProgramError>,
    ) -> Result<Self, ProgramError> {
        let access = Access::new(folder.wijk()?.to_string().get(..8).unwrap_or_default(), Instant::now());
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        let (changing, changed) = watch::channel(0);
        let (opening, is_open) = watch::channel(false);
        let (place, mut stopped) = (folder.clone(), stopping.clone());
        let running = tokio::spawn(async move {
            tokio::select! {
                () = first => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            }
            let opened = loop {
                let place = place.clone();
                let opened = tokio::task::spawn_blocking(move || -> Result<_, ProgramError> {
                    let store = place.device_store(Which::Board)?;
                    let driver = Driver::open(store.rows());
                    Ok((store, driver))
                });
                match opened.await {
                    Ok(Err(error @ ProgramError::Store(StoreError::Full { .. }))) => {
                        tracing::warn!(error = error.line(), "the board's page waits for room");
                    }
                    opened => break opened,
                }
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    _ = stopped.wait_for(|stop| *stop) => return,
                }
            };
            let store = match opened {
                Ok(Ok((store, Ok(driver)))) => {
                    opening.send_replace(true);
                    driver.stay(address, queue, changing).await;
                    store
                }
                Ok(Ok((store, Err(error)))) => {
                    tracing::error!(%error, "the board's device can't be opened: its page shows nothing");
                    opening.send_replace(true);
                    store
                }
                Ok(Err(error)) => return drop(failed.send(error)),
                Err(_) => return tracing::error!("opening the board's device was broken off"),
            };
            if let Err(error) = tokio::task::block_in_place(|| store.close()) {
                // Whoever stopped the server reads it.
                let _ = failed.send(error);
            }
        });
        Ok(Self {
            requests: Arc::new(Mutex::new(Some(requests))),
            changed,
            is_open,
            stopping,
            access: Arc::new(access),
            running: Arc::new(Mutex::new(Some(running))),
            is_waiting: false,
        })
    }

    /// Waits until its page can be used; for ever if it never can.
    pub async fn opened(&self) {
        let mut is_open = self.is_open.clone();
        if is_open.wait_for(|is_open| *is_open).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// A page without a device, while phones refill the server: it says so and nothing else.
    #[must_use]
    pub fn waiting(stopping: watch::Receiver<bool>) -> Self {
        // Nobody ever changes anything, so whoever waits for changes waits until the end.
        let (_, changed) = watch::channel(0);
        let (_, is_open) = watch::channel(true);
        Self {
            requests: Arc::new(Mutex::new(None)),
            changed,
            is_open,
            stopping,
            access: Arc::new(Access::new("", Instant::now())),
            running: Arc::new(Mutex::new(None)),
            is_waiting: true,
        }
    }

    /// Changes whenever something reads differently.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// Looks at the device's app; `None` when the server is stopping.
    pub async fn look<T: Send + 'static>(&self, look: impl FnOnce(&mut App) -> T + Send + 'static) -> Option<T> {
        let requests = self.requests.lock().await.clone()?;
        let (answer, answered) = oneshot::channel();
        let look = Request::Look(Box::new(move |app| {
            // Whoever asked may have gone.
            let _ = answer.send(look(app));
        }));
        requests.send(look).await.ok()?;
        answered.await.ok()
    }

    /// Does something as this device; `None` when the server is stopping.
    pub async fn command(&self, command: Command) -> Option<Result<Reply, CommandError>> {
        let requests = self.requests.lock().await.clone()?;
        let (answer, answered) = oneshot::channel();
        requests.send(Request::Command(Box::new(command), answer)).await.ok()?;
        answered.await.ok()
    }

    /// Documents this device opened since it started: the only ones that are ever opened in the server's process.
    pub async fn documents_opened(&self) -> u64 {
        let Some(requests) = self.requests.lock().await.clone() else { return 0 };
        let (answer, answered) = oneshot::channel();
        let look = Request::Glance(Box::new(move |app| {
            // Whoever asked may have gone.
            let _ = answer.send(app.joined().map_or(0, |joined| joined.documents_opened()));
        }));
        if requests.send(look).await.is_err() {
            return 0;
        }
        answered.await.unwrap_or(0)
    }

    /// Lets the device have all that the server has by now; returns when it does, or can't.
    pub async fn catch_up(&self) {
        let Some(requests) = self.requests.lock().await.clone() else { return };
        let (done, is_done) = oneshot::channel();
        if requests.send(Request::CatchUp(done)).await.is_ok() {
            // A device that ends doesn't answer.
            let _ = is_done.await;
        }
    }

    /// Whether phones refill the server, and there is no page.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// A link that opens the page, once and for a limited time, while nobody used it.
    #[must_use]
    pub fn one_time_link(&self, address: &str) -> Option<String> {
        if self.is_waiting {
            return None;
        }
        self.access.link().map(|token| format!("{address}/bestuur/open/{token}"))
    }

    /// Ends the device.
    pub async fn stop(&self) {
        drop(self.requests.lock().await.take());
        let is_open = *self.is_open.borrow();
        if let Some(running) = self.running.lock().await.take() {
            // It ends when its requests end; a hanging line is cut with the process.
            let most = if is_open { END_MAX } else { OPENING_MAX };
            let _ = tokio::time::timeout(most, running).await;
        }
    }
}
