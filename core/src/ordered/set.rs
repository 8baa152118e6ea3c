//! A set in order: a tree of the same kind as a map's, so that one compiled tree serves both.

use std::borrow::Borrow;
use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::ops::RangeBounds;

/// Keys in order, with the part of `BTreeSet`'s interface that is used.
#[derive(Clone)]
pub struct Set<K>(
    /// The number says nothing: it makes this the tree of a map.
    BTreeMap<K, usize>,
);

impl<K> Set<K> {
    /// An empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, in order.
    #[must_use]
    pub fn iter(&self) -> btree_map::Keys<'_, K, usize> {
        self.0.keys()
    }
}

impl<K: Ord> Set<K> {
    /// Whether it is there.
    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// Puts it in; whether it was new.
    pub fn insert(&mut self, key: K) -> bool {
        self.0.insert(key, 0).is_none()
    }

    /// Takes it out; whether it was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.remove(key).is_some()
    }

    /// The first.
    #[must_use]
    pub fn first(&self) -> Option<&K> {
        self.iter().next()
    }

    /// The last.
    #[must_use]
    pub fn last(&self) -> Option<&K> {
        self.iter().next_back()
    }

    /// Takes the first out.
    pub fn pop_first(&mut self) -> Option<K> {
        Some(self.0.pop_first()?.0)
    }

    /// Those of a range, in order.
    pub fn range<Q: Ord + ?Sized>(&self, range: impl RangeBounds<Q>) -> impl DoubleEndedIterator<Item = &K> + Clone
    where
        K: Borrow<Q>,
    {
        self.0.range(range).map(|(key, _)| key)
    }

    /// Keeps only what is wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(&K) -> bool) {
        self.0.retain(|key, _| wanted(key));
    }

    /// Puts all of another one in.
    pub fn append(&mut self, other: &mut Self) {
        self.extend(std::mem::take(other));
    }

    /// What is in one of both and not in the other, in no order.
    pub fn symmetric_difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a K> {
        let (mine, others) = (self.iter(), other.iter());
        mine.filter(|key| !other.contains(*key)).chain(others.filter(|key| !self.contains(*key)))
    }
}

impl<K> Default for Set<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, K> IntoIterator for &'a Set<K> {
    type Item = &'a K;
    type IntoIter = btree_map::Keys<'a, K, usize>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K> IntoIterator for Set<K> {
    type Item = K;
    type IntoIter = btree_map::IntoKeys<K, usize>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_keys()
    }
}

impl<K: Ord> Extend<K> for Set<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, more: I) {
        for key in more {
            self.insert(key);
        }
    }
}

impl<'a, K: Ord + Copy> Extend<&'a K> for Set<K> {
    fn extend<I: IntoIterator<Item = &'a K>>(&mut self, more: I) {
        self.extend(more.into_iter().copied());
    }
}

impl<K: Ord> FromIterator<K> for Set<K> {
    fn from_iter<I: IntoIterator<Item = K>>(all: I) -> Self {
        let mut set = Self::new();
        set.extend(all);
        set
    }
}

impl<K: Ord, const N: usize> From<[K; N]> for Set<K> {
    fn from(all: [K; N]) -> Self {
        all.into_iter().collect()
    }
}

impl<K: PartialEq> PartialEq for Set<K> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<K: Eq> Eq for Set<K> {}

impl<K: fmt::Debug> fmt::Debug for Set<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
