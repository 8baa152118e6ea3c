//! The store on a disk: an append-only journal that alone is the truth, and sled as an index that can be lost at any time.
//!
//! ```text
//! dir/lock                    held while the store is open
//! dir/manifest                only between a clean close and the next opening
//! dir/journal/00000001.seg …  every batch, checksummed, flushed before its commit returns
//! dir/index-N/                sled: where each row stands in the journal
//! dir/id                      a second copy of the store's id
//! dir/salvaged, dir/damaged/  only after a salvage: what was lost, and the segments as they were
//! ```
//! A commit is written and flushed to the journal first and put into the index after. Every value read is checked against its
//! checksum, its table and its key. What sled says wrong, or does not say because it panicked, has it set aside and built anew
//! from the journal; when it cannot be built the index is kept in memory.
//!
//! Must never acknowledge what is not flushed, cut what is known to be acknowledged, or answer with other bytes than went in.
//! A large store opens in stages: see [`DiskOptions::first_rows`], and `core/docs/decisions/0012` for what waits for what.
//! Limits: when the index goes wrong in use, commits and reads wait while it is built anew. Every segment is an open file; a last
//! segment that vanishes as a whole after a crash cannot be noticed. Bytes that rot in the very last flush before a crash look
//! like a torn tail and are cut, reported as such. Next: `frame` for the bytes, `walk` for what counts as damage, `salvage` for
//! what becomes of it, `scrub` for erasing.

mod behind;
mod files;
mod frame;
mod group;
mod identity;
mod index;
mod journal;
mod manifest;
mod open;
mod patrol;
mod read;
mod rebuild;
mod replay;
mod salvage;
mod scrub;
#[cfg(any(test, feature = "testing"))]
pub mod sim;
mod sort;
mod verify;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use behind::Behind;
pub use behind::{OnProgress, Progress};
use files::io_error;
pub use files::{Files, LockGuard, LockMode, RealFiles, StoreFile};
pub use frame::StoreId;
use frame::{EncodedBatch, Location, index_key};
use group::Group;
use index::{Index, IndexFailed, SledIndex};
use journal::{IndexChange, Journal};
use manifest::Manifest;
pub use patrol::{Patrol, Patrolled};
use read::{ReadFault, bounds, read_row};
use rebuild::Collector;
pub use replay::Damage;
use replay::{Live, Segments, Until, segment_name};
pub use salvage::{DAMAGED_DIR, Lost, Salvaged};
#[cfg(any(test, feature = "testing"))]
pub use verify::every_value;
pub use verify::{ReadOnlyDisk, Verification};
use walk::walk;

use super::{Batch, Row, Store, StoreError, Table};

/// A segment takes no more frames when it has reached this, 16 MiB: after a crash at most so much is written anew (some
/// 50 ms), and 10 GB of journal need 640 open files where systems allow 1,024.
pub const SEGMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// The id of a new store; drawn when not given. An existing store must carry it, if given.
    pub store_id: Option<StoreId>,
    /// When a segment is full; only tests have a reason to change it.
    pub segment_bytes_max: u64,
    /// Where the index goes, if not beside the journal: a folder whose loss costs nothing.
    pub index_root: Option<PathBuf>,
    /// Rows that are asked for first, by table and beginning of their keys. When the index of a large store must be built anew,
    /// these are answered as soon as the journal was read once; everything else waits for the index. Empty: opening waits.
    pub first_rows: Vec<(Table, Vec<u8>)>,
    /// Called while the store opens, and after that until the index is built or checked.
    pub progress: OnProgress,
    /// Up to so many changes are sorted in memory while the index is built; what is more needs files. Only tests have a reason
    /// to change it.
    pub sort_at_once: usize,
    /// A journal longer than this is large: its index is built or checked behind the store. Only tests have a reason to change it.
    pub large_bytes: u64,
}

/// Up to this length, 16 MiB, a journal is read and its index built or checked in some 200 ms, before the store opens.
pub const LARGE_BYTES: u64 = 16 * 1024 * 1024;

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            store_id: None,
            segment_bytes_max: SEGMENT_BYTES_MAX,
            index_root: None,
            first_rows: Vec::new(),
            progress: OnProgress::default(),
            sort_at_once: sort::AT_ONCE_MAX,
            large_bytes: LARGE_BYTES,
        }
    }
}

/// Why the index was built anew while opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebuildReason {
    /// The store was not closed.
    NotClosed,
    /// The manifest is damaged.
    ManifestUnreadable,
    /// The manifest is of another version.
    ManifestVersion,
    /// The journal is not as long as when the store was closed.
    JournalDiffers,
    /// The index does not hold what it held when the store was closed.
    IndexDiffers,
    /// sled refused, panicked or hung.
    IndexFailed,
}

/// What opening found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    /// Frames in the journal.
    pub frames: u64,
    /// Bytes at the journal's end that belonged to commits that never returned, and are gone.
    pub torn_bytes_cut: u64,
    /// Why the index was built anew; `None` when it was there or the store is new.
    pub index_rebuilt: Option<RebuildReason>,
    /// Whether sled could not be had and the index is in memory.
    pub index_in_memory: bool,
    /// Whether the index is still being built or checked: commits wait for that, and reads that need more than is known.
    pub is_behind: bool,
    /// What was lost in this or an earlier salvage, until [`DiskStore::clear_salvaged`]: rows may be missing.
    pub salvaged: Option<Salvaged>,
}

#[derive(Debug)]
struct State {
    index: Index,
    segments: Arc<Segments>,
    /// Grows with every index; names the sled folder too.
    generation: u64,
}

/// A store on a disk. See the module for how it keeps its promises.
///
/// Dropping it without [`DiskStore::close`] is a crash: nothing is lost, but the next opening reads the whole journal.
#[derive(Debug)]
pub struct DiskStore {
    files: Arc<dyn Files>,
    dir: PathBuf,
    index_root: PathBuf,
    store_id: StoreId,
    // Order of locks: journal before state.
    journal: Mutex<Journal>,
    state: Arc<RwLock<State>>,
    group: Group,
    /// Building or checking the index.
    behind: Arc<Behind>,
    options: DiskOptions,
    /// The highest number that was given to an index.
    generations: AtomicU64,
    /// Held by the one that scrubs; taken before the others.
    scrubbing: Mutex<()>,
    /// How often the index was built anew while the store was open.
    rebuilds: AtomicU64,
    /// The journal was found damaged while running: no use in reading all of it again at every wrong value.
    journal_damaged: AtomicBool,
    closed: AtomicBool,
    lock: Mutex<Option<LockGuard>>,
}

impl DiskStore {
    /// Opens the store in `dir`, making it when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when another holds it; [`StoreError::Damaged`] when acknowledged data may be lost: then nothing was
    /// changed, and [`DiskStore::open_read_only`] tells what is wrong.
    pub fn open(dir: &Path, options: DiskOptions) -> Result<(Self, OpenReport), StoreError> {
        Self::open_in(Arc::new(RealFiles), dir, options)
    }

    /// As [`DiskStore::open`], on another file system. The index is always on the real one.
    ///
    /// # Errors
    /// As there.
    pub fn open_in(files: Arc<dyn Files>, dir: &Path, options: DiskOptions) -> Result<(Self, OpenReport), StoreError> {
        open::open(files, dir, options, false)
    }

    /// As [`DiskStore::open`], and a damaged journal is made whole again without what is lost: every whole frame is kept, the
    /// damaged segments are copied to [`DAMAGED_DIR`] first, and the report names each lost frame, now and at every later
    /// opening until [`DiskStore::clear_salvaged`]. Without damage it does what `open` does.
    ///
    /// Rows of lost frames are missing, or are what they were before. Whoever calls this must begin a new epoch, erase again,
    /// and have peers bring what is missing.
    ///
    /// # Errors
    /// As for [`DiskStore::open`]; [`StoreError::Damaged`] only when not even the store's id can be found.
    pub fn open_salvaging(dir: &Path, options: DiskOptions) -> Result<(Self, OpenReport), StoreError> {
        Self::open_salvaging_in(Arc::new(RealFiles), dir, options)
    }

    /// As [`DiskStore::open_salvaging`], on another file system.
    ///
    /// # Errors
    /// As there.
    pub fn open_salvaging_in(
        files: Arc<dyn Files>,
        dir: &Path,
        options: DiskOptions,
    ) -> Result<(Self, OpenReport), StoreError> {
        open::open(files, dir, options, true)
    }

    /// What was lost in a salvage whose mark was not cleared yet.
    ///
    /// # Errors
    /// When the mark cannot be looked for.
    pub fn salvaged(&self) -> Result<Option<Salvaged>, StoreError> {
        Salvaged::read(self.files.as_ref(), &self.dir)
    }

    /// Takes the mark of a salvage away, durably: peers have brought what was missing, or a person says that it is enough.
    /// The copies in [`DAMAGED_DIR`] stay; they hold what was erased since, too, so a person removes them.
    ///
    /// # Errors
    /// When the system refuses; the mark may then still be there.
    pub fn clear_salvaged(&self) -> Result<(), StoreError> {
        Salvaged::clear(self.files.as_ref(), &self.dir)
    }

    /// Reads the whole store, changing nothing, and says all that is wrong with it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when another writes to it, or when files cannot be read; damage is no error here.
    pub fn open_read_only(dir: &Path) -> Result<(ReadOnlyDisk, Verification), StoreError> {
        ReadOnlyDisk::open_in(&RealFiles, dir)
    }

    /// The store's id.
    #[must_use]
    pub fn store_id(&self) -> StoreId {
        self.store_id
    }

    /// How often the index was set aside and built anew since the store was opened: sled or its files went wrong.
    #[must_use]
    pub fn index_rebuilds(&self) -> u64 {
        self.rebuilds.load(Ordering::Relaxed)
    }

    /// Stops cleanly: what was committed is durable already; this lets the next opening trust the index. Commits and reads
    /// after it answer [`StoreError::Closed`]. Closing twice is no error.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the store had stopped after an error.
    pub fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.behind.stop();
        let mut journal = self.journal();
        let had_stopped = journal.is_stopped();
        journal.stop();
        let (index, generation) = {
            let mut state = self.state_mut();
            (std::mem::replace(&mut state.index, Index::Gone), state.generation)
        };
        if let (Index::Sled(sled), false) = (index, had_stopped) {
            // Without a manifest the next opening builds the index anew: slower, not wrong.
            if let Ok(content) = sled.finish() {
                let _ = self.write_manifest(&journal, generation, content);
            }
        }
        drop(journal);
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if had_stopped { Err(self.closed()) } else { Ok(()) }
    }

    fn write_manifest(&self, journal: &Journal, generation: u64, content: index::Content) -> Result<(), StoreError> {
        let mut segments = Vec::new();
        for (number, file) in &journal.segments {
            segments.push((*number, file.size().map_err(|error| io_error(&journal.path(*number), error))?));
        }
        let next_frame = journal.next_frame;
        let manifest = Manifest { store_id: self.store_id, generation, content, next_frame, segments };
        manifest.write(self.files.as_ref(), &self.dir)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> StoreError {
        StoreError::Closed { place: self.dir.display().to_string() }
    }

    /// The leader's work for a group of commits.
    fn append(&self, batches: &[&EncodedBatch]) -> Result<(), StoreError> {
        let mut journal = self.journal();
        let changes = journal.append(batches)?;
        let mut state = self.state_mut();
        if state.segments.len() != journal.segments.len() {
            state.segments = Arc::new(journal.segments.clone());
        }
        self.apply_or_rebuild(&journal, &mut state, &changes);
        Ok(())
    }

    fn apply_or_rebuild(&self, journal: &Journal, state: &mut State, changes: &[IndexChange]) {
        if let Err(failed) = state.index.apply(changes) {
            self.index_failed(journal, state, failed);
        }
    }

    fn index_failed(&self, journal: &Journal, state: &mut State, _failed: IndexFailed) {
        let hopeless = self.journal_damaged.load(Ordering::Relaxed);
        if hopeless || self.rebuild(journal, state).is_err() {
            // The commit is durable, but this index lacks it and must not say that a row isn't there.
            state.index = Index::Gone;
        }
    }

    /// Builds the index anew from the journal.
    fn rebuild(&self, journal: &Journal, state: &mut State) -> Result<(), StoreError> {
        let options = &self.options;
        let never = AtomicBool::new(false);
        let sorting = (self.index_root.as_path(), options.sort_at_once);
        let mut collector = Collector::new(&journal.dir, &journal.segments, sorting, &options.progress, &never);
        let read = walk(&journal.dir, &journal.segments, Until::RunningTo(journal.end), &[], &mut collector);
        if matches!(read, Err(StoreError::Damaged { .. })) {
            self.journal_damaged.store(true, Ordering::Relaxed);
        }
        read?;
        self.rebuilds.fetch_add(1, Ordering::Relaxed);
        let generation = self.generations.fetch_add(1, Ordering::SeqCst) + 1;
        let built = collector.finish().build(&self.index_root, generation, &options.progress, &never);
        let index = built.map_err(|IndexFailed| {
            let source = std::io::Error::other("rows could not be sorted");
            io_error(&self.index_root, source)
        })?;
        Self::install(journal, state, generation, index);
        Ok(())
    }

    /// A new index with its number: in sled, or in memory when sled cannot.
    fn build(&self, live: Live) -> (u64, Index) {
        let generation = self.generations.fetch_add(1, Ordering::SeqCst) + 1;
        let rows = live.iter().map(|(key, at)| Ok((key.clone(), *at)));
        match SledIndex::build(&self.index_root, generation, rows) {
            Ok(sled) => (generation, Index::Sled(sled)),
            Err(IndexFailed) => (generation, Index::Memory(live)),
        }
    }

    /// Takes a generation of the index into use, and the segments it points into.
    fn install(journal: &Journal, state: &mut State, generation: u64, index: Index) {
        state.generation = generation;
        state.segments = Arc::new(journal.segments.clone());
        std::mem::replace(&mut state.index, index).remove();
    }

    /// Sets an index aside that said something wrong, unless another thread did so meanwhile.
    fn distrust(&self, generation: u64) -> Result<(), StoreError> {
        self.behind.wait();
        let journal = self.journal();
        let mut state = self.state_mut();
        if state.generation != generation {
            return Ok(());
        }
        self.rebuild(&journal, &mut state)
    }

    /// Finds places between two keys in the index and reads them; on anything wrong builds the index anew and tries once more.
    fn find<T>(
        &self,
        (from, to): (&[u8], &[u8]),
        look_up: impl Fn(&Index) -> Result<T, IndexFailed>,
        read: impl Fn(T, &Segments) -> Result<Found, ReadFault>,
    ) -> Result<Found, StoreError> {
        let (mut tried, mut waited) = (false, false);
        loop {
            if self.closed.load(Ordering::SeqCst) {
                return Err(self.closed());
            }
            let (places, segments, generation) = {
                let state = self.state();
                let answers = state.index.answers(from, to);
                if !answers && !waited {
                    drop(state);
                    self.behind.wait();
                    waited = true;
                    continue;
                }
                let places = if answers { look_up(&state.index) } else { Err(IndexFailed) };
                (places, Arc::clone(&state.segments), state.generation)
            };
            let what = match places.map(|places| read(places, &segments)) {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(ReadFault::Error(error))) => return Err(error),
                Ok(Err(ReadFault::Wrong(what))) => what,
                Err(IndexFailed) => "the index failed".into(),
            };
            if tried || self.journal_damaged.load(Ordering::Relaxed) {
                return Err(StoreError::Damaged { place: self.dir.display().to_string(), what });
            }
            tried = true;
            self.distrust(generation)?;
        }
    }
}

type Found = Vec<Row>;

impl Drop for DiskStore {
    fn drop(&mut self) {
        // Before the lock is given back: what goes on behind writes to the index.
        self.behind.stop();
    }
}

impl Store for DiskStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let wanted = index_key(table, key);
        let rows = self.find(
            (&wanted, &[&wanted[..], &[0]].concat()),
            |index| index.get(&wanted),
            |at, segments| {
                let Some(at) = at else { return Ok(Vec::new()) };
                let value = read_row(&self.store_id, segments, at, table, key)?;
                Ok(vec![Row { key: Vec::new(), value }])
            },
        )?;
        Ok(rows.into_iter().next().map(|row| row.value))
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let Some((from, to)) = bounds(table, from, to, limit) else { return Ok(Vec::new()) };
        self.find(
            (&from, &to),
            |index| index.range(&from, &to, limit),
            |places, segments| {
                let row = |(key, at): (Vec<u8>, Location)| {
                    let key = key[1..].to_vec();
                    let value = read_row(&self.store_id, segments, at, table, &key)?;
                    Ok(Row { key, value })
                };
                places.into_iter().map(row).collect()
            },
        )
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(self.closed());
        }
        let encoded = EncodedBatch::new(&self.store_id, batch)?;
        if batch.is_empty() {
            return Ok(());
        }
        self.behind.wait();
        if self.closed.load(Ordering::SeqCst) {
            return Err(self.closed());
        }
        let stopped = || {
            self.journal().stop();
            self.closed()
        };
        self.group.commit(encoded, |batches| self.append(batches), stopped)
    }

    fn scrub(&self) -> Result<(), StoreError> {
        self.behind.wait();
        self.scrub_all()
    }
}

#[cfg(test)]
mod tests;
