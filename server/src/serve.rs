//! `serve`: the running server. One writer admits and flushes; each connection reads pieces of the log itself; the board's
//! own device syncs over loopback like any phone.

mod connection;
pub mod limits;
pub mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use samenspraak_core::gate::limits::FRAME_BYTES_MAX;
use samenspraak_core::model::{SpaceId, WijkId};
use samenspraak_core::store::StoreError;
use samenspraak_core::sync::ServerCertificate;
use samenspraak_core::sync::pieces::PieceReader;
use samenspraak_core::sync::server::{HeadSigner, Server};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::board::Board;
use crate::config::Settings;
use crate::error::ProgramError;
use crate::folder::{Folder, Which};
use crate::wijk;
use writer::Writer;

/// How long a stopping server waits for its connections to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// What all connections share.
pub struct Shared {
    wijk: WijkId,
    certificate: ServerCertificate,
    reader: PieceReader,
    signer: HeadSigner,
    writer: Writer,
    connections: Semaphore,
    connected: AtomicU64,
    stopping: watch::Receiver<bool>,
    board: Board,
}

/// Runs the server of a folder until it is asked to stop (Ctrl-C or TERM).
///
/// # Errors
/// When the folder, its stores or the address can't be used.
pub async fn run(mut folder: Folder, settings: Settings, show_card: bool) -> Result<(), ProgramError> {
    let Settings { listen, hold, .. } = settings;
    let listen_error = |reason| ProgramError::Listen { address: listen.to_string(), reason };
    // First the address: a busy port must not cost the time of opening everything.
    let listener = TcpListener::bind(listen).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    let asked_to_stop = asked_to_stop()
        .map_err(|source| ProgramError::Store(StoreError::Io { place: "signals of the system".into(), source }))?;
    if let Some(public) = &settings.public_address {
        folder.set_address(public)?;
    }
    let folder = &folder;
    let store = Arc::new(folder.server_store()?);
    let mut server = Server::open(folder.wijk()?, folder.keys()?, store.rows())?;
    wijk::deliver_at_start(folder, &mut server)?;
    let local = format!("http://{}", loopback(address));
    let card = if show_card { wijk::shown_card(folder, &mut server, &local)? } else { None };
    let board_store = folder.device_store(Which::Board)?;

    let (stop, stopping) = watch::channel(false);
    let (wijk, certificate) = (folder.wijk()?, server.certificate());
    let (reader, signer) = (server.reader(), server.signer());
    let writer = Writer::start(server, folder, Arc::clone(&store))?;
    let board = Board::start(board_store.rows(), local.clone(), stopping.clone())?;
    let shared = Arc::new(Shared {
        wijk,
        certificate,
        reader,
        signer,
        writer,
        connections: Semaphore::new(settings.limits.connections),
        connected: AtomicU64::new(0),
        stopping: stopping.clone(),
        board,
    });
    folder.set_serving(Some(&local))?;
    say!("samenspraak: wijk {} is served at {local}", folder.file().name);
    if let Some(link) = shared.board.one_time_link(&local) {
        let minutes = crate::board::LINK_LIFE.as_secs() / 60;
        say!("samenspraak: board page {link} (works once, for {minutes} minutes; on this machine {local}/bestuur)");
    }
    if let Some(card) = card {
        say!("samenspraak: join with this card; the next start shows another one when it is used");
        crate::cli::print_card(&card);
    }
    tracing::info!(%address, "serving");

    let router = router(Arc::clone(&shared)).into_make_service_with_connect_info::<SocketAddr>();
    let mut wait = stopping.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        // The sender lives until this function ends.
        let _ = wait.wait_for(|stop| *stop).await;
    });
    let mut serving = tokio::spawn(serving.into_future());
    let releasing = tokio::spawn(release_every(hold, Arc::clone(&shared)));
    tokio::select! {
        () = asked_to_stop => tracing::info!("stopping"),
        () = shared.writer.failed() => tracing::error!("stopping: the store failed"),
        ended = &mut serving => tracing::error!(?ended, "the listener ended"),
    }
    releasing.abort();
    stop.send_replace(true);
    // Connections end by themselves; one that doesn't is cut.
    let _ = tokio::time::timeout(GOODBYE, serving).await;
    shared.board.stop().await;
    let failure = shared.writer.stop().await;
    folder.set_serving(None)?;
    board_store.close()?;
    if let Some(error) = failure {
        return Err(error);
    }
    store.close()?;
    if store.has_erased() {
        wijk::erase_in_root(folder);
    }
    tracing::info!("stopped");
    Ok(())
}

async fn release_every(hold: Duration, shared: Arc<Shared>) {
    // What was held when the server stopped has waited already.
    let mut due = tokio::time::interval(hold.max(Duration::from_millis(100)));
    loop {
        due.tick().await;
        shared.writer.release().await;
    }
}

fn loopback(address: SocketAddr) -> SocketAddr {
    let mut local = address;
    if local.ip().is_unspecified() {
        local.set_ip(if local.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    local
}

/// Waits for Ctrl-C or TERM. Listens from the moment it is called, not only once it is awaited: before that TERM would end
/// the process at once.
fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        // When it can't be listened for, nobody can ask.
        let _ = tokio::signal::ctrl_c().await;
    })
}

fn router(shared: Arc<Shared>) -> Router {
    let board = crate::board::routes(shared.board.clone());
    Router::new()
        .route("/sync", get(sync))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/status", get(status))
        .with_state(shared)
        .merge(board)
}

async fn sync(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    if shared.connections.available_permits() == 0 {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many connections; try again later\n").into_response();
    }
    upgrade.max_message_size(FRAME_BYTES_MAX).max_frame_size(FRAME_BYTES_MAX).on_upgrade(move |socket| async move {
        let Ok(_permit) = shared.connections.try_acquire() else { return };
        shared.connected.fetch_add(1, Ordering::Relaxed);
        connection::run(&shared, socket).await;
        shared.connected.fetch_sub(1, Ordering::Relaxed);
    })
}

/// Counters for the administrator, on this machine only.
async fn status(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if !crate::board::access::is_local(&request.into_parts().0) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let heads: Vec<_> = [SpaceId::Members, SpaceId::Open, SpaceId::Inbox, SpaceId::Board]
        .iter()
        .map(|space| (space.to_string(), shared.reader.head(*space).map(|head| head.next).unwrap_or_default()))
        .collect();
    let body = serde_json::json!({
        "connections": shared.connected.load(Ordering::Relaxed),
        "log_items": heads.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "documents_opened": shared.board.documents_opened().await,
        "flushes": shared.writer.flushes(),
    });
    ([("content-type", "application/json")], format!("{body}\n")).into_response()
}
