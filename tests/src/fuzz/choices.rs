//! Bytes read as a stream of choices, for functions that build something honest and then change it.
//!
//! When the bytes are used up every choice is the first one, and the first choice is always the honest one: an empty input
//! is an honest run, and a shorter input is a simpler one.

use arbitrary::Unstructured;

/// Lengths and numbers at which readers go wrong.
const ODD: [u64; 14] = [0, 1, 2, 15, 16, 17, 23, 24, 32, 255, 256, 65_535, u32::MAX as u64, u64::MAX];

/// See the module.
pub struct Choices<'b>(Unstructured<'b>);

impl<'b> Choices<'b> {
    pub fn new(input: &'b [u8]) -> Self {
        Self(Unstructured::new(input))
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end.saturating_sub(1)).unwrap_or(0)
    }

    /// One of `all`, which must not be empty.
    pub fn one<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// True once in about `times`, and never when the bytes are used up.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    pub fn byte(&mut self) -> u8 {
        self.0.int_in_range(0..=u8::MAX).unwrap_or(0)
    }

    /// Any number, mostly one at which something happens.
    pub fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => *self.one(&ODD),
            1 => self.one(&ODD).wrapping_add(self.byte().into()),
            2 => self.byte().into(),
            _ => self.0.int_in_range(0..=u64::MAX).unwrap_or(0),
        }
    }

    /// As many bytes as `N`: often equal ones, which is enough to be another value.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let byte = self.byte();
        if self.once_in(2) { std::array::from_fn(|_| self.byte()) } else { [byte; N] }
    }

    /// At most `max` bytes.
    pub fn bytes(&mut self, max: usize) -> Vec<u8> {
        let len = self.below(max.min(self.0.len()) + 1);
        self.0.bytes(len).map(<[u8]>::to_vec).unwrap_or_default()
    }

    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// One number of a list, changed.
    pub fn edit_numbers(&mut self, numbers: &mut [u32]) {
        let at = self.below(numbers.len());
        if let Some(number) = numbers.get_mut(at) {
            *number = self.byte().into();
        }
    }

    /// One small edit: a byte changed, put in, taken out, moved or repeated.
    pub fn edit(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let Some(byte) = bytes.get(at).copied() else {
            bytes.push(self.byte());
            return;
        };
        match self.below(8) {
            0 => bytes[at] = byte ^ (1 << self.below(8)),
            1 => bytes[at] = byte.wrapping_add(1),
            2 => bytes[at] = byte.wrapping_sub(1),
            3 => bytes[at] = self.byte(),
            4 => bytes.insert(at, self.byte()),
            5 => drop(bytes.remove(at)),
            6 => {
                let byte = bytes.remove(at);
                bytes.insert(self.below(bytes.len() + 1), byte);
            }
            _ => {
                let end = (at + 1 + self.below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
        }
    }
}
