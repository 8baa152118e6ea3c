//! A small file that says: this store was closed cleanly, its journal ended here, and this index fits it.
//!
//! It is there only between a clean close and the next opening for writing. Must never outlive the first change after it: it is
//! removed, durably, before that. Whatever is wrong with it only costs a rebuild of the index.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::files::{Files, io_error, read_whole};
use super::frame::{Cursor, StoreId};
use super::index::Content;
use crate::store::StoreError;

const MAGIC: [u8; 8] = *b"smnsprkM";
/// Version of this format together with that of the index and sled's (0.34); a change of either makes a new number.
const VERSION: u32 = 2;
/// More would be no manifest of ours: the list of a million segments.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What stood when the store was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The store.
    pub store_id: StoreId,
    /// The generation of the index that fits the journal.
    pub generation: u64,
    /// What that index holds.
    pub content: Content,
    /// Number of the next frame.
    pub next_frame: u64,
    /// Number and length of every segment, in order.
    pub segments: Vec<(u64, u64)>,
}

/// What was found in place of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// None: the store is new or was not closed.
    Nothing,
    /// One that cannot be used.
    Unreadable,
    /// One of another version.
    OtherVersion,
    /// One.
    Manifest(Manifest),
}

fn path(dir: &Path) -> PathBuf {
    dir.join("manifest")
}

impl Manifest {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.store_id);
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.content.rows.to_le_bytes());
        bytes.extend_from_slice(&self.content.sum.to_le_bytes());
        bytes.extend_from_slice(&self.next_frame.to_le_bytes());
        for (number, length) in &self.segments {
            bytes.extend_from_slice(&number.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Found> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut cursor = Cursor(body);
        if cursor.take()? != MAGIC {
            return None;
        }
        if cursor.u32()? != VERSION {
            return Some(Found::OtherVersion);
        }
        let mut manifest = Self {
            store_id: cursor.take()?,
            generation: cursor.u64()?,
            content: Content { rows: cursor.u64()?, sum: cursor.u64()? },
            next_frame: cursor.u64()?,
            segments: Vec::new(),
        };
        while !cursor.0.is_empty() {
            manifest.segments.push((cursor.u64()?, cursor.u64()?));
        }
        Some(Found::Manifest(manifest))
    }

    /// Reads the manifest in `dir`.
    ///
    /// # Errors
    /// When the system refuses; bytes that do not fit are no error.
    pub fn read(files: &dyn Files, dir: &Path) -> Result<Found, StoreError> {
        let path = path(dir);
        let file = match files.open(&path, false) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            file => file.map_err(|error| io_error(&path, error))?,
        };
        if file.size().map_err(|error| io_error(&path, error))? > FILE_BYTES_MAX {
            return Ok(Found::Unreadable);
        }
        let bytes = read_whole(file.as_ref()).map_err(|error| io_error(&path, error))?;
        Ok(Self::decode(&bytes).unwrap_or(Found::Unreadable))
    }

    /// Writes it, durably.
    ///
    /// # Errors
    /// When the system refuses; the next opening then builds the index anew.
    pub fn write(&self, files: &dyn Files, dir: &Path) -> Result<(), StoreError> {
        let path = path(dir);
        let fresh = dir.join("manifest.tmp");
        let write = || {
            let file = files.create(&fresh)?;
            file.write_all_at(&self.encode(), 0)?;
            file.sync()?;
            files.rename(&fresh, &path)?;
            files.sync_dir(dir)
        };
        write().map_err(|error| io_error(&path, error))
    }

    /// Removes it, durably.
    ///
    /// # Errors
    /// When the system refuses: nothing may then be changed in the store.
    pub fn remove(files: &dyn Files, dir: &Path) -> Result<(), StoreError> {
        let path = path(dir);
        let removed = match files.remove(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        };
        // Even when it was not there: a process that was killed here may have removed it without flushing that.
        removed.and_then(|()| files.sync_dir(dir)).map_err(|error| io_error(&path, error))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_comes_back_and_no_other_bytes_pass_for_one() {
        let manifest = Manifest {
            store_id: [1; 16],
            generation: 2,
            content: Content { rows: 3, sum: 5 },
            next_frame: 4,
            segments: vec![(1, 48), (2, 99)],
        };
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Some(Found::Manifest(manifest)));
        for cut in 0..bytes.len() {
            assert_eq!(Manifest::decode(&bytes[..cut]), None);
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Manifest::decode(&flipped), None);
        }
    }
}
