//! Reading a row where the index says that it stands, believing nothing: neither the place nor the bytes there.

use std::io::ErrorKind;
use std::path::Path;

use super::files::io_error;
use super::frame::{Location, OP_BYTES_MAX, StoreId, decode_op, index_key};
use super::replay::{Segments, segment_name};
use crate::store::{StoreError, Table};

/// Why a value could not be read at a place.
pub(super) enum ReadFault {
    /// What stands there is not the row asked for.
    Wrong(String),
    /// The system refused.
    Error(StoreError),
}

/// Reads the value of one row at its place and checks that it is that row's.
pub(super) fn read_row(
    store_id: &StoreId,
    segments: &Segments,
    at: Location,
    table: Table,
    key: &[u8],
) -> Result<Vec<u8>, ReadFault> {
    let name = segment_name(at.segment);
    let wrong = |what: &str| ReadFault::Wrong(format!("{name} at byte {}: {what}", at.offset));
    let file = segments.get(&at.segment).ok_or_else(|| wrong("no such segment"))?;
    // A wild length from the index must not ask for all memory.
    if at.length as usize > OP_BYTES_MAX {
        return Err(wrong("row has a wild length"));
    }
    let mut bytes = vec![0; at.length as usize];
    match file.read_exact_at(&mut bytes, u64::from(at.offset)) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(wrong("the segment ends before")),
        Err(error) => return Err(ReadFault::Error(io_error(Path::new(&name), error))),
        Ok(()) => {}
    }
    let op = decode_op(store_id, &bytes).map_err(wrong)?;
    if op.crc != at.crc || op.bytes.len() != bytes.len() {
        return Err(wrong("another row than the index says"));
    }
    if op.table != table || op.key != key {
        return Err(wrong("a row of another key"));
    }
    let value = op.value.ok_or_else(|| wrong("a deletion where a value should be"))?;
    let start = bytes.len() - value.len();
    bytes.drain(..start);
    Ok(bytes)
}

/// The bounds of a scan as keys of the index; `None` when nothing can be in it.
pub(super) fn bounds(table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    if limit == 0 || to.is_some_and(|to| to <= from) {
        return None;
    }
    let end = to.map_or_else(|| vec![table as u8 + 1], |to| index_key(table, to));
    Some((index_key(table, from), end))
}
