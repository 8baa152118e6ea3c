//! Randomness from outside: the shell gives 32 random bytes with a command, and everything random in it follows from them.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

/// A stream of random bytes from one seed: the keystream of ChaCha20. Never used for two commands.
pub struct Entropy(ChaCha20);

impl Entropy {
    /// From 32 bytes of the system's randomness.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        // Each seed is used for one stream, so the nonce has nothing to tell apart.
        Self(ChaCha20::new(&seed.into(), &[0; 12].into()))
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        // The keystream has 256 GiB; a command takes some hundred bytes.
        self.0.apply_keystream(&mut bytes);
        bytes
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(…)")
    }
}
