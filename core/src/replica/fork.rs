//! Giving way: this copy holds one branch of a chain, and the server's log has the other.
//!
//! Two entries at one place prove that a device exists twice. Which branch stands is never guessed: the server says it in a
//! signed record, and a copy that holds the other branch sets it aside. Nothing of it is lost: the entries move to
//! `Table::Aside`, where whoever wrote them finds the words again. What is left reads like a copy that never had the branch.
//!
//! Only chains of words give way. A chain in `members` says who belongs, and a phone whose own is forked there needs a new card.

use super::rows::{EntryRow, Head, Kept, Place};
use super::{Replica, ReplicaError, about};
use crate::entry::Kind;
use crate::entry::codec::{self, Record};
use crate::gate::body::ChangeFacts;
use crate::gate::change;
use crate::model::{DeviceId, SpaceId, SubjectId};
use crate::ordered::Set;
use crate::store::{Batch, Row, Table, keys};

impl Replica {
    /// The first place of a device's chain in a space where the server says that another entry stands than the one here.
    ///
    /// # Errors
    /// When the chain can't be read.
    pub fn branches_off(&self, space: SpaceId, device: DeviceId) -> Result<Option<u64>, ReplicaError> {
        let Some(head) = self.head(space, device).filter(|_| space != SpaceId::Members) else { return Ok(None) };
        for seq in 0..=head.seq {
            let Some(stands) = self.members.fork_winner(space, device, seq) else { continue };
            if self.entry(Place { space, device, seq })?.is_some_and(|row| row.id != stands) {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }

    /// The rows that set the branch from `seq` on aside. After they are committed the replica must be opened again.
    ///
    /// # Errors
    /// When the branch can't be read.
    pub fn set_aside(&self, space: SpaceId, device: DeviceId, seq: u64) -> Result<Batch, ReplicaError> {
        let mut batch = Batch::new();
        let Some(head) = self.head(space, device) else { return Ok(batch) };
        let mut documents: Set<SubjectId> = Set::new();
        let mut kinds: Set<(SubjectId, Kind)> = Set::new();
        let mut gone: Set<Place> = Set::new();
        for seq in seq..=head.seq {
            let at = Place { space, device, seq };
            let row = self.entry(at)?.ok_or(ReplicaError::Contradiction { what: "a chain has a gap" })?;
            gone.insert(at);
            batch.put(Table::Aside, [&at.encode()[..], row.id.as_bytes()].concat(), row.encode());
            batch.delete(Table::Entry, at.encode());
            batch.delete(Table::EntryId, row.id.as_bytes().as_slice());
            batch.delete(Table::Pending, at.encode());
            batch.delete(Table::Meta, keys::hole(space, device, seq));
            batch.delete(Table::Subject, keys::subject_entry(space, row.subject, device, seq));
            batch.delete(Table::Subject, keys::subject_tombstone(space, row.subject, device, seq));
            let is_creator = |subject: super::SubjectRow| subject.creator == Some((device, seq));
            if row.creates && self.subject(space, row.subject)?.is_some_and(is_creator) {
                batch.delete(Table::Subject, keys::subject(space, row.subject));
            }
            kinds.insert((row.subject, row.kind));
            if matches!(row.kind, Kind::CONTRIBUTION | Kind::MEETING) {
                documents.insert(row.subject);
            }
        }
        for subject in documents {
            self.remember_changes_but(space, subject, &gone, &mut batch)?;
        }
        for (subject, kind) in kinds {
            if !self.is_spoken_of_beside(space, subject, kind, &gone)? {
                batch.delete(Table::Subject, keys::subject_kind(space, subject, kind.0));
            }
        }
        match seq.checked_sub(1) {
            Some(last) => {
                let row = self.entry(Place { space, device, seq: last })?;
                let row = row.ok_or(ReplicaError::Contradiction { what: "a chain has a gap" })?;
                batch.put(Table::Meta, keys::chain_head(space, device), Head { seq: last, id: row.id }.encode());
            }
            None => batch.delete(Table::Meta, keys::chain_head(space, device)),
        }
        Ok(batch)
    }

    /// Whether an entry of a kind outside a branch is about a subject.
    fn is_spoken_of_beside(
        &self,
        space: SpaceId,
        subject: SubjectId,
        kind: Kind,
        branch: &Set<Place>,
    ) -> Result<bool, ReplicaError> {
        for at in self.entries_of(space, subject)?.into_iter().filter(|at| !branch.contains(at)) {
            if self.entry(at)?.is_some_and(|row| row.kind == kind) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The rows about a document's changes as they are without those of a branch.
    fn remember_changes_but(
        &self,
        space: SpaceId,
        subject: SubjectId,
        gone: &Set<Place>,
        batch: &mut Batch,
    ) -> Result<(), ReplicaError> {
        let prefix = keys::changes(subject);
        for row in self.store.scan(Table::Change, &prefix, Some(&keys::after(&prefix)), usize::MAX)? {
            batch.delete(Table::Change, row.key);
        }
        let mut changes = Vec::new();
        for at in self.entries_of(space, subject)?.into_iter().filter(|at| !gone.contains(at)) {
            let Some(row) = self.entry(at)? else { continue };
            if let Kept::Present(body) = &row.kept
                && let Ok(Some(Record::Change(record))) = codec::decode(row.kind, body)
                && let Ok(found) = change::preflight(&record.change)
            {
                let facts = ChangeFacts { hash: found.hash, actor: found.actor, seq: found.seq, max_op: found.max_op };
                changes.push((at, facts));
            }
        }
        // The last change of an actor is the one that stays under its key.
        changes.sort_by_key(|(_, facts)| facts.seq);
        for (at, facts) in changes {
            for (key, value) in about::change_rows(at, subject, &facts) {
                batch.put(Table::Change, key, value);
            }
        }
        Ok(())
    }

    /// Entries that were set aside, with their places.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn aside(&self) -> Result<Vec<(Place, EntryRow)>, ReplicaError> {
        let rows = self.store.scan(Table::Aside, &[], None, usize::MAX)?;
        let read = |row: &Row| {
            let at = row.key.len().checked_sub(32).and_then(|end| Place::decode(&row.key[..end]));
            let at =
                at.ok_or(ReplicaError::Contradiction { what: "the key of an entry set aside has another form" })?;
            let entry = EntryRow::decode(&row.value);
            Ok((at, entry.map_err(|cause| ReplicaError::Row { table: Table::Aside, cause })?))
        };
        rows.iter().map(read).collect()
    }
}
