//! The verdict on the server's own copy, read from its stopped store without the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use samenspraak_core::document::{self, contribution};
use samenspraak_core::entry::Kind;
use samenspraak_core::entry::codec::{self, DocumentChange, Record};
use samenspraak_core::model::{EntryId, SpaceId, SubjectId};
use samenspraak_core::replica::{EntryRow, Kept, Place, Replica, ReplicaError, Side};
use samenspraak_core::store::disk::DiskStore;
use samenspraak_core::store::{Store, Table, keys, walk};
use samenspraak_core::view::View;

use super::compare::AnswerKey;
use crate::error::ProgramError;
use crate::folder::{Folder, Which};
use crate::verify::{Found, check_store};

/// What was found.
#[derive(Debug, Default)]
pub struct Copy {
    /// Contributions that count.
    pub statements: usize,
    /// Voices that count.
    pub voices: usize,
    /// Entries that a phone had saved and that aren't here, don't count, or have no number.
    pub lost: usize,
    /// One line for each difference.
    pub differences: Vec<String>,
}

/// Compares the server's store with what must come out, and with every entry that phones had saved.
pub fn check(folder: &Folder, key: &AnswerKey, saved: &[EntryId]) -> Result<Copy, ProgramError> {
    let (store, journal) = DiskStore::open_read_only(&folder.store_path(Which::Server))?;
    let (wijk, epoch) = (folder.wijk()?, folder.keys()?.epoch);
    let mut found = Found::default();
    found.problems.extend(journal.damage.iter().map(|damage| format!("{}: {}", damage.place, damage.what)));
    check_store(&store, wijk, &mut found)?;
    let mut copy = Copy::default();
    copy.differences.extend(found.problems.into_iter().map(|problem| format!("server: {problem}")));

    let store: Arc<dyn Store> = Arc::new(store);
    let replica = Replica::open(wijk, Side::Server, Arc::clone(&store))?;
    let (mut view, mut changes) = (View::default(), BTreeMap::<SubjectId, Vec<(EntryId, Vec<u8>)>>::new());
    walk::<ProgramError>(store.as_ref(), Table::Entry, &keys::space(SpaceId::Open), |row| {
        let entry = EntryRow::decode(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Entry, cause })?;
        let (Some(place), Kept::Present(body)) = (Place::decode(&row.key), &entry.kept) else { return Ok(()) };
        if let Ok(Some(record)) = codec::decode(entry.kind, body) {
            let person = replica.members().person(place.device);
            view.counts(place, entry.id, entry.kind, entry.subject, person, entry.creates, &record);
            if let (Kind::CONTRIBUTION, Record::Change(DocumentChange { change, .. })) = (entry.kind, record) {
                changes.entry(entry.subject).or_default().push((entry.id, change));
            }
        }
        Ok(())
    })?;
    let text = |changes| contribution::read(&document::open(changes).doc).text;
    let texts = changes.into_iter().map(|(subject, changes)| (subject, text(changes))).collect();
    copy.differences.extend(key.compare_texts("server", "", &texts));
    let (voices, differences) = key.compare_voices("server", "", &view);
    copy.differences.extend(differences);
    (copy.statements, copy.voices) = (texts.len(), voices);

    for id in saved {
        let place = replica.place_of(*id)?;
        let entry = place.map(|place| replica.entry(place)).transpose()?.flatten();
        let counts = entry.is_some_and(|entry| matches!(entry.kept, Kept::Present(_)));
        let prefix = keys::numbers_of(SpaceId::Open, &epoch, *id);
        let numbered = !store.scan(Table::Log, &prefix, Some(&keys::after(&prefix)), 1)?.is_empty();
        copy.lost += usize::from(!counts || !numbered);
    }
    Ok(copy)
}
