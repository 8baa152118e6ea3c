//! A replica from what is left of a store that was damaged: whole chains, through the gate once more.
//!
//! Where rows are missing nothing that follows from them can be trusted: what is pending, which changes are known, who owns a
//! subject. Entries prove themselves. So of every chain the part is kept that is linked from its beginning and ends where a
//! signature is held, and all of it is admitted into an empty store in the order of the old logs. Lines of old logs come along,
//! for their days. What a chain lost, peers bring. Must never take an entry without its proof.

use std::sync::Arc;

use super::relay::Relayed;
use super::rows::{EntryRow, Head, Kept, Place};
use super::{Lacking, Replica, ReplicaError, RunBatch, SCAN_ROWS, Side};
use crate::entry::{Header, sign};
use crate::model::{DeviceId, EntryId, SpaceId, WijkId};
use crate::ordered::{Map, Set};
use crate::store::log::decode_run;
use crate::store::{Batch, Row, Store, Table, keys, walk};

/// What became of the entries of a damaged store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Entries that are in the new store.
    pub entries: usize,
    /// Entries that were here and stand behind a gap, or behind the last signature of their chain: without proof or place.
    pub unproven: usize,
    /// Runs that the gate didn't take again, because what they depend on is gone.
    pub refused: usize,
}

/// Rebuilds a server's replica from `from` into the empty store `to`. `from` is put in order for that and is no replica any more.
///
/// # Errors
/// When either can't be read or written.
pub fn rebuild(wijk: WijkId, from: &Arc<dyn Store>, to: &Arc<dyn Store>) -> Result<Rebuilt, ReplicaError> {
    let mut rebuilt = Rebuilt { unproven: keep_whole_chains(wijk, from.as_ref())?, ..Rebuilt::default() };
    let source = Replica::open(wijk, Side::Server, Arc::clone(from))?;
    let mut target = Replica::open(wijk, Side::Server, Arc::clone(to))?;
    let spaces = source.spaces();
    let others = spaces.iter().copied().filter(|space| *space != SpaceId::Members);
    for space in spaces.iter().copied().filter(|space| *space == SpaceId::Members).chain(others) {
        let chains = source.frontier(space).map(|(device, _)| (device, 0)).collect();
        let mut lacking = Lacking::new(space, chains, Set::new());
        while let Some(relayed) = source.pack_lacking(&mut lacking)? {
            rebuilt.refused += take(&mut target, space, relayed, &mut lacking)?;
        }
        rebuilt.entries += target.frontier(space).map(|(_, head)| head.seq as usize + 1).sum::<usize>();
    }
    copy(from.as_ref(), to.as_ref(), Table::Held, |_| true)?;
    copy(from.as_ref(), to.as_ref(), Table::Log, |row| decode_run(&row.value).is_ok())?;
    keep_refusals(&source, &target)?;
    Ok(rebuilt)
}

/// Admits a batch, or as many of its runs as have a place. Returns how many don't.
fn take(target: &mut Replica, space: SpaceId, relayed: Relayed, lacking: &mut Lacking) -> Result<usize, ReplicaError> {
    let admitted = admit(target, space, &relayed.batch)?;
    if admitted {
        return Ok(0);
    }
    let mut refused = 0;
    for run in relayed.batch.runs {
        let device = run.device;
        if !admit(target, space, &RunBatch { runs: vec![run], order: Vec::new() })? {
            lacking.give_up(device);
            refused += 1;
        }
    }
    Ok(refused)
}

fn admit(target: &mut Replica, space: SpaceId, batch: &RunBatch) -> Result<bool, ReplicaError> {
    match target.admit(space, batch) {
        Ok(_) => {
            let rows = target.take_rows();
            target.store().commit(&rows)?;
            target.committed();
            Ok(true)
        }
        Err(super::BatchRefusal::Replica(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// One chain while it is read.
struct Chain {
    space: SpaceId,
    device: DeviceId,
    next: u64,
    prev: EntryId,
    whole: bool,
    /// The last entry that is proven.
    proven: Option<Head>,
    /// Entries behind it.
    behind: Vec<(Place, EntryId)>,
}

/// Takes every entry out of the store that no signature over a chain without gaps proves, and notes where chains end then.
/// Returns how many entries that were.
fn keep_whole_chains(wijk: WijkId, store: &dyn Store) -> Result<usize, ReplicaError> {
    let mut heads: Map<(SpaceId, DeviceId), Option<Head>> = Map::new();
    walk::<ReplicaError>(store, Table::Meta, &[], |row| {
        if let Some(chain) = keys::parse_chain_head(&row.key) {
            heads.insert(chain, None);
        }
        Ok(())
    })?;
    let mut chain: Option<Chain> = None;
    let (mut batch, mut unproven) = (Batch::new(), 0);
    let mut end = |chain: Option<Chain>, batch: &mut Batch| {
        let Some(chain) = chain else { return };
        unproven += chain.behind.len();
        for (at, id) in chain.behind {
            batch.delete(Table::Entry, at.encode());
            batch.delete(Table::EntryId, id.as_bytes().as_slice());
        }
        heads.insert((chain.space, chain.device), chain.proven);
    };
    walk::<ReplicaError>(store, Table::Entry, &[], |row| {
        let (Some(at), Ok(entry)) = (Place::decode(&row.key), EntryRow::decode(&row.value)) else {
            batch.delete(Table::Entry, row.key);
            return Ok(());
        };
        if chain.as_ref().is_none_or(|chain| (chain.space, chain.device) != (at.space, at.device)) {
            let (space, device) = (at.space, at.device);
            let (next, prev, whole, proven) = (0, EntryId::ZERO, true, None);
            let fresh = Chain { space, device, next, prev, whole, proven, behind: Vec::new() };
            end(chain.replace(fresh), &mut batch);
        }
        let Some(chain) = &mut chain else { return Ok(()) };
        let header = Header {
            wijk,
            space: at.space,
            device: at.device,
            seq: at.seq,
            prev: chain.prev,
            subject: entry.subject,
            kind: entry.kind,
            body_hash: entry.body_hash,
            extra: entry.extra.clone(),
        };
        chain.whole &= at.seq == chain.next && header.id() == entry.id;
        chain.behind.push((at, entry.id));
        if chain.whole {
            (chain.next, chain.prev) = (at.seq + 1, entry.id);
            if entry.signature.is_some_and(|signature| sign::verify_entry(at.device, entry.id, &signature)) {
                chain.proven = Some(Head { seq: at.seq, id: entry.id });
                for (at, id) in chain.behind.drain(..) {
                    batch.put(Table::EntryId, id.as_bytes().as_slice(), at.encode());
                }
            }
        }
        Ok(())
    })?;
    end(chain, &mut batch);
    for ((space, device), head) in heads {
        match head {
            Some(head) => batch.put(Table::Meta, keys::chain_head(space, device), head.encode()),
            None => batch.delete(Table::Meta, keys::chain_head(space, device)),
        }
    }
    // What waits is found again by the gate.
    walk::<ReplicaError>(store, Table::Pending, &[], |row| {
        batch.delete(Table::Pending, row.key);
        Ok(())
    })?;
    store.commit(&batch)?;
    Ok(unproven)
}

fn copy(from: &dyn Store, to: &dyn Store, table: Table, which: fn(&Row) -> bool) -> Result<(), ReplicaError> {
    let (mut batch, mut rows) = (Batch::new(), 0);
    walk::<ReplicaError>(from, table, &[], |row| {
        if which(&row) {
            batch.put(table, row.key, row.value);
            rows += 1;
        }
        if rows >= SCAN_ROWS {
            to.commit(&std::mem::take(&mut batch))?;
            rows = 0;
        }
        Ok(())
    })?;
    Ok(to.commit(&batch)?)
}

/// A refused body is kept nowhere but on its author's phone, so the gate could not refuse it again: that it was stays.
fn keep_refusals(source: &Replica, target: &Replica) -> Result<(), ReplicaError> {
    let mut batch = Batch::new();
    walk::<ReplicaError>(source.store().as_ref(), Table::Entry, &[], |row| {
        let wrong = |cause| ReplicaError::Row { table: Table::Entry, cause };
        let was = EntryRow::decode(&row.value).map_err(wrong)?;
        if let (Kept::Refused(..), Some(at)) = (&was.kept, Place::decode(&row.key))
            && let Some(is) = target.entry(at)?.filter(|is| is.id == was.id && is.kept == Kept::Absent)
        {
            batch.put(Table::Entry, at.encode(), EntryRow { kept: was.kept, ..is }.encode());
            batch.delete(Table::Meta, keys::hole(at.space, at.device, at.seq));
        }
        Ok(())
    })?;
    Ok(target.store().commit(&batch)?)
}
