//! What was erased in a store, and whether its bytes have left the files yet.
//!
//! Erasing drops rows; their bytes go when the store is scrubbed, which rewrites files and is done for many erasures at once.
//! So that a kill in between forgets nothing, both stand in `Table::Meta`, written with the erasure itself:
//!
//! ```text
//! erased/<number, 8 bytes>   [space, subject, kind, device]: what was erased, in order, from 0
//! erased-count               how many there are
//! cleared-count              how often other rows were removed whose bytes, or whose order, must not stay either
//! scrubbed-count             how many of both there were when the last finished scrub began
//! ```
//! A scrub is due while the counts differ, or when the store was never scrubbed: before there were these rows, words
//! were erased and stayed in the files. The list is also what a shell copies to a place outside the store, to erase
//! again in an old copy of it that was put back (`Replica::erase_again`). It holds ids and no secret.
//!
//! Must never call a store scrubbed for an erasure that was committed after the scrub began.

use super::{Batch, Op, Store, StoreError, Table};
use crate::cbor::{CborError, Reader, Writer};
use crate::entry::Kind;
use crate::model::{DeviceId, SpaceId, SubjectId};

const LIST: &[u8] = b"erased/";
const COUNT: &[u8] = b"erased-count";
const CLEARED: &[u8] = b"cleared-count";
const SCRUBBED: &[u8] = b"scrubbed-count";
/// Longest bytes of a space.
const SPACE_BYTES_MAX: usize = 17;
/// Rows of the list read at a time.
const LIST_ROWS: usize = 512;

/// One erased subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Erasure {
    /// Its space.
    pub space: SpaceId,
    /// The subject.
    pub subject: SubjectId,
    /// Its kind.
    pub kind: Kind,
    /// The device that created it; zeros where that isn't known.
    pub device: DeviceId,
}

impl Erasure {
    /// To bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.array(4).bytes(&self.space.to_bytes()).bytes(self.subject.as_bytes());
        w.uint(self.kind.0).bytes(self.device.as_bytes());
        w.finish()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they have another form.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut r = Reader::new(bytes);
        r.array_of(4)?;
        let space = SpaceId::from_bytes(r.bytes(SPACE_BYTES_MAX)?).ok_or_else(|| r.error("a space"))?;
        let subject = SubjectId::new(r.exact()?);
        let kind = Kind(r.uint()?);
        let device = DeviceId::new(r.exact()?);
        r.end()?;
        Ok(Self { space, subject, kind, device })
    }
}

fn damaged(cause: &CborError) -> StoreError {
    StoreError::Damaged { place: "the list of what was erased".into(), what: cause.to_string() }
}

fn list_key(number: u64) -> Vec<u8> {
    [LIST, &number.to_be_bytes()].concat()
}

fn decode_count(row: Option<Vec<u8>>) -> Result<Option<u64>, StoreError> {
    row.map(|row| Reader::new(&row).uint()).transpose().map_err(|cause| damaged(&cause))
}

fn encode_count(count: u64) -> Vec<u8> {
    let mut w = Writer::new();
    w.uint(count);
    w.finish()
}

/// A key and a value in `Table::Meta`.
pub type MetaRow = (Vec<u8>, Vec<u8>);

/// The rows that note one more erasure. `read` gives a row as it stands, written but not yet committed
/// ones included.
///
/// # Errors
/// When the count can't be read.
pub fn note(
    erasure: &Erasure,
    read: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
) -> Result<[MetaRow; 2], StoreError> {
    let number = decode_count(read(COUNT)?)?.unwrap_or(0);
    Ok([(list_key(number), erasure.encode()), (COUNT.to_vec(), encode_count(number + 1))])
}

/// The row that notes that rows were removed whose bytes must leave the files, though nobody erased anything: what was held
/// for a while only.
///
/// # Errors
/// When the count can't be read.
pub fn note_cleared(store: &dyn Store) -> Result<MetaRow, StoreError> {
    let times = decode_count(store.get(Table::Meta, CLEARED)?)?.unwrap_or(0);
    Ok((CLEARED.to_vec(), encode_count(times + 1)))
}

/// Whether a batch notes something that makes a scrub due once it is stored.
#[must_use]
pub fn is_noted(batch: &Batch) -> bool {
    let is_count = |key: &[u8]| key == COUNT || key == CLEARED;
    batch.ops().iter().any(|op| matches!(op, Op::Put { table: Table::Meta, key, .. } if is_count(key)))
}

/// Grows with everything that makes a scrub due.
fn due_count(store: &dyn Store) -> Result<u64, StoreError> {
    let cleared = decode_count(store.get(Table::Meta, CLEARED)?)?.unwrap_or(0);
    Ok(count(store)?.saturating_add(cleared))
}

/// How many erasures a store has noted.
///
/// # Errors
/// When it can't be read.
pub fn count(store: &dyn Store) -> Result<u64, StoreError> {
    Ok(decode_count(store.get(Table::Meta, COUNT)?)?.unwrap_or(0))
}

/// The erasures from number `from` on, in order.
///
/// # Errors
/// When they can't be read.
pub fn since(store: &dyn Store, from: u64) -> Result<Vec<Erasure>, StoreError> {
    let (mut next, end) = (list_key(from), [LIST, &[0xff; 9]].concat());
    let mut found = Vec::new();
    loop {
        let rows = store.scan(Table::Meta, &next, Some(&end), LIST_ROWS)?;
        let full = rows.len() == LIST_ROWS;
        for row in rows {
            found.push(Erasure::decode(&row.value).map_err(|cause| damaged(&cause))?);
            next = row.key;
        }
        if !full {
            return Ok(found);
        }
        next.push(0);
    }
}

/// Whether bytes of erased words may still be in the store's files.
///
/// # Errors
/// When it can't be read.
pub fn is_scrub_due(store: &dyn Store) -> Result<bool, StoreError> {
    let scrubbed = decode_count(store.get(Table::Meta, SCRUBBED)?)?;
    Ok(scrubbed != Some(due_count(store)?))
}

/// Scrubs the store if that is due; returns whether it was. Commits may go on meanwhile.
///
/// # Errors
/// When it could not be finished: it stays due.
pub fn scrub_if_due(store: &dyn Store) -> Result<bool, StoreError> {
    // Read before the scrub: what is erased from here on is for the next one.
    let due = due_count(store)?;
    if decode_count(store.get(Table::Meta, SCRUBBED)?)? == Some(due) {
        return Ok(false);
    }
    store.scrub()?;
    let mut batch = Batch::new();
    batch.put(Table::Meta, SCRUBBED, encode_count(due));
    store.commit(&batch)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::store::{MemoryStore, Row};

    fn erasure(byte: u8) -> Erasure {
        let space = if byte.is_multiple_of(2) { SpaceId::Open } else { SpaceId::Circle([byte; 16]) };
        let (subject, device) = (SubjectId::new([byte; 16]), DeviceId::new([byte; 32]));
        Erasure { space, subject, kind: Kind::CONTRIBUTION, device }
    }

    fn noted(store: &dyn Store, erasure: &Erasure) {
        let mut batch = Batch::new();
        for (key, value) in note(erasure, |key| store.get(Table::Meta, key)).unwrap() {
            batch.put(Table::Meta, key, value);
        }
        assert!(is_noted(&batch));
        store.commit(&batch).unwrap();
    }

    /// A store in which something is erased in the middle of a scrub, or whose scrub fails.
    #[derive(Default)]
    struct Busy {
        rows: MemoryStore,
        erases: AtomicU32,
        fails: AtomicU32,
        scrubs: AtomicU32,
    }

    impl Store for Busy {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            self.rows.get(table, key)
        }
        fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
            self.rows.scan(table, from, to, limit)
        }
        fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
            self.rows.commit(batch)
        }
        fn scrub(&self) -> Result<(), StoreError> {
            self.scrubs.fetch_add(1, Ordering::SeqCst);
            if self.fails.swap(0, Ordering::SeqCst) > 0 {
                return Err(StoreError::Full { place: "a test".into() });
            }
            if self.erases.swap(0, Ordering::SeqCst) > 0 {
                noted(&self.rows, &erasure(99));
            }
            Ok(())
        }
    }

    #[test]
    fn erasures_are_listed_in_order_and_from_anywhere() {
        let store = MemoryStore::new();
        assert_eq!((count(&store).unwrap(), since(&store, 0).unwrap()), (0, Vec::new()));
        let all: Vec<Erasure> = (0..=255).chain(0..=255).chain(0..=255).map(erasure).collect();
        all.iter().for_each(|erasure| noted(&store, erasure));
        assert_eq!(count(&store).unwrap(), 768);
        for from in [0, 1, 255, 256, 511, 512, 513, 767, 768] {
            assert_eq!(since(&store, from).unwrap(), all[from as usize..], "from {from}");
        }
    }

    #[test]
    fn a_scrub_is_due_once_for_a_store_of_before_and_after_every_erasure_until_it_is_finished() {
        let store = Busy::default();
        assert!(is_scrub_due(&store).unwrap(), "nobody knows what was erased before there was a list");
        assert!(scrub_if_due(&store).unwrap());
        assert!(!is_scrub_due(&store).unwrap() && !scrub_if_due(&store).unwrap());
        noted(&store, &erasure(1));
        noted(&store, &erasure(2));
        store.fails.store(1, Ordering::SeqCst);
        assert!(scrub_if_due(&store).is_err());
        assert!(is_scrub_due(&store).unwrap(), "what failed stays due");
        assert!(scrub_if_due(&store).unwrap());
        assert!(!is_scrub_due(&store).unwrap());
        assert_eq!(store.scrubs.load(Ordering::SeqCst), 3, "one for both erasures");
    }

    #[test]
    fn rows_that_were_cleared_make_a_scrub_due_too() {
        let store = Busy::default();
        scrub_if_due(&store).unwrap();
        for _ in 0..2 {
            let (key, value) = note_cleared(&store).unwrap();
            let mut batch = Batch::new();
            batch.put(Table::Meta, key, value);
            assert!(is_noted(&batch));
            store.commit(&batch).unwrap();
            noted(&store, &erasure(1));
            assert!(scrub_if_due(&store).unwrap());
            assert!(!is_scrub_due(&store).unwrap());
        }
        assert_eq!(since(&store, 0).unwrap().len(), 2, "only what was erased is listed");
    }

    #[test]
    fn what_is_erased_during_a_scrub_makes_another_one_due() {
        let store = Busy::default();
        noted(&store, &erasure(1));
        store.erases.store(1, Ordering::SeqCst);
        assert!(scrub_if_due(&store).unwrap());
        assert!(is_scrub_due(&store).unwrap());
        assert!(scrub_if_due(&store).unwrap());
        assert!(!is_scrub_due(&store).unwrap());
    }
}
