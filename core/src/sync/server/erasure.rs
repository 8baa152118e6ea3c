//! How far an erasure reached: phones confirm that erased words have left their disks, and an author may ask how many did.
//!
//! The server knows how far it delivered a log, not what became of it on a phone. So a phone that has scrubbed its store
//! says up to where of the log it did ("confirm"), and that is kept, one row a device and space. Must never tell which
//! devices confirmed: only how many of how many.

use super::{Server, ServerError};
use crate::cbor::Reader;
use crate::entry::Kind;
use crate::gate::Verdict;
use crate::gate::body::SubjectState;
use crate::membership::Members;
use crate::model::{DeviceId, SpaceId, SubjectId};
use crate::replica::{EntryRow, Place, ReplicaError, SubjectRow};
use crate::store::{Batch, Store, StoreError, Table, keys};
use crate::sync::pieces::{PieceError, PieceReader};
use crate::sync::wire::{Frame, Reach};

/// A device's word that what was erased in a log is no longer on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Whose.
    pub device: DeviceId,
    /// Whose log.
    pub space: SpaceId,
    /// It has done everything before this number.
    pub next: u64,
}

fn confirmed(store: &dyn Store, key: &[u8]) -> Result<u64, StoreError> {
    let row = store.get(Table::Meta, key)?;
    let read = row
        .map(|row| Reader::new(&row).uint())
        .transpose()
        .map_err(|cause| StoreError::Damaged { place: "what a device confirmed".into(), what: cause.to_string() });
    Ok(read?.unwrap_or(0))
}

impl Server {
    /// Keeps what devices confirm, in one flush; the answers may be sent. A device can't take back what it confirmed, nor
    /// confirm what isn't in the log yet.
    ///
    /// # Errors
    /// When the store fails.
    pub fn confirm(&mut self, confirmations: &[Confirmation]) -> Result<Vec<Frame>, ServerError> {
        let mut batch = Batch::new();
        for confirmation in confirmations {
            let Confirmation { device, space, next } = *confirmation;
            let next = next.min(self.log.head(space)?.next);
            let key = keys::confirmed(space, &self.keys.epoch, device);
            if next > confirmed(self.replica.store().as_ref(), &key)? {
                let mut w = crate::cbor::Writer::new();
                w.uint(next);
                batch.put(Table::Meta, key, w.finish());
            }
        }
        if !batch.is_empty() {
            self.replica.store().commit(&batch)?;
        }
        let answers = confirmations.iter().map(|said| Frame::Confirmed { space: said.space, next: said.next });
        Ok(answers.collect())
    }
}

/// How far the erasure of a subject reached, or `None` when the server has none. Counted are devices that may read the space
/// now: not those that were taken out, which nobody can tell anything any more.
pub(super) fn reach(
    members: &Members,
    reader: &PieceReader,
    space: SpaceId,
    subject: SubjectId,
) -> Result<Option<Reach>, PieceError> {
    let Some(number) = erased_at(reader, space, subject)? else { return Ok(None) };
    let (mut devices, mut confirmed_by) = (0, 0);
    for (device, _) in members.devices().filter(|(device, _)| members.may_read(*device, space)) {
        devices += 1;
        let key = keys::confirmed(space, &reader.epoch(), device);
        confirmed_by += u64::from(confirmed(reader.rows().as_ref(), &key)? > number);
    }
    Ok(Some(Reach { devices, confirmed: confirmed_by }))
}

/// The number in the log by which a subject was erased: of several the last, so that nobody counts who might have known less.
fn erased_at(reader: &PieceReader, space: SpaceId, subject: SubjectId) -> Result<Option<u64>, PieceError> {
    let store = reader.rows();
    let row = store.get(Table::Subject, &keys::subject(space, subject))?;
    let read = |row: Vec<u8>| SubjectRow::decode(&row);
    let wrong = |table| move |cause| ReplicaError::Row { table, cause };
    let row = row.map(read).transpose().map_err(wrong(Table::Subject))?;
    if row.is_none_or(|row| row.state != SubjectState::Erased) {
        return Ok(None);
    }
    let prefix = keys::subject_entries(space, subject);
    let mut last = None;
    for row in store.scan(Table::Subject, &prefix, Some(&keys::after(&prefix)), usize::MAX)? {
        let Some((device, seq)) = keys::parse_subject_entry(&row.key) else { continue };
        let Some(entry) = store.get(Table::Entry, &Place { space, device, seq }.encode())? else { continue };
        let entry = EntryRow::decode(&entry).map_err(wrong(Table::Entry))?;
        if entry.kind != Kind::TOMBSTONE || entry.kept.verdict() != Verdict::Present {
            continue;
        }
        let numbers = keys::numbers_of(space, &reader.epoch(), entry.id);
        for row in store.scan(Table::Log, &numbers, Some(&keys::after(&numbers)), usize::MAX)? {
            let number = row.value.as_slice().try_into().ok().map(u64::from_be_bytes);
            last = last.max(number);
        }
    }
    Ok(last)
}
