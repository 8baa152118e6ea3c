//! A scrub of the disk store: what was deleted leaves every file, keys included, and whatever happens meanwhile nothing that
//! lives is lost: commits beside it, the power, the disk.
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use samenspraak_core::store::disk::sim::{Random, SimFiles};
use samenspraak_core::store::disk::{
    DiskOptions, DiskStore, Files, LockGuard, LockMode, ReadOnlyDisk, RealFiles, StoreFile,
};
use samenspraak_core::store::{Batch, Store, StoreError, Table};

const DIR: &str = "/store";
/// Small segments, so that there are many.
const SEGMENT_BYTES: u64 = 3000;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
type Hook = Box<dyn FnMut(u64) + Send>;

fn rows(store: &dyn Store) -> Rows {
    let found = store.scan(Table::Entry, b"", None, usize::MAX).unwrap();
    found.into_iter().map(|row| (row.key, row.value)).collect()
}

/// A file system that does something whenever the new content of a segment is begun; the number says of which.
struct Between {
    files: Arc<dyn Files>,
    hook: Mutex<Option<Hook>>,
}

impl std::fmt::Debug for Between {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Between")
    }
}

impl Between {
    fn new(files: Arc<dyn Files>) -> Arc<Self> {
        Arc::new(Self { files, hook: Mutex::new(None) })
    }

    fn set(&self, hook: Option<Hook>) {
        *self.hook.lock().unwrap() = hook;
    }
}

impl Files for Between {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.files.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>> {
        let file = self.files.create(path)?;
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(number) = name.strip_suffix(".seg.tmp") {
            let hook = self.hook.lock().unwrap().take();
            if let Some(mut hook) = hook {
                hook(number.parse().unwrap());
                self.set(Some(hook));
            }
        }
        Ok(file)
    }
    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn StoreFile>> {
        self.files.open(path, write)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.sync_dir(dir)
    }
    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Option<LockGuard>> {
        self.files.lock(path, mode)
    }
}

/// A random change of some rows, and the rows after it.
fn change(random: &mut Random, rows: &mut Rows) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..=random.below(4) {
        let key = vec![1, random.below(40) as u8];
        if random.below(3) == 0 {
            batch.delete(Table::Entry, key.clone());
            rows.remove(&key);
        } else {
            let value = vec![random.next_bits() as u8; random.below(700) as usize];
            batch.put(Table::Entry, key.clone(), value.clone());
            rows.insert(key, value);
        }
    }
    batch
}

struct World {
    files: SimFiles,
    between: Arc<Between>,
    index: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let files = SimFiles::new();
        let between = Between::new(Arc::new(files.clone()));
        Self { files, between, index: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Result<DiskStore, StoreError> {
        let index_root = Some(self.index.path().to_path_buf());
        let options = DiskOptions { segment_bytes_max: SEGMENT_BYTES, index_root, ..DiskOptions::default() };
        DiskStore::open_in(self.between.clone(), Path::new(DIR), options).map(|(store, _)| store)
    }

    fn last_segment(&self) -> u64 {
        let names = self.files.paths().into_iter().filter_map(|path| path.file_stem()?.to_str()?.parse().ok());
        names.max().unwrap_or(0)
    }

    fn damage(&self) -> usize {
        ReadOnlyDisk::open_in(&self.files, Path::new(DIR)).unwrap().1.damage.len()
    }
}

fn filled(world: &World, random: &mut Random) -> (Arc<DiskStore>, Rows) {
    let store = Arc::new(world.open().unwrap());
    let mut rows = Rows::new();
    for _ in 0..60 {
        store.commit(&change(random, &mut rows)).unwrap();
    }
    (store, rows)
}

#[test]
fn commits_go_on_while_segments_are_written_anew_and_every_row_is_right_after_it() {
    let (mut between, mut rotated) = (0, 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let world = World::new();
        let (store, model) = filled(&world, &mut random);
        let model = Arc::new(Mutex::new(model));
        let first_open = world.last_segment();
        assert!(first_open > 3, "seed {seed}");
        let count = Arc::new(Mutex::new(0));
        let hook: Hook = {
            let (store, model, count) = (Arc::clone(&store), Arc::clone(&model), Arc::clone(&count));
            Box::new(move |segment| {
                // Whoever scrubs holds the journal while it writes the last one.
                if segment < first_open {
                    for _ in 0..random.below(6) {
                        let mut rows = model.lock().unwrap();
                        store.commit(&change(&mut random, &mut rows)).unwrap();
                        *count.lock().unwrap() += 1;
                        assert_eq!(self::rows(store.as_ref()), *rows, "seed {seed}: read while scrubbing");
                    }
                }
            })
        };
        world.between.set(Some(hook));
        store.scrub().unwrap();
        world.between.set(None);
        between += *count.lock().unwrap();
        rotated += u32::from(world.last_segment() > first_open);
        let expected = model.lock().unwrap().clone();
        assert_eq!(rows(store.as_ref()), expected, "seed {seed}: after the scrub");
        if seed % 2 == 0 {
            store.scrub().unwrap();
            assert_eq!(rows(store.as_ref()), expected, "seed {seed}: after another");
        }
        drop(store);
        world.files.power_cut(seed);
        assert_eq!(world.damage(), 0, "seed {seed}");
        assert_eq!(rows(&world.open().unwrap()), expected, "seed {seed}: after a power cut");
    }
    assert!(between > 300 && rotated > 10, "{between} commits beside scrubs, {rotated} new segments");
}

#[test]
fn the_power_may_go_at_any_moment_of_a_scrub() {
    for seed in 0..3 {
        let mut moments = 0;
        for after in 0.. {
            let mut random = Random(seed);
            let world = World::new();
            let (store, expected) = filled(&world, &mut random);
            world.files.fail_after(after);
            let finished = store.scrub().is_ok();
            drop(store);
            world.files.power_cut(seed * 1000 + after);
            let store = world.open().unwrap_or_else(|error| panic!("seed {seed}, moment {after}: {error}"));
            assert_eq!(rows(&store), expected, "seed {seed}, moment {after}");
            store.scrub().unwrap();
            assert_eq!(rows(&store), expected, "seed {seed}, moment {after}: scrubbed later");
            drop(store);
            assert_eq!(world.damage(), 0, "seed {seed}, moment {after}");
            moments += 1;
            if finished {
                break;
            }
        }
        assert!(moments > 20, "{moments}");
    }
}

#[test]
fn threads_commit_and_read_while_another_scrubs_again_and_again() {
    let root = tempfile::tempdir().unwrap();
    let options = DiskOptions { segment_bytes_max: 20_000, ..DiskOptions::default() };
    let (store, _) = DiskStore::open(root.path(), options).unwrap();
    let done = AtomicBool::new(false);
    let (all, scrubs) = std::thread::scope(|scope| {
        let worker = |thread: u8| {
            let store = &store;
            move || {
                let (mut random, mut mine) = (Random(u64::from(thread)), Rows::new());
                for _ in 0..300 {
                    let key = vec![thread, random.below(30) as u8 + 1];
                    let mut batch = Batch::new();
                    if random.below(3) == 0 {
                        batch.delete(Table::Entry, key.clone());
                        mine.remove(&key);
                    } else {
                        let value = vec![random.next_bits() as u8; random.below(900) as usize];
                        batch.put(Table::Entry, key.clone(), value.clone());
                        mine.insert(key.clone(), value);
                    }
                    store.commit(&batch).unwrap();
                    assert_eq!(store.get(Table::Entry, &key).unwrap().as_ref(), mine.get(&key));
                }
                mine
            }
        };
        let scrubber = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::SeqCst) {
                store.scrub().unwrap();
                count += 1;
            }
            count
        });
        let workers: Vec<_> = (1..4).map(|thread| scope.spawn(worker(thread))).collect();
        let mut all = Rows::new();
        for worker in workers {
            all.extend(worker.join().unwrap());
        }
        done.store(true, Ordering::SeqCst);
        (all, scrubber.join().unwrap())
    });
    assert!(scrubs > 1, "{scrubs}");
    assert_eq!(rows(&store), all);
    drop(store);
    assert_eq!(DiskStore::open_read_only(root.path()).unwrap().1.damage, Vec::new());
    assert_eq!(rows(&DiskStore::open(root.path(), DiskOptions::default()).unwrap().0), all);
}

#[test]
fn a_store_that_is_closed_in_the_middle_of_a_scrub_stays_whole() {
    for seed in 0..10 {
        let mut random = Random(seed);
        let world = World::new();
        let (store, expected) = filled(&world, &mut random);
        let (first_open, closing) = (world.last_segment(), Arc::clone(&store));
        world.between.set(Some(Box::new(move |segment| {
            if segment < first_open && segment > 1 {
                closing.close().unwrap();
            }
        })));
        assert!(matches!(store.scrub(), Err(StoreError::Closed { .. })), "seed {seed}");
        world.between.set(None);
        drop(store);
        let store = world.open().unwrap();
        assert_eq!(rows(&store), expected, "seed {seed}");
        assert!(world.files.paths().iter().all(|path| path.extension().is_none_or(|ending| ending != "tmp")));
    }
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(all_files(&path)) } else { found.push(path) }
    }
    found
}

/// Whether eight bytes of this in a row are in any file.
fn is_somewhere(root: &Path, secret: &[u8]) -> bool {
    all_files(root).iter().any(|path| {
        let bytes = fs::read(path).unwrap();
        secret.windows(8).any(|window| bytes.windows(8).any(|seen| seen == window))
    })
}

#[test]
fn neither_value_nor_key_of_what_was_deleted_is_in_any_file_after_a_scrub() {
    let root = tempfile::tempdir().unwrap();
    let (key, value) = (b"hash of a change that was erased", b"the words that somebody took back");
    let between = Between::new(Arc::new(RealFiles));
    let options = DiskOptions { segment_bytes_max: SEGMENT_BYTES, ..DiskOptions::default() };
    let (store, _) = DiskStore::open_in(between, root.path(), options).unwrap();
    for number in 0..200_u8 {
        let mut batch = Batch::new();
        batch.put(Table::Change, [vec![number], key.to_vec()].concat(), value.as_slice());
        batch.put(Table::Entry, [number, 1], vec![number; 100]);
        store.commit(&batch).unwrap();
    }
    assert!(is_somewhere(root.path(), key) && is_somewhere(root.path(), value), "this test can fail");
    for number in 0..200_u8 {
        let mut batch = Batch::new();
        batch.delete(Table::Change, [vec![number], key.to_vec()].concat());
        store.commit(&batch).unwrap();
    }
    assert!(is_somewhere(root.path(), key) && is_somewhere(root.path(), value), "deleting alone takes nothing away");
    store.scrub().unwrap();
    assert!(!is_somewhere(root.path(), value), "while the store is open");
    assert!(!is_somewhere(root.path(), key), "while the store is open");
    store.close().unwrap();
    assert!(!is_somewhere(root.path(), key) && !is_somewhere(root.path(), value), "closed");
    let (store, _) = DiskStore::open(root.path(), DiskOptions::default()).unwrap();
    assert_eq!(store.scan(Table::Change, b"", None, 9).unwrap(), Vec::new());
    assert_eq!(store.scan(Table::Entry, b"", None, usize::MAX).unwrap().len(), 200);
}
