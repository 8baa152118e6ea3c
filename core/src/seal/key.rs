//! Keys that things are sealed to.

use std::fmt;

use zeroize::Zeroize;

use super::hpke;
use crate::hash::tagged;
use crate::model::GenerationId;

/// The private half: 32 bytes of X25519. Wiped from memory when it goes, and never printed.
#[derive(Clone)]
pub struct SealSecret([u8; 32]);

impl SealSecret {
    /// From 32 random bytes, or from where they were kept.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key that follows from a seed, another one for each tag; for keys that must be found again.
    #[must_use]
    pub fn from_seed(tag: &str, seed: &[u8]) -> Self {
        Self(tagged(tag, 1, |w| {
            w.bytes(seed);
        }))
    }

    /// Its bytes, to be kept or wrapped.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half. Costs one multiplication on the curve.
    #[must_use]
    pub fn public(&self) -> SealPublic {
        SealPublic(hpke::public(&self.0))
    }
}

impl fmt::Debug for SealSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealSecret(…)")
    }
}

impl Drop for SealSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The public half: what others seal to. Any 32 bytes are one; whether it is a bad one shows when something is sealed to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealPublic([u8; 32]);

impl SealPublic {
    /// From its bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id of the generation whose key this is.
    #[must_use]
    pub fn generation(&self) -> GenerationId {
        crate::entry::codec::generation_id(&self.0)
    }
}

impl fmt::Debug for SealPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealPublic({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = SealSecret::new([0xab; 32]);
        assert_eq!(format!("{secret:?}"), "SealSecret(…)");
    }

    #[test]
    fn one_seed_gives_another_key_for_each_tag() {
        let key = |tag, seed: &[u8]| SealSecret::from_seed(tag, seed).public();
        assert_eq!(key("a", &[1; 32]), key("a", &[1; 32]));
        assert_ne!(key("a", &[1; 32]), key("b", &[1; 32]));
        assert_ne!(key("a", &[1; 32]), key("a", &[2; 32]));
        assert_ne!(key("a", &[1; 32]).generation(), key("b", &[1; 32]).generation());
    }
}
