//! Rows of the index, some twenty to a block: what one item of sled holds.
//!
//! sled keeps at most sixteen items to a page and a pointer to every page in memory; with a row an item it took 54 s to fill and
//! 2.6 s to open for six million rows (decision 0012). A block also says how far it reaches: its rows are *all* rows from its
//! own key to the next block's. So "no such row" is as well proven as a row, and a block that sled lost is noticed.
//!
//! ```text
//! item of sled  key: where the block begins | crc 4, length 1 and key of the next block (0: none), rows
//! row           bytes shared with the key before 1 | length of the rest 1 | rest | segment 4, offset 4, length 4, crc 4
//! ```
//! Checksums start from the generation and the block's key. Must never take a block for another one, or panic on any bytes.

use crate::store::disk::frame::{Cursor, Location};

/// A block with more rows than this is split.
pub const ROWS_MAX: usize = 24;
/// So many rows are put into a new block: room for some more before it is split.
pub const ROWS_NEW: usize = 16;
/// Where the first block begins: before every key, for tables have numbers from 1.
pub const FIRST_KEY: &[u8] = &[0];

/// All rows from one key to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Where the next block begins; empty behind the last one.
    pub next: Vec<u8>,
    /// The rows, in order of their keys.
    pub rows: Vec<(Vec<u8>, Location)>,
}

fn checksum(generation: u64, key: &[u8], body: &[u8]) -> u32 {
    let seed = crc32c::crc32c_append(crc32c::crc32c(&generation.to_le_bytes()), key);
    crc32c::crc32c_append(seed, body)
}

impl Block {
    /// Whether a key that is not before the block is in its reach.
    #[must_use]
    pub fn reaches(&self, key: &[u8]) -> bool {
        self.next.is_empty() || key < self.next.as_slice()
    }

    /// Its bytes; `None` when a number does not fit, after sixty petabytes of journal.
    #[must_use]
    pub fn encode(&self, generation: u64, key: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 4];
        bytes.push(u8::try_from(self.next.len()).ok()?);
        bytes.extend_from_slice(&self.next);
        let mut before: &[u8] = &[];
        for (row, at) in &self.rows {
            let shared = before.iter().zip(row).take_while(|(a, b)| a == b).count();
            bytes.push(u8::try_from(shared).ok()?);
            bytes.push(u8::try_from(row.len() - shared).ok()?);
            bytes.extend_from_slice(&row[shared..]);
            bytes.extend_from_slice(&u32::try_from(at.segment).ok()?.to_le_bytes());
            bytes.extend_from_slice(&at.offset.to_le_bytes());
            bytes.extend_from_slice(&at.length.to_le_bytes());
            bytes.extend_from_slice(&at.crc.to_le_bytes());
            before = row;
        }
        let crc = checksum(generation, key, &bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        Some(bytes)
    }

    /// Reads it back; `None` when it isn't the block that begins at `key`, whole and in order.
    #[must_use]
    pub fn decode(generation: u64, key: &[u8], bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let crc = cursor.u32()?;
        if checksum(generation, key, cursor.0) != crc {
            return None;
        }
        let [length] = cursor.take()?;
        let next = cursor.slice(usize::from(length))?.to_vec();
        let mut rows: Vec<(Vec<u8>, Location)> = Vec::with_capacity(ROWS_MAX);
        while !cursor.0.is_empty() {
            let [shared, rest] = cursor.take()?;
            let before: &[u8] = rows.last().map_or(&[], |(row, _)| row);
            let mut row = before.get(..usize::from(shared))?.to_vec();
            row.extend_from_slice(cursor.slice(usize::from(rest))?);
            let segment = u64::from(cursor.u32()?);
            let at = Location { segment, offset: cursor.u32()?, length: cursor.u32()?, crc: cursor.u32()? };
            rows.push((row, at));
        }
        let block = Self { next, rows };
        let ordered = block.rows.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let within = block.rows.first().is_none_or(|(first, _)| key <= first.as_slice())
            && block.rows.last().is_none_or(|(last, _)| block.reaches(last));
        (ordered && within).then_some(block)
    }
}

/// How many rows an index holds, and a sum over all of them that does not depend on their order: equal sums mean equal rows, but
/// for one case in four thousand million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Rows.
    pub rows: u64,
    /// Sum of a hash of each.
    pub sum: u64,
}

impl Content {
    fn hash(key: &[u8], at: &Location) -> u64 {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&at.encode()), key);
        // Spreads the 32 bits over 64, so that a sum of many is as good as one.
        let bits = (u64::from(crc) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (bits ^ (bits >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }

    /// Counts a row in.
    pub fn add(&mut self, key: &[u8], at: &Location) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(Self::hash(key, at));
    }

    /// Counts a row out.
    pub fn take(&mut self, key: &[u8], at: &Location) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(Self::hash(key, at));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_and_no_other_bytes_pass_for_it() {
        let at = |segment| Location { segment, offset: 2, length: 3, crc: 4 };
        let rows = vec![(b"bab".to_vec(), at(1)), (b"babe".to_vec(), at(2)), (b"c".to_vec(), at(3))];
        let block = Block { next: b"d".to_vec(), rows };
        let bytes = block.encode(7, b"b").unwrap();
        assert_eq!(Block::decode(7, b"b", &bytes), Some(block.clone()));
        assert_eq!(Block::decode(8, b"b", &bytes), None, "of another generation");
        assert_eq!(Block::decode(7, b"a", &bytes), None, "of another place");
        for cut in 0..bytes.len() {
            assert_eq!(Block::decode(7, b"b", &bytes[..cut]), None);
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Block::decode(7, b"b", &flipped), None);
        }
        assert!(block.reaches(b"czz") && !block.reaches(b"d"));
    }

    #[test]
    fn content_forgets_what_was_taken_out_in_any_order() {
        let at = Location { segment: 1, offset: 2, length: 3, crc: 4 };
        let mut content = Content::default();
        for key in [b"a", b"b", b"c"] {
            content.add(key, &at);
        }
        let all = content;
        for key in [b"b", b"c", b"a"] {
            content.take(key, &at);
        }
        assert_eq!(content, Content::default());
        for key in [b"c", b"a", b"b"] {
            content.add(key, &at);
        }
        assert_eq!(content, all);
        content.take(b"b", &at);
        content.add(b"b", &Location { crc: 5, ..at });
        assert_ne!(content, all);
    }
}
