//! Taking the bytes of deleted and replaced values out of the journal, and old pages out of the index.
//!
//! A segment that holds such values is written anew without them, beside the old one, flushed, and renamed over it. Frames keep
//! their numbers. Deletions go too: their keys can be hashes of what was deleted. That is safe in order only: when a segment
//! loses its deletions, all segments before it have lost what they deleted, durably. Which values live is read from the journal,
//! never asked of sled. At the end a new generation of the index takes over, for sled's pages keep old keys.
//!
//! Commits go on: reading, writing and flushing are done beside them. They wait while a finished segment is put in its place (a
//! rename, a flush of the folder, and the new places of its rows, some 0.2 s for the fullest), while the last segment, which
//! grows meanwhile, is written (16 MiB at most), and while what came since is put into the new index.
//!
//! Must never drop a live value: a crash or an error at any point leaves every segment whole, old or new, and all replay to
//! the same rows. Limit: it reads the whole journal, however little was erased.

use std::sync::{Arc, PoisonError};

use super::files::{io_error, read_to, read_whole};
use super::frame::{FrameView, HEADER_BYTES, Location, OpView, StoreId, index_key, write_frame};
use super::index::Index;
use super::journal::{FRESH_SUFFIX, IndexChange, Journal, write_fresh};
use super::replay::{Damage, Live, Reading, Segments, Until, replay};
use super::{DiskStore, State};
use crate::store::StoreError;

/// A place in a journal: a segment and a byte in it.
type Position = (u64, u64);

/// A live row whose segment was written anew: its key, where it was, where it is.
type Moved = (Vec<u8>, Location, Location);

/// New content and the rows that moved with it, or `None` when nothing was dead.
type Rewritten = Option<(Vec<u8>, Vec<Moved>)>;

impl DiskStore {
    /// See the module.
    pub(super) fn scrub_all(&self) -> Result<(), StoreError> {
        let _one = self.scrubbing.lock().unwrap_or_else(PoisonError::into_inner);
        let (segments, seen) = {
            let journal = self.journal();
            if journal.is_stopped() {
                return Err(self.closed());
            }
            (journal.segments.clone(), journal.position())
        };
        let dir = super::open::journal_dir(&self.dir);
        let read = replay(&dir, &segments, Until::RunningTo(seen.1), Reading::Strict)?;
        let sync_dir = || self.files.sync_dir(&dir).map_err(|error| io_error(&dir, error));
        // An earlier call may have failed just before this, or left a file behind that it could not remove.
        for name in self.files.list(&dir).map_err(|error| io_error(&dir, error))? {
            if name.ends_with(FRESH_SUFFIX) {
                let path = dir.join(name);
                self.files.remove(&path).map_err(|error| io_error(&path, error))?;
            }
        }
        sync_dir()?;
        if read.dead_values + read.deletions == 0 {
            return Ok(());
        }
        let mut live = read.live;
        for (segment, file) in segments.range(..seen.0) {
            let bytes = read_whole(file.as_ref()).map_err(|error| io_error(&dir, error))?;
            let Some((content, moved)) = self.without_dead(*segment, &bytes, &live, bytes.len())? else { continue };
            let fresh = write_fresh(self.files.as_ref(), &dir, *segment, &content)?;
            let mut journal = self.journal();
            if journal.is_stopped() {
                fresh.discard(self.files.as_ref());
                return Err(self.closed());
            }
            let mut state = self.state_mut();
            journal.adopt(fresh)?;
            self.take_moved(&journal, &mut state, &moved);
            live.extend(moved.into_iter().map(|(key, _, at)| (key, at)));
            sync_dir()?;
        }
        let seen = self.scrub_last(&mut live, seen)?;
        self.renew_index(live, seen)
    }

    /// Writes the segment that was the last one when the scrub began; returns up to where `live` is right then.
    fn scrub_last(&self, live: &mut Live, seen: Position) -> Result<Position, StoreError> {
        let mut journal = self.journal();
        if journal.is_stopped() {
            return Err(self.closed());
        }
        let changes = changes_since(&journal, seen)?;
        apply(live, changes);
        let (segment, until) = (seen.0, usize::try_from(seen.1).unwrap_or(usize::MAX));
        if let Some(file) = journal.segments.get(&segment) {
            let is_last = journal.position().0 == segment;
            let bytes = if is_last { read_to(file.as_ref(), journal.end) } else { read_whole(file.as_ref()) };
            let bytes = bytes.map_err(|error| io_error(&journal.path(segment), error))?;
            // What was deleted since then may have its value in a segment that is done.
            if let Some((content, moved)) = self.without_dead(segment, &bytes, live, until)? {
                let mut state = self.state_mut();
                journal.replace(segment, &content)?;
                self.take_moved(&journal, &mut state, &moved);
                drop(state);
                live.extend(moved.into_iter().map(|(key, _, at)| (key, at)));
                self.files.sync_dir(&journal.dir).map_err(|error| io_error(&journal.dir, error))?;
            }
        }
        Ok(journal.position())
    }

    /// Builds the next generation of the index, beside the one in use, and puts it in its place.
    fn renew_index(&self, live: Live, seen: Position) -> Result<(), StoreError> {
        let (generation, index) = self.build(live);
        let journal = self.journal();
        let changes = if journal.is_stopped() { Err(self.closed()) } else { changes_since(&journal, seen) };
        let mut index = index;
        let caught_up = match changes {
            Ok(changes) => Ok(index.apply(&changes)),
            Err(error) => Err(error),
        };
        match caught_up {
            Ok(Ok(())) => {
                Self::install(&journal, &mut self.state_mut(), generation, index);
                Ok(())
            }
            Ok(Err(_)) => {
                index.remove();
                self.rebuild(&journal, &mut self.state_mut())
            }
            Err(error) => {
                index.remove();
                Err(error)
            }
        }
    }

    /// Tells the index in use where rows are now, unless they were written anew meanwhile.
    fn take_moved(&self, journal: &Journal, state: &mut State, moved: &[Moved]) {
        state.segments = Arc::new(journal.segments.clone());
        let stands = |index: &Index, key: &[u8], old: &Location| Ok(index.get(key)? == Some(*old));
        let mut changes = Vec::with_capacity(moved.len());
        for (key, old, new) in moved {
            match stands(&state.index, key, old) {
                Ok(true) => changes.push((key.clone(), Some(*new))),
                Ok(false) => {}
                Err(failed) => return self.index_failed(journal, state, failed),
            }
        }
        self.apply_or_rebuild(journal, state, &changes);
    }

    /// The segment without dead values, and without deletions in front of byte `until`; `None` when nothing in it is dead.
    fn without_dead(&self, segment: u64, bytes: &[u8], live: &Live, until: usize) -> Result<Rewritten, StoreError> {
        without_dead(&self.store_id, segment, bytes, live, until).map_err(|(offset, what)| {
            let path = super::open::journal_dir(&self.dir).join(super::segment_name(segment));
            Damage { place: format!("{} at byte {offset}", path.display()), what: what.into() }.into()
        })
    }
}

fn apply(live: &mut Live, changes: Vec<IndexChange>) {
    for (key, at) in changes {
        match at {
            Some(at) => live.insert(key, at),
            None => live.remove(&key),
        };
    }
}

/// What was committed behind a place in the journal.
fn changes_since(journal: &Journal, seen: Position) -> Result<Vec<IndexChange>, StoreError> {
    let segments: &Segments = &journal.segments;
    let (last, end) = journal.position();
    let mut changes = Vec::new();
    for (segment, file) in segments.range(seen.0..) {
        let path = journal.path(*segment);
        let bytes = if *segment == last { read_to(file.as_ref(), end) } else { read_whole(file.as_ref()) };
        let bytes = bytes.map_err(|error| io_error(&path, error))?;
        let mut offset = HEADER_BYTES;
        if *segment == seen.0 {
            offset = usize::try_from(seen.1).unwrap_or(usize::MAX).max(HEADER_BYTES);
        }
        while offset < bytes.len() {
            let frame = FrameView::decode(&journal.store_id, &bytes, offset);
            let read = frame.and_then(|frame| {
                let mut each = |op: OpView<'_>, at| changes.push((index_key(op.table, op.key), op.value.map(|_| at)));
                frame.each_op(&journal.store_id, *segment, &mut each)?;
                Ok(frame.end)
            });
            offset = read.map_err(|what| {
                let place = format!("{} at byte {offset}", path.display());
                StoreError::from(Damage { place, what: what.into() })
            })?;
        }
    }
    Ok(changes)
}

fn without_dead(
    store_id: &StoreId,
    segment: u64,
    bytes: &[u8],
    live: &Live,
    until: usize,
) -> Result<Rewritten, (usize, &'static str)> {
    let mut content = bytes.get(..HEADER_BYTES).ok_or((0, "segment header is incomplete"))?.to_vec();
    let mut moved = Vec::new();
    let mut dead = false;
    let mut offset = HEADER_BYTES;
    while offset < bytes.len() {
        let frame = FrameView::decode(store_id, bytes, offset).map_err(|fault| (offset, fault))?;
        let mut ops = Vec::new();
        let mut count = 0;
        let mut kept = Vec::new();
        let each = |op: OpView<'_>, at: Location| {
            let key = index_key(op.table, op.key);
            let goes = match op.value {
                Some(_) => live.get(&key) != Some(&at),
                None => offset < until,
            };
            if goes {
                dead = true;
                return;
            }
            if op.value.is_some() {
                kept.push((key, ops.len(), at));
            }
            count += 1;
            ops.extend_from_slice(op.bytes);
        };
        frame.each_op(store_id, segment, each).map_err(|fault| (offset, fault))?;
        let ops_start = write_frame(store_id, frame.number, frame.group, count, &ops, &mut content);
        for (key, start, at) in kept {
            // Nothing moves backwards in a file that only shrinks, so it still fits.
            let offset =
                u32::try_from(ops_start + start).map_err(|_| (offset, "row is beyond the limits of a segment"))?;
            moved.push((key, at, Location { offset, ..at }));
        }
        offset = frame.end;
    }
    Ok(dead.then_some((content, moved)))
}
