//! What lies where in a data folder.
//!
//! ```text
//! wijk.json      which wijk this is and at which address phones reach it
//! keys/          identity and epoch key of the server, and the card that `serve --show-card` shows (0600)
//! server/        store of the server
//! root/          store of the root's device: founding and cards for staff
//! board/         store of the first board device, which the board page writes with
//! serve.json     address of the running server, while it runs
//! ```
//! Paths inside are relative, so a folder may be moved or copied. Not here: what the stores hold.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use samenspraak_core::entry::sign::Key;
use samenspraak_core::model::WijkId;
use samenspraak_core::store::disk::{DiskOptions, DiskStore, OpenReport};
use samenspraak_core::sync::server::ServerKeys;
use serde::{Deserialize, Serialize};

use crate::error::ProgramError;

/// What `wijk.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WijkFile {
    /// Version of the folder's layout.
    pub layout: u32,
    /// The wijk, 64 hexadecimal digits.
    pub wijk: String,
    /// Its name.
    pub name: String,
    /// Address at which phones reach the server; stands on cards.
    pub address: String,
}

/// Layout of this version.
pub const LAYOUT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct KeysFile {
    identity_secret: String,
    epoch: String,
    epoch_secret: String,
}

/// What `serve.json` says while a server runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServeFile {
    /// Its address on this machine.
    pub address: String,
}

/// A data folder of a wijk.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    file: WijkFile,
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(path: &Path, text: &str) -> Result<[u8; N], ProgramError> {
    let wrong = || ProgramError::File { path: path.to_owned(), what: format!("expected {} hexadecimal digits", 2 * N) };
    if text.len() != 2 * N || !text.is_ascii() {
        return Err(wrong());
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

fn file_error(path: &Path, error: &dyn std::fmt::Display) -> ProgramError {
    ProgramError::File { path: path.to_owned(), what: error.to_string() }
}

/// Turns a system error into a program error; a full disk keeps its own words.
fn io_error(path: &Path, source: std::io::Error) -> ProgramError {
    let place = path.display().to_string();
    if source.kind() == std::io::ErrorKind::StorageFull {
        ProgramError::Store(samenspraak_core::store::StoreError::Full { place })
    } else {
        ProgramError::Store(samenspraak_core::store::StoreError::Io { place, source })
    }
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8], private: bool) -> Result<(), ProgramError> {
    let fresh = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if private { 0o600 } else { 0o644 });
        let mut file = options.open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        if let Some(folder) = path.parent() {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    let _ = private;
    write().map_err(|source| io_error(path, source))
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, ProgramError> {
    let bytes = fs::read(path).map_err(|source| io_error(path, source))?;
    serde_json::from_slice(&bytes).map_err(|error| file_error(path, &error))
}

fn to_json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, ProgramError> {
    serde_json::to_vec_pretty(value).map_err(|error| file_error(path, &error))
}

impl Folder {
    /// Makes a new folder for a wijk; `path` must not exist or be empty. `wijk.json` is written last, by
    /// [`Folder::finish`]: a folder without it was never finished.
    ///
    /// # Errors
    /// When the folder is in use or can't be written.
    pub fn begin(path: &Path) -> Result<(), ProgramError> {
        let has_files = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        if has_files {
            return Err(ProgramError::NotEmpty { path: path.to_owned() });
        }
        fs::create_dir_all(path.join("keys")).map_err(|source| io_error(path, source))
    }

    /// Writes the server's keys.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn write_keys(
        path: &Path,
        identity_secret: &[u8; 32],
        epoch: &[u8; 16],
        epoch_secret: &[u8; 32],
    ) -> Result<(), ProgramError> {
        let file =
            KeysFile { identity_secret: hex(identity_secret), epoch: hex(epoch), epoch_secret: hex(epoch_secret) };
        let place = path.join("keys/server.json");
        write_whole(&place, &to_json(&place, &file)?, true)
    }

    /// The letters of the card that was last shown.
    #[must_use]
    pub fn shown_card(&self) -> Option<String> {
        fs::read_to_string(self.path.join("keys/card.txt")).ok()
    }

    /// Keeps the letters of a card that is shown.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn set_shown_card(&self, letters: &str) -> Result<(), ProgramError> {
        write_whole(&self.path.join("keys/card.txt"), letters.as_bytes(), true)
    }

    /// Finishes a new folder.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(path: &Path, file: WijkFile) -> Result<Self, ProgramError> {
        let place = path.join("wijk.json");
        write_whole(&place, &to_json(&place, &file)?, false)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Opens a folder that was finished.
    ///
    /// # Errors
    /// When there is none, or of another layout.
    pub fn open(path: &Path) -> Result<Self, ProgramError> {
        let place = path.join("wijk.json");
        if !place.exists() {
            let hint = "make one with `samenspraak wijk new`";
            return Err(ProgramError::NoFolder { path: path.to_owned(), what: "wijk", hint });
        }
        let file: WijkFile = read_json(&place)?;
        if file.layout != LAYOUT {
            let what = format!("made by another version (layout {}, this program knows {LAYOUT})", file.layout);
            return Err(ProgramError::File { path: place, what });
        }
        let folder = Self { path: path.to_owned(), file };
        folder.wijk()?;
        Ok(folder)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `wijk.json` says.
    #[must_use]
    pub fn file(&self) -> &WijkFile {
        &self.file
    }

    /// The wijk.
    ///
    /// # Errors
    /// When `wijk.json` names none.
    pub fn wijk(&self) -> Result<WijkId, ProgramError> {
        Ok(WijkId::new(unhex(&self.path.join("wijk.json"), &self.file.wijk)?))
    }

    /// The server's keys.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn keys(&self) -> Result<ServerKeys, ProgramError> {
        let place = self.path.join("keys/server.json");
        let file: KeysFile = read_json(&place)?;
        Ok(ServerKeys {
            identity: Key::from_secret(&unhex(&place, &file.identity_secret)?),
            epoch_key: Key::from_secret(&unhex(&place, &file.epoch_secret)?),
            epoch: unhex(&place, &file.epoch)?,
        })
    }

    /// Where a store lies.
    #[must_use]
    pub fn store_path(&self, which: Which) -> PathBuf {
        self.path.join(which.name())
    }

    /// Opens a store of this folder.
    ///
    /// # Errors
    /// When it is in use, damaged, or can't be written.
    pub fn store(&self, which: Which) -> Result<Arc<DiskStore>, ProgramError> {
        open_store(&self.store_path(which))
    }

    /// Notes where the running server listens; `None` when it stops.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_serving(&self, address: Option<&str>) -> Result<(), ProgramError> {
        let place = self.path.join("serve.json");
        match address {
            Some(address) => write_whole(&place, &to_json(&place, &ServeFile { address: address.to_owned() })?, false),
            None => match fs::remove_file(&place) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error(&place, error)),
                _ => Ok(()),
            },
        }
    }

    /// Where a server of this folder listens, if one noted it. It may have been killed since.
    #[must_use]
    pub fn serving(&self) -> Option<String> {
        read_json::<ServeFile>(&self.path.join("serve.json")).ok().map(|file| file.address)
    }
}

/// The stores of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The server's.
    Server,
    /// The root's device.
    Root,
    /// The first board device.
    Board,
}

impl Which {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Server, Self::Root, Self::Board];

    /// Name of its folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Root => "root",
            Self::Board => "board",
        }
    }
}

/// Opens a disk store and says in the log what had to be mended.
///
/// # Errors
/// When it is in use, damaged, or can't be written.
pub fn open_store(path: &Path) -> Result<Arc<DiskStore>, ProgramError> {
    fs::create_dir_all(path).map_err(|source| io_error(path, source))?;
    let (store, report) = DiskStore::open(path, DiskOptions::default())?;
    say_report(path, &report);
    Ok(Arc::new(store))
}

fn say_report(path: &Path, report: &OpenReport) {
    if report.torn_bytes_cut > 0 {
        tracing::warn!(store = %path.display(), bytes = report.torn_bytes_cut, "cut back an unfinished write at the end");
    }
    if let Some(reason) = &report.index_rebuilt {
        tracing::info!(store = %path.display(), frames = report.frames, ?reason, "rebuilt the index from the journal");
    }
}
