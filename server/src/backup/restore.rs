//! `restore`: a wijk's folder from a backup.
//!
//! Every chunk is compared with its name and every store is opened and checked before the folder becomes a wijk's. The list of
//! what was erased is the newest one of the destination, so the next opening erases again what an older backup still has. What
//! was restored is older than what phones know: the next start begins a new epoch, and root and board wait for
//! `wijk refilled`. Must never write into a folder that has anything in it.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use samenspraak_core::store::Store;
use samenspraak_core::store::disk::DiskStore;

use super::chunks::Chunks;
use super::{Taken, fail, numbers, read_head, read_taken, write_new};
use crate::epoch::{self, Why};
use crate::erased_log;
use crate::error::ProgramError;
use crate::folder::{Folder, Which, make_folder, write_whole};
use crate::verify::{Found, check_store};

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Number of the backup.
    pub number: u64,
    /// The day it was taken, as days since 1 January 1970.
    pub day: u32,
    /// Entries in the server's store.
    pub entries: usize,
}

/// Makes a folder from the newest backup in `dest`, or from the one with this number.
///
/// # Errors
/// When there is no such backup, the folder isn't empty, or anything doesn't fit; then the folder is no wijk's.
pub fn restore(dest: &Path, path: &Path, number: Option<u64>) -> Result<Restored, ProgramError> {
    let wijk = read_head(dest)?;
    let there = numbers(dest)?;
    let none = || ProgramError::Argument("there is no such backup; nothing was changed".into());
    let number = number.or_else(|| there.last().copied()).filter(|number| there.contains(number)).ok_or_else(none)?;
    let taken = read_taken(dest, number)?;
    let chunks = Chunks::open(dest)?;
    Folder::begin(path)?;
    let mut last: Option<&super::Copied> = None;
    for copied in &taken.files {
        if copied.path == WIJK_FILE {
            last = Some(copied);
            continue;
        }
        write(path, copied, &chunks)?;
    }
    let list = dest.join(erased_log::NAME);
    let bytes = std::fs::read(&list).map_err(fail(&list))?;
    erased_log::ErasedLog::check(&list, wijk, &bytes)?;
    let place = path.join(erased_log::NAME);
    write_whole(&place, &bytes, true).map_err(fail(&place))?;
    let mut entries = 0;
    for which in Which::ALL {
        let place = path.join(which.name());
        if place.join("journal").exists() {
            let (store, found) = DiskStore::open_read_only(&place)?;
            if let Some(damage) = found.damage.first() {
                return Err(ProgramError::File { path: place, what: format!("{}: {}", damage.place, damage.what) });
            }
            if which == Which::Server {
                entries = check(&store, wijk)?;
            }
        }
    }
    epoch::set_refilling(path, Why::Restored)?;
    epoch::ask(path, Why::Restored)?;
    // Last of all: a folder without it is no wijk's.
    let file =
        last.ok_or_else(|| ProgramError::File { path: dest.to_owned(), what: "a backup without a wijk".into() })?;
    write(path, file, &chunks)?;
    File::open(path).and_then(|folder| folder.sync_all()).map_err(fail(path))?;
    let Taken { day, .. } = taken;
    Ok(Restored { number, day, entries })
}

const WIJK_FILE: &str = "wijk.json";

fn check(store: &dyn Store, wijk: samenspraak_core::model::WijkId) -> Result<usize, ProgramError> {
    let mut found = Found::default();
    check_store(store, wijk, &mut found)?;
    match found.problems.first() {
        None => Ok(found.entries),
        Some(problem) => {
            let what = format!("restore: {problem}, and {} problems in all; nothing is served", found.problems.len());
            Err(ProgramError::Found { what })
        }
    }
}

/// Writes one file of a backup where it belongs.
fn write(folder: &Path, copied: &super::Copied, chunks: &Chunks) -> Result<(), ProgramError> {
    let inside = Path::new(&copied.path);
    let is_inside = inside.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !is_inside {
        return Err(ProgramError::File { path: inside.to_owned(), what: "leads out of the folder".into() });
    }
    let place = folder.join(inside);
    if let Some(parent) = place.parent() {
        make_folder(parent).map_err(fail(parent))?;
    }
    let mut bytes = 0;
    let written = write_new(&place, |file| {
        for hash in &copied.chunks {
            let chunk = chunks.get(hash)?;
            bytes += chunk.len() as u64;
            file.write_all(&chunk).map_err(fail(&place))?;
        }
        Ok(())
    });
    let is_whole = bytes == copied.bytes;
    if written.is_err() || !is_whole {
        // A part of a file must not pass for the file: least of all for the one that makes a folder a wijk's.
        match std::fs::remove_file(&place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(&place)(error)),
            _ => {}
        }
    }
    written?;
    if !is_whole {
        return Err(ProgramError::File { path: place, what: "has another length than when it was copied".into() });
    }
    if let Some(parent) = place.parent() {
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(fail(parent))?;
    }
    Ok(())
}
