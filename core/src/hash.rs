//! Tagged hashes: every hash is SHA-256 over a CBOR array that begins with its own tag, so that no two uses can be mixed up.

use sha2::{Digest, Sha256};

use crate::cbor::Writer;

/// 32 bytes of SHA-256.
pub type Hash = [u8; 32];

/// SHA-256 over the CBOR array `[tag, items…]`; `write` adds exactly `items` items.
#[must_use]
pub fn tagged(tag: &str, items: usize, write: impl FnOnce(&mut Writer)) -> Hash {
    let mut writer = Writer::new();
    writer.array(items + 1).text(tag);
    write(&mut writer);
    sha256(&writer.finish())
}

/// Plain SHA-256, for building blocks that carry a tag already.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The first 16 bytes of a hash.
#[must_use]
pub fn short(hash: Hash) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&hash[..16]);
    out
}
