//! How one value is sealed: deterministically, with the table and key of its row, in SIV mode over HMAC-SHA-256 and XChaCha20.
//!
//! ```text
//! sealed value = tag 24 | ciphertext, as long as the value
//! tag          = HMAC-SHA-256(tag key, table 1 | length of key 1 | key | value)[..24]
//! ciphertext   = value xor XChaCha20(sealing key, nonce = tag)
//! ```
//! The core draws no randomness, and a counter would be used twice by a store that was restored from a copy. So the nonce is
//! *synthetic* (SIV: Rogaway and Shrimpton, 2006): a keyed hash of all that is sealed, which serves as the checksum as well; a
//! value is only given out when its hash is its nonce. Two different rows or values get different nonces, but for a chance of
//! one in 2^96 after 2^48 writes; the same value written to the same row again gets the same bytes, and that it was the same is
//! all that somebody without the key learns. Nobody can choose nonces, not even with a broken source of randomness or a copied
//! store. Must never answer other bytes than were sealed under this table and key.
//!
//! Values of before carry a checksum of Poly1305 besides, 16 bytes behind the ciphertext, under keys of their own. They are
//! opened for ever and never written: the second checksum was a third of the time a phone spent on storing a wijk.

use chacha20::XChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::hash::tagged;

const TAG_BYTES: usize = 24;
/// What a seal adds to a value.
pub const SEAL_BYTES: usize = TAG_BYTES;

/// The most that a seal adds to a value, those of before included.
pub const SEAL_BYTES_MAX: usize = TAG_BYTES + BEFORE_TAG_BYTES;

/// What the checksum of a value of before takes beside its nonce.
const BEFORE_TAG_BYTES: usize = 16;

/// Seals and opens values under one key.
pub(super) struct Cipher {
    sealing: Zeroizing<[u8; 32]>,
    tags: Hmac<Sha256>,
    before: XChaCha20Poly1305,
}

impl Cipher {
    /// From a uniformly random key; the keys for sealing, for tags and for values of before are derived from it, apart.
    pub fn new(key: &[u8; 32]) -> Self {
        let derive = |tag| {
            Zeroizing::new(tagged(tag, 1, |w| {
                w.bytes(key);
            }))
        };
        let (sealing, tags) = (derive("samenspraak/seal/key/v2"), derive("samenspraak/seal/tag/v2"));
        let before = derive("samenspraak/seal/key/v1");
        Self {
            sealing,
            tags: <Hmac<Sha256> as KeyInit>::new_from_slice(&*tags).expect("HMAC takes a key of any length"),
            before: XChaCha20Poly1305::new((&*before).into()),
        }
    }

    fn tagging(&self, table: u8, key: &[u8], value: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.tags.clone();
        // Keys of rows have at most 128 bytes, so their length is one byte.
        mac.update(&[table, u8::try_from(key.len()).unwrap_or(u8::MAX)]);
        mac.update(key);
        mac.update(value);
        mac
    }

    fn apply_keystream(&self, tag: &[u8; TAG_BYTES], bytes: &mut [u8]) {
        // The keystream has 256 GiB; a row half a mebibyte.
        XChaCha20::new((&*self.sealing).into(), tag.into()).apply_keystream(bytes);
    }

    /// Seals the value of a row.
    pub fn seal(&self, table: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&self.tagging(table, key, value).finalize().into_bytes()[..TAG_BYTES]);
        let mut sealed = Vec::with_capacity(value.len() + SEAL_BYTES);
        sealed.extend_from_slice(&tag);
        sealed.extend_from_slice(value);
        self.apply_keystream(&tag, &mut sealed[TAG_BYTES..]);
        sealed
    }

    /// The value, or `None` when these bytes were not sealed for this row under this key.
    pub fn open(&self, table: u8, key: &[u8], sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (tag, ciphertext) = sealed.split_first_chunk::<TAG_BYTES>()?;
        let mut value = ciphertext.to_vec();
        self.apply_keystream(tag, &mut value);
        // Compares in a time that says nothing about where the difference is.
        match self.tagging(table, key, &value).verify_truncated_left(tag) {
            Ok(()) => Some(value),
            Err(_) => self.open_before(table, key, sealed),
        }
    }

    fn open_before(&self, table: u8, key: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let value_end = sealed.len().checked_sub(BEFORE_TAG_BYTES).filter(|end| *end >= TAG_BYTES)?;
        let tag = Tag::try_from(&sealed[value_end..]).ok()?;
        sealed.truncate(value_end);
        let nonce = XNonce::try_from(&sealed[..TAG_BYTES]).ok()?;
        let aad = [&[table], key].concat();
        self.before.decrypt_inout_detached(&nonce, &aad, (&mut sealed[TAG_BYTES..]).into(), &tag).ok()?;
        sealed.drain(..TAG_BYTES);
        Some(sealed)
    }

    /// As values were sealed before; the nonce was a keyed hash then too, and any other opens as well.
    #[cfg(test)]
    pub fn seal_before(&self, table: u8, key: &[u8], value: &[u8], nonce: [u8; TAG_BYTES]) -> Vec<u8> {
        let mut sealed = [&nonce, value].concat();
        let aad = [&[table], key].concat();
        let place = (&mut sealed[TAG_BYTES..]).into();
        let tag = self.before.encrypt_inout_detached(&nonce.into(), &aad, place).expect("a short value");
        sealed.extend_from_slice(&tag);
        sealed
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
    fn a_value_of_before_is_opened_in_its_own_row_only_and_changed_ones_never() {
        let sealed = cipher().seal_before(1, b"key", b"words of before", [3; TAG_BYTES]);
        assert_eq!(cipher().open(1, b"key", sealed.clone()).as_deref(), Some(&b"words of before"[..]));
        assert_eq!(cipher().open(1, b"kez", sealed.clone()), None);
        assert_eq!(cipher().open(2, b"key", sealed.clone()), None);
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(cipher().open(1, b"key", flipped), None, "bit {bit}");
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
        let nonce = |table, key: &[u8], value: &[u8]| cipher().seal(table, key, value)[..TAG_BYTES].to_vec();
        let all = [nonce(1, b"ab", b"c"), nonce(1, b"a", b"bc"), nonce(2, b"ab", b"c"), nonce(1, b"ab", b"d")];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
        assert_eq!(cipher().seal(1, b"ab", b"c"), cipher().seal(1, b"ab", b"c"));
        // The keystream must not be shared either: equal plaintexts in other rows have nothing in common.
        assert_ne!(cipher().seal(1, b"a", &[0; 32])[TAG_BYTES..], cipher().seal(1, b"b", &[0; 32])[TAG_BYTES..]);
    }
}
