//! Accepting connections: a place, a watched line, TLS if that is asked for, and HTTP/1.1 with limits on head and time.
//!
//! Instead of `axum::serve`, which has no settings for any of that. Not here: what is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceExt;

use super::guests::{Full, Guest, Guests};
use super::limits::{HEAD_BYTES_MAX, HEADERS_MAX, Limits, TLS_HANDSHAKE_MAX};
use super::line::Line;
use super::metrics::Metrics;
use super::requests::{Encrypted, no_place};
use super::tls::Tls;

/// When accepting fails, for instance because the process may open no more files: long enough for some to be closed.
const REST: Duration = Duration::from_millis(100);
/// For somebody who is told that there is no place.
const TELLING_MAX: Duration = Duration::from_secs(5);

/// What a listener needs.
#[derive(Clone)]
pub struct Door {
    /// What is answered.
    pub router: Router,
    /// Places.
    pub guests: Arc<Guests>,
    /// Limits on head and time.
    pub limits: Limits,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// TLS, if this door has it.
    pub tls: Option<Arc<Tls>>,
    /// Says when the server stops.
    pub stopping: watch::Receiver<bool>,
}

/// Accepts connections until the server stops. Those that are open end by themselves.
pub async fn serve(listener: TcpListener, door: Door) {
    let mut stopping = door.stopping.clone();
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stopping) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => drop(tokio::spawn(meet(door.clone(), stream, peer))),
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted now");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server.
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn meet(door: Door, stream: TcpStream, peer: SocketAddr) {
    // A small frame must not wait for the next one; without it, it does.
    let _ = stream.set_nodelay(true);
    let line = Line::new(stream);
    match door.guests.enter(peer.ip()) {
        Ok(guest) => {
            let guest = Arc::new(guest);
            with_tls(&door, line, |line, encrypted| speak(&door, line, peer, guest, encrypted)).await;
        }
        Err(full) => {
            door.metrics.was_full(full.limit());
            let Some(_place) = door.guests.enter_to_be_told() else { return };
            let telling = with_tls(&door, line, |line, _| tell(line, full));
            // Whoever doesn't listen is gone.
            let _ = tokio::time::timeout(TELLING_MAX, telling).await;
        }
    }
}

/// A line of either kind.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn with_tls<F: Future<Output = ()>>(
    door: &Door,
    line: Line<TcpStream>,
    then: impl FnOnce(Box<dyn Stream>, bool) -> F,
) {
    let Some(tls) = &door.tls else { return then(Box::new(line), false).await };
    match tokio::time::timeout(TLS_HANDSHAKE_MAX, tls.acceptor().accept(line)).await {
        Ok(Ok(line)) => then(Box::new(line), true).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn speak(door: &Door, line: Box<dyn Stream>, peer: SocketAddr, guest: Arc<Guest>, encrypted: bool) {
    let router = door.router.clone();
    let service = tower::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer));
        extensions.insert(Encrypted(encrypted));
        // What the connection becomes keeps its place.
        extensions.insert(Arc::clone(&guest));
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(door.limits.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(line), TowerToHyperService::new(service))
        .with_upgrades();
    let (mut connection, mut stopping) = (std::pin::pin!(connection), door.stopping.clone());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended in the middle");
    }
}

async fn tell(line: Box<dyn Stream>, full: Full) {
    let service = hyper::service::service_fn(move |_| async move {
        let mut answer = no_place(full);
        answer.headers_mut().insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("close"));
        Ok::<_, std::convert::Infallible>(answer)
    });
    // Told or not, it ends.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(line), service).await;
}
