//! A server that is lost entirely: `wijk root-key` before, `wijk recover` and `wijk refilled` after.
//!
//! The root's key on paper is enough: the server's identity follows from it, so phones know the new server by the word that the
//! root gave when the wijk was founded. The server begins empty, in a new epoch, and its phones bring what they hold. The root's
//! own chain comes back from them too; until an administrator says that enough of them came, the root and the board's
//! device write nothing, for an entry at a place where phones know another one would split their chain for good. Must never
//! guess that moment.

use std::path::{Path, PathBuf};

use samenspraak_core::app::{Command, Identity, Reply};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::hash::tagged;
use samenspraak_core::letters;
use samenspraak_core::membership::card::CardLink;
use samenspraak_core::model::{Role, WijkId};
use samenspraak_core::store::StoreError;

use crate::client::{Driver, SyncError, entropy};
use crate::device::DeviceStore;
use crate::epoch::{self, Why};
use crate::erased_log::{ErasedLog, unhex};
use crate::error::ProgramError;
use crate::folder::{self, Folder, LAYOUT, Which, WijkFile};
use crate::local;
use crate::server_store::ServerStore;

/// Bytes by which a mistyped key, or the key of another wijk, is noticed: one in four billion isn't.
const CHECK_BYTES: usize = 4;
const PAPER_BYTES: usize = 32 + CHECK_BYTES;

/// The root's key as letters for paper; the last ones are a check over the key and its wijk.
fn on_paper(wijk: WijkId, secret: &[u8; 32]) -> [u8; PAPER_BYTES] {
    let check = tagged("samenspraak/root-key/v1", 2, |w| {
        w.bytes(wijk.as_bytes()).bytes(secret);
    });
    let mut paper = [0; PAPER_BYTES];
    paper[..32].copy_from_slice(secret);
    paper[32..].copy_from_slice(&check[..CHECK_BYTES]);
    paper
}

fn from_paper(wijk: WijkId, text: &str) -> Result<[u8; 32], ProgramError> {
    let wrong =
        || ProgramError::Argument("these letters are not the root's key of this wijk; nothing was changed".into());
    let paper: [u8; PAPER_BYTES] =
        letters::read(text).ok().and_then(|values| letters::join(&values)).ok_or_else(wrong)?;
    let mut secret = [0; 32];
    secret.copy_from_slice(&paper[..32]);
    if on_paper(wijk, &secret) == paper { Ok(secret) } else { Err(wrong()) }
}

/// Prints the root's key for paper.
///
/// # Errors
/// When the root's store isn't here or can't be read.
pub fn print_root_key(path: &Path) -> Result<(), ProgramError> {
    let folder = Folder::open(path)?;
    let store = folder.device_store(Which::Root)?;
    let identity = Identity::read(store.rows().as_ref())?.ok_or(SyncError::NotJoined)?;
    store.close()?;
    let secret = identity.signing_secret;
    say!("wijk {}", identity.wijk);
    say!("root key {}", letters::write(&letters::split(&on_paper(identity.wijk, &secret))));
    say!("Keep both on paper, apart from this machine. Who has them can name another server and other administrators.");
    if Key::from_secret(&epoch::identity_of(&secret)).id() != folder.keys()?.identity.id() {
        say!(
            "This wijk was made by an older version: keep a copy of keys/server.json with them, `wijk recover` needs it too."
        );
    }
    Ok(())
}

/// What an empty server is made from.
#[derive(Debug)]
pub struct Recovery {
    /// The wijk, 64 hexadecimal digits.
    pub wijk: String,
    /// File with the letters of the root's key.
    pub root_key: PathBuf,
    /// Name of the wijk.
    pub name: String,
    /// Address at which phones reach the server: the one on their cards.
    pub address: String,
    /// `keys/server.json` of a wijk that was made by an older version.
    pub server_key: Option<PathBuf>,
    /// A copy of `erased.log`.
    pub erased: Option<PathBuf>,
}

/// Makes an empty server of a wijk that lost its own, in a new folder.
///
/// # Errors
/// When the key isn't the wijk's root's, the folder is in use, or something can't be read or written.
pub fn recover(path: &Path, recovery: &Recovery) -> Result<Folder, ProgramError> {
    crate::client::sync_address(&recovery.address)?;
    let wijk = unhex(&recovery.wijk).and_then(|bytes| bytes.try_into().ok()).map(WijkId::new);
    let wijk = wijk.ok_or_else(|| ProgramError::Argument("a wijk is 64 hexadecimal digits".into()))?;
    let read = |path: &Path| std::fs::read(path).map_err(|source| folder::io_error(path, source));
    let paper = read(&recovery.root_key)?;
    let secret = from_paper(wijk, &String::from_utf8_lossy(&paper))?;
    let server = match &recovery.server_key {
        Some(file) => folder::identity_in(file)?,
        None => epoch::identity_of(&secret),
    };
    let erased = recovery.erased.as_deref().map(|path| Ok::<_, ProgramError>((path, read(path)?))).transpose()?;
    if let Some((path, bytes)) = &erased {
        ErasedLog::check(path, wijk, bytes)?;
    }
    Folder::begin(path)?;
    let random = entropy();
    let first: [u8; 16] = std::array::from_fn(|at| random[at]);
    Folder::write_keys(path, &server, &first, &entropy())?;
    if let Some((_, bytes)) = &erased {
        let place = path.join(crate::erased_log::NAME);
        folder::write_whole(&place, bytes, true).map_err(|source| folder::io_error(&place, source))?;
    }
    let root = DeviceStore::open(&path.join(Which::Root.name()), &folder::vault(path), Which::Root.name(), &[])?;
    Identity::of_root(wijk, secret, recovery.address.clone(), entropy()).write(root.rows().as_ref())?;
    root.close()?;
    ServerStore::open(path, wijk)?.close()?;
    epoch::set_refilling(path, Why::Recovered)?;
    epoch::ask(path, Why::Recovered)?;
    let (name, address) = (recovery.name.clone(), recovery.address.clone());
    Folder::finish(path, WijkFile { layout: LAYOUT, wijk: wijk.to_string(), name, address })
}

/// Lets root and board write again, after they heard what they had written before. Where the board's device is gone, another
/// one joins.
///
/// # Errors
/// When the server runs, nothing came back yet, or a store fails.
pub fn refilled(path: &Path) -> Result<(), ProgramError> {
    let folder = Folder::open(path)?;
    if epoch::refilling(path)?.is_none() {
        say!("nothing to do: root and board of this wijk write already");
        return Ok(());
    }
    let store = match folder.server_store() {
        Err(ProgramError::Store(StoreError::Busy { .. })) => {
            return Err(ProgramError::Argument("stop the server first; nothing was changed".into()));
        }
        opened => opened?,
    };
    let mut server = epoch::open_server(&folder, &store)?;
    if server.members().root().is_none() {
        let what = "no phone has brought anything back yet: serve this folder, and let people open their apps";
        return Err(ProgramError::Found { what: what.into() });
    }
    let root_store = folder.device_store(Which::Root)?;
    let mut root = Driver::open(root_store.rows())?;
    catch_up(&mut root, &mut server)?;
    let board = folder.store_path(Which::Board);
    if board.join("journal").exists() {
        let store = folder.device_store(Which::Board)?;
        catch_up(&mut Driver::open(store.rows())?, &mut server)?;
        store.close()?;
    } else {
        let store = DeviceStore::open(&board, &folder.vault(), Which::Board.name(), &[])?;
        let mut device = Driver::open(store.rows())?;
        let Reply::Cards { secrets, .. } = root.command(Command::Invite { role: Role::Board, count: 1 })? else {
            return Err(SyncError::NotJoined.into());
        };
        local::sync(&mut root, &mut server)?;
        let secret = secrets.into_iter().next().ok_or(SyncError::NotJoined)?;
        let server_address = folder.file().address.clone();
        let card = CardLink { server: server_address, wijk: folder.wijk()?, secret, device_of: None };
        device.command(Command::Join { card })?;
        local::sync(&mut device, &mut server)?;
        store.close()?;
        say!("another device of the board joined; what was sealed to the old one alone stays closed");
    }
    drop(root);
    root_store.close()?;
    let entries: u64 = {
        let replica = server.replica();
        let spaces = replica.spaces();
        spaces.iter().flat_map(|space| replica.frontier(*space)).map(|(_, head)| head.seq + 1).sum()
    };
    drop(server);
    store.close()?;
    epoch::set_refilled(path)?;
    say!("refilled: {entries} entries are here; root and board write again");
    Ok(())
}

/// Lets a device hear what it wrote before its store was put back, without writing anything itself.
fn catch_up(device: &mut Driver, server: &mut samenspraak_core::sync::server::Server) -> Result<(), ProgramError> {
    device.app_mut().hold_duties(true);
    local::sync(device, server)?;
    device.app_mut().hold_duties(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_on_paper_is_read_as_people_type_it_and_noticed_when_it_is_mistyped() {
        let (wijk, secret) = (WijkId::new([7; 32]), std::array::from_fn(|at| at as u8));
        let text = letters::write(&letters::split(&on_paper(wijk, &secret)));
        assert_eq!(from_paper(wijk, &format!(" {}\n", text.to_lowercase())).unwrap(), secret);
        assert!(from_paper(WijkId::new([8; 32]), &text).is_err(), "another wijk's");
        for at in 0..text.len() {
            let mut typed: Vec<char> = text.chars().collect();
            typed[at] = match typed[at] {
                '-' => continue,
                '7' => '8',
                _ => '7',
            };
            let typed: String = typed.into_iter().collect();
            assert!(from_paper(wijk, &typed).is_err(), "letter {at}");
        }
    }
}
