//! From an address to an open WebSocket, over TLS where the address says so.
//!
//! A certificate must lead to an authority that the system trusts, or to one in a file that was named with [`trust`]: for a
//! wijk that signs its own. There is no way to connect without checking it.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use samenspraak_core::gate::limits::FRAME_BYTES_MAX;
use samenspraak_driver::{Connect, FRAMES_AHEAD, Line, SyncError};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Whom this process trusts; read once, when it is first needed.
static TRUSTED: OnceLock<Arc<ClientConfig>> = OnceLock::new();

/// The WebSocket address of a server's address.
///
/// # Errors
/// When it isn't one.
pub fn sync_address(address: &str) -> Result<String, SyncError> {
    let forms = [("https://", "wss"), ("http://", "ws")];
    let host = |(prefix, scheme)| Some((scheme, address.strip_prefix(prefix)?.trim_end_matches('/')));
    match forms.into_iter().find_map(host) {
        Some((scheme, host)) if !host.is_empty() => Ok(format!("{scheme}://{host}/sync")),
        _ => Err(SyncError::Address { address: address.to_owned() }),
    }
}

fn config(roots: RootCertStore) -> Result<ClientConfig, SyncError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| SyncError::Trust { reason: error.to_string() })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Trusts the authorities of a file, and no others, for the rest of this process. To be called before the first connection.
///
/// # Errors
/// When the file can't be read or holds no certificate.
pub fn trust(file: &Path) -> Result<(), SyncError> {
    let wrong = |what: String| SyncError::Trust { reason: format!("{}: {what}", file.display()) };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in it".into()));
    }
    let config = config(roots)?;
    // The first one stands: connections may have been made with it.
    let _ = TRUSTED.set(Arc::new(config));
    Ok(())
}

fn trusted() -> Result<Arc<ClientConfig>, SyncError> {
    if let Some(config) = TRUSTED.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    // Systems have some that are of no form we know; the others stand.
    let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let reason = "this system trusts no authority; name a file of them with --ca".to_owned();
        return Err(SyncError::Trust { reason });
    }
    let config = config(roots)?;
    Ok(Arc::clone(TRUSTED.get_or_init(|| Arc::new(config))))
}

/// Connects over a WebSocket.
pub(super) struct Sockets;

impl Connect for Sockets {
    fn connect(&self, address: String) -> BoxFuture<'static, Result<Line, SyncError>> {
        Box::pin(async move {
            let socket = open(&address).await?;
            Ok(line(&address, socket))
        })
    }
}

async fn open(address: &str) -> Result<Socket, SyncError> {
    let unreachable = |reason: String| SyncError::Unreachable { address: address.to_owned(), reason };
    let config =
        WebSocketConfig::default().max_message_size(Some(FRAME_BYTES_MAX)).max_frame_size(Some(FRAME_BYTES_MAX));
    let target = sync_address(address)?;
    let connector = match target.starts_with("wss:") {
        true => Connector::Rustls(trusted()?),
        false => Connector::Plain,
    };
    let connecting = tokio_tungstenite::connect_async_tls_with_config(
        target,
        Some(config),
        /* no delay */ true,
        Some(connector),
    );
    match tokio::time::timeout(CONNECT_MAX, connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable("it takes too long".into())),
    }
}

/// The queues of a socket, and the tasks that carry them.
fn line(address: &str, socket: Socket) -> Line {
    let (mut sink, mut stream) = socket.split();
    let (outgoing, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
    let sender = tokio::spawn(async move {
        while let Some(frame) = queue.recv().await {
            if sink.feed(Message::Binary(frame.into())).await.is_err() {
                return;
            }
            while let Ok(frame) = queue.try_recv() {
                if sink.feed(Message::Binary(frame.into())).await.is_err() {
                    return;
                }
            }
            if sink.flush().await.is_err() {
                return;
            }
        }
        // The other side may be gone already.
        let _ = sink.close().await;
    });
    let (incoming, came) = mpsc::channel(FRAMES_AHEAD);
    let receiver = tokio::spawn(async move {
        loop {
            let frame = match stream.next().await {
                Some(Ok(Message::Binary(bytes))) => Ok(bytes.into()),
                Some(Ok(Message::Close(_))) | None => return,
                Some(Ok(_)) => continue,
                Some(Err(error)) => Err(error.to_string()),
            };
            let is_last = frame.is_err();
            if incoming.send(frame).await.is_err() || is_last {
                return;
            }
        }
    });
    Line::new(address, outgoing, came, sender, receiver.abort_handle())
}
