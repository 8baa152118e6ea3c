//! A connection without a phone behind it: it proves a device, pushes what that device signed, checks receipts, and can
//! follow a log without keeping it. Where hundreds of phones on one machine would drown the server that is measured.
//!
//! What it gives up: it does not place entries. That everything arrives whole is checked by the real phones beside it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use samenspraak_core::entry::sign::{self, Key};
use samenspraak_core::gate::limits::FRAME_BYTES_MAX;
use samenspraak_core::model::{SpaceId, WijkId};
use samenspraak_core::replica::RunBatch;
use samenspraak_core::store::log::LogHead;
use samenspraak_core::sync::wire::{Frame, Receipt};
use samenspraak_core::sync::{ServerCertificate, prove_message, receipt_message};
use samenspraak_server::client::sync_address;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::problem::Problem;

/// How long a server may be silent where an answer is due.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Longest frame with a signed head of a log: less than half of this.
const HEAD_BYTES_MAX: usize = 512;

/// A WebSocket to a server.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(FRAME_BYTES_MAX)).max_frame_size(Some(FRAME_BYTES_MAX))
}

/// Opens a WebSocket to our server.
///
/// # Errors
/// When nobody answers.
pub async fn connect(address: &str) -> Result<Socket, Problem> {
    let url = sync_address(address)?;
    let connecting = tokio_tungstenite::connect_async_with_config(url, Some(config()), /* no delay */ true);
    let (socket, _) =
        tokio::time::timeout(SILENCE_MAX, connecting).await.map_err(|_| "connecting takes too long")??;
    Ok(socket)
}

/// See the module.
pub struct Lean {
    socket: Socket,
    wijk: WijkId,
    certificate: ServerCertificate,
    /// Bytes of frames sent.
    pub bytes_up: u64,
    /// Bytes of frames received.
    pub bytes_down: u64,
}

impl Lean {
    /// Connects and proves a device.
    ///
    /// # Errors
    /// When nobody answers or something else than a greeting comes.
    pub async fn open(address: &str, key: &Key) -> Result<Self, Problem> {
        Self::prove(connect(address).await?, key).await
    }

    /// The same over a connection that is there already, such as one that takes in little at a time.
    ///
    /// # Errors
    /// As for [`Lean::open`].
    pub async fn over(stream: TcpStream, address: &str, key: &Key) -> Result<Self, Problem> {
        let stream = MaybeTlsStream::Plain(stream);
        let (socket, _) =
            tokio_tungstenite::client_async_with_config(sync_address(address)?, stream, Some(config())).await?;
        Self::prove(socket, key).await
    }

    async fn prove(mut socket: Socket, key: &Key) -> Result<Self, Problem> {
        let hello = receive(&mut socket).await?;
        let (wijk, certificate, nonce) = match Frame::decode(&hello)? {
            Frame::Hello { wijk, certificate, nonce } => (wijk, certificate, nonce),
            other => return Err(format!("no greeting but {other:?}").into()),
        };
        let signature = key.sign(&prove_message(wijk, certificate.epoch_key, &nonce));
        let mut lean = Self { socket, wijk, certificate, bytes_up: 0, bytes_down: hello.len() as u64 };
        lean.send(&Frame::Prove { device: key.id(), signature }).await?;
        Ok(lean)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the line broke.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), Problem> {
        let bytes = frame.encode();
        self.bytes_up += bytes.len() as u64;
        Ok(self.socket.send(Message::Binary(bytes.into())).await?)
    }

    /// The next frame.
    ///
    /// # Errors
    /// When the line broke or stays silent.
    pub async fn next(&mut self) -> Result<Frame, Problem> {
        let bytes = receive(&mut self.socket).await?;
        self.bytes_down += bytes.len() as u64;
        Ok(Frame::decode(&bytes)?)
    }

    /// Reads one frame without looking at it.
    ///
    /// # Errors
    /// When the line broke.
    pub async fn skip(&mut self) -> Result<(), Problem> {
        self.bytes_down += receive(&mut self.socket).await?.len() as u64;
        Ok(())
    }

    /// Asks for a space from a cursor on; from its beginning when none is given.
    ///
    /// # Errors
    /// When the line broke.
    pub async fn follow(&mut self, space: SpaceId, cursor: Option<LogHead>) -> Result<(), Problem> {
        let epoch = self.certificate.epoch;
        let cursor = cursor.unwrap_or_else(|| LogHead::empty(self.wijk, space, &epoch));
        self.send(&Frame::Subscribe { space, epoch, cursor }).await
    }

    /// Pushes runs.
    ///
    /// # Errors
    /// When the line broke.
    pub async fn push(&mut self, push: u64, space: SpaceId, batch: RunBatch) -> Result<(), Problem> {
        self.send(&Frame::Push { push, space, batch }).await
    }

    /// Waits for the receipt of a push, checking the server's signature; news that comes first is left aside.
    ///
    /// # Errors
    /// When the push is refused or the signature is false.
    pub async fn receipt(&mut self) -> Result<Receipt, Problem> {
        loop {
            match self.next().await? {
                Frame::Receipt(receipt) => {
                    self.check(&receipt)?;
                    return Ok(receipt);
                }
                refused @ Frame::Refused { .. } => return Err(format!("refused: {refused:?}").into()),
                Frame::Bye => return Err("the server said goodbye".into()),
                _ => {}
            }
        }
    }

    /// Checks the server's signature under a receipt.
    ///
    /// # Errors
    /// When it is false.
    pub fn check(&self, receipt: &Receipt) -> Result<(), Problem> {
        let message = receipt_message(self.wijk, receipt);
        match sign::verify(self.certificate.epoch_key, &message, &receipt.signature) {
            true => Ok(()),
            false => Err("a receipt with a false signature".into()),
        }
    }

    /// Reads until a space's log has been delivered up to `items`; returns its head. What is too long to say only that is
    /// counted and not looked at.
    ///
    /// # Errors
    /// When the line broke.
    pub async fn until(&mut self, space: SpaceId, items: u64) -> Result<LogHead, Problem> {
        loop {
            let bytes = receive(&mut self.socket).await?;
            self.bytes_down += bytes.len() as u64;
            if bytes.len() <= HEAD_BYTES_MAX
                && let Frame::Current { space: of, head, .. } = Frame::decode(&bytes)?
                && of == space
                && head.next >= items
            {
                return Ok(head);
            }
        }
    }

    /// The line below, for those that stop reading.
    ///
    /// # Errors
    /// When it is of another kind than [`Lean::over`] was given.
    pub fn into_stream(self) -> Result<TcpStream, Problem> {
        match self.socket.into_inner() {
            MaybeTlsStream::Plain(stream) => Ok(stream),
            _ => Err("a line of another kind".into()),
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // The other side may be gone already.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.socket.close(None)).await;
    }
}

async fn receive(socket: &mut Socket) -> Result<Vec<u8>, Problem> {
    loop {
        let message = tokio::time::timeout(SILENCE_MAX, socket.next()).await.map_err(|_| "the server is silent")?;
        match message {
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes.into()),
            Some(Ok(Message::Close(_))) | None => return Err("the server closed the line".into()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
}
