//! What there is once the store is open, and waiting for it: phones that come before are greeted, and what they say is answered
//! then.

use std::sync::Arc;

use samenspraak_core::sync::ServerCertificate;
use tokio::sync::SetOnce;

use super::feed::Feed;
use super::writer::Writer;

/// What phones are answered from.
pub(super) struct Opened {
    /// Of the epoch in which the logs are numbered.
    pub(super) certificate: ServerCertificate,
    pub(super) feed: Arc<Feed>,
    pub(super) writer: Writer,
}

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Opening(Arc<SetOnce<Opened>>);

impl Opening {
    /// The store is open; said once.
    pub(super) fn done(&self, opened: Opened) {
        // Said twice, the first is what phones are served from.
        let _ = self.0.set(opened);
    }

    /// What is open by now.
    pub(super) fn get(&self) -> Option<&Opened> {
        self.0.get()
    }

    /// Waits until the store is open; for ever if it never is.
    pub(super) async fn wait(&self) -> &Opened {
        self.0.wait().await
    }

    /// Waits until pushes are taken; for ever if they never are.
    pub(super) fn writing(&self) -> impl Future<Output = ()> + Send + 'static {
        let opening = self.clone();
        async move { opening.wait().await.writer.opened().await }
    }
}
