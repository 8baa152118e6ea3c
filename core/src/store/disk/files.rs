//! The few things the journal asks of a file system, behind a trait, so that tests can cut the power at any of them.
//!
//! Must never hide an error or promise more than the system does: a name is durable after [`Files::sync_dir`], bytes after
//! [`StoreFile::sync`], and not before. sled's files do not go through here; they can be lost at any time.

use std::any::Any;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use crate::store::StoreError;

/// One open file. A handle keeps reading its own bytes after the name was removed or given to another file.
pub trait StoreFile: Send + Sync + Debug {
    /// Fills `buffer` from `offset`; less than asked for is [`ErrorKind::UnexpectedEof`].
    ///
    /// # Errors
    /// When the bytes are not there or cannot be read.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. After an error any part of them may stand there.
    ///
    /// # Errors
    /// When the system refuses; a full disk is [`ErrorKind::StorageFull`] or [`ErrorKind::QuotaExceeded`].
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// When the system refuses.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file back to `size_bytes`.
    ///
    /// # Errors
    /// When the system refuses.
    fn truncate(&self, size_bytes: u64) -> io::Result<()>;

    /// Makes what was written and the length durable.
    ///
    /// # Errors
    /// When it did not succeed: the bytes may be lost even if a second call succeeds, so it is never called again.
    fn sync(&self) -> io::Result<()>;
}

/// How a store is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// For the one that writes; makes the lock file.
    Exclusive,
    /// For those that only read; makes nothing, and where no lock file is, nobody writes.
    Shared,
}

/// Held as long as the lock is wanted.
pub type LockGuard = Box<dyn Any + Send + Sync>;

/// A file system, as far as the store needs one.
pub trait Files: Send + Sync + Debug {
    /// Makes the folder and those above it.
    ///
    /// # Errors
    /// When the system refuses.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// The names in a folder, in order; none when the folder is not there.
    ///
    /// # Errors
    /// When the system refuses.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// A new empty file; what stood under that name is gone.
    ///
    /// # Errors
    /// When the system refuses.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>>;

    /// An existing file, for writing too if `write`.
    ///
    /// # Errors
    /// When it is not there or the system refuses.
    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn StoreFile>>;

    /// Gives a file another name; a file that had it is gone. Atomic, but durable only after [`Files::sync_dir`].
    ///
    /// # Errors
    /// When the system refuses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// When it is not there or the system refuses.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// When it did not succeed.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock, or `None` when another holds it.
    ///
    /// # Errors
    /// When the system refuses for another reason.
    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Option<LockGuard>>;
}

/// All bytes of a file.
pub(super) fn read_whole(file: &dyn StoreFile) -> io::Result<Vec<u8>> {
    read_to(file, file.size()?)
}

/// The bytes of a file before `end`.
pub(super) fn read_to(file: &dyn StoreFile, end: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(end).map_err(|_| ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The store's error for a system error at `place`.
pub(super) fn io_error(place: &Path, source: io::Error) -> StoreError {
    let place = place.display().to_string();
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { place },
        _ => StoreError::Io { place, source },
    }
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFiles;

/// A file that is locked as long as this lives. Closing it would not be enough: where another thread is just starting a
/// program, that one holds a copy of every open file until it begins, and with the copy the lock.
#[derive(Debug)]
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Should the system refuse, closing still does it, as soon as no copy is left.
        let _ = self.0.unlock();
    }
}

#[derive(Debug)]
struct RealFile(File);

impl StoreFile for RealFile {
    #[cfg(unix)]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, offset)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.0, buffer, offset) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    buffer = &mut buffer[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[cfg(unix)]
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    #[cfg(windows)]
    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_write(&self.0, bytes, offset) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = &bytes[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, size_bytes: u64) -> io::Result<()> {
        self.0.set_len(size_bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Files for RealFiles {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn StoreFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(write).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // Windows has no flush of a folder; NTFS writes names through its own journal.
        if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Option<LockGuard>> {
        let (file, taken) = match mode {
            LockMode::Exclusive => {
                let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
                let taken = file.try_lock();
                (file, taken)
            }
            LockMode::Shared => {
                let file = match File::open(path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(Box::new(()))),
                    file => file?,
                };
                let taken = file.try_lock_shared();
                (file, taken)
            }
        };
        match taken {
            Ok(()) => Ok(Some(Box::new(Locked(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_holder_even_while_a_starting_program_has_a_copy_of_the_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).unwrap();
        file.try_lock().unwrap();
        // As a process that was forked and has not begun its program yet has it.
        let copy = file.try_clone().unwrap();
        let held = Locked(file);
        assert!(RealFiles.lock(&path, LockMode::Exclusive).unwrap().is_none());
        drop(held);
        assert!(RealFiles.lock(&path, LockMode::Exclusive).unwrap().is_some());
        drop(copy);
    }
}
