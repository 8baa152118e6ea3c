//! A store in memory: for tests, for the browser's mirror and for participants of a replay.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use super::{Batch, Op, Row, Store, StoreError, Table, check_limits};

type Rows = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// Rows in memory. Durable only as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: RwLock<[Rows; Table::ALL.len()]>,
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
        Ok(tables[slot(table)].get(key).map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
        let range = tables[slot(table)].range::<[u8], _>((Bound::Included(from), upper));
        Ok(range.take(limit).map(|(key, value)| Row { key: key.to_vec(), value: value.to_vec() }).collect())
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        check_limits(batch)?;
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for op in batch.ops() {
            match op {
                Op::Put { table, key, value } => {
                    tables[slot(*table)].insert(key.as_slice().into(), value.as_slice().into());
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
