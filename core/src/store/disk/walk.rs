//! The walk through a journal from its first frame to its last: which frames are whole, and what stands between them.
//!
//! Holds one segment in memory at a time. Must never change a byte on disk, never give a frame to anybody that is not whole and
//! in its order, and never pass over bytes without saying so ([`Visitor::wound`]). What that means is the visitor's business:
//! `replay` stops or notes it, `salvage` cuts it out.

use std::ops::Range;
use std::path::Path;

use super::files::{io_error, read_to, read_whole};
use super::frame::{FRAME_BYTES_MIN, Fault, FrameView, HEADER_BYTES, Location, SegmentHeader, StoreId, index_key};
use super::replay::{Damage, Segments, Tail, Until, segment_name};
use crate::store::{StoreError, Table};

/// What a frame does to a row: its key in the index, and where it stands now or that it is gone.
pub type RowChange = (Vec<u8>, Option<Location>);

/// A place in the journal where something else stands than was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wound {
    /// The segment.
    pub segment: u64,
    /// The bytes in it that belong to no whole frame; empty when bytes are missing.
    pub bytes: Range<u64>,
    /// The numbers of the frames that are lost here, as far as they are known by now.
    pub frames: Range<u64>,
    /// What does not fit.
    pub what: String,
}

impl Wound {
    /// The same as a line for a person.
    pub fn damage(&self, dir: &Path) -> Damage {
        let path = dir.join(segment_name(self.segment));
        Damage { place: format!("{} at byte {}", path.display(), self.bytes.start), what: self.what.clone() }
    }
}

/// What is done with a journal that is walked.
pub trait Visitor {
    /// Called for everything that does not fit.
    ///
    /// # Errors
    /// Ends the walk.
    fn wound(&mut self, wound: Wound) -> Result<(), StoreError>;

    /// Called for every whole frame, in order.
    ///
    /// # Errors
    /// Ends the walk.
    fn frame(&mut self, rows: Vec<RowChange>) -> Result<(), StoreError>;

    /// Whether a row is of interest; others are not given to [`Visitor::frame`].
    fn wants(&self, _table: Table, _key: &[u8]) -> bool {
        true
    }

    /// Called before the frames of a segment: its number, and the number of the frame that should come first in it.
    fn begins(&mut self, _segment: u64, _first_frame: u64) {}

    /// Called before [`Visitor::frame`]: where the frame stands in its segment, and its number.
    fn place(&mut self, _bytes: Range<usize>, _number: u64) {}
}

/// What the walk found at the end.
#[derive(Debug)]
pub struct Walked {
    /// The id the segments carry, if there is one.
    pub store_id: Option<StoreId>,
    /// Number of the next frame; also how many there are.
    pub next_frame: u64,
    /// Where the last segment's whole frames end; 0 without segments.
    pub end: u64,
    /// What stands behind them.
    pub tail: Tail,
}

/// Walks through the whole journal. `ids` are ids the store may have, for segments whose header is lost.
///
/// # Errors
/// When a file cannot be read, or what the visitor says.
pub fn walk(
    dir: &Path,
    segments: &Segments,
    until: Until,
    ids: &[StoreId],
    visitor: &mut dyn Visitor,
) -> Result<Walked, StoreError> {
    let walked = Walked { store_id: None, next_frame: 0, end: 0, tail: Tail::Whole };
    let mut walker = Walker { ids: ids.to_vec(), visitor, walked };
    let mut follows = 1;
    let last = segments.keys().next_back().copied();
    for (number, file) in segments {
        if *number > follows {
            let what = format!("{} segment(s) missing before {number}", number - follows);
            walker.wound(follows, 0..0, 0, what)?;
        }
        follows = number.saturating_add(1);
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
        walker.visitor.begins(*number, walker.walked.next_frame);
        walker.segment(*number, &bytes, tear_from)?;
    }
    let reached = last.map_or((0, 0), |last| (last, walker.walked.end));
    if let Until::ClosedAt(segment, end) = until
        && reached < (segment, end)
    {
        let at = walker.walked.end;
        walker.wound(segment, at..at, 0, format!("the journal went on to byte {end} when it was closed"))?;
    }
    Ok(walker.walked)
}

struct Walker<'a> {
    ids: Vec<StoreId>,
    visitor: &'a mut dyn Visitor,
    walked: Walked,
}

impl Walker<'_> {
    /// Tells the visitor; `lost` frames are lost here.
    fn wound(&mut self, segment: u64, bytes: Range<u64>, lost: u64, what: impl Into<String>) -> Result<(), StoreError> {
        let frames = self.walked.next_frame..self.walked.next_frame.saturating_add(lost);
        self.visitor.wound(Wound { segment, bytes, frames, what: what.into() })
    }

    /// The id under which frames of a segment without a header can be read: its own where that is still there, one that is
    /// known, or its own with one bit put right.
    fn id_without_header(&self, bytes: &[u8]) -> Option<StoreId> {
        let own: Option<StoreId> = bytes.get(12..28).and_then(|own| own.try_into().ok());
        let near = own.into_iter().flat_map(|own| {
            (0..own.len() * 8).map(move |bit| {
                let mut near = own;
                near[bit / 8] ^= 1 << (bit % 8);
                near
            })
        });
        let known = self.walked.store_id.into_iter().chain(self.ids.iter().copied()).chain(own);
        // Known ids find any frame; a guess must fit the first one, or guessing would take long.
        for id in known {
            if next_frame_after(&id, bytes, HEADER_BYTES, self.walked.next_frame).is_some() {
                return Some(id);
            }
        }
        near.into_iter().find(|id| FrameView::decode(id, bytes, HEADER_BYTES).is_ok())
    }

    /// Reads one segment; bytes from `tear_from` on may be a torn tail.
    fn segment(&mut self, number: u64, bytes: &[u8], tear_from: Option<usize>) -> Result<(), StoreError> {
        let whole = bytes.len() as u64;
        let id = match SegmentHeader::decode(bytes) {
            Ok(header) if header.segment != number => {
                return self.wound(number, 0..whole, 0, "the segment carries another number than its name");
            }
            Ok(header) if self.walked.store_id.is_some_and(|id| id != header.store_id) => {
                return self.wound(number, 0..whole, 0, "the segment belongs to another store");
            }
            Ok(header) if header.first_frame < self.walked.next_frame => {
                let what = format!("starts at frame {} where {} follows", header.first_frame, self.walked.next_frame);
                return self.wound(number, 0..whole, 0, what);
            }
            Ok(header) => {
                if header.first_frame > self.walked.next_frame {
                    let expected = self.walked.next_frame;
                    let what = format!("starts at frame {} where {expected} follows", header.first_frame);
                    self.wound(number, 0..0, header.first_frame - expected, what)?;
                    self.walked.next_frame = header.first_frame;
                }
                header.store_id
            }
            // Frames follow only after the header was flushed, so a short file with half a header is one just being made.
            Err(_) if tear_from == Some(0) && bytes.len() <= HEADER_BYTES => {
                self.walked.tail = Tail::Unborn { segment: number, bytes: whole };
                return Ok(());
            }
            Err(fault) => {
                let Some(id) = self.id_without_header(bytes) else {
                    return self.wound(number, 0..whole, 0, fault);
                };
                self.wound(number, 0..HEADER_BYTES as u64, 0, fault)?;
                id
            }
        };
        self.walked.store_id = Some(id);
        let mut offset = HEADER_BYTES;
        while offset < bytes.len() {
            let fault: Fault = match FrameView::decode(&id, bytes, offset) {
                Ok(frame) if frame.number != self.walked.next_frame => "frame numbers jump",
                Ok(frame) => match rows_of(self.visitor, number, &frame) {
                    Ok(rows) => {
                        self.visitor.place(offset..frame.end, frame.number);
                        self.visitor.frame(rows)?;
                        self.walked.next_frame += 1;
                        offset = frame.end;
                        continue;
                    }
                    Err(fault) => fault,
                },
                Err(fault) => {
                    let torn = tear_from.is_some_and(|from| offset >= from)
                        && nothing_durable_after(&id, bytes, offset, self.walked.next_frame);
                    if torn {
                        self.walked.tail = Tail::Torn { bytes: (bytes.len() - offset) as u64 };
                        break;
                    }
                    fault
                }
            };
            // Only when the visitor goes on: the next whole frame, which after a jump forward is this one.
            let here = FrameView::decode(&id, bytes, offset).ok().filter(|frame| frame.number > self.walked.next_frame);
            let next = here
                .map(|frame| (offset, frame))
                .or_else(|| next_frame_after(&id, bytes, offset + 1, self.walked.next_frame));
            let (end, lost) = match &next {
                Some((start, frame)) => (*start, frame.number - self.walked.next_frame),
                None => (bytes.len(), 0),
            };
            self.wound(number, offset as u64..end as u64, lost, fault)?;
            let Some((start, frame)) = next else {
                break;
            };
            offset = start;
            self.walked.next_frame = frame.number;
        }
        self.walked.end = offset.min(bytes.len()) as u64;
        Ok(())
    }
}

/// The rows of a frame; of a frame that does not fit nothing counts.
fn rows_of(visitor: &dyn Visitor, segment: u64, frame: &FrameView<'_>) -> Result<Vec<RowChange>, Fault> {
    let mut rows = Vec::new();
    frame.each_op_quickly(segment, |op, at| {
        if visitor.wants(op.table, op.key) {
            rows.push((index_key(op.table, op.key), op.value.map(|_| at)));
        }
    })?;
    Ok(rows)
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
