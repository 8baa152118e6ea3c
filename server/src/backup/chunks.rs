//! Parts of files named by their hash: what two backups have in common is there once.
//!
//! A chunk is written beside its place, flushed and renamed, so what is under a name is whole. Every reading compares it with its
//! name. Must never give out bytes that are not those of the hash.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use samenspraak_core::hash::tagged;

use super::{fail, write_new};
use crate::error::ProgramError;
use crate::folder::{file_error, hex, make_folder};

/// Bytes of a chunk: a segment that grows shares all but its last one with the backup of before, and 10 GB are 10,000 files.
pub const CHUNK_BYTES: u64 = 1024 * 1024;

/// See the module.
pub struct Chunks {
    dir: PathBuf,
    /// Folders in which something was written.
    touched: BTreeSet<PathBuf>,
}

fn hash_of(bytes: &[u8]) -> String {
    hex(&tagged("samenspraak/backup-chunk/v1", 1, |w| {
        w.bytes(bytes);
    }))
}

impl Chunks {
    /// The chunks of a destination.
    ///
    /// # Errors
    /// When their folder can't be made.
    pub fn open(dest: &Path) -> Result<Self, ProgramError> {
        let dir = dest.join("chunks");
        make_folder(&dir).map_err(fail(&dir))?;
        Ok(Self { dir, touched: BTreeSet::new() })
    }

    fn place(&self, hash: &str) -> PathBuf {
        self.dir.join(hash.get(..2).unwrap_or_default()).join(hash)
    }

    /// Keeps bytes; returns their name, and whether they are new here.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(String, bool), ProgramError> {
        let hash = hash_of(bytes);
        let place = self.place(&hash);
        // A damaged one is written again.
        if place.exists() && self.get(&hash).is_ok() {
            return Ok((hash, false));
        }
        let folder = place.parent().unwrap_or(&self.dir).to_owned();
        make_folder(&folder).map_err(fail(&folder))?;
        let fresh = place.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(fail(&fresh)(error)),
            _ => {}
        }
        write_new(&fresh, |file| file.write_all(bytes).map_err(fail(&fresh)))?;
        fs::rename(&fresh, &place).map_err(fail(&place))?;
        self.touched.insert(folder);
        Ok((hash, true))
    }

    /// Makes what was put durable.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sync(&self) -> Result<(), ProgramError> {
        for folder in self.touched.iter().chain([&self.dir]) {
            File::open(folder).and_then(|file| file.sync_all()).map_err(fail(folder))?;
        }
        Ok(())
    }

    /// The bytes of a name, compared with it.
    ///
    /// # Errors
    /// When they aren't here or are others.
    pub fn get(&self, hash: &str) -> Result<Vec<u8>, ProgramError> {
        let place = self.place(hash);
        let bytes = fs::read(&place).map_err(fail(&place))?;
        match hash_of(&bytes) == hash {
            true => Ok(bytes),
            false => Err(file_error(&place, &"these aren't the bytes that were copied")),
        }
    }

    /// Takes all others away.
    ///
    /// # Errors
    /// When one can't be removed.
    pub fn keep_only(&self, wanted: &BTreeSet<String>) -> Result<(), ProgramError> {
        for folder in fs::read_dir(&self.dir).map_err(fail(&self.dir))? {
            let folder = folder.map_err(fail(&self.dir))?.path();
            for chunk in fs::read_dir(&folder).map_err(fail(&folder))? {
                let chunk = chunk.map_err(fail(&folder))?;
                if !chunk.file_name().to_str().is_some_and(|name| wanted.contains(name)) {
                    fs::remove_file(chunk.path()).map_err(fail(&folder))?;
                }
            }
        }
        Ok(())
    }
}
