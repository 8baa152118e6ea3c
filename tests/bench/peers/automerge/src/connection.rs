//! One connection of a phone, and a listener that follows a document without holding it.

use automerge::sync::{ChunkList, Have, Message};
use automerge::{Change, ChangeHash};
use futures_util::stream::SplitStream;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::problem::Problem;
use crate::wire;

/// See the module.
pub struct Connection {
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    incoming: SplitStream<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    /// The server's name.
    pub server: String,
    /// Bytes of payload sent.
    pub bytes_up: u64,
    /// Bytes of payload received.
    pub bytes_down: u64,
}

impl Connection {
    /// Connects and greets.
    pub async fn open(url: &str, me: &str, storage: &str) -> Result<Self, Problem> {
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = connect_async_with_config(url, Some(config), /* no delay */ true).await?;
        let (mut sink, incoming) = socket.split();
        let (outgoing, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
        tokio::spawn(async move {
            while let Some(message) = queue.recv().await {
                if sink.feed(Frame::Binary(message.into())).await.is_err() {
                    return;
                }
                while let Ok(message) = queue.try_recv() {
                    if sink.feed(Frame::Binary(message.into())).await.is_err() {
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
        let mut line = Self { outgoing, incoming, server: String::new(), bytes_up: 0, bytes_down: 0 };
        line.send(wire::join(me, storage));
        let bytes = line.receive().await?;
        let greeting = wire::decode(&bytes)?;
        if greeting.kind != "peer" {
            return Err(format!("expected a greeting, got {}", greeting.kind).into());
        }
        line.server = greeting.sender.to_owned();
        Ok(line)
    }

    /// Sends a message.
    pub fn send(&mut self, message: Vec<u8>) {
        self.bytes_up += message.len() as u64;
        // When the line broke, receiving says so.
        let _ = self.outgoing.send(message);
    }

    /// The next message.
    pub async fn receive(&mut self) -> Result<Vec<u8>, Problem> {
        loop {
            match self.incoming.next().await.ok_or("the server closed the line")?? {
                Frame::Binary(bytes) => {
                    self.bytes_down += bytes.len() as u64;
                    return Ok(bytes.into());
                }
                Frame::Close(_) => return Err("the server closed the line".into()),
                _ => {}
            }
        }
    }
}

/// A listener that follows one document without holding it: it reads the change hashes out of each sync message and
/// acknowledges the heads they imply, so that forty of them on one machine don't drown the server that is measured.
pub struct Ear {
    /// The document.
    pub document: String,
    /// Its heads, as far as was heard.
    pub heads: Vec<ChangeHash>,
}

/// Length of the first chunk: magic 4, checksum 4, type 1, length in LEB128, body. The JavaScript server puts several changes
/// end to end in one entry, samod one in each.
fn chunk_len(bytes: &[u8]) -> Result<usize, Problem> {
    let (mut at, mut shift, mut body) = (9, 0, 0_usize);
    loop {
        let byte = *bytes.get(at).ok_or("a chunk that is cut off")?;
        at += 1;
        body |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    if at + body > bytes.len() { Err("a chunk that is cut off".into()) } else { Ok(at + body) }
}

impl Ear {
    /// Takes a message; says which changes it brought.
    pub fn hear(&mut self, bytes: &[u8], line: &mut Connection, me: &str) -> Result<Vec<ChangeHash>, Problem> {
        let message = wire::decode(bytes)?;
        if message.kind != "sync" || message.document != self.document {
            return Ok(Vec::new());
        }
        let sync = Message::decode(message.data)?;
        let mut seen = Vec::new();
        for mut rest in sync.changes.iter() {
            while !rest.is_empty() {
                let length = chunk_len(rest)?;
                let change = Change::from_bytes(rest[..length].to_vec())?;
                rest = &rest[length..];
                self.heads.retain(|head| !change.deps().contains(head));
                self.heads.push(change.hash());
                seen.push(change.hash());
            }
        }
        if !seen.is_empty() {
            self.heads.sort();
            let have = Have { last_sync: self.heads.clone(), ..Default::default() };
            let reply = Message {
                heads: self.heads.clone(),
                need: Vec::new(),
                have: vec![have],
                changes: ChunkList::empty(),
                flags: sync.flags,
                version: sync.version,
            };
            line.send(wire::sync("sync", &self.document, me, &line.server, &reply.encode()));
        }
        Ok(seen)
    }
}
