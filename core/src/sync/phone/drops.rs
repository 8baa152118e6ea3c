//! Envelopes on one connection: which were sent, and what the server's word on each is worth.

use super::SessionError;
use crate::entry::{Signature, sign};
use crate::hash::Hash;
use crate::model::WijkId;
use crate::ordered::Map;
use crate::sync::wire::{Frame, RefusalCode};
use crate::sync::{ServerCertificate, dropped_message};

/// See the module.
#[derive(Debug, Default)]
pub struct Drops {
    next: u64,
    in_flight: Map<u64, Hash>,
    sent: Map<Hash, Option<RefusalCode>>,
}

impl Drops {
    /// Whether every envelope was answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether something was sent on this connection.
    #[must_use]
    pub fn was_sent(&self, digest: &Hash) -> bool {
        self.sent.contains_key(digest)
    }

    /// Why the server refused something on this connection, if it did.
    #[must_use]
    pub fn refusal(&self, digest: &Hash) -> Option<RefusalCode> {
        self.sent.get(digest).copied().flatten()
    }

    /// The frame that brings an envelope.
    pub fn send(&mut self, digest: Hash, envelope: Vec<u8>) -> Frame {
        let drop = self.next;
        self.next += 1;
        self.in_flight.insert(drop, digest);
        self.sent.insert(digest, None);
        Frame::Drop { drop, envelope }
    }

    /// Checks the server's word that something is flushed; returns what.
    ///
    /// # Errors
    /// When nothing like it was sent, or the signature is not the epoch's.
    pub fn dropped(
        &mut self,
        wijk: WijkId,
        certificate: &ServerCertificate,
        (drop, digest, day): (u64, Hash, u32),
        signature: &Signature,
    ) -> Result<Hash, SessionError> {
        if self.in_flight.remove(&drop) != Some(digest) {
            return Err(SessionError::LogDiffers);
        }
        let message = dropped_message(wijk, &certificate.epoch, &digest, day);
        if !sign::verify(certificate.epoch_key, &message, signature) {
            return Err(SessionError::FalseSignature);
        }
        Ok(digest)
    }

    /// The server doesn't take something.
    ///
    /// # Errors
    /// When nothing like it was sent.
    pub fn refused(&mut self, drop: u64, code: RefusalCode) -> Result<(), SessionError> {
        let digest = self.in_flight.remove(&drop).ok_or(SessionError::LogDiffers)?;
        self.sent.insert(digest, Some(code));
        Ok(())
    }
}
