//! What a torture writes: batches that follow from a seed, a writer and a number, so that whoever checks knows every row
//! without having been told.
//!
//! Each writer has rows of its own. Every batch writes the writer's count too, so that half a batch shows.

use std::collections::BTreeMap;

use samenspraak_core::store::disk::sim::Random;
use samenspraak_core::store::{Batch, Op, Store, StoreError, Table};

/// Rows of one writer, at most.
const KEYS: u64 = 40;
/// Longest value: several pages, so that a torn one shows.
const VALUE_BYTES_MAX: u64 = 9_000;

/// Rows of [`Table::Entry`] and [`Table::Meta`], by table number and key.
pub type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

/// The `number`th batch of a writer.
#[must_use]
pub fn batch(seed: u64, writer: u8, number: u64) -> Batch {
    let mut random = Random(seed ^ (u64::from(writer) << 56) ^ number.wrapping_mul(0x9E37_79B9));
    let mut batch = Batch::new();
    for _ in 0..random.below(5) {
        let key = vec![writer, 1, random.below(KEYS) as u8];
        if random.below(4) == 0 {
            batch.delete(Table::Entry, key);
        } else {
            // Mostly short ones, as entries are.
            let bytes_max = if random.below(8) == 0 { VALUE_BYTES_MAX } else { 400 };
            let mut value = vec![0; random.below(bytes_max) as usize];
            value.iter_mut().for_each(|byte| *byte = random.next_bits() as u8);
            batch.put(Table::Entry, key, value);
        }
    }
    batch.put(Table::Meta, count_key(writer), (number + 1).to_be_bytes());
    batch
}

fn count_key(writer: u8) -> Vec<u8> {
    vec![writer, 0]
}

/// How many batches of a writer are in the store.
///
/// # Errors
/// When the store cannot be read.
pub fn count(store: &dyn Store, writer: u8) -> Result<u64, StoreError> {
    let value = store.get(Table::Meta, &count_key(writer))?;
    Ok(value.and_then(|value| value.try_into().ok()).map_or(0, u64::from_be_bytes))
}

/// What a batch makes of rows.
pub fn apply(rows: &mut Rows, batch: &Batch) {
    for op in batch.ops() {
        match op {
            Op::Put { table, key, value } => rows.insert((*table as u8, key.clone()), value.clone()),
            Op::Delete { table, key } => rows.remove(&(*table as u8, key.clone())),
        };
    }
}

/// What a writer's first `count` batches leave.
#[must_use]
pub fn rows_of(seed: u64, writer: u8, count: u64) -> Rows {
    let mut rows = Rows::new();
    for number in 0..count {
        apply(&mut rows, &batch(seed, writer, number));
    }
    rows
}

/// All rows of a store.
///
/// # Errors
/// When the store cannot be read.
pub fn all_rows(store: &dyn Store) -> Result<Rows, StoreError> {
    let mut rows = Rows::new();
    for table in [Table::Entry, Table::Meta] {
        for row in store.scan(table, b"", None, usize::MAX)? {
            rows.insert((table as u8, row.key), row.value);
        }
    }
    Ok(rows)
}

/// The rows of one writer among them.
#[must_use]
pub fn of_writer(rows: &Rows, writer: u8) -> Rows {
    let own = rows.iter().filter(|((_, key), _)| key.first() == Some(&writer));
    own.map(|(key, value)| (key.clone(), value.clone())).collect()
}
