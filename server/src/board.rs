//! The board's own device inside the server, and its page.
//!
//! The device is an ordinary phone: an app over the store in `board/`, syncing over loopback. The page shows what this
//! device knows and writes what it signs, so the server itself opens no document.

use std::sync::Arc;

use axum::Router;
use samenspraak_core::app::{App, Command, CommandError, Reply};
use samenspraak_core::store::Store;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::client::{Driver, Request};
use crate::error::ProgramError;

/// Requests of the page that may wait.
const REQUESTS_MAX: usize = 64;

/// See the module.
#[derive(Clone)]
pub struct Board {
    requests: Arc<Mutex<Option<mpsc::Sender<Request>>>>,
    changed: watch::Receiver<u64>,
    running: Arc<Mutex<Option<tokio::task::JoinHandle<()>>>>,
}

impl Board {
    /// Opens the device and lets it sync with the server at `address`.
    ///
    /// # Errors
    /// When its store can't be read.
    pub fn start(store: Arc<dyn Store>, address: String) -> Result<Self, ProgramError> {
        let driver = Driver::open(store)?;
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        let (changing, changed) = watch::channel(0);
        let running = tokio::spawn(driver.stay(address, queue, changing));
        Ok(Self {
            requests: Arc::new(Mutex::new(Some(requests))),
            changed,
            running: Arc::new(Mutex::new(Some(running))),
        })
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
        self.look(|app| app.joined().map_or(0, |joined| joined.documents_opened())).await.unwrap_or(0)
    }

    /// A link that opens the page once.
    #[must_use]
    pub fn one_time_link(&self, address: &str) -> String {
        format!("{address}/bestuur")
    }

    /// Ends the device.
    pub async fn stop(&self) {
        drop(self.requests.lock().await.take());
        if let Some(running) = self.running.lock().await.take() {
            // It ends when its requests end; a hanging line is cut with the process.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(5), running).await;
        }
    }
}

/// The page's routes.
pub fn routes(_board: Board) -> Router {
    Router::new()
}
