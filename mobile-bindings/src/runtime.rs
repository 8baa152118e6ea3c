//! The one runtime of a process: every opened wijk is driven on it, whatever thread its app calls from.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use crate::WijkError;

/// One for the device that is driven, one for storing beside it.
const THREADS: usize = 2;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The runtime, begun by whoever needs it first; it lives as long as the process.
pub(crate) fn runtime() -> Result<&'static Runtime, WijkError> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let built = Builder::new_multi_thread().worker_threads(THREADS).thread_name("samenspraak").enable_time().build();
    let built = built.map_err(|error| WijkError::unexpected(format!("no thread can be had: {error}")))?;
    // Of two that come at once one is kept; the other never ran anything.
    Ok(RUNTIME.get_or_init(|| built))
}

/// Runs work that blocks, away from the callers.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WijkError> + Send + 'static,
) -> Result<T, WijkError> {
    match runtime()?.spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(WijkError::unexpected(format!("work was broken off: {error}"))),
    }
}

/// Starts a task that nobody waits for.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<tokio::task::JoinHandle<()>, WijkError> {
    Ok(runtime()?.spawn(task))
}
