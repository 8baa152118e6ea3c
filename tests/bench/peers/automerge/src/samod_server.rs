//! samod as a sync server: its own file system storage behind an axum WebSocket, wired as its reference server is.
//!
//! usage: `samod-server PORT FOLDER`

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::get;
use samod::storage::TokioFilesystemStorage;
use samod::{Repo, ShareConfig};

/// Largest message: a phone may push a whole document at once.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(port), Some(folder)) = (words.next(), words.next()) else {
        return Err("usage: samod-server PORT FOLDER".into());
    };
    let port: u16 = port.parse()?;
    let repo = Repo::build_tokio()
        .with_peer_id("storage-server-bench".into())
        .with_storage(TokioFilesystemStorage::new(folder))
        // As the reference server: serve what is asked for, announce nothing.
        .with_share_policy(ShareConfig::read_write().with_announce(false))
        .load()
        .await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let acceptor = repo.make_acceptor(format!("ws://127.0.0.1:{port}/").parse()?)?;
    let accept = move |upgrade: WebSocketUpgrade| {
        let acceptor = acceptor.clone();
        async move {
            upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(move |socket| async move {
                // A phone that is gone already needs no answer.
                drop(acceptor.accept_axum(socket, None));
            })
        }
    };
    axum::serve(listener, Router::new().route("/", get(accept))).await?;
    Ok(())
}
