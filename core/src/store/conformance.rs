//! What every store promises, as checks that any implementation can be put through.
//!
//! [`run`] is for every store, [`run_durable`] also opens it again after every step. Must never test how a store does it.
//! A failed promise panics with its name: this is for tests.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::thread;

use super::{Batch, KEY_BYTES_MAX, Row, STORED_BYTES_MAX, Store, StoreError, Table, VALUE_BYTES_MAX};

/// Threads that commit at once, and how many batches each.
const THREADS: u8 = 8;
const BATCHES_PER_THREAD: u8 = 12;

/// Puts stores through the promises that hold without opening again; `make` gives a new empty store each time.
///
/// # Panics
/// When a promise is not kept.
pub fn run(make: &mut dyn FnMut() -> Box<dyn Store>) {
    let same = |store: Box<dyn Store>| store;
    for promise in PROMISES {
        promise(make(), &mut { same });
    }
}

/// As [`run`], and opens the store again at every step that could lose something: `make` gives a new empty store,
/// `reopen` closes the given one (cleanly or by dropping it) and opens it again.
///
/// # Panics
/// When a promise is not kept.
pub fn run_durable(make: &mut dyn FnMut() -> Box<dyn Store>, reopen: &mut dyn FnMut(Box<dyn Store>) -> Box<dyn Store>) {
    run(make);
    for promise in PROMISES {
        promise(make(), reopen);
    }
}

type Reopen<'a> = &'a mut dyn FnMut(Box<dyn Store>) -> Box<dyn Store>;

const PROMISES: [fn(Box<dyn Store>, Reopen<'_>); 8] = [
    a_batch_is_there_completely,
    a_refused_batch_leaves_nothing,
    the_last_step_on_a_key_wins,
    a_scan_gives_its_range_in_order,
    values_of_every_size_come_back,
    tables_do_not_touch,
    a_scrub_takes_the_dead_and_leaves_the_living,
    many_threads_commit_at_once,
];

fn put(store: &dyn Store, table: Table, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(table, key, value);
    store.commit(&batch).unwrap();
}

fn delete(store: &dyn Store, table: Table, key: &[u8]) {
    let mut batch = Batch::new();
    batch.delete(table, key);
    store.commit(&batch).unwrap();
}

fn value(store: &dyn Store, table: Table, key: &[u8]) -> Option<Vec<u8>> {
    store.get(table, key).unwrap()
}

fn a_batch_is_there_completely(store: Box<dyn Store>, reopen: Reopen<'_>) {
    store.commit(&Batch::new()).unwrap();
    let mut batch = Batch::new();
    for table in Table::ALL {
        batch.put(table, b"key".as_slice(), vec![table as u8; 3]);
    }
    store.commit(&batch).unwrap();
    let store = reopen(store);
    for table in Table::ALL {
        assert_eq!(value(&*store, table, b"key"), Some(vec![table as u8; 3]), "batch in {table:?}");
    }
}

fn a_refused_batch_leaves_nothing(store: Box<dyn Store>, reopen: Reopen<'_>) {
    let refused: [(Vec<u8>, Vec<u8>); 3] =
        [(Vec::new(), Vec::new()), (vec![1; KEY_BYTES_MAX + 1], Vec::new()), (vec![1], vec![0; STORED_BYTES_MAX + 1])];
    for (key, value) in refused {
        let mut batch = Batch::new();
        batch.put(Table::Meta, b"good".as_slice(), b"row".as_slice());
        batch.put(Table::Meta, key, value);
        assert!(matches!(store.commit(&batch), Err(StoreError::Limit { table: Table::Meta, .. })));
    }
    let store = reopen(store);
    assert_eq!(store.scan(Table::Meta, &[], None, 10).unwrap(), Vec::new(), "a refused batch left something");
}

fn the_last_step_on_a_key_wins(store: Box<dyn Store>, reopen: Reopen<'_>) {
    let mut batch = Batch::new();
    batch.put(Table::Entry, b"a".as_slice(), b"1".as_slice());
    batch.delete(Table::Entry, b"a".as_slice());
    batch.put(Table::Entry, b"a".as_slice(), b"2".as_slice());
    batch.put(Table::Entry, b"b".as_slice(), b"1".as_slice());
    batch.delete(Table::Entry, b"b".as_slice());
    batch.delete(Table::Entry, b"never there".as_slice());
    store.commit(&batch).unwrap();
    let store = reopen(store);
    assert_eq!(value(&*store, Table::Entry, b"a"), Some(b"2".to_vec()));
    assert_eq!(value(&*store, Table::Entry, b"b"), None);
    put(&*store, Table::Entry, b"a", b"3");
    put(&*store, Table::Entry, b"b", b"4");
    delete(&*store, Table::Entry, b"b");
    let store = reopen(store);
    assert_eq!(value(&*store, Table::Entry, b"a"), Some(b"3".to_vec()));
    assert_eq!(value(&*store, Table::Entry, b"b"), None);
    put(&*store, Table::Entry, b"b", b"5");
    let store = reopen(store);
    assert_eq!(value(&*store, Table::Entry, b"b"), Some(b"5".to_vec()), "written again after deletion");
}

fn a_scan_gives_its_range_in_order(store: Box<dyn Store>, reopen: Reopen<'_>) {
    let keys: [&[u8]; 7] = [b"\0", b"a", b"a\0", b"ab", b"b", b"\xff", b"\xff\xff"];
    for key in keys.iter().rev() {
        put(&*store, Table::Log, key, key);
    }
    let store = reopen(store);
    let scan = |from: &[u8], to: Option<&[u8]>, limit| -> Vec<Vec<u8>> {
        let rows = store.scan(Table::Log, from, to, limit).unwrap();
        assert!(rows.iter().all(|Row { key, value }| key == value), "a scan gives the values of its keys");
        rows.into_iter().map(|row| row.key).collect()
    };
    assert_eq!(scan(b"", None, usize::MAX), keys, "all, in order");
    assert_eq!(scan(b"a", Some(b"b"), 9), keys[1..4], "from is in, to is not");
    assert_eq!(scan(b"a\0", None, 2), keys[2..4], "the limit counts from the start");
    assert_eq!(scan(b"\xff", None, 9), keys[5..], "the highest bytes are in a table too");
    for (from, to) in [(&b"b"[..], &b"b"[..]), (b"b", b"a"), (b"c", b"d"), (b"", b"")] {
        assert_eq!(scan(from, Some(to), 9), Vec::<Vec<u8>>::new(), "an empty range");
    }
    assert_eq!(scan(b"", None, 0), Vec::<Vec<u8>>::new(), "no rows asked for");
    assert_eq!(store.scan(Table::Receipt, b"", None, 9).unwrap(), Vec::new(), "an empty table");
}

fn values_of_every_size_come_back(store: Box<dyn Store>, reopen: Reopen<'_>) {
    let sizes = [0, 1, 511, 512, 4096, 128 * 1024 + 1, VALUE_BYTES_MAX];
    let content = |size: usize| (0..size).map(|at| (at % 251) as u8).collect::<Vec<_>>();
    let key = |size: usize| {
        let mut key = vec![7; KEY_BYTES_MAX];
        key[..8].copy_from_slice(&size.to_be_bytes());
        key
    };
    for size in sizes {
        put(&*store, Table::Change, &key(size), &content(size));
    }
    let store = reopen(store);
    for size in sizes {
        assert!(value(&*store, Table::Change, &key(size)) == Some(content(size)), "a value of {size} bytes");
    }
    assert_eq!(store.scan(Table::Change, b"", None, 99).unwrap().len(), sizes.len());
}

fn tables_do_not_touch(store: Box<dyn Store>, reopen: Reopen<'_>) {
    for table in Table::ALL {
        put(&*store, table, b"same", &[table as u8]);
    }
    delete(&*store, Table::Pending, b"same");
    let store = reopen(store);
    for table in Table::ALL {
        let rows = store.scan(table, b"", None, 9).unwrap();
        let expected = if table == Table::Pending { Vec::new() } else { vec![vec![table as u8]] };
        assert_eq!(rows.into_iter().map(|row| row.value).collect::<Vec<_>>(), expected, "{table:?}");
    }
}

fn a_scrub_takes_the_dead_and_leaves_the_living(store: Box<dyn Store>, reopen: Reopen<'_>) {
    for number in 0..20_u8 {
        put(&*store, Table::Entry, &[number + 1], &[number; 100]);
    }
    for number in 0..20_u8 {
        match number % 3 {
            0 => delete(&*store, Table::Entry, &[number + 1]),
            1 => put(&*store, Table::Entry, &[number + 1], b"replaced"),
            _ => {}
        }
    }
    let check = |store: &dyn Store| {
        for number in 0..20_u8 {
            let expected = [None, Some(b"replaced".to_vec()), Some(vec![number; 100])];
            let expected = &expected[usize::from(number % 3)];
            assert_eq!(&value(store, Table::Entry, &[number + 1]), expected, "row {number} after a scrub");
        }
    };
    store.scrub().unwrap();
    check(&*store);
    let store = reopen(store);
    check(&*store);
    store.scrub().unwrap();
    put(&*store, Table::Meta, b"after", b"scrub");
    let store = reopen(store);
    check(&*store);
    assert_eq!(value(&*store, Table::Meta, b"after"), Some(b"scrub".to_vec()));
}

fn many_threads_commit_at_once(store: Box<dyn Store>, reopen: Reopen<'_>) {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for number in 0..BATCHES_PER_THREAD {
                    let mut batch = Batch::new();
                    batch.put(Table::Entry, vec![thread, number], vec![number]);
                    batch.put(Table::EntryId, vec![number, thread], vec![thread]);
                    store.commit(&batch).unwrap();
                    assert_eq!(value(&**store, Table::Entry, &[thread, number]), Some(vec![number]), "own write");
                }
            });
        }
    });
    let store = reopen(store);
    let expected = usize::from(THREADS) * usize::from(BATCHES_PER_THREAD);
    assert_eq!(store.scan(Table::Entry, b"", None, usize::MAX).unwrap().len(), expected);
    assert_eq!(store.scan(Table::EntryId, b"", None, usize::MAX).unwrap().len(), expected);
}
