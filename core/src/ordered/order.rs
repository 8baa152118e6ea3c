//! Keys in order, each with a number: what maps and sets are made of.
//!
//! Keys lie in short sorted rows, in order; a row that is full is cut in two. So a key is found by halving twice, and one that
//! comes or goes moves at most a row. A tree would do the same with four times the code for each kind of key.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::{Bound, RangeBounds};

/// Keys in one row. What is moved for a key that comes in the middle is a few kB then, and the rows of 100,000 keys are
/// found in one step of a short list.
const ROW_MAX: usize = 128;

/// Keys with their numbers, taken out.
pub(super) type IntoIter<K> = std::iter::Flatten<std::vec::IntoIter<Vec<(K, usize)>>>;

/// Where a key is: its row, and its place there.
type At = (usize, usize);

/// See the module.
#[derive(Clone)]
pub(super) struct Order<K> {
    /// Never empty ones.
    rows: Vec<Vec<(K, usize)>>,
    len: usize,
}

impl<K> Order<K> {
    pub(super) const fn new() -> Self {
        Self { rows: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> Places<'_, K> {
        self.between((0, 0), (self.rows.len(), 0))
    }

    pub(super) fn into_iter(self) -> IntoIter<K> {
        self.rows.into_iter().flatten()
    }

    /// Keeps only what is wanted.
    pub(super) fn retain(&mut self, mut wanted: impl FnMut(&K, usize) -> bool) {
        for row in &mut self.rows {
            row.retain(|(key, number)| wanted(key, *number));
        }
        self.rows.retain(|row| !row.is_empty());
        self.len = self.rows.iter().map(Vec::len).sum();
    }

    fn between(&self, from: At, to: At) -> Places<'_, K> {
        Places { rows: &self.rows, from: self.begin_of_next(from), to: self.begin_of_next(to) }
    }

    /// The same place; behind the end of a row, the begin of the next.
    fn begin_of_next(&self, (row, at): At) -> At {
        if self.rows.get(row).is_some_and(|keys| at >= keys.len()) { (row + 1, 0) } else { (row, at) }
    }
}

impl<K: Ord> Order<K> {
    /// The number of a key.
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let (row, at) = self.find(key).ok()?;
        Some(self.rows.get(row)?.get(at)?.1)
    }

    /// The number of a key; if it wasn't there, it is now, with this number. And whether it is new.
    pub(super) fn get_or_insert(&mut self, key: K, number: usize) -> (usize, bool) {
        let (row, at) = match self.find(&key) {
            Ok((row, at)) => return (self.rows[row][at].1, false),
            Err(place) => place,
        };
        self.len += 1;
        if self.rows.is_empty() {
            self.rows.push(vec![(key, number)]);
            return (number, true);
        }
        let keys = &mut self.rows[row];
        keys.insert(at, (key, number));
        if keys.len() > ROW_MAX {
            // Keys that come in order fill their rows.
            let cut = if at + 1 == keys.len() { ROW_MAX } else { ROW_MAX / 2 };
            let behind = keys.split_off(cut);
            self.rows.insert(row + 1, behind);
        }
        (number, true)
    }

    /// Takes a key out; its number comes back.
    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        self.take(at).map(|(_, number)| number)
    }

    /// Takes the first key out.
    pub(super) fn pop_first(&mut self) -> Option<(K, usize)> {
        if self.rows.is_empty() { None } else { self.take((0, 0)) }
    }

    /// Keys of a range, in order. One that ends before it begins is empty.
    pub(super) fn range<Q: Ord + ?Sized>(&self, range: impl RangeBounds<Q>) -> Places<'_, K>
    where
        K: Borrow<Q>,
    {
        let from = match range.start_bound() {
            Bound::Included(key) => self.edge(key, false),
            Bound::Excluded(key) => self.edge(key, true),
            Bound::Unbounded => (0, 0),
        };
        let to = match range.end_bound() {
            Bound::Included(key) => self.edge(key, true),
            Bound::Excluded(key) => self.edge(key, false),
            Bound::Unbounded => (self.rows.len(), 0),
        };
        self.between(from, to.max(from))
    }

    /// Where a key is, or behind it.
    fn edge<Q: Ord + ?Sized>(&self, key: &Q, behind: bool) -> At
    where
        K: Borrow<Q>,
    {
        match self.find(key) {
            Ok((row, at)) => (row, at + usize::from(behind)),
            Err(place) => place,
        }
    }

    /// Where a key is, or where it would come: in the last row that doesn't begin behind it.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<At, At>
    where
        K: Borrow<Q>,
    {
        let begins =
            |keys: &[(K, usize)]| keys.first().is_none_or(|(first, _)| first.borrow().cmp(key) != Ordering::Greater);
        let row = self.rows.partition_point(|keys| begins(keys)).saturating_sub(1);
        let Some(keys) = self.rows.get(row) else { return Err((0, 0)) };
        match keys.binary_search_by(|(known, _)| known.borrow().cmp(key)) {
            Ok(at) => Ok((row, at)),
            Err(at) => Err((row, at)),
        }
    }

    fn take(&mut self, (row, at): At) -> Option<(K, usize)> {
        let keys = self.rows.get_mut(row)?;
        let taken = keys.remove(at);
        if keys.is_empty() {
            self.rows.remove(row);
        }
        self.len -= 1;
        Some(taken)
    }
}

/// Keys with their numbers, in order: all or a range.
pub(super) struct Places<'a, K> {
    rows: &'a [Vec<(K, usize)>],
    /// The next one from the front.
    from: At,
    /// Behind the next one from the back. Neither is behind the end of a row, but at the begin of the next.
    to: At,
}

impl<K> Clone for Places<'_, K> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, K> Iterator for Places<'a, K> {
    type Item = (&'a K, usize);

    fn next(&mut self) -> Option<Self::Item> {
        if self.from >= self.to {
            return None;
        }
        let (row, at) = self.from;
        let keys = self.rows.get(row)?;
        let (key, number) = keys.get(at)?;
        self.from = if at + 1 < keys.len() { (row, at + 1) } else { (row + 1, 0) };
        Some((key, *number))
    }
}

impl<K> DoubleEndedIterator for Places<'_, K> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.from >= self.to {
            return None;
        }
        let (row, at) = match self.to {
            (row, 0) => (row.checked_sub(1)?, self.rows.get(row.checked_sub(1)?)?.len()),
            place => place,
        };
        self.to = (row, at - 1);
        let (key, number) = self.rows.get(row)?.get(at - 1)?;
        Some((key, *number))
    }
}
