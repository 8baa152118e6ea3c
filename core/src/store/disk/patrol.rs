//! Looking after a journal while it is in use: a little at a time, so that damage is known before a reader meets it.
//!
//! A frame at a time is read and compared with its checksum. A segment is read under the name it had when the look began: one
//! that is written anew meanwhile (`scrub`) is no damage. Must never hold up a commit, change a byte, or say anything about
//! bytes that nobody was told are safe. How fast it goes is the caller's business. All at once, and every damage in a
//! segment, is for `verify`.

use std::sync::Arc;

use super::files::{StoreFile, io_error};
use super::frame::{FRAME_BYTES_MIN, FrameView, HEADER_BYTES, PAYLOAD_BYTES_MAX, SegmentHeader};
use super::replay::segment_name;
use super::{Damage, DiskStore};
use crate::store::StoreError;

/// How far a look through the journal is. A new one begins at the first segment.
#[derive(Debug, Default)]
pub struct Patrol {
    /// The segment that is looked at, or was last.
    segment: u64,
    current: Option<Place>,
}

#[derive(Debug)]
struct Place {
    file: Arc<dyn StoreFile>,
    offset: u64,
    end: u64,
}

/// What a step of a [`Patrol`] saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patrolled {
    /// Bytes that were read.
    pub bytes: u64,
    /// What is not what was written. After the first damage in a segment the next segment is looked at.
    pub damage: Vec<Damage>,
    /// Whether the end was reached; the next step begins anew.
    pub is_round_over: bool,
}

impl DiskStore {
    /// Looks at the next part of the journal: about `bytes_max` bytes, a whole frame at least.
    ///
    /// # Errors
    /// When the system cannot read a file; the next step goes on behind it.
    pub fn patrol(&self, patrol: &mut Patrol, bytes_max: u64) -> Result<Patrolled, StoreError> {
        let mut seen = Patrolled::default();
        while seen.bytes < bytes_max {
            let mut place = match patrol.current.take() {
                Some(place) => place,
                None => match self.place_after(patrol.segment)? {
                    Some((segment, place)) => {
                        patrol.segment = segment;
                        place
                    }
                    None => {
                        *patrol = Patrol::default();
                        seen.is_round_over = true;
                        return Ok(seen);
                    }
                },
            };
            let path = self.journal_path(patrol.segment);
            match self.look(&mut place, patrol.segment).map_err(|error| io_error(&path, error))? {
                Ok(bytes) => seen.bytes += bytes,
                Err(what) => {
                    let at = format!("{} at byte {}", path.display(), place.offset);
                    seen.damage.push(Damage { place: at, what: what.into() });
                    continue;
                }
            }
            if place.offset < place.end {
                patrol.current = Some(place);
            }
        }
        Ok(seen)
    }

    /// The segment after this one, and up to where it is known to be safe.
    fn place_after(&self, segment: u64) -> Result<Option<(u64, Place)>, StoreError> {
        let journal = self.journal();
        if journal.is_stopped() {
            return Err(self.closed());
        }
        let Some((number, file)) = journal.segments.range(segment + 1..).next() else { return Ok(None) };
        let (last, end) = journal.position();
        let end = if *number == last { end } else { file.size().map_err(|error| io_error(&journal.dir, error))? };
        Ok(Some((*number, Place { file: Arc::clone(file), offset: 0, end })))
    }

    /// Looks at what stands at the place, a header or a frame, and goes behind it; says how long it is or what does not fit.
    fn look(&self, place: &mut Place, segment: u64) -> std::io::Result<Result<u64, &'static str>> {
        let left = place.end - place.offset;
        if place.offset == 0 {
            if left < HEADER_BYTES as u64 {
                return Ok(Err("segment header is incomplete"));
            }
            let mut header = [0; HEADER_BYTES];
            place.file.read_exact_at(&mut header, 0)?;
            place.offset = HEADER_BYTES as u64;
            let fits = |header: SegmentHeader| header.store_id == self.store_id && header.segment == segment;
            return Ok(match SegmentHeader::decode(&header) {
                Ok(header) if fits(header) => Ok(HEADER_BYTES as u64),
                Ok(_) => Err("the segment belongs elsewhere"),
                Err(fault) => Err(fault),
            });
        }
        let mut length = [0; 4];
        if left < FRAME_BYTES_MIN as u64 {
            return Ok(Err("frame is incomplete"));
        }
        place.file.read_exact_at(&mut length, place.offset)?;
        // The length, the checksum, and the payload.
        let bytes = u64::from(u32::from_le_bytes(length)) + 8;
        if bytes > left || bytes > PAYLOAD_BYTES_MAX as u64 + 8 {
            return Ok(Err("frame has a wild length"));
        }
        let mut frame = vec![0; usize::try_from(bytes).unwrap_or(0)];
        place.file.read_exact_at(&mut frame, place.offset)?;
        Ok(FrameView::decode(&self.store_id, &frame, 0).map(|_| {
            place.offset += bytes;
            bytes
        }))
    }

    fn journal_path(&self, segment: u64) -> std::path::PathBuf {
        super::open::journal_dir(&self.dir).join(segment_name(segment))
    }
}
