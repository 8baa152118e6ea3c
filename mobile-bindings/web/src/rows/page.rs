//! A page: some rows in order, in one piece of bytes, found by halving.
//!
//! ```text
//! page = version 1 | row... | where each row begins, 4 each, little-endian | number of rows 4
//! ```
//! Rows have the form of `bytes`, none of them forgotten. A page is never changed: folding writes another one.

use super::bytes::{put_row, row};

/// Version of what is written.
const VERSION: u8 = 1;

/// See the module.
#[derive(Debug)]
pub struct Page {
    bytes: Vec<u8>,
    /// Where the list of beginnings begins.
    index: usize,
    rows: usize,
}

impl Page {
    /// Takes the bytes of a page.
    ///
    /// # Errors
    /// When they are none: a row is cut off, rows are out of order, or there are none at all.
    pub fn open(bytes: Vec<u8>) -> Result<Self, &'static str> {
        let (rest, rows) = bytes.split_last_chunk::<4>().ok_or("it is empty")?;
        let rows = u32::from_le_bytes(*rows) as usize;
        let index =
            rows.checked_mul(4).and_then(|length| rest.len().checked_sub(length)).ok_or("its index is cut off")?;
        if rest.first() != Some(&VERSION) || index == 0 {
            return Err("another version");
        }
        let page = Self { bytes, index, rows };
        let (mut at, mut before): (usize, &[u8]) = (1, &[]);
        for number in 0..rows {
            let found = page.bytes.get(at..index).and_then(row).ok_or("a row is cut off")?;
            if page.begins(number) != at || found.value.is_none() || found.key <= before {
                return Err("its rows are out of order");
            }
            before = found.key;
            at += found.length;
        }
        if rows == 0 || at != index {
            return Err("bytes behind its rows");
        }
        Ok(page)
    }

    fn begins(&self, number: usize) -> usize {
        let at = self.index + 4 * number;
        let bytes = self.bytes.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
        bytes.map_or(usize::MAX, |bytes| u32::from_le_bytes(*bytes) as usize)
    }

    /// The row with this number: key and value.
    fn row(&self, number: usize) -> (&[u8], &[u8]) {
        let found = self.bytes.get(self.begins(number)..).and_then(row);
        // Every row was read when the page was opened.
        found.map_or((&[], &[]), |found| (found.key, found.value.unwrap_or_default()))
    }

    /// How many rows have a key before this one.
    fn before(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low.midpoint(high);
            match self.row(middle).0 < key {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// Key of the first row.
    #[must_use]
    pub fn first(&self) -> &[u8] {
        self.row(0).0
    }

    /// Key of the last row.
    #[must_use]
    pub fn last(&self) -> &[u8] {
        self.row(self.rows - 1).0
    }

    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let number = self.before(key);
        if number == self.rows {
            return None;
        }
        let (found, value) = self.row(number);
        (found == key).then_some(value)
    }

    /// Its rows from a key on.
    pub fn from(&self, key: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        (self.before(key)..self.rows).map(|number| self.row(number))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Rows that become a page; they come in order.
#[derive(Debug)]
pub struct Packing {
    bytes: Vec<u8>,
    begins: Vec<u32>,
}

impl Packing {
    pub fn new() -> Self {
        Self { bytes: vec![VERSION], begins: Vec::new() }
    }

    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        // A page is some hundred kilobytes.
        self.begins.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        put_row(&mut self.bytes, key, Some(value));
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len() + 4 * self.begins.len()
    }

    pub fn is_empty(&self) -> bool {
        self.begins.is_empty()
    }

    pub fn finish(mut self) -> Vec<u8> {
        for at in &self.begins {
            self.bytes.extend_from_slice(&at.to_le_bytes());
        }
        let rows = u32::try_from(self.begins.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&rows.to_le_bytes());
        self.bytes
    }
}
