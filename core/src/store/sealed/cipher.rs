//! How one value is sealed: XChaCha20-Poly1305 under a nonce that follows from the row itself.
//!
//! ```text
//! sealed value = nonce 24 | ciphertext, as long as the value | tag 16
//! nonce        = HMAC-SHA-256(nonce key, table 1 | length of key 1 | key | value)[..24]
//! AAD          = table 1 | key
//! ```
//! The core draws no randomness, and a counter would be used twice by a store that was restored from a copy. So the nonce is
//! *synthetic* (as in SIV): a keyed hash of all that is sealed. Two different rows or values get different nonces, but for
//! a chance of one in 2^96 after 2^48 writes; the same value written to the same row again gets the same bytes, and that it
//! was the same is all that somebody without the key learns. Nobody can choose nonces, not even with a broken source
//! of randomness or a copied store. Must never answer other bytes than were sealed under this table and key.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::hash::tagged;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What a seal adds to a value.
pub const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// Seals and opens values under one key.
pub(super) struct Cipher {
    aead: XChaCha20Poly1305,
    nonces: Hmac<Sha256>,
}

impl Cipher {
    /// From a uniformly random key; the keys for sealing and for nonces are derived from it, apart.
    pub fn new(key: &[u8; 32]) -> Self {
        let derive = |tag| {
            Zeroizing::new(tagged(tag, 1, |w| {
                w.bytes(key);
            }))
        };
        let (sealing, nonces) = (derive("samenspraak/seal/key/v1"), derive("samenspraak/seal/nonce/v1"));
        Self {
            aead: XChaCha20Poly1305::new((&*sealing).into()),
            nonces: <Hmac<Sha256> as Mac>::new_from_slice(&*nonces).expect("HMAC takes a key of any length"),
        }
    }

    fn nonce(&self, table: u8, key: &[u8], value: &[u8]) -> XNonce {
        let mut mac = self.nonces.clone();
        // Keys of rows have at most 128 bytes, so their length is one byte.
        mac.update(&[table, u8::try_from(key.len()).unwrap_or(u8::MAX)]);
        mac.update(key);
        mac.update(value);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&mac.finalize().into_bytes()[..NONCE_BYTES]);
        nonce.into()
    }

    /// Seals the value of a row.
    pub fn seal(&self, table: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
        let nonce = self.nonce(table, key, value);
        let mut sealed = Vec::with_capacity(value.len() + SEAL_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);
        let aad = [&[table], key].concat();
        let tag = self.aead.encrypt_inout_detached(&nonce, &aad, (&mut sealed[NONCE_BYTES..]).into());
        // The cipher's limit is 256 GiB; a row's is half a mebibyte.
        sealed.extend_from_slice(&tag.expect("a row is shorter than the cipher's limit"));
        sealed
    }

    /// The value, or `None` when these bytes were not sealed for this row under this key.
    pub fn open(&self, table: u8, key: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let value_end = sealed.len().checked_sub(TAG_BYTES).filter(|end| *end >= NONCE_BYTES)?;
        let tag = Tag::try_from(&sealed[value_end..]).ok()?;
        sealed.truncate(value_end);
        let nonce = XNonce::try_from(&sealed[..NONCE_BYTES]).ok()?;
        let aad = [&[table], key].concat();
        self.aead.decrypt_inout_detached(&nonce, &aad, (&mut sealed[NONCE_BYTES..]).into(), &tag).ok()?;
        sealed.drain(..NONCE_BYTES);
        Some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher() -> Cipher {
        Cipher::new(&[7; 32])
    }

    #[test]
    fn a_value_comes_back_under_its_own_table_and_key_only() {
        for value in [&b""[..], b"x", &[9; 70_000]] {
            let sealed = cipher().seal(1, b"key", value);
            assert_eq!(sealed.len(), value.len() + SEAL_BYTES);
            assert_eq!(cipher().open(1, b"key", sealed.clone()).as_deref(), Some(value));
            assert_eq!(cipher().open(2, b"key", sealed.clone()), None, "another table");
            assert_eq!(cipher().open(1, b"kez", sealed.clone()), None, "another key");
            assert_eq!(cipher().open(1, b"ke", sealed.clone()), None, "a shorter key");
            assert_eq!(Cipher::new(&[8; 32]).open(1, b"key", sealed), None, "another secret");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused_and_never_a_panic() {
        let sealed = cipher().seal(1, b"key", b"a resident's words");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(cipher().open(1, b"key", flipped), None, "bit {bit}");
        }
        for cut in 0..sealed.len() {
            assert_eq!(cipher().open(1, b"key", sealed[..cut].to_vec()), None, "cut {cut}");
        }
    }

    #[test]
    fn other_rows_and_other_values_have_other_nonces_and_the_same_row_the_same_bytes() {
        let nonce = |table, key: &[u8], value: &[u8]| cipher().seal(table, key, value)[..NONCE_BYTES].to_vec();
        let all = [nonce(1, b"ab", b"c"), nonce(1, b"a", b"bc"), nonce(2, b"ab", b"c"), nonce(1, b"ab", b"d")];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
        assert_eq!(cipher().seal(1, b"ab", b"c"), cipher().seal(1, b"ab", b"c"));
        // The keystream must not be shared either: equal plaintexts in other rows have nothing in common.
        assert_ne!(cipher().seal(1, b"a", &[0; 32])[NONCE_BYTES..], cipher().seal(1, b"b", &[0; 32])[NONCE_BYTES..]);
    }
}
