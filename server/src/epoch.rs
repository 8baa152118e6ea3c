//! When the server begins a new epoch: its log is no longer the one that it signed, or may not be.
//!
//! ```text
//! new-epoch.json    why the next start begins an epoch; taken away once its key is written
//! refilling.json    phones are bringing back what is missing: root and board write nothing until `wijk refilled`
//! keys/here         the number that the system gave this very file: a copied folder has another one
//! heads.json        where the logs stood when they were noted last, outside the store; the same stands in a row of it
//! ```
//! A new epoch costs every phone one comparison; writing on with the key of a log that went back in time costs the wijk its
//! order. So it begins one whenever it isn't sure. What it can't see (a whole disk that was put back) its phones show it. Not
//! here: numbering (`samenspraak_core::sync::server`).

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use samenspraak_core::entry::sign::Key;
use samenspraak_core::membership::Members;
use samenspraak_core::model::{SpaceId, WijkId};
use samenspraak_core::replica::Replica;
use samenspraak_core::store::log::{Epoch, LogHead, decode_head};
use samenspraak_core::store::{Batch, Store, StoreError, Table, keys};
use samenspraak_core::sync::pieces::PieceReader;
use samenspraak_core::sync::server::{Server, ServerKeys, was_begun};
use serde::{Deserialize, Serialize};

use crate::client::entropy;
use crate::date::today;
use crate::erased_log::unhex;
use crate::error::ProgramError;
use crate::folder::{Folder, file_error, hex, io_error, write_whole};
use crate::server_store::ServerStore;

const NEW_EPOCH: &str = "new-epoch.json";
const REFILLING: &str = "refilling.json";
const HERE: &str = "keys/here";
const HEADS: &str = "heads.json";
/// The row of the store that says the same as `heads.json`.
const NOTED: &[u8] = b"noted-heads";

/// Why an epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// An administrator said so.
    Asked,
    /// The folder was restored from a backup.
    Restored,
    /// The folder was made anew from the root's key.
    Recovered,
    /// Rows were lost when the store was damaged.
    Salvaged,
    /// The store, or what a phone showed, says that the log went back in time.
    WentBack,
    /// The folder is a copy of another one.
    Copied,
}

/// A mark in a folder.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// Why.
    pub why: Why,
    /// The day, as days since 1 January 1970.
    pub day: u32,
}

#[derive(Serialize, Deserialize)]
struct HeadsFile {
    epoch: String,
    /// By space: number of the next item, and the head's hash.
    heads: BTreeMap<String, (u64, String)>,
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, ProgramError> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path, error)),
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| file_error(path, &error)),
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), ProgramError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| file_error(path, &error))?;
    write_whole(path, &bytes, true).map_err(|source| io_error(path, source))
}

fn take_away(path: &Path) -> Result<(), ProgramError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

/// Has the next start of a folder's server begin an epoch.
///
/// # Errors
/// When the mark can't be written.
pub fn ask(folder: &Path, why: Why) -> Result<(), ProgramError> {
    write(&folder.join(NEW_EPOCH), &Mark { why, day: today() })
}

/// Keeps root and board from writing until [`set_refilled`]: what they wrote last may be known to phones alone.
///
/// # Errors
/// When the mark can't be written.
pub fn set_refilling(folder: &Path, why: Why) -> Result<(), ProgramError> {
    write(&folder.join(REFILLING), &Mark { why, day: today() })
}

/// Whether phones are refilling this folder's server.
///
/// # Errors
/// When the mark can't be read.
pub fn refilling(folder: &Path) -> Result<Option<Mark>, ProgramError> {
    read(&folder.join(REFILLING))
}

/// Root and board may write again.
///
/// # Errors
/// When the mark can't be taken away.
pub fn set_refilled(folder: &Path) -> Result<(), ProgramError> {
    take_away(&folder.join(REFILLING))
}

/// Whether this folder is a copy of one that was served, and notes where it is now. A file that doesn't say so is written.
fn is_copied(folder: &Path) -> Result<bool, ProgramError> {
    let path = folder.join(HERE);
    let fail = |source| io_error(&path, source);
    let before = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        read => read.map_err(fail)?.trim().parse::<u64>().ok(),
    };
    let now = number_of(&path).map_err(fail)?;
    if before.is_some() && before == now {
        return Ok(false);
    }
    // Written first, for its number is what is to stand in it.
    write_whole(&path, b"", true).map_err(fail)?;
    if let Some(number) = number_of(&path).map_err(fail)? {
        fs::write(&path, format!("{number}\n")).map_err(fail)?;
    }
    Ok(before.is_some())
}

/// The number by which the system knows a file, where it has one.
fn number_of(path: &Path) -> std::io::Result<Option<u64>> {
    #[cfg(unix)]
    {
        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => Ok(Some(std::os::unix::fs::MetadataExt::ino(&found?))),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(None)
    }
}

/// Notes where the logs stand: in the store, and then outside it. A store that has the row that stands outside holds all that was
/// there when it was written, so the next start need not look into the logs.
///
/// # Errors
/// When they can't be read or written.
pub fn note_heads(folder: &Path, store: &dyn Store, epoch: &Epoch) -> Result<(), ProgramError> {
    let mut heads = BTreeMap::new();
    for row in store.scan(Table::Meta, keys::LOG_HEADS, Some(&keys::after(keys::LOG_HEADS)), usize::MAX)? {
        let key = &row.key[keys::LOG_HEADS.len()..];
        let Some(space) = key.strip_suffix(epoch).and_then(SpaceId::from_bytes) else { continue };
        let head = decode_head(&row.value).map_err(|cause| file_error(folder, &cause))?;
        heads.insert(hex(&space.to_bytes()), (head.next, hex(&head.hash)));
    }
    let path = folder.join(HEADS);
    let noted = HeadsFile { epoch: hex(epoch), heads };
    let noted = serde_json::to_vec_pretty(&noted).map_err(|error| file_error(&path, &error))?;
    if store.get(Table::Meta, NOTED)?.is_none_or(|before| before != noted) {
        let mut batch = Batch::new();
        batch.put(Table::Meta, NOTED, noted.as_slice());
        match store.commit(&batch) {
            // On a full disk the next start looks into the logs instead.
            Ok(()) | Err(StoreError::Full { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    write_whole(&path, &noted, true).map_err(|source| io_error(&path, source))
}

/// Whether the store lacks what was noted of its logs.
fn went_back(folder: &Path, wijk: WijkId, store: &ServerStore, reader: &PieceReader) -> Result<bool, ProgramError> {
    let path = folder.join(HEADS);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        bytes => bytes.map_err(|source| io_error(&path, source))?,
    };
    // Where frames of the journal were lost, rows may be missing that stood before this one.
    let is_whole = store.opened().salvaged.is_none();
    if is_whole && store.rows().get(Table::Meta, NOTED)?.is_some_and(|noted| noted == bytes) {
        return Ok(false);
    }
    let noted: HeadsFile = serde_json::from_slice(&bytes).map_err(|error| file_error(&path, &error))?;
    if noted.epoch != hex(&reader.epoch()) {
        return Ok(false);
    }
    for (space, (next, hash)) in &noted.heads {
        let wrong = || file_error(&folder.join(HEADS), &"the head of a log has another form");
        let space = unhex(space).and_then(|bytes| SpaceId::from_bytes(&bytes)).ok_or_else(wrong)?;
        let hash = unhex(hash).and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)?;
        let empty = LogHead::empty(wijk, space, &reader.epoch());
        if !reader.had_head(space, &empty, &LogHead { next: *next, hash })? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What phones are answered from, before the server that admits is open.
pub struct Ready {
    /// The keys of its epoch.
    pub keys: ServerKeys,
    /// Who belongs.
    pub members: Members,
}

/// Makes a folder's store ready to be read by phones: in a new epoch where one is due, with everything numbered in it. Where none
/// is due this reads what is asked for first in a store, and nothing that grows with the documents.
///
/// # Errors
/// When keys, marks or the store can't be read or written.
pub fn make_ready(folder: &Folder, store: &ServerStore) -> Result<Ready, ProgramError> {
    let (path, wijk, rows) = (folder.path(), folder.wijk()?, store.rows());
    let mut keys = folder.keys()?;
    let asked: Option<Mark> = read(&path.join(NEW_EPOCH))?;
    let copied = is_copied(path)?.then_some(Why::Copied);
    let mut why = asked.map(|mark| mark.why).or(copied);
    if why.is_none() && went_back(path, wijk, store, &keys.reader(wijk, store.rows()))? {
        why = Some(Why::WentBack);
    }
    if why.is_none() && was_begun(rows.as_ref(), &keys.epoch)? {
        let members = Replica::members_in(wijk, rows.as_ref())?;
        return Ok(Ready { keys, members });
    }
    if let Some(why) = why {
        tracing::warn!(?why, "a new epoch begins; phones compare what they have with this server");
        let (random, secret) = (entropy(), entropy());
        let epoch: Epoch = std::array::from_fn(|at| random[at]);
        folder.write_epoch(&epoch, &secret)?;
        // Should this fail, the next start begins another one, and no harm is done.
        take_away(&path.join(NEW_EPOCH))?;
        keys = folder.keys()?;
    }
    let mut server = Server::open(wijk, keys.clone(), Arc::clone(&rows))?;
    let begun = server.begin_epoch(today(), &mut |space, items| {
        tracing::info!(%space, items, "numbered anew");
    })?;
    if begun || why.is_some() {
        note_heads(path, rows.as_ref(), &keys.epoch)?;
    }
    Ok(Ready { keys, members: server.members().clone() })
}

/// Opens a folder's server over its store, made ready ([`make_ready`]).
///
/// # Errors
/// As there.
pub fn open_server(folder: &Folder, store: &ServerStore) -> Result<Server, ProgramError> {
    let Ready { keys, members } = make_ready(folder, store)?;
    Ok(Server::open_around(members, keys, store.rows())?)
}

/// The identity of a wijk's server follows from its root's key, so that the root's key alone can make another server that is
/// the wijk's.
#[must_use]
pub fn identity_of(root_secret: &[u8; 32]) -> [u8; 32] {
    Key::from_secret(root_secret).derive("samenspraak/server-identity/v1", 1, |w| {
        w.uint(0);
    })
}
