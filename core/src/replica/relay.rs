//! Packing what another replica lacks, whoever wrote it: dependencies first, in batches that end where signatures are held.
//!
//! The order is that of the logs that stand here, for a log never has an entry before what it depends on. What stands in no
//! log follows, chain by chain. Must never send part of what one signature proves. Not here: what the other one lacks
//! (`sync`), and whether it may have it.

use super::rows::{EntryRow, Head, Place};
use super::runs::{Hashes, run_entry};
use super::{Replica, ReplicaError, RunBatch, SCAN_ROWS};
use crate::entry::{Run, Signature};
use crate::gate::limits::{
    BATCH_BYTES_TARGET, BATCH_ENTRIES_MAX, ENTRY_ENVELOPE_BYTES, PUSH_ENTRIES_MAX, RELAYED_BYTES_MAX,
};
use crate::model::{DeviceId, EntryId, SpaceId};
use crate::ordered::{Map, Set};
use crate::store::log::decode_run;
use crate::store::{Table, keys};

/// What another replica lacks in one space, and how far it was packed.
#[derive(Clone, Debug)]
pub struct Lacking {
    space: SpaceId,
    /// The next entry of each chain that it lacks.
    next: Map<DeviceId, u64>,
    /// Where the walk through the logs stands; nothing once it ended.
    from: Option<Vec<u8>>,
    /// Chains whose rest, in no log, isn't sent.
    but: Set<DeviceId>,
}

/// A batch and what is in it.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// The batch; its order is never empty.
    pub batch: RunBatch,
    /// Its entries, in order.
    pub places: Vec<Place>,
}

/// A batch in the making.
#[derive(Default)]
struct Building {
    runs: Vec<Run>,
    run_of: Map<DeviceId, usize>,
    order: Vec<u32>,
    places: Vec<Place>,
    bytes: usize,
    /// Devices whose last entry here carries no signature.
    open: Set<DeviceId>,
}

impl Building {
    fn is_closed(&self) -> bool {
        self.open.is_empty() && !self.order.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES_TARGET || self.order.len() >= PUSH_ENTRIES_MAX
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.order.len() < BATCH_ENTRIES_MAX && self.bytes + bytes <= RELAYED_BYTES_MAX
    }

    fn add(&mut self, at: Place, row: &EntryRow, prev: EntryId) {
        let run = *self.run_of.entry(at.device).or_insert_with(|| {
            let signature = Signature([0; 64]);
            self.runs.push(Run { device: at.device, first_seq: at.seq, prev, entries: Vec::new(), signature });
            self.runs.len() - 1
        });
        self.runs[run].entries.push(run_entry(row, Hashes::Given));
        match row.signature {
            Some(signature) => {
                self.runs[run].signature = signature;
                self.open.remove(&at.device);
            }
            None => drop(self.open.insert(at.device)),
        }
        self.order.push(u32::try_from(run).unwrap_or(u32::MAX));
        self.places.push(at);
        self.bytes += row_bytes(row);
    }

    fn finish(self) -> Relayed {
        Relayed { batch: RunBatch { runs: self.runs, order: self.order }, places: self.places }
    }
}

/// What an entry takes in a batch, as the server measures it.
fn row_bytes(row: &EntryRow) -> usize {
    let extra: usize = row.extra.iter().map(|extra| extra.value.len()).sum();
    row.kept.body().map_or(0, <[u8]>::len) + extra + ENTRY_ENVELOPE_BYTES
}

impl Lacking {
    /// Nothing is lacking in this space but what `next` says: the first entry of each chain. `but`: chains whose rest that
    /// stands in no log is sent by somebody else.
    #[must_use]
    pub fn new(space: SpaceId, next: Map<DeviceId, u64>, but: Set<DeviceId>) -> Self {
        Self { space, next, from: Some(keys::space(space)), but }
    }

    /// The other replica doesn't take this chain: nothing more of it is packed.
    pub fn give_up(&mut self, device: DeviceId) {
        self.next.remove(&device);
    }
}

impl Replica {
    /// The next batch of what is lacking, or `None` at the end. What was packed is taken off `lacking`.
    ///
    /// # Errors
    /// When rows can't be read.
    pub fn pack_lacking(&self, lacking: &mut Lacking) -> Result<Option<Relayed>, ReplicaError> {
        let space = lacking.space;
        lacking.next.retain(|device, next| self.head(space, *device).is_some_and(|head| *next <= head.seq));
        if lacking.next.is_empty() {
            return Ok(None);
        }
        if let Some(relayed) = self.pack_logged(lacking)? {
            return Ok(Some(relayed));
        }
        while let Some((device, next)) = lacking.next.first_key_value().map(|(device, next)| (*device, *next)) {
            if !lacking.but.contains(&device)
                && let Some(relayed) = self.pack_one(space, device, next)?
            {
                lacking.next.insert(device, next + relayed.places.len() as u64);
                return Ok(Some(relayed));
            }
            // Nothing more is here, or nothing that a signature proves.
            lacking.next.remove(&device);
        }
        Ok(None)
    }

    /// The bodies of entries that are here, each as a batch of its own that carries what its signature proves.
    ///
    /// # Errors
    /// When rows can't be read.
    pub fn pack_hole(&self, space: SpaceId, id: EntryId) -> Result<Option<Relayed>, ReplicaError> {
        let Some(at) = self.place_of(id)?.filter(|at| at.space == space) else { return Ok(None) };
        match self.entry(at)? {
            Some(row) if row.kept.body().is_some() => self.pack_one(space, at.device, at.seq),
            _ => Ok(None),
        }
    }

    /// One chain alone, from an entry to the first one behind it that is signed.
    fn pack_one(&self, space: SpaceId, device: DeviceId, seq: u64) -> Result<Option<Relayed>, ReplicaError> {
        let packed = self.pack_chain(space, device, seq, PUSH_ENTRIES_MAX, BATCH_BYTES_TARGET, Hashes::Given)?;
        Ok(packed.map(|packed| {
            let count = packed.run.entries.len();
            let places = (seq..).take(count).map(|seq| Place { space, device, seq }).collect();
            Relayed { batch: RunBatch { runs: vec![packed.run], order: vec![0; count] }, places }
        }))
    }

    fn pack_logged(&self, lacking: &mut Lacking) -> Result<Option<Relayed>, ReplicaError> {
        let space = lacking.space;
        let end = keys::after(&keys::space(space));
        let mut building = Building::default();
        let mut next = lacking.next.clone();
        // Where the batch was closed last: the rest is packed again from there.
        let mut closed: Option<(usize, Map<DeviceId, u64>, Vec<u8>)> = None;
        let mut overflows = false;
        let mut walk = lacking.from.clone();
        'walking: while let Some(from) = walk.take() {
            let rows = self.store.scan(Table::Log, &from, Some(&end), SCAN_ROWS)?;
            let full = rows.len() == SCAN_ROWS;
            for row in rows {
                let behind = [row.key.as_slice(), &[0]].concat();
                walk = full.then(|| behind.clone());
                // The table also says which number an entry has, in rows of another form.
                let Ok((items, _)) = decode_run(&row.value) else { continue };
                let last = items.len().saturating_sub(1);
                for (number, item) in items.into_iter().enumerate() {
                    let Some(at) = self.place_of(item.id)?.filter(|at| at.space == space) else { continue };
                    let first = next.get(&at.device).copied().filter(|first| *first <= at.seq);
                    let Some(first) = first else { continue };
                    for seq in first..=at.seq {
                        let at = Place { seq, ..at };
                        let row = self.entry(at)?.ok_or(ReplicaError::Contradiction { what: "a chain has a gap" })?;
                        if !building.has_room_for(row_bytes(&row)) {
                            overflows = true;
                            break 'walking;
                        }
                        building.add(at, &row, self.link(at)?);
                    }
                    next.insert(at.device, at.seq + 1);
                    if building.is_closed() {
                        // Where the rest of a row is due, the row is read again; what was sent of it is passed over.
                        let rest = if number == last { behind.clone() } else { row.key.clone() };
                        closed = Some((building.order.len(), next.clone(), rest));
                        if building.is_full() {
                            break 'walking;
                        }
                    }
                }
            }
        }
        match closed {
            Some((count, next, behind)) if count == building.order.len() => {
                (lacking.next, lacking.from) = (next, Some(behind));
                Ok(Some(building.finish()))
            }
            Some((count, next, behind)) => {
                let mut cut = Building::default();
                for at in &building.places[..count] {
                    let row = self.entry(*at)?.ok_or(ReplicaError::Contradiction { what: "a chain has a gap" })?;
                    cut.add(*at, &row, self.link(*at)?);
                }
                (lacking.next, lacking.from) = (next, Some(behind));
                Ok(Some(cut.finish()))
            }
            // Nowhere in what there is room for is everything signed: the first chain goes alone as far as its signature.
            None if overflows => {
                let Some(at) = building.places.first().copied() else { return Ok(None) };
                let relayed = self.pack_one(space, at.device, at.seq)?;
                match &relayed {
                    Some(relayed) => lacking.next.insert(at.device, at.seq + relayed.places.len() as u64),
                    None => lacking.next.remove(&at.device),
                };
                Ok(relayed)
            }
            None => {
                lacking.from = None;
                Ok(None)
            }
        }
    }

    fn link(&self, at: Place) -> Result<EntryId, ReplicaError> {
        let Some(seq) = at.seq.checked_sub(1) else { return Ok(EntryId::ZERO) };
        let row = self.entry(Place { seq, ..at })?;
        row.map(|row| row.id).ok_or(ReplicaError::Contradiction { what: "a chain has a gap" })
    }

    /// The chains of a space that begin behind a device, at most `limit`: the frontier, piece by piece.
    #[must_use]
    pub fn frontier_after(&self, space: SpaceId, after: Option<DeviceId>, limit: usize) -> Vec<(DeviceId, Head)> {
        let chains = self.frontier(space).filter(|(device, _)| after.is_none_or(|after| *device > after));
        chains.take(limit).collect()
    }
}
