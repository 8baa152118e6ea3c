//! Rows in memory: for tests, for the browser's mirror and for participants of a replay.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use super::{Batch, Op, Row, Store, StoreError, Table, check_limits};

/// A row in one piece of memory, key first: hundreds of replicas in one process are mostly small rows, and each piece
/// costs an allocation.
#[derive(Debug)]
struct Pair {
    bytes: Box<[u8]>,
    key_bytes: usize,
}

impl Pair {
    fn new(key: &[u8], value: &[u8]) -> Self {
        Self { bytes: [key, value].concat().into(), key_bytes: key.len() }
    }

    fn key(&self) -> &[u8] {
        &self.bytes[..self.key_bytes]
    }

    fn value(&self) -> &[u8] {
        &self.bytes[self.key_bytes..]
    }
}

impl Borrow<[u8]> for Pair {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Pair {}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key())
    }
}

/// Rows in memory. Durable only as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: RwLock<[BTreeSet<Pair>; Table::ALL.len()]>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

fn slot(table: Table) -> usize {
    table as usize - 1
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        Ok(tables[slot(table)].get(key).map(|pair| pair.value().to_vec()))
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
        let range = tables[slot(table)].range::<[u8], _>((Bound::Included(from), upper));
        Ok(range.take(limit).map(|pair| Row { key: pair.key().to_vec(), value: pair.value().to_vec() }).collect())
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        check_limits(batch)?;
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for op in batch.ops() {
            match op {
                Op::Put { table, key, value } => {
                    // Not `insert`: that would keep the pair that compares equal, and with it the old value.
                    tables[slot(*table)].replace(Pair::new(key, value));
                }
                Op::Delete { table, key } => {
                    tables[slot(*table)].remove(key.as_slice());
                }
            }
        }
        Ok(())
    }

    fn scrub(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[test]
    fn the_memory_store_keeps_every_promise() {
        conformance::run(&mut || Box::new(MemoryStore::new()));
    }
}
