//! The automerge-repo WebSocket protocol: CBOR maps in binary frames.

use std::convert::Infallible;

use minicbor::data::Type;
use minicbor::encode::Error as EncodeError;
use minicbor::{Decoder, Encoder};

use crate::problem::Problem;

/// One message, as far as a phone reads it.
#[derive(Default)]
pub struct Message<'b> {
    /// `sync`, `request`, `peer`, `doc-unavailable`, `error` …
    pub kind: &'b str,
    /// Who sent it.
    pub sender: &'b str,
    /// About which document.
    pub document: &'b str,
    /// A sync message of automerge.
    pub data: &'b [u8],
}

fn encoded(write: impl FnOnce(&mut Encoder<Vec<u8>>) -> Result<(), EncodeError<Infallible>>) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(192));
    // Writing to memory can't fail.
    let _ = write(&mut encoder);
    encoder.into_writer()
}

/// The greeting of a phone that keeps what it has.
pub fn join(me: &str, storage: &str) -> Vec<u8> {
    encoded(|e| {
        e.map(4)?.str("type")?.str("join")?.str("senderId")?.str(me)?;
        e.str("supportedProtocolVersions")?.array(1)?.str("1")?;
        e.str("peerMetadata")?.map(2)?.str("storageId")?.str(storage)?.str("isEphemeral")?.bool(false)?;
        Ok(())
    })
}

/// A sync message about one document.
pub fn sync(kind: &str, document: &str, me: &str, server: &str, data: &[u8]) -> Vec<u8> {
    encoded(|e| {
        e.map(5)?.str("type")?.str(kind)?.str("documentId")?.str(document)?;
        e.str("senderId")?.str(me)?.str("targetId")?.str(server)?.str("data")?.bytes(data)?;
        Ok(())
    })
}

/// Reads a message.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, Problem> {
    let mut decoder = Decoder::new(bytes);
    let fields = decoder.map()?.ok_or("a map without a length")?;
    let mut message = Message::default();
    for _ in 0..fields {
        let key = decoder.str()?;
        let is_text = decoder.datatype()? == Type::String;
        match key {
            "type" if is_text => message.kind = decoder.str()?,
            "senderId" if is_text => message.sender = decoder.str()?,
            "documentId" if is_text => message.document = decoder.str()?,
            "data" => {
                if decoder.datatype()? == Type::Tag {
                    decoder.tag()?;
                }
                message.data = decoder.bytes()?;
            }
            _ => decoder.skip()?,
        }
    }
    Ok(message)
}
