//! Documents whose changes stand behind a cut.
//!
//! Others may have built on such a change before they heard of the cut, and without it their words couldn't be opened. So a
//! change behind a cut counts exactly as long as a change depends on it whose author still stands; it can be told apart by
//! its standing. This is decided for all changes of a subject together, so that the order they came in makes no difference.

use std::collections::VecDeque;

use super::batch::{Admitted, BatchRefusal};
use super::rows::{EntryRow, Kept, Place};
use super::standing::{let_wait, outcome, subject_waits, waits, written};
use super::txn::Txn;
use super::wake;
use crate::entry::codec::{self, Record};
use crate::gate::body::{ChangeFacts, had_right};
use crate::gate::{Dep, Verdict, change};
use crate::model::{SpaceId, SubjectId};
use crate::ordered::{Map, Set};

type ChangeHash = [u8; 32];

/// One change of a document, whether it counts or waits.
struct Built {
    at: Place,
    row: EntryRow,
    body: Vec<u8>,
    facts: ChangeFacts,
    deps: Set<ChangeHash>,
    /// What its author has to wait for, if anything.
    waits: Option<Dep>,
}

impl Built {
    fn counts(&self) -> bool {
        matches!(self.row.kept, Kept::Present(_))
    }
}

fn all(txn: &Txn<'_>, space: SpaceId, subject: SubjectId) -> Result<Vec<Built>, BatchRefusal> {
    let mut found = Vec::new();
    let places: Set<Place> = txn.places_of(space, subject)?.into_iter().collect();
    for at in places {
        let Some(row) = txn.entry(at)? else { continue };
        let (Kept::Present(body) | Kept::Pending(body)) = row.kept.clone() else { continue };
        let Ok(Some(Record::Change(record))) = codec::decode(row.kind, &body) else { continue };
        let Ok(pre) = change::preflight(&record.change) else { continue };
        let facts = ChangeFacts { hash: pre.hash, actor: pre.actor, seq: pre.seq, max_op: pre.max_op };
        let waits = waits(txn, at, &row)?;
        found.push(Built { at, row, body, facts, deps: pre.deps.iter().copied().collect(), waits });
    }
    Ok(found)
}

/// Decides anew which changes of a document count.
pub(super) fn settle(
    txn: &mut Txn<'_>,
    space: SpaceId,
    subject: SubjectId,
    admitted: &mut Admitted,
    wakes: &mut VecDeque<Dep>,
) -> Result<(), BatchRefusal> {
    drop_unneeded(txn, space, subject, admitted)?;
    admit_needed(txn, space, subject, admitted, wakes)
}

/// Whether a document has anything behind the end of a chain, so that it must be decided anew with a change that waits. In
/// nearly every wijk no chain has: the server takes nothing behind a cut.
pub(super) fn concerns(txn: &Txn<'_>, space: SpaceId, subject: SubjectId) -> Result<bool, BatchRefusal> {
    for (device, from) in txn.members().ends(space) {
        let Some(head) = txn.head(space, device) else { continue };
        for seq in from..=head.seq {
            if txn.entry(Place { space, device, seq })?.is_some_and(|row| row.subject == subject) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Lets changes wait whose author no longer stands and that nothing which counts was built on.
fn drop_unneeded(
    txn: &mut Txn<'_>,
    space: SpaceId,
    subject: SubjectId,
    admitted: &mut Admitted,
) -> Result<(), BatchRefusal> {
    loop {
        let changes = all(txn, space, subject)?;
        let needed: Set<ChangeHash> =
            changes.iter().filter(|c| c.counts()).flat_map(|c| c.deps.iter().copied()).collect();
        let counted: Set<ChangeHash> = changes.iter().filter(|c| c.counts()).map(|c| c.facts.hash).collect();
        let mut falls = None;
        for change in changes.iter().filter(|c| c.counts()) {
            let missing = change.deps.iter().find(|dep| !counted.contains(*dep));
            let is_needed =
                needed.contains(&change.facts.hash) && had_right(txn.members(), &written(txn, change.at, &change.row)?);
            let dep = change.waits.filter(|_| !is_needed).or(missing.map(|hash| Dep::Change(subject, *hash)));
            if let Some(dep) = dep {
                falls = Some((change, dep));
                break;
            }
        }
        let Some((fallen, dep)) = falls else { return Ok(()) };
        let earlier = changes.iter().filter(|c| c.counts() && c.facts.actor == fallen.facts.actor);
        let before = earlier.map(|c| (c.facts.seq, c.facts.hash)).filter(|(seq, _)| *seq < fallen.facts.seq).max();
        txn.forget_change(fallen.at, &fallen.row, &fallen.facts, before);
        let_wait(txn, fallen.at, &fallen.row, fallen.body.clone(), dep, admitted)?;
        if fallen.row.creates {
            // Whatever else is there wasn't built on the beginning of its document.
            for change in changes.iter().filter(|c| c.counts() && c.at != fallen.at) {
                txn.forget_change(change.at, &change.row, &change.facts, None);
            }
            return subject_waits(txn, space, subject, admitted);
        }
    }
}

/// Admits changes from behind a cut that somebody who stands built on, if with them that one counts.
fn admit_needed(
    txn: &mut Txn<'_>,
    space: SpaceId,
    subject: SubjectId,
    admitted: &mut Admitted,
    wakes: &mut VecDeque<Dep>,
) -> Result<(), BatchRefusal> {
    let changes = all(txn, space, subject)?;
    let by_hash: Map<ChangeHash, &Built> = changes.iter().map(|c| (c.facts.hash, c)).collect();
    let mut needed = Vec::new();
    for change in changes.iter().filter(|c| !c.counts() && c.waits.is_none()) {
        // What waits for anything else than what it was built on needs nothing yet.
        let waits_below = match txn.waiting_for(change.at)? {
            Some(Dep::Change(..)) => true,
            Some(Dep::Subject(of, begun)) => (of, begun) == (space, subject),
            _ => false,
        };
        if !waits_below {
            continue;
        }
        if let Some(below) = below(txn, change, &by_hash)? {
            needed.extend(below);
        }
    }
    let mut done = Set::new();
    for change in needed {
        if !done.insert(change.at) {
            continue;
        }
        txn.stop_waiting(change.at)?;
        let verdict = wake::judge_needed(txn, change.at, &change.row, &change.body, wakes)?;
        if verdict == Verdict::Present {
            let record = codec::decode(change.row.kind, &change.body).ok().flatten();
            admitted.woken.push(outcome(change.at, &change.row, verdict, record));
        }
    }
    Ok(())
}

/// The changes behind cuts that one change needs, those first that others of them depend on; nothing when one is missing, or
/// was never allowed.
fn below<'c>(
    txn: &Txn<'_>,
    change: &'c Built,
    by_hash: &Map<ChangeHash, &'c Built>,
) -> Result<Option<Vec<&'c Built>>, BatchRefusal> {
    let (mut order, mut seen) = (Vec::new(), Set::new());
    // Depth first without recursion: a change is put down behind everything that it depends on.
    let mut open = vec![(change, false)];
    while let Some((change, is_done)) = open.pop() {
        if is_done {
            if !change.counts() && change.waits.is_some() {
                order.push(change);
            }
            continue;
        }
        if !seen.insert(change.at) {
            continue;
        }
        open.push((change, true));
        for dep in change.deps.iter() {
            let Some(found) = by_hash.get(dep) else { return Ok(None) };
            if found.counts() {
                continue;
            }
            if found.waits.is_some() && !had_right(txn.members(), &written(txn, found.at, &found.row)?) {
                return Ok(None);
            }
            open.push((found, false));
        }
    }
    Ok(if order.is_empty() { None } else { Some(order) })
}
