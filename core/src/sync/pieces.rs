//! Reading pieces of a log for those who follow it. Works on the store alone: many readers at once, no replica, no document.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::wire::{Piece, PieceLine};
use crate::cbor::CborError;
use crate::entry::{Run, Signature};
use crate::gate::Verdict;
use crate::gate::limits::{BATCH_BYTES_TARGET, BATCH_ENTRIES_MAX, ENTRY_ENVELOPE_BYTES, RUN_ENVELOPE_BYTES};
use crate::model::{DeviceId, EntryId, SpaceId};
use crate::replica::{EntryRow, Hashes, Place, ReplicaError, run_entry};
use crate::store::log::{Epoch, Log, LogError, LogHead};
use crate::store::{Store, Table};

/// Lines read at a time. A push usually has a handful of entries.
const LINES_AT_ONCE: usize = 256;
/// Entries a piece aims at, so that it stays within what a receiver takes even when a full push follows.
const PIECE_ENTRIES_TARGET: usize = 1024;

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

#[derive(Debug)]
struct Building {
    run: Run,
    signed: Option<Signature>,
}

impl PieceReader {
    /// A reader over `store` and its log.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, log: Arc<dyn Log>, epoch: Epoch) -> Self {
        Self { store, log, epoch }
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where the log of a space stands.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn head(&self, space: SpaceId) -> Result<LogHead, PieceError> {
        Ok(self.log.head(space)?)
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

    /// The piece from number `from` on, or `None` when the log ends there. It ends where a push ended, so the limits of one
    /// push (`gate::limits`) see to it that a piece fits a frame.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(&self, space: SpaceId, from: u64) -> Result<Option<Read>, PieceError> {
        let mut piece =
            Piece { space, epoch: self.epoch, from, runs: Vec::new(), lines: Vec::new(), facts: Vec::new() };
        let mut building: Vec<Building> = Vec::new();
        let mut run_of: BTreeMap<DeviceId, usize> = BTreeMap::new();
        let (mut bytes, mut next, mut head) = (0, from, None);
        'reading: loop {
            let lines = self.log.read(space, next, LINES_AT_ONCE)?;
            if lines.is_empty() {
                break;
            }
            for line in lines {
                next = line.number + 1;
                if line.item.again {
                    piece.lines.push(PieceLine::Again(line.item.id));
                    bytes += ENTRY_ENVELOPE_BYTES;
                } else {
                    let (place, row) = self.entry(space, line.number, line.item.id)?;
                    bytes += row.kept.body().map_or(0, <[u8]>::len) + ENTRY_ENVELOPE_BYTES;
                    bytes += row.extra.iter().map(|extra| extra.value.len()).sum::<usize>();
                    let at = *run_of.entry(place.device).or_insert_with(|| {
                        building.push(Building { run: empty_run(place), signed: None });
                        bytes += RUN_ENVELOPE_BYTES;
                        building.len() - 1
                    });
                    let run = &mut building[at];
                    if run.run.entries.is_empty() {
                        run.run.prev = self.prev(place)?;
                    }
                    // What waited when it came may stand before the subject that it is about.
                    let waited = line.item.verdict == Verdict::Pending;
                    let hashes = if waited { Hashes::Given } else { Hashes::Omitted };
                    run.run.entries.push(run_entry(&row, hashes));
                    run.signed = row.signature;
                    piece.lines.push(PieceLine::Next(u32::try_from(at).unwrap_or(u32::MAX)));
                }
                match piece.facts.last_mut() {
                    Some((count, day, verdict)) if *day == line.item.day && *verdict == line.item.verdict => {
                        *count += 1;
                    }
                    _ => piece.facts.push((1, line.item.day, line.item.verdict)),
                }
                if let Some(hash) = line.closes {
                    head = Some(LogHead { next, hash });
                    let full = bytes >= BATCH_BYTES_TARGET || piece.lines.len() >= PIECE_ENTRIES_TARGET;
                    if full || piece.lines.len() >= BATCH_ENTRIES_MAX {
                        break 'reading;
                    }
                }
            }
        }
        let Some(head) = head else { return Ok(None) };
        for built in building {
            let signature =
                built.signed.ok_or(ReplicaError::Contradiction { what: "a push ended without a signature" })?;
            piece.runs.push(Run { signature, ..built.run });
        }
        Ok(Some(Read { piece, head }))
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
