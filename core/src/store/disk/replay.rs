//! Reading the journal from its start: which rows live, where it ends, and whether what does not fit is a torn tail or damage.
//!
//! A torn tail is what a power cut leaves: bytes at the end of the last segment of which no commit ever returned. It may be
//! cut. Anything else that does not fit is damage: acknowledged words may be under it, and nobody but a person may decide.
//! Must never change a byte on disk and never skip over damage unless asked to list it ([`Reading::All`], for `verify`).
//! Here: rows and damage as callers want them. The walk from frame to frame is in `walk`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::files::{Files, StoreFile, io_error};
use super::frame::{Location, StoreId};
use super::walk::{RowChange, Visitor, Wound, walk};
use crate::store::StoreError;

/// Rows that live: their key in the index, and where they stand.
pub type Live = BTreeMap<Vec<u8>, Location>;
/// The segments of a journal, by number.
pub type Segments = BTreeMap<u64, Arc<dyn StoreFile>>;

/// Something in the store that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file and the offset in it.
    pub place: String,
    /// What does not fit.
    pub what: String,
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Damaged { place: damage.place, what: damage.what }
    }
}

/// What is known of the journal's end before reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Nothing: the store was not closed. The last segment may have a torn tail.
    Unknown,
    /// Segment and length when the store was closed: whatever does not fit before it is damage, never a torn tail.
    ClosedAt(u64, u64),
    /// The last segment's length in a running store: what stands behind it was never acknowledged and is not looked at.
    RunningTo(u64),
}

/// What to do on damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Stop.
    Strict,
    /// Note it, find the next whole frame and go on: to tell a person everything at once.
    All,
}

/// What stands behind the last whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Whole,
    /// Bytes of commits that never returned.
    Torn {
        /// How many.
        bytes: u64,
    },
    /// A last segment whose making never finished; nothing is in it.
    Unborn {
        /// Its number.
        segment: u64,
        /// Its length.
        bytes: u64,
    },
}

/// A journal, read.
#[derive(Debug)]
pub struct Replayed {
    /// The rows that live.
    pub live: Live,
    /// The id the segments carry, if there is one.
    pub store_id: Option<StoreId>,
    /// Number of the next frame; also how many there are.
    pub next_frame: u64,
    /// What stands behind them.
    pub tail: Tail,
    /// Values that were deleted or replaced and still stand in the journal.
    pub dead_values: u64,
    /// Deletions that stand in the journal. Each names a key, and a scrub takes them too.
    pub deletions: u64,
    /// What does not fit; empty when reading strictly.
    pub damage: Vec<Damage>,
}

/// The name of a segment's file.
pub fn segment_name(segment: u64) -> String {
    format!("{segment:08}.seg")
}

/// Opens all segments in the journal's folder.
///
/// # Errors
/// When one cannot be opened.
pub fn open_segments(files: &dyn Files, dir: &Path, write: bool) -> Result<Segments, StoreError> {
    let mut segments = Segments::new();
    for name in files.list(dir).map_err(|error| io_error(dir, error))? {
        let number = name.strip_suffix(".seg").and_then(|digits| digits.parse().ok());
        if let Some(number) = number.filter(|number| segment_name(*number) == name) {
            let path = dir.join(&name);
            segments.insert(number, files.open(&path, write).map_err(|error| io_error(&path, error))?);
        }
    }
    Ok(segments)
}

/// Reads the whole journal.
///
/// # Errors
/// When a file cannot be read; when reading strictly, also [`StoreError::Damaged`] for the first damage.
pub fn replay(dir: &Path, segments: &Segments, until: Until, reading: Reading) -> Result<Replayed, StoreError> {
    let mut rows = Rows { dir, reading, live: Live::new(), dead_values: 0, deletions: 0, damage: Vec::new() };
    let walked = walk(dir, segments, until, &[], &mut rows)?;
    Ok(Replayed {
        live: rows.live,
        store_id: walked.store_id,
        next_frame: walked.next_frame,
        tail: walked.tail,
        dead_values: rows.dead_values,
        deletions: rows.deletions,
        damage: rows.damage,
    })
}

struct Rows<'a> {
    dir: &'a Path,
    reading: Reading,
    live: Live,
    dead_values: u64,
    deletions: u64,
    damage: Vec<Damage>,
}

impl Visitor for Rows<'_> {
    fn wound(&mut self, wound: Wound) -> Result<(), StoreError> {
        let damage = wound.damage(self.dir);
        match self.reading {
            Reading::Strict => Err(damage.into()),
            Reading::All => {
                self.damage.push(damage);
                Ok(())
            }
        }
    }

    fn frame(&mut self, rows: Vec<RowChange>) -> Result<(), StoreError> {
        for (key, at) in rows {
            self.deletions += u64::from(at.is_none());
            let before = match at {
                Some(at) => self.live.insert(key, at),
                None => self.live.remove(&key),
            };
            self.dead_values += u64::from(before.is_some());
        }
        Ok(())
    }
}
