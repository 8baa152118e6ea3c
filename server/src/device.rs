//! The store of a device on this machine: rows sealed under a key from a vault, over a disk.
//!
//! The terminal phone, the root's device and the board's device have one. The server's own store is no device's and stays
//! plain: it holds what every member may read, what is closed comes to it sealed already, and its key would lie beside it
//! on the same disk for whoever can read that disk; so its protection is the folder's owner and, on a machine that can be
//! carried away, an encrypted disk. Not here: what the rows mean.

use std::path::Path;
use std::sync::Arc;

use samenspraak_core::app::App;
use samenspraak_core::store::disk::{DiskStore, ReadOnlyDisk, Verification};
use samenspraak_core::store::erased::Erasure;
use samenspraak_core::store::sealed::{Begun, is_sealed};
use samenspraak_core::store::{SealedStore, Store};

use crate::client::entropy;
use crate::error::ProgramError;
use crate::folder::{open_disk, open_store};
use crate::scrub::scrub;
use crate::vault::FileVault;

/// Name of a terminal phone's key.
pub const PHONE: &str = "phone";

/// See the module.
pub struct DeviceStore {
    disk: Arc<DiskStore>,
    rows: Arc<dyn Store>,
}

impl DeviceStore {
    /// Opens a store with the key `name` of the vault; a new store gets one, and a plain one of before is sealed. What
    /// `erased` says was erased is erased again where this store doesn't know it: it may be an old copy. The log says what had
    /// to be mended.
    ///
    /// # Errors
    /// When it is in use or damaged, can't be written, or its key is missing, wrong, damaged or readable by others.
    pub fn open(path: &Path, vault: &FileVault, name: &str, erased: &[Erasure]) -> Result<Self, ProgramError> {
        Self::over(open_store(path)?.0, path, vault, name, erased)
    }

    /// The same without lines in the log, for tests that mend stores on purpose.
    ///
    /// # Errors
    /// As there.
    pub fn open_quietly(path: &Path, vault: &FileVault, name: &str) -> Result<Self, ProgramError> {
        Self::over(Arc::new(open_disk(path)?.0), path, vault, name, &[])
    }

    /// The store of a terminal phone in this folder, with its key in the folder `keys` there.
    ///
    /// # Errors
    /// As for [`DeviceStore::open`].
    pub fn open_phone(path: &Path) -> Result<Self, ProgramError> {
        Self::open(path, &phone_vault(path), PHONE, &[])
    }

    fn over(
        disk: Arc<DiskStore>,
        path: &Path,
        vault: &FileVault,
        name: &str,
        erased: &[Erasure],
    ) -> Result<Self, ProgramError> {
        let place = path.display().to_string();
        let (rows, begun) = SealedStore::open(Arc::clone(&disk) as Arc<dyn Store>, place, vault, name, entropy())?;
        if let Begun::Converted { rows } = begun {
            tracing::info!(store = %path.display(), rows, "sealed the rows of a store of before");
        }
        let rows: Arc<dyn Store> = Arc::new(rows);
        let again = App::erase_again(&rows, erased)?;
        if again > 0 {
            tracing::warn!(store = %path.display(), count = again, "older than what was erased from it: erased again");
        }
        scrub(rows.as_ref());
        Ok(Self { disk, rows })
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> Arc<dyn Store> {
        Arc::clone(&self.rows)
    }

    /// Closes the disk, scrubbed if that is due, so that the next opening is quick.
    ///
    /// # Errors
    /// When the store had stopped after an error.
    pub fn close(&self) -> Result<(), ProgramError> {
        scrub(self.rows.as_ref());
        Ok(self.disk.close()?)
    }
}

/// The vault of a terminal phone's folder.
#[must_use]
pub fn phone_vault(path: &Path) -> FileVault {
    FileVault::new(&path.join("keys"))
}

/// Opens the store of a device for reading only, sealed or of before, and says what is wrong with its disk.
///
/// # Errors
/// As for [`DeviceStore::open`]; damage is no error here.
pub fn read_device(path: &Path, vault: &FileVault, name: &str) -> Result<(Arc<dyn Store>, Verification), ProgramError> {
    let (disk, found): (ReadOnlyDisk, Verification) = DiskStore::open_read_only(path)?;
    let disk: Arc<dyn Store> = Arc::new(disk);
    if !is_sealed(disk.as_ref())? {
        return Ok((disk, found));
    }
    let rows = SealedStore::open_read_only(disk, path.display().to_string(), vault, name)?;
    Ok((Arc::new(rows), found))
}
