//! The disk store's promises: nothing acknowledged is lost or changed, whatever the disk, the power or sled does.
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use samenspraak_core::store::disk::sim::{Random, SimFiles};
use samenspraak_core::store::disk::{DiskOptions, DiskStore, OpenReport, ReadOnlyDisk, RebuildReason};
use samenspraak_core::store::{Batch, Store, StoreError, Table, conformance};

const DIR: &str = "/store";

fn open(dir: &Path) -> (DiskStore, OpenReport) {
    DiskStore::open(dir, DiskOptions::default()).unwrap()
}

fn put(store: &dyn Store, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    batch.put(Table::Entry, key, value);
    store.commit(&batch)
}

fn rows(store: &dyn Store) -> Rows {
    let found = store.scan(Table::Entry, b"", None, usize::MAX).unwrap();
    found.into_iter().map(|row| (row.key, row.value)).collect()
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(all_files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A simulated disk for the journal and a folder for sled, whose loss costs nothing.
struct World {
    files: SimFiles,
    index: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { files: SimFiles::new(), index: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Result<(DiskStore, OpenReport), StoreError> {
        let index_root = Some(self.index.path().to_path_buf());
        // Small segments, so that some rotate.
        let options = DiskOptions { segment_bytes_max: 4000, index_root, ..DiskOptions::default() };
        DiskStore::open_in(Arc::new(self.files.clone()), Path::new(DIR), options)
    }

    fn verify(&self) -> (ReadOnlyDisk, samenspraak_core::store::disk::Verification) {
        ReadOnlyDisk::open_in(&self.files, Path::new(DIR)).unwrap()
    }
}

/// What must be there: the acknowledged rows, and one batch that may or may not be.
#[derive(Default)]
struct Model {
    rows: Rows,
    maybe: Option<Rows>,
}

impl Model {
    fn random_batch(&self, random: &mut Random) -> (Batch, Rows) {
        let mut batch = Batch::new();
        let mut after = self.rows.clone();
        for _ in 0..=random.below(4) {
            let key = vec![1, random.below(30) as u8];
            if random.below(4) == 0 {
                batch.delete(Table::Entry, key.clone());
                after.remove(&key);
            } else {
                let value = vec![random.next_bits() as u8; random.below(900) as usize];
                batch.put(Table::Entry, key.clone(), value.clone());
                after.insert(key, value);
            }
        }
        (batch, after)
    }

    /// Commits, scrubs and closes until something fails or enough was done.
    fn work(&mut self, store: &DiskStore, random: &mut Random) {
        for _ in 0..random.below(60) {
            if random.below(12) == 0 {
                if store.scrub().is_err() {
                    return;
                }
                continue;
            }
            let (batch, after) = self.random_batch(random);
            if store.commit(&batch).is_err() {
                self.maybe = Some(after);
                return;
            }
            self.rows = after;
        }
        if random.below(3) == 0 {
            let _ = store.close();
        }
    }

    fn check(&mut self, found: Rows, seed: u64) {
        let maybe = self.maybe.take();
        assert!(
            found == self.rows || maybe.as_ref() == Some(&found),
            "seed {seed}: rows differ from what was promised"
        );
        self.rows = found;
    }
}

#[test]
fn the_disk_store_keeps_every_promise() {
    let root = tempfile::tempdir().unwrap();
    let mut count = 0;
    let mut place = BTreeMap::new();
    for clean in [true, false] {
        let mut make = || -> Box<dyn Store> {
            count += 1;
            Box::new(Held::open(&root.path().join(format!("{count}")), clean))
        };
        let mut reopen = |store: Box<dyn Store>| -> Box<dyn Store> {
            // The store under test is the last one made or reopened here.
            let dir = LAST.with(|last| last.borrow().clone());
            *place.entry(dir.clone()).or_insert(0) += 1;
            drop(store);
            Box::new(Held::open(&dir, clean))
        };
        conformance::run_durable(&mut make, &mut reopen);
    }
    assert!(place.values().sum::<u32>() > 10);
}

thread_local! {
    static LAST: std::cell::RefCell<PathBuf> = const { std::cell::RefCell::new(PathBuf::new()) };
}

/// A store that closes cleanly when dropped, if it should, and fails if a clean close was not trusted.
struct Held {
    store: DiskStore,
    clean: bool,
}

impl Held {
    fn open(dir: &Path, clean: bool) -> Self {
        LAST.with(|last| *last.borrow_mut() = dir.to_path_buf());
        let had_words = dir.exists() && !segments(dir).is_empty();
        let (store, report) = open(dir);
        let expected = (had_words && !clean).then_some(RebuildReason::NotClosed);
        assert_eq!((report.index_rebuilt, report.torn_bytes_cut, report.index_in_memory), (expected, 0, false));
        Self { store, clean }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.clean && !std::thread::panicking() {
            self.store.close().unwrap();
        }
    }
}

impl Store for Held {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(table, key)
    }
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<samenspraak_core::store::Row>, StoreError> {
        self.store.scan(table, from, to, limit)
    }
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.store.commit(batch)
    }
    fn scrub(&self) -> Result<(), StoreError> {
        self.store.scrub()
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_a_hundred_power_cuts() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let (world, mut model) = (World::new(), Model::default());
        for life in 0..4 {
            if random.below(4) > 0 {
                world.files.fail_after(random.below(200));
            }
            // The power may also go while opening.
            if let Ok((store, _)) = world.open() {
                model.check(rows(&store), seed);
                model.work(&store, &mut random);
            }
            world.files.power_cut(seed * 10 + life);
        }
        let (store, _) = world.open().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        model.check(rows(&store), seed);
        drop(store);
        assert_eq!(world.verify().1.damage, Vec::new(), "seed {seed}");
    }
}

#[test]
fn threads_that_share_flushes_lose_nothing_acknowledged_in_a_power_cut() {
    let mut torn = 0;
    for seed in 0..60 {
        let mut random = Random(seed);
        let world = World::new();
        let (store, _) = world.open().unwrap();
        world.files.fail_after(random.below(60));
        let acknowledged = std::thread::scope(|scope| {
            let worker = |thread: u8| {
                let store = &store;
                move || {
                    let commit = |number: u8| {
                        let mut batch = Batch::new();
                        batch.put(Table::Entry, vec![thread, number, 0], vec![number; 300]);
                        batch.put(Table::Entry, vec![thread, number, 1], vec![number; 300]);
                        store.commit(&batch).is_ok()
                    };
                    (0..30).take_while(|number| commit(*number)).count()
                }
            };
            let workers: Vec<_> = (0..8).map(|thread| scope.spawn(worker(thread))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
        });
        drop(store);
        world.files.power_cut(seed);
        let (store, report) = world.open().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        torn += u32::from(report.torn_bytes_cut > 300);
        let found = rows(&store);
        for (thread, count) in acknowledged.into_iter().enumerate() {
            for number in 0..30 {
                let half = |half| found.get(&vec![thread as u8, number, half]) == Some(&vec![number; 300]);
                assert_eq!(half(0), half(1), "seed {seed}: half a batch");
                assert!(half(0) || usize::from(number) >= count, "seed {seed}: acknowledged and lost");
                assert!(!half(0) || usize::from(number) <= count, "seed {seed}: never committed");
            }
        }
    }
    assert!(torn > 5, "{torn}");
}

#[test]
fn an_index_that_is_lost_or_scribbled_over_never_changes_an_answer() {
    let mut rebuilt = 0;
    for seed in 0..100 {
        let mut random = Random(seed);
        let (world, mut model) = (World::new(), Model::default());
        for _ in 0..2 {
            let (store, report) = world.open().unwrap();
            rebuilt += u32::from(report.index_rebuilt.is_some());
            model.check(rows(&store), seed);
            model.work(&store, &mut random);
            if random.below(2) == 0 {
                let _ = store.close();
            }
            drop(store);
            damage_index(world.index.path(), &mut random);
        }
        let (store, report) = world.open().unwrap();
        rebuilt += u32::from(report.index_rebuilt.is_some());
        model.check(rows(&store), seed);
        put(&store, b"after", b"all").unwrap();
        assert_eq!(store.get(Table::Entry, b"after").unwrap(), Some(b"all".to_vec()));
    }
    assert!(rebuilt > 100, "{rebuilt}");
}

fn damage_index(root: &Path, random: &mut Random) {
    if random.below(4) == 0 {
        fs::remove_dir_all(root).unwrap();
        fs::create_dir(root).unwrap();
        return;
    }
    for path in all_files(root) {
        let mut bytes = fs::read(&path).unwrap();
        match random.below(4) {
            0 => fs::remove_file(&path).unwrap(),
            1 => bytes.truncate(random.below(bytes.len() as u64) as usize),
            _ => {
                for _ in 0..=random.below(40) {
                    let at = random.below(bytes.len() as u64) as usize;
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << random.below(8);
                    }
                }
            }
        }
        if path.exists() {
            fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn an_index_damaged_under_a_running_store_is_noticed_or_does_not_matter() {
    for seed in 0..10 {
        let root = tempfile::tempdir().unwrap();
        let (store, _) = open(root.path());
        let value = |number: u32| vec![number as u8; 50];
        for number in 0..300_u32 {
            put(&store, &number.to_be_bytes(), &value(number)).unwrap();
        }
        let index: Vec<_> = all_files(root.path()).into_iter().filter(|path| path.ends_with("db")).collect();
        for path in index {
            let mut bytes = fs::read(&path).unwrap();
            let mut random = Random(seed);
            bytes.iter_mut().for_each(|byte| *byte ^= random.next_bits() as u8);
            fs::write(&path, bytes).unwrap();
        }
        for number in 0..300_u32 {
            assert_eq!(store.get(Table::Entry, &number.to_be_bytes()).unwrap(), Some(value(number)));
        }
        put(&store, b"after", b"all").unwrap();
        assert_eq!(rows(&store).len(), 301);
    }
}

/// A journal of `count` commits, not closed; the lengths of its one segment after each.
fn journal_of(world: &World, count: u8) -> Vec<usize> {
    let (store, _) = world.open().unwrap();
    let mut lengths = Vec::new();
    for number in 0..count {
        put(&store, &[number + 1], &[number; 40]).unwrap();
        lengths.push(world.files.content(&first_segment()).unwrap().len());
    }
    lengths
}

fn first_segment() -> PathBuf {
    Path::new(DIR).join("journal/00000001.seg")
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_back_to_the_last_whole_frame() {
    let world = World::new();
    let lengths = journal_of(&world, 3);
    let whole = world.files.content(&first_segment()).unwrap();
    for end in lengths[1]..lengths[2] {
        for zeros in [0, lengths[2] - end] {
            let mut torn = whole[..end].to_vec();
            torn.resize(end + zeros, 0);
            world.files.scribble(&first_segment(), torn);
            assert!(world.verify().1.damage.is_empty());
            let (store, report) = world.open().unwrap();
            assert_eq!((report.frames, report.torn_bytes_cut), (2, (end + zeros - lengths[1]) as u64), "at {end}");
            assert_eq!(rows(&store).len(), 2);
            // And it goes on from there.
            put(&store, b"next", b"words").unwrap();
            assert_eq!(rows(&store).len(), 3);
        }
    }
}

#[test]
fn a_bit_flipped_in_the_middle_is_reported_and_nothing_is_changed() {
    let world = World::new();
    let lengths = journal_of(&world, 4);
    let whole = world.files.content(&first_segment()).unwrap();
    for byte in 0..lengths[2] {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << (byte % 8);
        world.files.scribble(&first_segment(), flipped.clone());
        let error = world.open().unwrap_err();
        let StoreError::Damaged { place, .. } = &error else { panic!("byte {byte}: {error}") };
        assert!(place.contains("00000001.seg at byte"), "{place}");
        assert_eq!(world.files.content(&first_segment()), Some(flipped));
        let (readable, found) = world.verify();
        assert!(!found.damage.is_empty());
        // What can be read is right.
        for (key, value) in rows(&readable) {
            assert_eq!(value, [key[0] - 1; 40]);
        }
    }
}

#[test]
fn after_a_clean_close_even_the_last_frame_counts_as_acknowledged() {
    let world = World::new();
    let lengths = journal_of(&world, 3);
    world.open().unwrap().0.close().unwrap();
    let whole = world.files.content(&first_segment()).unwrap();
    world.files.scribble(&first_segment(), whole[..lengths[1] + 5].to_vec());
    assert!(matches!(world.open(), Err(StoreError::Damaged { .. })));
    world.files.scribble(&first_segment(), whole[..lengths[1]].to_vec());
    assert!(matches!(world.open(), Err(StoreError::Damaged { .. })));
    // A flipped bit in a value is found when it is read, also when the index was trusted.
    let mut flipped = whole.clone();
    flipped[lengths[2] - 3] ^= 1;
    world.files.scribble(&first_segment(), flipped);
    let (store, report) = world.open().unwrap();
    assert_eq!(report.index_rebuilt, None);
    assert!(world.files.content(&Path::new(DIR).join("manifest")).is_none(), "an open store has no manifest");
    for _ in 0..2 {
        assert!(matches!(store.get(Table::Entry, &[3]), Err(StoreError::Damaged { .. })));
        assert_eq!(store.get(Table::Entry, &[2]).unwrap(), Some(vec![1; 40]));
    }
}

#[test]
fn a_missing_segment_is_reported() {
    let world = World::new();
    let (store, _) = world.open().unwrap();
    for number in 0..30 {
        put(&store, &[number + 1], &[number; 500]).unwrap();
    }
    drop(store);
    let segment = Path::new(DIR).join("journal/00000002.seg");
    let copy = world.files.content(&segment).unwrap();
    use samenspraak_core::store::disk::Files;
    world.files.remove(&segment).unwrap();
    assert!(matches!(world.open(), Err(StoreError::Damaged { .. })));
    assert!(world.verify().1.damage.len() >= 2);
    world.files.create(&segment).unwrap();
    world.files.scribble(&segment, copy);
    assert_eq!(rows(&world.open().unwrap().0).len(), 30);
}

#[test]
fn a_full_disk_is_an_error_that_passes() {
    let world = World::new();
    let (store, _) = world.open().unwrap();
    put(&store, b"before", b"words").unwrap();
    for room in 0..60 {
        world.files.set_room(Some(world.files.used_bytes() + room));
        assert!(matches!(put(&store, b"during", &[1; 100]), Err(StoreError::Full { .. })), "room for {room}");
        assert_eq!(store.get(Table::Entry, b"before").unwrap(), Some(b"words".to_vec()));
        assert_eq!(store.get(Table::Entry, b"during").unwrap(), None);
    }
    world.files.set_room(None);
    put(&store, b"after", b"more").unwrap();
    // A store can be opened and read on a full disk too.
    drop(store);
    world.files.set_room(Some(world.files.used_bytes()));
    let (store, _) = world.open().unwrap();
    assert_eq!(rows(&store).len(), 2);
    assert!(matches!(put(&store, b"during", b""), Err(StoreError::Full { .. })));
    assert!(store.scrub().is_ok(), "nothing to scrub");
    world.files.set_room(None);
    put(&store, b"later", b"").unwrap();
    // A scrub without room fails, loses nothing, and works later.
    put(&store, b"after", &[7; 3000]).unwrap();
    world.files.set_room(Some(world.files.used_bytes() + 10));
    assert!(matches!(store.scrub(), Err(StoreError::Full { .. })));
    assert_eq!(rows(&store).len(), 3);
    world.files.set_room(None);
    store.scrub().unwrap();
    assert_eq!(rows(&store).len(), 3);
    assert_eq!(world.verify_closed(store).dead_values, 0);
}

impl World {
    fn verify_closed(&self, store: DiskStore) -> samenspraak_core::store::disk::Verification {
        store.close().unwrap();
        drop(store);
        self.verify().1
    }
}

#[test]
fn after_a_failed_flush_the_store_stops_and_a_new_file_is_flushed() {
    for seed in 0..20 {
        let world = World::new();
        let (store, _) = world.open().unwrap();
        put(&store, b"before", b"words").unwrap();
        world.files.fail_syncs(1);
        assert!(matches!(put(&store, b"during", b"words"), Err(StoreError::Io { .. })));
        assert!(matches!(put(&store, b"during", b"words"), Err(StoreError::Closed { .. })));
        assert_eq!(store.get(Table::Entry, b"during").unwrap(), None);
        assert_eq!(store.get(Table::Entry, b"before").unwrap(), Some(b"words".to_vec()));
        assert!(matches!(store.close(), Err(StoreError::Closed { .. })));
        drop(store);
        let (store, _) = world.open().unwrap();
        put(&store, b"after", b"words").unwrap();
        let acknowledged = rows(&store);
        world.files.power_cut(seed);
        drop(store);
        assert_eq!(rows(&world.open().unwrap().0), acknowledged, "seed {seed}");
    }
}

#[test]
fn a_store_is_held_by_one() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = open(root.path());
    assert!(matches!(DiskStore::open(root.path(), DiskOptions::default()), Err(StoreError::Busy { .. })));
    assert!(matches!(DiskStore::open_read_only(root.path()), Err(StoreError::Busy { .. })));
    put(&store, b"key", b"value").unwrap();
    store.close().unwrap();
    assert!(matches!(put(&store, b"key", b"value"), Err(StoreError::Closed { .. })));
    assert!(matches!(store.get(Table::Entry, b"key"), Err(StoreError::Closed { .. })));
    let before: Vec<_> = all_files(root.path()).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    let (readable, found) = DiskStore::open_read_only(root.path()).unwrap();
    assert_eq!(readable.get(Table::Entry, b"key").unwrap(), Some(b"value".to_vec()));
    assert_eq!((found.live_rows, found.closed_cleanly, found.damage.len()), (1, true, 0));
    assert!(matches!(DiskStore::open(root.path(), DiskOptions::default()), Err(StoreError::Busy { .. })));
    drop(readable);
    let after: Vec<_> = all_files(root.path()).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    assert!(before == after, "reading changed a file");
    assert_eq!(open(root.path()).1.index_rebuilt, None);
}

#[test]
fn after_a_scrub_no_file_holds_what_was_deleted() {
    let root = tempfile::tempdir().unwrap();
    let options = DiskOptions { segment_bytes_max: 2000, ..DiskOptions::default() };
    let (store, _) = DiskStore::open(root.path(), options).unwrap();
    for number in 0..40_u8 {
        put(&store, &[number + 1], format!("secret words {number:03} {}", "x".repeat(100)).as_bytes()).unwrap();
    }
    let mut batch = Batch::new();
    for number in 0..40_u8 {
        match number % 4 {
            0 => batch.delete(Table::Entry, [number + 1]),
            1 => batch.put(Table::Entry, [number + 1], b"other".as_slice()),
            _ => {}
        }
    }
    store.commit(&batch).unwrap();
    store.scrub().unwrap();
    assert!(segments(root.path()).len() > 2);
    for path in all_files(root.path()) {
        let bytes = fs::read(&path).unwrap();
        for number in (0..40).filter(|number| number % 4 < 2) {
            let secret = format!("secret words {number:03}");
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} in {path:?}");
        }
    }
    let before = rows(&store);
    assert_eq!(before.len(), 30);
    put(&store, b"z", b"after").unwrap();
    drop(store);
    let (store, report) = open(root.path());
    assert_eq!(report.torn_bytes_cut, 0);
    assert_eq!(rows(&store).len(), 31);
}

#[test]
fn a_journal_of_random_bytes_is_an_error_and_never_a_panic() {
    for seed in 0..200 {
        let world = World::new();
        let lengths = journal_of(&world, 3);
        let mut random = Random(seed);
        let mut bytes = world.files.content(&first_segment()).unwrap();
        for _ in 0..=random.below(30) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next_bits() as u8;
        }
        bytes.truncate(random.below(2 * lengths[2] as u64) as usize);
        world.files.scribble(&first_segment(), bytes);
        let (readable, _) = world.verify();
        for (key, value) in rows(&readable) {
            assert_eq!(value, [key[0] - 1; 40], "seed {seed}");
        }
        match world.open() {
            Ok((store, _)) => assert!(rows(&store).iter().all(|(key, value)| value == &[key[0] - 1; 40])),
            Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "seed {seed}: {error}"),
        }
    }
}
