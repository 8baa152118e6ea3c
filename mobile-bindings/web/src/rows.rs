//! A device's rows in a browser: all of them in memory, as packed pages with what changed since on top.
//!
//! The browser keeps records, each one sealed by its shell: **pages** of rows in order, a **journal** with one record for each
//! commit, and a **head** that names every page and journal record there must be. Opening takes the pages as they lie, so it
//! costs one look at each row and no copy; then the journal is laid on top. Folding takes what is on top into the pages it
//! falls into. Must never skip a record that is missing or damaged, and never show what isn't durable. Not here: when something
//! is written; that is `machine`.

mod bytes;
mod fold;
mod head;
mod page;
mod top;

use std::sync::{PoisonError, RwLock};

use samenspraak_core::store::{Batch, Row, Store, StoreError, Table, check_limits};

pub use bytes::{decode_batch, encode_batch};
pub use fold::{Fold, PAGE_BYTES};
pub use head::Head;
pub use page::Page;
use top::Top;

/// What errors call this store.
pub const PLACE: &str = "the browser's storage";

pub(crate) fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged { place: PLACE.into(), what: what.into() }
}

/// A row's table and key in one: pages are in this order.
fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    [&[table as u8], key].concat()
}

/// A page with the number it is kept under.
#[derive(Debug)]
struct Numbered {
    number: u64,
    page: Page,
}

#[derive(Debug, Default)]
struct Held {
    /// In order of their rows.
    pages: Vec<Numbered>,
    top: Top,
}

/// See the module. [`Store::commit`] changes what is in memory only: whoever calls it has made the batch durable.
#[derive(Debug, Default)]
pub struct Rows {
    held: RwLock<Held>,
}

impl Rows {
    /// The rows of the pages and journal records that a head names; `pages` by number, `journal` in order.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when one is missing, can't be read, or doesn't fit the others.
    pub fn open(head: &Head, pages: Vec<(u64, Vec<u8>)>, journal: &[(u64, Vec<u8>)]) -> Result<Self, StoreError> {
        let mut taken = Vec::with_capacity(pages.len());
        for (number, bytes) in pages {
            let page = Page::open(bytes).map_err(|what| damaged(format!("page {number}: {what}")))?;
            taken.push(Numbered { number, page });
        }
        let mut numbers: Vec<u64> = taken.iter().map(|kept| kept.number).collect();
        numbers.sort_unstable();
        if numbers != head.pages {
            return Err(damaged(format!("pages {numbers:?} are there, and {:?} should be", head.pages)));
        }
        taken.sort_by(|one, other| one.page.first().cmp(other.page.first()));
        if taken.windows(2).any(|pair| pair[0].page.last() >= pair[1].page.first()) {
            return Err(damaged("two pages hold the same rows"));
        }
        let expected = head.journal_first..head.journal_next;
        if !journal.iter().map(|(number, _)| *number).eq(expected.clone()) {
            return Err(damaged(format!("the journal isn't {} to {}", expected.start, expected.end)));
        }
        let mut top = Top::default();
        for (number, bytes) in journal {
            let batch = decode_batch(bytes).map_err(|what| damaged(format!("journal record {number}: {what}")))?;
            check_limits(&batch)?;
            top.apply(&batch);
        }
        Ok(Self { held: RwLock::new(Held { pages: taken, top }) })
    }

    /// Bytes on top of the pages, about: what folding takes away.
    #[must_use]
    pub fn top_bytes(&self) -> usize {
        self.held.read().unwrap_or_else(PoisonError::into_inner).top.bytes()
    }

    /// Bytes of all pages.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.pages.iter().map(|kept| kept.page.bytes().len()).sum()
    }

    /// What folding would write, with `extra` on top of everything; `next` is the first free number of a page.
    #[must_use]
    pub fn fold(&self, extra: &Batch, next: u64) -> Fold {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let mut top = held.top.clone();
        top.apply(extra);
        fold::fold(held.pages.iter().map(|kept| (kept.number, &kept.page)), &top, next)
    }

    /// Takes a fold that is durable now. Nothing may have been committed since it was made.
    ///
    /// # Errors
    /// Never with a fold of these rows; a page of it that can't be read is damage.
    pub fn folded(&self, fold: Fold) -> Result<(), StoreError> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.pages.retain(|kept| !fold.gone.contains(&kept.number));
        for (number, bytes) in fold.written {
            let page = Page::open(bytes).map_err(|what| damaged(format!("page {number}: {what}")))?;
            held.pages.push(Numbered { number, page });
        }
        held.pages.sort_by(|one, other| one.page.first().cmp(other.page.first()));
        held.top = Top::default();
        Ok(())
    }
}

impl Held {
    /// The page that a key falls into, if it is behind the first row of one.
    fn page_of(&self, key: &[u8]) -> Option<&Page> {
        let behind = self.pages.partition_point(|kept| kept.page.first() <= key);
        self.pages.get(behind.checked_sub(1)?).map(|kept| &kept.page)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.top.get(key) {
            Some(known) => known.map(<[u8]>::to_vec),
            None => self.page_of(key).and_then(|page| page.get(key)).map(<[u8]>::to_vec),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Vec<Row> {
        let first = self.pages.partition_point(|kept| kept.page.first() <= from).saturating_sub(1);
        let below = self.pages[first..].iter().flat_map(|kept| kept.page.from(from));
        let mut below = below.take_while(|(key, _)| *key < to).peekable();
        let mut top = self.top.between(from, to).peekable();
        let mut found = Vec::new();
        while found.len() < limit {
            let (key, value) = match (below.peek(), top.peek()) {
                (None, None) => break,
                (Some(_), None) => match below.next() {
                    Some((key, value)) => (key, Some(value)),
                    None => break,
                },
                (Some((lower, _)), Some((upper, _))) if lower < upper => match below.next() {
                    Some((key, value)) => (key, Some(value)),
                    None => break,
                },
                (lower, Some((upper, _))) => {
                    let hides = lower.is_some_and(|(lower, _)| lower == upper);
                    if hides {
                        below.next();
                    }
                    match top.next() {
                        Some(next) => next,
                        None => break,
                    }
                }
            };
            if let Some(value) = value {
                found.push(Row { key: key.get(1..).unwrap_or_default().to_vec(), value: value.to_vec() });
            }
        }
        found
    }
}

impl Store for Rows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.held.read().unwrap_or_else(PoisonError::into_inner).get(&full_key(table, key)))
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let to = to.map_or_else(|| vec![table as u8 + 1], |to| full_key(table, to));
        Ok(self.held.read().unwrap_or_else(PoisonError::into_inner).scan(&full_key(table, from), &to, limit))
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        check_limits(batch)?;
        self.held.write().unwrap_or_else(PoisonError::into_inner).top.apply(batch);
        Ok(())
    }

    /// Erased bytes leave memory and storage when the machine folds.
    fn scrub(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
