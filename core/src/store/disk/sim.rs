//! A file system in memory that can lose its power, its room and its temper: for tests of the journal.
//!
//! It keeps what was flushed apart from what was only written. [`SimFiles::power_cut`] keeps of the unflushed writes, cuts
//! and names any part that a real disk could keep. A disk that was told to [`SimFiles::record`] can be had again as it was
//! after any of its changes ([`SimFiles::replay`]). Must never be kinder than a real disk. The same seed gives the same end.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{Files, LockGuard, LockMode, StoreFile};

/// A disk tears a write at its sectors.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::Truncate(length) => content.truncate(*length),
        }
    }
}

#[derive(Debug, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, u64),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

/// One change, as it was asked for.
#[derive(Clone, Debug)]
enum Traced {
    File(u64, Change),
    Sync(u64),
    Name(NameChange),
    SyncDir(PathBuf),
}

#[derive(Debug, Default)]
struct Disk {
    inodes: BTreeMap<u64, Inode>,
    live: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    pending: Vec<NameChange>,
    exclusive: BTreeSet<PathBuf>,
    next_inode: u64,
    /// Handles and locks of before a power cut no longer work.
    epoch: u64,
    room_bytes: Option<u64>,
    changes_left: Option<u64>,
    changes: u64,
    syncs_to_fail: u32,
    /// All changes that were made, when they are recorded.
    trace: Option<Vec<Traced>>,
}

impl Disk {
    /// Notes a change that is about to be made.
    fn trace(&mut self, traced: impl FnOnce() -> Traced) {
        if let Some(trace) = &mut self.trace {
            trace.push(traced());
        }
    }

    fn write(&mut self, inode: u64, change: Change) -> io::Result<()> {
        self.trace(|| Traced::File(inode, change.clone()));
        let inode = self.inode(inode)?;
        change.apply(&mut inode.live);
        inode.pending.push(change);
        Ok(())
    }

    fn sync(&mut self, inode: u64) -> io::Result<()> {
        self.trace(|| Traced::Sync(inode));
        let inode = self.inode(inode)?;
        for change in std::mem::take(&mut inode.pending) {
            change.apply(&mut inode.durable);
        }
        Ok(())
    }

    fn name(&mut self, change: NameChange) {
        self.trace(|| Traced::Name(change.clone()));
        if let NameChange::Link(_, inode) = &change {
            self.inodes.insert(*inode, Inode::default());
        }
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    fn sync_dir(&mut self, dir: &Path) {
        self.trace(|| Traced::SyncDir(dir.to_path_buf()));
        let of_dir = |change: &NameChange| {
            let (NameChange::Link(path, _) | NameChange::Unlink(path) | NameChange::Rename(path, _, _)) = change;
            path.parent() == Some(dir)
        };
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending).into_iter().partition(of_dir);
        for change in now {
            change.apply(&mut self.durable);
        }
        self.pending = later;
    }

    /// Counts a change; fails when the power went.
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match &mut self.changes_left {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn inode(&mut self, inode: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&inode).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn used_bytes(&self) -> u64 {
        let linked: BTreeSet<u64> = self.live.values().copied().collect();
        linked.iter().filter_map(|inode| self.inodes.get(inode)).map(|inode| inode.live.len() as u64).sum()
    }
}

/// The simulated file system; clones share one disk.
#[derive(Clone, Debug, Default)]
pub struct SimFiles {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug)]
struct SimFile {
    disk: Arc<Mutex<Disk>>,
    inode: u64,
    epoch: u64,
}

struct SimLock {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
    epoch: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = lock(&self.disk);
        if disk.epoch == self.epoch {
            disk.exclusive.remove(&self.path);
        }
    }
}

fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimFiles {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on files may hold this many bytes together; `None` for no limit.
    pub fn set_room(&self, bytes: Option<u64>) {
        lock(&self.disk).room_bytes = bytes;
    }

    /// Bytes in all files.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        lock(&self.disk).used_bytes()
    }

    /// How many changes (writes, cuts, flushes, names) were made so far.
    #[must_use]
    pub fn changes(&self) -> u64 {
        lock(&self.disk).changes
    }

    /// From now on every change is recorded, for [`SimFiles::replay`]. To be called while the disk is empty.
    pub fn record(&self) {
        lock(&self.disk).trace = Some(Vec::new());
    }

    /// How many changes were recorded.
    #[must_use]
    pub fn recorded(&self) -> usize {
        lock(&self.disk).trace.as_ref().map_or(0, Vec::len)
    }

    /// Another disk, as this one was after its first `changes` recorded changes; what was not flushed by then is not.
    #[must_use]
    pub fn replay(&self, changes: usize) -> Self {
        let mut disk = Disk::default();
        let trace = lock(&self.disk).trace.clone().unwrap_or_default();
        for traced in trace.into_iter().take(changes) {
            match traced {
                Traced::Name(change) => {
                    if let NameChange::Link(_, inode) = &change {
                        disk.next_inode = inode + 1;
                    }
                    disk.name(change);
                }
                Traced::SyncDir(dir) => disk.sync_dir(&dir),
                // Of files that were made before the recording began nothing is known.
                Traced::File(inode, change) => drop(disk.write(inode, change)),
                Traced::Sync(inode) => drop(disk.sync(inode)),
            }
        }
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// After this many more changes the power goes: everything fails until [`SimFiles::power_cut`].
    pub fn fail_after(&self, changes: u64) {
        lock(&self.disk).changes_left = Some(changes);
    }

    /// The next flushes of files fail, and what they should have flushed stays unflushed for ever.
    pub fn fail_syncs(&self, count: u32) {
        lock(&self.disk).syncs_to_fail = count;
    }

    /// Cuts the power: of what was not flushed the seed says what is left. Locks are gone, old handles are dead.
    pub fn power_cut(&self, seed: u64) {
        let mut random = Random(seed);
        let mut disk = lock(&self.disk);
        disk.epoch += 1;
        disk.exclusive.clear();
        disk.changes_left = None;
        disk.room_bytes = None;
        disk.syncs_to_fail = 0;
        let names = std::mem::take(&mut disk.pending);
        let in_order = random.below(2) == 0;
        let kept = random.below(names.len() as u64 + 1);
        for (at, change) in names.iter().enumerate() {
            if if in_order { (at as u64) < kept } else { random.below(2) == 0 } {
                change.apply(&mut disk.durable);
            }
        }
        disk.live = disk.durable.clone();
        for inode in disk.inodes.values_mut() {
            let pending = std::mem::take(&mut inode.pending);
            let in_order = random.below(2) == 0;
            let kept = random.below(pending.len() as u64 + 1);
            for (at, change) in pending.iter().enumerate() {
                if in_order && at as u64 > kept || !in_order && random.below(3) == 0 {
                    continue;
                }
                tear(change, in_order && (at as u64) < kept, &mut random).apply(&mut inode.durable);
            }
            inode.live.clone_from(&inode.durable);
        }
        let linked: BTreeSet<u64> = disk.live.values().copied().collect();
        disk.inodes.retain(|inode, _| linked.contains(inode));
    }

    /// The bytes of a file as a program sees them.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = lock(&self.disk);
        disk.live.get(path).and_then(|inode| disk.inodes.get(inode)).map(|inode| inode.live.clone())
    }

    /// Gives a file other bytes, durably: a disk that went bad.
    pub fn scribble(&self, path: &Path, bytes: Vec<u8>) {
        let mut disk = lock(&self.disk);
        let Some(inode) = disk.live.get(path).copied() else { return };
        disk.inodes.insert(inode, Inode { live: bytes.clone(), durable: bytes, pending: Vec::new() });
    }

    /// All files.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        lock(&self.disk).live.keys().cloned().collect()
    }

    fn file(&self, inode: u64, epoch: u64) -> Arc<dyn StoreFile> {
        Arc::new(SimFile { disk: Arc::clone(&self.disk), inode, epoch })
    }
}

/// What of a write reached the disk: all, a beginning, or any of its sectors (the others hold zeros).
fn tear(change: &Change, whole: bool, random: &mut Random) -> Change {
    let Change::Write { offset, bytes } = change else { return change.clone() };
    let mut bytes = bytes.clone();
    match if whole { 0 } else { random.below(4) } {
        0 => {}
        1 | 2 => bytes.truncate(usize::try_from(random.below(bytes.len() as u64 + 1)).unwrap_or(0)),
        _ => {
            for sector in bytes.chunks_mut(SECTOR_BYTES) {
                if random.below(2) == 0 {
                    sector.fill(0);
                }
            }
        }
    }
    Change::Write { offset: *offset, bytes }
}

impl SimFile {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = lock(&self.disk);
        if disk.epoch == self.epoch { Ok(disk) } else { Err(io::Error::other("handle of before the power cut")) }
    }
}

impl StoreFile for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        let content = &disk.inode(self.inode)?.live;
        let start = usize::try_from(offset).map_err(|_| ErrorKind::UnexpectedEof)?;
        let found = start.checked_add(buffer.len()).and_then(|end| content.get(start..end));
        buffer.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        let power = disk.change();
        let offset = usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge)?;
        let used = disk.used_bytes();
        let growth = (offset + bytes.len()).saturating_sub(disk.inode(self.inode)?.live.len());
        let room = disk.room_bytes.map_or(u64::MAX, |room| room.saturating_sub(used));
        let missing = usize::try_from((growth as u64).saturating_sub(room)).unwrap_or(usize::MAX);
        // The write during which the power goes, or the room ends, may still leave a part.
        let change = Change::Write { offset, bytes: bytes[..bytes.len().saturating_sub(missing)].to_vec() };
        match power {
            Ok(()) => disk.write(self.inode, change)?,
            Err(error) => {
                disk.inode(self.inode)?.pending.push(change);
                return Err(error);
            }
        }
        if missing == 0 { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk()?.inode(self.inode)?.live.len() as u64)
    }

    fn truncate(&self, size_bytes: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.change()?;
        let change = Change::Truncate(usize::try_from(size_bytes).map_err(|_| ErrorKind::FileTooLarge)?);
        disk.write(self.inode, change)
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.change()?;
        if disk.syncs_to_fail > 0 {
            disk.syncs_to_fail -= 1;
            // As Linux does: the pages count as clean, a later flush skips them, readers still see them.
            disk.inode(self.inode)?.pending.clear();
            return Err(io::Error::other("flush failed"));
        }
        disk.sync(self.inode)
    }
}

impl Files for SimFiles {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = lock(&self.disk);
        let inside = disk.live.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>> {
        let mut disk = lock(&self.disk);
        disk.change()?;
        let inode = disk.next_inode;
        disk.next_inode += 1;
        disk.name(NameChange::Link(path.to_path_buf(), inode));
        let epoch = disk.epoch;
        drop(disk);
        Ok(self.file(inode, epoch))
    }

    fn open(&self, path: &Path, _write: bool) -> io::Result<Arc<dyn StoreFile>> {
        let disk = lock(&self.disk);
        let inode = *disk.live.get(path).ok_or(ErrorKind::NotFound)?;
        let epoch = disk.epoch;
        drop(disk);
        Ok(self.file(inode, epoch))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.change()?;
        let inode = *disk.live.get(from).ok_or(ErrorKind::NotFound)?;
        disk.name(NameChange::Rename(from.to_path_buf(), to.to_path_buf(), inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.change()?;
        disk.live.get(path).ok_or(ErrorKind::NotFound)?;
        disk.name(NameChange::Unlink(path.to_path_buf()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.change()?;
        disk.sync_dir(dir);
        Ok(())
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Option<LockGuard>> {
        let mut disk = lock(&self.disk);
        if disk.exclusive.contains(path) {
            return Ok(None);
        }
        if mode == LockMode::Shared {
            return Ok(Some(Box::new(())));
        }
        disk.exclusive.insert(path.to_path_buf());
        let guard: Box<dyn Any + Send + Sync> =
            Box::new(SimLock { disk: Arc::clone(&self.disk), path: path.to_path_buf(), epoch: disk.epoch });
        Ok(Some(guard))
    }
}

/// Small repeatable randomness (SplitMix64), for tests.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_bits().checked_rem(limit).unwrap_or(0)
    }
}
