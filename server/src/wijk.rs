//! Making a wijk and cards: `wijk new` and `invite`.

use std::path::Path;
use std::sync::Arc;

use samenspraak_core::app::{Command, Reply};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::membership::card::{CardLink, CardSecret};
use samenspraak_core::model::{Directory, Role};
use samenspraak_core::store::{Store, StoreError};
use samenspraak_core::sync::server::Server;

use crate::client::{Driver, SyncError, entropy};
use crate::error::ProgramError;
use crate::folder::{Folder, LAYOUT, Which, WijkFile};
use crate::local;

/// Makes a wijk in a new folder: root, server and a first board device.
///
/// # Errors
/// When the folder is in use or can't be written.
pub fn found(path: &Path, directory: Directory, address: &str) -> Result<Folder, ProgramError> {
    crate::client::sync_address(address)?;
    let was_there = path.exists();
    let made = Folder::begin(path).and_then(|()| found_in(path, directory, address));
    if !matches!(made, Ok(_) | Err(ProgramError::NotEmpty { .. })) {
        clear(path, was_there);
    }
    made
}

/// Takes away what was made of a wijk that could not be finished, so that the same folder can be used again.
fn clear(path: &Path, was_there: bool) {
    // What can't be removed is left for a person: the error that brought us here is the one to tell.
    for name in ["keys", Which::Server.name(), Which::Root.name(), Which::Board.name()] {
        let _ = std::fs::remove_dir_all(path.join(name));
    }
    if !was_there {
        let _ = std::fs::remove_dir(path);
    }
}

fn found_in(path: &Path, directory: Directory, address: &str) -> Result<Folder, ProgramError> {
    let (identity, epoch_secret, random) = (entropy(), entropy(), entropy());
    let mut epoch = [0; 16];
    epoch.copy_from_slice(&random[..16]);
    Folder::write_keys(path, &identity, &epoch, &epoch_secret)?;
    let open = |which: Which| crate::folder::open_store(&path.join(which.name()));

    let (root_store, server_store, board_store) = (open(Which::Root)?, open(Which::Server)?, open(Which::Board)?);
    let mut root = Driver::open(root_store.clone())?;
    let server_key = Key::from_secret(&identity).id();
    let name = directory.name.clone();
    root.command(Command::Found { directory, server: server_key, address: address.to_owned() })?;
    let wijk = joined_wijk(&root)?;

    let keys = samenspraak_core::sync::server::ServerKeys {
        identity: Key::from_secret(&identity),
        epoch_key: Key::from_secret(&epoch_secret),
        epoch,
    };
    let mut server = Server::open(wijk, keys, server_store.clone())?;
    let secret = one_card(root.command(Command::Invite { role: Role::Board, count: 1 })?)?;
    local::sync(&mut root, &mut server)?;
    let mut board = Driver::open(board_store.clone())?;
    board.command(Command::Join { card: CardLink { server: address.to_owned(), wijk, secret } })?;
    local::sync(&mut board, &mut server)?;
    for store in [&root_store, &server_store, &board_store] {
        store.close()?;
    }
    let file = WijkFile { layout: LAYOUT, wijk: wijk.to_string(), name, address: address.to_owned() };
    Folder::finish(path, file)
}

fn joined_wijk(driver: &Driver) -> Result<samenspraak_core::model::WijkId, ProgramError> {
    driver.app().joined().map(|joined| joined.identity().wijk).ok_or(ProgramError::Sync(SyncError::NotJoined))
}

fn one_card(reply: Reply) -> Result<CardSecret, ProgramError> {
    match reply {
        Reply::Cards(cards) => cards.into_iter().next().ok_or(ProgramError::Sync(SyncError::NotJoined)),
        _ => Err(ProgramError::Sync(SyncError::NotJoined)),
    }
}

/// How far new cards got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The server knows them.
    AtServer,
    /// They are saved here and reach the server when it starts.
    WhenServerStarts,
}

/// Makes cards, and brings them to the server: over its socket while it runs, into its store while it doesn't.
///
/// # Errors
/// When the folder is no wijk's, or cards can't be saved.
pub async fn invite(folder: &Folder, role: Role, count: usize) -> Result<(Vec<CardLink>, Delivered), ProgramError> {
    let store = folder.store(Which::Root)?;
    let mut root = Driver::open(Arc::clone(&store) as Arc<dyn Store>)?;
    let wijk = folder.wijk()?;
    let reply = root.command(Command::Invite { role, count })?;
    let Reply::Cards(secrets) = reply else { return Err(ProgramError::Sync(SyncError::NotJoined)) };
    let link = |secret| CardLink { server: folder.file().address.clone(), wijk, secret };
    let links = secrets.into_iter().map(link).collect();
    let delivered = deliver(folder, &mut root).await?;
    store.close()?;
    Ok((links, delivered))
}

/// Brings what the root's device wrote to the server.
///
/// # Errors
/// When the server refuses or a store fails; that no server answers is no error.
async fn deliver(folder: &Folder, root: &mut Driver) -> Result<Delivered, ProgramError> {
    if let Some(address) = folder.serving() {
        match root.sync_once(&address).await {
            Ok(_) => return Ok(Delivered::AtServer),
            Err(SyncError::Unreachable { .. } | SyncError::Broken { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match folder.store(Which::Server) {
        Ok(store) => {
            let mut server = Server::open(folder.wijk()?, folder.keys()?, store.clone())?;
            local::sync(root, &mut server)?;
            store.close()?;
            Ok(Delivered::AtServer)
        }
        Err(ProgramError::Store(StoreError::Busy { .. })) => Ok(Delivered::WhenServerStarts),
        Err(error) => Err(error),
    }
}

/// Brings what the root's device wrote while no server ran to a server that is starting. A root in use elsewhere brings it
/// itself.
///
/// # Errors
/// When a store fails.
pub fn deliver_at_start(folder: &Folder, server: &mut Server) -> Result<(), ProgramError> {
    match folder.store(Which::Root) {
        Ok(store) => {
            let mut root = Driver::open(Arc::clone(&store) as Arc<dyn Store>)?;
            local::sync(&mut root, server)?;
            Ok(store.close()?)
        }
        Err(ProgramError::Store(StoreError::Busy { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}
