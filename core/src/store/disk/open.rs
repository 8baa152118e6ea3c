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

use super::files::{Files, LockMode, io_error};
use super::frame::{HEADER_BYTES, SegmentHeader, StoreId};
use super::group::Group;
use super::index::{Index, SledIndex, generations, remove_others, stored_checksum};
use super::journal::{FRESH_SUFFIX, Journal};
use super::manifest::{Found, Manifest};
use super::replay::{Live, Reading, Segments, Tail, Until, open_segments, replay};
use super::salvage::{Salvaged, mend};
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

    let opened = match trust(&found, &journal_dir, &segments, &index_root)? {
        Ok(opened) => opened,
        Err(reason) => {
            let is_new = segments.is_empty() && found == Found::Nothing;
            let read = replay(&journal_dir, &segments, closed_at(&found), Reading::Strict)?;
            Opened {
                index: None,
                live: read.live,
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
    let (index, generation) = match opened.index {
        Some(sled) => (Index::Sled(sled), highest),
        None => match SledIndex::build(&index_root, highest + 1, &opened.live) {
            Ok(sled) => (Index::Sled(sled), highest + 1),
            Err(_) => (Index::Memory(opened.live), highest + 1),
        },
    };
    let (generation, in_memory) = match &index {
        Index::Sled(sled) => (sled.generation, false),
        Index::Memory(_) | Index::Gone => (generation, true),
    };
    remove_others(&index_root, (!in_memory).then_some(generation));
    let report = OpenReport {
        frames: journal.next_frame,
        torn_bytes_cut,
        index_rebuilt: opened.reason,
        index_in_memory: in_memory,
        salvaged: Salvaged::read(files.as_ref(), dir)?,
    };
    let segments = Arc::new(journal.segments.clone());
    let store = DiskStore {
        files,
        dir: dir.to_path_buf(),
        index_root,
        store_id,
        journal: Mutex::new(journal),
        state: RwLock::new(State { index, segments, generation }),
        group: Group::default(),
        generations: AtomicU64::new(generation),
        scrubbing: Mutex::new(()),
        journal_damaged: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        lock: Mutex::new(Some(guard)),
    };
    Ok((store, report))
}

/// What is known before anything is changed.
struct Opened {
    index: Option<SledIndex>,
    live: Live,
    store_id: Option<StoreId>,
    next_frame: u64,
    end: u64,
    /// `None` when the journal is durable as it is.
    tail: Option<Tail>,
    reason: Option<RebuildReason>,
}

/// The index of a clean close, or why it cannot be trusted.
fn trust(
    found: &Found,
    journal_dir: &Path,
    segments: &Segments,
    index_root: &Path,
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
    // sled silently lost rows after single flipped bits (and a power cut), so its files are compared as a whole first.
    if stored_checksum(index_root, manifest.generation) != Some(manifest.index_crc) {
        return Ok(Err(RebuildReason::IndexDiffers));
    }
    let Ok(sled) = SledIndex::open(index_root, manifest.generation) else {
        return Ok(Err(RebuildReason::IndexFailed));
    };
    Ok(Ok(Opened {
        index: Some(sled),
        live: Live::new(),
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
