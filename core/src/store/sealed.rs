//! A store whose values are encrypted on the disk: what a phone that is lost or sold still holds, nobody can read without
//! its key.
//!
//! [`SealedStore`] stands around any [`Store`]. Every value is sealed for its table and key (`cipher` says how), under a
//! *data key* of 32 random bytes. The data key itself is sealed under the *master key*, which a [`KeyVault`] keeps, and stands
//! in the row `seal` of `Table::Meta`; opening that row is what tells a right key from a wrong one, and a platform that changes
//! its master key need not write everything anew.
//!
//! **What stays visible** to somebody who has the files and not the key: the keys of rows, so how many entries, subjects,
//! changes and receipts there are, in which spaces, written by which devices (ids, which are random numbers or hashes);
//! the names of a few facts (`identity`, `sync/…`, `log-head/…`); sizes of values; which row was written in the same batch as
//! which. The key of a change is its hash: who guesses *all* the words and the author's session of eight random bytes
//! can test the guess. No name, address or word stands in a key.
//!
//! **What it does not do**: notice that a row, or all of them, were put back as they were earlier; hide that a row was
//! written again with the same value; protect a program's memory while it runs.
//!
//! Must never answer a value that was not sealed for exactly that row, never begin anew over rows that it can't open, and
//! never write a plain value. Next: `opening` for new stores, stores of before, and keys.

mod cipher;
mod opening;

use std::sync::Arc;

use super::{Batch, Op, Row, Store, StoreError, Table, VALUE_BYTES_MAX};
use cipher::Cipher;
pub use cipher::{SEAL_BYTES, SEAL_BYTES_MAX};
use opening::Position;
pub use opening::{Begun, SealError, is_sealed};

#[cfg(doc)]
use crate::vault::KeyVault;

/// The row of `Table::Meta` that holds the sealed data key. Nobody above sees it.
pub const SEAL_ROW: &[u8] = b"seal";

/// See the module.
pub struct SealedStore {
    below: Arc<dyn Store>,
    place: String,
    cipher: Cipher,
    /// Rows from here on are plain yet: a conversion was interrupted and the store is opened for reading only.
    plain_from: Option<Position>,
}

impl std::fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedStore({})", self.place)
    }
}

fn is_seal(table: Table, key: &[u8]) -> bool {
    table == Table::Meta && key == SEAL_ROW
}

impl SealedStore {
    /// The store below, which holds sealed values.
    #[must_use]
    pub fn below(&self) -> &Arc<dyn Store> {
        &self.below
    }

    /// The value of a row from what stands for it below, also below in time: for checks that something is gone.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it was not sealed for this row.
    #[cfg(any(test, feature = "testing"))]
    pub fn unseal(&self, table: Table, key: &[u8], stored: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.open_value(table, key, stored.to_vec())
    }

    fn open_value(&self, table: Table, key: &[u8], stored: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        if self.plain_from.as_ref().is_some_and(|from| from.is_at_or_before(table, key)) {
            return Ok(stored);
        }
        self.cipher.open(table as u8, key, stored).ok_or_else(|| StoreError::Damaged {
            place: self.place.clone(),
            what: format!("a row of {table:?} fails its seal"),
        })
    }
}

impl Store for SealedStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if is_seal(table, key) {
            return Ok(None);
        }
        self.below.get(table, key)?.map(|stored| self.open_value(table, key, stored)).transpose()
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        // One more, for the row that isn't shown.
        let asked = if table == Table::Meta { limit.saturating_add(1) } else { limit };
        let rows = self.below.scan(table, from, to, asked)?;
        let shown = rows.into_iter().filter(|row| !is_seal(table, &row.key)).take(limit);
        shown
            .map(|row| {
                let value = self.open_value(table, &row.key, row.value)?;
                Ok(Row { key: row.key, value })
            })
            .collect()
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if self.plain_from.is_some() {
            return Err(StoreError::Closed { place: self.place.clone() });
        }
        let mut sealed = Batch::new();
        for op in batch.ops() {
            let (Op::Put { table, key, .. } | Op::Delete { table, key }) = op;
            if is_seal(*table, key) {
                return Err(StoreError::Limit { table: *table, what: "a key that belongs to the seal" });
            }
            match op {
                Op::Put { table, value, .. } if value.len() > VALUE_BYTES_MAX => {
                    return Err(StoreError::Limit { table: *table, what: "value length" });
                }
                Op::Put { table, key, value } => {
                    sealed.put(*table, key.as_slice(), self.cipher.seal(*table as u8, key, value));
                }
                Op::Delete { table, key } => sealed.delete(*table, key.as_slice()),
            }
        }
        self.below.commit(&sealed)
    }

    fn scrub(&self) -> Result<(), StoreError> {
        self.below.scrub()
    }
}

#[cfg(test)]
mod tests;
