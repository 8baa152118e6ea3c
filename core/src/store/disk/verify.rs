//! Reading a whole store to say what is wrong with it.
//!
//! Must never change a byte, also not a torn tail, and never stop at the first damage: a person who has to decide needs all of it.
//! sled is not looked at; it is not the truth.

use std::collections::BTreeMap;
use std::path::Path;

use super::files::{Files, LockGuard, LockMode};
use super::frame::{Location, StoreId};
use super::manifest::{Found, Manifest};
use super::open::{closed_at, journal_dir, lock};
use super::replay::{Live, Reading, Segments, Tail, open_segments, replay};
use super::{ReadFault, bounds, index_key, read_row};
use crate::store::{Batch, Row, Store, StoreError, Table};

/// What a whole reading found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Segments of the journal.
    pub segments: u64,
    /// Frames, counted by their numbers; those under damage are among them.
    pub frames: u64,
    /// Rows that live.
    pub live_rows: u64,
    /// Deleted or replaced values that a scrub would remove.
    pub dead_values: u64,
    /// Bytes at the end that the next opening for writing cuts, because their commits never returned.
    pub torn_bytes: u64,
    /// Whether the store was closed cleanly.
    pub closed_cleanly: bool,
    /// All that is not what was written, in order of place.
    pub damage: Vec<Damage>,
}

pub use super::replay::Damage;

/// A store opened for reading only, with what could be read of it. Where damage was found its rows may be older than
/// what was last written.
#[derive(Debug)]
pub struct ReadOnlyDisk {
    live: Live,
    segments: Segments,
    store_id: StoreId,
    place: String,
    _lock: LockGuard,
}

impl ReadOnlyDisk {
    /// As [`super::DiskStore::open_read_only`], on another file system.
    ///
    /// # Errors
    /// As there.
    pub fn open_in(files: &dyn Files, dir: &Path) -> Result<(Self, Verification), StoreError> {
        let guard = lock(files, dir, LockMode::Shared)?;
        let journal_dir = journal_dir(dir);
        let segments = open_segments(files, &journal_dir, false)?;
        let found = Manifest::read(files, dir)?;
        let read = replay(&journal_dir, &segments, closed_at(&found), Reading::All)?;
        let mut damage = read.damage;
        if found == Found::Unreadable {
            let place = dir.join("manifest").display().to_string();
            damage.push(Damage { place, what: "the manifest cannot be read (the index will be built anew)".into() });
        }
        let verification = Verification {
            segments: segments.len() as u64,
            frames: read.next_frame,
            live_rows: read.live.len() as u64,
            dead_values: read.dead_values,
            torn_bytes: match read.tail {
                Tail::Whole => 0,
                Tail::Torn { bytes } | Tail::Unborn { bytes, .. } => bytes,
            },
            closed_cleanly: matches!(found, Found::Manifest(_)),
            damage,
        };
        let store_id = read.store_id.unwrap_or_default();
        let place = dir.display().to_string();
        Ok((Self { live: read.live, segments, store_id, place, _lock: guard }, verification))
    }

    fn row(&self, table: Table, key: &[u8], at: Location) -> Result<Row, StoreError> {
        match read_row(&self.store_id, &self.segments, at, table, key) {
            Ok(value) => Ok(Row { key: key.to_vec(), value }),
            Err(ReadFault::Error(error)) => Err(error),
            Err(ReadFault::Wrong(what)) => Err(StoreError::Damaged { place: self.place.clone(), what }),
        }
    }
}

impl Store for ReadOnlyDisk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(at) = self.live.get(&index_key(table, key)) else { return Ok(None) };
        self.row(table, key, *at).map(|row| Some(row.value))
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let Some((from, to)) = bounds(table, from, to, limit) else { return Ok(Vec::new()) };
        let rows = BTreeMap::range(&self.live, from..to).take(limit);
        rows.map(|(key, at)| self.row(table, &key[1..], *at)).collect()
    }

    /// Always [`StoreError::Closed`].
    fn commit(&self, _batch: &Batch) -> Result<(), StoreError> {
        Err(StoreError::Closed { place: self.place.clone() })
    }

    /// Always [`StoreError::Closed`].
    fn scrub(&self) -> Result<(), StoreError> {
        Err(StoreError::Closed { place: self.place.clone() })
    }
}

/// Takes a table, a key and a value.
#[cfg(any(test, feature = "testing"))]
type EachValue<'a> = dyn FnMut(Table, &[u8], &[u8]) + 'a;

/// Gives every value that stands in the journal of a store to `each`, in order, also those that were deleted or replaced and
/// not scrubbed yet: for checks that something is gone. Takes no lock and changes nothing; in a segment it stops at the first
/// frame that isn't whole.
///
/// # Errors
/// When files can't be read.
#[cfg(any(test, feature = "testing"))]
pub fn every_value(dir: &Path, each: &mut EachValue<'_>) -> Result<(), StoreError> {
    use super::files::{RealFiles, io_error, read_whole};
    use super::frame::{FrameView, HEADER_BYTES, SegmentHeader};
    let journal_dir = journal_dir(dir);
    for file in open_segments(&RealFiles, &journal_dir, false)?.values() {
        let bytes = read_whole(file.as_ref()).map_err(|error| io_error(&journal_dir, error))?;
        let Ok(header) = SegmentHeader::decode(&bytes) else { continue };
        let mut offset = HEADER_BYTES;
        while let Ok(frame) = FrameView::decode(&header.store_id, &bytes, offset) {
            let mut value = |op: super::frame::OpView<'_>, _| {
                if let Some(value) = op.value {
                    each(op.table, op.key, value);
                }
            };
            if frame.each_op(&header.store_id, header.segment, &mut value).is_err() {
                break;
            }
            offset = frame.end;
        }
    }
    Ok(())
}
