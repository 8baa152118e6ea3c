//! What is kept of an entry once it was judged, and judging again what waited.

use std::collections::VecDeque;

use super::admit::judge;
use super::batch::{Admitted, BatchRefusal};
use super::rows::{EntryRow, Kept, Place, SubjectRow};
use super::txn::Txn;
use super::{Side, built_on, erase, standing};
use crate::entry::codec::{self, Record};
use crate::entry::run::Rebuilt;
use crate::entry::subject::body_hash;
use crate::entry::{Header, Kind};
use crate::gate::body::{self, Judgement, SubjectState, is_document, is_membership};
use crate::gate::limits::{PENDING_BODIES_MAX, PENDING_BODIES_PER_DEVICE_MAX};
use crate::gate::{Dep, Reason, Verdict};
use crate::model::{DeviceId, EntryId};
use crate::store::{Table, keys};

/// Turns a judgement into what is kept, and notes what it does to its subject and to those that wait.
pub(super) fn keep(
    txn: &mut Txn<'_>,
    entry: &Rebuilt,
    judged: Option<Judgement>,
    wakes: &mut VecDeque<Dep>,
) -> Result<(Kept, Option<Record>), BatchRefusal> {
    let Header { space, device, seq, kind, subject, .. } = entry.header;
    let at = Place { space, device, seq };
    let erased = || txn.subject_row(space, subject).map(|row| row.is_some_and(|r| r.state == SubjectState::Erased));
    let (Some(judged), Some(body)) = (judged, entry.body.clone()) else {
        return Ok((if erased()? { Kept::Erased } else { Kept::Absent }, None));
    };
    let (kept, record, state) = match judged {
        Judgement::CardUsed => return Err(BatchRefusal::CardUsed),
        Judgement::CardWithdrawn => return Err(BatchRefusal::CardWithdrawn),
        Judgement::Erased => (Kept::Erased, None, None),
        Judgement::Pending(dep) => {
            let own = txn.is_own_write() || matches!(txn.replica().side, Side::Phone { device: own } if own == device);
            // Records about who belongs are judged as a set: whatever changes it says which of them count now.
            let is_log = matches!(dep, Dep::Log(_));
            let of_set = is_membership(kind) && !is_log;
            let dep = if of_set { Dep::Membership } else { dep };
            if txn.replica().side == Side::Server && txn.waiting_of(device) >= PENDING_BODIES_PER_DEVICE_MAX {
                return Err(BatchRefusal::Quota { device });
            }
            // A phone can't refuse what stands in the log. What it has no room for is a hole that is asked for later; but it is
            // the only place where its own words are, so those stay, and so does what says who belongs.
            let room = own || of_set || txn.replica().side == Side::Server || txn.waiting_count() < PENDING_BODIES_MAX;
            let kept = if room {
                txn.wait(dep, at)?;
                Kept::Pending(body)
            } else {
                Kept::Absent
            };
            (kept, None, Some(SubjectState::Pending))
        }
        Judgement::Refused(reason) => {
            let own = txn.is_own_write() || matches!(txn.replica().side, Side::Phone { device: own } if own == device);
            (Kept::Refused(Verdict::Refused(reason), own.then_some(body)), None, Some(SubjectState::Refused))
        }
        Judgement::Present(counted) => {
            if let Some(facts) = &counted.change {
                txn.remember_change(at, subject, facts);
                wakes.push_back(Dep::Change(subject, facts.hash));
            }
            wakes.extend(released_by(device, entry.id, &counted.record));
            (Kept::Present(body), Some(counted.record), Some(SubjectState::Live))
        }
    };
    if let (Some(opening), Some(state)) = (entry.opening, state) {
        let taken = matches!(kept, Kept::Refused(Verdict::Refused(Reason::SubjectTaken), _));
        if !taken {
            let owner = txn.members().author(space, device);
            let opening = Some((opening.seed, opening.commit));
            let row = SubjectRow { state, kind, creator: Some((device, seq)), owner, opening };
            txn.put(Table::Subject, keys::subject(space, subject), row.encode());
            wakes.push_back(Dep::Subject(space, subject));
        }
    }
    Ok((kept, record))
}

/// What a record about who belongs makes possible for others.
pub(super) fn released_by(device: DeviceId, id: EntryId, record: &Record) -> Vec<Dep> {
    match record {
        Record::Genesis(_) => vec![Dep::Root],
        Record::Invitation(invitation) => vec![Dep::Card(invitation.key)],
        Record::Join(join) => vec![Dep::Device(device), Dep::Role(join.person)],
        Record::Grant(grant) => vec![Dep::Role(grant.person)],
        Record::CircleCard(card) => vec![Dep::Card(*card)],
        Record::Epoch(_) | Record::Enrolment(_) => vec![Dep::Device(device)],
        Record::Revocation(_) => vec![Dep::Statement(id)],
        Record::Server(_)
        | Record::Directory(_)
        | Record::Change(_)
        | Record::Voice(_)
        | Record::Decision(_)
        | Record::Tombstone(_)
        | Record::Cut(_)
        | Record::Settlement(_)
        | Record::Withdrawal(_)
        | Record::Organisation(_)
        | Record::Generation(_)
        | Record::Wrap(_)
        | Record::Sealed(_)
        | Record::Answer(_)
        | Record::Count(_)
        | Record::Tally(_)
        | Record::Ruling(_) => Vec::new(),
    }
}

/// Judges again what waited, until nothing moves. Each place is asked at most once per thing that came, so this ends.
pub(super) fn wake_all(
    txn: &mut Txn<'_>,
    mut wakes: VecDeque<Dep>,
    admitted: &mut Admitted,
) -> Result<(), BatchRefusal> {
    while let Some(dep) = wakes.pop_front() {
        for at in txn.wake(dep) {
            let Some(row) = txn.entry(at)? else { continue };
            let Kept::Pending(body) = row.kept.clone() else { continue };
            // A body that came before its subject can be compared with its hash only now. One that isn't its header's was
            // its carrier's fault: the place is a hole again, for somebody else to fill.
            let salt = if row.creates || row.kind == Kind::TOMBSTONE { None } else { txn.salt(at.space, row.subject) };
            if salt.is_some_and(|salt| body_hash(&salt, at.device, at.seq, &body) != row.body_hash) {
                txn.put_entry(at, &EntryRow { kept: Kept::Absent, ..row }, false);
                continue;
            }
            let rebuilt = rebuild(txn, at, &row, body);
            let judged = match judge(txn, &rebuilt)? {
                // It has its place already (on the phone that wrote it), so it can only be refused there.
                Some(Judgement::CardUsed | Judgement::CardWithdrawn) => Some(Judgement::Refused(Reason::CardUsed)),
                judged => judged,
            };
            let (verdict, record) = keep_again(txn, at, &row, &rebuilt, judged, &mut wakes)?;
            if let Some(Record::Tombstone(tombstone)) = &record {
                erase::erase(txn, at, tombstone, &mut wakes)?;
            }
            if verdict != Verdict::Pending {
                admitted.woken.push(standing::outcome(at, &row, verdict, record));
            }
            standing::turn(txn, admitted, &mut wakes)?;
            if is_document(row.kind) && built_on::concerns(txn, at.space, row.subject)? {
                built_on::settle(txn, at.space, row.subject, admitted, &mut wakes)?;
            }
        }
    }
    Ok(())
}

/// Judges a change from behind a cut that others built on.
pub(super) fn judge_needed(
    txn: &mut Txn<'_>,
    at: Place,
    row: &EntryRow,
    body: &[u8],
    wakes: &mut VecDeque<Dep>,
) -> Result<Verdict, BatchRefusal> {
    let rebuilt = rebuild(txn, at, row, body.to_vec());
    let judged = body::judge_needed(txn, txn.members(), &rebuilt.header, row.creates, body)?;
    Ok(keep_again(txn, at, row, &rebuilt, Some(judged), wakes)?.0)
}

/// An entry that stands here already, as it is judged once more.
fn rebuild(txn: &mut Txn<'_>, at: Place, row: &EntryRow, body: Vec<u8>) -> Rebuilt {
    let opening = if row.creates { codec::opening(&body).ok().flatten() } else { None };
    // The subject row of a waiting creation says "pending"; it must not stand in its own way.
    if row.creates {
        txn.delete(Table::Subject, keys::subject(at.space, row.subject));
    }
    let header = Header {
        wijk: txn.replica().wijk(),
        space: at.space,
        device: at.device,
        seq: at.seq,
        prev: EntryId::ZERO,
        subject: row.subject,
        kind: row.kind,
        body_hash: row.body_hash,
        extra: row.extra.clone(),
    };
    let unchecked = !row.creates && row.kind != Kind::TOMBSTONE && txn.salt(at.space, row.subject).is_none();
    Rebuilt { header, id: row.id, body: Some(body), unchecked, opening }
}

fn keep_again(
    txn: &mut Txn<'_>,
    at: Place,
    row: &EntryRow,
    rebuilt: &Rebuilt,
    judged: Option<Judgement>,
    wakes: &mut VecDeque<Dep>,
) -> Result<(Verdict, Option<Record>), BatchRefusal> {
    let (kept, record) = keep(txn, rebuilt, judged, wakes)?;
    let verdict = kept.verdict();
    txn.put(Table::Entry, at.encode(), EntryRow { kept, ..row.clone() }.encode());
    Ok((verdict, record))
}
