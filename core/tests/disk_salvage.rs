//! Salvaging: of a damaged journal every whole frame is kept, what is lost is named to the frame, and a mark stays.
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use samenspraak_core::store::disk::sim::{Random, SimFiles};
use samenspraak_core::store::disk::{DiskOptions, DiskStore, Files, OpenReport, Salvaged};
use samenspraak_core::store::{Batch, Op, Store, StoreError, Table};

const DIR: &str = "/store";
const HEADER_BYTES: usize = 48;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Where a frame stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    segment: u64,
    start: usize,
    end: usize,
}

struct World {
    files: SimFiles,
    index: tempfile::TempDir,
    batches: Vec<Batch>,
    places: Vec<Place>,
}

fn path(segment: u64) -> PathBuf {
    Path::new(DIR).join(format!("journal/{segment:08}.seg"))
}

fn rows(store: &dyn Store) -> Rows {
    let found = store.scan(Table::Entry, b"", None, usize::MAX).unwrap();
    found.into_iter().map(|row| (row.key, row.value)).collect()
}

impl World {
    /// A store of `frames` commits, one after the other, in small segments.
    fn new(seed: u64, frames: u64, close: bool) -> Self {
        let mut random = Random(seed);
        let index = tempfile::tempdir().unwrap();
        let mut world = Self { files: SimFiles::new(), index, batches: Vec::new(), places: Vec::new() };
        let (store, _) = world.open().unwrap();
        let mut ends: BTreeMap<u64, usize> = BTreeMap::new();
        for _ in 0..frames {
            let mut batch = Batch::new();
            for _ in 0..=random.below(3) {
                let key = vec![1, random.below(40) as u8];
                match random.below(4) {
                    0 => batch.delete(Table::Entry, key),
                    _ => batch.put(Table::Entry, key, vec![random.next_bits() as u8; random.below(300) as usize]),
                }
            }
            store.commit(&batch).unwrap();
            world.batches.push(batch);
            let segment = world.segments().last().copied().unwrap();
            let end = world.files.content(&path(segment)).unwrap().len();
            let start = ends.insert(segment, end).unwrap_or(HEADER_BYTES);
            world.places.push(Place { segment, start, end });
        }
        if close {
            store.close().unwrap();
        }
        drop(store);
        world
    }

    fn options(&self) -> DiskOptions {
        let index_root = Some(self.index.path().to_path_buf());
        DiskOptions { segment_bytes_max: 2_000, index_root, ..DiskOptions::default() }
    }

    fn open(&self) -> Result<(DiskStore, OpenReport), StoreError> {
        DiskStore::open_in(Arc::new(self.files.clone()), Path::new(DIR), self.options())
    }

    fn salvage(&self) -> Result<(DiskStore, OpenReport), StoreError> {
        DiskStore::open_salvaging_in(Arc::new(self.files.clone()), Path::new(DIR), self.options())
    }

    fn segments(&self) -> Vec<u64> {
        let number = |path: PathBuf| path.file_stem()?.to_str()?.parse().ok();
        let inside =
            self.files.paths().into_iter().filter(|path| path.parent() == Some(&Path::new(DIR).join("journal")));
        inside.filter_map(number).collect()
    }

    /// What stands in a store that has all frames but these.
    fn rows_without(&self, lost: &BTreeSet<u64>) -> Rows {
        let mut rows = Rows::new();
        for (_, batch) in (0..).zip(&self.batches).filter(|(number, _)| !lost.contains(number)) {
            for op in batch.ops() {
                match op {
                    Op::Put { key, value, .. } => rows.insert(key.clone(), value.clone()),
                    Op::Delete { key, .. } => rows.remove(key),
                };
            }
        }
        rows
    }

    /// Frames with a byte of `bytes` in them.
    fn touched(&self, segment: u64, from: usize, to: usize) -> BTreeSet<u64> {
        let hit = |place: &Place| place.segment == segment && place.start < to && from < place.end;
        (0..).zip(&self.places).filter(|(_, place)| hit(place)).map(|(number, _)| number).collect()
    }

    /// Damages it somehow; returns the frames that are lost by that, and whether it is damage at all.
    fn damage(&self, random: &mut Random) -> BTreeSet<u64> {
        let segments = self.segments();
        // Never the very end, where damage can look like a torn tail.
        let last = *segments.last().unwrap();
        let segment = segments[random.below(segments.len() as u64 - 1) as usize];
        let content = self.files.content(&path(segment)).unwrap();
        let length = content.len() as u64;
        let mut bad = content.clone();
        let at = random.below(length) as usize;
        let (from, to) = match random.below(6) {
            0 | 1 => {
                bad[at] ^= 1 << random.below(8);
                (at, at + 1)
            }
            2 => {
                let to = (at + 512).min(bad.len());
                bad[at..to].fill(0);
                (at, to)
            }
            3 => {
                bad.truncate(at);
                (at, content.len())
            }
            4 if segment != last => {
                self.files.remove(&path(segment)).unwrap();
                self.files.sync_dir(&Path::new(DIR).join("journal")).unwrap();
                return self.touched(segment, 0, usize::MAX);
            }
            _ => {
                bad.fill_with(|| random.next_bits() as u8);
                (0, content.len())
            }
        };
        self.files.scribble(&path(segment), bad);
        self.touched(segment, from, to)
    }
}

fn lost_frames(salvaged: &Salvaged) -> BTreeSet<u64> {
    salvaged.lost.iter().flat_map(|lost| lost.frames.clone()).collect()
}

#[test]
fn of_a_damaged_journal_all_is_kept_but_the_frames_that_were_hit_and_those_are_named() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let world = World::new(seed, 60, random.below(2) == 0);
        let mut expected = world.damage(&mut random);
        if random.below(3) == 0 {
            expected.extend(world.damage(&mut random));
        }
        let before: Vec<_> = world.files.paths().into_iter().map(|path| (world.files.content(&path), path)).collect();
        // A clean close lets an opening trust the index; then damage shows when it is read.
        if let Err(error) = world.open() {
            assert!(matches!(error, StoreError::Damaged { .. }), "seed {seed}: {error}");
            let after: Vec<_> =
                world.files.paths().into_iter().map(|path| (world.files.content(&path), path)).collect();
            let journal = |all: Vec<(Option<Vec<u8>>, PathBuf)>| -> Vec<_> {
                all.into_iter().filter(|(_, path)| path.starts_with("/store/journal")).collect()
            };
            assert_eq!(journal(before), journal(after), "seed {seed}: an opening that refuses changes nothing");
        }
        let (store, report) = world.salvage().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let salvaged = report.salvaged.clone().unwrap_or_default();
        assert_eq!(lost_frames(&salvaged), expected, "seed {seed}: {salvaged:?}");
        assert!(rows(&store) == world.rows_without(&expected), "seed {seed}");
        assert_eq!(report.frames, 60, "seed {seed}: numbers go on where they were");
        for lost in &salvaged.lost {
            let copy = world.files.content(&Path::new(DIR).join("damaged").join(&lost.copy));
            assert!(lost.bytes.is_empty() || copy.is_some(), "seed {seed}: {lost:?}");
        }
        let mut batch = Batch::new();
        batch.put(Table::Entry, b"after", b"salvage");
        store.commit(&batch).unwrap();
        drop(store);

        let (store, again) = world.open().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(again.salvaged, report.salvaged, "seed {seed}: the mark stays");
        assert_eq!(rows(&store).get(&b"after"[..]), Some(&b"salvage".to_vec()));
        store.clear_salvaged().unwrap();
        drop(store);
        let (store, again) = world.salvage().unwrap();
        assert_eq!((again.salvaged, store.salvaged().unwrap()), (None, None), "seed {seed}: cleared, and nothing new");
    }
}

#[test]
fn a_power_cut_while_salvaging_leaves_a_store_that_refuses_or_one_that_is_marked() {
    let (mut refused, mut marked) = (0, 0);
    for seed in 0..150 {
        let mut random = Random(seed);
        let world = World::new(seed, 40, random.below(2) == 0);
        let expected = world.damage(&mut random);
        if expected.is_empty() {
            continue;
        }
        world.files.fail_after(random.below(40));
        let _ = world.salvage();
        world.files.power_cut(seed);
        match world.open() {
            Err(StoreError::Damaged { .. }) => refused += 1,
            Err(error) => panic!("seed {seed}: {error}"),
            // Still closed cleanly, and trusted: the salvage had not begun to change anything.
            Ok((store, report)) if report.index_rebuilt.is_none() => drop(store),
            Ok((store, report)) => {
                marked += 1;
                assert!(expected.is_subset(&lost_frames(&report.salvaged.unwrap())), "seed {seed}");
                assert!(rows(&store) == world.rows_without(&expected), "seed {seed}");
            }
        }
        let (store, report) = world.salvage().unwrap();
        assert!(expected.is_subset(&lost_frames(&report.salvaged.unwrap())), "seed {seed}");
        assert!(rows(&store) == world.rows_without(&expected), "seed {seed}");
    }
    assert!(refused > 20 && marked > 20, "{refused} {marked}");
}

#[test]
fn a_mark_that_cannot_be_read_is_still_a_mark() {
    let world = World::new(1, 20, false);
    let segment = path(1);
    let mut bytes = world.files.content(&segment).unwrap();
    bytes[100] ^= 1;
    world.files.scribble(&segment, bytes);
    drop(world.salvage().unwrap());
    let mark = Path::new(DIR).join("salvaged");
    let whole = world.files.content(&mark).unwrap();
    for byte in 0..whole.len() {
        let mut bad = whole.clone();
        bad[byte] ^= 1;
        world.files.scribble(&mark, bad);
        let salvaged = world.open().unwrap().1.salvaged.unwrap();
        assert!(salvaged.is_partial, "byte {byte}");
    }
}

#[test]
fn the_only_segment_can_be_salvaged_without_its_header() {
    for close in [false, true] {
        for zeros in [48, 512] {
            let world = World::new(3, 8, close);
            assert_eq!(world.segments(), [1]);
            let mut bytes = world.files.content(&path(1)).unwrap();
            bytes[..zeros].fill(0);
            world.files.scribble(&path(1), bytes);
            let hit = world.touched(1, 0, zeros);
            assert!(world.open().is_err());
            let (store, report) = world.salvage().unwrap();
            assert_eq!(lost_frames(&report.salvaged.unwrap()), hit);
            assert!(rows(&store) == world.rows_without(&hit));
        }
    }
}
