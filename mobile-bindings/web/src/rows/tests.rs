#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use samenspraak_core::store::{MemoryStore, conformance};

use super::*;

/// What a browser would keep of some rows: everything in pages.
fn kept(rows: &Rows, next: u64) -> (Head, Vec<(u64, Vec<u8>)>) {
    let fold = rows.fold(&Batch::new(), next);
    let head = Head { page_next: fold.next, pages: fold.pages.clone(), ..Head::default() };
    let mut pages = fold.written.clone();
    let held = rows.held.read().unwrap();
    let stay = held.pages.iter().filter(|kept| !fold.gone.contains(&kept.number));
    pages.extend(stay.map(|kept| (kept.number, kept.page.bytes().to_vec())));
    (head, pages)
}

struct Shared(Arc<Rows>);

impl Store for Shared {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(table, key)
    }
    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.0.scan(table, from, to, limit)
    }
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.0.commit(batch)
    }
    fn scrub(&self) -> Result<(), StoreError> {
        self.0.scrub()
    }
}

#[test]
fn rows_in_pages_keep_every_promise_of_a_store() {
    let last = Mutex::new(Arc::new(Rows::default()));
    let mut make = || -> Box<dyn Store> {
        let rows = Arc::new(Rows::default());
        *last.lock().unwrap() = Arc::clone(&rows);
        Box::new(Shared(rows))
    };
    let mut reopen = |_: Box<dyn Store>| -> Box<dyn Store> {
        let (head, pages) = kept(&last.lock().unwrap(), 1);
        let rows = Arc::new(Rows::open(&head, pages, &[]).unwrap());
        *last.lock().unwrap() = Arc::clone(&rows);
        Box::new(Shared(rows))
    };
    conformance::run_durable(&mut make, &mut reopen);
}

/// Numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn batch(&mut self) -> Batch {
        let mut batch = Batch::new();
        // Often all in one table, so that a fold hits some pages and not others.
        let (one, mixes) = (self.below(11), self.below(4) == 0);
        for _ in 0..=self.below(40) {
            let table = Table::ALL[usize::try_from(if mixes { self.below(11) } else { one }).unwrap()];
            let key = self.below(2000).to_be_bytes();
            match self.below(4) {
                0 => batch.delete(table, key),
                _ => batch.put(table, key, vec![self.below(256) as u8; self.below(3000) as usize]),
            }
        }
        batch
    }
}

fn all(store: &dyn Store) -> Vec<Vec<Row>> {
    Table::ALL.iter().map(|table| store.scan(*table, &[], None, usize::MAX).unwrap()).collect()
}

#[test]
fn whatever_is_written_forgotten_folded_and_opened_again_reads_as_in_memory() {
    for seed in 1..=6 {
        let (mut numbers, plain, mut rows) = (Numbers(seed), MemoryStore::new(), Rows::default());
        let (mut next, mut kept_pages) = (1, 0);
        for round in 0..120 {
            let batch = numbers.batch();
            plain.commit(&batch).unwrap();
            if numbers.below(2) > 0 {
                rows.commit(&batch).unwrap();
            } else {
                let fold = rows.fold(&batch, next);
                next = fold.next;
                kept_pages += fold.pages.len() - fold.written.len();
                rows.folded(fold).unwrap();
            }
            if numbers.below(20) == 0 {
                let (head, pages) = kept(&rows, next);
                next = head.page_next;
                rows = Rows::open(&head, pages, &[]).unwrap();
            }
            if round % 10 == 0 {
                assert_eq!(all(&rows), all(&plain), "seed {seed}, round {round}");
            }
            let (from, limit) = (numbers.below(2000).to_be_bytes(), usize::try_from(numbers.below(9)).unwrap());
            let to = numbers.below(2000).to_be_bytes();
            let found = rows.scan(Table::Meta, &from, Some(&to), limit).unwrap();
            assert_eq!(found, plain.scan(Table::Meta, &from, Some(&to), limit).unwrap(), "seed {seed}, round {round}");
            assert_eq!(rows.get(Table::Log, &from).unwrap(), plain.get(Table::Log, &from).unwrap());
        }
        assert_eq!(all(&rows), all(&plain), "seed {seed}");
        assert!(kept_pages > 0, "seed {seed}: a fold that writes every page anew shows nothing");
    }
}

#[test]
fn a_fold_leaves_forgotten_and_replaced_bytes_nowhere() {
    let rows = Rows::default();
    let mut batch = Batch::new();
    for number in 0..2000_u32 {
        batch.put(Table::Change, number.to_be_bytes(), vec![7; 300]);
    }
    batch.put(Table::Change, 77_u32.to_be_bytes(), b"words that will go".to_vec());
    batch.put(Table::Entry, [1], b"words that are replaced".to_vec());
    rows.commit(&batch).unwrap();
    let fold = rows.fold(&Batch::new(), 1);
    let holds =
        |pages: &[(u64, Vec<u8>)]| pages.iter().any(|(_, page)| page.windows(10).any(|part| part == b"words that"));
    assert!(holds(&fold.written));
    rows.folded(fold).unwrap();
    let mut batch = Batch::new();
    batch.delete(Table::Change, 77_u32.to_be_bytes());
    batch.put(Table::Entry, [1], b"other".to_vec());
    rows.commit(&batch).unwrap();
    let fold = rows.fold(&Batch::new(), 100);
    assert!(!fold.gone.is_empty());
    rows.folded(fold).unwrap();
    let (_, pages) = kept(&rows, 200);
    assert!(pages.len() > 1 && !holds(&pages));
}

#[test]
fn a_page_or_record_that_was_cut_changed_or_left_out_is_damage_and_never_a_panic() {
    let rows = Rows::default();
    let mut batch = Batch::new();
    for number in 0..20_u8 {
        batch.put(Table::Meta, [number], vec![number; 5]);
    }
    rows.commit(&batch).unwrap();
    let (head, pages) = kept(&rows, 1);
    let open = |head: &Head, bytes: Vec<u8>| Rows::open(head, vec![(1, bytes)], &[]).map(|rows| all(&rows));
    let (whole, good) = (pages[0].1.clone(), open(&head, pages[0].1.clone()).unwrap());
    for at in 0..whole.len() {
        assert!(open(&head, whole[..at].to_vec()).is_err(), "cut at {at}");
        for bit in [0x01, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= bit;
            // The seal is what finds a changed value; the form finds the rest, and nothing here may panic.
            let _ = open(&head, changed);
        }
    }
    assert!(Rows::open(&head, Vec::new(), &[]).is_err(), "a page is missing");
    let journal = Head { journal_first: 3, journal_next: 5, ..Head::default() };
    let record = encode_batch(&batch);
    assert_eq!(decode_batch(&record).unwrap(), batch);
    let both = [(3, record.clone()), (4, encode_batch(&Batch::new()))];
    assert_eq!(all(&Rows::open(&journal, Vec::new(), &both).unwrap()), good);
    assert!(Rows::open(&journal, Vec::new(), &both[..1]).is_err(), "the last record is missing");
    assert!(Rows::open(&journal, Vec::new(), &both[1..]).is_err(), "the first record is missing");
    for at in 1..record.len() {
        let is_between_rows = decode_batch(&record[..at]).is_ok_and(|cut| cut.ops().len() < batch.ops().len());
        assert!(is_between_rows || decode_batch(&record[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(Head::decode(&head.encode()).unwrap(), head);
}
