//! Opening the app: the view is derived from what the store holds, without reading every change of every document.
//!
//! Of a document only its creating entry is read; its changes wait until somebody looks at it. Everything else is one or a few
//! entries a subject. So opening costs what there is to show, not what was ever written. Stores of before have not the rows
//! that this needs: of those every entry is read, as it was.

use super::joined::Joined;
use crate::cbor::{CborError, Reader, Writer};
use crate::entry::Kind;
use crate::entry::codec;
use crate::gate::Verdict;
use crate::gate::body::is_document;
use crate::model::{EntryId, SpaceId};
use crate::ordered::Set;
use crate::replica::{EntryRow, Kept, Place, Replica, ReplicaError};
use crate::store::log::decode_run;
use crate::store::{Batch, Table, keys};
use crate::view::{Numbered, View};

/// Row in `Table::Meta` of a store that has had the rows for quick opening from its beginning.
pub(super) const QUICK_KEY: &[u8] = b"quick-opening";

/// Rows of tombstones about one subject read at a time.
const TOMBSTONES_AT_ONCE: usize = 16;

/// Whether the day in the server's log is shown of such an entry: of a document that of its first one.
pub(super) fn is_numbered(kind: Kind, creates: bool) -> bool {
    match kind {
        Kind::CONTRIBUTION | Kind::MEETING => creates,
        _ => matches!(
            kind,
            Kind::DECISION | Kind::TOMBSTONE | Kind::SEALED | Kind::DROPPED | Kind::ANSWER | Kind::TALLY | Kind::RULING
        ),
    }
}

/// Notes in `rows` where an entry stands in the server's log.
pub(super) fn put_number(rows: &mut Batch, id: EntryId, numbered: &Numbered) {
    let mut w = Writer::new();
    w.array(3).uint(numbered.number).uint(u64::from(numbered.day)).uint(numbered.verdict.number());
    rows.put(Table::Meta, keys::shown_number(id), w.finish());
}

fn decode_number(row: &[u8]) -> Result<Numbered, CborError> {
    let mut r = Reader::new(row);
    r.array_of(3)?;
    let (number, day) = (r.uint()?, r.uint()?);
    let day = u32::try_from(day).map_err(|_| r.error("a day"))?;
    Ok(Numbered { number, day, verdict: Verdict::from_number(r.uint()?) })
}

/// Takes one entry into a view, if it counts; notes in `wanted` whether its number is asked for.
fn take(replica: &Replica, view: &mut View, place: Place, entry: &EntryRow, wanted: &mut Set<EntryId>) {
    if is_numbered(entry.kind, entry.creates) {
        wanted.insert(entry.id);
    }
    if let Kept::Present(body) = &entry.kept
        && let Ok(Some(record)) = codec::decode(entry.kind, body)
    {
        let person = replica.members().person_in(place.space, place.device);
        view.counts(place, entry.id, entry.kind, entry.subject, person, entry.creates, &record);
    }
}

impl Joined {
    /// Derives the view from the store.
    pub(super) fn derive(&mut self) -> Result<(), ReplicaError> {
        let mut wanted = Set::new();
        if self.replica.store().get(Table::Meta, QUICK_KEY)?.is_some() {
            for space in self.replica.spaces().into_iter().filter(|space| *space != SpaceId::Members) {
                self.read_subjects(space, &mut wanted)?;
            }
            self.read_noted_numbers(&wanted)
        } else {
            self.read_entries(&mut wanted)?;
            self.read_numbers(&wanted)
        }
    }

    /// Goes from subject to subject, past the rows that say which entries are about each.
    fn read_subjects(&mut self, space: SpaceId, wanted: &mut Set<EntryId>) -> Result<(), ReplicaError> {
        let (mut from, end) = (keys::space(space), keys::after(&keys::space(space)));
        while let Some(row) = self.replica.store().scan(Table::Subject, &from, Some(&end), 1)?.pop() {
            let (subject, is_tombstone) = keys::parse_any_subject(space, &row.key)
                .ok_or(ReplicaError::Contradiction { what: "the key of a subject has another form" })?;
            let rest = keys::subject_rest(space, subject);
            if row.key >= rest {
                // Behind what is about the subject: tombstones, and kinds of what isn't here.
                if is_tombstone {
                    self.read_tombstones(space, &row.key, wanted)?;
                }
                from = keys::after(&[keys::space(space).as_slice(), subject.as_bytes()].concat());
                continue;
            }
            let known = self.replica.subject(space, subject)?;
            let creator = known.as_ref().and_then(|known| known.creator);
            let places = match (known.is_some_and(|known| is_document(known.kind)), creator) {
                (true, Some((device, seq))) => vec![Place { space, device, seq }],
                (true, None) => Vec::new(),
                (false, _) => self.replica.entries_of(space, subject)?,
            };
            for place in places {
                if let Some(entry) = self.replica.entry(place)? {
                    take(&self.replica, &mut self.view, place, &entry, wanted);
                }
            }
            from = rest;
        }
        Ok(())
    }

    /// What takes a subject back, from the row `first` on.
    fn read_tombstones(&mut self, space: SpaceId, first: &[u8], wanted: &mut Set<EntryId>) -> Result<(), ReplicaError> {
        let prefix = first.get(..first.len().saturating_sub(40)).unwrap_or_default();
        let (mut from, end) = (first.to_vec(), keys::after(prefix));
        loop {
            let rows = self.replica.store().scan(Table::Subject, &from, Some(&end), TOMBSTONES_AT_ONCE)?;
            for row in &rows {
                let place = keys::parse_subject_entry(&row.key).map(|(device, seq)| Place { space, device, seq });
                if let Some(place) = place
                    && let Some(entry) = self.replica.entry(place)?
                {
                    take(&self.replica, &mut self.view, place, &entry, wanted);
                }
            }
            match rows.into_iter().next_back() {
                Some(last) => from = [last.key.as_slice(), &[0]].concat(),
                None => return Ok(()),
            }
        }
    }

    fn read_noted_numbers(&mut self, wanted: &Set<EntryId>) -> Result<(), ReplicaError> {
        for id in wanted {
            if let Some(row) = self.replica.store().get(Table::Meta, &keys::shown_number(*id))? {
                let numbered = decode_number(&row).map_err(|cause| ReplicaError::Row { table: Table::Meta, cause })?;
                self.view.numbered(*id, numbered);
            }
        }
        Ok(())
    }

    /// Every entry of a store of before.
    fn read_entries(&mut self, wanted: &mut Set<EntryId>) -> Result<(), ReplicaError> {
        let view = &mut self.view;
        // Records of `members` are folded where they belong; answers to secret polls are only this device's own.
        self.replica.walk(Table::Entry, &[], |replica, row| {
            let entry =
                EntryRow::decode(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Entry, cause })?;
            match Place::decode(&row.key) {
                Some(place) if place.space != SpaceId::Members => take(replica, view, place, &entry, wanted),
                _ => {}
            }
            Ok(())
        })
    }

    /// Every line of the logs of a store of before.
    fn read_numbers(&mut self, wanted: &Set<EntryId>) -> Result<(), ReplicaError> {
        for space in self.replica.spaces() {
            let view = &mut self.view;
            self.replica.walk(Table::Log, &keys::space(space), |_, row| {
                let (items, _) =
                    decode_run(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Log, cause })?;
                let first = row.key.last_chunk::<8>().map_or(0, |number| u64::from_be_bytes(*number));
                for (number, item) in (first..).zip(items).filter(|(_, item)| wanted.contains(&item.id)) {
                    view.numbered(item.id, Numbered { number, day: item.day, verdict: item.verdict });
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
