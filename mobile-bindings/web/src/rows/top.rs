//! What changed since the pages were written: a row's new value, or that it is forgotten.

use std::ops::Bound;

use samenspraak_core::ordered::Map;
use samenspraak_core::store::{Batch, Op};

use super::full_key;

/// What one changed row costs beside its bytes, about.
const ROW_BYTES: usize = 32;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Top {
    rows: Map<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

/// A changed row: its key, and its value if it wasn't forgotten.
pub type Changed<'t> = (&'t [u8], Option<&'t [u8]>);

impl Top {
    pub fn apply(&mut self, batch: &Batch) {
        for op in batch.ops() {
            let (key, value) = match op {
                Op::Put { table, key, value } => (full_key(*table, key), Some(value.clone())),
                Op::Delete { table, key } => (full_key(*table, key), None),
            };
            self.bytes += ROW_BYTES + key.len() + value.as_ref().map_or(0, Vec::len);
            let length = key.len();
            if let Some(before) = self.rows.insert(key, value) {
                self.bytes -= ROW_BYTES + length + before.map_or(0, |value| value.len());
            }
        }
    }

    /// What is known of a row; nothing where the pages know.
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.rows.get(key).map(Option::as_deref)
    }

    /// Changed rows with `from <= key < to`, in order.
    pub fn between(&self, from: &[u8], to: &[u8]) -> impl Iterator<Item = Changed<'_>> {
        let range = (from < to).then(|| self.rows.range::<[u8]>((Bound::Included(from), Bound::Excluded(to))));
        range.into_iter().flatten().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Changed rows from a key on, in order.
    pub fn from(&self, from: &[u8]) -> impl Iterator<Item = Changed<'_>> {
        self.rows
            .range::<[u8]>((Bound::Included(from), Bound::Unbounded))
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
