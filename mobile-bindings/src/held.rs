//! What the app brought, counted while anything here still holds it: only when all of it is let go will nothing here call the app
//! any more, not even to say that it was let go. An interpreter that is being taken down can't be called.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{BackgroundSync, ConnectionError, Connector, Listener, SyncState, WijkError};

/// Ends when whatever was given a [`Held`] is gone.
pub(crate) type LetGo = watch::Sender<()>;

/// A connector or a listener. The order of the fields matters: what is the app's goes first, and only then the mark.
pub(crate) struct Held<T: ?Sized> {
    app: Arc<T>,
    _mark: watch::Receiver<()>,
}

impl<T: ?Sized> Held<T> {
    pub(crate) fn new(app: Arc<T>, let_go: &LetGo) -> Arc<Self> {
        Arc::new(Self { app, _mark: let_go.subscribe() })
    }
}

#[async_trait::async_trait]
impl Connector for Held<dyn Connector> {
    async fn connect(&self, connection: u64, url: String, message_bytes_max: u64) -> Result<(), ConnectionError> {
        self.app.connect(connection, url, message_bytes_max).await
    }

    async fn send(&self, connection: u64, message: Vec<u8>) -> Result<(), ConnectionError> {
        self.app.send(connection, message).await
    }

    async fn receive(&self, connection: u64) -> Result<Option<Vec<u8>>, ConnectionError> {
        self.app.receive(connection).await
    }

    async fn close(&self, connection: u64) {
        self.app.close(connection).await;
    }
}

impl BackgroundSync for Held<dyn BackgroundSync> {
    fn wake(&self, not_before_ms: u64) -> Result<(), WijkError> {
        self.app.wake(not_before_ms)
    }
}

impl Listener for Held<dyn Listener> {
    fn changed(&self, ids: Vec<String>) -> Result<(), WijkError> {
        self.app.changed(ids)
    }

    fn sync_state(&self, state: SyncState) -> Result<(), WijkError> {
        self.app.sync_state(state)
    }
}
