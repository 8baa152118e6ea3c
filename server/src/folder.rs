//! What lies where in a data folder.
//!
//! ```text
//! wijk.json      which wijk this is and at which address phones reach it
//! keys/          identity and epoch key of the server, the card that `serve --show-card` shows, and the keys that open
//!                the stores of root and board (0600, in a folder of 0700)
//! server/        store of the server: plain, `device` says why
//! root/          store of the root's device: founding and cards for staff; sealed
//! board/         store of the first board device, which the board page writes with; sealed
//! erased.log     what was erased, to erase it again in an old copy of a store that is put back
//! serve.json     address of the running server, while it runs
//! heads.json, new-epoch.json, refilling.json
//!                where the logs stood, and what a server that lost something does next (`epoch`)
//! ```
//! Paths inside are relative, so a folder may be moved or copied. Not here: what the stores hold.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use samenspraak_core::entry::sign::Key;
use samenspraak_core::model::WijkId;
use samenspraak_core::store::disk::{DiskOptions, DiskStore, OnProgress, OpenReport, Progress};
use samenspraak_core::store::keys::first_rows;
use samenspraak_core::sync::server::ServerKeys;
use serde::{Deserialize, Serialize};

use crate::device::DeviceStore;
use crate::erased_log::ErasedLog;
use crate::error::ProgramError;
use crate::server_store::ServerStore;
use crate::vault::FileVault;

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

/// A journal of the server up to this length is read and its index built or checked before anybody is answered: some 20 ms. A wijk of
/// 1,000 documents has fifteen times as much.
const AWAITED_BYTES: u64 = 1024 * 1024;

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

pub(crate) fn file_error(path: &Path, error: &dyn std::fmt::Display) -> ProgramError {
    ProgramError::File { path: path.to_owned(), what: error.to_string() }
}

/// Turns a system error into a program error; a full disk keeps its own words.
pub(crate) fn io_error(path: &Path, source: std::io::Error) -> ProgramError {
    let place = path.display().to_string();
    if source.kind() == ErrorKind::StorageFull {
        ProgramError::Store(samenspraak_core::store::StoreError::Full { place })
    } else {
        ProgramError::Store(samenspraak_core::store::StoreError::Io { place, source })
    }
}

/// Writes a file so that it is there whole or not at all, durably; a private one is for its owner alone.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], private: bool) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    // What a kill left there may be open to others, and a mode is given to new files only.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if private { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = private;
    let write = || {
        let mut file = options.open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().inspect_err(|_| {
        // Half a secret is nobody's use; what can't be removed now is removed before the next one is written.
        let _ = fs::remove_file(&fresh);
    })?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn write_file(path: &Path, bytes: &[u8], private: bool) -> Result<(), ProgramError> {
    write_whole(path, bytes, private).map_err(|source| io_error(path, source))
}

/// Makes a folder and those above it, for their owner alone: others on this machine have no business in a wijk's data.
pub(crate) fn make_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Whether nobody but its owner may read or write a file or folder. Where the system knows no owners of files, always.
pub(crate) fn is_private(path: &Path) -> std::io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        Ok(fs::metadata(path)?.permissions().mode() & 0o077 == 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(true)
    }
}

/// Takes a file or folder away from others than its owner, and says so in the log: a copy made with other rights must not
/// keep a wijk from being served, but somebody may have read what is in it.
fn make_private(path: &Path) -> std::io::Result<()> {
    if is_private(path)? {
        return Ok(());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path)?.permissions().mode() & 0o700;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    tracing::warn!(path = %path.display(), "others on this machine could read this; it is its owner's alone now");
    Ok(())
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, ProgramError> {
    let bytes = fs::read(path).map_err(|source| io_error(path, source))?;
    serde_json::from_slice(&bytes).map_err(|error| file_error(path, &error))
}

fn to_json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, ProgramError> {
    serde_json::to_vec_pretty(value).map_err(|error| file_error(path, &error))
}

/// The identity of a server in a file of its keys.
///
/// # Errors
/// When it can't be read.
pub(crate) fn identity_in(path: &Path) -> Result<[u8; 32], ProgramError> {
    let file: KeysFile = read_json(path)?;
    unhex(path, &file.identity_secret)
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
        make_folder(&path.join("keys")).map_err(|source| io_error(path, source))
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
        write_file(&place, &to_json(&place, &file)?, true)
    }

    /// Writes the key of a new epoch; the server's identity stays.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_epoch(&self, epoch: &[u8; 16], epoch_secret: &[u8; 32]) -> Result<(), ProgramError> {
        let place = self.path.join("keys/server.json");
        let known: KeysFile = read_json(&place)?;
        let file = KeysFile { epoch: hex(epoch), epoch_secret: hex(epoch_secret), ..known };
        write_file(&place, &to_json(&place, &file)?, true)
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
        write_file(&self.path.join("keys/card.txt"), letters.as_bytes(), true)
    }

    /// Finishes a new folder.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(path: &Path, file: WijkFile) -> Result<Self, ProgramError> {
        let place = path.join("wijk.json");
        write_file(&place, &to_json(&place, &file)?, false)?;
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

    /// Says at which address phones reach the server from now on. Cards made before keep what stands on them.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_address(&mut self, address: &str) -> Result<(), ProgramError> {
        if self.file.address == address {
            return Ok(());
        }
        let file = WijkFile { address: address.to_owned(), ..self.file.clone() };
        let place = self.path.join("wijk.json");
        write_file(&place, &to_json(&place, &file)?, false)?;
        self.file = file;
        Ok(())
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
        for secret in [self.path.join("keys"), place.clone(), self.path.join("keys/card.txt")] {
            match make_private(&secret) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                made => made.map_err(|source| io_error(&secret, source))?,
            }
        }
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

    /// Opens the server's store.
    ///
    /// # Errors
    /// As for [`ServerStore::open`]; when healing it was broken off between two steps: an empty store must not take its place.
    pub fn server_store(&self) -> Result<ServerStore, ProgramError> {
        let healed = self.path.join(crate::heal::FRESH);
        if !self.store_path(Which::Server).exists() && healed.exists() {
            let what = "healing was broken off: run `samenspraak heal` on this folder again".to_owned();
            return Err(ProgramError::File { path: healed, what });
        }
        ServerStore::open(&self.path, self.wijk()?)
    }

    /// Opens the store of a device in this folder.
    ///
    /// # Errors
    /// As for [`DeviceStore::open`]; [`ProgramError::NoFolder`] when it isn't here (somebody keeps the root's apart): nothing is
    /// made in its place. When the list of what was erased in the wijk can't be read.
    pub fn device_store(&self, device: Which) -> Result<DeviceStore, ProgramError> {
        let path = self.store_path(device);
        if !path.join("journal").exists() {
            let hint = "put its folder back, with its key in keys/";
            return Err(ProgramError::NoFolder { path, what: "store of this device", hint });
        }
        let erased = ErasedLog::read(&self.path, self.wijk()?)?;
        DeviceStore::open(&path, &self.vault(), device.name(), &erased)
    }

    /// The keys of the stores of devices.
    #[must_use]
    pub fn vault(&self) -> FileVault {
        vault(&self.path)
    }

    /// Notes where the running server listens; `None` when it stops.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_serving(&self, address: Option<&str>) -> Result<(), ProgramError> {
        let place = self.path.join("serve.json");
        match address {
            Some(address) => write_file(&place, &to_json(&place, &ServeFile { address: address.to_owned() })?, false),
            None => match fs::remove_file(&place) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error(&place, error)),
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

/// The vault of a wijk's folder.
#[must_use]
pub fn vault(path: &Path) -> FileVault {
    FileVault::new(&path.join("keys"))
}

/// Opens a disk store and says what had to be mended.
///
/// # Errors
/// When it is in use, damaged, or can't be written.
pub fn open_disk(path: &Path) -> Result<(DiskStore, OpenReport), ProgramError> {
    open_disk_as(path, DiskOptions::default())
}

fn open_disk_as(path: &Path, options: DiskOptions) -> Result<(DiskStore, OpenReport), ProgramError> {
    make_folder(path).map_err(|source| io_error(path, source))?;
    let progress = OnProgress::new(told_each_second(path));
    Ok(DiskStore::open(path, DiskOptions { first_rows: first_rows(), progress, ..options })?)
}

/// Says in the log how far the opening of a large store is, no more than once a second.
fn told_each_second(path: &Path) -> impl Fn(Progress) + Send + Sync + 'static {
    let (store, begun, told) = (path.display().to_string(), Instant::now(), AtomicU64::new(0));
    move |progress| {
        let second = begun.elapsed().as_secs();
        let was_told = told.swap(second, Ordering::Relaxed);
        if second > was_told || progress == Progress::Ready && second > 0 {
            match progress {
                Progress::Reading { done, all } => {
                    tracing::info!(store, done_mib = done >> 20, all_mib = all >> 20, "reading the journal");
                }
                Progress::Indexing { done, all } => tracing::info!(store, done, all, "building the index"),
                Progress::Checking { done } => tracing::info!(store, done, "checking the index"),
                Progress::Ready => tracing::info!(store, seconds = second, "the store is ready"),
            }
        }
    }
}

/// Opens a disk store and says in the log what had to be mended.
///
/// # Errors
/// As for [`open_disk`].
pub fn open_store(path: &Path) -> Result<(Arc<DiskStore>, OpenReport), ProgramError> {
    let (store, report) = open_disk(path)?;
    say_report(path, &report);
    Ok((Arc::new(store), report))
}

/// The same for a store that phones wait for: whatever takes more than some milliseconds is done behind the first answers.
///
/// # Errors
/// As for [`open_disk`].
pub fn open_awaited_store(path: &Path) -> Result<(Arc<DiskStore>, OpenReport), ProgramError> {
    let options = DiskOptions { large_bytes: AWAITED_BYTES, ..DiskOptions::default() };
    let (store, report) = open_disk_as(path, options)?;
    say_report(path, &report);
    Ok((Arc::new(store), report))
}

fn say_report(path: &Path, report: &OpenReport) {
    if report.torn_bytes_cut > 0 {
        tracing::warn!(store = %path.display(), bytes = report.torn_bytes_cut, "cut back an unfinished write at the end");
    }
    if let Some(salvaged) = &report.salvaged {
        let (frames, partial) = (salvaged.frames_lost(), salvaged.is_partial);
        tracing::error!(store = %path.display(), frames, partial, "parts of the journal were lost; rows may be missing");
    }
    if let Some(reason) = &report.index_rebuilt {
        let what = if report.is_behind { "the index is built anew" } else { "rebuilt the index from the journal" };
        tracing::info!(store = %path.display(), frames = report.frames, ?reason, "{what}");
    }
}
