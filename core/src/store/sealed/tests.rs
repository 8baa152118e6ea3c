use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::{MemoryStore, conformance};
use super::*;
use crate::vault::{KEY_BYTES, KeyVault, MasterKey, MemoryVault};

const NAME: &str = "phone";

/// A store that can be counted on to fail: the commit after so many that went well.
struct Failing {
    rows: Arc<MemoryStore>,
    commits_left: AtomicUsize,
    scrubs: AtomicUsize,
}

impl Failing {
    fn new(rows: Arc<MemoryStore>, commits: usize) -> Arc<Self> {
        Arc::new(Self { rows, commits_left: AtomicUsize::new(commits), scrubs: AtomicUsize::new(0) })
    }
}

impl Store for Failing {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.rows.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.rows.scan(table, from, to, limit)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let left = self.commits_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| StoreError::Full { place: "a test".into() })?;
        self.rows.commit(batch)
    }

    fn scrub(&self) -> Result<(), StoreError> {
        self.scrubs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn vault() -> MemoryVault {
    let vault = MemoryVault::new();
    vault.keep(NAME, &MasterKey::new([5; KEY_BYTES])).unwrap();
    vault
}

fn open(below: Arc<dyn Store>) -> Result<(SealedStore, Begun), SealError> {
    SealedStore::open(below, "a test", &vault(), NAME, [9; 32])
}

/// Rows in every table, and in one more than a batch takes; where asked for, also more bytes than a batch takes.
fn plain_rows(large: u32) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let mut batch = Batch::new();
    for table in Table::ALL {
        batch.put(table, b"key".as_slice(), format!("the words of {table:?}"));
    }
    for number in 0..600_u32 {
        batch.put(Table::Entry, number.to_be_bytes(), format!("contribution {number:09}"));
    }
    for number in 0..large {
        batch.put(Table::Meta, number.to_be_bytes(), vec![b'w'; 500_000]);
    }
    store.commit(&batch).unwrap();
    store
}

fn all(store: &dyn Store) -> Vec<(Table, Vec<Row>)> {
    Table::ALL.into_iter().map(|table| (table, store.scan(table, b"", None, usize::MAX).unwrap())).collect()
}

#[test]
fn a_sealed_store_keeps_every_promise() {
    conformance::run(&mut || Box::new(open(Arc::new(MemoryStore::new())).unwrap().0));
}

#[test]
fn nothing_but_keys_and_sizes_of_a_value_reaches_the_store_below() {
    let below = Arc::new(MemoryStore::new());
    let (store, begun) = open(below.clone()).unwrap();
    assert_eq!(begun, Begun::New);
    let words = b"the crossing is dark at night";
    let mut batch = Batch::new();
    for table in Table::ALL {
        batch.put(table, b"key".as_slice(), words.as_slice());
    }
    store.commit(&batch).unwrap();
    for (table, rows) in all(below.as_ref()) {
        for row in rows {
            let hidden = words.windows(4).all(|window| !row.value.windows(4).any(|seen| seen == window));
            assert!(hidden, "{table:?} holds words");
        }
    }
    assert_eq!(store.get(Table::Entry, b"key").unwrap().as_deref(), Some(&words[..]));
}

#[test]
fn the_row_of_the_seal_is_nobodys_to_see_or_write() {
    let (store, _) = open(Arc::new(MemoryStore::new())).unwrap();
    assert_eq!(store.get(Table::Meta, SEAL_ROW).unwrap(), None);
    let mut batch = Batch::new();
    batch.put(Table::Meta, b"a".as_slice(), b"1".as_slice());
    batch.put(Table::Meta, b"z".as_slice(), b"2".as_slice());
    store.commit(&batch).unwrap();
    let keys = |limit| -> Vec<Vec<u8>> {
        store.scan(Table::Meta, b"", None, limit).unwrap().into_iter().map(|row| row.key).collect()
    };
    assert_eq!(keys(9), [b"a", b"z"]);
    assert_eq!(keys(2), [b"a", b"z"], "the limit counts what is shown");
    assert_eq!(keys(1), [b"a"]);
    for write in [true, false] {
        let mut batch = Batch::new();
        if write {
            batch.put(Table::Meta, SEAL_ROW, b"x".as_slice())
        } else {
            batch.delete(Table::Meta, SEAL_ROW)
        }
        assert!(matches!(store.commit(&batch), Err(StoreError::Limit { .. })));
    }
}

#[test]
fn a_wrong_or_missing_key_is_said_at_opening_and_changes_nothing() {
    let below = Arc::new(MemoryStore::new());
    let (store, _) = open(below.clone()).unwrap();
    let mut batch = Batch::new();
    batch.put(Table::Entry, b"key".as_slice(), b"words".as_slice());
    store.commit(&batch).unwrap();
    let before = all(below.as_ref());

    let other = MemoryVault::new();
    other.keep(NAME, &MasterKey::new([6; KEY_BYTES])).unwrap();
    let wrong = SealedStore::open(below.clone(), "a test", &other, NAME, [1; 32]);
    assert!(matches!(wrong, Err(SealError::Store(StoreError::WrongKey { .. }))), "{wrong:?}");
    let empty = MemoryVault::new();
    let missing = SealedStore::open(below.clone(), "a test", &empty, NAME, [1; 32]);
    assert!(matches!(missing, Err(SealError::KeyMissing { .. })), "{missing:?}");
    assert!(empty.key(NAME).unwrap().is_none(), "a new key was made over an old store");
    assert_eq!(all(below.as_ref()), before);
    assert_eq!(open(below).unwrap().1, Begun::Sealed);
}

#[test]
fn a_row_that_was_moved_or_changed_below_is_damage_and_never_another_value() {
    let below = Arc::new(MemoryStore::new());
    let (store, _) = open(below.clone()).unwrap();
    let mut batch = Batch::new();
    batch.put(Table::Entry, b"one".as_slice(), b"first".as_slice());
    batch.put(Table::Entry, b"two".as_slice(), b"second".as_slice());
    store.commit(&batch).unwrap();
    let one = below.get(Table::Entry, b"one").unwrap().unwrap();
    let mut batch = Batch::new();
    batch.put(Table::Entry, b"two".as_slice(), one.clone());
    batch.put(Table::Log, b"one".as_slice(), one.clone());
    batch.put(Table::Entry, b"one".as_slice(), [&one[..one.len() - 1], &[one[one.len() - 1] ^ 1]].concat());
    batch.put(Table::Pending, b"plain".as_slice(), b"a plain value of before".as_slice());
    below.commit(&batch).unwrap();
    let rows: [(Table, &[u8]); 4] =
        [(Table::Entry, b"one"), (Table::Entry, b"two"), (Table::Log, b"one"), (Table::Pending, b"plain")];
    for (table, key) in rows {
        assert!(matches!(store.get(table, key), Err(StoreError::Damaged { .. })), "{table:?}");
        assert!(matches!(store.scan(table, b"", None, 9), Err(StoreError::Damaged { .. })), "{table:?}");
    }
}

#[test]
fn a_plain_store_of_before_is_sealed_completely_and_scrubbed() {
    let rows = plain_rows(9);
    let expected = all(rows.as_ref());
    let count: usize = expected.iter().map(|(_, rows)| rows.len()).sum();
    let below = Failing::new(rows.clone(), usize::MAX);
    let (store, begun) = open(below.clone()).unwrap();
    assert_eq!(begun, Begun::Converted { rows: count as u64 });
    assert_eq!(below.scrubs.load(Ordering::SeqCst), 1);
    assert_eq!(all(&store), expected);
    for ((table, sealed), (_, plain)) in all(rows.as_ref()).into_iter().zip(&expected) {
        let differs = |row: &Row| plain.iter().all(|old| old.key != row.key || old.value != row.value);
        assert!(sealed.iter().all(differs), "{table:?} has a plain row");
    }
    let (again, begun) = open(below.clone()).unwrap();
    assert_eq!((begun, below.scrubs.load(Ordering::SeqCst)), (Begun::Sealed, 1));
    assert_eq!(all(&again), expected);
}

#[test]
fn sealing_that_is_interrupted_anywhere_goes_on_and_reads_right_meanwhile() {
    let expected = all(plain_rows(0).as_ref());
    let mut interrupted = 0;
    for commits in 0.. {
        let rows = plain_rows(0);
        let first = Failing::new(rows.clone(), commits);
        if open(first.clone()).is_ok() {
            assert!(commits > 5, "more than one batch was needed");
            break;
        }
        interrupted += 1;
        if is_sealed(rows.as_ref()).unwrap() {
            let reading = SealedStore::open_read_only(rows.clone(), "a test", &vault(), NAME).unwrap();
            assert_eq!(all(&reading), expected, "after {commits} commits, reading only");
        } else {
            assert_eq!(all(rows.as_ref()), expected);
        }
        let second = Failing::new(rows, usize::MAX);
        let (store, begun) = open(second.clone()).unwrap();
        assert!(matches!(begun, Begun::Converted { .. }), "{begun:?}");
        assert_eq!(second.scrubs.load(Ordering::SeqCst), 1, "the plain rows must leave the files");
        assert_eq!(all(&store), expected, "after {commits} commits");
    }
    assert!(interrupted > 5);
}

#[test]
fn reading_only_never_writes_and_tells_a_plain_store_from_a_sealed_one() {
    let rows = plain_rows(0);
    assert!(!is_sealed(rows.as_ref()).unwrap());
    let refused = SealedStore::open_read_only(rows.clone(), "a test", &vault(), NAME);
    assert!(matches!(refused, Err(SealError::Store(StoreError::Damaged { .. }))), "{refused:?}");
    assert!(open(Failing::new(rows.clone(), 2)).is_err());
    let before = all(rows.as_ref());
    let reading = SealedStore::open_read_only(rows.clone(), "a test", &vault(), NAME).unwrap();
    let mut batch = Batch::new();
    batch.delete(Table::Entry, b"key".as_slice());
    assert!(matches!(reading.commit(&batch), Err(StoreError::Closed { .. })));
    assert_eq!(all(rows.as_ref()), before);
}
