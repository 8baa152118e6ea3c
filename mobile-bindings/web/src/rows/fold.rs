//! Folding: what lies on top goes into the pages it falls into, and only those are written anew.
//!
//! Forgotten rows and values that were replaced are in none of the new pages, and the old ones and the journal go in the same
//! transaction: this is also how erased words leave a browser's storage.

use super::page::{Packing, Page};
use super::top::Top;

/// Size of a page, about: opening reads them all at once, and a change rewrites one of them. 256 KiB is where a browser's
/// storage reads as fast as it ever does.
pub const PAGE_BYTES: usize = 256 * 1024;

/// What a fold writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    /// New pages, with their numbers.
    pub written: Vec<(u64, Vec<u8>)>,
    /// Numbers of pages that go.
    pub gone: Vec<u64>,
    /// Numbers of all pages that there are then, in order of numbers.
    pub pages: Vec<u64>,
    /// The first number that no page has.
    pub next: u64,
}

/// New pages in the making.
struct Writing {
    fold: Fold,
    packing: Packing,
}

impl Writing {
    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.packing.push(key, value);
        if self.packing.len() >= PAGE_BYTES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.packing.is_empty() {
            return;
        }
        let full = std::mem::replace(&mut self.packing, Packing::new());
        self.fold.written.push((self.fold.next, full.finish()));
        self.fold.next += 1;
    }
}

/// Folds `top` into `pages`, which come in order of their rows.
pub fn fold<'p>(pages: impl Iterator<Item = (u64, &'p Page)>, top: &Top, next: u64) -> Fold {
    let mut writing = Writing { fold: Fold { next, ..Fold::default() }, packing: Packing::new() };
    let mut pages = pages.peekable();
    let mut changed = top.from(&[]).peekable();
    let mut is_first = true;
    while let Some((number, page)) = pages.next() {
        let end = pages.peek().map(|(_, following)| following.first().to_vec());
        let is_before_end = |key: &[u8]| end.as_deref().is_none_or(|end| key < end);
        let is_hit = changed.peek().is_some_and(|(key, _)| is_before_end(key));
        // A page that wasn't hit stays as it is, unless the one before it left too little for a page of its own.
        let is_remainder = !writing.packing.is_empty() && writing.packing.len() < PAGE_BYTES / 2;
        if !is_hit && (is_first || !is_remainder) {
            writing.cut();
            writing.fold.pages.push(number);
            is_first = false;
            continue;
        }
        is_first = false;
        writing.fold.gone.push(number);
        let mut rows = page.from(&[]).peekable();
        loop {
            let lower = rows.peek().map(|(key, _)| *key);
            let upper = changed.peek().map(|(key, _)| *key).filter(|key| is_before_end(key));
            match (lower, upper) {
                (None, None) => break,
                (Some(lower), upper) if upper.is_none_or(|upper| lower < upper) => {
                    if let Some((key, value)) = rows.next() {
                        writing.push(key, value);
                    }
                }
                (lower, upper) => {
                    if lower == upper {
                        rows.next();
                    }
                    if let Some((key, Some(value))) = changed.next() {
                        writing.push(key, value);
                    }
                }
            }
        }
    }
    // What comes when there are no pages yet.
    for (key, value) in changed {
        if let Some(value) = value {
            writing.push(key, value);
        }
    }
    writing.cut();
    let mut fold = writing.fold;
    fold.pages.extend(fold.written.iter().map(|(number, _)| *number));
    fold.pages.sort_unstable();
    fold
}
