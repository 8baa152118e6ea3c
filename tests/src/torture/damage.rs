//! Files that go bad: the journal's, the manifest, sled's, at rest and under a running store; and a disk that is full.
//!
//! Damage in the journal must be reported, by an opening that refuses or a torn tail that is named, and whoever looks without
//! changing anything must see it too. Then it is salvaged: all that was not hit is there, and what was hit is named to the
//! frame. Damage anywhere else must change no answer.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use samenspraak_core::store::disk::sim::Random;
use samenspraak_core::store::disk::{DiskOptions, DiskStore, OpenReport};
use samenspraak_core::store::{Store, StoreError};

use super::words::{Rows, all_rows, apply, batch};
use super::{SEGMENT_BYTES, Tally, Wrong, open};

/// Commits in a store that is then damaged.
const COMMITS: u64 = 90;
/// Length of a segment's header: no frame is in it.
const HEADER_BYTES: usize = 48;
/// What a file system or a disk loses at once.
const PAGE_BYTES: usize = 4096;
/// Size of the file system that gets full, in MiB, and what is kept free of it to be freed: sled needs one for a start.
const SMALL_DISK_MIB: u32 = 5;
const BALLAST_BYTES: u64 = 2_000_000;

/// One case; the kinds take turns.
pub fn damage(number: u64, seed: u64, tally: &mut Tally) -> Result<(), Wrong> {
    tally.damages += 1;
    let mut random = Random(seed.wrapping_mul(77));
    let root = tempfile::tempdir()?;
    match number % 10 {
        0..=4 => journal(root.path(), seed, number % 10, &mut random, tally),
        5 => elsewhere(root.path(), seed, Target::Manifest, &mut random, tally),
        6 => elsewhere(root.path(), seed, Target::Index, &mut random, tally),
        7 => elsewhere(root.path(), seed, Target::Id, &mut random, tally),
        8 => running(root.path(), seed, &mut random, tally),
        _ => full(root.path(), seed, &mut random, tally),
    }
}

/// A store with [`COMMITS`] frames, and where each stands.
struct Made {
    dir: PathBuf,
    seed: u64,
    /// Segment and bytes of each frame.
    places: Vec<(u64, Range<usize>)>,
}

fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>, Wrong> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir.join("journal"))? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        found.extend(number.map(|number| (number, path)));
    }
    found.sort();
    Ok(found)
}

impl Made {
    fn new(root: &Path, seed: u64, close: bool, tally: &mut Tally) -> Result<Self, Wrong> {
        let mut made = Self { dir: root.join("store"), seed, places: Vec::new() };
        fs::create_dir(&made.dir)?;
        let (store, _) = open(&made.dir, tally)?;
        for number in 0..COMMITS {
            store.commit(&batch(seed, 0, number))?;
            let Some((segment, path)) = segments(&made.dir)?.pop() else { continue };
            let end = fs::metadata(path)?.len() as usize;
            let start = match made.places.last() {
                Some((before, place)) if *before == segment => place.end,
                _ => HEADER_BYTES,
            };
            made.places.push((segment, start..end));
        }
        if close {
            store.close()?;
        }
        Ok(made)
    }

    fn rows_without(&self, lost: &BTreeSet<u64>) -> Rows {
        let mut rows = Rows::new();
        for number in (0..COMMITS).filter(|number| !lost.contains(number)) {
            apply(&mut rows, &batch(self.seed, 0, number));
        }
        rows
    }

    fn hit(&self, segment: u64, bytes: &Range<usize>) -> BTreeSet<u64> {
        let is_hit =
            |(at, place): &(u64, Range<usize>)| *at == segment && place.start < bytes.end && bytes.start < place.end;
        (0..).zip(&self.places).filter(|(_, place)| is_hit(place)).map(|(number, _)| number).collect()
    }

    /// Damages the journal in one of five ways; returns the frames that were hit.
    fn damage_journal(&self, kind: u64, random: &mut Random) -> Result<BTreeSet<u64>, Wrong> {
        let segments = segments(&self.dir)?;
        let last = segments.len() as u64 - 1;
        let (segment, path) = &segments[if kind == 0 { last } else { random.below(last + 1) } as usize];
        let mut bytes = fs::read(path)?;
        let length = bytes.len();
        let at = random.below(length as u64) as usize;
        let hit = match kind {
            // A torn tail: a frame that is cut, or left full of zeros, or has something behind it.
            0 => {
                let frame = self.places.last().map_or(HEADER_BYTES..length, |(_, place)| place.clone());
                let inside = frame.start + 1 + random.below(frame.len() as u64 - 1) as usize;
                match random.below(3) {
                    0 => bytes.truncate(inside),
                    1 => bytes[inside..].fill(0),
                    _ => bytes.extend((0..=random.below(700)).map(|_| random.next_bits() as u8)),
                }
                let is_whole = bytes.len() > length;
                if is_whole { length..length } else { inside..length }
            }
            1 => {
                bytes[at] ^= 1 << random.below(8);
                at..at + 1
            }
            2 => {
                let page = at / PAGE_BYTES * PAGE_BYTES;
                let page = page..(page + PAGE_BYTES).min(length);
                bytes[page.clone()].fill(0);
                page
            }
            3 if *segment != segments[last as usize].0 => {
                bytes.truncate(at);
                at..length
            }
            4 if *segment != segments[last as usize].0 => {
                fs::remove_file(path)?;
                return Ok(self.hit(*segment, &(0..length)));
            }
            _ => {
                let to = (at + 1 + random.below(300) as usize).min(length);
                bytes[at..to].iter_mut().for_each(|byte| *byte = !*byte);
                at..to
            }
        };
        fs::write(path, bytes)?;
        Ok(self.hit(*segment, &hit))
    }
}

fn same(found: &Rows, expected: &Rows, when: &str) -> Result<(), Wrong> {
    if found == expected { Ok(()) } else { Err(Wrong::Lost(format!("{when}: other rows than were left"))) }
}

fn journal(root: &Path, seed: u64, kind: u64, random: &mut Random, tally: &mut Tally) -> Result<(), Wrong> {
    let made = Made::new(root, seed, random.below(2) == 0, tally)?;
    let before = journal_bytes(&made.dir)?;
    let hit = made.damage_journal(kind, random)?;
    if journal_bytes(&made.dir)? == before {
        return Ok(());
    }
    let (_, found) = DiskStore::open_read_only(&made.dir)?;
    if found.damage.is_empty() && found.torn_bytes == 0 {
        return Err(Wrong::Other("nobody reported the damage".into()));
    }
    if random.below(3) == 0 {
        damage_tree(&made.dir, "index-", random)?;
    }
    let damaged = journal_bytes(&made.dir)?;
    match open(&made.dir, tally) {
        Err(StoreError::Damaged { .. }) if journal_bytes(&made.dir)? == damaged => {}
        Err(StoreError::Damaged { .. }) => {
            return Err(Wrong::Other("an opening that refused changed the journal".into()));
        }
        Err(error) => return Err(error.into()),
        // An index that was closed is trusted; then what is hit shows when it is read.
        Ok((store, report)) if report.index_rebuilt.is_none() && found.closed_cleanly => match all_rows(&store) {
            Ok(rows) => same(&rows, &made.rows_without(&BTreeSet::new()), "read although damaged")?,
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        },
        Ok(_) if !found.damage.is_empty() => {
            return Err(Wrong::Other("a damaged journal was opened in silence".into()));
        }
        Ok((store, report)) => torn(&made, &store, &report, &hit)?,
    }
    salvage(&made, &hit, tally)
}

fn journal_bytes(dir: &Path) -> Result<Vec<Vec<u8>>, Wrong> {
    segments(dir)?.into_iter().map(|(_, path)| Ok(fs::read(path)?)).collect()
}

/// A torn tail was cut: it is said, and only what was hit is gone.
fn torn(made: &Made, store: &DiskStore, report: &OpenReport, hit: &BTreeSet<u64>) -> Result<(), Wrong> {
    let cut: BTreeSet<u64> = (report.frames..COMMITS).collect();
    if report.torn_bytes_cut == 0 || !cut.is_subset(hit) {
        return Err(Wrong::Lost(format!("{report:?} where {hit:?} were hit")));
    }
    same(&all_rows(store)?, &made.rows_without(&cut), "after a torn tail")
}

fn salvage(made: &Made, hit: &BTreeSet<u64>, tally: &mut Tally) -> Result<(), Wrong> {
    let options = DiskOptions { segment_bytes_max: SEGMENT_BYTES, ..DiskOptions::default() };
    let (store, report) = DiskStore::open_salvaging(&made.dir, options)?;
    tally.rebuilds += u64::from(report.index_rebuilt.is_some());
    let named = report.salvaged.iter().flat_map(|salvaged| &salvaged.lost).flat_map(|lost| lost.frames.clone());
    // What was cut as a torn tail is named by its bytes, now or at an earlier opening.
    let lost: BTreeSet<u64> = named.chain(report.frames..COMMITS).collect();
    if !lost.is_subset(hit) {
        return Err(Wrong::Lost(format!("{lost:?} are lost and only {hit:?} were hit")));
    }
    same(&all_rows(&store)?, &made.rows_without(&lost), "after a salvage")?;
    store.commit(&batch(made.seed, 1, 0))?;
    store.close()?;
    drop(store);
    let (_, found) = DiskStore::open_read_only(&made.dir)?;
    if !found.damage.is_empty() {
        return Err(Wrong::Other(format!("still damaged after a salvage: {:?}", found.damage)));
    }
    let (store, again) = open(&made.dir, tally)?;
    if again.salvaged != report.salvaged {
        return Err(Wrong::Other("the mark of a salvage did not stay".into()));
    }
    store.clear_salvaged()?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Target {
    Manifest,
    Index,
    Id,
}

/// Damage where nothing is that cannot be built anew.
fn elsewhere(root: &Path, seed: u64, target: Target, random: &mut Random, tally: &mut Tally) -> Result<(), Wrong> {
    let made = Made::new(root, seed, true, tally)?;
    let prefix = match target {
        Target::Manifest => "manifest",
        Target::Index => "index-",
        Target::Id => "id",
    };
    let changed = damage_tree(&made.dir, prefix, random)?;
    let (store, report) = open(&made.dir, tally)?;
    // Damage in sled's files where nothing stands any more does not matter: what the index holds is compared, not its bytes.
    if changed && report.index_rebuilt.is_none() && matches!(target, Target::Manifest) {
        return Err(Wrong::Other("a damaged manifest was trusted".into()));
    }
    same(&all_rows(&store)?, &made.rows_without(&BTreeSet::new()), "after damage elsewhere")?;
    let mut rows = made.rows_without(&BTreeSet::new());
    for number in COMMITS..COMMITS + 10 {
        store.commit(&batch(seed, 0, number))?;
        apply(&mut rows, &batch(seed, 0, number));
    }
    same(&all_rows(&store)?, &rows, "later")
}

/// Scribbles over everything in the store's folder whose name begins so; returns whether anything is different now.
fn damage_tree(dir: &Path, prefix: &str, random: &mut Random) -> Result<bool, Wrong> {
    let mut changed = false;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            if random.below(6) == 0 {
                if entry.path().is_dir() {
                    fs::remove_dir_all(entry.path())?
                } else {
                    fs::remove_file(entry.path())?
                }
                changed = true;
            } else {
                changed |= damage_below(&entry.path(), random)?;
            }
        }
    }
    Ok(changed)
}

fn damage_below(path: &Path, random: &mut Random) -> Result<bool, Wrong> {
    let mut changed = false;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            changed |= damage_below(&entry?.path(), random)?;
        }
        return Ok(changed);
    }
    let whole = fs::read(path)?;
    let mut bytes = whole.clone();
    let at = random.below(bytes.len() as u64) as usize;
    let to = (at + PAGE_BYTES).min(bytes.len());
    match random.below(6) {
        0 => {
            fs::remove_file(path)?;
            return Ok(true);
        }
        1 => bytes.truncate(at),
        2 => bytes[at..to].fill(0),
        3 => bytes.iter_mut().for_each(|byte| *byte ^= random.next_bits() as u8),
        _ if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        _ => bytes.push(1),
    }
    if bytes != whole {
        fs::write(path, &bytes)?;
    }
    Ok(bytes != whole)
}

/// sled's files go bad under a store that is in use.
fn running(root: &Path, seed: u64, random: &mut Random, tally: &mut Tally) -> Result<(), Wrong> {
    let made = Made::new(root, seed, random.below(2) == 0, tally)?;
    let (store, _) = open(&made.dir, tally)?;
    let mut rows = made.rows_without(&BTreeSet::new());
    let mut number = COMMITS;
    for _ in 0..3 {
        damage_tree(&made.dir, "index-", random)?;
        same(&all_rows(&store)?, &rows, "while running")?;
        for _ in 0..10 {
            store.commit(&batch(seed, 0, number))?;
            apply(&mut rows, &batch(seed, 0, number));
            number += 1;
        }
        if random.below(3) == 0 {
            store.scrub()?;
        }
    }
    same(&all_rows(&store)?, &rows, "after running")?;
    // Closed, it says what its index should hold, not what sled's files do.
    if random.below(2) == 0 {
        store.close()?;
    }
    drop(store);
    let (store, _) = open(&made.dir, tally)?;
    same(&all_rows(&store)?, &rows, "at the next opening")
}

/// A file system of its own, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` without the right to mount one.
    fn new(root: &Path) -> Result<Option<Self>, Wrong> {
        let dir = root.join("small");
        fs::create_dir(&dir)?;
        let size = format!("size={SMALL_DISK_MIB}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&dir).output();
        Ok(mounted.is_ok_and(|output| output.status.success()).then_some(Self(dir)))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What stays mounted in a folder for this case alone harms nobody.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A disk that gets full while sled and the journal are in use, has room again, and gets full again.
fn full(root: &Path, seed: u64, random: &mut Random, tally: &mut Tally) -> Result<(), Wrong> {
    let Some(disk) = SmallDisk::new(root)? else {
        // Simulated disks get full among the power cuts.
        return journal(root, seed, 1, random, tally);
    };
    let dir = disk.0.join("store");
    fs::create_dir(&dir)?;
    let ballast = disk.0.join("ballast");
    let mut rows = Rows::new();
    let mut number = 0;
    for round in 0..3 {
        // As much of it as there is room for.
        let _ = fs::write(&ballast, vec![0; (BALLAST_BYTES + random.below(900_000)) as usize]);
        let (store, _) = open(&dir, tally)?;
        let mut refused = 0;
        // The index makes way, so there can be room once more.
        while refused < 3 && number < 4_000 {
            match store.commit(&batch(seed, 0, number)) {
                Ok(()) => {
                    apply(&mut rows, &batch(seed, 0, number));
                    number += 1;
                }
                Err(StoreError::Full { .. }) => refused += 1,
                Err(error) => return Err(error.into()),
            }
        }
        same(&all_rows(&store)?, &rows, "on a full disk")?;
        drop(store);
        // Reading must be possible without any room.
        let (store, _) = open(&dir, tally)?;
        same(&all_rows(&store)?, &rows, "opened on a full disk")?;
        fs::remove_file(&ballast)?;
        // Later there may be too little room for a new index and words; that too is an error that passes.
        let is_full = |result: &Result<(), StoreError>| round > 0 && matches!(result, Err(StoreError::Full { .. }));
        let scrubbed = store.scrub();
        if !is_full(&scrubbed) {
            scrubbed?;
        }
        let committed = store.commit(&batch(seed, 0, number));
        if !is_full(&committed) {
            committed?;
            apply(&mut rows, &batch(seed, 0, number));
            number += 1;
        }
        same(&all_rows(&store)?, &rows, "with room again")?;
        if random.below(2) == 0 {
            store.close()?;
        }
    }
    Ok(())
}
