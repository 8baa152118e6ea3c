//! The journal's writing end: frames go behind the last one, flushed before anyone is told; segments are rotated at a limit.
//!
//! Must never write to a file after a flush of it failed, never leave a part of a frame between whole ones, and never
//! start a segment before the one before it is durable. Used under one lock by the leader of a group of commits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Files, StoreFile, io_error, read_whole};
use super::frame::{EncodedBatch, HEADER_BYTES, Location, SegmentHeader, StoreId};
use super::replay::{Segments, Tail, segment_name};
use crate::store::StoreError;

/// Suffix of a file that is being written and not yet part of the store.
pub(super) const FRESH_SUFFIX: &str = ".tmp";

/// Whatever a caller asks for, a segment takes no more frames from here on, 1 GiB: offsets stay within 32 bits.
const SEGMENT_BYTES_CAP: u64 = 1 << 30;

/// The writing end of a journal.
#[derive(Debug)]
pub struct Journal {
    pub(super) files: Arc<dyn Files>,
    pub(super) dir: PathBuf,
    /// The store's id.
    pub store_id: StoreId,
    segment_bytes_max: u64,
    /// All segments; frames go behind the last.
    pub segments: Segments,
    /// Where the last segment's frames end.
    pub(super) end: u64,
    /// Number of the next frame.
    pub next_frame: u64,
    stopped: bool,
}

/// A segment's new content, written and flushed beside the old one.
#[derive(Debug)]
pub struct Fresh {
    segment: u64,
    path: PathBuf,
    file: Arc<dyn StoreFile>,
    bytes: u64,
}

impl Fresh {
    /// Renames it over the segment in `dir`, or takes it away again.
    ///
    /// # Errors
    /// When the system refuses; the segment is then unchanged.
    pub fn put_in_place(&self, files: &dyn Files, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(segment_name(self.segment));
        files.rename(&self.path, &path).map_err(|error| {
            // What cannot be removed now is removed at the next opening.
            let _ = files.remove(&self.path);
            io_error(&path, error)
        })
    }

    /// Takes it away again: it isn't wanted any more.
    pub fn discard(self, files: &dyn Files) {
        // What cannot be removed now is removed at the next opening.
        let _ = files.remove(&self.path);
    }
}

/// The writing half of [`Journal::replace`], which touches nothing that is in use.
///
/// # Errors
/// When the system refuses.
pub fn write_fresh(files: &dyn Files, dir: &Path, segment: u64, content: &[u8]) -> Result<Fresh, StoreError> {
    let path = dir.join(format!("{}{FRESH_SUFFIX}", segment_name(segment)));
    let write = || {
        let file = files.create(&path)?;
        file.write_all_at(content, 0)?;
        file.sync()?;
        Ok(file)
    };
    match write() {
        Ok(file) => Ok(Fresh { segment, path, file, bytes: content.len() as u64 }),
        Err(error) => {
            // What cannot be removed now is removed at the next opening.
            let _ = files.remove(&path);
            Err(io_error(&dir.join(segment_name(segment)), error))
        }
    }
}

/// What a commit does to the index: a key, and the new place of its row or `None`.
pub type IndexChange = (Vec<u8>, Option<Location>);

impl Journal {
    /// A journal whose segments were read; `end` is where the last one's whole frames end.
    pub fn new(
        files: Arc<dyn Files>,
        dir: PathBuf,
        store_id: StoreId,
        segment_bytes_max: u64,
        (segments, end, next_frame): (Segments, u64, u64),
    ) -> Self {
        let segment_bytes_max = segment_bytes_max.min(SEGMENT_BYTES_CAP);
        Self { files, dir, store_id, segment_bytes_max, segments, end, next_frame, stopped: false }
    }

    /// The path of a segment.
    pub fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(segment_name(segment))
    }

    /// Where the next frame goes: the last segment, and where its frames end.
    pub fn position(&self) -> (u64, u64) {
        (self.segments.last_key_value().map_or(0, |(last, _)| *last), self.end)
    }

    /// The error after which nothing can be written.
    pub fn closed(&self) -> StoreError {
        StoreError::Closed { place: self.dir.display().to_string() }
    }

    /// Whether writing has stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Nothing more is written.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    fn stop_with(&mut self, path: &Path, error: std::io::Error) -> StoreError {
        self.stopped = true;
        io_error(path, error)
    }

    /// After a stop that was not clean: makes sure that what was read of the last segment is durable, and cuts a torn tail.
    ///
    /// The bytes may be in the system's cache only, and an earlier flush of them may have failed; so they are written to a
    /// new file, and that is flushed. Returns how many torn bytes are gone.
    ///
    /// # Errors
    /// When the system refuses; what was there is still there.
    pub fn settle(&mut self, tail: Tail) -> Result<u64, StoreError> {
        let mut cut = 0;
        if let Tail::Unborn { segment, bytes } = tail {
            let path = self.path(segment);
            self.segments.remove(&segment);
            self.files.remove(&path).and_then(|()| self.files.sync_dir(&self.dir)).map_err(|e| io_error(&path, e))?;
            cut = bytes;
        }
        let Some((last, file)) = self.segments.last_key_value().map(|(last, file)| (*last, Arc::clone(file))) else {
            return Ok(cut);
        };
        let path = self.path(last);
        if let Tail::Torn { bytes } = tail {
            cut = bytes;
        }
        let mut whole = read_whole(file.as_ref()).map_err(|error| io_error(&path, error))?;
        whole.truncate(usize::try_from(self.end).unwrap_or(usize::MAX));
        match self.replace(last, &whole) {
            Ok(()) => {}
            // A full disk must not keep a resident from reading: without room for a copy the file itself is flushed.
            Err(StoreError::Full { .. }) => {
                let in_place = file.truncate(self.end).and_then(|()| file.sync());
                in_place.map_err(|error| io_error(&path, error))?;
            }
            Err(error) => return Err(error),
        }
        self.files.sync_dir(&self.dir).map_err(|error| io_error(&self.dir, error))?;
        Ok(cut)
    }

    /// Gives a segment new content: written beside it, flushed, renamed over it. The name is durable only after the
    /// folder is flushed; until then the disk holds either the old content or the new.
    ///
    /// # Errors
    /// When the system refuses; the segment is then unchanged.
    pub fn replace(&mut self, segment: u64, content: &[u8]) -> Result<(), StoreError> {
        let fresh = write_fresh(self.files.as_ref(), &self.dir, segment, content)?;
        self.adopt(fresh)
    }

    /// The renaming half of [`Journal::replace`].
    ///
    /// # Errors
    /// As there.
    pub fn adopt(&mut self, fresh: Fresh) -> Result<(), StoreError> {
        fresh.put_in_place(self.files.as_ref(), &self.dir)?;
        if self.segments.last_key_value().is_some_and(|(last, _)| *last == fresh.segment) {
            self.end = fresh.bytes;
        }
        self.segments.insert(fresh.segment, fresh.file);
        Ok(())
    }

    /// Writes and flushes the batches, each as one frame. When this returns `Ok` all are durable; on an error none counts.
    ///
    /// # Errors
    /// [`StoreError::Full`] leaves the journal as it was; after a failed flush it is stopped.
    pub fn append(&mut self, batches: &[&EncodedBatch]) -> Result<Vec<IndexChange>, StoreError> {
        if self.stopped {
            return Err(self.closed());
        }
        let (segment, file) = self.writable()?;
        let path = self.path(segment);
        let mut bytes = Vec::with_capacity(batches.iter().map(|batch| batch.frame_bytes()).sum());
        let mut changes = Vec::new();
        let group = self.next_frame;
        for (number, batch) in (group..).zip(batches) {
            let ops_start = batch.write_frame(&self.store_id, number, group, &mut bytes);
            for step in &batch.steps {
                let at = match step.op {
                    Some((start, length, crc)) => {
                        // Segments end long before 32 bits do: the limit of a segment, a group and a payload together.
                        let offset = u32::try_from(self.end + (ops_start + start) as u64);
                        let offset = offset.map_err(|_| self.closed())?;
                        Some(Location { segment, offset, length, crc })
                    }
                    None => None,
                };
                changes.push((step.index_key.clone(), at));
            }
        }
        if let Err(error) = file.write_all_at(&bytes, self.end) {
            // Cut the part back; nothing was flushed, so writing there again is allowed.
            if file.truncate(self.end).is_err() {
                self.stopped = true;
            }
            return Err(io_error(&path, error));
        }
        if let Err(error) = file.sync() {
            return Err(self.stop_with(&path, error));
        }
        self.end += bytes.len() as u64;
        self.next_frame += batches.len() as u64;
        Ok(changes)
    }

    /// The segment to write to; a new one when there is none or it has reached its limit.
    fn writable(&mut self) -> Result<(u64, Arc<dyn StoreFile>), StoreError> {
        let mut segment = 1;
        if let Some((last, file)) = self.segments.last_key_value() {
            if self.end < self.segment_bytes_max {
                return Ok((*last, Arc::clone(file)));
            }
            segment = last.checked_add(1).ok_or_else(|| self.closed())?;
        }
        let path = self.path(segment);
        let files = Arc::clone(&self.files);
        let file = files.create(&path).map_err(|error| io_error(&path, error))?;
        let header = SegmentHeader { store_id: self.store_id, segment, first_frame: self.next_frame };
        if let Err(error) = file.write_all_at(&header.encode(), 0) {
            // Without this the name would stand in the way of nothing: it is made anew, or removed at the next opening.
            let _ = files.remove(&path);
            return Err(io_error(&path, error));
        }
        // The header is durable before any frame: so a bad header in front of frames is damage, never a torn tail.
        if let Err(error) = file.sync().and_then(|()| files.sync_dir(&self.dir)) {
            return Err(self.stop_with(&path, error));
        }
        self.segments.insert(segment, Arc::clone(&file));
        self.end = HEADER_BYTES as u64;
        Ok((segment, file))
    }
}
