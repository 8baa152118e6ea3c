//! Power cuts: a life of a store is recorded change by change, and cut off anywhere, again and again.
//!
//! Of what was not flushed at that moment the disk keeps any part, in any order, torn at sectors. The index is lost with it, or
//! is one of a later moment, which must not be believed.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use samenspraak_core::store::disk::sim::{Random, SimFiles};
use samenspraak_core::store::disk::{DiskOptions, DiskStore, OpenReport, ReadOnlyDisk};
use samenspraak_core::store::{Store, StoreError};

use super::words::{Rows, all_rows, apply, batch};
use super::{SEGMENT_BYTES, Tally, Wrong};

const DIR: &str = "/store";
/// Commits in a recorded life.
const COMMITS: u64 = 120;
/// Cuts of one recorded life, before the next is recorded.
const CUTS: u64 = 20;

/// A life of a store, change by change.
pub struct Recording {
    seed: u64,
    files: SimFiles,
    index: tempfile::TempDir,
    /// After which change how many commits had been acknowledged.
    acknowledged: Vec<(usize, u64)>,
}

fn open(files: &SimFiles, index: &Path) -> Result<(DiskStore, OpenReport), StoreError> {
    let index_root = Some(index.to_path_buf());
    let options = DiskOptions { segment_bytes_max: SEGMENT_BYTES, index_root, ..DiskOptions::default() };
    DiskStore::open_in(Arc::new(files.clone()), Path::new(DIR), options)
}

impl Recording {
    fn new(seed: u64) -> Result<Self, Wrong> {
        let mut random = Random(seed);
        let (files, index) = (SimFiles::new(), tempfile::tempdir()?);
        files.record();
        let mut acknowledged = vec![(0, 0)];
        let (mut store, _) = open(&files, index.path())?;
        for number in 0..COMMITS {
            // Sometimes there is no room: that is an error, and the same commit succeeds when there is.
            if random.below(10) == 0 {
                files.set_room(Some(files.used_bytes() + random.below(100)));
                match store.commit(&batch(seed, 0, number)) {
                    Err(StoreError::Full { .. }) => {}
                    Ok(()) => {
                        acknowledged.push((files.recorded(), number + 1));
                        files.set_room(None);
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
                files.set_room(None);
            }
            store.commit(&batch(seed, 0, number))?;
            acknowledged.push((files.recorded(), number + 1));
            match random.below(30) {
                0 => store.scrub()?,
                1 => {
                    store.close()?;
                    store = open(&files, index.path())?.0;
                }
                2 => {
                    drop(store);
                    store = open(&files, index.path())?.0;
                }
                _ => {}
            }
        }
        store.close()?;
        Ok(Self { seed, files, index, acknowledged })
    }

    fn cut(&self, seed: u64, tally: &mut Tally) -> Result<(), Wrong> {
        let mut random = Random(seed);
        let at = random.below(self.files.recorded() as u64 + 1) as usize;
        let acknowledged =
            self.acknowledged.iter().rev().find(|(change, _)| *change <= at).map_or(0, |(_, count)| *count);
        let disk = self.files.replay(at);
        disk.power_cut(seed);
        let index = tempfile::tempdir()?;
        if random.below(2) == 0 {
            copy(self.index.path(), index.path())?;
        }
        // The power may go again while opening.
        if random.below(3) == 0 {
            disk.fail_after(random.below(30));
            let _ = open(&disk, index.path());
            disk.power_cut(seed + 1);
        }
        let (store, report) = open(&disk, index.path())?;
        tally.rebuilds += u64::from(report.index_rebuilt.is_some());
        let found = all_rows(&store)?;
        let mut rows = Rows::new();
        for number in 0..acknowledged {
            apply(&mut rows, &batch(self.seed, 0, number));
        }
        let exact = found == rows;
        apply(&mut rows, &batch(self.seed, 0, acknowledged));
        if !exact && found != rows {
            return Err(Wrong::Lost(format!("cut after change {at}: not what {acknowledged} commits left")));
        }
        store.commit(&batch(self.seed, 1, 0))?;
        store.close()?;
        drop(store);
        let (_, found) = ReadOnlyDisk::open_in(&disk, Path::new(DIR))?;
        if found.damage.is_empty() { Ok(()) } else { Err(Wrong::Other(format!("damage: {:?}", found.damage))) }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&to)?;
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Cuts the recorded life somewhere; records a new one now and then.
pub fn cut(recording: &mut Option<Recording>, number: u64, seed: u64, tally: &mut Tally) -> Result<(), Wrong> {
    if number.is_multiple_of(CUTS) {
        *recording = Some(Recording::new(seed)?);
    }
    tally.cuts += 1;
    match recording {
        Some(recording) => recording.cut(seed, tally),
        None => Err(Wrong::Other("no life could be recorded".into())),
    }
}
