//! Bytes of each space, counted now and then beside everything else.
//!
//! Counting reads every row. So it begins late, when phones that waited for a start have been served, takes a few rows at a
//! time with a rest between, and comes again after hours: sizes of a neighbourhood don't change faster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use samenspraak_core::model::SpaceId;
use samenspraak_core::store::{Store, StoreError, Table};

use super::metrics::Metrics;
use crate::size::space_of;

/// After the start.
const FIRST_AFTER: Duration = Duration::from_secs(5 * 60);
/// From one count to the next.
const AGAIN_AFTER: Duration = Duration::from_secs(6 * 60 * 60);
/// Rows at a time: about a millisecond of work.
const ROWS: usize = 256;
/// Between them. A million rows take a bit more than three minutes, and less than a fiftieth of one processor.
const REST: Duration = Duration::from_millis(50);
/// The tables whose rows belong to a space.
const TABLES: [Table; 3] = [Table::Entry, Table::Subject, Table::Log];

pub(super) async fn count_again_and_again(store: Arc<dyn Store>, metrics: Arc<Metrics>) {
    tokio::time::sleep(FIRST_AFTER).await;
    loop {
        match count(store.as_ref(), REST).await {
            Ok(bytes) => metrics.set_stored(bytes.into_iter()),
            Err(error) => {
                metrics.damage.inc();
                tracing::error!(%error, "the store can't be read");
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn count(store: &dyn Store, rest: Duration) -> Result<BTreeMap<SpaceId, u64>, StoreError> {
    let mut bytes = BTreeMap::new();
    for table in TABLES {
        let mut from = Vec::new();
        loop {
            let rows = tokio::task::block_in_place(|| store.scan(table, &from, None, ROWS))?;
            for row in &rows {
                if let Some(space) = space_of(&row.key) {
                    *bytes.entry(space).or_insert(0) += (row.key.len() + row.value.len()) as u64;
                }
            }
            match rows.last() {
                Some(last) if rows.len() == ROWS => from = [last.key.as_slice(), &[0]].concat(),
                _ => break,
            }
            tokio::time::sleep(rest).await;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use samenspraak_core::model::{DeviceId, PersonId, SubjectId};
    use samenspraak_core::store::{Batch, MemoryStore, keys};

    #[tokio::test(flavor = "multi_thread")]
    async fn every_row_is_counted_for_its_own_space() {
        let (store, mut batch) = (MemoryStore::new(), Batch::new());
        let spaces = [SpaceId::Open, SpaceId::Circle([0; 16]), SpaceId::Own(PersonId::new([1; 16]))];
        let mut expected = BTreeMap::new();
        for (at, space) in spaces.into_iter().enumerate() {
            for number in 0..ROWS as u64 + 3 {
                let key = keys::entry(space, DeviceId::new([9; 32]), number);
                *expected.entry(space).or_insert(0) += (key.len() + at) as u64;
                batch.put(Table::Entry, key, vec![0; at]);
            }
            let (subject, line) = (keys::subject(space, SubjectId::new([2; 16])), keys::log_line(space, &[3; 16], 7));
            *expected.entry(space).or_insert(0) += (subject.len() + line.len()) as u64;
            batch.put(Table::Subject, subject, []);
            batch.put(Table::Log, line, []);
        }
        batch.put(Table::Meta, [1], [5; 99]);
        store.commit(&batch).unwrap();
        assert_eq!(count(&store, Duration::ZERO).await.unwrap(), expected);
    }
}
