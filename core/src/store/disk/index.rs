//! Where each row stands in the journal: kept in sled, or in memory when sled cannot.
//!
//! sled 0.34 loses data at power cuts, panics on its own files and can hang while opening. So it is never the truth: every call
//! into it is guarded against panics, opening and dropping it against hanging, and whoever uses what it says compares that
//! with the journal. Must never flush on the way of a commit, and never be trusted after anything but a clean stop whose
//! file checksum still fits. Guarding one call costs nothing measurable; sled's background threads can still print panics.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::frame::Location;
use super::replay::Live;

/// sled's cache, 32 MiB: its default of 1 GiB is more than a phone has.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// How long sled may take to open: hundreds of times what was measured; once it hung for ever on damaged files.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long sled may take to flush and stop.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of a file is read at once for its checksum.
const CHECKSUM_STEP_BYTES: usize = 256 * 1024;
const DIR_PREFIX: &str = "index-";

/// sled panicked, hung, refused, or said what cannot be. All are answered alike: set it aside, build it anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexFailed;

/// Where each row stands.
#[derive(Debug)]
pub enum Index {
    /// In sled.
    Sled(SledIndex),
    /// In memory: for reading only, and when sled cannot be had (on a full disk, say).
    Memory(Live),
    /// Nowhere any more: the store is closed.
    Gone,
}

impl Index {
    /// Where the row with this key stands.
    pub fn get(&self, key: &[u8]) -> Result<Option<Location>, IndexFailed> {
        match self {
            Self::Sled(sled) => sled.get(key),
            Self::Memory(live) => Ok(live.get(key).copied()),
            Self::Gone => Err(IndexFailed),
        }
    }

    /// The rows from `from` (included) to `to` (excluded), in order, at most `limit`.
    pub fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Location)>, IndexFailed> {
        match self {
            Self::Sled(sled) => sled.range(from, to, limit),
            Self::Memory(live) => {
                let range = live.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
                Ok(range.take(limit).map(|(key, at)| (key.clone(), *at)).collect())
            }
            Self::Gone => Err(IndexFailed),
        }
    }

    /// Takes it away: it isn't wanted any more.
    pub fn remove(self) {
        if let Self::Sled(sled) = self {
            sled.remove();
        }
    }

    /// Puts new places in.
    pub fn apply(&mut self, changes: &[(Vec<u8>, Option<Location>)]) -> Result<(), IndexFailed> {
        match self {
            Self::Sled(sled) => sled.apply(changes),
            Self::Memory(live) => {
                for (key, at) in changes {
                    match at {
                        Some(at) => live.insert(key.clone(), *at),
                        None => live.remove(key),
                    };
                }
                Ok(())
            }
            Self::Gone => Err(IndexFailed),
        }
    }
}

/// One generation of the index in sled. Dropping it stops sled, without flushing it to the disk in a way that counts.
#[derive(Debug)]
pub struct SledIndex {
    db: Option<sled::Db>,
    dir: PathBuf,
    /// Its number.
    pub generation: u64,
}

/// Runs a call into sled.
fn guard<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexFailed> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) | Err(_) => Err(IndexFailed),
    }
}

/// Runs work on a thread of its own and waits only so long; a hanging thread is left behind.
fn watched<T: Send + 'static>(
    timeout: Duration,
    work: impl FnOnce() -> Result<T, IndexFailed> + Send + 'static,
) -> Result<T, IndexFailed> {
    let (sender, receiver) = channel();
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(IndexFailed));
        // When nobody waits any more, what comes back is dropped here; that too may panic.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(sender.send(result))));
    };
    thread::Builder::new().name("index".into()).spawn(run).map_err(|_| IndexFailed)?;
    receiver.recv_timeout(timeout).map_err(|_: RecvTimeoutError| IndexFailed)?
}

impl SledIndex {
    /// Opens generation `generation` under `root`, which is made when it is not there.
    pub fn open(root: &Path, generation: u64) -> Result<Self, IndexFailed> {
        let dir = root.join(format!("{DIR_PREFIX}{generation}"));
        let path = dir.clone();
        let open = move || {
            let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
            guard(|| config.open())
        };
        Ok(Self { db: Some(watched(OPEN_TIMEOUT, open)?), dir, generation })
    }

    /// A new generation that holds `live`.
    pub fn build(root: &Path, generation: u64, live: &Live) -> Result<Self, IndexFailed> {
        let index = Self::open(root, generation)?;
        let db = index.db()?;
        guard(|| live.iter().try_for_each(|(key, at)| db.insert(key, &at.encode()[..]).map(|_| ())))?;
        Ok(index)
    }

    fn db(&self) -> Result<&sled::Db, IndexFailed> {
        self.db.as_ref().ok_or(IndexFailed)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Location>, IndexFailed> {
        let db = self.db()?;
        let Some(found) = guard(|| db.get(key))? else { return Ok(None) };
        Location::decode(&found).map(Some).ok_or(IndexFailed)
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Location)>, IndexFailed> {
        let db = self.db()?;
        let rows = guard(|| db.range(from..to).take(limit).collect::<sled::Result<Vec<_>>>())?;
        let mut found = Vec::with_capacity(rows.len());
        for (key, at) in rows {
            found.push((key.to_vec(), Location::decode(&at).ok_or(IndexFailed)?));
        }
        // Keys out of order or out of bounds are keys of a broken tree.
        let ordered = found.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let bounded = found.iter().all(|(key, _)| from <= key.as_slice() && key.as_slice() < to);
        if ordered && bounded { Ok(found) } else { Err(IndexFailed) }
    }

    fn apply(&self, changes: &[(Vec<u8>, Option<Location>)]) -> Result<(), IndexFailed> {
        let db = self.db()?;
        // One by one: a sled batch costs more time and memory, and its atomicity is not needed. Nobody reads meanwhile, and
        // what a crash leaves is not trusted.
        guard(|| {
            changes.iter().try_for_each(|(key, at)| match at {
                Some(at) => db.insert(key, &at.encode()[..]).map(|_| ()),
                None => db.remove(key).map(|_| ()),
            })
        })
    }

    /// Stops sled, flushes its files for good and returns their checksum, for the manifest.
    pub fn finish(mut self) -> Result<u32, IndexFailed> {
        let db = self.db.take().ok_or(IndexFailed)?;
        let dir = self.dir.clone();
        watched(CLOSE_TIMEOUT, move || {
            guard(|| db.flush())?;
            drop(db);
            // sled's own flush does not reach the disk on every system.
            sync_tree(&dir).map_err(|_| IndexFailed)?;
            checksum(&dir).map_err(|_| IndexFailed)
        })
    }

    /// Stops sled and removes its files.
    pub fn remove(self) {
        let dir = self.dir.clone();
        drop(self);
        // What cannot be removed now is removed at the next opening.
        let _ = fs::remove_dir_all(dir);
    }
}

impl Drop for SledIndex {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            let _ = watched(CLOSE_TIMEOUT, move || {
                drop(db);
                Ok(())
            });
        }
    }
}

/// The generations under `root`.
pub fn generations(root: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix(DIR_PREFIX)?.parse().ok()).collect()
}

/// Removes all generations but one.
pub fn remove_others(root: &Path, keep: Option<u64>) {
    for generation in generations(root) {
        if Some(generation) != keep {
            let _ = fs::remove_dir_all(root.join(format!("{DIR_PREFIX}{generation}")));
        }
    }
}

/// The checksum over the files of a generation, or `None` when they cannot be read.
pub fn stored_checksum(root: &Path, generation: u64) -> Option<u32> {
    checksum(&root.join(format!("{DIR_PREFIX}{generation}"))).ok()
}

/// Every file under `dir`, in order of names.
fn tree_files(dir: &Path, found: &mut Vec<PathBuf>, dirs: &mut Vec<PathBuf>) -> io::Result<()> {
    dirs.push(dir.to_path_buf());
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            tree_files(&path, found, dirs)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    let (mut found, mut dirs) = (Vec::new(), Vec::new());
    tree_files(dir, &mut found, &mut dirs)?;
    for path in found {
        fs::OpenOptions::new().read(true).write(true).open(path)?.sync_all()?;
    }
    if cfg!(unix) {
        for path in dirs.iter().map(PathBuf::as_path).chain(dir.parent()) {
            File::open(path)?.sync_all()?;
        }
    }
    Ok(())
}

fn checksum(dir: &Path) -> io::Result<u32> {
    let (mut found, mut dirs) = (Vec::new(), Vec::new());
    tree_files(dir, &mut found, &mut dirs)?;
    let mut crc = 0;
    let mut buffer = vec![0; CHECKSUM_STEP_BYTES];
    for path in found {
        let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
        crc = crc32c::crc32c_append(crc, name.as_bytes());
        let mut file = File::open(&path)?;
        crc = crc32c::crc32c_append(crc, &file.metadata()?.len().to_le_bytes());
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            crc = crc32c::crc32c_append(crc, &buffer[..count]);
        }
    }
    Ok(crc)
}
