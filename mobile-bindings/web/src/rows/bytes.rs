//! Batches as bytes: what one record of the journal holds.
//!
//! ```text
//! batch = version 1 | step...
//! step  = length of key 1 | key, its first byte the table | length of value 4, little-endian; all ones: forget | value
//! ```
//! Must never read what it would not have written, and never panic: a seal stands around these bytes, but a bug of ours may have
//! sealed nonsense.

use samenspraak_core::store::{Batch, Op, Table};

/// Version of what is written.
const VERSION: u8 = 1;
/// Stands for a length where a row is forgotten; no value is that long.
const FORGOTTEN: u32 = u32::MAX;

/// Appends one row; without a value it is forgotten.
pub fn put_row(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    // Keys of rows have at most 128 bytes and values half a mebibyte; the store has checked it.
    out.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(key);
    let length = value.map_or(FORGOTTEN, |value| u32::try_from(value.len()).unwrap_or(FORGOTTEN));
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(value.unwrap_or_default());
}

/// A row as it stands in bytes, and how many bytes it takes.
pub struct Found<'b> {
    pub key: &'b [u8],
    pub value: Option<&'b [u8]>,
    pub length: usize,
}

/// Reads the row at the beginning of `bytes`.
pub fn row(bytes: &[u8]) -> Option<Found<'_>> {
    let (key_length, rest) = bytes.split_first()?;
    let (key, rest) = rest.split_at_checked(usize::from(*key_length))?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    let value = match length {
        FORGOTTEN => None,
        length => Some(rest.get(..length as usize)?),
    };
    let length = 5 + key.len() + value.map_or(0, <[u8]>::len);
    Some(Found { key, value, length })
}

/// A batch as bytes.
#[must_use]
pub fn encode_batch(batch: &Batch) -> Vec<u8> {
    let mut out = vec![VERSION];
    for op in batch.ops() {
        match op {
            Op::Put { table, key, value } => put_row(&mut out, &super::full_key(*table, key), Some(value)),
            Op::Delete { table, key } => put_row(&mut out, &super::full_key(*table, key), None),
        }
    }
    out
}

/// The batch of some bytes.
///
/// # Errors
/// What is wrong with them.
pub fn decode_batch(bytes: &[u8]) -> Result<Batch, &'static str> {
    let Some((&VERSION, mut rest)) = bytes.split_first() else { return Err("another version") };
    let mut batch = Batch::new();
    while !rest.is_empty() {
        let found = row(rest).ok_or("a row is cut off")?;
        let (table, key) = found.key.split_first().ok_or("a row without a key")?;
        let table = Table::from_number(*table).ok_or("a row of a table that isn't known")?;
        match found.value {
            Some(value) => batch.put(table, key, value),
            None => batch.delete(table, key),
        }
        rest = &rest[found.length..];
    }
    Ok(batch)
}
