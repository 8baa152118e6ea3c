//! The index in sled: blocks of rows, with what was changed last in memory in front of them.
//!
//! Changes are kept in a map until there are many, and then go into their blocks a few at a time, so that neighbours share the
//! writing and no commit waits long. Nothing of this is durable before a clean stop, and it need not be. Every block is checked
//! when it is read, and so is that no block is missing between two. Must never say that a row isn't there because sled lost it:
//! that is an error, for which the index is built anew.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{fs, io, thread};

use super::IndexFailed;
use super::block::{Block, Content, FIRST_KEY, ROWS_MAX, ROWS_NEW};
use crate::store::disk::frame::Location;

/// sled's cache, 8 MiB. It is no hard limit: sled notes reads in 256 queues of 64 before it looks at what it may give up, so
/// that some 16,000 pages of 9 KiB can be in memory, which is all of an index of 3,000,000 rows.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// How long sled may take to open: hundreds of times what was measured; once it hung for ever on damaged files.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sled may take to flush and stop.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often sled is asked to open again after it was stopped, and how long apart: half a second in all.
const REOPEN_TRIES: u32 = 25;
const REOPEN_WAIT: Duration = Duration::from_millis(20);
/// How long a check may take, and longer by a second for so many rows: a hundredth of what was measured.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
const CHECKED_PER_SECOND_MIN: u64 = 10_000;
/// So many changes wait in memory, some 12 MiB when there are that many: enough that a busy minute's are put into their blocks
/// together, and that a phone which takes a whole wijk puts a few into each block it writes rather than one into every block.
const WAITING_MAX: usize = 96 * 1024;
/// When too many wait, each commit puts so many times its own changes into their blocks: the rest shrinks, and no commit pays
/// for many others.
const CATCH_UP: usize = 2;
const DIR_PREFIX: &str = "index-";

/// One generation of the index in sled. Dropping it stops sled, without flushing it to the disk in a way that counts.
#[derive(Debug)]
pub struct SledIndex {
    db: Option<sled::Db>,
    dir: PathBuf,
    /// Its number.
    pub generation: u64,
    /// Changes that are not in their blocks yet.
    waiting: BTreeMap<Vec<u8>, Option<Location>>,
    /// From where on changes are put into their blocks next.
    sweep: Vec<u8>,
    /// What the blocks hold.
    content: Content,
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

fn open_db(dir: &Path) -> Result<sled::Db, IndexFailed> {
    let path = dir.to_path_buf();
    watched(OPEN_TIMEOUT, move || {
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        guard(|| config.open())
    })
}

/// As [`open_db`], right after sled was stopped: its threads may hold the lock on its files for some milliseconds more.
fn open_db_again(dir: &Path) -> Result<sled::Db, IndexFailed> {
    for _ in 1..REOPEN_TRIES {
        if let Ok(db) = open_db(dir) {
            return Ok(db);
        }
        thread::park_timeout(REOPEN_WAIT);
    }
    open_db(dir)
}

impl SledIndex {
    /// Opens generation `generation` under `root`, which held `content` when it was stopped. Nothing of that is checked here
    /// but what is read; [`SledIndex::checker`] checks all.
    pub fn open(root: &Path, generation: u64, content: Content) -> Result<Self, IndexFailed> {
        let dir = root.join(format!("{DIR_PREFIX}{generation}"));
        let db = Some(open_db(&dir)?);
        Ok(Self { db, dir, generation, waiting: BTreeMap::new(), sweep: Vec::new(), content })
    }

    /// A new generation that holds these rows, which come in order of their keys.
    pub fn build(
        root: &Path,
        generation: u64,
        rows: impl Iterator<Item = Result<(Vec<u8>, Location), IndexFailed>>,
    ) -> Result<Self, IndexFailed> {
        let dir = root.join(format!("{DIR_PREFIX}{generation}"));
        // Left over from something that went wrong; sled would mix it in.
        let _ = fs::remove_dir_all(&dir);
        let mut index = Self::open(root, generation, Content::default())?;
        let (mut key, mut block) = (FIRST_KEY.to_vec(), Block::default());
        for row in rows {
            let row = row?;
            index.content.add(&row.0, &row.1);
            if block.rows.len() == ROWS_NEW {
                block.next.clone_from(&row.0);
                index.write(&key, &block)?;
                (key, block) = (row.0.clone(), Block::default());
            }
            block.rows.push(row);
        }
        index.write(&key, &block)?;
        Ok(index)
    }

    fn db(&self) -> Result<&sled::Db, IndexFailed> {
        self.db.as_ref().ok_or(IndexFailed)
    }

    fn write(&self, key: &[u8], block: &Block) -> Result<(), IndexFailed> {
        let bytes = block.encode(self.generation, key).ok_or(IndexFailed)?;
        let db = self.db()?;
        guard(|| db.insert(key, bytes).map(|_| ()))
    }

    /// The block in whose reach a key is.
    fn block_of(&self, key: &[u8]) -> Result<(Vec<u8>, Block), IndexFailed> {
        let db = self.db()?;
        let end = [key, &[0]].concat();
        let (begin, bytes) = guard(|| db.get_lt(end))?.ok_or(IndexFailed)?;
        let block = Block::decode(self.generation, &begin, &bytes).ok_or(IndexFailed)?;
        if block.reaches(key) { Ok((begin.to_vec(), block)) } else { Err(IndexFailed) }
    }

    /// Where the row with this key stands.
    pub fn get(&self, key: &[u8]) -> Result<Option<Location>, IndexFailed> {
        if let Some(at) = self.waiting.get(key) {
            return Ok(*at);
        }
        let (_, block) = self.block_of(key)?;
        let found = block.rows.binary_search_by(|(row, _)| row.as_slice().cmp(key));
        Ok(found.ok().map(|at| block.rows[at].1))
    }

    /// The rows from `from` (included) to `to` (excluded), in order, at most `limit`.
    pub fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Location)>, IndexFailed> {
        let mut waiting = self.waiting.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))).peekable();
        let mut found = Vec::new();
        let mut begin = from.to_vec();
        while found.len() < limit {
            let (_, block) = self.block_of(&begin)?;
            let rows = block.rows.iter().filter(|(row, _)| from <= row.as_slice() && row.as_slice() < to);
            for (row, at) in rows {
                while let Some((key, changed)) = waiting.next_if(|(key, _)| *key < row) {
                    found.extend(changed.map(|at| (key.clone(), at)));
                }
                match waiting.next_if(|(key, _)| *key == row) {
                    Some((key, changed)) => found.extend(changed.map(|at| (key.clone(), at))),
                    None => found.push((row.clone(), *at)),
                }
            }
            let is_last = block.next.is_empty() || block.next.as_slice() >= to;
            while let Some((key, changed)) = waiting.next_if(|(key, _)| is_last || **key < block.next) {
                found.extend(changed.map(|at| (key.clone(), at)));
            }
            if is_last {
                break;
            }
            begin = block.next;
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Puts new places in.
    pub fn apply(&mut self, changes: &[(Vec<u8>, Option<Location>)]) -> Result<(), IndexFailed> {
        self.waiting.extend(changes.iter().cloned());
        if self.waiting.len() > WAITING_MAX { self.settle(changes.len() * CATCH_UP) } else { Ok(()) }
    }

    /// Puts at least so many of the waiting changes into their blocks.
    fn settle(&mut self, mut count: usize) -> Result<(), IndexFailed> {
        while count > 0 {
            let next = self.waiting.range(self.sweep.clone()..).next().or_else(|| self.waiting.first_key_value());
            let Some(first) = next.map(|(key, _)| key.clone()) else { break };
            let (begin, block) = self.block_of(&first)?;
            let until = if block.next.is_empty() { Bound::Unbounded } else { Bound::Excluded(block.next.as_slice()) };
            let within = self.waiting.range::<[u8], _>((Bound::Included(begin.as_slice()), until));
            let keys: Vec<Vec<u8>> = within.map(|(key, _)| key.clone()).collect();
            let changes: Vec<_> = keys.iter().filter_map(|key| self.waiting.remove_entry(key)).collect();
            count = count.saturating_sub(changes.len());
            self.sweep.clone_from(&block.next);
            self.merge(begin, block, changes)?;
        }
        Ok(())
    }

    /// Puts changes, in order of their keys, into their block, which is split when it gets too long.
    fn merge(
        &mut self,
        begin: Vec<u8>,
        block: Block,
        changes: Vec<(Vec<u8>, Option<Location>)>,
    ) -> Result<(), IndexFailed> {
        let mut rows = Vec::with_capacity(block.rows.len() + changes.len());
        let mut old = block.rows.into_iter().peekable();
        for (key, at) in changes {
            rows.extend(std::iter::from_fn(|| old.next_if(|(row, _)| *row < key)));
            if let Some((_, before)) = old.next_if(|(row, _)| *row == key) {
                self.content.take(&key, &before);
            }
            if let Some(at) = at {
                self.content.add(&key, &at);
                rows.push((key, at));
            }
        }
        rows.extend(old);
        let at_once = if rows.len() > ROWS_MAX { ROWS_NEW } else { ROWS_MAX };
        let mut parts = Vec::with_capacity(rows.len() / at_once + 1);
        let (mut rows, mut key) = (rows.into_iter().peekable(), begin);
        loop {
            let part: Vec<_> = rows.by_ref().take(at_once).collect();
            let next = rows.peek().map_or_else(|| block.next.clone(), |(key, _)| key.clone());
            let is_last = rows.peek().is_none();
            parts.push((std::mem::replace(&mut key, next.clone()), Block { next, rows: part }));
            if is_last {
                break;
            }
        }
        // The first part last: until it is written the old block still says all there was before.
        for (key, part) in parts.iter().rev() {
            self.write(key, part)?;
        }
        Ok(())
    }

    /// As [`SledIndex::settle`], for tests.
    #[cfg(test)]
    pub fn settle_some(&mut self, count: usize) {
        assert_eq!(self.settle(count), Ok(()));
    }

    /// Loses a block, as sled can.
    #[cfg(test)]
    pub fn lose_block_of(&mut self, key: &[u8]) {
        if let (Ok((begin, _)), Ok(db)) = (self.block_of(key), self.db()) {
            assert!(db.remove(begin).is_ok());
        }
    }

    /// Puts an item between the blocks, as nothing but a mistake or damage can.
    #[cfg(test)]
    pub fn put_stray(&mut self, key: &[u8]) {
        let bytes = Block { next: b"\x02".to_vec(), rows: Vec::new() }.encode(self.generation, key);
        if let (Ok(db), Some(bytes)) = (self.db(), bytes) {
            assert!(db.insert(key, bytes).is_ok());
        }
    }

    /// What checks the whole index on another thread, while this one is read but not changed.
    pub fn checker(&self) -> Result<Checker, IndexFailed> {
        Ok(Checker { db: self.db()?.clone(), generation: self.generation, content: self.content })
    }

    /// Stops sled and opens it again, which gives the memory back that a check of everything took.
    pub fn reopen(&mut self) -> Result<(), IndexFailed> {
        let db = self.db.take().ok_or(IndexFailed)?;
        watched(CLOSE_TIMEOUT, move || {
            drop(db);
            Ok(())
        })?;
        self.db = Some(open_db_again(&self.dir)?);
        Ok(())
    }

    /// Stops sled, flushes its files for good and returns what it holds, for the manifest.
    pub fn finish(mut self) -> Result<Content, IndexFailed> {
        self.settle(usize::MAX)?;
        let db = self.db.take().ok_or(IndexFailed)?;
        let dir = self.dir.clone();
        watched(CLOSE_TIMEOUT, move || {
            guard(|| db.flush())?;
            drop(db);
            // sled writes down where its pages are when it opens, not when it stops: opened once more it opens quickly later.
            // When it cannot, that only costs time then.
            drop(open_db_again(&dir));
            // sled's own flush does not reach the disk on every system.
            sync_tree(&dir).map_err(|_| IndexFailed)
        })?;
        Ok(self.content)
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

/// Compares a whole index with what it held when it was stopped.
pub struct Checker {
    db: sled::Db,
    generation: u64,
    content: Content,
}

impl Checker {
    /// As [`Checker::check`], on a thread of its own that is left behind when sled hangs.
    pub fn check_watched(self, goes_on: impl FnMut(u64) -> bool + Send + 'static) -> Result<(), IndexFailed> {
        let timeout = CHECK_TIMEOUT + Duration::from_secs(self.content.rows / CHECKED_PER_SECOND_MIN);
        watched(timeout, move || self.check(goes_on))
    }

    /// Reads every block; `goes_on` is told how many rows were read and can end it.
    ///
    /// Each block is looked up by itself. An iterator holds on to a page until all of it was read, so that sled notes one access
    /// a page and gives none up (see [`CACHE_BYTES`]); looked up, a page is noted with each of its blocks.
    pub fn check(self, mut goes_on: impl FnMut(u64) -> bool) -> Result<(), IndexFailed> {
        let mut found = Content::default();
        let mut expected = FIRST_KEY.to_vec();
        // An empty key is nobody's.
        let mut before = sled::IVec::default();
        while let Some((begin, bytes)) = guard(|| self.db.get_gt(&before))? {
            let block = Block::decode(self.generation, &begin, &bytes).ok_or(IndexFailed)?;
            // Behind the last block nothing may stand.
            if *begin != *expected {
                return Err(IndexFailed);
            }
            block.rows.iter().for_each(|(key, at)| found.add(key, at));
            (expected, before) = (block.next, begin);
            if !goes_on(found.rows) {
                return Err(IndexFailed);
            }
        }
        if guard(|| self.db.contains_key(b""))? {
            return Err(IndexFailed);
        }
        if expected.is_empty() && found == self.content { Ok(()) } else { Err(IndexFailed) }
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

/// Every file under `dir`, and every folder.
fn tree(dir: &Path, files: &mut Vec<PathBuf>, dirs: &mut Vec<PathBuf>) -> io::Result<()> {
    dirs.push(dir.to_path_buf());
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            tree(&path, files, dirs)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    let (mut files, mut dirs) = (Vec::new(), Vec::new());
    tree(dir, &mut files, &mut dirs)?;
    for path in files {
        fs::OpenOptions::new().read(true).write(true).open(path)?.sync_all()?;
    }
    if cfg!(unix) {
        for path in dirs.iter().map(PathBuf::as_path).chain(dir.parent()) {
            fs::File::open(path)?.sync_all()?;
        }
    }
    Ok(())
}
