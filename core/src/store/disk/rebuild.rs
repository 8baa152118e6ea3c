//! Building the index anew from the journal, with memory that does not grow with it; and checking one that was closed.
//!
//! One walk through the journal takes down where each row stands, in files sorted by key, and keeps in memory what is asked for
//! first. Then the files are merged into a new generation of the index. The first half must be over before anything is
//! answered; the second goes on behind when the store is large. Must never answer from a half-built index.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::State;
use super::behind::{OnProgress, Progress, ROWS_PER_CALL};
use super::index::{Checker, Early, Index, IndexFailed};
use super::replay::Segments;
use super::sort::{Sorted, Sorter};
use super::walk::{RowChange, Visitor, Wound};
use crate::store::StoreError;

/// Takes down where each row of a journal stands.
pub(super) struct Collector<'a> {
    dir: &'a Path,
    sorter: Sorter,
    early: Early,
    progress: OnProgress,
    sizes: Vec<(u64, u64)>,
    at_once: usize,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        dir: &'a Path,
        segments: &Segments,
        index_root: &Path,
        at_once: usize,
        early: Early,
        progress: &OnProgress,
    ) -> Self {
        // A size that cannot be had is only one for show.
        let sizes = segments.iter().map(|(number, file)| (*number, file.size().unwrap_or(0))).collect();
        let sorter = Sorter::new(index_root, at_once);
        Self { dir, sorter, early, progress: progress.clone(), sizes, at_once }
    }

    pub(super) fn finish(self) -> Collected {
        Collected { sorted: self.sorter.finish(), early: self.early, at_once: self.at_once }
    }
}

impl Visitor for Collector<'_> {
    fn wound(&mut self, wound: Wound) -> Result<(), StoreError> {
        Err(wound.damage(self.dir).into())
    }

    fn frame(&mut self, rows: Vec<RowChange>) -> Result<(), StoreError> {
        for (key, at) in rows {
            self.early.take(&key, at);
            self.sorter.push((key, at));
        }
        Ok(())
    }

    fn begins(&mut self, segment: u64, _first_frame: u64) {
        let bytes = |sizes: &mut dyn Iterator<Item = &(u64, u64)>| sizes.map(|(_, bytes)| bytes).sum();
        let all = bytes(&mut self.sizes.iter());
        let done = bytes(&mut self.sizes.iter().take_while(|(number, _)| *number < segment));
        self.progress.tell(Progress::Reading { done, all });
    }
}

/// All rows of a journal, in order, and those that are asked for first.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) sorted: Sorted,
    pub(super) early: Early,
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

/// The work behind a large store that was not closed: builds the index and puts it into use.
pub(super) fn build_behind(
    collected: &Collected,
    (index_root, generation): (PathBuf, u64),
    state: &RwLock<State>,
    progress: &OnProgress,
    stop: &AtomicBool,
) {
    let built = collected.build(&index_root, generation, progress, stop);
    let mut state = state.write().unwrap_or_else(PoisonError::into_inner);
    state.generation = generation;
    // Whoever comes next to an index that is gone has it built again.
    state.index = built.unwrap_or(Index::Gone);
    drop(state);
    progress.tell(Progress::Ready);
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
