//! Maps and sets in the order of their keys, made to be small as code.
//!
//! A `BTreeMap` is compiled anew for each pair of key and value, some 5 kB each time, and the core keeps sixty pairs: that was a
//! sixth of what a browser downloads. Here an order of keys holds only where the value of each lies, so it is compiled once for
//! each kind of key, and is a quarter of a tree. Finding a key costs what it costs there, and one step more to the value. A
//! map keeps the room that its values once needed. Not here: anything that knows what is kept.

mod order;
mod set;

use std::borrow::Borrow;
use std::fmt;
use std::ops::RangeBounds;

use order::{Order, Places};
pub use set::Set;

/// Values in the order of their keys, with the part of `BTreeMap`'s interface that is used.
#[derive(Clone)]
pub struct Map<K, V> {
    /// Where in `values` the value of a key lies.
    places: Order<K>,
    /// `None` where one was taken out.
    values: Vec<Option<V>>,
    /// Places to use again.
    free: Vec<usize>,
}

impl<K, V> Map<K, V> {
    /// An empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: Order::new(), values: Vec::new(), free: Vec::new() }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values, in order of the keys.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { places: self.places.iter(), values: &self.values }
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// The keys, in order.
    pub fn into_keys(self) -> impl Iterator<Item = K> {
        self.places.into_iter().map(|(key, _)| key)
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.places.iter().map(|(key, _)| key)
    }

    /// The values, in order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// The values, in no order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.values.iter_mut().flatten()
    }

    /// The values, in order of their keys.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.into_iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> Map<K, V> {
    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.values.get(self.places.get(key)?)?.as_ref()
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.values.get_mut(self.places.get(key)?)?.as_mut()
    }

    /// Whether the key is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.places.get(key).is_some()
    }

    /// Keeps a value; what was there before comes back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.slot(key).replace(value)
    }

    /// Takes a key out; its value comes back.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.places.remove(key)?;
        self.take(place)
    }

    /// The place for the value of a key, to be filled in or looked at.
    pub fn entry(&mut self, key: K) -> Slot<'_, V> {
        Slot(self.slot(key))
    }

    /// The first key with its value.
    #[must_use]
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// Takes the first key out.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        let (key, place) = self.places.pop_first()?;
        Some((key, self.take(place)?))
    }

    /// Keys of a range with their values, in order.
    pub fn range<Q: Ord + ?Sized>(&self, range: impl RangeBounds<Q>) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        Iter { places: self.places.range(range), values: &self.values }
    }

    /// Keeps only what is wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(&K, &mut V) -> bool) {
        let (values, free) = (&mut self.values, &mut self.free);
        self.places.retain(|key, place| {
            let Some(value) = values.get_mut(place) else { return false };
            let keep = value.as_mut().is_some_and(|value| wanted(key, value));
            if !keep {
                *value = None;
                free.push(place);
            }
            keep
        });
    }

    fn slot(&mut self, key: K) -> &mut Option<V> {
        let next = self.free.last().copied().unwrap_or(self.values.len());
        let (place, is_new) = self.places.get_or_insert(key, next);
        if is_new && self.free.pop().is_none() {
            self.values.push(None);
        }
        &mut self.values[place]
    }

    fn take(&mut self, place: usize) -> Option<V> {
        self.free.push(place);
        self.values.get_mut(place)?.take()
    }
}

/// The place of a key's value, as [`Map::entry`] gives it.
pub struct Slot<'a, V>(&'a mut Option<V>);

impl<'a, V> Slot<'a, V> {
    /// The value; this one, if there was none.
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.0.get_or_insert(value)
    }

    /// The value; what is made, if there was none.
    pub fn or_insert_with(self, make: impl FnOnce() -> V) -> &'a mut V {
        self.0.get_or_insert_with(make)
    }

    /// The value; its default, if there was none.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }
}

/// Keys and values, in order of the keys: all of a map, or a range of it.
pub struct Iter<'a, K, V> {
    places: Places<'a, K>,
    values: &'a [Option<V>],
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { places: self.places.clone(), values: self.values }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, place) = self.places.next()?;
        Some((key, self.values.get(place)?.as_ref()?))
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (key, place) = self.places.next_back()?;
        Some((key, self.values.get(place)?.as_ref()?))
    }
}

impl<'a, K, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

/// Keys and values that were taken out of their map, in order of the keys.
pub struct IntoIter<K, V> {
    places: order::IntoIter<K>,
    values: Vec<Option<V>>,
}

impl<K, V> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        let (key, place) = self.places.next()?;
        Some((key, self.values.get_mut(place)?.take()?))
    }
}

impl<K, V> IntoIterator for Map<K, V> {
    type Item = (K, V);
    type IntoIter = IntoIter<K, V>;

    fn into_iter(self) -> IntoIter<K, V> {
        IntoIter { places: self.places.into_iter(), values: self.values }
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, V> Extend<(K, V)> for Map<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, more: I) {
        for (key, value) in more {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(all: I) -> Self {
        let mut map = Self::new();
        map.extend(all);
        map
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for Map<K, V> {
    fn from(all: [(K, V); N]) -> Self {
        all.into_iter().collect()
    }
}

/// Equal are the same keys with the same values, wherever these lie.
impl<K: PartialEq, V: PartialEq> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for Map<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
