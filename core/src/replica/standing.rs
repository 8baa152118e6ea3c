//! What changes for entries that have their place already when who belongs changes: records of `members` that begin or cease
//! to count, and chains that end at a cut.
//!
//! Along the server's log a cut never has anything behind it. A replica that got entries by another way may have; they wait
//! from then on, and count again if a higher rank takes the revocation back.

use std::collections::{BTreeSet, VecDeque};

use super::admit::{Admitted, BatchRefusal, News, Outcome, released_by};
use super::rows::{EntryRow, Kept, Place};
use super::txn::Txn;
use crate::entry::Kind;
use crate::entry::codec::{self, Record};
use crate::gate::body::{ChangeFacts, SubjectState, is_document, is_membership};
use crate::gate::{Dep, Verdict, change};
use crate::model::{ChainEnd, SpaceId, SubjectId};
use crate::store::{Table, keys};

/// Carries out what the fold says anew of records that were judged before.
pub(super) fn turn(txn: &mut Txn<'_>, admitted: &mut Admitted, wakes: &mut VecDeque<Dep>) -> Result<(), BatchRefusal> {
    for flip in txn.take_flips() {
        let at = Place { space: SpaceId::Members, device: flip.device, seq: flip.seq };
        let Some(row) = txn.entry(at)? else { continue };
        let (kept, record, verdict) = match (&row.kept, flip.counts) {
            (Kept::Pending(body), true) => {
                let record = codec::decode(row.kind, body).ok().flatten();
                txn.stop_waiting(at)?;
                (Kept::Present(body.clone()), record, Verdict::Present)
            }
            (Kept::Present(body), false) => {
                if let Ok(Some(Record::Cut(cut))) = codec::decode(row.kind, body) {
                    wakes.push_back(Dep::Readmission(cut.end.device));
                }
                txn.wait(Dep::Membership, at);
                (Kept::Pending(body.clone()), None, Verdict::Pending)
            }
            _ => continue,
        };
        set_subject(txn, at, &row, verdict)?;
        txn.put(Table::Entry, at.encode(), EntryRow { kept, ..row.clone() }.encode());
        if let Some(record) = &record {
            wakes.extend(released_by(at.device, row.id, record));
        }
        let cut = match &record {
            Some(Record::Cut(cut)) => Some(cut.end),
            _ => None,
        };
        admitted.woken.push(outcome(at, &row, verdict, record));
        if let Some(end) = cut {
            end_chain(txn, &end, admitted)?;
        }
    }
    Ok(())
}

/// Lets everything behind the end of a chain wait, but for changes that others built on, and for erasures: what is gone stays
/// gone. Records of `members` are the fold's own business.
pub(super) fn end_chain(txn: &mut Txn<'_>, end: &ChainEnd, admitted: &mut Admitted) -> Result<(), BatchRefusal> {
    let (space, device) = (end.space, end.device);
    let Some(head) = txn.head(space, device).filter(|_| space != SpaceId::Members) else { return Ok(()) };
    // From the last one down: what a change that stays was built on stays as well.
    for seq in (end.entries..=head.seq).rev() {
        let at = Place { space, device, seq };
        let Some(row) = txn.entry(at)? else { continue };
        let Kept::Present(body) = row.kept.clone() else { continue };
        // A role may be gone and the person still belong: then only what needs the role waits.
        if row.kind == Kind::TOMBSTONE || is_membership(row.kind) || txn.still_counts(at, &row)? {
            continue;
        }
        if is_document(row.kind) {
            let Some(facts) = facts(&row, &body) else { continue };
            if is_built_on(txn, space, row.subject, at, &facts.hash)? {
                continue;
            }
            let before = change_before(txn, space, row.subject, at, &facts)?;
            txn.forget_change(row.subject, &facts, before);
        }
        set_subject(txn, at, &row, Verdict::Pending)?;
        txn.wait(Dep::Readmission(device), at);
        txn.put(Table::Entry, at.encode(), EntryRow { kept: Kept::Pending(body), ..row.clone() }.encode());
        admitted.woken.push(outcome(at, &row, Verdict::Pending, None));
    }
    Ok(())
}

fn outcome(at: Place, row: &EntryRow, verdict: Verdict, record: Option<Record>) -> Outcome {
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

fn facts(row: &EntryRow, body: &[u8]) -> Option<ChangeFacts> {
    let Ok(Some(Record::Change(record))) = codec::decode(row.kind, body) else { return None };
    let found = change::preflight(&record.change).ok()?;
    Some(ChangeFacts { hash: found.hash, actor: found.actor, seq: found.seq, max_op: found.max_op })
}

/// A change and what it was built on.
type Built = (ChangeFacts, BTreeSet<[u8; 32]>);

/// Changes of a subject that count, but for the one at `but`.
fn other_changes(txn: &Txn<'_>, space: SpaceId, subject: SubjectId, but: Place) -> Result<Vec<Built>, BatchRefusal> {
    let mut found = Vec::new();
    for at in txn.places_of(space, subject)?.into_iter().filter(|at| *at != but) {
        let Some(row) = txn.entry(at)? else { continue };
        let Kept::Present(body) = &row.kept else { continue };
        let Ok(Some(Record::Change(record))) = codec::decode(row.kind, body) else { continue };
        if let Ok(pre) = change::preflight(&record.change) {
            let facts = ChangeFacts { hash: pre.hash, actor: pre.actor, seq: pre.seq, max_op: pre.max_op };
            found.push((facts, pre.deps.iter().copied().collect()));
        }
    }
    Ok(found)
}

fn is_built_on(
    txn: &Txn<'_>,
    space: SpaceId,
    subject: SubjectId,
    at: Place,
    hash: &[u8; 32],
) -> Result<bool, BatchRefusal> {
    Ok(other_changes(txn, space, subject, at)?.iter().any(|(_, deps)| deps.contains(hash)))
}

fn change_before(
    txn: &Txn<'_>,
    space: SpaceId,
    subject: SubjectId,
    at: Place,
    facts: &ChangeFacts,
) -> Result<Option<(u64, [u8; 32])>, BatchRefusal> {
    let others = other_changes(txn, space, subject, at)?;
    let earlier = others.iter().filter(|(other, _)| other.actor == facts.actor && other.seq < facts.seq);
    Ok(earlier.map(|(other, _)| (other.seq, other.hash)).max())
}
