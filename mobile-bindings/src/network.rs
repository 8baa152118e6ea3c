//! The app's connections as the driver knows them: two queues, and a task that carries each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use samenspraak_core::gate::limits::FRAME_BYTES_MAX;
use samenspraak_driver::{Connect, FRAMES_AHEAD, Line, SyncError, sync_url};
use tokio::sync::mpsc;

use crate::runtime::runtime;
use crate::{ConnectionError, Connector};

/// The number of the next connection.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// How long connecting may take, should the platform not end it itself.
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// How long one message may take: a line over which nothing goes in a minute is given up, as the server does.
const SEND_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Platform(pub Arc<dyn Connector>);

impl Connect for Platform {
    fn connect(&self, address: String) -> BoxFuture<'static, Result<Line, SyncError>> {
        let connector = Arc::clone(&self.0);
        Box::pin(async move {
            let url = sync_url(&address)?;
            let unreachable = |reason: String| SyncError::Unreachable { address: address.clone(), reason };
            let connection = NEXT.fetch_add(1, Ordering::Relaxed);
            // Should it be given up, the platform still hears that it is to close what it opened.
            let mut open = Open { connector: Some(Arc::clone(&connector)), connection };
            let connecting = connector.connect(connection, url, FRAME_BYTES_MAX as u64);
            match tokio::time::timeout(CONNECT_MAX, connecting).await {
                Ok(Ok(())) => {
                    open.connector = None;
                    Ok(line(&address, connector, connection))
                }
                Ok(Err(ConnectionError::Failed { reason })) => Err(unreachable(reason)),
                Err(_) => Err(unreachable("it takes too long".into())),
            }
        })
    }
}

/// A connection that nobody carries yet.
struct Open {
    connector: Option<Arc<dyn Connector>>,
    connection: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let (Some(connector), Ok(runtime)) = (self.connector.take(), runtime()) {
            let connection = self.connection;
            runtime.spawn(async move { connector.close(connection).await });
        }
    }
}

fn line(address: &str, connector: Arc<dyn Connector>, connection: u64) -> Line {
    let (outgoing, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
    let sending = Arc::clone(&connector);
    let sender = tokio::spawn(async move {
        while let Some(frame) = queue.recv().await {
            if !matches!(tokio::time::timeout(SEND_MAX, sending.send(connection, frame)).await, Ok(Ok(()))) {
                break;
            }
        }
        sending.close(connection).await;
    });
    let (incoming, came) = mpsc::channel(FRAMES_AHEAD);
    let receiver = tokio::spawn(async move {
        loop {
            let frame = match connector.receive(connection).await {
                Ok(Some(bytes)) if bytes.len() <= FRAME_BYTES_MAX => Ok(bytes),
                Ok(Some(bytes)) => Err(format!("a message of {} bytes; {FRAME_BYTES_MAX} are allowed", bytes.len())),
                Ok(None) => return,
                Err(ConnectionError::Failed { reason }) => Err(reason),
            };
            let is_last = frame.is_err();
            if incoming.send(frame).await.is_err() || is_last {
                return;
            }
        }
    });
    Line::new(address, outgoing, came, sender, receiver.abort_handle())
}
