//! Opening a store whose journal is damaged: every whole frame is kept, what is lost is named, and a mark stays.
//!
//! The damaged segments are copied to the folder `damaged`, for a person. The mark (the file `salvaged`) is written, durably.
//! Only then are the segments written anew without the bad bytes; an empty frame stands in for each lost one, so that the
//! journal is whole again and its numbers go on. A crash at any point leaves a store that still refuses to open, or the mark.
//!
//! What comes back is always something that was committed, never other bytes. But rows may be missing, and where a lost
//! frame replaced or deleted a row, what it was before is back: the layers above must begin a new epoch, erase again what
//! they know to be erased, and have peers bring what is missing. They clear the mark when that is done.
//! Must never run by itself: a person, or a program that was told to, decides.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

use super::files::{Files, io_error, read_whole};
use super::frame::{SegmentHeader, StoreId, write_frame};
use super::journal::{FRESH_SUFFIX, write_fresh};
use super::manifest::{Found, Manifest};
use super::open::closed_at;
use super::replay::{Segments, segment_name};
use super::walk::{RowChange, Visitor, Wound, walk};
use super::{Damage, identity};
use crate::store::{StoreError, Table};

/// The folder for copies of damaged segments, in the store's.
pub const DAMAGED_DIR: &str = "damaged";
/// The file with the mark, in the store's folder.
const MARK_FILE: &str = "salvaged";
const MARK_FIRST_LINE: &str = "samenspraak salvaged 1";
/// More would be no mark of ours: some hundred thousand places.
const MARK_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most frames that empty ones stand in for: those of seven segments that hold nothing but the smallest. Whoever lost more
/// has lost the store, and numbers that far apart may be wrong themselves.
const LOST_FRAMES_MAX: u64 = 4_000_000;

/// A stretch of the journal that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Number of the segment it was in; where whole segments are missing, the one that follows them.
    pub segment: u64,
    /// Where it stood in that segment, as it was before: the bytes that belonged to no whole frame. Empty when the bytes
    /// themselves are missing.
    pub bytes: Range<u64>,
    /// The numbers of the frames that are lost; empty when only the segment's header was damaged.
    pub frames: Range<u64>,
    /// What did not fit.
    pub what: String,
    /// The copy of the segment as it was, in the folder [`DAMAGED_DIR`]; empty when there was nothing to copy.
    pub copy: String,
}

/// The mark of a store that was salvaged and not filled up again: rows may be missing, and rows may be older than what was
/// last written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// What was lost, in order of finding.
    pub lost: Vec<Lost>,
    /// Whether the mark itself was damaged, so that more was lost than `lost` says.
    pub is_partial: bool,
}

impl Salvaged {
    /// How many frames were lost, as far as known.
    #[must_use]
    pub fn frames_lost(&self) -> u64 {
        self.lost.iter().map(|lost| lost.frames.end - lost.frames.start).sum()
    }

    fn encode(&self) -> String {
        let mut text = format!("{MARK_FIRST_LINE}\n");
        for Lost { segment, bytes, frames, what, copy } in &self.lost {
            let (copy, what) = (if copy.is_empty() { "-" } else { copy }, what.replace('\n', " "));
            // Writing to a string does not fail.
            let _ =
                writeln!(text, "{segment} {} {} {} {} {copy} {what}", bytes.start, bytes.end, frames.start, frames.end);
        }
        if self.is_partial {
            text.push_str("partial\n");
        }
        let crc = crc32c::crc32c(text.as_bytes());
        let _ = writeln!(text, "{crc:08x}");
        text
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (body, crc) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let body = &text[..=body.len()];
        if u32::from_str_radix(crc, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
            return None;
        }
        let mut salvaged = Self::default();
        let mut lines = body.lines();
        if lines.next()? != MARK_FIRST_LINE {
            return None;
        }
        for line in lines {
            if line == "partial" {
                salvaged.is_partial = true;
                continue;
            }
            let mut parts = line.splitn(7, ' ');
            let mut number = || parts.next()?.parse().ok();
            let (segment, bytes) = (number()?, number()?..number()?);
            let frames = number()?..number()?;
            let copy = parts.next().map(|copy| if copy == "-" { String::new() } else { copy.to_owned() })?;
            salvaged.lost.push(Lost { segment, bytes, frames, what: parts.next()?.to_owned(), copy });
        }
        Some(salvaged)
    }

    /// The mark of the store in `dir`, if it has one. A mark that cannot be read is one.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn read(files: &dyn Files, dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(MARK_FILE);
        let file = match files.open(&path, false) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| io_error(&path, error))?,
        };
        let unreadable = Self { lost: Vec::new(), is_partial: true };
        if file.size().map_err(|error| io_error(&path, error))? > MARK_BYTES_MAX {
            return Ok(Some(unreadable));
        }
        let bytes = read_whole(file.as_ref()).map_err(|error| io_error(&path, error))?;
        Ok(Some(Self::decode(&bytes).unwrap_or(unreadable)))
    }

    fn write(&self, files: &dyn Files, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(MARK_FILE);
        let fresh = dir.join(format!("{MARK_FILE}{FRESH_SUFFIX}"));
        let write = || {
            let file = files.create(&fresh)?;
            file.write_all_at(self.encode().as_bytes(), 0)?;
            file.sync()?;
            files.rename(&fresh, &path)?;
            files.sync_dir(dir)
        };
        write().map_err(|error| io_error(&path, error))
    }

    /// Takes the mark away, durably.
    ///
    /// # Errors
    /// When the system refuses; the mark may then still be there.
    pub(super) fn clear(files: &dyn Files, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(MARK_FILE);
        let removed = match files.remove(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        };
        removed.and_then(|()| files.sync_dir(dir)).map_err(|error| io_error(&path, error))
    }
}

/// Makes the journal in `dir` whole again, if it isn't; the store is locked by the caller. `given` is the store's id where
/// the caller knows it.
///
/// # Errors
/// When the system refuses, or [`StoreError::Damaged`] when not even the store's id can be found or too much is missing. The
/// segments are then as they were.
pub(super) fn mend(
    files: &dyn Files,
    dir: &Path,
    journal_dir: &Path,
    segments: &Segments,
    given: Option<StoreId>,
) -> Result<(), StoreError> {
    let found = Manifest::read(files, dir)?;
    let mut ids: Vec<StoreId> = given.into_iter().chain(identity::read(files, dir)).collect();
    let mut promised_frames = 0;
    if let Found::Manifest(manifest) = &found {
        ids.push(manifest.store_id);
        promised_frames = manifest.next_frame;
    }
    let mut finder = Finder::default();
    let walked = walk(journal_dir, segments, closed_at(&found), &ids, &mut finder)?;
    let next_frame = walked.next_frame.max(promised_frames);
    finder.end_at(walked.next_frame..next_frame);
    if finder.lost.is_empty() {
        return Ok(());
    }
    let refuse = |what: String| Damage { place: journal_dir.display().to_string(), what }.into();
    let Some(store_id) = walked.store_id.or(ids.first().copied()) else {
        return Err(refuse("no segment can be read and the store's id is not known".into()));
    };
    let frames: u64 = finder.lost.iter().map(|lost| lost.frames.end - lost.frames.start).sum();
    if frames > LOST_FRAMES_MAX {
        return Err(refuse(format!("{frames} frames are missing; more than can be stood in for")));
    }

    set_aside(files, dir, segments, &mut finder)?;
    let mut mark = Salvaged::read(files, dir)?.unwrap_or_default();
    mark.lost.append(&mut finder.lost);
    mark.write(files, dir)?;
    Manifest::remove(files, dir)?;
    for (segment, shape) in &finder.wounded {
        let bytes = match segments.get(segment) {
            Some(file) => read_whole(file.as_ref()).map_err(|error| io_error(journal_dir, error))?,
            None => Vec::new(),
        };
        let content = shape.rewrite(&store_id, *segment, &bytes);
        write_fresh(files, journal_dir, *segment, &content)?.put_in_place(files, journal_dir)?;
    }
    files.sync_dir(journal_dir).map_err(|error| io_error(journal_dir, error))
}

/// Copies the wounded segments, durably, and says in what is lost where the copies are.
fn set_aside(files: &dyn Files, dir: &Path, segments: &Segments, finder: &mut Finder) -> Result<(), StoreError> {
    let damaged = dir.join(DAMAGED_DIR);
    files.create_dir_all(&damaged).map_err(|error| io_error(&damaged, error))?;
    let taken = files.list(&damaged).map_err(|error| io_error(&damaged, error))?;
    for segment in finder.wounded.keys() {
        let Some(file) = segments.get(segment) else { continue };
        let name = (1..).map(|count: u64| format!("{}.{count}", segment_name(*segment)));
        let name = name.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
        let path = damaged.join(&name);
        let copy = || {
            let bytes = read_whole(file.as_ref())?;
            let copy = files.create(&path)?;
            copy.write_all_at(&bytes, 0)?;
            copy.sync()
        };
        copy().map_err(|error| {
            // Half a copy is of no use to anybody.
            let _ = files.remove(&path);
            io_error(&path, error)
        })?;
        finder.lost.iter_mut().filter(|lost| lost.segment == *segment).for_each(|lost| lost.copy.clone_from(&name));
    }
    let sync = files.sync_dir(&damaged).and_then(|()| files.sync_dir(dir));
    sync.map_err(|error| io_error(&damaged, error))
}

/// What a segment holds that is worth keeping.
#[derive(Debug, Default)]
struct Shape {
    /// Number of the frame that must come first in it.
    first_frame: u64,
    /// The whole frames: where they stand, and their numbers.
    kept: Vec<(Range<usize>, u64)>,
    /// Up to which number frames stand in for lost ones at its end.
    until: u64,
}

impl Shape {
    /// The segment without what is bad, from its old bytes.
    fn rewrite(&self, store_id: &StoreId, segment: u64, bytes: &[u8]) -> Vec<u8> {
        let header = SegmentHeader { store_id: *store_id, segment, first_frame: self.first_frame };
        let mut content = header.encode().to_vec();
        let mut next = self.first_frame;
        let stand_in = |next: &mut u64, until: u64, content: &mut Vec<u8>| {
            while *next < until {
                // A flush of its own: all before it is durable.
                write_frame(store_id, *next, *next, 0, &[], content);
                *next += 1;
            }
        };
        for (place, number) in &self.kept {
            stand_in(&mut next, *number, &mut content);
            content.extend_from_slice(bytes.get(place.clone()).unwrap_or_default());
            next = number + 1;
        }
        stand_in(&mut next, self.until, &mut content);
        content
    }
}

/// Finds what is lost and what is whole.
#[derive(Debug, Default)]
struct Finder {
    lost: Vec<Lost>,
    wounded: BTreeMap<u64, Shape>,
    /// The segment that was begun last.
    segment: u64,
    shape: Shape,
    is_wounded: bool,
}

impl Finder {
    /// Puts the segment that was read last aside, if it is wounded.
    fn settle(&mut self) {
        let shape = std::mem::take(&mut self.shape);
        if std::mem::take(&mut self.is_wounded) {
            self.wounded.insert(self.segment, shape);
        }
    }

    /// The walk is over: these frames are missing at the end.
    fn end_at(&mut self, missing: Range<u64>) {
        self.shape.until = missing.end;
        if !missing.is_empty() {
            self.segment = self.segment.max(1);
            self.is_wounded = true;
            self.note(self.segment, 0..0, missing, "frames are missing".into());
        }
        self.settle();
    }

    /// Adds a loss, or says more exactly what the last one was: which frames stood there is known only when the next one is
    /// found.
    fn note(&mut self, segment: u64, bytes: Range<u64>, frames: Range<u64>, what: String) {
        match self.lost.last_mut() {
            Some(last) if bytes.is_empty() && last.frames.is_empty() && last.frames.start == frames.start => {
                last.frames = frames;
            }
            _ => self.lost.push(Lost { segment, bytes, frames, what, copy: String::new() }),
        }
    }
}

impl Visitor for Finder {
    fn wound(&mut self, wound: Wound) -> Result<(), StoreError> {
        self.is_wounded |= wound.segment == self.segment;
        self.note(wound.segment, wound.bytes, wound.frames, wound.what);
        Ok(())
    }

    fn frame(&mut self, _rows: Vec<RowChange>) -> Result<(), StoreError> {
        Ok(())
    }

    fn wants(&self, _table: Table, _key: &[u8]) -> bool {
        false
    }

    fn begins(&mut self, segment: u64, first_frame: u64) {
        self.shape.until = first_frame;
        self.settle();
        // Segments that are missing are made anew, empty; the next one begins with what stands in for their frames.
        for missing in self.segment + 1..segment {
            self.wounded.insert(missing, Shape { first_frame, ..Shape::default() });
        }
        self.segment = segment;
        self.shape.first_frame = first_frame;
    }

    fn place(&mut self, bytes: Range<usize>, number: u64) {
        self.shape.kept.push((bytes, number));
    }
}
