//! Segments: long pieces of a log, packed so small that a fresh phone is sent stored bytes.
//!
//! A segment says the same as a [`Piece`], with everything left out that the receiver computes anyway:
//! links, ids of subjects, actors, sequence numbers, checksums, hashes of changes that stand in the same segment. What is
//! left is sorted into columns of one kind each (`columns`), and the whole is compressed with zstd. Unpacking gives plain runs
//! that pass the gate like any other; automerge's loader never sees a segment.
//!
//! A packer unpacks what it packed and compares, so a body that can't be taken apart travels as it is (`bodies`).
//! The bytes come from a server that may lie: every count is bounded before memory is taken, and a segment that says anything
//! that can't be is refused whole. Not here: where a server keeps segments, and when it makes them.

mod bodies;
mod change;
mod columns;
mod seen;
mod shape;

use ruzstd::decoding::FrameDecoder;

use super::wire::{Piece, PieceLine, RUNS_MAX};
use crate::cbor::{CborError, Reader, Writer};
use crate::entry::codec::Opening;
use crate::entry::subject::{creator, subject_id};
use crate::entry::{Kind, Payload, Run, RunEntry, Signature};
use crate::gate::Verdict;
use crate::gate::limits::{FRAME_BYTES_MAX, SEGMENT_ENTRIES_MAX};
use crate::model::{DeviceId, EntryId, SpaceId, SubjectId, WijkId};
use crate::store::log::Epoch;
use columns::{Col, Columns, ColumnsReader};
use seen::Seen;

/// Items of one segment: as many as a phone admits at once.
pub const SEGMENT_ITEMS_MAX: usize = SEGMENT_ENTRIES_MAX;
/// Bytes of the bodies in one segment, as they are unpacked: 400 for each item, twice what a small edit takes. A phone holds
/// them once while it takes them.
pub const SEGMENT_BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Bytes of a segment before it is compressed. Columns are hardly ever longer than the bodies and envelopes that they replace.
pub const SEGMENT_PLAIN_BYTES_MAX: usize = SEGMENT_BODY_BYTES_MAX + FRAME_BYTES_MAX;
/// Bytes of a compressed segment: a frame with room for its envelope.
pub const SEGMENT_BYTES_MAX: usize = FRAME_BYTES_MAX - 1024;
/// The largest window that a decompressor must keep: the next power of two above [`SEGMENT_PLAIN_BYTES_MAX`].
const WINDOW_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why a segment can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// It isn't what our packer compresses, or is larger than it may be.
    #[error("a segment can't be decompressed within its limit")]
    Compression,
    /// It has another form.
    #[error("a segment has another form: {0}")]
    Form(#[from] CborError),
    /// It names something that came neither before it nor in it.
    #[error("a segment names {what}, which isn't here")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// It would unpack to more than it may.
    #[error("a segment holds more than {what}")]
    Limit {
        /// Which limit.
        what: &'static str,
    },
}

/// Where a segment stands in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The space.
    pub space: SpaceId,
    /// The epoch.
    pub epoch: Epoch,
    /// Number of the first item.
    pub from: u64,
}

/// Packs a piece; `None` when it can't be said as a segment. The result still has to be compressed with zstd.
#[must_use]
pub fn pack(wijk: WijkId, piece: &Piece) -> Option<Vec<u8>> {
    let plain = Packer { wijk, piece, seen: Seen::default(), out: Columns::default() }.pack()?;
    let at = At { space: piece.space, epoch: piece.epoch, from: piece.from };
    let mut prev_of = |device: DeviceId, _| piece.runs.iter().find(|run| run.device == device).map(|run| run.prev);
    // Only what comes back as it was may stand for it.
    let same = plain.len() <= SEGMENT_PLAIN_BYTES_MAX
        && unpack_plain(wijk, at, &plain, &mut prev_of).is_ok_and(|back| back == *piece);
    same.then_some(plain)
}

/// Unpacks a compressed segment. `prev_of` gives the id of an entry that came before, by its device and its place in the
/// chain.
///
/// # Errors
/// When the bytes aren't a segment of ours or break a limit.
pub fn unpack(
    wijk: WijkId,
    at: At,
    bytes: &[u8],
    prev_of: &mut dyn FnMut(DeviceId, u64) -> Option<EntryId>,
) -> Result<Piece, SegmentError> {
    unpack_plain(wijk, at, &inflate(bytes)?, prev_of)
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, SegmentError> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW_BYTES_MAX);
    let compression = |_| SegmentError::Compression;
    decoder.init(bytes).map_err(compression)?;
    // What the frame says of its length is only believed as far as memory goes: the limit holds either way.
    let said = usize::try_from(decoder.content_size()).unwrap_or(usize::MAX);
    if said > SEGMENT_PLAIN_BYTES_MAX {
        return Err(SegmentError::Compression);
    }
    let mut plain = Vec::with_capacity(if said == 0 { SEGMENT_PLAIN_BYTES_MAX } else { said });
    decoder.decode_all_to_vec(bytes, &mut plain).map_err(compression)?;
    Ok(plain)
}

struct Packer<'p> {
    wijk: WijkId,
    piece: &'p Piece,
    seen: Seen,
    out: Columns,
}

impl Packer<'_> {
    fn pack(mut self) -> Option<Vec<u8>> {
        let Piece { space, runs, lines, facts, .. } = self.piece;
        let mut next = vec![0; runs.len()];
        let mut group: Option<(u64, u64)> = None;
        for line in lines {
            let at = match line {
                PieceLine::Again(id) => {
                    self.out.put(Col::EntryIds, id.as_bytes());
                    runs.len()
                }
                PieceLine::Next(at) => *at as usize,
            };
            match &mut group {
                Some((known, count)) if *known == at as u64 => *count += 1,
                _ => {
                    self.close_group(group);
                    group = Some((at as u64, 1));
                }
            }
            if let PieceLine::Next(_) = line {
                let run = runs.get(at)?;
                let entry = run.entries.get(next[at])?;
                next[at] += 1;
                self.entry(*space, run.device, entry)?;
            }
        }
        self.close_group(group);
        let mut w = Writer::new();
        w.array(4).array(runs.len());
        for run in runs {
            w.array(3).bytes(run.device.as_bytes()).uint(run.first_seq).bytes(&run.signature.0);
        }
        w.uint(lines.len() as u64).array(facts.len());
        for (count, day, verdict) in facts {
            w.array(3).uint(*count).uint(u64::from(*day)).uint(verdict.number());
        }
        self.out.write(&mut w);
        Some(w.finish())
    }

    fn close_group(&mut self, group: Option<(u64, u64)>) {
        if let Some((run, count)) = group {
            self.out.number(Col::Runs, run);
            self.out.number(Col::RunCounts, count);
        }
    }

    fn entry(&mut self, space: SpaceId, device: DeviceId, entry: &RunEntry) -> Option<()> {
        let RunEntry { kind, payload, extra } = entry;
        let author = Author { wijk: self.wijk, space, device, kind: *kind };
        let form = match payload {
            Payload::Creating { .. } => 0,
            Payload::Following { hash: None, .. } => 1,
            Payload::Following { hash: Some(_), .. } => 2,
            Payload::Stub { .. } => 3,
        };
        self.out.number(Col::Forms, form | if extra.is_empty() { 0 } else { EXTRA });
        self.out.number(Col::Kinds, kind.0);
        if !extra.is_empty() {
            let mut w = Writer::new();
            crate::entry::header::write_extra(&mut w, extra);
            let bytes = w.finish();
            self.out.number(Col::ExtraLengths, bytes.len() as u64);
            self.out.put(Col::Extras, &bytes);
        }
        match payload {
            Payload::Creating { body } => bodies::pack_creating(&mut self.out, &mut self.seen, &author, body)?,
            Payload::Following { subject, body, hash } => {
                let at = self.seen.name(&mut self.out, *subject);
                bodies::pack_following(&mut self.out, self.seen.at(at)?, &author, body);
                if let Some(hash) = hash {
                    self.out.put(Col::Hashes, hash);
                }
            }
            Payload::Stub { subject, hash } => {
                self.seen.name(&mut self.out, *subject);
                self.out.put(Col::Hashes, hash);
            }
        }
        Some(())
    }
}

/// The bit of a form that says that fields of a newer app follow.
const EXTRA: u64 = 4;

/// Who wrote an entry, and of which kind it is.
struct Author {
    wijk: WijkId,
    space: SpaceId,
    device: DeviceId,
    kind: Kind,
}

impl Author {
    /// The subject that a body with this opening creates.
    fn subject(&self, opening: &Opening) -> SubjectId {
        let creator = creator(self.kind, self.device);
        subject_id(self.wijk, self.space, creator, self.kind, &opening.seed.nonce(), &opening.commit)
    }
}

fn unpack_plain(
    wijk: WijkId,
    at: At,
    plain: &[u8],
    prev_of: &mut dyn FnMut(DeviceId, u64) -> Option<EntryId>,
) -> Result<Piece, SegmentError> {
    let At { space, epoch, from } = at;
    let mut r = Reader::new(plain);
    r.array_of(4)?;
    let count = r.array(RUNS_MAX)?;
    let mut runs = Vec::with_capacity(count);
    for _ in 0..count {
        r.array_of(3)?;
        let (device, first_seq) = (DeviceId::new(r.exact()?), r.uint()?);
        let prev = match first_seq.checked_sub(1) {
            None => EntryId::ZERO,
            Some(seq) => prev_of(device, seq).ok_or(SegmentError::Missing { what: "the entry before a run" })?,
        };
        runs.push(Run { device, first_seq, prev, entries: Vec::new(), signature: Signature(r.exact()?) });
    }
    let items = usize::try_from(r.uint()?).unwrap_or(usize::MAX);
    if items > SEGMENT_ITEMS_MAX {
        return Err(SegmentError::Limit { what: "so many items" });
    }
    let facts = facts(&mut r, items)?;
    let mut columns = ColumnsReader::read(&mut r)?;
    r.end()?;
    let mut seen = Seen::default();
    let (mut lines, mut body_bytes) = (Vec::with_capacity(items), 0);
    while lines.len() < items {
        let run = usize::try_from(columns.number(Col::Runs)?).unwrap_or(usize::MAX);
        let times = columns.number(Col::RunCounts)?;
        if times == 0 || times > (items - lines.len()) as u64 {
            return Err(SegmentError::Limit { what: "items as many as it says" });
        }
        for _ in 0..times {
            if run == runs.len() {
                lines.push(PieceLine::Again(EntryId::new(columns.exact(Col::EntryIds)?)));
                continue;
            }
            let run_at = runs.get_mut(run).ok_or(SegmentError::Missing { what: "a run" })?;
            let entry = entry(wijk, space, run_at.device, &mut columns, &mut seen, &mut body_bytes)?;
            run_at.entries.push(entry);
            lines.push(PieceLine::Next(run as u32));
        }
    }
    columns.end()?;
    if runs.iter().any(|run| run.entries.is_empty()) {
        return Err(SegmentError::Missing { what: "an entry of a run" });
    }
    Ok(Piece { space, epoch, from, runs, lines, facts })
}

fn facts(r: &mut Reader<'_>, items: usize) -> Result<Vec<(u64, u32, Verdict)>, SegmentError> {
    let (groups, mut facts, mut total) = (r.array(SEGMENT_ITEMS_MAX)?, Vec::new(), 0u64);
    for _ in 0..groups {
        r.array_of(3)?;
        let (count, day, verdict) = (r.uint()?, r.uint()?, Verdict::from_number(r.uint()?));
        total = total.saturating_add(count);
        facts.push((count, u32::try_from(day).map_err(|_| r.error("a day"))?, verdict));
    }
    if total == items as u64 { Ok(facts) } else { Err(r.error("facts for as many items as there are").into()) }
}

fn entry(
    wijk: WijkId,
    space: SpaceId,
    device: DeviceId,
    columns: &mut ColumnsReader<'_>,
    seen: &mut Seen,
    body_bytes: &mut usize,
) -> Result<RunEntry, SegmentError> {
    let form = columns.number(Col::Forms)?;
    let kind = Kind(columns.number(Col::Kinds)?);
    let extra = if form & EXTRA == 0 {
        Vec::new()
    } else {
        let length = columns.number(Col::ExtraLengths)?;
        crate::entry::header::decode_extra(columns.take(Col::Extras, length)?)?
    };
    let author = Author { wijk, space, device, kind };
    let payload = match form & !EXTRA {
        0 => Payload::Creating { body: bodies::unpack_creating(columns, seen, &author)? },
        form @ (1 | 2) => {
            let (at, subject) = seen.named(columns)?;
            let known = seen.at(at).ok_or(SegmentError::Missing { what: "a subject" })?;
            let body = bodies::unpack_following(columns, known, &author)?;
            let hash = if form == 2 { Some(columns.exact(Col::Hashes)?) } else { None };
            Payload::Following { subject, body, hash }
        }
        3 => {
            let (_, subject) = seen.named(columns)?;
            Payload::Stub { subject, hash: columns.exact(Col::Hashes)? }
        }
        _ => return Err(SegmentError::Missing { what: "a form of entry" }),
    };
    if let Payload::Creating { body } | Payload::Following { body, .. } = &payload {
        *body_bytes += body.len();
        if *body_bytes > SEGMENT_BODY_BYTES_MAX {
            return Err(SegmentError::Limit { what: "so many bytes of bodies" });
        }
    }
    Ok(RunEntry { kind, payload, extra })
}
