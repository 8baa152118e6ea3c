//! `serve`: the running server. It greets phones at once and answers them as soon as they can read; the rest opens `behind`.
//!
//! One writer admits and flushes; each connection reads pieces of the log itself; the board's own device syncs over loopback like
//! any phone. `listen` lets connections in, `guests` and `quota` bound them, `health` says how all of it is. Must never decide what
//! an entry may be: that is the core's.

mod behind;
mod connection;
pub mod feed;
mod guests;
mod health;
pub mod limits;
mod line;
mod listen;
mod metrics;
mod opened;
mod presence;
mod quota;
pub(crate) mod requests;
mod signals;
mod socket;
mod steps;
mod stored;
mod tls;
pub mod writer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use samenspraak_core::model::WijkId;
use samenspraak_core::store::StoreError;
use samenspraak_core::sync::ServerCertificate;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::Instrument;

use crate::board::Board;
use crate::config::Settings;
use crate::epoch::{self, Why};
use crate::error::ProgramError;
use crate::folder::Folder;
use crate::patrol::Patrols;
use crate::segments::{Packer, Segments};
use crate::wijk;
use behind::Behind;
use connection::Visit;
use feed::Feed;
use guests::{Full, Guest, Guests};
use limits::Limits;
use listen::Door;
use metrics::Metrics;
use opened::{Opened, Opening};
use presence::Presence;
use quota::Quotas;
use requests::{Caller, RequestId, no_place};
use signals::Stop;
use steps::Steps;
use tls::Tls;
use writer::Writer;

/// Connections for metrics at their own address: a few programs that look every few seconds.
const METRICS_CONNECTIONS_MAX: usize = 16;
/// How long a stopping server waits for the root's device, should it be open at that moment, with a store of the largest wijk.
const BEHIND_LAST: Duration = Duration::from_secs(60);
/// How long a stopping server waits for the board's device to let go of erased words; the next start does it otherwise.
const BOARD_LAST: Duration = Duration::from_secs(3);

/// What all connections share.
pub struct Shared {
    wijk: WijkId,
    /// Of the epoch that the keys at hand are of; where the store is in another one, what greets is not what serves.
    expected: ServerCertificate,
    opening: Opening,
    folder: PathBuf,
    limits: Limits,
    guests: Arc<Guests>,
    quotas: Arc<Quotas>,
    metrics: Arc<Metrics>,
    presence: Arc<Presence>,
    tls: Option<Arc<Tls>>,
    stopping: watch::Receiver<bool>,
    /// A phone showed that this server's log went back in time.
    showing_older: watch::Sender<bool>,
    board: Board,
}

/// Runs the server of a folder until it is asked to stop (Ctrl-C or TERM). One whose log went back in time begins again in a
/// new epoch.
///
/// # Errors
/// When the folder, its stores, the certificate or an address can't be used.
pub async fn run(mut folder: Folder, settings: Settings, show_card: bool) -> Result<(), ProgramError> {
    while run_once(&mut folder, &settings, show_card).await? == Ended::WentBack {}
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

async fn run_once(folder: &mut Folder, settings: &Settings, show_card: bool) -> Result<Ended, ProgramError> {
    let mut steps = Steps::begin();
    // First the addresses and the certificate: a busy port must not cost the time of opening everything.
    let tls = settings.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
    let listeners = Listeners::bind(settings).await?;
    let mut stop_signal = Stop::listen()
        .map_err(|source| ProgramError::Store(StoreError::Io { place: "signals of the system".into(), source }))?;
    if let Some(public) = &settings.public_address {
        folder.set_address(public)?;
    }
    let folder: &Folder = folder;
    let (stop, stopping) = watch::channel(false);
    let local = format!("http://{}", listeners.local);

    // Then phones are greeted, which takes a key; what they say next waits for the store.
    let is_refilling = epoch::refilling(folder.path())?.is_some();
    let wijk = folder.wijk()?;
    let (failed, mut failures) = mpsc::unbounded_channel();
    let (showing_older, mut shown_older) = watch::channel(false);
    let opening = Opening::default();
    let board = match is_refilling {
        false => Board::start(folder, local.clone(), stopping.clone(), opening.writing(), failed.clone())?,
        true => Board::waiting(stopping.clone()),
    };
    let shared = Arc::new(Shared {
        wijk,
        expected: folder.keys()?.certificate(wijk),
        opening,
        folder: folder.path().to_owned(),
        limits: settings.limits.clone(),
        guests: Arc::new(Guests::new(&settings.limits, settings.proxies.clone())),
        quotas: Arc::new(Quotas::new(settings.limits.clone())),
        metrics: Arc::new(Metrics::default()),
        presence: Arc::default(),
        tls,
        stopping: stopping.clone(),
        showing_older,
        board,
    });
    let address = listeners.address;
    listeners.serve(&shared);
    steps.done("greeting");

    // Then only what phones read. All else is opened behind, beside the first of them.
    let store = Arc::new(tokio::task::block_in_place(|| folder.server_store())?);
    steps.done("store");
    let ready = tokio::task::block_in_place(|| epoch::make_ready(folder, &store))?;
    steps.done("members");
    let shown_card = if show_card { wijk::unused_card(folder, &ready.members)? } else { None };
    let certificate = ready.keys.certificate(wijk);
    let certificate_epoch = certificate.epoch;
    shared.metrics.opened(&store.opened());
    let reader = || ready.keys.reader(wijk, store.rows());
    // What is packed was hardly ever asked for lately, and a whole log would fill the memory that is kept for what is.
    let packed = reader().over(store.uncached());
    let segments = Arc::new(Segments::open(folder.path(), wijk, packed, store.uncached()));
    let packer = Arc::new(Packer::start(Arc::clone(&segments))?);
    let feed = Arc::new(Feed::new(wijk, reader(), ready.keys.signer(wijk), segments));
    let beside = (Arc::clone(&feed), Arc::clone(&packer), Arc::clone(&shared.metrics));
    let writer = Writer::start(ready, folder, Arc::clone(&store), beside)?;
    shared.opening.done(Opened { certificate, feed, writer });
    let opened = shared.opening.wait().await;
    steps.done("reading");
    steps.say("phones are answered");
    folder.set_serving(Some(&local))?;
    signals::ready();
    say!("samenspraak: wijk {} is served at {local}", folder.file().name);
    if let Some(public) = &settings.public_address {
        say!("samenspraak: phones reach it at {public}, listening on {address}");
    }
    let damage = shared.metrics.damage.clone();
    let patrols = Patrols::start(Arc::clone(&store), move || {
        damage.inc();
    })?;
    // Elsewhere than on this machine the link needs the address that is known there.
    let page = settings.public_address.clone().unwrap_or_else(|| local.clone());
    let behind =
        Behind { folder: folder.clone(), shared: Arc::clone(&shared), local, page, show_card, shown_card, failed };
    let behind = tokio::spawn(behind.run());
    tracing::info!(%address, tls = shared.tls.is_some(), "serving");

    let tasks = [
        tokio::spawn(release_every(settings.hold, Arc::clone(&shared))),
        tokio::spawn(signals::reload(shared.tls.clone())),
        tokio::spawn(signals::watchdog(Arc::clone(&shared))),
        tokio::spawn(erase_on_board(Arc::clone(&shared))),
        tokio::spawn(stored::count_again_and_again(store.uncached(), Arc::clone(&shared.metrics))),
    ];
    let (mut ended_by, mut failure) = (Ended::Asked, None);
    tokio::select! {
        () = stop_signal.asked() => tracing::info!("stopping"),
        Ok(()) = async { shown_older.wait_for(|shown| *shown).await.map(drop) } => {
            tracing::error!("this log went back in time: beginning again in a new epoch");
            ended_by = Ended::WentBack;
            epoch::set_refilling(folder.path(), Why::WentBack)?;
            epoch::ask(folder.path(), Why::WentBack)?;
        }
        () = opened.writer.failed() => tracing::error!("stopping: the store failed"),
        Some(error) = failures.recv() => {
            tracing::error!(error = error.line(), "stopping: what is done behind a start failed");
            failure = Some(error);
        }
    }
    if ended_by == Ended::Asked {
        stop_signal.end_at_once_when_asked_again();
        // One that begins again doesn't stop for whoever started it, who would kill it after a while.
        signals::stopping();
    }
    drop(patrols);
    for task in tasks {
        task.abort();
    }
    if store.has_erased() {
        // While it can still be served.
        let _ = tokio::time::timeout(BOARD_LAST, shared.board.catch_up()).await;
    }
    stop.send_replace(true);
    // What was admitted is answered and connections end by themselves; one that doesn't is cut.
    let _ = tokio::time::timeout(shared.limits.stop, shared.guests.empty()).await;
    let _ = tokio::time::timeout(BEHIND_LAST, behind).await;
    shared.board.stop().await;
    // What the writer says is why the others fail.
    failure = opened.writer.stop().await.or(failure);
    tokio::task::block_in_place(|| packer.stop());
    folder.set_serving(None)?;
    if let Some(error) = failure.or_else(|| failures.try_recv().ok()) {
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

/// Where the server listens.
struct Listeners {
    phones: TcpListener,
    /// Where phones connect.
    address: SocketAddr,
    /// Without TLS, for programs on this machine: the board's device, and commands that find it in `serve.json`.
    plain: Option<TcpListener>,
    /// Where programs on this machine connect.
    local: SocketAddr,
    metrics: Option<TcpListener>,
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ProgramError> {
    let error = |reason| ProgramError::Listen { address: address.to_string(), reason };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    Ok((listener, bound))
}

impl Listeners {
    async fn bind(settings: &Settings) -> Result<Self, ProgramError> {
        let (phones, address) = bind(settings.listen).await?;
        let (plain, local) = match settings.tls {
            // The certificate names the public address, which may lead here or not.
            Some(_) => bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.map(|(plain, at)| (Some(plain), at))?,
            None => (None, loopback(address)),
        };
        let metrics = match settings.metrics_listen {
            Some(address) => Some(bind(address).await?.0),
            None => None,
        };
        Ok(Self { phones, address, plain, local, metrics })
    }

    fn serve(self, shared: &Arc<Shared>) {
        let door = Door {
            router: router(Arc::clone(shared)),
            guests: Arc::clone(&shared.guests),
            limits: shared.limits.clone(),
            metrics: Arc::clone(&shared.metrics),
            tls: shared.tls.clone(),
            stopping: shared.stopping.clone(),
        };
        if let Some(plain) = self.plain {
            tokio::spawn(listen::serve(plain, Door { tls: None, ..door.clone() }));
        }
        if let Some(metrics) = self.metrics {
            let limits = Limits { connections: METRICS_CONNECTIONS_MAX, ..shared.limits.clone() };
            let router = health::metrics_routes().with_state(Arc::clone(shared));
            // Places of its own: whoever watches must see that the others are taken.
            let guests = Arc::new(Guests::new(&limits, Vec::new()));
            tokio::spawn(listen::serve(metrics, Door { router, guests, limits, tls: None, ..door.clone() }));
        }
        tokio::spawn(listen::serve(self.phones, door));
    }
}

/// The board's device lets go of erased words as soon as phones do, also while it rests.
async fn erase_on_board(shared: Arc<Shared>) {
    let mut erasures = shared.opening.wait().await.feed.erasures();
    while erasures.changed().await.is_ok() {
        shared.board.catch_up().await;
    }
}

async fn release_every(hold: Duration, shared: Arc<Shared>) {
    // What was held when the server stopped has waited already.
    let mut due = tokio::time::interval(hold.max(Duration::from_millis(100)));
    loop {
        due.tick().await;
        shared.opening.wait().await.writer.release().await;
    }
}

fn loopback(address: SocketAddr) -> SocketAddr {
    let mut local = address;
    if local.ip().is_unspecified() {
        local.set_ip(if local.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    local
}

fn router(shared: Arc<Shared>) -> Router {
    let board = crate::board::routes(shared.board.clone());
    Router::new()
        .route("/sync", get(sync))
        .merge(health::routes())
        .with_state(Arc::clone(&shared))
        .merge(board)
        .layer(from_fn_with_state(shared, requests::pass))
}

async fn sync(
    State(shared): State<Arc<Shared>>,
    Extension(guest): Extension<Arc<Guest>>,
    Extension(caller): Extension<Caller>,
    Extension(id): Extension<RequestId>,
    Extension(peer): Extension<axum::extract::ConnectInfo<SocketAddr>>,
    request: Request,
) -> Response {
    // Behind a proxy this is the first place where it is known who comes.
    let behind_proxy = shared.guests.is_proxy(peer.0.ip());
    let address = if behind_proxy { shared.guests.enter_address(caller.0) } else { Ok(None) };
    let visit = address.and_then(|address| Ok(Visit::new(guest, address, shared.guests.enter_unproven()?)));
    let visit = match visit {
        Ok(visit) => visit,
        Err(full) => return full_house(&shared, full),
    };
    let span = tracing::info_span!("connection", request = %id.0);
    socket::upgrade(request, move |socket| {
        async move { connection::run(&shared, socket, visit).await }.instrument(span)
    })
}

fn full_house(shared: &Shared, full: Full) -> Response {
    shared.metrics.was_full(full.limit());
    no_place(full)
}
