//! Opening in stages: what is asked for first is answered at once, everything else waits for the index and is right.
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use samenspraak_core::store::disk::{DiskOptions, DiskStore, OnProgress, OpenReport, Progress, RebuildReason};
use samenspraak_core::store::{Batch, Store, StoreError, Table};

const ROWS: u32 = 2_000;

fn value(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(5)
}

fn fill(dir: &Path) -> DiskStore {
    let (store, _) = DiskStore::open(dir, DiskOptions::default()).unwrap();
    for first in (0..ROWS).step_by(100) {
        let mut batch = Batch::new();
        for number in first..first + 100 {
            batch.put(Table::Entry, number.to_be_bytes(), value(number));
        }
        batch.put(Table::Meta, first.to_be_bytes(), value(first));
        batch.put(Table::Meta, b"newest", value(first));
        store.commit(&batch).unwrap();
    }
    store
}

/// Holds a store's work behind it until it is let go.
struct Brake {
    reached: Receiver<()>,
    go: Sender<()>,
}

fn braked(first: Vec<(Table, Vec<u8>)>) -> (DiskOptions, Brake) {
    let ((reach, reached), (go, wait)) = (channel(), channel());
    let (reach, wait) = (Mutex::new(reach), Mutex::new(wait));
    let progress = OnProgress::new(move |progress| {
        if matches!(progress, Progress::Indexing { done: 0, .. } | Progress::Checking { done: 0 }) {
            let _ = reach.lock().unwrap().send(());
            // The other end is gone when the test is over.
            let _ = wait.lock().unwrap().recv();
        }
    });
    let options =
        DiskOptions { first_rows: first, progress, sort_at_once: 300, large_bytes: 0, ..DiskOptions::default() };
    (options, Brake { reached, go })
}

fn open_braked(dir: &Path, first: Vec<(Table, Vec<u8>)>) -> (Arc<DiskStore>, OpenReport, Brake) {
    let (options, brake) = braked(first);
    let (store, report) = DiskStore::open(dir, options).unwrap();
    brake.reached.recv().unwrap();
    (Arc::new(store), report, brake)
}

fn all_right(store: &DiskStore) {
    let rows = store.scan(Table::Entry, b"", None, usize::MAX).unwrap();
    assert_eq!(rows.len(), ROWS as usize);
    assert!((0..).zip(rows).all(|(number, row)| row.key == u32::to_be_bytes(number) && row.value == value(number)));
}

#[test]
fn after_a_kill_what_is_asked_for_first_is_answered_while_the_index_is_built() {
    let root = tempfile::tempdir().unwrap();
    drop(fill(root.path()));
    let (store, report, brake) = open_braked(root.path(), vec![(Table::Meta, Vec::new())]);
    assert_eq!((report.index_rebuilt, report.is_behind), (Some(RebuildReason::NotClosed), true));
    assert_eq!(store.get(Table::Meta, b"newest").unwrap(), Some(value(ROWS - 100)));
    assert_eq!(store.get(Table::Meta, b"none").unwrap(), None);
    assert_eq!(store.scan(Table::Meta, b"", None, usize::MAX).unwrap().len(), 21);
    // These wait, and are right when they come.
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| store.get(Table::Entry, &7_u32.to_be_bytes()));
        let writing = scope.spawn(|| {
            let mut batch = Batch::new();
            batch.put(Table::Meta, b"newest", b"newer");
            store.commit(&batch)
        });
        assert_eq!(
            store.get(Table::Meta, b"newest").unwrap(),
            Some(value(ROWS - 100)),
            "nothing is committed meanwhile"
        );
        brake.go.send(()).unwrap();
        assert_eq!(reading.join().unwrap().unwrap(), Some(value(7)));
        writing.join().unwrap().unwrap();
    });
    assert_eq!(store.get(Table::Meta, b"newest").unwrap(), Some(b"newer".to_vec()));
    all_right(&store);
    let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("sort-")), "{left:?}");
}

#[test]
fn after_a_clean_close_reads_are_answered_while_the_index_is_checked_and_commits_wait() {
    let root = tempfile::tempdir().unwrap();
    fill(root.path()).close().unwrap();
    let (store, report, brake) = open_braked(root.path(), Vec::new());
    assert_eq!((report.index_rebuilt, report.is_behind), (None, true));
    all_right(&store);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut batch = Batch::new();
            batch.put(Table::Entry, b"later", b"words");
            store.commit(&batch)
        });
        assert_eq!(store.get(Table::Entry, b"later").unwrap(), None);
        brake.go.send(()).unwrap();
        writing.join().unwrap().unwrap();
    });
    assert_eq!(store.get(Table::Entry, b"later").unwrap(), Some(b"words".to_vec()));
    store.close().unwrap();
    drop(store);
    let (store, report) = DiskStore::open(root.path(), DiskOptions::default()).unwrap();
    assert_eq!((report.index_rebuilt, report.is_behind), (None, false));
    assert_eq!(store.get(Table::Entry, b"later").unwrap(), Some(b"words".to_vec()));
}

#[test]
fn an_index_that_fails_its_check_behind_is_built_anew() {
    let root = tempfile::tempdir().unwrap();
    fill(root.path()).close().unwrap();
    // What it should hold is said to be something else: the same as an index that lost rows.
    let manifest = root.path().join("manifest");
    let mut bytes = fs::read(&manifest).unwrap();
    let sum_at = 8 + 4 + 16 + 8 + 8;
    bytes[sum_at] ^= 1;
    let body = bytes.len() - 4;
    let crc = crc32c::crc32c(&bytes[..body]).to_le_bytes();
    bytes[body..].copy_from_slice(&crc);
    fs::write(&manifest, bytes).unwrap();
    let (store, report, brake) = open_braked(root.path(), Vec::new());
    assert_eq!((report.index_rebuilt, report.is_behind), (None, true));
    let before = generation(root.path());
    // The check, and the building that follows.
    brake.go.send(()).unwrap();
    brake.go.send(()).unwrap();
    let mut batch = Batch::new();
    batch.put(Table::Meta, b"later", b"words");
    store.commit(&batch).unwrap();
    all_right(&store);
    assert_ne!(generation(root.path()), before, "another generation of the index");
}

fn generation(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("index-")).collect()
}

#[test]
fn a_store_that_is_dropped_or_closed_while_its_index_is_built_loses_nothing() {
    for close in [false, true] {
        let root = tempfile::tempdir().unwrap();
        drop(fill(root.path()));
        let (store, _, brake) = open_braked(root.path(), vec![(Table::Meta, Vec::new())]);
        let waiting = {
            let store = Arc::clone(&store);
            std::thread::spawn(move || {
                let mut batch = Batch::new();
                batch.put(Table::Meta, b"newest", b"newer");
                store.commit(&batch)
            })
        };
        brake.go.send(()).unwrap();
        let committed = if close {
            store.close().unwrap();
            waiting.join().unwrap()
        } else {
            drop(store);
            waiting.join().unwrap()
        };
        assert!(matches!(committed, Ok(()) | Err(StoreError::Closed { .. })), "{committed:?}");
        let (store, _) = DiskStore::open(root.path(), DiskOptions::default()).unwrap();
        let expected = if committed.is_ok() { b"newer".to_vec() } else { value(ROWS - 100) };
        assert_eq!(store.get(Table::Meta, b"newest").unwrap(), Some(expected));
        all_right(&store);
    }
}
