//! Phones that run in this program: the driver of every app over a WebSocket of this system.
//!
//! Used by the terminal phone, by the board's device inside the server, and by every participant of a replay. What a phone does
//! is the driver's (`mobile-bindings/driver`), what it may do the core's. Here is only how it reaches its server.

mod connect;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use samenspraak_core::app::App;
use samenspraak_core::model::WijkId;
use samenspraak_core::replica::ReplicaError;
use samenspraak_core::store::Store;
use samenspraak_driver::{Connect, News, Rhythm, SILENCE_MAX};
pub use samenspraak_driver::{Moved, Request, SyncError, Watch, entropy, now};
use tokio::sync::{mpsc, watch};

use connect::Sockets;
pub use connect::{sync_address, trust};

/// The device of a wijk's page follows the server as long as a person looks at a page, and takes in a quarter of a minute's news at
/// once while nobody does: that costs a tenth of following it.
const PAGE: Rhythm =
    Rhythm { awake: Some(Duration::from_secs(5 * 60)), rest: Duration::from_secs(15), silence: SILENCE_MAX };

/// A phone: an app over its store, which reaches its server over a socket.
pub struct Driver(samenspraak_driver::Driver);

impl Deref for Driver {
    type Target = samenspraak_driver::Driver;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Driver {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Driver {
    /// Opens the phone of a store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, ReplicaError> {
        samenspraak_driver::Driver::open(store).map(Self)
    }

    /// Connects, lets both sides say everything there is, and ends.
    ///
    /// # Errors
    /// When the server can't be reached, the connection breaks, or one side refuses. Nothing is lost then.
    pub async fn sync_once(&mut self, address: &str) -> Result<Moved, SyncError> {
        self.sync_watched(address, &mut |_: &mut App| {}).await
    }

    /// The same, letting `watch` look at the app whenever a frame was taken: what a screen could show by then.
    ///
    /// # Errors
    /// As for [`Driver::sync_once`].
    pub async fn sync_watched(&mut self, address: &str, watch: Watch<'_>) -> Result<Moved, SyncError> {
        self.must_have_joined()?;
        let line = Sockets.connect(address.to_owned()).await?;
        self.sync_over(line, watch).await
    }

    /// Stays with the server at `address` and does what `requests` asks for; ends when they end. `changed` grows whenever
    /// something reads differently.
    pub async fn stay(self, address: String, requests: mpsc::Receiver<Request>, changed: watch::Sender<u64>) {
        let tell = |news| {
            if let News::Changed(_) = news {
                changed.send_modify(|count| *count += 1);
            }
        };
        self.0.stay(&Sockets, Some(address), PAGE, requests, &tell).await;
    }
}

/// Asks a server which wijk it serves: for people who type letters instead of scanning a code.
///
/// # Errors
/// When no server answers.
pub async fn ask_wijk(address: &str) -> Result<WijkId, SyncError> {
    samenspraak_driver::ask_wijk(&Sockets, address).await
}
