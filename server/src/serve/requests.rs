//! What every request passes: a name for it in answer and log, whom it is from, a place, and an end in time.
//!
//! The name is a trusted proxy's `x-request-id` where that has a safe form, else our own. Log lines of a request carry it and
//! nothing about whom it is from: no address, no device, no path beyond the route, for paths hold ids and secrets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::Shared;
use super::guests::Full;
use crate::client::entropy;
use crate::folder::hex;

/// The header of a request's name, as proxies use it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name that is taken from a proxy: a UUID has 36 characters, some proxies put their own name before it.
const ID_BYTES_MAX: usize = 64;
/// When somebody who found no place may come again.
const RETRY_AFTER_SECONDS: &str = "30";

/// The name of a request, and of the connection that it becomes.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

/// Whom a request is from, as far as that is known here.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub IpAddr);

/// Whether the line of a request is encrypted by this server.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted(pub bool);

/// Only what can stand in a header and a log line without meaning anything there.
fn is_safe(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn own_id() -> Arc<str> {
    // 64 random bits: enough to find one among the lines of years.
    hex(&entropy()[..8]).into()
}

fn request_id(from_proxy: bool, headers: &HeaderMap) -> RequestId {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| from_proxy && is_safe(id));
    RequestId(given.map_or_else(own_id, Arc::from))
}

/// An answer for somebody who found no place.
pub fn no_place(full: Full) -> Response {
    let text = format!("no place now ({}); try again later\n", full.limit());
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)], text).into_response()
}

/// See the module.
pub(super) async fn pass(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let Some(peer) = peer else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let id = request_id(shared.guests.is_proxy(peer), request.headers());
    let caller = Caller(shared.guests.caller(peer, request.headers()));
    // Only routes that we know: what comes besides may hold anything.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", request = %id.0, route);
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(caller);
    let begun = Instant::now();
    let answer = async {
        let Ok(_place) = shared.guests.enter_request() else {
            shared.metrics.was_full(Full::Requests.limit());
            return no_place(Full::Requests);
        };
        let answered = tokio::time::timeout(shared.limits.request, next.run(request)).await;
        let answer = answered.unwrap_or_else(|_| (StatusCode::REQUEST_TIMEOUT, "it took too long\n").into_response());
        let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(status = answer.status().as_u16(), ms, "answered");
        answer
    };
    let mut answer = answer.instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    answer
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_from_a_trusted_proxy_in_a_safe_form_and_otherwise_made() {
        let id = |from_proxy, given: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(given.as_bytes()).unwrap());
            request_id(from_proxy, &headers).0.to_string()
        };
        let good = "7f4c1b2e-0d0a.edge_1";
        assert_eq!(id(true, good), good);
        assert_ne!(id(false, good), good);
        for bad in ["", "a b", "a\"b", "a=b", "{}", "naïef", &"x".repeat(ID_BYTES_MAX + 1)] {
            let made = id(true, bad);
            assert!(made != bad && made.len() == 16 && is_safe(&made), "{bad:?} became {made:?}");
        }
        assert_ne!(id(false, good), id(false, good));
    }
}
