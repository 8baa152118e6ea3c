//! The WebSocket of a connection, with buffers that stay small.
//!
//! The library copies a frame whole before it sends it and keeps a buffer of that length for as long as the connection lives: a
//! phone that caught up once would cost its largest piece for ever, and one that reads slowly twice that. So a long message goes
//! in parts of [`PART_BYTES`], which share the bytes that all connections send; the other side puts them together as the
//! protocol says. Buffers for reading are small too: the library would take 128 KiB for each of thousands of quiet phones.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use hyper::StatusCode;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use samenspraak_core::gate::limits::FRAME_BYTES_MAX;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
pub(super) use tokio_tungstenite::tungstenite::{Error, Message};

/// Bytes of a part: a slow reader costs two of them. Sixteen system calls for the largest frame are still few.
const PART_BYTES: usize = 64 * 1024;
/// Buffer for reading: what phones send is mostly shorter.
const READ_BYTES: usize = 4 * 1024;

/// See the module.
pub(super) struct Socket(WebSocketStream<TokioIo<Upgraded>>);

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX))
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(PART_BYTES)
}

/// Answers a request for a WebSocket; when the line has become one, `then` gets it.
pub(super) fn upgrade<F>(request: Request, then: impl FnOnce(Socket) -> F + Send + 'static) -> Response
where
    F: Future<Output = ()> + Send,
{
    let (mut parts, _) = request.into_parts();
    let line = parts.extensions.remove::<OnUpgrade>();
    let (Some(line), Ok(answer)) = (line, create_response(&hyper::Request::from_parts(parts, ()))) else {
        return (StatusCode::BAD_REQUEST, "this address is for phones: it wants a WebSocket\n").into_response();
    };
    tokio::spawn(async move {
        match line.await {
            Ok(line) => {
                let stream = WebSocketStream::from_raw_socket(TokioIo::new(line), Role::Server, Some(config()));
                then(Socket(stream.await)).await;
            }
            Err(error) => tracing::debug!(%error, "a line did not become a WebSocket"),
        }
    });
    answer.map(|()| Body::empty())
}

impl Socket {
    /// The next message; `None` when the line has ended.
    pub(super) async fn recv(&mut self) -> Option<Result<Message, Error>> {
        self.0.next().await
    }

    /// Sends a message, in parts if it is long, and waits until all of it is on the line.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Binary(bytes) if bytes.len() > PART_BYTES => self.send_in_parts(bytes).await,
            message => self.0.send(message).await,
        }
    }

    async fn send_in_parts(&mut self, mut left: Bytes) -> Result<(), Error> {
        let mut kind = OpCode::Data(Data::Binary);
        while !left.is_empty() {
            let part = left.split_to(left.len().min(PART_BYTES));
            let frame = Frame::message(part, kind, left.is_empty());
            self.0.feed(Message::Frame(frame)).await?;
            kind = OpCode::Data(Data::Continue);
        }
        self.0.flush().await
    }

    /// Says why the connection ends.
    pub(super) async fn close(&mut self, reason: &'static str) -> Result<(), Error> {
        let frame = CloseFrame { code: CloseCode::Normal, reason: reason.into() };
        self.0.send(Message::Close(Some(frame))).await
    }
}
