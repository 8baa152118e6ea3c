//! How the server is: `/healthz` for who restarts it, `/readyz` for who sends phones to it, `/metrics` for who watches it, and
//! `/status` for tests and an administrator at the machine.
//!
//! The first two are for everybody and name no numbers. The others answer this machine alone, and `/metrics` at one more
//! address if the configuration names one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use samenspraak_core::model::SpaceId;

use super::Shared;
use super::metrics::{CONTENT_TYPE, resident_bytes};
use super::opened::Opened;
use super::writer::BUSY_MAX;

/// The logs that every wijk has.
const SPACES: [SpaceId; 5] = [SpaceId::Members, SpaceId::Open, SpaceId::Inbox, SpaceId::Board, SpaceId::Ballot];

/// Bytes that are free for this process on the disk of a folder.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Why the server can't serve as it should, if that is so. For proxies and people: no numbers that say something of the wijk.
pub(super) fn not_ready(shared: &Shared) -> Option<String> {
    if *shared.stopping.borrow() {
        return Some("the server stops".into());
    }
    let Some(opened) = shared.opening.get() else {
        return Some("the server just started: it opens its store, and phones wait".into());
    };
    if let Some(why) = opened.writer.trouble(BUSY_MAX) {
        return Some(why);
    }
    if !opened.writer.is_open() {
        return Some("the server just started: phones can read, what they send waits".into());
    }
    if let Err(error) = opened.feed.reader().head(SpaceId::Members) {
        tracing::error!(%error, "the store can't be read");
        return Some("the store can't be read".into());
    }
    match free_bytes(&shared.folder) {
        Some(free) if free < shared.limits.disk_free_bytes => Some("the disk is nearly full".into()),
        _ => None,
    }
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    match tokio::task::block_in_place(|| not_ready(&shared)) {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

fn items(opened: &Opened) -> impl Iterator<Item = (SpaceId, u64)> {
    let next = |space| opened.feed.reader().head(space).map(|head| head.next).unwrap_or_default();
    SPACES.into_iter().map(move |space| (space, next(space)))
}

fn as_number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let text = tokio::task::block_in_place(|| {
        let metrics = &shared.metrics;
        if let Some(opened) = shared.opening.get() {
            metrics.queue.set(as_number(opened.writer.waiting() as u64));
            metrics.set_items(items(opened));
        }
        metrics.disk_free.set(free_bytes(&shared.folder).map_or(-1, as_number));
        metrics.memory.set(resident_bytes().map_or(-1, as_number));
        metrics.certificate_ends.set(shared.tls.as_ref().map_or(0, |tls| tls.ends()));
        metrics.text()
    });
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

async fn local_metrics(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if !crate::board::access::is_local(&request.into_parts().0) {
        return StatusCode::NOT_FOUND.into_response();
    }
    metrics(State(shared)).await
}

/// Counters for the administrator, on this machine only.
async fn status(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if !crate::board::access::is_local(&request.into_parts().0) {
        return StatusCode::NOT_FOUND.into_response();
    }
    // An administrator who asks has the time to wait for the store.
    let opened = shared.opening.wait().await;
    let items: BTreeMap<String, u64> = items(opened).map(|(space, count)| (space.to_string(), count)).collect();
    let body = serde_json::json!({
        "connections": shared.metrics.connections.get(),
        "log_items": items,
        "documents_opened": shared.board.documents_opened().await,
        "flushes": opened.writer.flushes(),
    });
    ([(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// What phones' address answers.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(local_metrics))
        .route("/status", get(status))
}

/// What the address for metrics answers.
pub(super) fn metrics_routes() -> Router<Arc<Shared>> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).route("/metrics", get(metrics))
}
