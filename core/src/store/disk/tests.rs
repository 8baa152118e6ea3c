//! What the store does when its index says something wrong: tests that need its inside.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn store_of(dir: &Path, count: u8) -> DiskStore {
    let (store, _) = DiskStore::open(dir, DiskOptions::default()).unwrap();
    for number in 0..count {
        let mut batch = Batch::new();
        batch.put(Table::Entry, [number + 1], [number; 20]);
        store.commit(&batch).unwrap();
    }
    store
}

fn place(store: &DiskStore, key: u8) -> Location {
    store.state().index.get(&index_key(Table::Entry, &[key])).unwrap().unwrap()
}

fn mislead(store: &DiskStore, key: u8, at: Location) {
    store.state_mut().index.apply(&[(index_key(Table::Entry, &[key]), Some(at))]).unwrap();
}

#[test]
fn an_index_that_points_elsewhere_is_set_aside_and_the_right_value_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let store = store_of(root.path(), 5);
    let right = place(&store, 1);
    let wrong = [
        place(&store, 2),
        Location { segment: 9, ..right },
        Location { offset: right.offset + 1, ..right },
        Location { offset: u32::MAX, ..right },
        Location { length: u32::MAX, ..right },
        Location { length: right.length - 1, ..right },
        Location { length: right.length + 1, ..right },
        Location { crc: right.crc ^ 1, ..right },
    ];
    for (count, at) in (2..).zip(wrong) {
        mislead(&store, 1, at);
        if count % 2 == 0 {
            assert_eq!(store.get(Table::Entry, &[1]).unwrap(), Some(vec![0; 20]));
        } else {
            assert_eq!(store.scan(Table::Entry, &[], None, 9).unwrap().len(), 5);
        }
        assert_eq!(store.state().generation, count, "one new generation each time");
        assert_eq!(place(&store, 1), right);
    }
    assert_eq!(index::generations(root.path()), [9], "old generations are gone");
}

#[test]
fn a_scrub_leaves_an_index_that_is_right_at_once() {
    let root = tempfile::tempdir().unwrap();
    let store = store_of(root.path(), 9);
    let mut batch = Batch::new();
    batch.delete(Table::Entry, [1]);
    store.commit(&batch).unwrap();
    store.scrub().unwrap();
    assert_eq!(store.scan(Table::Entry, &[], None, 9).unwrap().len(), 8);
    assert_eq!(store.state().generation, 2, "the scrub's, and no other after it");
    store.scrub().unwrap();
    assert_eq!(store.state().generation, 2, "nothing was dead any more");
}

#[test]
fn without_sled_the_index_is_kept_in_memory() {
    let root = tempfile::tempdir().unwrap();
    let not_a_folder = root.path().join("file");
    std::fs::write(&not_a_folder, b"").unwrap();
    for life in 0..3_u8 {
        let options = DiskOptions { index_root: Some(not_a_folder.clone()), ..DiskOptions::default() };
        let (store, report) = DiskStore::open(&root.path().join("store"), options).unwrap();
        assert!(report.index_in_memory);
        assert_eq!(store.scan(Table::Entry, &[], None, 9).unwrap().len(), usize::from(life));
        let mut batch = Batch::new();
        batch.put(Table::Entry, [life + 1], [1]);
        store.commit(&batch).unwrap();
        store.scrub().unwrap();
        assert_eq!(store.get(Table::Entry, &[life + 1]).unwrap(), Some(vec![1]));
        store.close().unwrap();
    }
}

#[test]
fn when_the_journal_is_damaged_too_an_answer_is_an_error_and_words_are_still_taken() {
    let root = tempfile::tempdir().unwrap();
    let store = store_of(root.path(), 3);
    let at = place(&store, 2);
    let segment = root.path().join("journal").join(segment_name(1));
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[at.offset as usize + 15] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    assert!(matches!(store.get(Table::Entry, &[2]), Err(StoreError::Damaged { .. })));
    assert_eq!(store.get(Table::Entry, &[3]).unwrap(), Some(vec![2; 20]));
    store.state_mut().index = Index::Gone;
    let mut batch = Batch::new();
    batch.put(Table::Entry, [9], [1]);
    store.commit(&batch).unwrap();
    assert!(matches!(store.get(Table::Entry, &[9]), Err(StoreError::Damaged { .. })));
    drop(store);
    let (readable, found) = DiskStore::open_read_only(root.path()).unwrap();
    assert_eq!((found.damage.len(), readable.get(Table::Entry, &[9]).unwrap()), (1, Some(vec![1])));
}
