//! Choices that follow from the seed of a replay.

use samenspraak_core::app::entropy::Entropy;

/// A stream of choices. Streams with another name or number are independent of each other, so that what one phone draws
/// never depends on what others did before.
pub struct Seeded(Entropy);

impl Seeded {
    /// The stream `name` number `number` of a seed.
    pub fn new(seed: u64, name: &str, number: usize) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        bytes[8..16].copy_from_slice(&(number as u64).to_be_bytes());
        for (slot, byte) in bytes[16..].iter_mut().zip(name.bytes()) {
            *slot = byte;
        }
        Self(Entropy::new(bytes))
    }

    /// Fresh bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        self.0.bytes()
    }

    /// A number below `end`, which must not be 0. The bias is far below what a replay could notice.
    pub fn below(&mut self, end: u64) -> u64 {
        u64::from_be_bytes(self.0.bytes()) % end.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// `count` different numbers below `end`, in order.
    pub fn pick(&mut self, count: usize, end: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..end).collect();
        for at in 0..count.min(end) {
            let other = at + self.below((end - at) as u64) as usize;
            all.swap(at, other);
        }
        all.truncate(count);
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_choices_and_names_differ() {
        let draw = |seed, name, number| Seeded::new(seed, name, number).bytes();
        assert_eq!(draw(1, "phone", 2), draw(1, "phone", 2));
        assert!(draw(1, "phone", 2) != draw(1, "phone", 3) && draw(1, "phone", 2) != draw(1, "kills", 2));
        let picked = Seeded::new(7, "disk", 0).pick(5, 9);
        assert!(picked.len() == 5 && picked.windows(2).all(|pair| pair[0] < pair[1]) && picked[4] < 9);
    }
}
