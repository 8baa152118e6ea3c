//! Rows as they come out of the journal, brought into the order of their keys with bounded memory.
//!
//! What comes is kept until it is much, sorted and written to a file beside the index; in the end the files are merged, and of
//! each key the newest place stays. The files hold keys and places, no values, and are gone when this is dropped. When they
//! cannot be written (on a full disk) everything is kept in memory. Must never give out a file's bytes that are not those written.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::frame::Location;
use super::walk::RowChange;

/// So many changes are sorted at once: some 10 MiB. A store with fewer needs no file.
pub const AT_ONCE_MAX: usize = 64 * 1024;
/// How much of each file is read and written at once; a hundred files are merged for 6,000,000 rows.
const BUFFER_BYTES: usize = 32 * 1024;
const PREFIX: &str = "sort-";

/// Changes, on their way into order.
#[derive(Debug)]
pub struct Sorter {
    root: PathBuf,
    at_once: usize,
    /// Not sorted yet, in the order in which they came.
    fresh: Vec<RowChange>,
    runs: Vec<Run>,
    /// Files cannot be written; what comes stays here.
    keeps: bool,
}

/// A file of changes in order, each key once. Removed when dropped.
#[derive(Debug)]
struct Run {
    path: PathBuf,
    crc: u32,
}

impl Drop for Run {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next opening.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what an earlier life left behind.
pub fn remove_leftovers(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Brings changes into order; of each key the last one stays.
fn order(changes: &mut Vec<RowChange>) {
    // Stable: the last of equal keys is the newest.
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    changes.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
}

impl Sorter {
    /// Sorts so many changes at once, with files in `root`.
    pub fn new(root: &Path, at_once: usize) -> Self {
        Self { root: root.to_path_buf(), at_once: at_once.max(1), fresh: Vec::new(), runs: Vec::new(), keeps: false }
    }

    /// Takes the next change.
    pub fn push(&mut self, change: RowChange) {
        self.fresh.push(change);
        if self.fresh.len() < self.at_once || self.keeps {
            return;
        }
        order(&mut self.fresh);
        let path = self.root.join(format!("{PREFIX}{}", self.runs.len()));
        match write(&path, &self.fresh) {
            Ok(crc) => {
                self.runs.push(Run { path, crc });
                self.fresh.clear();
            }
            Err(_) => {
                let _ = fs::remove_file(&path);
                self.keeps = true;
            }
        }
    }

    /// All of it came.
    pub fn finish(mut self) -> Sorted {
        order(&mut self.fresh);
        Sorted { runs: self.runs, fresh: self.fresh }
    }
}

fn write(path: &Path, changes: &[RowChange]) -> io::Result<u32> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let mut file = BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?);
    let mut crc = 0;
    let mut bytes = Vec::new();
    for (key, at) in changes {
        bytes.clear();
        // Keys are at most 129 bytes long.
        bytes.push(u8::try_from(key.len()).map_err(|_| ErrorKind::InvalidData)?);
        bytes.extend_from_slice(key);
        bytes.push(u8::from(at.is_some()));
        bytes.extend(at.iter().flat_map(Location::encode));
        crc = crc32c::crc32c_append(crc, &bytes);
        file.write_all(&bytes)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(crc)
}

/// Changes in order, to be read as often as one likes.
#[derive(Debug)]
pub struct Sorted {
    runs: Vec<Run>,
    fresh: Vec<RowChange>,
}

impl Sorted {
    /// How many changes there are at most.
    pub fn rows_max(&self, at_once: usize) -> u64 {
        (self.runs.len() * at_once + self.fresh.len()) as u64
    }

    /// The rows that live, in order of their keys.
    ///
    /// # Errors
    /// When a file cannot be read, now or while they are given out.
    pub fn rows(&self) -> io::Result<impl Iterator<Item = io::Result<(Vec<u8>, Location)>> + use<'_>> {
        let mut sources = Vec::new();
        for run in &self.runs {
            let file = BufReader::with_capacity(BUFFER_BYTES, File::open(&run.path)?);
            sources.push(Source::File { file, crc: 0, expected: run.crc });
        }
        sources.push(Source::Memory(self.fresh.iter()));
        let mut merge = Merge { sources, heads: BinaryHeap::new() };
        for number in 0..merge.sources.len() {
            merge.advance(number)?;
        }
        Ok(merge)
    }
}

enum Source<'a> {
    File { file: BufReader<File>, crc: u32, expected: u32 },
    Memory(std::slice::Iter<'a, RowChange>),
}

impl Source<'_> {
    fn next(&mut self) -> io::Result<Option<RowChange>> {
        match self {
            Self::Memory(changes) => Ok(changes.next().cloned()),
            Self::File { file, crc, expected } => {
                let mut length = [0];
                if file.read(&mut length)? == 0 {
                    // All of it is what was written, or nothing may be built from it.
                    return if crc == expected { Ok(None) } else { Err(ErrorKind::InvalidData.into()) };
                }
                let mut key = vec![0; usize::from(length[0]) + 1];
                file.read_exact(&mut key)?;
                *crc = crc32c::crc32c_append(crc32c::crc32c_append(*crc, &length), &key);
                let is_there = key.pop() == Some(1);
                if !is_there {
                    return Ok(Some((key, None)));
                }
                let mut at = [0; Location::BYTES];
                file.read_exact(&mut at)?;
                *crc = crc32c::crc32c_append(*crc, &at);
                Ok(Some((key, Location::decode(&at))))
            }
        }
    }
}

/// The next change of a source; the smallest key first, of equal ones the newest.
type Head = Reverse<(Vec<u8>, Reverse<usize>, Option<[u8; Location::BYTES]>)>;

struct Merge<'a> {
    sources: Vec<Source<'a>>,
    heads: BinaryHeap<Head>,
}

impl Merge<'_> {
    fn advance(&mut self, number: usize) -> io::Result<()> {
        if let Some((key, at)) = self.sources[number].next()? {
            self.heads.push(Reverse((key, Reverse(number), at.map(|at| at.encode()))));
        }
        Ok(())
    }

    fn step(&mut self) -> io::Result<Option<(Vec<u8>, Location)>> {
        while let Some(Reverse((key, Reverse(number), at))) = self.heads.pop() {
            self.advance(number)?;
            // Older ones of the same key.
            while let Some(Reverse((same, Reverse(older), _))) = self.heads.peek()
                && *same == key
            {
                let older = *older;
                self.heads.pop();
                self.advance(older)?;
            }
            if let Some(at) = at {
                return Location::decode(&at).map(|at| Some((key, at))).ok_or_else(|| ErrorKind::InvalidData.into());
            }
        }
        Ok(None)
    }
}

impl Iterator for Merge<'_> {
    type Item = io::Result<(Vec<u8>, Location)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::disk::sim::Random;

    #[test]
    fn whatever_comes_the_newest_of_each_key_comes_out_in_order() {
        for at_once in [1, 7, 100, 10_000] {
            let root = tempfile::tempdir().unwrap();
            let (mut random, mut model) = (Random(at_once as u64), BTreeMap::new());
            let mut sorter = Sorter::new(root.path(), at_once);
            for number in 0..1_000 {
                let key = vec![1, random.below(200) as u8];
                let at = Location { segment: number, offset: 0, length: 0, crc: 0 };
                let at = (random.below(3) > 0).then_some(at);
                sorter.push((key.clone(), at));
                match at {
                    Some(at) => model.insert(key, at),
                    None => model.remove(&key),
                };
            }
            let sorted = sorter.finish();
            assert_eq!(sorted.runs.len(), 1_000 / at_once);
            for _ in 0..2 {
                let rows: BTreeMap<_, _> = sorted.rows().unwrap().collect::<io::Result<_>>().unwrap();
                assert_eq!(rows, model, "{at_once} at once");
            }
            drop(sorted);
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "no file is left");
        }
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(root.path(), 10);
        for number in 0..40_u8 {
            sorter.push((vec![1, number], Some(Location { segment: 1, offset: 0, length: 0, crc: 0 })));
        }
        let sorted = sorter.finish();
        let path = root.path().join("sort-1");
        let mut bytes = fs::read(&path).unwrap();
        bytes[2] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(sorted.rows().unwrap().any(|row| row.is_err()));
    }

    #[test]
    fn without_room_for_files_everything_stays_in_memory() {
        let root = tempfile::tempdir().unwrap();
        let not_a_folder = root.path().join("file");
        fs::write(&not_a_folder, b"").unwrap();
        let mut sorter = Sorter::new(&not_a_folder, 3);
        for number in 0..40_u8 {
            sorter.push((vec![1, number], Some(Location { segment: 1, offset: 0, length: 0, crc: 0 })));
        }
        assert_eq!(sorter.finish().rows().unwrap().count(), 40);
    }
}
