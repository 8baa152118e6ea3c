//! What changes for entries that have their place already when who belongs changes: records of who belongs that begin or
//! cease to count, chains that end at a cut, devices that lose their place in the wijk.
//!
//! Along the server's log a cut never has anything behind it. A replica that got entries by another way may have; they wait
//! from then on, and count again if a higher rank takes the revocation back. What is said here of an entry depends on the
//! set of entries only: asking it before or after the cut came gives the same.

use std::collections::VecDeque;

use super::batch::{Admitted, BatchRefusal, News, Outcome};
use super::built_on;
use super::erase::{self, tombstone};
use super::rows::{EntryRow, Kept, Place};
use super::txn::Txn;
use super::wake::released_by;
use crate::entry::codec::{self, Record};
use crate::entry::{Kind, Tombstone};
use crate::gate::body::{SubjectState, Written, is_document, is_membership, waits_for};
use crate::gate::{Dep, Verdict};
use crate::membership::Flip;
use crate::model::{DeviceId, PersonId, SpaceId, SubjectId};
use crate::ordered::Set;
use crate::store::{Table, keys};

/// Carries out what the fold says anew of records that were judged before, and asks again of everything whose author's
/// standing changed.
pub(super) fn turn(txn: &mut Txn<'_>, admitted: &mut Admitted, wakes: &mut VecDeque<Dep>) -> Result<(), BatchRefusal> {
    let changes = txn.take_changes();
    for flip in &changes.flips {
        turn_one(txn, flip, admitted, wakes)?;
    }
    let mut chains = changes.chains;
    for person in changes.people {
        wakes.push_back(Dep::Role(person));
        let of_person = chains_of(txn, person);
        erase::staff_changed(txn, &of_person, wakes)?;
        chains.extend(of_person);
    }
    for (space, device) in chains {
        wakes.push_back(Dep::Readmission(device));
        reconsider(txn, space, device, admitted, wakes)?;
    }
    Ok(())
}

fn turn_one(
    txn: &mut Txn<'_>,
    flip: &Flip,
    admitted: &mut Admitted,
    wakes: &mut VecDeque<Dep>,
) -> Result<(), BatchRefusal> {
    let at = Place { space: flip.space, device: flip.device, seq: flip.seq };
    let Some(row) = txn.entry(at)? else { return Ok(()) };
    let (kept, record, verdict) = match (row.kept.clone(), flip.counts) {
        (Kept::Pending(body), true) => {
            let record = codec::decode(row.kind, &body).ok().flatten();
            txn.stop_waiting(at)?;
            (Kept::Present(body), record, Verdict::Present)
        }
        (Kept::Present(body), false) => {
            txn.wait(Dep::Membership, at)?;
            (Kept::Pending(body), None, Verdict::Pending)
        }
        _ => return Ok(()),
    };
    set_subject(txn, at, &row, verdict)?;
    txn.put(Table::Entry, at.encode(), EntryRow { kept, ..row.clone() }.encode());
    if let Some(record) = &record {
        wakes.extend(released_by(at.device, row.id, record));
    }
    admitted.woken.push(outcome(at, &row, verdict, record));
    Ok(())
}

fn open_chains(device: DeviceId) -> [(SpaceId, DeviceId); 2] {
    [(SpaceId::Open, device), (SpaceId::Ballot, device)]
}

/// The chains of a person's devices, but for those in `members`.
fn chains_of(txn: &Txn<'_>, person: PersonId) -> Vec<(SpaceId, DeviceId)> {
    let devices = txn.members().devices_of_person(person);
    let closed = devices.iter().flat_map(|device| txn.members().closed_keys(*device));
    devices.iter().flat_map(|device| open_chains(*device)).chain(closed).collect()
}

/// Asks again of everything on a chain whether it still counts. What no longer does waits, but for changes
/// that others built on, and for owners' erasures.
fn reconsider(
    txn: &mut Txn<'_>,
    space: SpaceId,
    device: DeviceId,
    admitted: &mut Admitted,
    wakes: &mut VecDeque<Dep>,
) -> Result<(), BatchRefusal> {
    let Some(head) = txn.head(space, device).filter(|_| space != SpaceId::Members) else { return Ok(()) };
    let mut documents = Set::new();
    for seq in 0..=head.seq {
        let at = Place { space, device, seq };
        let Some(row) = txn.entry(at)? else { continue };
        // A change that waits may be the one for which others from behind a cut are needed, now that its author may write.
        if is_document(row.kind) && matches!(row.kept, Kept::Present(_) | Kept::Pending(_)) {
            documents.insert(row.subject);
            continue;
        }
        let Kept::Present(body) = row.kept.clone() else { continue };
        if is_membership(row.kind) {
            continue;
        }
        if row.kind == Kind::TOMBSTONE && !matches!(tombstone(row.kind, &body), Some(Tombstone::Administrator { .. })) {
            continue;
        }
        if let Some(dep) = waits(txn, at, &row)? {
            let_wait(txn, at, &row, body, dep, admitted)?;
            if row.creates {
                subject_waits(txn, space, row.subject, admitted)?;
            }
        }
    }
    for subject in documents {
        built_on::settle(txn, space, subject, admitted, wakes)?;
    }
    Ok(())
}

/// What an entry has to wait for by who belongs now, if it can't count.
pub(super) fn waits(txn: &Txn<'_>, at: Place, row: &EntryRow) -> Result<Option<Dep>, BatchRefusal> {
    Ok(waits_for(txn.members(), &written(txn, at, row)?))
}

/// An entry as far as its standing is asked about.
pub(super) fn written(txn: &Txn<'_>, at: Place, row: &EntryRow) -> Result<Written, BatchRefusal> {
    let owner = txn.subject_row(at.space, row.subject)?.and_then(|subject| subject.owner);
    Ok(Written { at: (at.space, at.device, at.seq), kind: row.kind, creates: row.creates, owner })
}

/// Lets an entry wait that counted.
pub(super) fn let_wait(
    txn: &mut Txn<'_>,
    at: Place,
    row: &EntryRow,
    body: Vec<u8>,
    dep: Dep,
    admitted: &mut Admitted,
) -> Result<(), BatchRefusal> {
    set_subject(txn, at, row, Verdict::Pending)?;
    txn.wait(dep, at)?;
    txn.put(Table::Entry, at.encode(), EntryRow { kept: Kept::Pending(body), ..row.clone() }.encode());
    admitted.woken.push(outcome(at, row, Verdict::Pending, None));
    Ok(())
}

/// Lets everything wait that was written about a subject whose creation waits.
pub(super) fn subject_waits(
    txn: &mut Txn<'_>,
    space: SpaceId,
    subject: SubjectId,
    admitted: &mut Admitted,
) -> Result<(), BatchRefusal> {
    for at in txn.places_of(space, subject)? {
        let Some(row) = txn.entry(at)? else { continue };
        let Kept::Present(body) = row.kept.clone() else { continue };
        if row.kind != Kind::TOMBSTONE {
            let_wait(txn, at, &row, body, Dep::Subject(space, subject), admitted)?;
        }
    }
    Ok(())
}

pub(super) fn outcome(at: Place, row: &EntryRow, verdict: Verdict, record: Option<Record>) -> Outcome {
    let EntryRow { id, kind, subject, creates, .. } = *row;
    Outcome { place: at, id, kind, subject, verdict, creates, news: News::Again, record }
}

fn set_subject(txn: &mut Txn<'_>, at: Place, row: &EntryRow, verdict: Verdict) -> Result<(), BatchRefusal> {
    if row.creates
        && let Some(mut subject) = txn.subject_row(at.space, row.subject)?
        && subject.creator == Some((at.device, at.seq))
    {
        subject.state = if verdict == Verdict::Present { SubjectState::Live } else { SubjectState::Pending };
        // It may have come before anybody knew whose it is.
        subject.owner = txn.members().author(at.space, at.device);
        txn.put(Table::Subject, keys::subject(at.space, row.subject), subject.encode());
    }
    Ok(())
}
