//! Erasing: what a tombstone drops, and when staff's tombstones suffice.
//!
//! What is gone stays gone, whatever is said later of those who erased it. So staff's tombstones are counted from the
//! tombstones themselves each time one begins or ceases to count, and nothing about them is remembered apart.

use std::collections::VecDeque;

use super::batch::BatchRefusal;
use super::rows::{Kept, Place};
use super::txn::Txn;
use crate::entry::codec::{self, Record};
use crate::entry::{Kind, Tombstone};
use crate::gate::Dep;
use crate::model::{DeviceId, PersonId, Role, SpaceId, SubjectId};
use crate::ordered::Map;

/// Persons of staff who must want it, one of them an administrator.
const STAFF_MIN: usize = 2;

/// Drops what a tombstone that counts erases: its owner's at once, staff's when another one of staff has signed.
pub(super) fn erase(
    txn: &mut Txn<'_>,
    at: Place,
    tombstone: &Tombstone,
    wakes: &mut VecDeque<Dep>,
) -> Result<(), BatchRefusal> {
    let (space, subject) = (at.space, tombstone.subject());
    let (kind, device) = match tombstone {
        Tombstone::Owner { kind, device, .. } => (*kind, *device),
        Tombstone::Administrator { .. } => {
            let Some(row) = txn.subject_row(space, subject)? else { return Ok(()) };
            if !staff_suffices(txn, space, subject)? {
                return Ok(());
            }
            (row.kind, row.creator.map_or(DeviceId::ZERO, |(device, _)| device))
        }
    };
    txn.erase(space, subject, kind, device)?;
    // What waited for this subject waits no longer: it hangs on nothing now.
    wakes.push_back(Dep::Subject(space, subject));
    Ok(())
}

/// Whether those of staff who want a subject erased are enough. The same person twice is one.
fn staff_suffices(txn: &Txn<'_>, space: SpaceId, subject: SubjectId) -> Result<bool, BatchRefusal> {
    let mut staff: Map<PersonId, bool> = Map::new();
    for at in txn.places_of(space, subject)? {
        let Some(row) = txn.entry(at)? else { continue };
        if let Kept::Present(body) = &row.kept
            && let Some(Tombstone::Administrator { .. }) = tombstone(row.kind, body)
            && let Some(person) = txn.members().person_in(space, at.device)
        {
            let has = txn.members().roles_at(space, at.device, at.seq);
            *staff.entry(person).or_insert(false) |= has.contains(&Role::Administrator);
        }
    }
    Ok(staff.len() >= STAFF_MIN && staff.values().any(|administrator| *administrator))
}

/// A person has other roles: what that person wanted erased before may suffice now.
pub(super) fn staff_changed(
    txn: &mut Txn<'_>,
    chains: &[(SpaceId, DeviceId)],
    wakes: &mut VecDeque<Dep>,
) -> Result<(), BatchRefusal> {
    for (space, device) in chains.iter().copied() {
        let Some(head) = txn.head(space, device) else { continue };
        for seq in 0..=head.seq {
            let at = Place { space, device, seq };
            if let Some(row) = txn.entry(at)?
                && let Kept::Present(body) = &row.kept
                && let Some(tombstone @ Tombstone::Administrator { .. }) = tombstone(row.kind, body)
            {
                erase(txn, at, &tombstone, wakes)?;
            }
        }
    }
    Ok(())
}

/// A body as a tombstone, if it is one.
pub(super) fn tombstone(kind: Kind, body: &[u8]) -> Option<Tombstone> {
    match codec::decode(kind, body) {
        Ok(Some(Record::Tombstone(tombstone))) => Some(tombstone),
        _ => None,
    }
}
