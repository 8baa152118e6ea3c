//! Promise: what is erased leaves every file of server and phones, and nobody who had it brings it back.
//!
//! A canary (a random string) is written, synced and found in every file system by a scanner; then it is erased, and the same
//! scanner finds no eight bytes of it, raw, decrypted or unpacked, nor of the sealed bytes that held it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::sync::Arc;

use samenspraak_core::app::{App, Command, Reply, Sealing};
use samenspraak_core::entry::Kind;
use samenspraak_core::entry::codec::{self, Record};
use samenspraak_core::model::{Content, Role, SpaceId, SubjectId};
use samenspraak_core::replica::{Hashes, RunBatch, Side, erase_again};
use samenspraak_core::store::disk::{DiskOptions, DiskStore};
use samenspraak_core::store::erased::{self, is_scrub_due, scrub_if_due};
use samenspraak_core::store::{CachedStore, MemoryStore, SealedStore, Store};
use samenspraak_core::sync::server::PushJob;
use samenspraak_core::sync::wire::Frame;
use samenspraak_core::vault::{KeyVault, MasterKey, MemoryVault};
use samenspraak_tests::scan::{Found, Scanner, canary};
use samenspraak_tests::world::{DAY, Phone, Seeded, World, copy_of};

const KEY: &str = "phone";

/// Folders of a server and phones, and the key that all phones here have.
struct Disks {
    root: tempfile::TempDir,
    vault: Arc<MemoryVault>,
}

impl Disks {
    fn new() -> Self {
        let vault = Arc::new(MemoryVault::new());
        vault.keep(KEY, &MasterKey::new([0x6b; 32])).unwrap();
        Self { root: tempfile::tempdir().unwrap(), vault }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Small segments, so that words stand in more than one.
    fn disk(&self, name: &str) -> Arc<DiskStore> {
        let options = DiskOptions { segment_bytes_max: 8_000, ..DiskOptions::default() };
        Arc::new(DiskStore::open(&self.path(name), options).unwrap().0)
    }

    /// As the server has it: rows in memory above the disk.
    fn server(&self, name: &str) -> Arc<dyn Store> {
        Arc::new(CachedStore::new(self.disk(name)))
    }

    /// As a phone has it: sealed.
    fn sealed(&self, name: &str) -> Arc<dyn Store> {
        let place = self.path(name).display().to_string();
        Arc::new(SealedStore::open(self.disk(name), place, self.vault.as_ref(), KEY, [7; 32]).unwrap().0)
    }

    fn join(&self, world: &mut World, name: &str) -> Phone {
        let card = world.card(Role::Resident);
        let mut phone = world.join_with(card, self.sealed(name));
        assert_eq!(world.sync(&mut phone).settled, Some(None));
        phone
    }

    fn scanner(&self, canaries: &[&str]) -> Scanner {
        Scanner::new(canaries).with_key(self.vault.clone(), KEY)
    }

    fn scan(&self, scanner: &Scanner, name: &str) -> Found {
        scanner.scan(&self.path(name))
    }

    #[track_caller]
    fn assert_gone(&self, scanner: &Scanner, name: &str, when: &str) {
        let found = self.scan(scanner, name);
        assert!(found.is_empty(), "{when}: {name} holds it: {:?} {:?}", found.raw, found.inside);
    }

    #[track_caller]
    fn assert_there(&self, scanner: &Scanner, name: &str, when: &str) -> Found {
        let found = self.scan(scanner, name);
        assert!(!found.is_empty(), "{when}: {name} doesn't hold it, so this test shows nothing");
        found
    }
}

fn contribute(world: &mut World, phone: &mut Phone, title: &str, text: &str) -> SubjectId {
    match world.ask(phone, Command::Contribute(words(title, text))).unwrap() {
        Reply::Saved { subject, .. } => subject,
        other => panic!("{other:?}"),
    }
}

/// A long text with something in its middle.
fn long(middle: &str) -> String {
    let filler = "De lamp bij de oversteek is al weken stuk. ".repeat(20);
    format!("{filler}{middle} {filler}")
}

/// Everything a phone has of two spaces, pushed to a server as a relay would: every chain, with the bodies that it holds.
fn relay(world: &mut World, from: &mut Phone) -> usize {
    let mut taken = 0;
    for space in [SpaceId::Members, SpaceId::Open] {
        let mut waiting: Vec<_> = from.joined().replica().frontier(space).map(|(device, _)| device).collect();
        // Chains depend on each other; one that is refused now may be taken after another.
        for _ in 0..waiting.len() + 1 {
            waiting.retain(|device| {
                let replica = from.joined().replica();
                let packed = replica.pack_chain(space, *device, 0, 200, 500_000, Hashes::Given).unwrap().unwrap();
                let batch = RunBatch { runs: vec![packed.run], order: Vec::new() };
                let job = PushJob { push: 0, space, batch };
                let (frames, _) = world.server_mut().admit(&[job], DAY).unwrap();
                let accepted = matches!(frames[0], Frame::Receipt(_));
                taken += usize::from(accepted);
                !accepted
            });
        }
    }
    taken
}

fn words(title: &str, text: &str) -> Content {
    Content { title: title.into(), text: text.into(), theme: 1, buurt: String::new() }
}

/// What was written to be erased.
struct Written {
    /// Looks for all of it, and for the sealed bytes that held it anywhere.
    scanner: Scanner,
    /// Erased by its author.
    erased: Vec<SubjectId>,
    /// Erased by an edit that takes words away.
    edited: SubjectId,
}

/// Writes canaries in every way there is, brings them to everybody, and shows that the scanner finds each of them everywhere.
fn write_and_find(disks: &Disks, world: &mut World, author: &mut Phone, others: &mut [(&str, &mut Phone)]) -> Written {
    let mut random = Seeded::new(world.random.bits());
    let canaries: Vec<String> = (0..4).map(|_| canary(&mut random)).collect();
    let (short, middle, added, taken) = (&canaries[0], &canaries[1], &canaries[2], &canaries[3]);
    let mut erased = vec![contribute(world, author, &format!("Kort {short}"), "Woorden.")];
    erased.push(contribute(world, author, "Lang", &long(middle)));
    // Words that are added later are a change of their own.
    let content = words("Lang", &format!("{} {added}", long(middle)));
    world.ask(author, Command::Edit { subject: erased[1], content }).unwrap();
    let edited = contribute(world, author, "Vergissing", &format!("Ik bedoel {taken} niet."));
    world.sync(author);
    for (_, phone) in others.iter_mut() {
        world.sync(phone);
    }
    let names = ["server", "author"].into_iter().chain(others.iter().map(|(name, _)| *name));
    let all: Vec<&str> = canaries.iter().map(String::as_str).collect();
    let mut scanner = disks.scanner(&all);
    for name in names {
        for one in &all {
            disks.assert_there(&disks.scanner(&[one]), name, "before");
        }
        let found = disks.scan(&disks.scanner(&all), name);
        if name == "server" {
            assert!(!found.raw.is_empty() && found.sealed.is_empty(), "{found:?}");
        } else {
            assert!(found.raw.is_empty() && found.sealed.len() > 3, "{name} holds it unsealed: {:?}", found.raw);
        }
        scanner.learn(&found);
    }
    Written { scanner, erased, edited }
}

/// Its author takes everything back, offline.
fn erase(world: &mut World, author: &mut Phone, written: &Written) {
    for subject in &written.erased {
        world.ask(author, Command::Erase(*subject)).unwrap();
    }
    let content = words("Vergissing", "Ik bedoel iets anders.");
    world.ask(author, Command::Edit { subject: written.edited, content }).unwrap();
}

fn assert_not_shown(phone: &mut Phone, written: &Written, name: &str) {
    for subject in written.erased.iter().chain([&written.edited]) {
        assert!(phone.joined().line(*subject).unwrap().is_none(), "{name} shows {subject}");
        assert!(phone.joined().words(*subject).unwrap().is_none(), "{name} shows the words of {subject}");
    }
}

#[test]
fn erased_words_are_in_no_file_and_three_peers_that_had_them_never_bring_them_back() {
    for seed in [31, 32] {
        let disks = Disks::new();
        let server = disks.server("server");
        let mut world = World::with_store(seed, Arc::clone(&server));
        let mut author = disks.join(&mut world, "author");
        let mut near = disks.join(&mut world, "near");
        let mut killed = disks.join(&mut world, "killed");
        let mut away = disks.join(&mut world, "away");
        let mut others = [("near", &mut near), ("killed", &mut killed), ("away", &mut away)];
        let written = write_and_find(&disks, &mut world, &mut author, &mut others);
        let scanner = &written.scanner;

        // The author erases. Erasing alone takes nothing out of the files: so this scanner can find, and a scrub is needed.
        author.scrubs = false;
        erase(&mut world, &mut author, &written);
        disks.assert_there(scanner, "author", "erased and not scrubbed");
        assert!(is_scrub_due(author.store.as_ref()).unwrap());
        author.scrubs = true;
        scrub_if_due(author.store.as_ref()).unwrap();
        disks.assert_gone(scanner, "author", "scrubbed");
        assert_not_shown(&mut author, &written, "author");

        // The server learns it, and scrubs later.
        assert_eq!(world.sync(&mut author).settled, Some(None));
        disks.assert_there(scanner, "server", "erased and not scrubbed");
        assert!(scrub_if_due(server.as_ref()).unwrap());
        disks.assert_gone(scanner, "server", "scrubbed");

        // The first peer scrubs when it is asked to.
        world.sync(&mut near);
        disks.assert_gone(scanner, "near", "after its sync");
        assert_not_shown(&mut near, &written, "near");

        // The second is killed between the tombstone and the scrub: whoever opens it next finds that one is due.
        killed.scrubs = false;
        world.sync(&mut killed);
        disks.assert_there(scanner, "killed", "before the kill");
        drop(killed);
        disks.assert_there(scanner, "killed", "after the kill");
        let mut killed = Phone::open(disks.sealed("killed"));
        assert!(scrub_if_due(killed.store.as_ref()).unwrap());
        disks.assert_gone(scanner, "killed", "after its restart");
        assert_not_shown(&mut killed, &written, "killed");

        // Life goes on, without the third.
        for round in 0..20 {
            contribute(&mut world, &mut near, &format!("Later {round}"), &long("en nog steeds"));
            world.sync(&mut near);
            world.sync(&mut author);
        }
        // Somebody brings the server all that the third has: known chains, with bodies that were erased here.
        assert!(relay(&mut world, &mut away) >= 2, "seed {seed}");
        disks.assert_gone(scanner, "server", "after a peer's relay");
        let mut fresh = disks.join(&mut world, "fresh");
        world.sync(&mut fresh);
        disks.assert_gone(scanner, "fresh", "a phone that came later");
        assert_not_shown(&mut fresh, &written, "fresh");

        // At last the third syncs too.
        disks.assert_there(scanner, "away", "offline for long");
        assert_eq!(world.sync(&mut away).settled, Some(None));
        disks.assert_gone(scanner, "away", "after its sync");
        assert_not_shown(&mut away, &written, "away");
        for phone in [&mut author, &mut near, &mut killed, &mut fresh] {
            world.sync(phone);
        }
        scrub_if_due(server.as_ref()).unwrap();
        for name in ["server", "author", "near", "killed", "away", "fresh"] {
            disks.assert_gone(scanner, name, "at the end");
        }

        // And after everything was opened again: the index is another one then.
        drop((world, server, author, near, killed, away, fresh));
        for name in ["server", "author", "near", "killed", "away", "fresh"] {
            disks.assert_gone(scanner, name, "closed");
            drop(disks.disk(name));
            disks.assert_gone(scanner, name, "opened again");
        }
    }
}

#[test]
fn a_server_built_anew_from_a_peer_that_never_heard_of_it_forgets_when_the_author_comes() {
    let disks = Disks::new();
    let mut world = World::with_store(41, disks.server("server"));
    let mut author = disks.join(&mut world, "author");
    let mut away = disks.join(&mut world, "away");
    let written = write_and_find(&disks, &mut world, &mut author, &mut [("away", &mut away)]);
    let scanner = &written.scanner;
    erase(&mut world, &mut author, &written);
    world.sync(&mut author);

    // The server is lost. What the new one gets first comes from the one that still has the words.
    let rebuilt = disks.server("rebuilt");
    world.restart_server_with(Arc::clone(&rebuilt));
    relay(&mut world, &mut away);
    disks.assert_there(scanner, "rebuilt", "from the peer");
    let mut root = std::mem::replace(&mut world.root, Phone::open(Arc::new(MemoryStore::new())));
    world.sync(&mut root);
    world.root = root;
    let mut fresh = disks.join(&mut world, "fresh");
    world.sync(&mut fresh);
    disks.assert_there(scanner, "fresh", "from the new server");

    // The author has only stubs and tombstones, and they are enough.
    assert_eq!(world.sync(&mut author).settled, Some(None));
    assert!(scrub_if_due(rebuilt.as_ref()).unwrap());
    disks.assert_gone(scanner, "rebuilt", "after the author's sync");
    for (name, phone) in [("fresh", &mut fresh), ("away", &mut away)] {
        world.sync(phone);
        disks.assert_gone(scanner, name, "after its sync");
        assert_not_shown(phone, &written, name);
    }
    assert!(relay(&mut world, &mut away) >= 2);
    disks.assert_gone(scanner, "rebuilt", "after another relay");
}

#[test]
fn sealed_input_that_is_taken_back_leaves_its_author_the_server_and_the_board() {
    let disks = Disks::new();
    let server = disks.server("server");
    let mut world = World::with_store(51, Arc::clone(&server));
    let card = world.card(Role::Board);
    let mut board = world.join_with(card, disks.sealed("board"));
    world.sync(&mut board);
    let mut author = disks.join(&mut world, "author");
    world.sync(&mut board);
    let canary = canary(&mut world.random);
    let sealing = Sealing::Story(words("Verzegeld", &long(&canary)));
    let subject = match world.ask(&mut author, Command::Seal { space: SpaceId::Inbox, sealing }).unwrap() {
        Reply::Sealed { subject, .. } => subject,
        other => panic!("{other:?}"),
    };
    world.sync(&mut author);
    let entropy = world.random.entropy();
    world.server_mut().release(entropy, DAY).unwrap();
    assert!(is_scrub_due(server.as_ref()).unwrap(), "what was held stands in the files in the order in which it came");
    world.sync(&mut board);
    world.sync(&mut author);
    assert!(board.joined().open_sealed(SpaceId::Inbox, subject).unwrap().is_some(), "the board reads it");

    // In the open it stands with its author only; elsewhere its sealed bytes must go.
    let mut scanner = disks.scanner(&[&canary]);
    let found = disks.assert_there(&scanner, "author", "before");
    scanner.learn(&found);
    disks.assert_gone(&scanner, "server", "sealed");
    for place in world.server().replica().entries_of(SpaceId::Inbox, subject).unwrap() {
        let entry = world.server().replica().entry(place).unwrap().unwrap();
        if let Ok(Some(Record::Sealed(sealed))) = codec::decode(entry.kind, entry.kept.body().unwrap()) {
            scanner.add(&sealed.bytes);
        }
    }
    for name in ["server", "board"] {
        let found = disks.assert_there(&scanner, name, "before");
        scanner.learn(&found);
    }

    author.scrubs = false;
    world.ask(&mut author, Command::Erase(subject)).unwrap();
    disks.assert_there(&scanner, "author", "erased and not scrubbed");
    assert!(scrub_if_due(author.store.as_ref()).unwrap());
    disks.assert_gone(&scanner, "author", "scrubbed");
    author.scrubs = true;
    world.sync(&mut author);
    let entropy = world.random.entropy();
    world.server_mut().release(entropy, DAY).unwrap();
    disks.assert_there(&scanner, "server", "erased and not scrubbed");
    assert!(scrub_if_due(server.as_ref()).unwrap());
    world.sync(&mut board);
    world.sync(&mut author);
    for name in ["server", "board", "author"] {
        disks.assert_gone(&scanner, name, "at the end");
    }
    assert!(board.joined().open_sealed(SpaceId::Inbox, subject).unwrap().is_none());
}

#[test]
fn an_old_copy_of_a_store_is_erased_again_before_anything_of_it_is_shown_or_served() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut world = World::with_store(61, Arc::clone(&store));
    let mut author = world.join(Role::Resident);
    let mut reader = world.join(Role::Resident);
    world.sync(&mut author);
    let open = contribute(&mut world, &mut author, "Stoep", "Woorden die weg moeten.");
    let sealing = Sealing::Story(words("Verzegeld", "Ook deze."));
    let sealed = match world.ask(&mut author, Command::Seal { space: SpaceId::Inbox, sealing }).unwrap() {
        Reply::Sealed { subject, .. } => subject,
        other => panic!("{other:?}"),
    };
    world.sync(&mut author);
    world.sync(&mut reader);
    let (old_server, old_author, old_reader) = (copy_of(store.as_ref()), author.copy(), reader.copy());
    for subject in [open, sealed] {
        world.ask(&mut author, Command::Erase(subject)).unwrap();
    }
    let later = contribute(&mut world, &mut author, "Later", "Ook teruggenomen, en nooit in de oude kopie.");
    world.ask(&mut author, Command::Erase(later)).unwrap();
    world.sync(&mut author);
    // What the server's list says, and what the author's own says: sealed input is known by its author's first.
    let mut list = erased::since(store.as_ref(), 0).unwrap();
    list.extend(erased::since(author.store.as_ref(), 0).unwrap());
    assert!([open, sealed, later].iter().all(|subject| list.iter().any(|one| one.subject == *subject)), "{list:?}");

    let wijk = world.wijk;
    assert!(erase_again(&old_server, wijk, Side::Server, &list).unwrap() >= 2);
    assert_eq!(erase_again(&old_server, wijk, Side::Server, &list).unwrap(), 0, "once is enough");
    assert!(is_scrub_due(old_server.as_ref()).unwrap());
    world.restart_server_with(old_server);
    let has_words = |world: &World, subject| {
        let replica = world.server().replica();
        let places = replica.entries_of(SpaceId::Open, subject).unwrap();
        places.into_iter().any(|place| {
            let entry = replica.entry(place).unwrap().unwrap();
            entry.kind != Kind::TOMBSTONE && entry.kept.body().is_some()
        })
    };
    assert!(!has_words(&world, open));

    for (mut old, name) in [(old_author, "author"), (old_reader, "reader")] {
        assert!(old.joined().line(open).unwrap().is_some(), "this test can fail");
        assert!(App::erase_again(&old.store, &list).unwrap() >= 2, "{name}");
        assert_eq!(App::erase_again(&old.store, &list).unwrap(), 0, "{name}");
        assert!(is_scrub_due(old.store.as_ref()).unwrap(), "{name}");
        old.restart();
        for subject in [open, later] {
            assert!(old.joined().line(subject).unwrap().is_none(), "{name}");
        }
        assert!(old.joined().own_sealed().unwrap().iter().all(|item| item.words.is_none()), "{name}");
    }
    // The chains go on, and words that are still somewhere are refused here.
    world.sync(&mut author);
    assert_eq!(world.sync(&mut reader).settled, Some(None));
    assert!(!has_words(&world, open) && !has_words(&world, later));
}
