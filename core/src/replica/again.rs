//! Erasing again: an old copy of a store was put back, and what was erased since it was made is in it once more.
//!
//! A list of erasures kept outside the store says what must go before anything of the store is shown or served
//! ([`Erasure`] says what stands in it). Tombstones themselves come back with the next sync, as entries in their chains; until
//! then the subject is refused as after any erasure. Must never do more than the tombstone did: drop bodies, keep headers.

use std::sync::Arc;

use super::txn::Txn;
use super::{Replica, ReplicaError, Side, SubjectRow};
use crate::gate::body::SubjectState;
use crate::model::WijkId;
use crate::ordered::Set;
use crate::store::erased::{Erasure, since};
use crate::store::{Store, Table, keys, walk};

/// Erases in a store what it doesn't know to be erased, also subjects it never had, and commits that. Returns how many there
/// were. The bytes leave the files with the next scrub, which is due then.
///
/// # Errors
/// When the store can't be read or written; then nothing of it may be shown.
pub fn erase_again(
    store: &Arc<dyn Store>,
    wijk: WijkId,
    side: Side,
    erasures: &[Erasure],
) -> Result<usize, ReplicaError> {
    // What the store's own list says was erased in the same commit as it was listed. So the rows of subjects, which after a kill
    // wait for the index of a large store, are asked for only where the two lists differ.
    let listed: Set<Erasure> = match erasures {
        [] => Set::new(),
        _ => since(store.as_ref(), 0)?.into_iter().collect(),
    };
    let mut missing = Vec::new();
    for erasure in erasures.iter().filter(|erasure| !listed.contains(erasure)) {
        if !is_erased(store.as_ref(), erasure)? {
            missing.push(*erasure);
        }
    }
    if missing.is_empty() {
        return Ok(0);
    }
    let mut replica = Replica::open(wijk, side, Arc::clone(store))?;
    let mut txn = Txn::new(&replica, false);
    for erasure in &missing {
        txn.erase(erasure.space, erasure.subject, erasure.kind, erasure.device)?;
    }
    let done = txn.finish();
    replica.take_over(done);
    store.commit(&replica.take_rows())?;
    Ok(missing.len())
}

fn is_erased(store: &dyn Store, erasure: &Erasure) -> Result<bool, ReplicaError> {
    let row = store.get(Table::Subject, &keys::subject(erasure.space, erasure.subject))?;
    let row = row.map(|row| SubjectRow::decode(&row)).transpose();
    let row = row.map_err(|cause| ReplicaError::Row { table: Table::Subject, cause })?;
    Ok(row.is_some_and(|row| row.state == SubjectState::Erased))
}

/// Every subject that is erased in a store, from its rows: for a list that is begun later than the store.
///
/// # Errors
/// When it can't be read.
pub fn erased_subjects(store: &dyn Store) -> Result<Vec<Erasure>, ReplicaError> {
    let mut found = Vec::new();
    walk::<ReplicaError>(store, Table::Subject, &[], |row| {
        if let Some((space, subject)) = keys::parse_subject(&row.key) {
            let facts = SubjectRow::decode(&row.value);
            let facts = facts.map_err(|cause| ReplicaError::Row { table: Table::Subject, cause })?;
            if facts.state == SubjectState::Erased {
                let device = facts.creator.map_or(crate::model::DeviceId::ZERO, |(device, _)| device);
                found.push(Erasure { space, subject, kind: facts.kind, device });
            }
        }
        Ok(())
    })?;
    Ok(found)
}
