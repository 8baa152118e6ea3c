//! Sync: session state machines for both sides of a connection, the frames between them, and pieces of logs.
//!
//! The server speaks first; a phone answers all in one flight; receipts, pieces of the log after the cursor and then live
//! pieces come back. Nothing here opens a socket or a document.

pub mod phone;
pub mod pieces;
pub mod segment;
pub mod server;
pub mod wire;

use crate::entry::{Signature, sign};
use crate::hash::{Hash, tagged};
use crate::model::{DeviceId, SpaceId, WijkId};
use crate::store::log::{Epoch, LogHead};

/// What a server's identity key signs to certify the key of an epoch.
#[must_use]
pub fn epoch_message(wijk: WijkId, epoch: &Epoch, epoch_key: DeviceId) -> Hash {
    tagged("samenspraak/epoch/v1", 3, |w| {
        w.bytes(wijk.as_bytes()).bytes(epoch).bytes(epoch_key.as_bytes());
    })
}

/// What a device signs to prove itself to a server: the server's nonce and its own view of whom it talks to.
#[must_use]
pub fn prove_message(wijk: WijkId, epoch_key: DeviceId, nonce: &[u8; 32]) -> Hash {
    tagged("samenspraak/prove/v1", 3, |w| {
        w.bytes(wijk.as_bytes()).bytes(epoch_key.as_bytes()).bytes(nonce);
    })
}

/// What the key of an epoch signs as the head of a log.
#[must_use]
pub fn head_message(wijk: WijkId, space: SpaceId, epoch: &Epoch, head: &LogHead) -> Hash {
    tagged("samenspraak/log-head/v1", 5, |w| {
        w.bytes(wijk.as_bytes()).bytes(&space.to_bytes()).bytes(epoch).uint(head.next).bytes(&head.hash);
    })
}

/// What the key of an epoch signs as a receipt.
#[must_use]
pub fn receipt_message(wijk: WijkId, receipt: &wire::Receipt) -> Hash {
    tagged("samenspraak/receipt/v1", 6, |w| {
        w.bytes(wijk.as_bytes()).bytes(&receipt.space.to_bytes()).bytes(&receipt.epoch);
        w.array(receipt.lines.len());
        for line in &receipt.lines {
            w.array(4).bytes(line.id.as_bytes()).uint(line.number);
            w.uint(u64::from(line.day)).uint(line.verdict.number());
        }
        w.uint(receipt.head.next).bytes(&receipt.head.hash);
    })
}

/// What the key of an epoch signs when something that was dropped is flushed.
#[must_use]
pub fn dropped_message(wijk: WijkId, epoch: &Epoch, digest: &Hash, day: u32) -> Hash {
    tagged("samenspraak/dropped/v1", 4, |w| {
        w.bytes(wijk.as_bytes()).bytes(epoch).bytes(digest).uint(u64::from(day));
    })
}

/// Who a server is: what a `Hello` says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The server's identity key, named by the root.
    pub identity: DeviceId,
    /// The epoch.
    pub epoch: Epoch,
    /// The key that signs receipts and heads in this epoch.
    pub epoch_key: DeviceId,
    /// The identity's signature over wijk, epoch and key.
    pub signature: Signature,
}

impl ServerCertificate {
    /// As it is kept in stores and sent in a `Hello`: identity, epoch, epoch key, signature.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = crate::cbor::Writer::new();
        w.array(4).bytes(self.identity.as_bytes()).bytes(&self.epoch);
        w.bytes(self.epoch_key.as_bytes()).bytes(&self.signature.0);
        w.finish()
    }

    /// Reads what [`ServerCertificate::encode`] wrote.
    ///
    /// # Errors
    /// When it has another form.
    pub fn decode(bytes: &[u8]) -> Result<Self, crate::cbor::CborError> {
        let mut r = crate::cbor::Reader::new(bytes);
        r.array_of(4)?;
        let (identity, epoch) = (DeviceId::new(r.exact()?), r.exact()?);
        let (epoch_key, signature) = (DeviceId::new(r.exact()?), Signature(r.exact()?));
        r.end()?;
        Ok(Self { identity, epoch, epoch_key, signature })
    }

    /// Whether the identity really certifies this epoch key.
    #[must_use]
    pub fn is_valid(&self, wijk: WijkId) -> bool {
        sign::verify(self.identity, &epoch_message(wijk, &self.epoch, self.epoch_key), &self.signature)
    }
}
