//! Building the index anew from the journal, with memory that does not grow with it; and checking one that was closed.
//!
//! A walk through the journal takes down where each row stands, in files sorted by key; then the files are merged into a new
//! generation of the index. For a large store that happens behind it, and before it a walk that is several times as fast keeps
//! in memory what is asked for first ([`Glance`]). Must never answer from a half-built index.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::State;
use super::behind::{OnProgress, Progress, ROWS_PER_CALL};
use super::index::{Checker, Early, Index, IndexFailed};
use super::replay::{Segments, Until};
use super::sort::{Sorted, Sorter};
use super::walk::{RowChange, Visitor, Wound, walk};
use crate::store::{StoreError, Table};

/// Tells how far a walk is.
struct Steps {
    progress: OnProgress,
    sizes: Vec<(u64, u64)>,
}

impl Steps {
    fn new(segments: &Segments, progress: &OnProgress) -> Self {
        // A size that cannot be had is only one for show.
        let sizes = segments.iter().map(|(number, file)| (*number, file.size().unwrap_or(0))).collect();
        Self { progress: progress.clone(), sizes }
    }

    fn begins(&self, segment: u64) {
        let all = self.sizes.iter().map(|(_, bytes)| bytes).sum();
        let done = self.sizes.iter().take_while(|(number, _)| *number < segment).map(|(_, bytes)| bytes).sum();
        self.progress.tell(Progress::Reading { done, all });
    }
}

/// Takes down where each row of a journal stands.
pub(super) struct Collector<'a> {
    dir: &'a Path,
    sorter: Sorter,
    steps: Steps,
    at_once: usize,
    stop: &'a AtomicBool,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        dir: &'a Path,
        segments: &Segments,
        (index_root, at_once): (&Path, usize),
        progress: &OnProgress,
        stop: &'a AtomicBool,
    ) -> Self {
        let sorter = Sorter::new(index_root, at_once);
        Self { dir, sorter, steps: Steps::new(segments, progress), at_once, stop }
    }

    pub(super) fn finish(self) -> Collected {
        Collected { sorted: self.sorter.finish(), at_once: self.at_once }
    }
}

impl Visitor for Collector<'_> {
    fn wound(&mut self, wound: Wound) -> Result<(), StoreError> {
        Err(wound.damage(self.dir).into())
    }

    fn frame(&mut self, rows: Vec<RowChange>) -> Result<(), StoreError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(StoreError::Closed { place: self.dir.display().to_string() });
        }
        rows.into_iter().for_each(|row| self.sorter.push(row));
        Ok(())
    }

    fn begins(&mut self, segment: u64, _first_frame: u64) {
        self.steps.begins(segment);
    }
}

/// Keeps of a journal where the rows stand that are asked for first, and sees whether all of it is whole.
pub(super) struct Glance<'a> {
    dir: &'a Path,
    early: Early,
    steps: Steps,
}

impl<'a> Glance<'a> {
    pub(super) fn new(dir: &'a Path, segments: &Segments, early: Early, progress: &OnProgress) -> Self {
        Self { dir, early, steps: Steps::new(segments, progress) }
    }

    pub(super) fn finish(self) -> Early {
        self.early
    }
}

impl Visitor for Glance<'_> {
    fn wound(&mut self, wound: Wound) -> Result<(), StoreError> {
        Err(wound.damage(self.dir).into())
    }

    fn wants(&self, table: Table, key: &[u8]) -> bool {
        self.early.wants(table, key)
    }

    fn frame(&mut self, rows: Vec<RowChange>) -> Result<(), StoreError> {
        rows.into_iter().for_each(|(key, at)| self.early.take(key, at));
        Ok(())
    }

    fn begins(&mut self, segment: u64, _first_frame: u64) {
        self.steps.begins(segment);
    }
}

/// All rows of a journal, in order.
#[derive(Debug)]
pub(super) struct Collected {
    sorted: Sorted,
    at_once: usize,
}

impl Collected {
    /// Builds the index. `stop` ends it.
    pub(super) fn build(
        &self,
        index_root: &Path,
        generation: u64,
        progress: &OnProgress,
        stop: &AtomicBool,
    ) -> Result<Index, IndexFailed> {
        let all = self.sorted.rows_max(self.at_once);
        progress.tell(Progress::Indexing { done: 0, all });
        Index::build(index_root, generation, &self.sorted, |done| {
            if done.is_multiple_of(ROWS_PER_CALL) {
                progress.tell(Progress::Indexing { done, all });
            }
            !stop.load(Ordering::Relaxed)
        })
    }
}

/// The work behind a large store that was not closed.
#[derive(Debug)]
pub(super) struct Building {
    pub(super) journal_dir: PathBuf,
    pub(super) segments: Arc<Segments>,
    /// Where the frames of the last segment end.
    pub(super) end: u64,
    pub(super) index_root: PathBuf,
    pub(super) sort_at_once: usize,
    pub(super) generation: u64,
}

impl Building {
    /// Builds the index and puts it into use.
    pub(super) fn run(&self, state: &RwLock<State>, progress: &OnProgress, stop: &AtomicBool) {
        let sorting = (self.index_root.as_path(), self.sort_at_once);
        let mut rows = Collector::new(&self.journal_dir, &self.segments, sorting, progress, stop);
        let read = walk(&self.journal_dir, &self.segments, Until::RunningTo(self.end), &[], &mut rows);
        // What went wrong is found again, and said, by whoever comes next to an index that is gone and has it built.
        let built = match read {
            Ok(_) => rows.finish().build(&self.index_root, self.generation, progress, stop),
            Err(_) => Err(IndexFailed),
        };
        let mut state = state.write().unwrap_or_else(PoisonError::into_inner);
        state.generation = self.generation;
        state.index = built.unwrap_or(Index::Gone);
        drop(state);
        progress.tell(Progress::Ready);
    }
}

/// The work behind a large store that was closed: compares the index with what it held then, and sets it aside if it differs.
pub(super) fn check_behind(checker: Checker, state: &RwLock<State>, progress: &OnProgress, stop: &Arc<AtomicBool>) {
    let checked = check(checker, progress, stop);
    if stop.load(Ordering::Relaxed) {
        return;
    }
    let mut state = state.write().unwrap_or_else(PoisonError::into_inner);
    let is_good = match (&mut state.index, checked) {
        (Index::Sled(sled), Ok(())) => sled.reopen().is_ok(),
        _ => false,
    };
    if !is_good {
        std::mem::replace(&mut state.index, Index::Gone).remove();
    }
    drop(state);
    progress.tell(Progress::Ready);
}

/// Compares all of an index with what it held when it was closed.
pub(super) fn check(checker: Checker, progress: &OnProgress, stop: &Arc<AtomicBool>) -> Result<(), IndexFailed> {
    let (progress, stop) = (progress.clone(), Arc::clone(stop));
    let mut next = ROWS_PER_CALL;
    progress.tell(Progress::Checking { done: 0 });
    checker.check_watched(move |done| {
        if done >= next {
            next = done + ROWS_PER_CALL;
            progress.tell(Progress::Checking { done });
        }
        !stop.load(Ordering::Relaxed)
    })
}
