//! A folder that goes when the replay ends, however it ends.

use std::path::{Path, PathBuf};

use samenspraak_core::store::StoreError;

use crate::error::ProgramError;

/// See the module.
pub struct Temporary {
    path: PathBuf,
    keep: bool,
}

impl Temporary {
    /// Makes a folder that nobody else has.
    pub fn new(keep: bool) -> Result<Self, ProgramError> {
        let root = std::env::temp_dir();
        let mut number = 0;
        loop {
            let path = root.join(format!("samenspraak-replay-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, keep }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(StoreError::Io { place: path.display().to_string(), source }.into()),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.keep {
            remark!("replay: all stores are kept in {}", self.path.display());
            return;
        }
        // A phone that was just killed may still make a file while its folder goes.
        let removed = (0..20).any(|_| {
            let gone = std::fs::remove_dir_all(&self.path).is_ok();
            if !gone {
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
            gone
        });
        if !removed {
            remark!("replay: {} could not be removed", self.path.display());
        }
    }
}
