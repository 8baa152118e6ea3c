//! What changes for entries that have their place already when who belongs changes: records of who belongs that begin or
//! cease to count, chains that end at a cut, devices that lose their place in the wijk.
//!
//! Along the server's log a cut never has anything behind it. A replica that got entries by another way may have; they wait
//! from then on, and count again if a higher rank takes the revocation back. What is said here of an entry depends on the
//! set of entries only: asking it before or after the cut came gives the same.

use std::collections::{BTreeSet, VecDeque};

use super::admit::{Admitted, BatchRefusal, News, Outcome};
use super::built_on;
use super::erase::{self, tombstone};
use super::rows::{EntryRow, Kept, Place};
use super::txn::Txn;
use super::wake::released_by;
use crate::entry::codec::{self, Record};
use crate::entry::{Kind, Tombstone};
use crate::gate::body::{SubjectState, Written, is_document, is_membership, waits_for};
use crate::gate::{Dep, Verdict};
use crate::model::{DeviceId, PersonId, Role, SpaceId, SubjectId};
use crate::store::{Table, keys};

/// Carries out what the fold says anew of records that were judged before.
pub(super) fn turn(txn: &mut Txn<'_>, admitted: &mut Admitted, wakes: &mut VecDeque<Dep>) -> Result<(), BatchRefusal> {
    for flip in txn.take_flips() {
        let at = Place { space: flip.space, device: flip.device, seq: flip.seq };
        let Some(row) = txn.entry(at)? else { continue };
        let (Kept::Pending(body) | Kept::Present(body)) = row.kept.clone() else { continue };
        let was = matches!(row.kept, Kept::Present(_));
        let Ok(Some(record)) = codec::decode(row.kind, &body) else { continue };
        if was == flip.counts {
            continue;
        }
        let (kept, verdict) = match flip.counts {
            true => {
                txn.stop_waiting(at)?;
                (Kept::Present(body), Verdict::Present)
            }
            false => {
                txn.wait(Dep::Membership, at);
                (Kept::Pending(body), Verdict::Pending)
            }
        };
        set_subject(txn, at, &row, verdict)?;
        txn.put(Table::Entry, at.encode(), EntryRow { kept, ..row.clone() }.encode());
        let said = flip.counts.then(|| record.clone());
        admitted.woken.push(outcome(at, &row, verdict, said));
        if flip.counts {
            wakes.extend(released_by(at.device, row.id, &record));
            came_to_count(txn, &record, admitted, wakes)?;
        } else {
            ceased_to_count(txn, at, &record, admitted, wakes)?;
        }
    }
    Ok(())
}

/// What follows from a record of who belongs for entries that have their place.
pub(super) fn came_to_count(
    txn: &mut Txn<'_>,
    record: &Record,
    admitted: &mut Admitted,
    wakes: &mut VecDeque<Dep>,
) -> Result<(), BatchRefusal> {
    match record {
        Record::Cut(cut) if cut.end.space == SpaceId::Members => {
            // Records of `members` are the fold's own business; but devices that came with a card from behind the cut have
            // lost what it took.
            for (space, device) in chains_of_others(txn, cut.end.device) {
                reconsider(txn, space, device, 0, admitted, wakes)?;
            }
        }
        Record::Cut(cut) => reconsider(txn, cut.end.space, cut.end.device, cut.end.entries, admitted, wakes)?,
        Record::Grant(grant) if grant.role == Role::Administrator => {
            let chains = chains_of(txn, grant.person);
            erase::administrator_came(txn, &chains, wakes)?;
        }
        _ => {}
    }
    Ok(())
}

fn ceased_to_count(
    txn: &mut Txn<'_>,
    at: Place,
    record: &Record,
    admitted: &mut Admitted,
    wakes: &mut VecDeque<Dep>,
) -> Result<(), BatchRefusal> {
    match record {
        Record::Cut(cut) => {
            let behind = txn.members().device_behind(cut.end.space, cut.end.device);
            let person = behind.and_then(|device| txn.members().person(device));
            wakes.push_back(Dep::Readmission(cut.end.device));
            wakes.extend(person.map(Dep::Role));
            let others = person.map(|person| chains_of(txn, person)).unwrap_or_default();
            wakes.extend(others.into_iter().map(|(_, key)| Dep::Readmission(key)));
        }
        Record::Grant(grant) => {
            for (space, device) in chains_of(txn, grant.person) {
                reconsider(txn, space, device, 0, admitted, wakes)?;
            }
        }
        Record::Join(_) => {
            let closed = txn.members().closed_keys(at.device);
            for (space, device) in open_chains(at.device).into_iter().chain(closed) {
                reconsider(txn, space, device, 0, admitted, wakes)?;
            }
        }
        Record::Enrolment(_) => reconsider(txn, at.space, at.device, 0, admitted, wakes)?,
        _ => {}
    }
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

/// The chains of a person's devices beside this one.
fn chains_of_others(txn: &Txn<'_>, device: DeviceId) -> Vec<(SpaceId, DeviceId)> {
    let person = txn.members().person(device);
    let all = person.map(|person| chains_of(txn, person)).unwrap_or_default();
    all.into_iter().filter(|(_, other)| *other != device).collect()
}

/// Asks again of everything on a chain from a place on whether it still counts. What no longer does waits, but for changes
/// that others built on, and for owners' erasures.
fn reconsider(
    txn: &mut Txn<'_>,
    space: SpaceId,
    device: DeviceId,
    from: u64,
    admitted: &mut Admitted,
    wakes: &mut VecDeque<Dep>,
) -> Result<(), BatchRefusal> {
    let Some(head) = txn.head(space, device).filter(|_| space != SpaceId::Members) else { return Ok(()) };
    let mut documents = BTreeSet::new();
    for seq in from..=head.seq {
        let at = Place { space, device, seq };
        let Some(row) = txn.entry(at)? else { continue };
        let Kept::Present(body) = row.kept.clone() else { continue };
        if is_membership(row.kind) {
            continue;
        }
        if is_document(row.kind) {
            documents.insert(row.subject);
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
    txn.wait(dep, at);
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
    Outcome { place: at, id: row.id, kind: row.kind, subject: row.subject, verdict, news: News::Again, record }
}

fn set_subject(txn: &mut Txn<'_>, at: Place, row: &EntryRow, verdict: Verdict) -> Result<(), BatchRefusal> {
    if row.creates
        && let Some(mut subject) = txn.subject_row(at.space, row.subject)?
        && subject.creator == Some((at.device, at.seq))
    {
        subject.state = if verdict == Verdict::Present { SubjectState::Live } else { SubjectState::Pending };
        txn.put(Table::Subject, keys::subject(at.space, row.subject), subject.encode());
    }
    Ok(())
}
