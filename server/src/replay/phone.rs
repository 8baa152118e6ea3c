//! One participant's phone: with a disk, where it dies between writing and syncing, or in memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use samenspraak_core::app::{Command, Reply};
use samenspraak_core::membership::card::CardLink;
use samenspraak_core::model::{EntryId, PersonId, SubjectId};
use samenspraak_core::store::{MemoryStore, Store};
use samenspraak_core::sync::phone::SessionError;
use samenspraak_core::sync::wire::RefusalCode;
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use super::input::Act;
use super::play::World;
use super::schedule::Batch;
use super::seeded::Seeded;
use super::worker::{Ask, Given, Worker, content, has_all, open_store};
use crate::client::{Driver, SyncError};
use crate::device::{DeviceStore, PHONE, phone_vault, read_device};
use crate::error::ProgramError;

/// How long a phone tries to sync before the replay fails: far longer than a server is away.
const PATIENCE: Duration = Duration::from_secs(120);
/// First and longest wait between tries, in milliseconds; a neighbourhood's phones wait longer.
const WAIT_MS: (u64, u64) = (20, 500);

/// What syncing took.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Syncs that finished.
    pub syncs: u64,
    /// Syncs that broke and were repeated.
    pub broken: u64,
    /// Bytes sent in syncs that finished.
    pub bytes_up: u64,
    /// Bytes received in syncs that finished.
    pub bytes_down: u64,
}

impl Traffic {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.syncs += other.syncs;
        self.broken += other.broken;
        self.bytes_up += other.bytes_up;
        self.bytes_down += other.bytes_down;
    }
}

/// Whether trying again can help: the server is away, or went away meanwhile.
fn may_pass(error: &SyncError) -> bool {
    match error {
        SyncError::Unreachable { .. } | SyncError::Broken { .. } => true,
        SyncError::Session(error) => matches!(error, SessionError::Goodbye | SessionError::NotNow),
        SyncError::Refused(code) => *code == RefusalCode::NotNow,
        SyncError::Address { .. } | SyncError::Trust { .. } | SyncError::NoNetwork | SyncError::NotJoined => false,
    }
}

/// Syncs until it has worked, waiting longer after each failure.
pub async fn sync_patiently(driver: &mut Driver, address: &str, seeded: &mut Seeded) -> Result<Traffic, ProgramError> {
    let (until, mut wait_ms) = (Instant::now() + PATIENCE, WAIT_MS.0);
    let mut traffic = Traffic::default();
    loop {
        match driver.sync_once(address).await {
            Ok(moved) => {
                let (bytes_up, bytes_down) = (moved.bytes_up, moved.bytes_down);
                traffic.add(Traffic { syncs: 1, broken: 0, bytes_up, bytes_down });
                return Ok(traffic);
            }
            Err(error) if may_pass(&error) && Instant::now() < until => {
                traffic.broken += 1;
                sleep(Duration::from_millis(wait_ms + seeded.below(wait_ms))).await;
                wait_ms = (wait_ms * 2).min(WAIT_MS.1);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// See the module.
pub struct Phone {
    /// Its participant (an index).
    pub index: usize,
    /// Where its disk is, if it has one.
    pub disk: Option<PathBuf>,
    /// The person it joined as.
    pub person: Option<PersonId>,
    /// Every entry that it said was saved.
    pub saved: Vec<EntryId>,
    /// How often it died.
    pub deaths: u64,
    /// What syncing took.
    pub traffic: Traffic,
    card: CardLink,
    seeded: Seeded,
    /// A phone in memory lives all the time; one with a disk only while something is done with it.
    driver: Option<Driver>,
    /// The disk below the driver.
    store: Option<DeviceStore>,
}

impl Phone {
    /// A phone that hasn't joined.
    pub fn new(index: usize, seed: u64, card: CardLink, disk: Option<PathBuf>) -> Self {
        let seeded = Seeded::new(seed, "phone", index);
        let traffic = Traffic::default();
        Self {
            index,
            disk,
            person: None,
            saved: Vec::new(),
            deaths: 0,
            traffic,
            card,
            seeded,
            driver: None,
            store: None,
        }
    }

    /// Does what a batch says offline, dies if it has a disk, comes back, and syncs.
    pub async fn perform(&mut self, world: &World, batch: &Batch) -> Result<(), ProgramError> {
        match self.disk.clone() {
            Some(disk) => block_in_place(|| self.write_and_die(world, batch, &disk))?,
            None => self.write(world, batch).await?,
        }
        self.sync(world).await?;
        // Now and then the next death comes at a quiet moment, after a sync.
        let dies = self.disk.is_some() && self.seeded.once_in(5);
        if dies {
            self.die();
        }
        self.rest()
    }

    /// The driver, opened if it wasn't.
    pub fn driver(&mut self) -> Result<&mut Driver, ProgramError> {
        let driver = match self.driver.take() {
            Some(driver) => driver,
            None => {
                let store: Arc<dyn Store> = match &self.disk {
                    Some(disk) => self.store.insert(block_in_place(|| open_store(disk))?).rows(),
                    None => Arc::new(MemoryStore::new()),
                };
                block_in_place(|| Driver::open(store))?
            }
        };
        Ok(self.driver.insert(driver))
    }

    /// Syncs until it has worked.
    pub async fn sync(&mut self, world: &World) -> Result<(), ProgramError> {
        let mut seeded = Seeded::new(self.seeded.below(u64::MAX), "sync", 0);
        let driver = self.driver()?;
        let under_way = world.sync_begins();
        let traffic = sync_patiently(driver, &world.address, &mut seeded).await?;
        drop(under_way);
        self.traffic.add(traffic);
        Ok(())
    }

    /// Drops everything without closing the store, which is what a crash does.
    pub fn die(&mut self) {
        self.deaths += u64::from(self.driver.is_some());
        self.put_away();
    }

    /// Ends the app of a phone with a disk in order; one in memory lives on.
    pub fn rest(&mut self) -> Result<(), ProgramError> {
        if let Some(store) = self.store.take() {
            self.driver = None;
            block_in_place(|| store.close())?;
        }
        Ok(())
    }

    /// Drops everything that is open; a disk keeps what is on it.
    pub fn put_away(&mut self) {
        self.driver = None;
        self.store = None;
    }

    /// Opens the app again: over the same memory, or after a death over what is on the disk. A disk is only read, so that
    /// no index has to be built for one look.
    pub fn reopen(&mut self) -> Result<(), ProgramError> {
        let store: Arc<dyn Store> = match &self.disk {
            Some(disk) => {
                let disk = disk.clone();
                self.die();
                block_in_place(|| read_device(&disk, &phone_vault(&disk), PHONE))?.0
            }
            None => Arc::clone(self.driver()?.store()),
        };
        self.driver = Some(block_in_place(|| Driver::open(store))?);
        Ok(())
    }

    async fn write(&mut self, world: &World, batch: &Batch) -> Result<(), ProgramError> {
        if self.person.is_none() {
            let (entropy, card) = (self.seeded.bytes(), self.card.clone());
            let driver = self.driver()?;
            match block_in_place(|| driver.command_with(entropy, Command::Join { card }))? {
                Reply::Joined { person, .. } => self.person = Some(person),
                _ => return Err(SyncError::NotJoined.into()),
            }
        }
        let needed = world.needed(batch);
        if !has_all(self.driver()?, &needed) {
            self.sync(world).await?;
        }
        block_in_place(|| {
            for act in &batch.acts {
                let entropy = self.seeded.bytes();
                let command = match *act {
                    Act::Write(statement) => Command::Contribute(content(&world.statement(statement).text)),
                    Act::Vote(statement, choice) => Command::Speak { question: world.subject(statement)?, choice },
                };
                match self.driver()?.command_with(entropy, command)? {
                    Reply::Saved { subject, id } => self.took(world, *act, &Given::Saved(subject, id)),
                    _ => self.took(world, *act, &Given::Unchanged),
                }
            }
            Ok(())
        })
    }

    /// Writes in a process that is killed: perhaps once in the middle, while it saves a vote, and always at the end.
    fn write_and_die(&mut self, world: &World, batch: &Batch, disk: &std::path::Path) -> Result<(), ProgramError> {
        let needed = world.needed(batch);
        let mut worker = self.begin(world, &needed, disk)?;
        let dies_at = self.seeded.once_in(3).then(|| self.seeded.below(batch.acts.len().max(1) as u64) as usize);
        for (at, act) in batch.acts.iter().enumerate() {
            let ask = self.ask(world, *act)?;
            if Some(at) == dies_at && matches!(act, Act::Vote(..)) {
                worker.ask_only(&ask)?;
                // Before, while or after it is flushed: whichever comes.
                let pause = Duration::from_micros(self.seeded.below(3_000));
                std::thread::park_timeout(pause);
                worker.kill()?;
                self.deaths += 1;
                worker = self.begin(world, &needed, disk)?;
            }
            let given = worker.act(&self.ask(world, *act)?)?;
            self.took(world, *act, &given);
        }
        worker.kill()?;
        self.deaths += 1;
        Ok(())
    }

    fn begin(&mut self, world: &World, needed: &[SubjectId], disk: &std::path::Path) -> Result<Worker, ProgramError> {
        let mut worker = Worker::start(disk)?;
        if self.person.is_none() {
            self.person = Some(worker.join(self.seeded.bytes(), &self.card)?);
        }
        let seed = self.seeded.below(u64::MAX);
        let under_way = world.sync_begins();
        self.traffic.add(worker.have(needed, &world.address, seed)?);
        drop(under_way);
        Ok(worker)
    }

    fn ask(&mut self, world: &World, act: Act) -> Result<Ask, ProgramError> {
        let entropy = self.seeded.bytes();
        Ok(match act {
            Act::Write(statement) => {
                let content = content(&world.statement(statement).text);
                Ask::Write { entropy, title: content.title, text: content.text }
            }
            Act::Vote(statement, choice) => {
                let subject = world.subject(statement)?.to_string();
                Ask::Vote { entropy, subject, choice: choice.number() }
            }
        })
    }

    fn took(&mut self, world: &World, act: Act, given: &Given) {
        if let Given::Saved(subject, id) = given {
            self.saved.push(*id);
            if let Act::Write(statement) = act {
                world.written(statement, *subject);
            }
        }
        world.step();
    }
}
