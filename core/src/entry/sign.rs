//! Ed25519 signatures over entry ids.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::cbor::Writer;
use crate::hash::tagged;
use crate::model::{DeviceId, EntryId, SpaceId, WijkId};
use crate::seal::SealSecret;

/// 64 bytes of Ed25519.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// A signing key: of a device, the root, a server or a card.
#[derive(Clone)]
pub struct Key(SigningKey);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key of {:?}", self.id())
    }
}

impl Key {
    /// From 32 secret bytes.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The public half, which is the device's id.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        DeviceId::new(self.0.verifying_key().to_bytes())
    }

    /// 32 secret bytes that follow from this key under a tag: `write` adds exactly `items` items.
    #[must_use]
    pub fn derive(&self, tag: &str, items: usize, write: impl FnOnce(&mut Writer)) -> [u8; 32] {
        let secret = self.0.to_bytes();
        tagged(tag, items + 1, |w| {
            w.bytes(&secret);
            write(w);
        })
    }

    /// The key this device writes with in a space: itself, but in closed spaces one of its own for each, so that nobody
    /// outside can tell by a key who wrote where.
    #[must_use]
    pub fn in_space(&self, wijk: WijkId, space: SpaceId) -> Self {
        if !space.is_closed() {
            return self.clone();
        }
        Self::from_secret(&self.derive("samenspraak/closed-key/v1", 2, |w| {
            w.bytes(wijk.as_bytes()).bytes(&space.to_bytes());
        }))
    }

    /// The X25519 secret that belongs to this key: of a closed space's key, or of a server's epoch.
    #[must_use]
    pub fn seal_secret(&self) -> SealSecret {
        SealSecret::new(self.derive("samenspraak/encryption-key/v1", 0, |_| {}))
    }

    /// Signs a tagged hash.
    #[must_use]
    pub fn sign(&self, message: &[u8; 32]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }

    /// Signs an entry, and with it everything before it in its chain.
    #[must_use]
    pub fn sign_entry(&self, id: EntryId) -> Signature {
        self.sign(&entry_message(id))
    }
}

/// Whether `signature` is the device's over this message. Strict: one signature has one form only.
#[must_use]
pub fn verify(device: DeviceId, message: &[u8; 32], signature: &Signature) -> bool {
    verify_bytes(device, message, signature)
}

/// [`verify`] for a message of any length. Nothing of ours is signed but tagged hashes; this is for known vectors.
#[must_use]
pub fn verify_bytes(device: DeviceId, message: &[u8], signature: &Signature) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    VerifyingKey::from_bytes(device.as_bytes()).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}

/// Whether `signature` is the device's over this entry.
#[must_use]
pub fn verify_entry(device: DeviceId, id: EntryId, signature: &Signature) -> bool {
    verify(device, &entry_message(id), signature)
}

fn entry_message(id: EntryId) -> [u8; 32] {
    tagged("samenspraak/sign/v1", 1, |w| {
        w.bytes(id.as_bytes());
    })
}
