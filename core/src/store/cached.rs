//! A store with the rows that were read last kept in memory: a server reads the same entries for every phone that follows.
//!
//! Only rows found by key in the tables of entries are kept; they hardly ever change. A commit drops every row it touches
//! before it returns, and a scrub drops all, so nothing that was erased stays here. What comes from here was checked against
//! the disk when it was read, not at each read.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use super::{Batch, Op, Row, Store, StoreError, Table};

/// What the rows, with their keys and an estimate of what holding them costs, may take: 16 MiB are some 35,000 entries, more
/// than the phones of a wijk that come online in one evening are behind, and a quarter of what a server may take.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// What holding a row costs beside its bytes.
const ROW_BYTES: usize = 96;

type Rows = HashMap<Box<[u8]>, Box<[u8]>>;

#[derive(Default)]
struct Kept {
    entries: Rows,
    places: Rows,
    bytes: usize,
    /// Grows with every commit: a row that was read before one must not be kept after it.
    commits: u64,
}

impl Kept {
    fn rows(&self, table: Table) -> Option<&Rows> {
        match table {
            Table::Entry => Some(&self.entries),
            Table::EntryId => Some(&self.places),
            _ => None,
        }
    }

    fn rows_mut(&mut self, table: Table) -> Option<&mut Rows> {
        match table {
            Table::Entry => Some(&mut self.entries),
            Table::EntryId => Some(&mut self.places),
            _ => None,
        }
    }

    fn clear(&mut self) {
        *self = Self { commits: self.commits, ..Self::default() };
    }

    fn keep(&mut self, table: Table, key: &[u8], value: &[u8]) {
        let more = key.len() + value.len() + ROW_BYTES;
        if self.bytes + more > BYTES_MAX {
            self.clear();
        }
        if let Some(rows) = self.rows_mut(table)
            && rows.insert(key.into(), value.into()).is_none()
        {
            self.bytes += more;
        }
    }

    fn forget(&mut self, table: Table, key: &[u8]) {
        if let Some(value) = self.rows_mut(table).and_then(|rows| rows.remove(key)) {
            self.bytes = self.bytes.saturating_sub(key.len() + value.len() + ROW_BYTES);
        }
    }
}

/// See the module.
pub struct CachedStore {
    below: Arc<dyn Store>,
    kept: RwLock<Kept>,
}

impl CachedStore {
    /// Keeps rows of `below`, which nobody else may write to.
    #[must_use]
    pub fn new(below: Arc<dyn Store>) -> Self {
        Self { below, kept: RwLock::default() }
    }

    fn kept_mut(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for CachedStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let commits = {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            let Some(rows) = kept.rows(table) else {
                drop(kept);
                return self.below.get(table, key);
            };
            if let Some(value) = rows.get(key) {
                return Ok(Some(value.to_vec()));
            }
            kept.commits
        };
        let found = self.below.get(table, key)?;
        if let Some(value) = &found {
            let mut kept = self.kept_mut();
            if kept.commits == commits {
                kept.keep(table, key, value);
            }
        }
        Ok(found)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.below.scan(table, from, to, limit)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let result = self.below.commit(batch);
        let mut kept = self.kept_mut();
        kept.commits += 1;
        // Also when it failed: what stands below then is asked anew.
        for op in batch.ops() {
            let (Op::Put { table, key, .. } | Op::Delete { table, key }) = op;
            kept.forget(*table, key);
        }
        result
    }

    fn scrub(&self) -> Result<(), StoreError> {
        let result = self.below.scrub();
        let mut kept = self.kept_mut();
        kept.commits += 1;
        kept.clear();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryStore, conformance};
    use super::*;

    #[test]
    fn a_store_with_rows_in_memory_keeps_every_promise() {
        conformance::run(&mut || Box::new(CachedStore::new(Arc::new(MemoryStore::new()))));
    }

    fn put(value: &[u8]) -> Batch {
        let mut batch = Batch::new();
        batch.put(Table::Entry, *b"key", value);
        batch
    }

    #[test]
    fn a_row_that_changed_or_was_forgotten_is_never_answered_from_memory() {
        let store = CachedStore::new(Arc::new(MemoryStore::new()));
        let get = || store.get(Table::Entry, b"key").unwrap();
        for value in [b"one", b"two"] {
            store.commit(&put(value)).unwrap();
            assert_eq!((get(), get()), (Some(value.to_vec()), Some(value.to_vec())));
        }
        let mut batch = Batch::new();
        batch.delete(Table::Entry, *b"key");
        store.commit(&batch).unwrap();
        assert_eq!(get(), None);
        assert_eq!(store.kept_mut().bytes, 0);
    }

    #[test]
    fn what_is_kept_stays_within_its_bound() {
        let store = CachedStore::new(Arc::new(MemoryStore::new()));
        for number in 0..2_000_u32 {
            let mut batch = Batch::new();
            batch.put(Table::Entry, number.to_be_bytes(), vec![0; 64 * 1024]);
            store.commit(&batch).unwrap();
            store.get(Table::Entry, &number.to_be_bytes()).unwrap();
            assert!(store.kept_mut().bytes <= BYTES_MAX);
        }
    }
}
