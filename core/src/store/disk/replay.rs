//! Reading the journal from its start: which rows live, where it ends, and whether what does not fit is a torn tail or damage.
//!
//! A torn tail is what a power cut leaves: bytes at the end of the last segment of which no commit ever returned. It may be
//! cut. Anything else that does not fit is damage: acknowledged words may be under it, and nobody but a person may decide.
//! Must never change a byte on disk and never skip over damage unless asked to list it ([`Reading::All`], for `verify`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Files, StoreFile, io_error, read_to, read_whole};
use super::frame::{FRAME_BYTES_MIN, Fault, FrameView, HEADER_BYTES, Location, SegmentHeader, StoreId, index_key};
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
    /// Where the last segment's whole frames end; 0 without segments.
    pub end: u64,
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

/// Checks that the numbers of the segments leave no gap.
pub fn missing_segments(dir: &Path, segments: &Segments) -> Vec<Damage> {
    let mut missing = Vec::new();
    let mut expected = 1;
    for number in segments.keys().copied() {
        if number > expected {
            let place = dir.join(segment_name(expected)).display().to_string();
            missing.push(Damage { place, what: format!("{} segment(s) missing before {number}", number - expected) });
        }
        expected = number.saturating_add(1);
    }
    missing
}

/// Reads the whole journal.
///
/// # Errors
/// When a file cannot be read; when reading strictly, also [`StoreError::Damaged`] for the first damage.
pub fn replay(dir: &Path, segments: &Segments, until: Until, reading: Reading) -> Result<Replayed, StoreError> {
    let damage = missing_segments(dir, segments);
    let mut reader = Reader {
        dir: dir.to_path_buf(),
        reading,
        out: Replayed {
            live: Live::new(),
            store_id: None,
            next_frame: 0,
            end: 0,
            tail: Tail::Whole,
            dead_values: 0,
            deletions: 0,
            damage: Vec::new(),
        },
    };
    for found in damage {
        reader.note(found)?;
    }
    let last = segments.keys().next_back().copied();
    for (number, file) in segments {
        let path = dir.join(segment_name(*number));
        let is_last = Some(*number) == last;
        let bytes = match until {
            // What is behind it may be cut away while we read.
            Until::RunningTo(end) if is_last => read_to(file.as_ref(), end),
            _ => read_whole(file.as_ref()),
        };
        let bytes = bytes.map_err(|error| io_error(&path, error))?;
        // From where on bytes can be a torn tail, if anywhere.
        let tear_from = match until {
            Until::Unknown => is_last.then_some(0),
            Until::ClosedAt(segment, end) if segment == *number => {
                is_last.then_some(usize::try_from(end).unwrap_or(usize::MAX))
            }
            Until::ClosedAt(segment, _) => (is_last && *number > segment).then_some(0),
            Until::RunningTo(_) => None,
        };
        reader.segment(*number, &bytes, tear_from)?;
    }
    let reached = last.map_or((0, 0), |last| (last, reader.out.end));
    if let Until::ClosedAt(segment, end) = until
        && reached < (segment, end)
    {
        reader.damage_at(segment, reader.out.end, format!("the journal went on to byte {end} when it was closed"))?;
    }
    Ok(reader.out)
}

struct Reader {
    dir: PathBuf,
    reading: Reading,
    out: Replayed,
}

impl Reader {
    fn note(&mut self, damage: Damage) -> Result<(), StoreError> {
        match self.reading {
            Reading::Strict => Err(damage.into()),
            Reading::All => {
                self.out.damage.push(damage);
                Ok(())
            }
        }
    }

    fn damage_at(&mut self, segment: u64, offset: u64, what: impl Into<String>) -> Result<(), StoreError> {
        let path = self.dir.join(segment_name(segment));
        self.note(Damage { place: format!("{} at byte {offset}", path.display()), what: what.into() })
    }

    /// Reads one segment; bytes from `tear_from` on may be a torn tail.
    fn segment(&mut self, number: u64, bytes: &[u8], tear_from: Option<usize>) -> Result<(), StoreError> {
        let header = match SegmentHeader::decode(bytes) {
            Ok(header) => header,
            // Frames follow only after the header was flushed, so a short file with half a header is one just being made.
            Err(_) if tear_from == Some(0) && bytes.len() <= HEADER_BYTES => {
                self.out.tail = Tail::Unborn { segment: number, bytes: bytes.len() as u64 };
                return Ok(());
            }
            Err(fault) => return self.damage_at(number, 0, fault),
        };
        if header.segment != number {
            self.damage_at(number, 0, "the segment carries another number than its name")?;
        }
        if self.out.store_id.is_some_and(|id| id != header.store_id) {
            return self.damage_at(number, 0, "the segment belongs to another store");
        }
        self.out.store_id = Some(header.store_id);
        if header.first_frame != self.out.next_frame {
            let what = format!("starts at frame {} where {} follows", header.first_frame, self.out.next_frame);
            self.damage_at(number, 0, what)?;
            self.out.next_frame = header.first_frame;
        }
        let id = header.store_id;
        let mut offset = HEADER_BYTES;
        while offset < bytes.len() {
            let fault: Fault = match FrameView::decode(&id, bytes, offset) {
                Ok(frame) if frame.number != self.out.next_frame => "frame numbers jump",
                Ok(frame) => match self.frame(&id, number, &frame) {
                    Ok(()) => {
                        offset = frame.end;
                        continue;
                    }
                    Err(fault) => fault,
                },
                Err(fault) => {
                    let torn = tear_from.is_some_and(|from| offset >= from)
                        && nothing_durable_after(&id, bytes, offset, self.out.next_frame);
                    if torn {
                        self.out.tail = Tail::Torn { bytes: (bytes.len() - offset) as u64 };
                        break;
                    }
                    fault
                }
            };
            self.damage_at(number, offset as u64, fault)?;
            // Only when listing damage: go on at the next whole frame.
            match next_frame_after(&id, bytes, offset + 1, self.out.next_frame) {
                Some((start, frame)) => {
                    offset = start;
                    self.out.next_frame = frame.number;
                }
                None => break,
            }
        }
        self.out.end = offset.min(bytes.len()) as u64;
        Ok(())
    }

    fn frame(&mut self, id: &StoreId, segment: u64, frame: &FrameView<'_>) -> Result<(), Fault> {
        // First all, then apply: of a frame that does not fit nothing counts.
        let mut rows = Vec::new();
        frame.each_op(id, segment, |op, at| rows.push((index_key(op.table, op.key), op.value.map(|_| at))))?;
        for (key, at) in rows {
            self.out.deletions += u64::from(at.is_none());
            let before = match at {
                Some(at) => self.out.live.insert(key, at),
                None => self.out.live.remove(&key),
            };
            self.out.dead_values += u64::from(before.is_some());
        }
        self.out.next_frame += 1;
        Ok(())
    }
}

/// The first whole frame at or after `from` whose number can follow `expected`.
fn next_frame_after<'a>(id: &StoreId, bytes: &'a [u8], from: usize, expected: u64) -> Option<(usize, FrameView<'a>)> {
    // No more frames than fit: rules out nearly every place before its checksum is computed.
    let fit = (bytes.len() / FRAME_BYTES_MIN) as u64;
    let plausible = expected..=expected.saturating_add(fit);
    (from..bytes.len()).find_map(|start| {
        let number = FrameView::peek_number(bytes, start)?;
        let frame = plausible.contains(&number).then(|| FrameView::decode(id, bytes, start).ok()).flatten()?;
        Some((start, frame))
    })
}

/// Whether no frame behind the bad place proves that frame `expected` was once durable: each either is of the same flush
/// (whose pages may reach the disk in any order) or is not there.
fn nothing_durable_after(id: &StoreId, bytes: &[u8], bad: usize, expected: u64) -> bool {
    let mut from = bad + 1;
    while let Some((_, frame)) = next_frame_after(id, bytes, from, expected) {
        if frame.group > expected || frame.number == expected {
            return false;
        }
        from = frame.end;
    }
    true
}
