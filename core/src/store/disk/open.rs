//! Opening a store on a disk: first find out what is true, and only then change anything.
//!
//! Must never change a byte when damage is found. After a clean close the index is trusted if the manifest, the journal's
//! lengths and the checksum over the index's files all agree; otherwise the journal is read from its start.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use super::behind::Progress;
use super::files::{Files, LockMode, io_error};
use super::frame::{HEADER_BYTES, SegmentHeader, StoreId, index_key};
use super::group::Group;
use super::index::{Checker, Early, Index, SledIndex, generations, remove_others};
use super::journal::{FRESH_SUFFIX, Journal};
use super::manifest::{Found, Manifest};
use super::rebuild::{Building, Collected, Collector, Glance, check, check_behind};
use super::replay::{Segments, Tail, Until, open_segments};
use super::salvage::{Salvaged, mend};
use super::sort::remove_leftovers;
use super::walk::walk;
use super::{DiskOptions, DiskStore, OpenReport, RebuildReason, State, identity};
use crate::store::StoreError;

/// The journal's folder.
pub(super) fn journal_dir(dir: &Path) -> PathBuf {
    dir.join("journal")
}

/// How often a lock that is held is asked for again, and how long apart: a quarter of a second in all. A program that starts
/// another one hands its open files on until the new one begins, so a lock may outlive its holder by some milliseconds.
const LOCK_TRIES: u32 = 25;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// Takes the lock of the store in `dir`.
pub(super) fn lock(files: &dyn Files, dir: &Path, mode: LockMode) -> Result<super::LockGuard, StoreError> {
    let path = dir.join("lock");
    for _ in 0..LOCK_TRIES {
        if let Some(guard) = files.lock(&path, mode).map_err(|error| io_error(&path, error))? {
            return Ok(guard);
        }
        std::thread::park_timeout(LOCK_WAIT);
    }
    Err(StoreError::Busy { place: dir.display().to_string() })
}

/// Where a cleanly closed journal ended.
pub(super) fn closed_at(found: &Found) -> Until {
    match found {
        Found::Manifest(manifest) => match manifest.segments.last() {
            Some((segment, length)) => Until::ClosedAt(*segment, *length),
            None => Until::Unknown,
        },
        Found::Nothing | Found::Unreadable | Found::OtherVersion => Until::Unknown,
    }
}

/// See [`DiskStore::open_in`] and [`DiskStore::open_salvaging`].
pub(super) fn open(
    files: Arc<dyn Files>,
    dir: &Path,
    options: DiskOptions,
    salvaging: bool,
) -> Result<(DiskStore, OpenReport), StoreError> {
    let journal_dir = journal_dir(dir);
    files.create_dir_all(&journal_dir).map_err(|error| io_error(&journal_dir, error))?;
    let guard = lock(files.as_ref(), dir, LockMode::Exclusive)?;
    let mut segments = open_segments(files.as_ref(), &journal_dir, true)?;
    if salvaging {
        mend(files.as_ref(), dir, &journal_dir, &segments, options.store_id)?;
        segments = open_segments(files.as_ref(), &journal_dir, true)?;
    }
    let found = Manifest::read(files.as_ref(), dir)?;
    let index_root = options.index_root.clone().unwrap_or_else(|| dir.to_path_buf());

    let is_large = journal_bytes(&journal_dir, &segments)? > options.large_bytes;
    let never = Arc::new(AtomicBool::new(false));
    let opened = match trust(&found, &journal_dir, &segments, &index_root, (is_large, &options))? {
        Ok(opened) => opened,
        Err(reason) => {
            let is_new = segments.is_empty() && found == Found::Nothing;
            remove_leftovers(&index_root);
            let (progress, until) = (&options.progress, closed_at(&found));
            let (index, read) = if is_large && !options.first_rows.is_empty() {
                let first = options.first_rows.iter().map(|(table, prefix)| index_key(*table, prefix));
                let mut rows = Glance::new(&journal_dir, &segments, Early::new(first), progress);
                let read = walk(&journal_dir, &segments, until, &[], &mut rows)?;
                (Known::Early(rows.finish()), read)
            } else {
                let sorting = (index_root.as_path(), options.sort_at_once);
                let mut rows = Collector::new(&journal_dir, &segments, sorting, progress, &never);
                let read = walk(&journal_dir, &segments, until, &[], &mut rows)?;
                (Known::Rows(rows.finish()), read)
            };
            Opened {
                index,
                store_id: read.store_id,
                next_frame: read.next_frame,
                end: read.end,
                // Also when it was closed: flushing once more is cheaper than reasoning about it.
                tail: Some(read.tail),
                reason: (!is_new).then_some(reason),
            }
        }
    };
    if let (Some(given), Some(stored)) = (options.store_id, opened.store_id)
        && given != stored
    {
        let place = journal_dir.display().to_string();
        return Err(StoreError::Damaged { place, what: "the journal belongs to another store".into() });
    }

    // From here on the disk is changed.
    Manifest::remove(files.as_ref(), dir)?;
    // The folder's own name too; where the folder above may not be opened, that is the caller's.
    let _ = dir.parent().map(|parent| files.sync_dir(parent));
    for (inside, name) in leftovers(files.as_ref(), &[&journal_dir, dir])? {
        let path = inside.join(name);
        files.remove(&path).map_err(|error| io_error(&path, error))?;
    }
    let store_id = opened.store_id.or(options.store_id).unwrap_or_else(draw_store_id);
    match identity::note(files.as_ref(), dir, &store_id) {
        // On a full disk reading must still be possible; the next opening notes it.
        Ok(()) | Err(StoreError::Full { .. }) => {}
        Err(error) => return Err(error),
    }
    let place = (segments, opened.end, opened.next_frame);
    let mut journal = Journal::new(Arc::clone(&files), journal_dir, store_id, options.segment_bytes_max, place);
    let torn_bytes_cut = match opened.tail {
        Some(tail) => journal.settle(tail)?,
        None => 0,
    };

    let highest = generations(&index_root).into_iter().max().unwrap_or(0);
    let (index, generation, later) = match opened.index {
        Known::Checked(sled) => (Index::Sled(sled), highest, Later::Nothing),
        Known::Unchecked(sled, checker) => (Index::Sled(sled), highest, Later::Check(checker)),
        Known::Early(rows) => {
            let building = Building {
                journal_dir: journal.dir.clone(),
                segments: Arc::new(journal.segments.clone()),
                end: journal.end,
                index_root: index_root.clone(),
                sort_at_once: options.sort_at_once,
                generation: highest + 1,
            };
            (Index::Early(rows), highest + 1, Later::Build(building))
        }
        Known::Rows(rows) => {
            let built = rows.build(&index_root, highest + 1, &options.progress, &never);
            let failed = |_| io_error(&index_root, std::io::Error::other("rows could not be sorted"));
            (built.map_err(failed)?, highest + 1, Later::Nothing)
        }
    };
    let in_memory = matches!(index, Index::Memory(_));
    let in_use = match &index {
        Index::Sled(sled) => Some(sled.generation),
        Index::Memory(_) | Index::Early(_) | Index::Gone => None,
    };
    remove_others(&index_root, in_use);
    let report = OpenReport {
        frames: journal.next_frame,
        torn_bytes_cut,
        index_rebuilt: opened.reason,
        index_in_memory: in_memory,
        is_behind: !matches!(later, Later::Nothing),
        salvaged: Salvaged::read(files.as_ref(), dir)?,
    };
    let segments = Arc::new(journal.segments.clone());
    let store = DiskStore {
        files,
        dir: dir.to_path_buf(),
        index_root,
        store_id,
        journal: Mutex::new(journal),
        state: Arc::new(RwLock::new(State { index, segments, generation: in_use.unwrap_or(0) })),
        group: Group::default(),
        behind: Arc::default(),
        options,
        generations: AtomicU64::new(generation),
        scrubbing: Mutex::new(()),
        rebuilds: AtomicU64::new(0),
        journal_damaged: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        lock: Mutex::new(Some(guard)),
    };
    let (state, progress) = (Arc::clone(&store.state), store.options.progress.clone());
    match later {
        Later::Nothing => progress.tell(Progress::Ready),
        Later::Check(checker) => {
            store.behind.start(move |stop| check_behind(checker, &state, &progress, stop));
        }
        Later::Build(building) => store.behind.start(move |stop| building.run(&state, &progress, stop)),
    }
    Ok((store, report))
}

/// What is known of the rows.
enum Known {
    /// The index of a clean close, compared with what it held then.
    Checked(SledIndex),
    /// The same, not compared yet.
    Unchecked(SledIndex, Checker),
    /// What the journal says, of all rows.
    Rows(Collected),
    /// What the journal says of the rows that are asked for first.
    Early(Early),
}

/// What goes on when the store is open.
enum Later {
    Nothing,
    Check(Checker),
    Build(Building),
}

/// What is known before anything is changed.
struct Opened {
    index: Known,
    store_id: Option<StoreId>,
    next_frame: u64,
    end: u64,
    /// `None` when the journal is durable as it is.
    tail: Option<Tail>,
    reason: Option<RebuildReason>,
}

/// How long the journal is.
fn journal_bytes(journal_dir: &Path, segments: &Segments) -> Result<u64, StoreError> {
    let sizes = segments.values().map(|file| file.size()).sum::<std::io::Result<u64>>();
    sizes.map_err(|error| io_error(journal_dir, error))
}

/// The index of a clean close, or why it cannot be trusted.
fn trust(
    found: &Found,
    journal_dir: &Path,
    segments: &Segments,
    index_root: &Path,
    (is_large, options): (bool, &DiskOptions),
) -> Result<Result<Opened, RebuildReason>, StoreError> {
    let manifest = match found {
        Found::Manifest(manifest) => manifest,
        Found::Nothing => return Ok(Err(RebuildReason::NotClosed)),
        Found::Unreadable => return Ok(Err(RebuildReason::ManifestUnreadable)),
        Found::OtherVersion => return Ok(Err(RebuildReason::ManifestVersion)),
    };
    let mut lengths = Vec::new();
    let mut same_store = segments.keys().copied().eq(1..=segments.len() as u64);
    for (number, file) in segments {
        let path = || journal_dir.join(super::segment_name(*number));
        let length = file.size().map_err(|error| io_error(&path(), error))?;
        lengths.push((*number, length));
        let mut header = [0; HEADER_BYTES];
        same_store &= length >= HEADER_BYTES as u64;
        if same_store {
            file.read_exact_at(&mut header, 0).map_err(|error| io_error(&path(), error))?;
            let fits = |header: SegmentHeader| header.store_id == manifest.store_id && header.segment == *number;
            same_store = SegmentHeader::decode(&header).is_ok_and(fits);
        }
    }
    if lengths != manifest.segments || !same_store {
        return Ok(Err(RebuildReason::JournalDiffers));
    }
    let Ok(sled) = SledIndex::open(index_root, manifest.generation, manifest.content) else {
        return Ok(Err(RebuildReason::IndexFailed));
    };
    let Ok(checker) = sled.checker() else {
        return Ok(Err(RebuildReason::IndexFailed));
    };
    // sled silently lost rows after single flipped bits (and a power cut), so all of it is compared before it is changed.
    let index = if is_large {
        Known::Unchecked(sled, checker)
    } else if check(checker, &options.progress, &Arc::default()).is_ok() {
        Known::Checked(sled)
    } else {
        return Ok(Err(RebuildReason::IndexDiffers));
    };
    Ok(Ok(Opened {
        index,
        store_id: Some(manifest.store_id),
        next_frame: manifest.next_frame,
        end: lengths.last().map_or(0, |(_, length)| *length),
        tail: None,
        reason: None,
    }))
}

/// Files that were being written when the store stopped.
fn leftovers<'a>(files: &dyn Files, dirs: &[&'a Path]) -> Result<Vec<(&'a Path, String)>, StoreError> {
    let mut found = Vec::new();
    for dir in dirs {
        for name in files.list(dir).map_err(|error| io_error(dir, error))? {
            if name.ends_with(FRESH_SUFFIX) {
                found.push((*dir, name));
            }
        }
    }
    Ok(found)
}

/// An id that nobody can guess: the keys that std draws from the system for its hash maps.
fn draw_store_id() -> StoreId {
    let mut id = [0; 16];
    for half in id.chunks_mut(8) {
        half.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
    }
    id
}
