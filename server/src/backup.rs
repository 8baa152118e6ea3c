//! `backup`: a copy of a wijk's folder, made while its server runs, that costs only what is new.
//!
//! ```text
//! DEST/backup.json         whose backups these are
//! DEST/erased.log          everything that was erased, up to the newest backup
//! DEST/chunks/HH/HASH      parts of files, named by their hash
//! DEST/taken/000001.json   one backup: which files, of which chunks
//! ```
//! Segments of a journal only grow, and are replaced as a whole by a scrub. So all of them are opened first; when none was
//! replaced meanwhile, what is read from them is one state of the store: of the last one as much as there was, flushed before it
//! is read, so that nothing is copied that the server could still lose. A frame that is torn there is cut when the copy is opened.
//!
//! A backup holds everything: words, the server's key, the stores of root and board and the keys that open them. Who has it
//! has the wijk. What people erase later stays in the backups of before until they are pruned; restoring erases it again. Must
//! never touch the folder it copies. Next: `restore`.

pub mod chunks;
pub mod restore;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use samenspraak_core::model::WijkId;
use serde::{Deserialize, Serialize};

use crate::date::today;
use crate::erased_log::ErasedLog;
use crate::error::ProgramError;
use crate::folder::{Folder, Which, file_error, io_error, make_folder, write_whole};
use chunks::Chunks;

/// Layout of this version.
const LAYOUT: u32 = 1;
const HEAD: &str = "backup.json";
const TAKEN: &str = "taken";
/// How often a scrub may replace segments while they are opened before this gives up: each time takes longer than opening all.
const TRIES: usize = 20;
/// Digits of a backup's number in its name.
const DIGITS: usize = 6;

/// Whose backups these are.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    layout: u32,
    wijk: String,
}

/// One file of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Copied {
    /// Its path in the wijk's folder.
    path: String,
    bytes: u64,
    /// Hashes of its chunks, in order.
    chunks: Vec<String>,
}

/// One backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Taken {
    number: u64,
    /// The day, as days since 1 January 1970.
    day: u32,
    files: Vec<Copied>,
}

/// What a backup did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Its number.
    pub number: u64,
    /// Files in it.
    pub files: usize,
    /// Bytes of these files.
    pub bytes: u64,
    /// Bytes that were new in the destination.
    pub new_bytes: u64,
    /// Backups that were taken away because of `keep`.
    pub pruned: usize,
    /// Backups that are there now.
    pub kept: usize,
}

fn fail(path: &Path) -> impl Fn(std::io::Error) -> ProgramError + '_ {
    move |source| io_error(path, source)
}

/// Copies a wijk's folder into `dest`, and keeps the newest `keep` backups there.
///
/// # Errors
/// When the folder is no wijk's, the destination is another wijk's or in use, or something can't be read or written; then no
/// backup was added.
pub fn take(folder: &Path, dest: &Path, keep: Option<usize>) -> Result<Made, ProgramError> {
    let folder = Folder::open(folder)?;
    let wijk = folder.wijk()?;
    let _lock = open_dest(dest, wijk)?;
    let mut chunks = Chunks::open(dest)?;
    let number = numbers(dest)?.last().map_or(1, |last| last + 1);
    let mut made = Made { number, ..Made::default() };
    let mut files = Vec::new();
    for (path, mut file, bytes) in open_all(folder.path())? {
        let place = folder.path().join(&path);
        let mut copied = Copied { path, bytes, chunks: Vec::new() };
        let mut left = bytes;
        while left > 0 {
            let mut chunk = vec![0; usize::try_from(left.min(chunks::CHUNK_BYTES)).unwrap_or(usize::MAX)];
            file.read_exact(&mut chunk).map_err(fail(&place))?;
            left -= chunk.len() as u64;
            let (hash, is_new) = chunks.put(&chunk)?;
            made.new_bytes += if is_new { chunk.len() as u64 } else { 0 };
            copied.chunks.push(hash);
        }
        made.bytes += bytes;
        files.push(copied);
    }
    made.files = files.len();
    chunks.sync()?;
    // The list last: what is erased while this runs is in it, and restoring goes by it.
    let erased = ErasedLog::read(folder.path(), wijk)?;
    ErasedLog::open(dest, wijk)?.0.add(&erased)?;
    let taken = Taken { number, day: today(), files };
    for copied in &taken.files {
        copied.chunks.iter().try_for_each(|hash| chunks.get(hash).map(drop))?;
    }
    let place = manifest(dest, number);
    let bytes = serde_json::to_vec(&taken).map_err(|error| file_error(&place, &error))?;
    write_whole(&place, &bytes, true).map_err(fail(&place))?;
    made.pruned = prune(dest, &chunks, keep)?;
    made.kept = numbers(dest)?.len();
    Ok(made)
}

/// Makes or opens a destination, and keeps others out while the lock is held.
fn open_dest(dest: &Path, wijk: WijkId) -> Result<File, ProgramError> {
    let place = dest.join(HEAD);
    if !place.exists() {
        if fs::read_dir(dest).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(ProgramError::NotEmpty { path: dest.to_owned() });
        }
        make_folder(&dest.join(TAKEN)).map_err(fail(dest))?;
        let head = Head { layout: LAYOUT, wijk: wijk.to_string() };
        let bytes = serde_json::to_vec_pretty(&head).map_err(|error| file_error(&place, &error))?;
        write_whole(&place, &bytes, true).map_err(fail(&place))?;
    }
    if read_head(dest)? != wijk {
        return Err(ProgramError::File { path: place, what: "these are backups of another wijk".into() });
    }
    let lock = dest.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(fail(&lock))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(ProgramError::File { path: lock, what: "another backup is being made here".into() }),
    }
}

/// The wijk of a destination.
fn read_head(dest: &Path) -> Result<WijkId, ProgramError> {
    let place = dest.join(HEAD);
    let bytes = match fs::read(&place) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let hint = "name the folder that was given to `samenspraak backup`";
            return Err(ProgramError::NoFolder { path: dest.to_owned(), what: "backups", hint });
        }
        read => read.map_err(fail(&place))?,
    };
    let head: Head = serde_json::from_slice(&bytes).map_err(|error| file_error(&place, &error))?;
    if head.layout != LAYOUT {
        return Err(file_error(&place, &"made by another version"));
    }
    let id = crate::erased_log::unhex(&head.wijk).and_then(|bytes| bytes.try_into().ok());
    id.map(WijkId::new).ok_or_else(|| file_error(&place, &"no wijk"))
}

fn manifest(dest: &Path, number: u64) -> PathBuf {
    dest.join(TAKEN).join(format!("{number:0DIGITS$}.json"))
}

/// The backups there are, oldest first.
fn numbers(dest: &Path) -> Result<BTreeSet<u64>, ProgramError> {
    let place = dest.join(TAKEN);
    let mut numbers = BTreeSet::new();
    for entry in fs::read_dir(&place).map_err(fail(&place))? {
        let name = entry.map_err(fail(&place))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".json"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(numbers)
}

fn read_taken(dest: &Path, number: u64) -> Result<Taken, ProgramError> {
    let place = manifest(dest, number);
    let bytes = fs::read(&place).map_err(fail(&place))?;
    serde_json::from_slice(&bytes).map_err(|error| file_error(&place, &error))
}

/// Takes away all but the newest backups, and the chunks that only those had. Returns how many backups.
fn prune(dest: &Path, chunks: &Chunks, keep: Option<usize>) -> Result<usize, ProgramError> {
    let mut kept = numbers(dest)?;
    let too_many = kept.len().saturating_sub(keep.map_or(usize::MAX, |keep| keep.max(1)));
    for _ in 0..too_many {
        let Some(oldest) = kept.pop_first() else { break };
        let place = manifest(dest, oldest);
        fs::remove_file(&place).map_err(fail(&place))?;
    }
    if too_many > 0 {
        let mut wanted = BTreeSet::new();
        for number in kept {
            wanted.extend(read_taken(dest, number)?.files.into_iter().flat_map(|copied| copied.chunks));
        }
        chunks.keep_only(&wanted)?;
    }
    Ok(too_many)
}

/// Every file that belongs into a backup, opened, with the bytes of it that are to be copied.
fn open_all(folder: &Path) -> Result<Vec<(String, File, u64)>, ProgramError> {
    let mut files = Vec::new();
    let keys = folder.join("keys");
    let mut names = vec!["wijk.json".to_owned()];
    for name in list(&keys)? {
        // Says where the folder is: of no use anywhere else.
        if name != "here" && !name.ends_with(".new") {
            names.push(format!("keys/{name}"));
        }
    }
    for name in names {
        let place = folder.join(&name);
        let file = File::open(&place).map_err(fail(&place))?;
        let bytes = file.metadata().map_err(fail(&place))?.len();
        files.push((name, file, bytes));
    }
    for which in Which::ALL {
        files.extend(open_store(folder, which.name())?);
    }
    Ok(files)
}

fn list(dir: &Path) -> Result<Vec<String>, ProgramError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail(dir))? {
        let entry = entry.map_err(fail(dir))?;
        if entry.file_type().map_err(fail(dir))?.is_file() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}

/// The segments of a store as they are at one moment; nothing when the store isn't here.
fn open_store(folder: &Path, name: &str) -> Result<Vec<(String, File, u64)>, ProgramError> {
    let (dir, journal) = (folder.join(name), folder.join(name).join("journal"));
    if !journal.exists() {
        return Ok(Vec::new());
    }
    for _ in 0..TRIES {
        let names: Vec<String> = list(&journal)?.into_iter().filter(|name| name.ends_with(".seg")).collect();
        let mut opened = Vec::with_capacity(names.len());
        for segment in &names {
            let place = journal.join(segment);
            match File::open(&place) {
                Ok(file) => opened.push((segment, place, file)),
                // A scrub took it away; the list is another one now.
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(io_error(&place, error)),
            }
        }
        if opened.len() < names.len() || !all_stand(&opened)? {
            continue;
        }
        let mut files = Vec::new();
        // A second copy of the store's id, and the mark of one that was salvaged, where there are any.
        for beside in ["id", "salvaged"] {
            let place = dir.join(beside);
            if place.exists() {
                let file = File::open(&place).map_err(fail(&place))?;
                let bytes = file.metadata().map_err(fail(&place))?.len();
                files.push((format!("{name}/{beside}"), file, bytes));
            }
        }
        for (segment, place, file) in opened {
            let bytes = file.metadata().map_err(fail(&place))?.len();
            // What is there now is durable from here on: a copy must have no more than the server could find after a crash.
            file.sync_data().map_err(fail(&place))?;
            files.push((format!("{name}/journal/{segment}"), file, bytes));
        }
        return Ok(files);
    }
    Err(ProgramError::Stopped { what: format!("{name}: its files were replaced all the time; try again") })
}

/// Whether every path still leads to the file that was opened.
fn all_stand(opened: &[(&String, PathBuf, File)]) -> Result<bool, ProgramError> {
    for (_, place, file) in opened {
        let was = file.metadata().map_err(fail(place))?;
        match fs::metadata(place) {
            Ok(is) if is_same(&was, &is) => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_error(place, error)),
        }
    }
    Ok(true)
}

#[cfg(unix)]
fn is_same(was: &fs::Metadata, is: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (was.dev(), was.ino()) == (is.dev(), is.ino())
}

#[cfg(not(unix))]
fn is_same(was: &fs::Metadata, is: &fs::Metadata) -> bool {
    was.created().ok() == is.created().ok()
}

/// Writes and flushes a file that isn't there yet, for its owner alone.
fn write_new(path: &Path, mut write: impl FnMut(&mut File) -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(fail(path))?;
    write(&mut file)?;
    file.flush().and_then(|()| file.sync_all()).map_err(fail(path))
}
