//! Simulated power cuts that drop what was not flushed, at any moment of writing and syncing: 0 lost, on the phone and on the
//! server. More of them: `SAMENSPRAAK_KILLS=1000`.
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use samenspraak_core::app::{Command, CommandError, OwnState, Reply};
use samenspraak_core::model::{Choice, Content, EntryId, Role, SpaceId, SubjectId};
use samenspraak_core::store::disk::sim::SimFiles;
use samenspraak_core::store::disk::{DiskOptions, DiskStore};
use samenspraak_core::store::{Store, Table};
use samenspraak_tests::world::{Phone, World};

/// Changes to a disk (writes, cuts, flushes, names) in one life of a phone or server here: the power goes within them.
const CHANGES: usize = 60;
/// Lives of one device in one world.
const LIVES: usize = 3;

fn cuts() -> usize {
    std::env::var("SAMENSPRAAK_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(100)
}

/// A simulated disk for the journal, and a folder for the index, whose loss costs nothing.
struct Disk {
    files: SimFiles,
    index: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        Self { files: SimFiles::new(), index: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Arc<dyn Store> {
        let index_root = Some(self.index.path().to_path_buf());
        // Small segments, so that some rotate.
        let options = DiskOptions { segment_bytes_max: 8000, index_root, ..DiskOptions::default() };
        Arc::new(DiskStore::open_in(Arc::new(self.files.clone()), Path::new("/store"), options).unwrap().0)
    }

    /// The power goes, and comes back.
    fn cut(&self, seed: usize) {
        self.files.power_cut(seed as u64);
    }
}

fn state(phone: &mut Phone, subject: SubjectId) -> Option<OwnState> {
    phone.joined().line(subject).unwrap().and_then(|line| line.item.own)
}

fn first_entry(phone: &mut Phone, subject: SubjectId) -> EntryId {
    phone.joined().view().document(subject).unwrap().1.first
}

/// What the phone's screen promised.
#[derive(Default)]
struct Promised {
    /// Words that were said to be saved; two forms while nobody knows whether an edit was stored.
    words: BTreeMap<SubjectId, Vec<Content>>,
    /// Contributions whose first form was said to have arrived.
    arrived: BTreeSet<SubjectId>,
}

impl Promised {
    /// Looks at the screen during a sync. What it calls arrived has its receipt in the store.
    fn look(&mut self, phone: &mut Phone, seed: usize) {
        for subject in self.words.keys().copied() {
            if matches!(state(phone, subject), Some(OwnState::Arrived { .. })) {
                let id = first_entry(phone, subject);
                let receipt = phone.store.get(Table::Receipt, id.as_bytes()).unwrap();
                assert!(receipt.is_some(), "seed {seed}: {subject} has arrived, but its receipt isn't stored");
                self.arrived.insert(subject);
            }
        }
    }

    /// One thing a person may do; `false` when the phone says that it can't store any more.
    fn act(&mut self, world: &mut World, phone: &mut Phone, others: &[SubjectId], seed: usize) -> bool {
        match world.random.below(6) {
            0 | 1 => {
                let number = world.random.below(100_000);
                let text = format!("Regel {number}. ").repeat(1 + world.random.below(30));
                let content = Content { title: format!("{number}"), text, theme: 1, buurt: String::new() };
                match world.ask(phone, Command::Contribute(content.clone())) {
                    Ok(Reply::Saved { subject, .. }) => drop(self.words.insert(subject, vec![content])),
                    Err(CommandError::NotSaved { .. }) => return false,
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
            2 => {
                let known: Vec<SubjectId> = self.words.keys().copied().collect();
                let Some(subject) = known.get(world.random.below(known.len())) else { return true };
                let forms = self.words.get_mut(subject).unwrap();
                let mut content = forms[0].clone();
                content.text += "En nog iets.";
                forms.push(content.clone());
                match world.ask(phone, Command::Edit { subject: *subject, content }) {
                    Ok(Reply::Saved { subject: same, .. }) if same == *subject => drop(forms.remove(0)),
                    Err(CommandError::NotSaved { .. }) => return false,
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
            3 => {
                let question = others[world.random.below(others.len())];
                let known = phone.joined().view().document(question).is_some();
                let speak = Command::Speak { question, choice: Choice::Agree };
                match world.ask(phone, speak) {
                    Ok(_) => {}
                    Err(CommandError::NotSaved { .. }) => return false,
                    Err(error) => assert!(!known, "seed {seed}: {error:?}"),
                }
            }
            _ => {
                let synced = world.sync_watched(phone, &mut |phone| self.look(phone, seed));
                return synced.disconnected.is_none();
            }
        }
        true
    }

    /// After the power came back.
    fn check(&mut self, world: &World, phone: &mut Phone, seed: usize) {
        let items = phone.joined().contributions().unwrap();
        for (subject, forms) in &mut self.words {
            let item = items.iter().find(|item| item.subject == *subject);
            let item = item.unwrap_or_else(|| panic!("seed {seed}: {subject} was saved and is lost"));
            assert!(forms.contains(&item.content), "seed {seed}: {subject} reads {:?}", item.content);
            *forms = vec![item.content.clone()];
        }
        for subject in &self.arrived {
            let id = first_entry(phone, *subject);
            let receipt = phone.store.get(Table::Receipt, id.as_bytes()).unwrap();
            assert!(receipt.is_some(), "seed {seed}: {subject} had arrived and its receipt is lost");
            assert!(is_at_server(world, id), "seed {seed}: {subject} arrived, but not at the server");
        }
    }
}

fn is_at_server(world: &World, id: EntryId) -> bool {
    world.server().replica().place_of(id).unwrap().is_some_and(|place| place.space == SpaceId::Open)
}

#[test]
fn what_a_phone_said_is_saved_survives_power_cuts_while_it_writes_and_syncs() {
    let (mut words, mut arrived_before, mut cut_while_working) = (0, 0, 0);
    for seed in 0..cuts().div_ceil(LIVES) {
        let mut world = World::with_seed(5000 + seed as u64);
        let mut other = world.join(Role::Resident);
        let others: Vec<SubjectId> = (0..3).map(|at| contribute(&mut world, &mut other, at)).collect();
        world.sync(&mut other);
        let card = world.card(Role::Resident);
        let (disk, mut promised) = (Disk::new(), Promised::default());
        let mut phone = Phone::open(disk.open());
        let mut joined = false;
        for life in 0..LIVES {
            let seed = seed * LIVES + life;
            // From the very first change on, joining included.
            disk.files.fail_after(world.random.below(CHANGES) as u64);
            let mut on = true;
            if !joined {
                match world.ask(&mut phone, Command::Join { card: card.clone() }) {
                    Ok(Reply::Joined { .. }) => joined = true,
                    Err(CommandError::NotSaved { .. }) => on = false,
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
            let mut acts = 0;
            while on && acts < 40 {
                on = promised.act(&mut world, &mut phone, &others, seed);
                acts += 1;
            }
            cut_while_working += usize::from(!on);
            if joined {
                promised.look(&mut phone, seed);
            }
            disk.cut(seed);
            phone = Phone::open(disk.open());
            joined = joined_after(&mut world, &mut phone, &card, joined, seed);
            if joined {
                promised.check(&world, &mut phone, seed);
            }
        }
        if !joined {
            world.ask(&mut phone, Command::Join { card }).unwrap();
        }
        arrived_before += promised.arrived.len();
        words += promised.words.len();
        assert_eq!(world.sync(&mut phone).settled, Some(None), "seed {seed}");
        world.sync(&mut other);
        let seen = other.joined().contributions().unwrap();
        for (subject, forms) in &promised.words {
            assert!(matches!(state(&mut phone, *subject), Some(OwnState::Arrived { .. })), "seed {seed}: {subject}");
            let item = seen.iter().find(|item| item.subject == *subject).unwrap();
            assert_eq!(item.content, forms[0], "seed {seed}");
        }
    }
    println!(
        "{} power cuts, {cut_while_working} of them while working: {words} saved, {arrived_before} of them had arrived; 0 lost",
        cuts().div_ceil(LIVES) * LIVES
    );
    assert!(cut_while_working * 2 > cuts() && arrived_before > cuts() / 4);
}

/// Whether the phone has joined, as its store says. A phone that was told so has.
fn joined_after(
    world: &mut World,
    phone: &mut Phone,
    card: &samenspraak_core::membership::card::CardLink,
    told: bool,
    seed: usize,
) -> bool {
    match world.ask(phone, Command::Join { card: card.clone() }) {
        Err(CommandError::AlreadyJoined { .. }) => true,
        Ok(Reply::Joined { .. }) if !told => true,
        other => panic!("seed {seed}: told {told}, but {other:?}"),
    }
}

fn contribute(world: &mut World, phone: &mut Phone, number: usize) -> SubjectId {
    let title = format!("{number}");
    let content = Content { title, text: "Donker. ".repeat(1 + number % 20), theme: 1, buurt: String::new() };
    match world.ask(phone, Command::Contribute(content)).unwrap() {
        Reply::Saved { subject, .. } => subject,
        other => panic!("saved, not {other:?}"),
    }
}

#[test]
fn an_entry_whose_receipt_a_phone_holds_is_on_the_server_after_power_cuts() {
    let (mut arrived_in_all, mut cut_while_working) = (0, 0);
    for seed in 0..cuts().div_ceil(LIVES) {
        let disk = Disk::new();
        let mut world = World::with_store(7000 + seed as u64, disk.open());
        let mut phones: Vec<Phone> = (0..3).map(|_| world.join(Role::Resident)).collect();
        let mut written: Vec<Vec<SubjectId>> = vec![Vec::new(); phones.len()];
        let mut arrived: BTreeSet<EntryId> = BTreeSet::new();
        for life in 0..LIVES {
            let seed = seed * LIVES + life;
            disk.files.fail_after(world.random.below(CHANGES) as u64);
            let mut turns = 0;
            while !world.server_failed() && turns < 60 {
                let at = world.random.below(phones.len());
                for _ in 0..world.random.below(3) {
                    let number = world.random.below(1000);
                    written[at].push(contribute(&mut world, &mut phones[at], number));
                }
                let mine = written[at].clone();
                world.sync_watched(&mut phones[at], &mut |phone| {
                    for subject in &mine {
                        if matches!(state(phone, *subject), Some(OwnState::Arrived { .. })) {
                            arrived.insert(first_entry(phone, *subject));
                        }
                    }
                });
                turns += 1;
            }
            cut_while_working += usize::from(world.server_failed());
            disk.cut(seed);
            world.restart_server_with(disk.open());
            for id in &arrived {
                assert!(is_at_server(&world, *id), "seed {seed}: {id:?} had arrived and is lost");
            }
        }
        arrived_in_all += arrived.len();
        for (phone, written) in phones.iter_mut().zip(&written) {
            assert_eq!(world.sync(phone).settled, Some(None), "seed {seed}");
            for subject in written {
                assert!(matches!(state(phone, *subject), Some(OwnState::Arrived { .. })), "seed {seed}: {subject}");
            }
        }
        // Each phone has what all wrote.
        let all: usize = written.iter().map(Vec::len).sum();
        for phone in &mut phones {
            assert_eq!(world.sync(phone).settled, Some(None), "seed {seed}");
            assert_eq!(phone.joined().contributions().unwrap().len(), all, "seed {seed}");
        }
    }
    println!(
        "{} power cuts of the server, {cut_while_working} while working: {arrived_in_all} had arrived; 0 lost",
        cuts().div_ceil(LIVES) * LIVES
    );
    assert!(cut_while_working * 2 > cuts() && arrived_in_all > cuts());
}
