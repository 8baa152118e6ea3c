//! What of a log reads otherwise than it did: bodies that were erased, or that were judged anew.
//!
//! A log only grows, but what travels with its items is what is here now. Whoever keeps pieces of a log in packed form packs
//! anew what holds one of these numbers.

use std::collections::BTreeSet;

use super::{LINES_AT_ONCE, PieceError, PieceReader, row_error};
use crate::model::{EntryId, SpaceId, SubjectId};
use crate::replica::{EntryRow, Place, SubjectRow, places_about};
use crate::store::{Table, keys};

impl PieceReader {
    /// All numbers that an entry has in the log of a space.
    fn numbers_of(&self, space: SpaceId, id: EntryId) -> Result<Vec<u64>, PieceError> {
        let prefix = keys::numbers_of(space, &self.epoch, id);
        let rows = self.store.scan(Table::Log, &prefix, Some(&keys::after(&prefix)), usize::MAX)?;
        let number = |value: Vec<u8>| Some(u64::from_be_bytes(value.as_slice().try_into().ok()?));
        Ok(rows.into_iter().filter_map(|row| number(row.value)).collect())
    }

    /// The numbers of all entries about a subject.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn numbers_about(&self, space: SpaceId, subject: SubjectId) -> Result<BTreeSet<u64>, PieceError> {
        let row = self.store.get(Table::Subject, &keys::subject(space, subject))?;
        let row = row.map(|row| SubjectRow::decode(&row)).transpose().map_err(row_error)?;
        let creator = row.and_then(|row| row.creator).map(|(device, seq)| Place { space, device, seq });
        let places = places_about(self.store.as_ref(), (space, subject), creator, row_error)?;
        let mut numbers = BTreeSet::new();
        for place in places {
            if let Some(row) = self.store.get(Table::Entry, &place.encode())? {
                numbers.extend(self.numbers_of(space, EntryRow::decode(&row).map_err(row_error)?.id)?);
            }
        }
        Ok(numbers)
    }

    /// The numbers of all entries of which the log says from number `from` on that they were judged anew, and the number up to
    /// which this was looked at.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn judged_again(&self, space: SpaceId, from: u64) -> Result<(BTreeSet<u64>, u64), PieceError> {
        let (mut numbers, mut next) = (BTreeSet::new(), from);
        loop {
            let lines = self.log.read(space, next, LINES_AT_ONCE)?;
            let Some(last) = lines.last() else { return Ok((numbers, next)) };
            next = last.number + 1;
            for line in lines.iter().filter(|line| line.item.again) {
                numbers.extend(self.numbers_of(space, line.item.id)?);
            }
        }
    }
}
