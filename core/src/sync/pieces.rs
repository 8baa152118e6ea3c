//! Reading pieces of a log for those who follow it. Works on the store alone: many readers at once, no replica, no document.

mod touched;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::segment::{SEGMENT_BODY_BYTES_MAX, SEGMENT_ITEMS_MAX};
use super::wire::{Piece, PieceLine};
use crate::cbor::CborError;
use crate::entry::{Run, Signature};
use crate::gate::Verdict;
use crate::gate::limits::{
    BATCH_BYTES_TARGET, BATCH_ENTRIES_MAX, ENTRY_ENVELOPE_BYTES, FRAME_BYTES_MAX, PUSH_BYTES_MAX, PUSH_ENTRIES_MAX,
    RUN_ENVELOPE_BYTES,
};
use crate::model::{DeviceId, EntryId, SpaceId};
use crate::replica::{EntryRow, Hashes, Place, ReplicaError, run_entry};
use crate::store::log::{Epoch, Log, LogError, LogHead, LogItem, LogLine};
use crate::store::{Store, Table, keys, walk};

/// Lines read at a time. A push usually has a handful of entries.
const LINES_AT_ONCE: usize = 256;

/// How much is read together.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// It ends at the first push behind which it has so many items, or bytes of entries.
    items_target: usize,
    items_max: usize,
    bytes_target: usize,
    /// And before a push with which it would have more bytes, unless that push alone does, which the server's limit on pushes
    /// keeps small.
    bytes_max: usize,
}

/// What one frame carries as it is: with envelopes of 60 bytes as many entries as [`BATCH_BYTES_TARGET`], and never more than
/// half a frame, so that envelopes and verdicts fit in too.
const PIECE: Extent = Extent {
    items_target: 1024,
    items_max: BATCH_ENTRIES_MAX,
    bytes_target: BATCH_BYTES_TARGET,
    bytes_max: FRAME_BYTES_MAX / 2,
};
/// What is packed together: with the longest push behind it no more items than a batch may have.
const SEGMENT: Extent = Extent {
    items_target: SEGMENT_ITEMS_MAX - PUSH_ENTRIES_MAX,
    items_max: SEGMENT_ITEMS_MAX,
    bytes_target: SEGMENT_BODY_BYTES_MAX - 2 * PUSH_BYTES_MAX,
    bytes_max: SEGMENT_BODY_BYTES_MAX,
};
/// What is packed at the beginning of a log: short, so that a fresh phone has something to show at once.
const FIRST_SEGMENT: Extent = Extent { items_target: 512, ..SEGMENT };

/// Why a piece can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PieceError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A row.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The log names an entry that isn't there.
    #[error("item {number} of the log of {space} names an entry that isn't there")]
    Missing {
        /// The space.
        space: SpaceId,
        /// Its number.
        number: u64,
    },
}

impl From<crate::store::StoreError> for PieceError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Replica(error.into())
    }
}

/// Reads the logs of one epoch.
#[derive(Clone)]
pub struct PieceReader {
    store: Arc<dyn Store>,
    log: Arc<dyn Log>,
    epoch: Epoch,
}

/// A piece and where it ends.
#[derive(Clone, Debug)]
pub struct Read {
    /// The piece.
    pub piece: Piece,
    /// Head of the log behind its last item.
    pub head: LogHead,
}

/// One item with what travels of its entry.
struct Item {
    line: LogLine,
    /// Nothing for an entry that came before and was judged anew.
    entry: Option<(Place, EntryRow)>,
}

/// A piece in the making.
struct Building {
    piece: Piece,
    run_of: BTreeMap<DeviceId, usize>,
    signed: Vec<Option<Signature>>,
    bytes: usize,
    extent: Extent,
}

impl Building {
    fn new(space: SpaceId, epoch: Epoch, from: u64, extent: Extent) -> Self {
        let piece = Piece { space, epoch, from, runs: Vec::new(), lines: Vec::new(), facts: Vec::new() };
        Self { piece, run_of: BTreeMap::new(), signed: Vec::new(), bytes: 0, extent }
    }

    fn has_room_for(&self, push: &[Item], bytes: usize) -> bool {
        self.piece.lines.is_empty()
            || (self.bytes + bytes <= self.extent.bytes_max
                && self.piece.lines.len() + push.len() <= self.extent.items_max)
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.extent.bytes_target || self.piece.lines.len() >= self.extent.items_target
    }

    fn add(&mut self, item: Item, prev: impl FnOnce(Place) -> Result<EntryId, PieceError>) -> Result<(), PieceError> {
        let LogItem { id, day, verdict, .. } = item.line.item;
        match item.entry {
            None => {
                self.bytes += ENTRY_ENVELOPE_BYTES;
                self.piece.lines.push(PieceLine::Again(id));
            }
            Some((place, row)) => {
                let at = match self.run_of.get(&place.device) {
                    Some(at) => *at,
                    None => {
                        let run = Run { prev: prev(place)?, ..empty_run(place) };
                        self.piece.runs.push(run);
                        self.signed.push(None);
                        self.bytes += RUN_ENVELOPE_BYTES;
                        self.run_of.insert(place.device, self.piece.runs.len() - 1);
                        self.piece.runs.len() - 1
                    }
                };
                self.bytes += entry_bytes(&row);
                // What waited when it came may stand before the subject that it is about.
                let hashes = if verdict == Verdict::Pending { Hashes::Given } else { Hashes::Omitted };
                self.piece.runs[at].entries.push(run_entry(&row, hashes));
                self.signed[at] = row.signature;
                self.piece.lines.push(PieceLine::Next(u32::try_from(at).unwrap_or(u32::MAX)));
            }
        }
        match self.piece.facts.last_mut() {
            Some((count, d, v)) if (*d, *v) == (day, verdict) => *count += 1,
            _ => self.piece.facts.push((1, day, verdict)),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Piece, PieceError> {
        for (run, signed) in self.piece.runs.iter_mut().zip(self.signed) {
            run.signature = signed.ok_or(ReplicaError::Contradiction { what: "a push ended without a signature" })?;
        }
        Ok(self.piece)
    }
}

/// About what an entry takes in a piece.
fn entry_bytes(row: &EntryRow) -> usize {
    let extra: usize = row.extra.iter().map(|extra| extra.value.len()).sum();
    row.kept.body().map_or(0, <[u8]>::len) + extra + ENTRY_ENVELOPE_BYTES
}

impl PieceReader {
    /// A reader over `store` and its log.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, log: Arc<dyn Log>, epoch: Epoch) -> Self {
        Self { store, log, epoch }
    }

    /// The same log with its entries read from `store`, which holds what the other one holds: beside a cache, for whoever reads
    /// what nobody asks for again.
    #[must_use]
    pub fn over(self, store: Arc<dyn Store>) -> Self {
        Self { store, ..self }
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The rows below.
    pub(super) fn rows(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Where the log of a space stands.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn head(&self, space: SpaceId) -> Result<LogHead, PieceError> {
        Ok(self.log.head(space)?)
    }

    /// The spaces with a log in this epoch.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn spaces(&self) -> Result<BTreeSet<SpaceId>, PieceError> {
        let mut spaces = BTreeSet::new();
        walk(self.store.as_ref(), Table::Meta, keys::LOG_HEADS, |row| {
            spaces.extend(row.key[keys::LOG_HEADS.len()..].strip_suffix(&self.epoch).and_then(SpaceId::from_bytes));
            Ok::<_, PieceError>(())
        })?;
        Ok(spaces)
    }

    /// Whether the log had this head once, at a place where a reader may stand.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn had_head(&self, space: SpaceId, empty: &LogHead, head: &LogHead) -> Result<bool, PieceError> {
        if head.next == 0 {
            return Ok(head == empty);
        }
        let now = self.log.head(space)?;
        if head.next >= now.next {
            return Ok(*head == now);
        }
        let line = self.log.read(space, head.next - 1, 1)?;
        Ok(line.first().and_then(|line| line.closes) == Some(head.hash))
    }

    /// The piece from number `from` on, or `None` when the log ends there. It ends where a push ended, and before a push
    /// with which it would be more than a receiver takes.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(&self, space: SpaceId, from: u64) -> Result<Option<Read>, PieceError> {
        self.read_until(space, from, u64::MAX)
    }

    /// The same, but no further than to number `until`, where something that is packed already begins.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read_until(&self, space: SpaceId, from: u64, until: u64) -> Result<Option<Read>, PieceError> {
        Ok(self.read_within(space, from, until, PIECE)?.map(|(read, _)| read))
    }

    /// The same with as much as one segment packs, and whether more of the log would not have fitted: a segment that is full stays
    /// as it is, unless something in it is erased.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read_segment(&self, space: SpaceId, from: u64, until: u64) -> Result<Option<(Read, bool)>, PieceError> {
        self.read_within(space, from, until, if from == 0 { FIRST_SEGMENT } else { SEGMENT })
    }

    fn read_within(
        &self,
        space: SpaceId,
        from: u64,
        until: u64,
        extent: Extent,
    ) -> Result<Option<(Read, bool)>, PieceError> {
        let mut building = Building::new(space, self.epoch, from, extent);
        let mut full = false;
        let mut head = None;
        let (mut push, mut push_bytes, mut next) = (Vec::new(), 0, from);
        'reading: loop {
            let lines = self.log.read(space, next, LINES_AT_ONCE)?;
            if lines.is_empty() {
                break;
            }
            for line in lines {
                next = line.number + 1;
                let entry = if line.item.again {
                    None
                } else {
                    let entry = self.entry(space, line.number, line.item.id)?;
                    push_bytes += entry_bytes(&entry.1);
                    Some(entry)
                };
                let closes = line.closes;
                push.push(Item { line, entry });
                let Some(hash) = closes else { continue };
                if !building.has_room_for(&push, push_bytes) {
                    full = true;
                    break 'reading;
                }
                for item in push.drain(..) {
                    building.add(item, |place| self.prev(place))?;
                }
                push_bytes = 0;
                head = Some(LogHead { next, hash });
                if building.is_full() || next >= until {
                    full = building.is_full();
                    break 'reading;
                }
            }
        }
        match head {
            Some(head) => Ok(Some((Read { piece: building.finish()?, head }, full))),
            None => Ok(None),
        }
    }

    fn entry(&self, space: SpaceId, number: u64, id: EntryId) -> Result<(Place, EntryRow), PieceError> {
        let missing = || PieceError::Missing { space, number };
        let place = self.store.get(Table::EntryId, id.as_bytes())?.ok_or_else(missing)?;
        let place = Place::decode(&place).ok_or_else(missing)?;
        let row = self.store.get(Table::Entry, &place.encode())?.ok_or_else(missing)?;
        let row = EntryRow::decode(&row).map_err(row_error)?;
        if row.id == id { Ok((place, row)) } else { Err(missing()) }
    }

    fn prev(&self, place: Place) -> Result<EntryId, PieceError> {
        let Some(seq) = place.seq.checked_sub(1) else { return Ok(EntryId::ZERO) };
        let row = self.store.get(Table::Entry, &Place { seq, ..place }.encode())?;
        let row = row.ok_or(ReplicaError::Contradiction { what: "a chain has a gap" })?;
        Ok(EntryRow::decode(&row).map_err(row_error)?.id)
    }
}

fn row_error(cause: CborError) -> PieceError {
    PieceError::Replica(ReplicaError::Row { table: Table::Entry, cause })
}

fn empty_run(place: Place) -> Run {
    Run {
        device: place.device,
        first_seq: place.seq,
        prev: EntryId::ZERO,
        entries: Vec::new(),
        signature: Signature([0; 64]),
    }
}
