//! A second copy of the store's id, beside the journal: without the id no frame can be told from other bytes.
//!
//! Read only when segments are damaged. Must never be trusted over a segment that is whole; losing it costs nothing else.

use std::path::Path;

use super::files::{Files, io_error, read_to};
use super::frame::StoreId;
use crate::store::StoreError;

const FILE: &str = "id";
const BYTES: usize = 20;

/// The id that was noted in `dir`, if one can be read.
pub(super) fn read(files: &dyn Files, dir: &Path) -> Option<StoreId> {
    let file = files.open(&dir.join(FILE), false).ok()?;
    let bytes = read_to(file.as_ref(), BYTES as u64).ok()?;
    let (id, crc) = bytes.split_last_chunk::<4>()?;
    (crc32c::crc32c(id) == u32::from_le_bytes(*crc)).then(|| id.try_into().ok()).flatten()
}

/// Notes the id, unless it is noted already. The folder is flushed by the caller.
///
/// # Errors
/// When the system refuses.
pub(super) fn note(files: &dyn Files, dir: &Path, id: &StoreId) -> Result<(), StoreError> {
    if read(files, dir).as_ref() == Some(id) {
        return Ok(());
    }
    let path = dir.join(FILE);
    let write = || {
        let file = files.create(&path)?;
        file.write_all_at(&[&id[..], &crc32c::crc32c(id).to_le_bytes()].concat(), 0)?;
        file.sync()?;
        files.sync_dir(dir)
    };
    write().map_err(|error| io_error(&path, error))
}
