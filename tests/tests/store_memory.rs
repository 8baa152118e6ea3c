//! Checking the whole index of a large store does not keep the whole index in memory.
//!
//! Allocated bytes are counted, not resident ones: they are the same on every machine. One test, since all in this program share
//! the count.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use samenspraak_core::store::disk::{DiskOptions, DiskStore, OnProgress};
use samenspraak_core::store::{Batch, Store, Table};
use tikv_jemalloc_ctl::{epoch, stats};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rows: their blocks are twice as many as what sled notes before it gives up any page.
const ROWS: u32 = 500_000;
/// Rows of a commit: more than ever wait for their blocks.
const AT_ONCE: u32 = 40_000;
/// What opening may take for any number of rows. The index of all rows takes 70 MiB when sled keeps all of it.
const MOST: usize = 32 * 1024 * 1024;

fn allocated() -> usize {
    epoch::advance().unwrap();
    stats::allocated::read().unwrap()
}

/// A key as long as those of entries, in no order.
fn key(number: u32) -> Vec<u8> {
    number.wrapping_mul(0x9E37_79B1).to_be_bytes().repeat(15)
}

/// Opens the store, waits for all that goes on behind, and says how much was allocated at most.
fn most_while_opening(dir: &Path) -> (usize, DiskStore) {
    let most = Arc::new(AtomicUsize::new(0));
    let sampled = Arc::clone(&most);
    let before = allocated();
    let progress = OnProgress::new(move |_| {
        sampled.fetch_max(allocated(), Ordering::Relaxed);
    });
    let (store, _) = DiskStore::open(dir, DiskOptions { progress, ..DiskOptions::default() }).unwrap();
    let mut batch = Batch::new();
    // Commits wait until all was compared.
    batch.put(Table::Meta, *b"last", *b"commit");
    store.commit(&batch).unwrap();
    (most.load(Ordering::Relaxed).max(allocated()).saturating_sub(before), store)
}

#[test]
fn a_check_of_the_whole_index_gives_pages_up_while_it_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = DiskStore::open(root.path(), DiskOptions::default()).unwrap();
    for first in (0..ROWS).step_by(AT_ONCE as usize) {
        let mut batch = Batch::new();
        for number in first..first + AT_ONCE {
            batch.put(Table::Entry, key(number), number.to_be_bytes());
        }
        store.commit(&batch).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let (checking, store) = most_while_opening(root.path());
    store.close().unwrap();
    println!("{} MiB", checking >> 20);
    assert!(checking <= MOST, "checking the index took {checking} bytes");
}
