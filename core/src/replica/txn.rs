//! One admission in the making: rows, chain heads, members and waiting places that are either all taken over or all dropped.

use std::borrow::Cow;

use super::rows::{self, EntryRow, Head, Kept, Place, SubjectRow};
use super::{Replica, ReplicaError, Side, about};
use crate::cbor::{CborError, Reader};
use crate::entry::{Header, Kind, Salt};
use crate::gate::Dep;
use crate::gate::body::{self, ChangeFacts, Judgement, Known, SubjectFacts, SubjectState};
use crate::membership::{Changes, Members};
use crate::model::{DeviceId, EntryId, SpaceId, SubjectId};
use crate::ordered::{Map, Set};
use crate::store::erased::{self, Erasure};
use crate::store::{StoreError, Table, keys};

pub(super) struct Txn<'r> {
    replica: &'r Replica,
    rows: Map<(Table, Vec<u8>), Option<Vec<u8>>>,
    heads: Map<(SpaceId, DeviceId), Head>,
    members: Cow<'r, Members>,
    waiting_before: usize,
    begins_waiting: Vec<(Dep, Place)>,
    stops_waiting: Vec<(Dep, Place)>,
    changes: Changes,
    /// Whether this device is writing, rather than taking what came.
    own_write: bool,
}

/// What a finished admission hands over.
pub(super) struct Done {
    rows: Map<(Table, Vec<u8>), Option<Vec<u8>>>,
    heads: Map<(SpaceId, DeviceId), Head>,
    members: Option<Members>,
    begins_waiting: Vec<(Dep, Place)>,
    stops_waiting: Vec<(Dep, Place)>,
}

impl<'r> Txn<'r> {
    pub(super) fn new(replica: &'r Replica, own_write: bool) -> Self {
        Self {
            own_write,
            changes: Changes::default(),
            replica,
            rows: Map::new(),
            heads: Map::new(),
            members: Cow::Borrowed(&replica.members),
            waiting_before: replica.waiting_count(),
            begins_waiting: Vec::new(),
            stops_waiting: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Done {
        Done {
            rows: self.rows,
            heads: self.heads,
            members: match self.members {
                Cow::Owned(members) => Some(members),
                Cow::Borrowed(_) => None,
            },
            begins_waiting: self.begins_waiting,
            stops_waiting: self.stops_waiting,
        }
    }

    pub(super) fn replica(&self) -> &'r Replica {
        self.replica
    }

    pub(super) fn get(&self, table: Table, key: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        let id = (table, key);
        if let Some(value) = self.rows.get(&id) {
            return Ok(value.clone());
        }
        self.replica.row(table, &id.1)
    }

    pub(super) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.rows.insert((table, key), Some(value));
    }

    pub(super) fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.rows.insert((table, key), None);
    }

    /// Writes the row of an entry, and keeps the list of bodies that are missing. `was_hole`: this one was among them.
    pub(super) fn put_entry(&mut self, at: Place, row: &EntryRow, was_hole: bool) {
        let is_hole = row.kept == Kept::Absent;
        if is_hole || was_hole {
            let key = keys::hole(at.space, at.device, at.seq);
            if is_hole {
                self.put(Table::Meta, key, row.id.as_bytes().to_vec());
            } else {
                self.delete(Table::Meta, key);
            }
        }
        self.put(Table::Entry, at.encode(), row.encode());
    }

    pub(super) fn head(&self, space: SpaceId, device: DeviceId) -> Option<Head> {
        self.heads.get(&(space, device)).copied().or_else(|| self.replica.head(space, device))
    }

    pub(super) fn set_head(&mut self, space: SpaceId, device: DeviceId, head: Head) {
        self.heads.insert((space, device), head);
        self.put(Table::Meta, keys::chain_head(space, device), head.encode());
    }

    pub(super) fn members(&self) -> &Members {
        &self.members
    }

    /// Asks the body question; records of the space `members` change who belongs, in this admission only.
    pub(super) fn judge(
        &mut self,
        header: &Header,
        id: EntryId,
        creates: bool,
        body: &[u8],
    ) -> Result<Judgement, StoreError> {
        // Of two devices with one card the log names the one that is in: until then a join is only this phone's own word.
        if self.own_write && header.kind == Kind::JOIN {
            return Ok(Judgement::Pending(Dep::Log(header.device)));
        }
        let mut members = std::mem::replace(&mut self.members, Cow::Borrowed(&self.replica.members));
        let mut changes = std::mem::take(&mut self.changes);
        let judgement = body::judge(self, &mut members, header, id, creates, body, &mut changes);
        (self.members, self.changes) = (members, changes);
        judgement
    }

    /// Whether this device is writing, rather than taking what came.
    pub(super) fn is_own_write(&self) -> bool {
        self.own_write
    }

    /// What changed in who belongs since this was asked last.
    pub(super) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    pub(super) fn entry(&self, place: Place) -> Result<Option<EntryRow>, ReplicaError> {
        let row = self.get(Table::Entry, place.encode())?;
        row.map(|row| EntryRow::decode(&row).map_err(|cause| ReplicaError::Row { table: Table::Entry, cause }))
            .transpose()
    }

    pub(super) fn subject_row(&self, space: SpaceId, subject: SubjectId) -> Result<Option<SubjectRow>, ReplicaError> {
        let row = self.get(Table::Subject, keys::subject(space, subject))?;
        row.map(|row| SubjectRow::decode(&row).map_err(|cause| ReplicaError::Row { table: Table::Subject, cause }))
            .transpose()
    }

    pub(super) fn salt(&self, space: SpaceId, subject: SubjectId) -> Option<Salt> {
        let row = self.subject_row(space, subject).ok().flatten()?;
        row.opening.map(|(seed, _)| seed.salt())
    }

    /// Bodies of a device that wait, this admission included.
    pub(super) fn waiting_of(&self, device: DeviceId) -> usize {
        let before = self.replica.waiting_by_device.get(&device).copied().unwrap_or(0);
        let count = |waits: &[(Dep, Place)]| waits.iter().filter(|(_, place)| place.device == device).count();
        (before + count(&self.begins_waiting)).saturating_sub(count(&self.stops_waiting))
    }

    /// How many bodies wait, those of this admission included. A place waits for one thing at a time.
    pub(super) fn waiting_count(&self) -> usize {
        (self.waiting_before + self.begins_waiting.len()).saturating_sub(self.stops_waiting.len())
    }

    /// The entry at `place` waits for this from now on, and for nothing else.
    pub(super) fn wait(&mut self, dep: Dep, place: Place) -> Result<(), ReplicaError> {
        self.stop_waiting(place)?;
        self.put(Table::Pending, place.encode(), rows::encode_dep(&dep));
        self.begins_waiting.push((dep, place));
        Ok(())
    }

    /// The places that waited for `dep`; they wait no longer.
    pub(super) fn wake(&mut self, dep: Dep) -> Vec<Place> {
        let mut places: Set<Place> = self.replica.waiting.get(&dep).cloned().unwrap_or_default();
        for (_, place) in self.stops_waiting.iter().filter(|(d, _)| *d == dep) {
            places.remove(place);
        }
        // A place that was woken and waits for the same again is among these.
        places.extend(self.begins_waiting.iter().filter(|(d, _)| *d == dep).map(|(_, place)| *place));
        for place in &places {
            self.waits_no_longer(dep, *place);
        }
        places.into_iter().collect()
    }

    fn waits_no_longer(&mut self, dep: Dep, place: Place) {
        let began_here = self.begins_waiting.iter().position(|waits| *waits == (dep, place));
        match began_here {
            Some(at) => drop(self.begins_waiting.remove(at)),
            None => self.stops_waiting.push((dep, place)),
        }
        self.delete(Table::Pending, place.encode());
    }

    /// What the entry at `place` waits for.
    pub(super) fn waiting_for(&self, place: Place) -> Result<Option<Dep>, ReplicaError> {
        let row = self.get(Table::Pending, place.encode())?;
        let decode = |row: Vec<u8>| rows::decode_dep(&row);
        row.map(decode).transpose().map_err(|cause| ReplicaError::Row { table: Table::Pending, cause })
    }

    /// The entry at `place` waits no longer, whatever it waited for.
    pub(super) fn stop_waiting(&mut self, place: Place) -> Result<(), ReplicaError> {
        if let Some(dep) = self.waiting_for(place)? {
            self.waits_no_longer(dep, place);
        }
        Ok(())
    }

    /// Notes a change that counts, which says as well that the entry at its place is about the subject.
    pub(super) fn remember_change(&mut self, at: Place, subject: SubjectId, facts: &ChangeFacts) {
        for (key, value) in about::change_rows(at, subject, facts) {
            self.put(Table::Change, key, value);
        }
    }

    /// Forgets a change that no longer counts, and keeps where it stands.
    pub(super) fn forget_change(
        &mut self,
        at: Place,
        row: &EntryRow,
        facts: &ChangeFacts,
        before: Option<(u64, [u8; 32])>,
    ) {
        self.delete(Table::Change, keys::change(row.subject, &facts.hash));
        match before {
            Some((seq, hash)) => {
                self.put(Table::Change, keys::actor(row.subject, &facts.actor), about::encode_actor((seq, &hash)));
            }
            None => self.delete(Table::Change, keys::actor(row.subject, &facts.actor)),
        }
        if !row.creates {
            self.put(Table::Subject, keys::subject_entry(at.space, row.subject, at.device, at.seq), Vec::new());
        }
    }

    /// The places of a subject's entries, the creating one first, those included that no store has yet.
    pub(super) fn places_of(&self, space: SpaceId, subject: SubjectId) -> Result<Vec<Place>, ReplicaError> {
        let creator = self.subject_row(space, subject)?.and_then(|row| row.creator);
        let creator = creator.map(|(device, seq)| Place { space, device, seq });
        let mut places = Set::new();
        for (table, prefix) in about::rows_about(space, subject) {
            for (key, value) in self.rows_with(table, &prefix)? {
                let place = about::place_in(table, space, &key, &value);
                places.extend(place.map_err(|cause| ReplicaError::Row { table, cause })?);
            }
        }
        Ok(about::creator_first(creator, places))
    }

    /// The rows whose keys begin with `prefix`, those included that no store has yet: a server commits many pushes together.
    fn rows_with(&self, table: Table, prefix: &[u8]) -> Result<Map<Vec<u8>, Vec<u8>>, StoreError> {
        let rows = self.replica.store.scan(table, prefix, Some(&keys::after(prefix)), usize::MAX)?;
        let mut found: Map<Vec<u8>, Vec<u8>> = rows.into_iter().map(|row| (row.key, row.value)).collect();
        for rows in [&self.replica.uncommitted, &self.rows] {
            let fresh = rows.range((table, prefix.to_vec())..);
            for ((_, key), value) in fresh.take_while(|((t, key), _)| *t == table && key.starts_with(prefix)) {
                match value {
                    Some(value) => found.insert(key.clone(), value.clone()),
                    None => found.remove(key),
                };
            }
        }
        Ok(found)
    }

    /// Whether any key begins with `prefix`. Rows of this kind are only taken away one by one, with what they stand for.
    fn any_with(&self, table: Table, prefix: &[u8]) -> Result<bool, StoreError> {
        for rows in [&self.rows, &self.replica.uncommitted] {
            let fresh = rows.range((table, prefix.to_vec())..).next();
            if fresh.is_some_and(|((t, key), value)| *t == table && key.starts_with(prefix) && value.is_some()) {
                return Ok(true);
            }
        }
        Ok(!self.replica.store.scan(table, prefix, Some(&keys::after(prefix)), 1)?.is_empty())
    }

    /// Drops all bodies of a subject that was erased. Its headers stay as stubs.
    ///
    /// `device` created it, as the tombstone proves; so its person is known even where the creating body never came.
    pub(super) fn erase(
        &mut self,
        space: SpaceId,
        subject: SubjectId,
        kind: Kind,
        device: DeviceId,
    ) -> Result<(), ReplicaError> {
        let known = self.subject_row(space, subject)?;
        for place in self.places_of(space, subject)? {
            if let Some(mut entry) = self.entry(place)?
                && entry.kind != Kind::TOMBSTONE
            {
                let was_hole = entry.kept == Kept::Absent;
                entry.kept = Kept::Erased;
                self.put_entry(place, &entry, was_hole);
                self.stop_waiting(place)?;
                // The row of its change goes, and where it stands must still be found.
                if !entry.creates {
                    let about = keys::subject_entry(space, subject, place.device, place.seq);
                    self.put(Table::Subject, about, Vec::new());
                }
            }
        }
        for key in self.rows_with(Table::Change, &keys::changes(subject))?.into_keys() {
            self.delete(Table::Change, key);
        }
        let row = SubjectRow {
            state: SubjectState::Erased,
            kind: known.as_ref().map_or(kind, |row| row.kind),
            creator: known.as_ref().and_then(|row| row.creator),
            owner: known.as_ref().and_then(|row| row.owner).or_else(|| self.members.author(space, device)),
            opening: None,
        };
        self.put(Table::Subject, keys::subject(space, subject), row.encode());
        if known.is_none_or(|row| row.state != SubjectState::Erased) {
            let noted =
                erased::note(&Erasure { space, subject, kind, device }, |key| self.get(Table::Meta, key.to_vec()))?;
            for (key, value) in noted {
                self.put(Table::Meta, key, value);
            }
        }
        Ok(())
    }
}

impl Known for Txn<'_> {
    fn subject(&self, space: SpaceId, subject: SubjectId) -> Result<Option<SubjectFacts>, StoreError> {
        let row = match self.subject_row(space, subject) {
            Ok(row) => row,
            Err(ReplicaError::Store(error)) => return Err(error),
            Err(other) => return Err(damaged(&other)),
        };
        Ok(row.map(|row| SubjectFacts { state: row.state, kind: row.kind, owner: row.owner }))
    }

    fn is_spoken_of(&self, space: SpaceId, subject: SubjectId, kind: Option<Kind>) -> Result<bool, StoreError> {
        if let Some(facts) = self.subject(space, subject)? {
            return Ok(kind.is_none_or(|kind| facts.kind == kind));
        }
        match kind {
            Some(kind) => Ok(self.get(Table::Subject, keys::subject_kind(space, subject, kind.0))?.is_some()),
            None => self.any_with(Table::Subject, &keys::subject_kinds(space, subject)),
        }
    }

    fn change_max_op(&self, subject: SubjectId, hash: &[u8; 32]) -> Result<Option<u64>, StoreError> {
        let row = self.get(Table::Change, keys::change(subject, hash))?;
        let read = |row: Vec<u8>| Ok(about::decode_change(&row)?.0);
        row.map(read).transpose().map_err(|cause: CborError| damaged(&cause))
    }

    fn actor_last(&self, subject: SubjectId, actor: &[u8; 16]) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        let read = |row: Vec<u8>| -> Result<(u64, [u8; 32]), CborError> {
            let mut r = Reader::new(&row);
            r.array_of(2)?;
            Ok((r.uint()?, r.exact()?))
        };
        let row = self.get(Table::Change, keys::actor(subject, actor))?;
        row.map(read).transpose().map_err(|cause| damaged(&cause))
    }

    fn is_server(&self) -> bool {
        self.replica.side == Side::Server
    }
}

fn damaged(what: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { place: "a row".into(), what: what.to_string() }
}

impl Replica {
    /// Takes a finished admission over.
    pub(super) fn take_over(&mut self, done: Done) {
        self.admissions += 1;
        self.uncommitted.extend(done.rows);
        self.heads.extend(done.heads);
        if let Some(members) = done.members {
            self.members = members;
        }
        for (dep, place) in done.stops_waiting {
            if let Some(places) = self.waiting.get_mut(&dep) {
                if places.remove(&place)
                    && let Some(count) = self.waiting_by_device.get_mut(&place.device)
                {
                    *count = count.saturating_sub(1);
                }
                if places.is_empty() {
                    self.waiting.remove(&dep);
                }
            }
        }
        for (dep, place) in done.begins_waiting {
            self.waits(dep, place);
        }
    }
}
