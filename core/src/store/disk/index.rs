//! Where each row stands in the journal: kept in sled, or in memory when sled cannot.
//!
//! sled 0.34 loses data at power cuts, panics on its own files and can hang while opening. So it is never the truth: every call
//! into it is guarded against panics, opening and dropping it against hanging, and whoever uses what it says compares that
//! with the journal. Must never flush on the way of a commit, and never be trusted after anything but a clean stop, nor for
//! longer than it takes to compare all of it with what it held then. Guarding one call costs nothing measurable; sled's
//! background threads can still print panics.

use std::ops::Bound;
use std::sync::Arc;

use super::frame::Location;
use super::replay::Live;
use super::sort::Sorted;
use crate::store::Table;

mod block;
mod sled;

pub use block::Content;
pub use sled::{Checker, SledIndex, generations, remove_others};

/// sled panicked, hung, refused, or said what cannot be. All are answered alike: set it aside, build it anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexFailed;

/// Where each row stands.
#[derive(Debug)]
pub enum Index {
    /// In sled.
    Sled(SledIndex),
    /// In memory: for reading only, and when sled cannot be had (on a full disk, say).
    Memory(Live),
    /// Some rows in memory, while the index of all is built.
    Early(Early),
    /// Nowhere any more: the store is closed, or the index was found wrong.
    Gone,
}

/// The rows that are asked for first: those whose keys in the index begin with one of some prefixes.
#[derive(Clone, Debug, Default)]
pub struct Early {
    prefixes: Arc<[Vec<u8>]>,
    rows: Live,
}

impl Early {
    /// None yet, but those with these prefixes will come.
    pub fn new(prefixes: impl Iterator<Item = Vec<u8>>) -> Self {
        Self { prefixes: prefixes.collect(), rows: Live::new() }
    }

    /// Whether a row is among them.
    pub fn wants(&self, table: Table, key: &[u8]) -> bool {
        let is_of = |prefix: &[u8]| {
            prefix.split_first().is_some_and(|(first, rest)| *first == table as u8 && key.starts_with(rest))
        };
        self.prefixes.iter().any(|prefix| is_of(prefix))
    }

    /// Takes a change of a row that is among them.
    pub fn take(&mut self, key: Vec<u8>, at: Option<Location>) {
        match at {
            Some(at) => self.rows.insert(key, at),
            None => self.rows.remove(&key),
        };
    }

    /// Whether all keys from `from` (included) to `to` (excluded) begin with the same one of the prefixes.
    fn answers(&self, from: &[u8], to: &[u8]) -> bool {
        let mut within = self.prefixes.iter().filter(|prefix| from.starts_with(prefix));
        within.any(|prefix| after(prefix).is_some_and(|after| to <= after.as_slice()))
    }
}

/// The first key that is behind all that begin with `prefix`.
fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut after = prefix.to_vec();
    while let Some(last) = after.pop() {
        if last < u8::MAX {
            after.push(last + 1);
            return Some(after);
        }
    }
    None
}

impl Index {
    /// The index of these rows, in sled; in memory when sled cannot be had. `goes_on` is told how many rows are in and can end it.
    pub fn build(
        root: &std::path::Path,
        generation: u64,
        rows: &Sorted,
        mut goes_on: impl FnMut(u64) -> bool,
    ) -> Result<Self, IndexFailed> {
        let mut count = 0;
        let mut in_time = true;
        let counted = rows.rows().map_err(|_| IndexFailed)?.map(|row| {
            count += 1;
            in_time = goes_on(count);
            if in_time { row.map_err(|_| IndexFailed) } else { Err(IndexFailed) }
        });
        match SledIndex::build(root, generation, counted) {
            Ok(sled) => Ok(Self::Sled(sled)),
            Err(IndexFailed) if !in_time => Err(IndexFailed),
            Err(IndexFailed) => {
                let live = rows.rows().and_then(Iterator::collect).map_err(|_| IndexFailed)?;
                Ok(Self::Memory(live))
            }
        }
    }

    /// Whether this index knows all rows from `from` (included) to `to` (excluded).
    pub fn answers(&self, from: &[u8], to: &[u8]) -> bool {
        match self {
            Self::Early(early) => early.answers(from, to),
            Self::Sled(_) | Self::Memory(_) | Self::Gone => true,
        }
    }

    /// Where the row with this key stands.
    pub fn get(&self, key: &[u8]) -> Result<Option<Location>, IndexFailed> {
        match self {
            Self::Sled(sled) => sled.get(key),
            Self::Memory(live) | Self::Early(Early { rows: live, .. }) => Ok(live.get(key).copied()),
            Self::Gone => Err(IndexFailed),
        }
    }

    /// The rows from `from` (included) to `to` (excluded), in order, at most `limit`.
    pub fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Location)>, IndexFailed> {
        match self {
            Self::Sled(sled) => sled.range(from, to, limit),
            Self::Memory(live) | Self::Early(Early { rows: live, .. }) => {
                let range = live.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
                Ok(range.take(limit).map(|(key, at)| (key.clone(), *at)).collect())
            }
            Self::Gone => Err(IndexFailed),
        }
    }

    /// Takes it away: it isn't wanted any more.
    pub fn remove(self) {
        if let Self::Sled(sled) = self {
            sled.remove();
        }
    }

    /// Puts new places in.
    pub fn apply(&mut self, changes: &[(Vec<u8>, Option<Location>)]) -> Result<(), IndexFailed> {
        match self {
            Self::Sled(sled) => sled.apply(changes),
            Self::Memory(live) => {
                for (key, at) in changes {
                    match at {
                        Some(at) => live.insert(key.clone(), *at),
                        None => live.remove(key),
                    };
                }
                Ok(())
            }
            // Nothing is committed while rows are few.
            Self::Early(_) | Self::Gone => Err(IndexFailed),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::disk::sim::Random;

    fn at(number: u64) -> Location {
        Location { segment: number, offset: 1, length: 2, crc: 3 }
    }

    #[test]
    fn the_index_in_sled_answers_as_a_map_does_whatever_comes_and_goes() {
        for seed in 0..6 {
            let mut random = Random(seed);
            let root = tempfile::tempdir().unwrap();
            let mut model: BTreeMap<Vec<u8>, Location> = BTreeMap::new();
            for number in 0..random.below(400) {
                model.insert(vec![1, random.below(99) as u8, random.below(99) as u8], at(number));
            }
            let rows = model.clone().into_iter().map(Ok);
            let mut index = SledIndex::build(root.path(), 1, rows).unwrap();
            for step in 0..40 {
                let changes: Vec<_> = (0..random.below(200))
                    .map(|number| {
                        let key = vec![1, random.below(99) as u8, random.below(99) as u8];
                        (key, (random.below(3) > 0).then(|| at(number)))
                    })
                    .collect();
                index.apply(&changes).unwrap();
                for (key, at) in changes {
                    match at {
                        Some(at) => model.insert(key, at),
                        None => model.remove(&key),
                    };
                }
                if step % 3 == 0 {
                    index.settle_some(random.below(150) as usize);
                }
                let (from, to) = (vec![1, random.below(99) as u8], vec![1, random.below(99) as u8, 50]);
                if from < to {
                    let limit = 1 + random.below(300) as usize;
                    let expected: Vec<_> =
                        model.range(from.clone()..to.clone()).take(limit).map(|(key, at)| (key.clone(), *at)).collect();
                    assert_eq!(index.range(&from, &to, limit).unwrap(), expected, "seed {seed}");
                }
                let key = vec![1, random.below(99) as u8, random.below(99) as u8];
                assert_eq!(index.get(&key).unwrap(), model.get(&key).copied(), "seed {seed}");
            }
            let content = index.finish().unwrap();
            assert_eq!(content.rows, model.len() as u64);
            let index = SledIndex::open(root.path(), 1, content).unwrap();
            index.checker().unwrap().check(|_| true).unwrap();
            let wrong = Content { sum: content.sum ^ 1, ..content };
            drop(index);
            let index = SledIndex::open(root.path(), 1, wrong).unwrap();
            assert_eq!(index.checker().unwrap().check(|_| true), Err(IndexFailed));
            let all: Vec<_> = model.into_iter().collect();
            assert_eq!(index.range(&[1], &[2], usize::MAX).unwrap(), all, "seed {seed}");
        }
    }

    #[test]
    fn a_block_that_was_lost_is_an_error_and_never_an_absent_row() {
        let root = tempfile::tempdir().unwrap();
        let rows = (0..200_u8).map(|number| Ok((vec![1, number], at(u64::from(number)))));
        let mut index = SledIndex::build(root.path(), 1, rows).unwrap();
        let before = index.get(&[1, 20]).unwrap();
        assert!(before.is_some());
        index.lose_block_of(&[1, 20]);
        assert_eq!(index.get(&[1, 20]), Err(IndexFailed));
        assert_eq!(index.get(&[1, 199]).unwrap(), Some(at(199)));
        assert_eq!(index.range(&[1], &[2], 999), Err(IndexFailed));
        assert!(index.checker().unwrap().check(|_| true).is_err());
        assert_eq!(index.apply(&[(vec![1, 20], None)]), Ok(()), "it only waits");
        assert!(index.finish().is_err());
    }

    #[test]
    fn an_item_that_no_block_names_does_not_pass_the_check_wherever_it_stands() {
        for stray in [vec![], vec![0, 1], vec![1, 20, 1], vec![1, 200], vec![3]] {
            let root = tempfile::tempdir().unwrap();
            let rows = (0..200_u8).map(|number| Ok((vec![1, number], at(u64::from(number)))));
            let mut index = SledIndex::build(root.path(), 1, rows).unwrap();
            assert_eq!(index.checker().unwrap().check(|_| true), Ok(()));
            index.put_stray(&stray);
            assert_eq!(index.checker().unwrap().check(|_| true), Err(IndexFailed), "{stray:?}");
        }
    }

    #[test]
    fn early_rows_answer_for_whole_prefixes_only() {
        let mut early = Early::new([vec![7], vec![1, 9, 9]].into_iter());
        assert!(early.wants(Table::Meta, &[1]) && early.wants(Table::Entry, &[9, 9, 1]));
        assert!(!early.wants(Table::EntryId, &[1]) && !early.wants(Table::Entry, &[9]));
        early.take(vec![7, 1], Some(at(1)));
        let index = Index::Early(early);
        assert!(index.answers(&[7], &[8]) && index.answers(&[7, 4], &[7, 5]) && index.answers(&[1, 9, 9], &[1, 9, 10]));
        assert!(!index.answers(&[6], &[8]) && !index.answers(&[7], &[9]) && !index.answers(&[1], &[2]));
        assert_eq!((index.get(&[7, 1]), index.get(&[7, 2])), (Ok(Some(at(1))), Ok(None)));
    }
}
