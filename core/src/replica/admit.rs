//! The header question for runs from elsewhere, and what follows from the body question.
//!
//! First the runs are rebuilt and their signatures checked, without touching anything: what fails is the carrier's fault
//! and the whole batch is refused. Then each entry takes its place in its chain, whatever becomes of its body.

use std::collections::VecDeque;

use super::batch::{Admitted, BatchRefusal, Checked, News, Outcome, RunBatch};
use super::rows::{EntryRow, Head, Kept, Place};
use super::txn::Txn;
use super::wake::{keep, wake_all};
use super::{Replica, ReplicaError, Side, built_on, erase, standing};
use crate::entry::codec::{Opening, Record};
use crate::entry::run::{Cursor, Rebuilt};
use crate::entry::{Header, Kind, Salt, Signature, sign};
use crate::gate::body::{Judgement, SubjectState, is_document};
use crate::gate::limits::{BATCH_ENTRIES_MAX, SEGMENT_ENTRIES_MAX};
use crate::gate::{Dep, Reason, Verdict, rules};
use crate::membership::Members;
use crate::model::{DeviceId, EntryId, SpaceId, SubjectId};
use crate::ordered::{Map, Set};
use crate::store::{Table, keys};

impl Replica {
    /// Admits runs in one space.
    ///
    /// # Errors
    /// When the batch is refused whole; then nothing changed.
    pub fn admit(&mut self, space: SpaceId, batch: &RunBatch) -> Result<Admitted, BatchRefusal> {
        self.admit_checked(space, batch, None)
    }

    /// The same for a batch that may have been checked before. A check counts for the batch it was made of, and only while
    /// nothing else was admitted since.
    ///
    /// # Errors
    /// As for [`Replica::admit`].
    pub fn admit_checked(
        &mut self,
        space: SpaceId,
        batch: &RunBatch,
        checked: Option<Checked>,
    ) -> Result<Admitted, BatchRefusal> {
        let checked = checked.filter(|checked| checked.space == space && checked.admissions == self.admissions);
        let rebuilt = checked.map_or_else(|| self.check(space, batch), Ok)?.entries;
        let mut txn = Txn::new(self, false);
        let mut admitted = Admitted::default();
        let mut closing = Map::new();
        for run in &batch.runs {
            closing.insert((run.device, run.first_seq + run.entries.len() as u64 - 1), run.signature);
        }
        for entry in rebuilt {
            let signature = closing.get(&(entry.header.device, entry.header.seq)).copied();
            place(&mut txn, entry, signature, &mut admitted)?;
        }
        let done = txn.finish();
        self.take_over(done);
        Ok(admitted)
    }

    /// The header question alone, for a batch that comes next: everything that is its carrier's responsibility, signatures
    /// included. A phone asks it while what came before is being stored.
    ///
    /// # Errors
    /// As for [`Replica::admit`].
    pub fn check(&self, space: SpaceId, batch: &RunBatch) -> Result<Checked, BatchRefusal> {
        Ok(Checked { space, entries: self.rebuild(space, batch)?, admissions: self.admissions })
    }

    /// Places an entry that this device just made.
    pub(super) fn place_own(
        &mut self,
        header: Header,
        id: EntryId,
        opening: Option<Opening>,
        body: Vec<u8>,
        signature: Signature,
    ) -> Result<Admitted, ReplicaError> {
        let mut txn = Txn::new(self, true);
        let mut admitted = Admitted::default();
        let rebuilt = Rebuilt { header, id, body: Some(body), unchecked: false, opening };
        place(&mut txn, rebuilt, Some(signature), &mut admitted).map_err(|refusal| match refusal {
            BatchRefusal::Replica(error) => error,
            _ => ReplicaError::Contradiction { what: "this device's own entry has no place in its chain" },
        })?;
        let done = txn.finish();
        self.take_over(done);
        Ok(admitted)
    }

    /// Computes headers and ids in log order and checks everything that is the carrier's responsibility.
    fn rebuild(&self, space: SpaceId, batch: &RunBatch) -> Result<Vec<Rebuilt>, BatchRefusal> {
        let count: usize = batch.runs.iter().map(|run| run.entries.len()).sum();
        // Only a server's log is packed so far, and only phones read it.
        let most = if self.side == Side::Server { BATCH_ENTRIES_MAX } else { SEGMENT_ENTRIES_MAX };
        if count > most || (!batch.order.is_empty() && batch.order.len() != count) {
            return Err(BatchRefusal::Form);
        }
        let devices: Set<DeviceId> = batch.runs.iter().map(|run| run.device).collect();
        if devices.len() != batch.runs.len() {
            return Err(BatchRefusal::Form);
        }
        for run in &batch.runs {
            let expected = self.head(space, run.device).map_or(0, |head| head.seq + 1);
            // In `members` a card lets somebody in, in closed spaces a right: what is said decides there (`header_allows`).
            let belongs = space == SpaceId::Members || space.is_closed() || self.members.is_member(run.device);
            let belongs = belongs || self.side != Side::Server && self.members.has_come(space, run.device);
            let last = run.first_seq + run.entries.len() as u64;
            if self.side == Side::Server && last > expected && self.is_past_its_end(space, run.device, last - 1) {
                return Err(BatchRefusal::Revoked { device: run.device });
            }
            if !belongs && self.members.person(run.device).is_none() {
                return Err(BatchRefusal::NotMember { device: run.device });
            }
            if run.first_seq > expected {
                return Err(BatchRefusal::Gap { device: run.device, first_seq: run.first_seq, expected });
            }
        }
        let mut salts: Map<SubjectId, Salt> = Map::new();
        let mut cursors: Vec<Cursor<'_>> = batch.runs.iter().map(Cursor::new).collect();
        let mut rebuilt = Vec::with_capacity(count);
        // Two runs of one device must tell the same story where they overlap, or its chain would be sewn from two.
        let mut ids: Map<(DeviceId, u64), EntryId> = Map::new();
        let lookup = Txn::new(self, false);
        let run_after_run =
            batch.runs.iter().enumerate().flat_map(|(at, run)| std::iter::repeat_n(at, run.entries.len()));
        let given = batch.order.iter().map(|at| *at as usize);
        let order: Box<dyn Iterator<Item = usize>> =
            if batch.order.is_empty() { Box::new(run_after_run) } else { Box::new(given) };
        for at in order {
            let cursor = cursors.get_mut(at).ok_or(BatchRefusal::Form)?;
            // Looked up once: a document's changes come in a row.
            let mut salt_of = |subject| {
                let salt = salts.get(&subject).copied().or_else(|| lookup.salt(space, subject))?;
                salts.insert(subject, salt);
                Some(salt)
            };
            let entry = cursor.next(self.wijk, space, &mut salt_of).ok_or(BatchRefusal::Form)??;
            if let Some(opening) = entry.opening {
                salts.insert(entry.header.subject, opening.seed.salt());
            }
            self.check_link(&entry)?;
            let Header { device, seq, .. } = entry.header;
            if ids.insert((device, seq), entry.id).is_some_and(|other| other != entry.id) {
                return Err(BatchRefusal::Fork { device, seq });
            }
            rebuilt.push(entry);
        }
        for (run, cursor) in batch.runs.iter().zip(&cursors) {
            let last = run.first_seq + run.entries.len() as u64 - 1;
            // What stands here already was proven when it came: comparing ids is enough.
            let known = self.head(space, run.device).is_some_and(|head| last <= head.seq);
            if !known && !sign::verify_entry(run.device, cursor.last_id(), &run.signature) {
                return Err(BatchRefusal::Signature { device: run.device });
            }
        }
        Ok(rebuilt)
    }

    /// Whether whoever writes with a key no longer belongs.
    fn is_revoked(&self, space: SpaceId, key: DeviceId) -> bool {
        self.members.device_behind(space, key).is_some_and(|device| self.members.is_revoked(device))
            || self.members.closed(space).is_some_and(|closed| closed.removed.contains_key(&key))
    }

    /// Whether a revoked chain may not reach this far. What the author of the revocation had seen of it still counts, also
    /// where it comes after the revocation: somebody who leaves, or a relay, may bring the last words later.
    fn is_past_its_end(&self, space: SpaceId, key: DeviceId, last_seq: u64) -> bool {
        let is_cut = !self.members.stands_at(space, key, u64::MAX);
        self.is_revoked(space, key) && !(is_cut && self.members.stands_at(space, key, last_seq))
    }

    /// Compares an entry with what stands at its place, and its link with the chain's end.
    fn check_link(&self, entry: &Rebuilt) -> Result<(), BatchRefusal> {
        let Header { space, device, seq, prev, .. } = entry.header;
        let Some(head) = self.head(space, device) else {
            return Ok(());
        };
        let fits = if seq == head.seq + 1 {
            prev == head.id
        } else if seq <= head.seq {
            self.entry(Place { space, device, seq })?.is_some_and(|row| row.id == entry.id)
        } else {
            true
        };
        if fits { Ok(()) } else { Err(BatchRefusal::Fork { device, seq }) }
    }
}

/// Puts one entry in its place, judges its body, and wakes what waited for it.
fn place(
    txn: &mut Txn<'_>,
    entry: Rebuilt,
    signature: Option<Signature>,
    admitted: &mut Admitted,
) -> Result<(), BatchRefusal> {
    let Header { space, device, seq, kind, subject, .. } = entry.header;
    let at = Place { space, device, seq };
    let mut news = News::Placed;
    let mut held = None;
    let head = txn.head(space, device);
    if head.is_some_and(|head| seq == head.seq + 1 && entry.header.prev != head.id) {
        return Err(BatchRefusal::Fork { device, seq });
    }
    if head.is_some_and(|head| seq <= head.seq) {
        let row = txn.entry(at)?.ok_or(ReplicaError::Contradiction { what: "a chain has a gap" })?;
        if row.kept != Kept::Absent || entry.body.is_none() {
            let verdict = row.kept.verdict();
            // Runs end elsewhere in the log of another epoch. Only where a signature is held can a chain be handed on.
            if row.signature.is_none()
                && let Some(signature) = signature.filter(|signature| sign::verify_entry(device, row.id, signature))
            {
                txn.put(Table::Entry, at.encode(), EntryRow { signature: Some(signature), ..row.clone() }.encode());
            }
            admitted.entries.push(Outcome {
                place: at,
                id: row.id,
                kind,
                subject,
                verdict,
                creates: row.creates,
                news: News::Known,
                record: None,
            });
            // The log has placed this device's own join.
            return wake_all(txn, VecDeque::from([Dep::Log(device)]), admitted);
        }
        news = News::Again;
        held = row.signature;
        if row.creates {
            // A hole that is filled must not stand in its own way.
            txn.delete(Table::Subject, keys::subject(space, subject));
        }
    }
    // What came again was compared by its id only, so the signature that was checked then stays.
    let signature = if news == News::Again { held } else { signature };
    let mut wakes = VecDeque::new();
    let judged = judge(txn, &entry)?;
    if news == News::Placed && (space == SpaceId::Members || space.is_closed()) {
        header_allows(txn, space, device, kind, &judged)?;
    }
    let (kept, record) = keep(txn, &entry, judged, &mut wakes)?;
    let creates = entry.opening.is_some();
    let row = EntryRow {
        id: entry.id,
        kind,
        subject,
        body_hash: entry.header.body_hash,
        creates,
        kept,
        signature,
        extra: entry.header.extra,
    };
    let verdict = row.kept.verdict();
    txn.put_entry(at, &row, news == News::Again);
    if news == News::Placed {
        txn.put(Table::EntryId, entry.id.as_bytes().to_vec(), at.encode());
        txn.set_head(space, device, Head { seq, id: entry.id });
        // One whose subject was taken didn't make its row: an erasure must find it all the same.
        if entry.opening.is_none() || verdict == Verdict::Refused(Reason::SubjectTaken) {
            // The row of a change that counts says so itself.
            if !matches!(record, Some(Record::Change(_))) {
                txn.put(Table::Subject, keys::subject_entry(space, subject, device, seq), Vec::new());
            }
            if kind == Kind::TOMBSTONE {
                txn.put(Table::Subject, keys::subject_tombstone(space, subject, device, seq), Vec::new());
            }
            note_kind(txn, space, subject, kind, &mut wakes)?;
        }
    }
    if let Some(Record::Tombstone(tombstone)) = &record {
        erase::erase(txn, at, tombstone, &mut wakes)?;
    }
    admitted.entries.push(Outcome { place: at, id: entry.id, kind, subject, verdict, creates, news, record });
    standing::turn(txn, admitted, &mut wakes)?;
    if is_document(kind) && built_on::concerns(txn, space, subject)? {
        built_on::settle(txn, space, subject, admitted, &mut wakes)?;
    }
    wake_all(txn, wakes, admitted)
}

pub(super) fn judge(txn: &mut Txn<'_>, entry: &Rebuilt) -> Result<Option<Judgement>, ReplicaError> {
    let Header { space, subject, .. } = entry.header;
    match &entry.body {
        // A second entry of such a kind never counts. Waiting, a record of who belongs would be folded at the next start.
        Some(_) if entry.unchecked && !rules::can_follow(entry.header.kind) => {
            Ok(Some(Judgement::Refused(Reason::Final)))
        }
        Some(_) if entry.unchecked => {
            let erased = txn.subject_row(space, subject)?.is_some_and(|row| row.state == SubjectState::Erased);
            Ok(Some(if erased { Judgement::Erased } else { Judgement::Pending(Dep::Subject(space, subject)) }))
        }
        Some(body) => Ok(Some(txn.judge(&entry.header, entry.id, entry.opening.is_some(), body)?)),
        None => Ok(None),
    }
}

/// The header question in `members` and closed spaces: only who belongs there, or shows a card or a right, gets a place.
fn header_allows(
    txn: &Txn<'_>,
    space: SpaceId,
    device: DeviceId,
    kind: Kind,
    judged: &Option<Judgement>,
) -> Result<(), BatchRefusal> {
    let own = matches!(txn.replica().side, Side::Phone { device: own } if own == device) || txn.is_own_write();
    let members = txn.members();
    let belongs = match space {
        SpaceId::Members => members.is_member(device),
        _ => members.device_behind(space, device).is_some() || members.server_key(device).is_some(),
    };
    match judged {
        Some(Judgement::CardUsed) => Err(BatchRefusal::CardUsed),
        Some(Judgement::CardWithdrawn) => Err(BatchRefusal::CardWithdrawn),
        // Who had the right to come in once and has it no longer doesn't come in with a fresh key.
        Some(Judgement::Present(_)) if kind == Kind::ENROLMENT && txn.replica().side == Side::Server && !own => {
            let device_behind = members.device_behind(space, device);
            match device_behind.is_some_and(|behind| members.belongs_in(behind, space)) {
                true => Ok(()),
                false => Err(BatchRefusal::Revoked { device }),
            }
        }
        _ if own || belongs => Ok(()),
        // A server lets nobody in whom it doesn't count. A phone keeps whatever may stand in the server's log, or it could
        // not read on: of two who came with one card another one may have counted here by then.
        Some(Judgement::Pending(dep))
            if txn.replica().side != Side::Server && may_come(members, space, device, kind, dep) =>
        {
            Ok(())
        }
        Some(Judgement::Refused(_)) if txn.replica().side != Side::Server && members.has_come(space, device) => Ok(()),
        Some(Judgement::Pending(Dep::Card(_))) => Err(BatchRefusal::CardUnknown),
        Some(Judgement::Refused(_)) if kind == Kind::JOIN => Err(BatchRefusal::CardUnknown),
        _ => Err(BatchRefusal::NotMember { device }),
    }
}

/// Whether somebody whose record waits came with what could let anybody in.
fn may_come(members: &Members, space: SpaceId, key: DeviceId, kind: Kind, dep: &Dep) -> bool {
    match (kind, dep) {
        (Kind::JOIN, Dep::Card(card)) => members.is_announced(space, *card) || members.is_named(key),
        (Kind::ENROLMENT, Dep::Card(card)) => members.is_announced(space, *card),
        (Kind::ENROLMENT, _) => {
            members.enrolled_by(space, key).is_some_and(|device| members.has_come(SpaceId::Members, device))
        }
        _ => members.has_come(space, key),
    }
}

/// Notes that something of a kind is about a subject whose creation isn't here: what speaks of it needs no more.
fn note_kind(
    txn: &mut Txn<'_>,
    space: SpaceId,
    subject: SubjectId,
    kind: Kind,
    wakes: &mut VecDeque<Dep>,
) -> Result<(), BatchRefusal> {
    let key = keys::subject_kind(space, subject, kind.0);
    if kind == Kind::TOMBSTONE
        || txn.subject_row(space, subject)?.is_some()
        || txn.get(Table::Subject, key.clone())?.is_some()
    {
        return Ok(());
    }
    txn.put(Table::Subject, key, Vec::new());
    wakes.push_back(Dep::Subject(space, subject));
    Ok(())
}
