//! Rows that were committed last, kept in memory: what comes in a log is mostly about what came just before it.
//!
//! Only the two tables that judging a change asks for again and again. The replica is the only writer of them, so what
//! stands here is what the store holds; a replica whose commit failed is dropped with all of it.

use std::collections::HashMap;

use crate::ordered::Map;
use crate::store::Table;

/// Rows of one generation; two are kept. 16,384 rows are some 800 documents with their last changes, and 4 MB.
const ROWS_MAX: usize = 16 * 1024;

type Rows = HashMap<Vec<u8>, Option<Vec<u8>>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recent {
    subjects: [Rows; 2],
    changes: [Rows; 2],
}

impl Recent {
    fn of(&self, table: Table) -> Option<&[Rows; 2]> {
        match table {
            Table::Subject => Some(&self.subjects),
            Table::Change => Some(&self.changes),
            _ => None,
        }
    }

    /// What stands under a key, if that is known here: a value, or that there is none.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        let [young, old] = self.of(table)?;
        young.get(key).or_else(|| old.get(key))
    }

    /// Takes rows that are durable now.
    pub(super) fn take(&mut self, rows: Map<(Table, Vec<u8>), Option<Vec<u8>>>) {
        // Growing one step at a time would hash all rows of a large piece again and again.
        for (table, [young, _]) in [(Table::Subject, &mut self.subjects), (Table::Change, &mut self.changes)] {
            let more = rows.range((table, Vec::new())..).take_while(|((t, _), _)| *t == table).take(ROWS_MAX).count();
            young.reserve(more.min(ROWS_MAX.saturating_sub(young.len())));
        }
        for ((table, key), value) in rows {
            let [young, old] = match table {
                Table::Subject => &mut self.subjects,
                Table::Change => &mut self.changes,
                _ => continue,
            };
            if young.len() >= ROWS_MAX {
                *old = std::mem::take(young);
            }
            young.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u32, value: Option<u8>) -> Map<(Table, Vec<u8>), Option<Vec<u8>>> {
        Map::from([((Table::Subject, number.to_be_bytes().to_vec()), value.map(|value| vec![value]))])
    }

    #[test]
    fn the_newest_value_is_answered_also_when_rows_grow_old_and_what_is_not_known_is_not_made_up() {
        let mut recent = Recent::default();
        recent.take(row(1, Some(1)));
        for number in 2..ROWS_MAX as u32 + 10 {
            recent.take(row(number, Some(9)));
        }
        recent.take(row(1, None));
        assert_eq!(recent.get(Table::Subject, &1u32.to_be_bytes()), Some(&None));
        assert_eq!(recent.get(Table::Subject, &2u32.to_be_bytes()), Some(&Some(vec![9])));
        assert_eq!(recent.get(Table::Entry, &2u32.to_be_bytes()), None);
        for number in 0..3 * ROWS_MAX as u32 {
            recent.take(row(100_000 + number, Some(9)));
        }
        assert_eq!(recent.get(Table::Subject, &1u32.to_be_bytes()), None);
        assert!(recent.subjects.iter().map(HashMap::len).sum::<usize>() <= 2 * ROWS_MAX);
    }
}
