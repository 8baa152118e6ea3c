//! Making a wijk and cards: `wijk new` and `invite`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use samenspraak_core::app::entropy::Entropy;
use samenspraak_core::app::{Command, CommandError, Reply};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::membership::Members;
use samenspraak_core::membership::card::{CardLink, CardSecret};
use samenspraak_core::model::{Directory, Role, WijkId};
use samenspraak_core::store::StoreError;
use samenspraak_core::sync::phone::SessionError;
use samenspraak_core::sync::server::Server;
use samenspraak_core::sync::wire::RefusalCode;

use crate::board::access::is_loopback_name;
use crate::client::{Driver, SyncError, entropy};
use crate::date::today;
use crate::device::DeviceStore;
use crate::epoch;
use crate::error::ProgramError;
use crate::folder::{self, Folder, LAYOUT, Which, WijkFile};
use crate::local;
use crate::server_store::ServerStore;

/// How long a command waits for the root's store while a server runs: longer than that server needs to bring what the root wrote.
const ROOT_WAIT: Duration = Duration::from_secs(30);
/// And how often it looks.
const ROOT_LOOK: Duration = Duration::from_millis(100);

/// A wijk that is being made: its stores are open, and its folder isn't a wijk's before [`Founding::finish`].
pub struct Founding {
    path: PathBuf,
    file: WijkFile,
    server_store: ServerStore,
    devices: [DeviceStore; 2],
    /// The root's device.
    pub root: Driver,
    /// The server.
    pub server: Server,
    /// The first board device.
    pub board: Driver,
}

impl Founding {
    /// Makes root, server and a first board device in a new folder; the server received all of it on `day`.
    ///
    /// # Errors
    /// When the folder is in use or can't be written.
    pub fn begin(path: &Path, directory: Directory, address: &str, day: u32) -> Result<Self, ProgramError> {
        crate::client::sync_address(address)?;
        Folder::begin(path)?;
        // The root's key is the first that follows from the randomness of founding, and the server's identity follows from it.
        let founding = entropy();
        let identity = epoch::identity_of(&Entropy::new(founding).bytes());
        let (epoch_secret, random) = (entropy(), entropy());
        let mut epoch = [0; 16];
        epoch.copy_from_slice(&random[..16]);
        Folder::write_keys(path, &identity, &epoch, &epoch_secret)?;
        let place = |which: Which| path.join(which.name());
        let device = |which: Which| DeviceStore::open(&place(which), &folder::vault(path), which.name(), &[]);
        let (root_store, board_store) = (device(Which::Root)?, device(Which::Board)?);
        let mut root = Driver::open(root_store.rows())?;
        let server_key = Key::from_secret(&identity).id();
        let name = directory.name.clone();
        root.command_with(founding, Command::Found { directory, server: server_key, address: address.to_owned() })?;
        let wijk = joined_wijk(&root)?;
        let keys = samenspraak_core::sync::server::ServerKeys {
            identity: Key::from_secret(&identity),
            epoch_key: Key::from_secret(&epoch_secret),
            epoch,
        };
        let server_store = ServerStore::open(path, wijk)?;
        let server = Server::open(wijk, keys, server_store.rows())?;
        let file = WijkFile { layout: LAYOUT, wijk: wijk.to_string(), name, address: address.to_owned() };
        let board = Driver::open(board_store.rows())?;
        let devices = [root_store, board_store];
        let mut founding = Self { path: path.to_owned(), file, server_store, devices, root, server, board };
        let card = founding.cards(Role::Board, 1, day)?.into_iter().next();
        founding.board.command(Command::Join { card: card.ok_or(SyncError::NotJoined)? })?;
        local::sync_on(&mut founding.board, &mut founding.server, day)?;
        Ok(founding)
    }

    /// Makes cards that the server knows.
    ///
    /// # Errors
    /// When a store fails.
    pub fn cards(&mut self, role: Role, count: usize, day: u32) -> Result<Vec<CardLink>, ProgramError> {
        let wijk = joined_wijk(&self.root)?;
        let reply = self.root.command(Command::Invite { role, count })?;
        local::sync_on(&mut self.root, &mut self.server, day)?;
        Ok(card_links(reply, &self.file.address, wijk)?)
    }

    /// Closes the stores and makes the folder a wijk's.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(self) -> Result<Folder, ProgramError> {
        self.devices.iter().try_for_each(DeviceStore::close)?;
        self.server_store.close()?;
        Folder::finish(&self.path, self.file)
    }
}

/// Makes a wijk in a new folder: root, server and a first board device.
///
/// # Errors
/// When the folder is in use or can't be written.
pub fn found(path: &Path, directory: Directory, address: &str) -> Result<Folder, ProgramError> {
    let was_there = path.exists();
    // Looked at before anything else: what was there before is never taken away.
    let is_ours = !was_there || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let made = Founding::begin(path, directory, address, today()).and_then(Founding::finish);
    if made.is_err() && is_ours {
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
    let _ = std::fs::remove_file(path.join(crate::erased_log::NAME));
    if !was_there {
        let _ = std::fs::remove_dir(path);
    }
}

fn joined_wijk(driver: &Driver) -> Result<WijkId, ProgramError> {
    driver.app().joined().map(|joined| joined.identity().wijk).ok_or(ProgramError::Sync(SyncError::NotJoined))
}

fn card_links(reply: Reply, address: &str, wijk: WijkId) -> Result<Vec<CardLink>, SyncError> {
    let Reply::Cards { secrets, .. } = reply else { return Err(SyncError::NotJoined) };
    Ok(secrets
        .into_iter()
        .map(|secret| CardLink { server: address.to_owned(), wijk, secret, device_of: None })
        .collect())
}

/// How far new cards got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The server knows them.
    AtServer,
    /// They are saved here and reach the server when it starts.
    WhenServerStarts,
}

/// While phones bring back what is missing the root writes nothing: its chain would split.
fn may_write(folder: &Folder) -> Result<(), ProgramError> {
    match epoch::refilling(folder.path())? {
        Some(_) => Err(ProgramError::Refilling { path: folder.path().to_owned() }),
        None => Ok(()),
    }
}

/// The root's store. A server that just started has it open itself for a moment.
async fn root_store(folder: &Folder) -> Result<DeviceStore, ProgramError> {
    let until = Instant::now() + ROOT_WAIT;
    loop {
        match folder.device_store(Which::Root) {
            Err(ProgramError::Store(StoreError::Busy { .. }))
                if folder.serving().is_some() && Instant::now() < until =>
            {
                tokio::time::sleep(ROOT_LOOK).await;
            }
            opened => return opened,
        }
    }
}

/// Makes cards, and brings them to the server: over its socket while it runs, into its store while it doesn't.
///
/// # Errors
/// When the folder is no wijk's, or cards can't be saved.
pub async fn invite(folder: &Folder, role: Role, count: usize) -> Result<(Vec<CardLink>, Delivered), ProgramError> {
    may_write(folder)?;
    let store = root_store(folder).await?;
    let mut root = Driver::open(store.rows())?;
    let wijk = folder.wijk()?;
    let reply = root.command(Command::Invite { role, count })?;
    let links = card_links(reply, &folder.file().address, wijk)?;
    let delivered = deliver(folder, &mut root).await?;
    store.close()?;
    Ok((links, delivered))
}

/// Does something with the root's device: it first hears what is new, and brings what it wrote to the server.
///
/// # Errors
/// When the folder is no wijk's, the work fails, or a store does.
pub async fn as_root(
    folder: &Folder,
    work: impl FnOnce(&mut Driver) -> Result<(), ProgramError>,
) -> Result<Delivered, ProgramError> {
    may_write(folder)?;
    let store = root_store(folder).await?;
    let mut root = Driver::open(store.rows())?;
    let result = match deliver(folder, &mut root).await {
        Ok(_) => match work(&mut root) {
            Ok(()) => deliver(folder, &mut root).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    drop(root);
    store.close()?;
    result
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
    match folder.server_store() {
        Ok(store) => {
            let mut server = epoch::open_server(folder, &store)?;
            local::sync(root, &mut server)?;
            epoch::note_heads(folder.path(), store.rows().as_ref(), &server.certificate().epoch)?;
            store.close()?;
            Ok(Delivered::AtServer)
        }
        Err(ProgramError::Store(StoreError::Busy { .. })) => Ok(Delivered::WhenServerStarts),
        Err(error) => Err(error),
    }
}

/// What became of bringing what the root's device wrote.
pub enum Brought {
    /// The server has it, or the root is kept elsewhere and brings it itself.
    Done,
    /// Not now: the root's store is in use elsewhere, a disk is full, or the line broke. What was written stays where it is.
    Later,
}

/// Whether it can be tried again, without anybody doing anything about it.
fn may_pass(error: &SyncError) -> bool {
    let session = [SessionError::NotNow, SessionError::Goodbye];
    match error {
        SyncError::Unreachable { .. } | SyncError::Broken { .. } | SyncError::Refused(RefusalCode::NotNow) => true,
        SyncError::Session(error) => session.contains(error),
        _ => false,
    }
}

/// Brings what the root's device wrote while no server ran to the server that just started at `address`, as any device does, and
/// makes one card for a resident where one is asked for and `card` holds none yet: called again after it could not be brought, it
/// makes no second one. Called beside a server that serves; what it can't do the next start does.
///
/// # Errors
/// When the root's store is damaged, has no key or can't be written, or the server refuses what the root wrote.
pub async fn deliver_beside(
    folder: &Folder,
    address: &str,
    with_card: bool,
    card: &mut Option<CardLink>,
) -> Result<Brought, ProgramError> {
    if epoch::refilling(folder.path())?.is_some() {
        return Ok(Brought::Done);
    }
    let place = folder.clone();
    let opening = tokio::task::spawn_blocking(move || -> Result<_, ProgramError> {
        let store = place.device_store(Which::Root)?;
        let root = Driver::open(store.rows())?;
        Ok((store, root))
    });
    let (store, mut root) = match opening.await {
        Ok(Err(ProgramError::NoFolder { .. })) => return Ok(Brought::Done),
        Ok(Err(ProgramError::Store(StoreError::Busy { .. } | StoreError::Full { .. }))) | Err(_) => {
            return Ok(Brought::Later);
        }
        Ok(opened) => opened?,
    };
    let mut made = Ok(());
    if with_card && card.is_none() {
        let asked = Command::Invite { role: Role::Resident, count: 1 };
        match tokio::task::block_in_place(|| root.command(asked)) {
            Ok(reply) => *card = card_links(reply, &folder.file().address, folder.wijk()?)?.pop(),
            Err(error) => made = Err(error),
        }
    }
    let synced = root.sync_once(address).await;
    drop(root);
    let closed = tokio::task::block_in_place(|| store.close());
    match (synced, made) {
        // A store that stopped on a full disk says so when it is closed; that was the reason then.
        (Err(error), _) if may_pass(&error) => return Ok(Brought::Later),
        (_, Err(CommandError::NotSaved { .. })) => return Ok(Brought::Later),
        (synced, made) => (synced?, made?),
    };
    closed?;
    Ok(Brought::Done)
}

/// Takes what was erased in the wijk out of the root's store too: that device syncs only when cards are made or a server
/// starts, and its files lie in the same folder. One that is in use elsewhere does it when it is opened next.
pub fn erase_in_root(folder: &Folder) {
    // Opening erases what the wijk's list says, and scrubs.
    match folder.device_store(Which::Root).and_then(|store| store.close()) {
        Ok(()) | Err(ProgramError::Store(StoreError::Busy { .. }) | ProgramError::NoFolder { .. }) => {}
        Err(error) => tracing::warn!(error = error.line(), "erased words may still be in the root's store"),
    }
}

/// The card for one resident that was shown before, while nobody used it.
///
/// # Errors
/// When the folder names no wijk.
pub fn unused_card(folder: &Folder, members: &Members) -> Result<Option<CardLink>, ProgramError> {
    let wijk = folder.wijk()?;
    let kept = folder.shown_card().and_then(|letters| CardSecret::parse(&letters).ok());
    let unused = kept.filter(|secret| members.joined_with(secret.public(wijk)).is_none());
    Ok(unused.map(|secret| CardLink { server: folder.file().address.clone(), wijk, secret, device_of: None }))
}

/// A card as it is shown while the server runs: with its address on this machine, `local`, when the wijk's own address is of this
/// machine too.
#[must_use]
pub fn shown_as(card: CardLink, local: &str) -> CardLink {
    let host = card.server.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let server = if is_loopback_name(host) { local.to_owned() } else { card.server };
    CardLink { server, ..card }
}
