//! The server's store with what stands around it: rows in memory, and the list of what was erased outside it.
//!
//! Opening erases again what the list knows and the store doesn't (an old copy of the store was put back), before anybody can
//! be served from it. Must never be used before that. What a kill left unscrubbed is scrubbed behind a serving server and
//! before a store is closed, for that rewrites files. Not here: serving.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use samenspraak_core::model::WijkId;
use samenspraak_core::replica::{Side, erase_again, erased_subjects};
use samenspraak_core::store::disk::{DiskStore, OpenReport};
use samenspraak_core::store::{CachedStore, Store, StoreError, erased};

use crate::erased_log::ErasedLog;
use crate::error::ProgramError;
use crate::folder::{Which, open_awaited_store};
use crate::scrub::scrub;

/// See the module.
pub struct ServerStore {
    disk: Arc<DiskStore>,
    rows: Arc<dyn Store>,
    noted: Mutex<Noted>,
    opened: OpenReport,
}

struct Noted {
    log: ErasedLog,
    /// How many of the store's erasures are in the list.
    count: u64,
    /// Whether anything was erased since the store was opened.
    is_fresh: bool,
}

impl ServerStore {
    /// Opens the server's store in a wijk's folder.
    ///
    /// # Errors
    /// When the store or the list of what was erased is in use, damaged or can't be written.
    pub fn open(folder: &Path, wijk: WijkId) -> Result<Self, ProgramError> {
        let (disk, opened) = open_awaited_store(&folder.join(Which::Server.name()))?;
        let rows: Arc<dyn Store> = Arc::new(CachedStore::new(Arc::clone(&disk) as Arc<dyn Store>));
        let (mut log, is_new) = ErasedLog::open(folder, wijk)?;
        let again = erase_again(&rows, wijk, Side::Server, log.erasures())?;
        if again > 0 {
            tracing::warn!(count = again, "this store is older than what was erased from it: erased again");
        }
        if is_new {
            // Erased before there was a list; what is erased from here on is listed in the store too.
            log.add(&erased_subjects(rows.as_ref())?)?;
        }
        let store = Self { disk, rows, noted: Mutex::new(Noted { log, count: 0, is_fresh: false }), opened };
        store.note_erased()?;
        store.noted().is_fresh = false;
        Ok(store)
    }

    /// The disk below.
    #[must_use]
    pub fn disk(&self) -> &DiskStore {
        &self.disk
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> Arc<dyn Store> {
        Arc::clone(&self.rows)
    }

    /// The rows on the disk, for reading all of them without filling memory with what nobody asks for again.
    #[must_use]
    pub fn uncached(&self) -> Arc<dyn Store> {
        Arc::clone(&self.disk) as Arc<dyn Store>
    }

    /// What opening its files found.
    #[must_use]
    pub fn opened(&self) -> OpenReport {
        self.opened.clone()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything was erased since the store was opened.
    #[must_use]
    pub fn has_erased(&self) -> bool {
        self.noted().is_fresh
    }

    /// Adds what was erased since it was last asked to the list outside the store; returns whether there was anything. When
    /// there is no room for it, that is said in the log and it is added later: the store knows it too.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn note_erased(&self) -> Result<bool, StoreError> {
        let mut noted = self.noted();
        let count = erased::count(self.rows.as_ref())?;
        if count == noted.count {
            return Ok(false);
        }
        noted.is_fresh = true;
        let fresh = erased::since(self.rows.as_ref(), noted.count)?;
        match noted.log.add(&fresh) {
            Ok(_) => noted.count = count,
            Err(error) => tracing::warn!(error = error.line(), "what was erased could not be noted outside the store"),
        }
        Ok(true)
    }

    /// Closes the store, scrubbed if that is due.
    ///
    /// # Errors
    /// When it had stopped after an error.
    pub fn close(&self) -> Result<(), ProgramError> {
        // A store that stopped says so when it is closed.
        let _ = self.note_erased();
        scrub(self.rows.as_ref());
        Ok(self.disk.close()?)
    }
}
