//! Promises: a sealed store on a disk keeps all that a plain one keeps, and none of its values is in any file.
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use samenspraak_core::store::disk::{DiskOptions, DiskStore};
use samenspraak_core::store::sealed::{Begun, SealError};
use samenspraak_core::store::{Batch, SealedStore, Store, StoreError, Table, conformance};
use samenspraak_core::vault::{KeyVault, MasterKey, MemoryVault};

const WORDS: &[u8] = b"the crossing is dark at night, and nobody repairs the lamp";

fn vault(byte: u8) -> MemoryVault {
    let vault = MemoryVault::new();
    vault.keep("phone", &MasterKey::new([byte; 32])).unwrap();
    vault
}

fn disk(dir: &Path) -> Arc<DiskStore> {
    Arc::new(DiskStore::open(dir, DiskOptions::default()).unwrap().0)
}

fn sealed(disk: Arc<DiskStore>, byte: u8) -> Result<(SealedStore, Begun), SealError> {
    SealedStore::open(disk, "a test", &vault(byte), "phone", [byte; 32])
}

fn put(store: &dyn Store, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(Table::Entry, key, value);
    store.commit(&batch).unwrap();
}

/// Every byte of every file under a folder.
fn all_bytes(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        bytes.extend(if path.is_dir() { all_bytes(&path) } else { fs::read(&path).unwrap() });
    }
    bytes
}

fn holds_words(dir: &Path) -> bool {
    let bytes = all_bytes(dir);
    WORDS.windows(8).any(|window| bytes.windows(8).any(|seen| seen == window))
}

#[test]
fn a_sealed_store_on_a_disk_keeps_every_promise_over_every_reopening() {
    let root = tempfile::tempdir().unwrap();
    let (mut made, last) = (0, RefCell::new(PathBuf::new()));
    let open = |dir: &Path| -> Box<dyn Store> { Box::new(sealed(disk(dir), 5).unwrap().0) };
    conformance::run_durable(
        &mut || {
            made += 1;
            last.replace(root.path().join(made.to_string()));
            open(&last.borrow())
        },
        &mut |store| {
            // Dropped without closing: a crash.
            drop(store);
            open(&last.borrow())
        },
    );
}

#[test]
fn no_value_is_in_any_file_of_a_sealed_store() {
    let root = tempfile::tempdir().unwrap();
    let (plain, hidden) = (root.path().join("plain"), root.path().join("sealed"));
    put(disk(&plain).as_ref(), b"key", WORDS);
    assert!(holds_words(&plain), "this test can fail");
    let store = disk(&hidden);
    put(&sealed(Arc::clone(&store), 5).unwrap().0, b"key", WORDS);
    assert!(!holds_words(&hidden));
    store.close().unwrap();
    assert!(!holds_words(&hidden));
    assert_eq!(sealed(disk(&hidden), 5).unwrap().0.get(Table::Entry, b"key").unwrap().as_deref(), Some(WORDS));
}

#[test]
fn a_plain_store_of_before_is_sealed_at_opening_and_its_plain_bytes_leave_the_files() {
    let root = tempfile::tempdir().unwrap();
    let store = disk(root.path());
    for number in 0..300_u16 {
        put(store.as_ref(), &number.to_be_bytes(), WORDS);
    }
    put(store.as_ref(), &7_u16.to_be_bytes(), b"replaced");
    store.close().unwrap();
    drop(store);
    assert!(holds_words(root.path()), "this test can fail");

    let store = disk(root.path());
    let (rows, begun) = sealed(Arc::clone(&store), 5).unwrap();
    assert_eq!(begun, Begun::Converted { rows: 300 });
    assert!(!holds_words(root.path()), "while it is open");
    assert_eq!(rows.scan(Table::Entry, b"", None, 999).unwrap().len(), 300);
    assert_eq!(rows.get(Table::Entry, &7_u16.to_be_bytes()).unwrap(), Some(b"replaced".to_vec()));
    drop((rows, store));
    assert!(!holds_words(root.path()), "after a crash");

    let wrong = sealed(disk(root.path()), 6);
    assert!(matches!(wrong, Err(SealError::Store(StoreError::WrongKey { .. }))), "{wrong:?}");
    drop(wrong);
    let (rows, begun) = sealed(disk(root.path()), 5).unwrap();
    assert_eq!((begun, rows.get(Table::Entry, &8_u16.to_be_bytes()).unwrap().as_deref()), (Begun::Sealed, Some(WORDS)));
}

#[test]
fn a_scrub_takes_erased_values_out_of_a_sealed_store_too() {
    let root = tempfile::tempdir().unwrap();
    let store = disk(root.path());
    let (rows, _) = sealed(Arc::clone(&store), 5).unwrap();
    put(&rows, b"key", WORDS);
    let stored = store.get(Table::Entry, b"key").unwrap().unwrap();
    let holds = || all_bytes(root.path()).windows(stored.len()).any(|seen| seen == stored);
    assert!(holds(), "this test can fail");
    let mut batch = Batch::new();
    batch.delete(Table::Entry, b"key".as_slice());
    rows.commit(&batch).unwrap();
    assert!(holds(), "a deletion alone takes nothing away");
    rows.scrub().unwrap();
    assert!(!holds());
}
