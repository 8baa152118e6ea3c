//! `erased.log`: what was erased in a wijk, kept outside its stores, so that an old copy of a store that is put back doesn't
//! bring back what people took away.
//!
//! ```text
//! samenspraak-erased 1 WIJK
//! RECORD CHECK
//! …
//! ```
//! One line per erased subject, both parts in hexadecimal: which space, subject, kind and device (ids, no words and no secret),
//! and 8 bytes of a hash over the wijk, the line's number and the record. Lines are only ever added, and flushed. A last line
//! that is not whole is what a power cut leaves: it is cut off, and the store, which was flushed first, still knows it.
//! Anything else that does not fit is damage, and then nothing is served: it could be somebody's erasure.
//!
//! Keep a copy of this file apart from copies of the folder, newer than they are: an old folder put back with its old
//! `erased.log` knows no better. Not here: erasing again, which is the core's.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use samenspraak_core::hash::tagged;
use samenspraak_core::model::{SpaceId, SubjectId, WijkId};
use samenspraak_core::store::erased::Erasure;

use crate::error::ProgramError;
use crate::folder::{hex, write_whole};

/// Its name in a wijk's folder.
pub const NAME: &str = "erased.log";
/// How its first line begins, with the version.
const FIRST: &str = "samenspraak-erased 1 ";

/// See the module.
#[derive(Debug)]
pub struct ErasedLog {
    wijk: WijkId,
    path: PathBuf,
    file: File,
    bytes: u64,
    lines: u64,
    erasures: Vec<Erasure>,
    known: BTreeSet<(SpaceId, SubjectId)>,
}

/// What a whole reading found.
struct Read {
    erasures: Vec<Erasure>,
    /// Where the last whole line ends.
    end: usize,
}

fn check(wijk: WijkId, number: u64, record: &[u8]) -> String {
    let hash = tagged("samenspraak/erased-log/v1", 3, |w| {
        w.bytes(wijk.as_bytes()).uint(number).bytes(record);
    });
    hex(&hash[..8])
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()).collect()
}

fn parse_line(wijk: WijkId, number: u64, line: &str) -> Option<Erasure> {
    let (record, given) = line.split_once(' ')?;
    let record = unhex(record)?;
    if check(wijk, number, &record) != given {
        return None;
    }
    Erasure::decode(&record).ok()
}

fn parse(path: &Path, wijk: WijkId, bytes: &[u8]) -> Result<Read, ProgramError> {
    let wrong = |what: String| ProgramError::File { path: path.to_owned(), what };
    let first = format!("{FIRST}{wijk}\n");
    if !bytes.starts_with(first.as_bytes()) {
        return Err(wrong("it is no list of what was erased in this wijk".into()));
    }
    let mut read = Read { erasures: Vec::new(), end: first.len() };
    while let Some(length) = bytes[read.end..].iter().position(|byte| *byte == b'\n') {
        let number = read.erasures.len() as u64;
        let line = std::str::from_utf8(&bytes[read.end..read.end + length]).ok();
        match line.and_then(|line| parse_line(wijk, number, line)) {
            Some(erasure) => read.erasures.push(erasure),
            None => return Err(wrong(format!("line {} is damaged", number + 2))),
        }
        read.end += length + 1;
    }
    Ok(read)
}

fn place_error(path: &Path, source: io::Error) -> ProgramError {
    crate::folder::io_error(path, source)
}

impl ErasedLog {
    /// Opens the list in a wijk's folder to add to it, and makes it where there is none. Also says whether it was made now.
    ///
    /// # Errors
    /// When it is damaged, of another wijk, or can't be written.
    pub fn open(folder: &Path, wijk: WijkId) -> Result<(Self, bool), ProgramError> {
        let path = folder.join(NAME);
        let is_new = !path.exists();
        if is_new {
            let first = format!("{FIRST}{wijk}\n");
            write_whole(&path, first.as_bytes(), true).map_err(|source| place_error(&path, source))?;
        }
        let bytes = fs::read(&path).map_err(|source| place_error(&path, source))?;
        let read = parse(&path, wijk, &bytes)?;
        let open = || {
            let file = OpenOptions::new().append(true).open(&path)?;
            if read.end < bytes.len() {
                file.set_len(read.end as u64)?;
                file.sync_all()?;
            }
            Ok(file)
        };
        let file = open().map_err(|source| place_error(&path, source))?;
        if read.end < bytes.len() {
            tracing::warn!(path = %path.display(), "cut back an unfinished line at the end");
        }
        let known = read.erasures.iter().map(|erasure| (erasure.space, erasure.subject)).collect();
        let lines = read.erasures.len() as u64;
        let erasures = read.erasures;
        Ok((Self { wijk, path, file, bytes: read.end as u64, lines, erasures, known }, is_new))
    }

    /// What the list of a wijk's folder says, changing nothing; nothing where there is none. Somebody else may be adding to it.
    ///
    /// # Errors
    /// When it is damaged, of another wijk, or can't be read.
    pub fn read(folder: &Path, wijk: WijkId) -> Result<Vec<Erasure>, ProgramError> {
        let path = folder.join(NAME);
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            bytes => Ok(parse(&path, wijk, &bytes.map_err(|source| place_error(&path, source))?)?.erasures),
        }
    }

    /// Whether these bytes are the whole list of a wijk.
    ///
    /// # Errors
    /// When they are damaged, or another wijk's.
    pub fn check(path: &Path, wijk: WijkId, bytes: &[u8]) -> Result<(), ProgramError> {
        parse(path, wijk, bytes).map(|_| ())
    }

    /// What was in it when it was opened, and what was added since.
    #[must_use]
    pub fn erasures(&self) -> &[Erasure] {
        &self.erasures
    }

    /// Adds those it doesn't have, and flushes. Returns how many there were.
    ///
    /// # Errors
    /// When they can't be made durable; none of them counts then.
    pub fn add(&mut self, erasures: &[Erasure]) -> Result<usize, ProgramError> {
        let fresh: BTreeSet<Erasure> =
            erasures.iter().filter(|one| !self.known.contains(&(one.space, one.subject))).copied().collect();
        if fresh.is_empty() {
            return Ok(0);
        }
        let mut text = String::new();
        for (number, erasure) in (self.lines..).zip(&fresh) {
            let record = erasure.encode();
            text += &format!("{} {}\n", hex(&record), check(self.wijk, number, &record));
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
        if let Err(source) = written {
            // A part of it must not stand between whole lines.
            let _ = self.file.set_len(self.bytes);
            return Err(place_error(&self.path, source));
        }
        self.bytes += text.len() as u64;
        self.lines += fresh.len() as u64;
        self.known.extend(fresh.iter().map(|one| (one.space, one.subject)));
        self.erasures.extend(fresh.iter());
        Ok(fresh.len())
    }
}

#[cfg(test)]
mod tests {
    use samenspraak_core::entry::Kind;
    use samenspraak_core::model::DeviceId;

    use super::*;

    const WIJK: WijkId = WijkId::new([3; 32]);

    fn erasure(byte: u8) -> Erasure {
        let (subject, device) = (SubjectId::new([byte; 16]), DeviceId::new([byte; 32]));
        Erasure { space: SpaceId::Open, subject, kind: Kind::CONTRIBUTION, device }
    }

    #[test]
    fn what_was_added_is_there_once_after_every_opening() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(ErasedLog::read(root.path(), WIJK).unwrap(), Vec::new());
        for (round, is_new) in [(1, true), (2, false), (3, false)] {
            let (mut log, made) = ErasedLog::open(root.path(), WIJK).unwrap();
            assert_eq!(made, is_new);
            assert_eq!(log.add(&[erasure(1), erasure(round), erasure(round)]).unwrap(), 1);
            assert_eq!(log.add(&[erasure(1), erasure(round)]).unwrap(), 0);
            let expected: Vec<Erasure> = (1..=round).map(erasure).collect();
            assert_eq!(log.erasures(), expected);
            assert_eq!(ErasedLog::read(root.path(), WIJK).unwrap(), expected);
        }
        assert!(ErasedLog::open(root.path(), WijkId::new([4; 32])).is_err(), "another wijk's");
    }

    #[test]
    fn a_line_torn_at_any_byte_is_cut_off_and_lines_added_after_it_are_whole() {
        let root = tempfile::tempdir().unwrap();
        let (mut log, _) = ErasedLog::open(root.path(), WIJK).unwrap();
        log.add(&[erasure(1)]).unwrap();
        let path = root.path().join(NAME);
        let before = fs::read(&path).unwrap().len();
        log.add(&[erasure(2)]).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in before..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(ErasedLog::read(root.path(), WIJK).unwrap(), [erasure(1)], "cut at {cut}");
            let (mut log, _) = ErasedLog::open(root.path(), WIJK).unwrap();
            log.add(&[erasure(3)]).unwrap();
            assert_eq!(ErasedLog::read(root.path(), WIJK).unwrap(), [erasure(1), erasure(3)], "cut at {cut}");
        }
    }

    #[test]
    fn damage_is_never_taken_for_a_shorter_list() {
        let root = tempfile::tempdir().unwrap();
        let (mut log, _) = ErasedLog::open(root.path(), WIJK).unwrap();
        log.add(&[erasure(1)]).unwrap();
        log.add(&[erasure(2)]).unwrap();
        let path = root.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            match ErasedLog::read(root.path(), WIJK) {
                Err(error) => assert!(matches!(error, ProgramError::File { .. }), "{error:?}"),
                // The very last byte ends the last line; without it the line looks torn. The store knows it still.
                Ok(found) if bit / 8 == whole.len() - 1 => assert_eq!(found, [erasure(1)]),
                // A digit in capitals.
                Ok(found) => assert_eq!(found, [erasure(1), erasure(2)], "bit {bit}"),
            }
        }
        // Two lines that changed places.
        let text = String::from_utf8(whole).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        fs::write(&path, [lines[0], lines[2], lines[1], ""].join("\n")).unwrap();
        assert!(ErasedLog::read(root.path(), WIJK).is_err());
    }
}
