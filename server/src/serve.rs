//! `serve`: the running server. One writer admits and flushes; each connection reads pieces of the log itself; the board's
//! own device syncs over loopback like any phone.

mod connection;
pub mod feed;
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
use samenspraak_core::sync::server::ServerError;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::board::Board;
use crate::epoch::{self, Why};
use crate::error::ProgramError;
use crate::folder::{Folder, Which};
use crate::segments::{Packer, Segments};
use crate::wijk;
use feed::Feed;
use writer::Writer;

/// Connections at once. A wijk has some thousands of phones, of which a few hundred are awake. A
/// quiet one costs little; one that stops reading in the middle of much news keeps up to a piece, about 0.8 MiB (measured in
/// `server/tests/e2e`, 20 stalled phones: 16 MiB).
const CONNECTIONS_MAX: usize = 4096;
/// How long a stopping server waits for its connections to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// What all connections share.
pub struct Shared {
    wijk: WijkId,
    certificate: ServerCertificate,
    feed: Arc<Feed>,
    writer: Writer,
    connections: Semaphore,
    connected: AtomicU64,
    stopping: watch::Receiver<bool>,
    /// A phone showed that this server's log went back in time.
    showing_older: watch::Sender<bool>,
    board: Board,
}

/// How long sealed input is held before it is appended, unless enough came together earlier: so that who was connected at a
/// moment says little about who wrote what. Long enough for others to come by in a busy hour, short beside the weeks an answer
/// takes.
pub const HOLD: Duration = Duration::from_secs(10 * 60);

/// How a wijk is served.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Print a resident's card.
    pub show_card: bool,
    /// How long sealed input is held.
    pub hold: Duration,
}

/// Runs the server of a folder until it is asked to stop (Ctrl-C or TERM). One whose log went back in time begins again in a
/// new epoch.
///
/// # Errors
/// When the folder, its stores or the address can't be used.
pub async fn run(folder: &Folder, options: Options) -> Result<(), ProgramError> {
    while run_once(folder, options).await? == Ended::WentBack {}
    Ok(())
}

/// Why a server ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It was asked to.
    Asked,
    /// A phone showed that its log went back in time.
    WentBack,
}

async fn run_once(folder: &Folder, options: Options) -> Result<Ended, ProgramError> {
    let Options { listen, show_card, hold } = options;
    let listen_error = |reason| ProgramError::Listen { address: listen.to_string(), reason };
    // First the address: a busy port must not cost the time of opening everything.
    let listener = TcpListener::bind(listen).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    let asked_to_stop = asked_to_stop()
        .map_err(|source| ProgramError::Store(StoreError::Io { place: "signals of the system".into(), source }))?;
    let store = Arc::new(folder.server_store()?);
    let mut server = epoch::open_server(folder, &store)?;
    wijk::deliver_at_start(folder, &mut server)?;
    let local = format!("http://{}", loopback(address));
    let card = if show_card { wijk::shown_card(folder, &mut server, &local)? } else { None };
    epoch::note_heads(folder.path(), store.rows().as_ref(), &server.certificate().epoch)?;
    let is_refilling = epoch::refilling(folder.path())?.is_some();
    let board_store = if is_refilling { None } else { Some(folder.device_store(Which::Board)?) };

    let (stop, stopping) = watch::channel(false);
    let (wijk, certificate) = (folder.wijk()?, server.certificate());
    let certificate_epoch = certificate.epoch;
    let segments = Segments::open(folder.path(), wijk, server.reader(), store.rows()).map_err(ServerError::from)?;
    let segments = Arc::new(segments);
    let packer = Arc::new(Packer::start(Arc::clone(&segments), server.replica().spaces())?);
    let feed = Arc::new(Feed::new(server.reader(), server.signer(), segments));
    let writer = Writer::start(server, folder, Arc::clone(&store), Arc::clone(&feed), Arc::clone(&packer))?;
    let board = match &board_store {
        Some(store) => Board::start(store.rows(), local.clone(), stopping.clone())?,
        None => Board::waiting(stopping.clone()),
    };
    let (showing_older, mut shown_older) = watch::channel(false);
    let shared = Arc::new(Shared {
        wijk,
        certificate,
        feed,
        writer,
        connections: Semaphore::new(CONNECTIONS_MAX),
        connected: AtomicU64::new(0),
        stopping: stopping.clone(),
        showing_older,
        board,
    });
    folder.set_serving(Some(&local))?;
    say!("samenspraak: wijk {} is served at {local}", folder.file().name);
    if let Some(link) = shared.board.one_time_link(&local) {
        let minutes = crate::board::LINK_LIFE.as_secs() / 60;
        say!("samenspraak: board page {link} (works once, for {minutes} minutes; on this machine {local}/bestuur)");
    }
    if is_refilling {
        say!(
            "samenspraak: the board page is closed while phones refill this server, until `samenspraak wijk refilled`"
        );
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
    let mut ended_by = Ended::Asked;
    tokio::select! {
        () = asked_to_stop => tracing::info!("stopping"),
        Ok(()) = async { shown_older.wait_for(|shown| *shown).await.map(drop) } => {
            tracing::error!("this log went back in time: beginning again in a new epoch");
            ended_by = Ended::WentBack;
            epoch::set_refilling(folder.path(), Why::WentBack)?;
            epoch::ask(folder.path(), Why::WentBack)?;
        }
        () = shared.writer.failed() => tracing::error!("stopping: the store failed"),
        ended = &mut serving => tracing::error!(?ended, "the listener ended"),
    }
    releasing.abort();
    stop.send_replace(true);
    // Connections end by themselves; one that doesn't is cut.
    let _ = tokio::time::timeout(GOODBYE, serving).await;
    shared.board.stop().await;
    let failure = shared.writer.stop().await;
    tokio::task::block_in_place(|| packer.stop());
    folder.set_serving(None)?;
    board_store.iter().try_for_each(|store| store.close())?;
    if let Some(error) = failure {
        return Err(error);
    }
    if ended_by == Ended::Asked {
        epoch::note_heads(folder.path(), store.rows().as_ref(), &certificate_epoch)?;
    }
    store.close()?;
    if store.has_erased() {
        wijk::erase_in_root(folder);
    }
    tracing::info!("stopped");
    Ok(ended_by)
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
        .map(|space| (space.to_string(), shared.feed.reader().head(*space).map(|head| head.next).unwrap_or_default()))
        .collect();
    let body = serde_json::json!({
        "connections": shared.connected.load(Ordering::Relaxed),
        "log_items": heads.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "documents_opened": shared.board.documents_opened().await,
        "flushes": shared.writer.flushes(),
    });
    ([("content-type", "application/json")], format!("{body}\n")).into_response()
}
