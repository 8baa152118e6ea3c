//! Promise: sealed words are in no byte on the server, on a relaying hub or on the wire, and nothing in two sealed items of
//! one device lets the board link them to each other or to what that device wrote in the open.
//!
//! The canary is random bytes as letters, so that no dictionary and no other text holds a piece of it. The scanner looks for
//! any eight bytes in a row, and is shown to find words that are not sealed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::Arc;

use samenspraak_core::app::{Command, Reply, Sealing};
use samenspraak_core::entry::codec::{self, Record};
use samenspraak_core::entry::{EraseSecret, Kind};
use samenspraak_core::gate::change;
use samenspraak_core::model::*;
use samenspraak_core::replica::{Hashes, Kept, Place, Replica, RunBatch, Side};
use samenspraak_core::store::disk::{DiskOptions, DiskStore};
use samenspraak_core::store::{MemoryStore, Store, Table};
use samenspraak_tests::scan::{Scanner, WINDOW, canary};
use samenspraak_tests::world::{DAY, Phone, Seeded, World};

/// Whether any eight bytes in a row of `words` are in `bytes`.
fn found(words: &[u8], bytes: &[u8]) -> bool {
    let looked_for: BTreeSet<&[u8]> = words.windows(WINDOW).collect();
    bytes.windows(WINDOW).any(|window| looked_for.contains(window))
}

/// Every row of a store, and every change of a document in it, inflated.
fn in_rows(words: &[u8], store: &dyn Store) -> bool {
    Table::ALL.into_iter().any(|table| {
        store.scan(table, &[], None, usize::MAX).unwrap().iter().any(|row| {
            found(words, &row.key)
                || found(words, &row.value)
                || (table == Table::Entry && in_change(words, &row.value))
        })
    })
}

fn in_change(words: &[u8], row: &[u8]) -> bool {
    let Ok(row) = samenspraak_core::replica::EntryRow::decode(row) else { return false };
    let Kept::Present(body) = &row.kept else { return false };
    match codec::decode(row.kind, body) {
        Ok(Some(Record::Change(record))) => {
            change::preflight(&record.change).is_ok_and(|read| found(words, &read.chunk))
        }
        _ => false,
    }
}

fn story(words: &str) -> Command {
    let content = Content { title: "Thuis".into(), text: words.into(), theme: 1, buurt: String::new() };
    Command::Seal { space: SpaceId::Inbox, sealing: Sealing::Story(content) }
}

/// A hub that relays everything it was given, without a key to anything.
fn hub(world: &World) -> Replica {
    let mut hub = Replica::open(world.wijk, Side::Server, Arc::new(MemoryStore::new())).unwrap();
    let server = world.server().replica();
    for space in server.spaces() {
        // Records of `members` depend on each other across chains; what waits for another comes in a later round.
        for _ in 0..4 {
            for (device, _) in server.frontier(space) {
                let packed =
                    server.pack_chain(space, device, 0, usize::MAX, usize::MAX, Hashes::Given).unwrap().unwrap();
                let _ = hub.admit(space, &RunBatch { runs: vec![packed.run], order: Vec::new() });
            }
        }
    }
    let rows = hub.take_rows();
    hub.store().commit(&rows).unwrap();
    hub.committed();
    hub
}

fn sync(world: &mut World, phone: &mut Phone, wire: &mut Vec<Vec<u8>>) {
    world.sync(phone);
    wire.extend(world.said.0.iter().chain(&world.said.1).cloned());
}

#[test]
fn sealed_words_are_in_no_byte_on_the_server_on_a_hub_or_on_the_wire_and_the_board_opens_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(DiskStore::open(folder.path(), DiskOptions::default()).unwrap().0);
    let mut world = World::with_store(41, store.clone());
    let (mut board, mut amina) = (world.join(Role::Board), world.join(Role::Resident));
    let mut wire = Vec::new();
    sync(&mut world, &mut board, &mut wire);
    sync(&mut world, &mut amina, &mut wire);
    let mut random = Seeded::new(41);
    let (open, sealed) = (canary(&mut random), canary(&mut random));
    let content = Content { title: "Plein".into(), text: open.clone(), theme: 1, buurt: String::new() };
    world.ask(&mut amina, Command::Contribute(content)).unwrap();
    world.ask(&mut amina, story(&sealed)).unwrap();
    sync(&mut world, &mut amina, &mut wire);
    let entropy = random.entropy();
    world.server_mut().release(entropy, DAY).unwrap();
    sync(&mut world, &mut board, &mut wire);
    sync(&mut world, &mut amina, &mut wire);

    let hub = hub(&world);
    assert!(hub.frontier(SpaceId::Inbox).count() >= 2, "the hub has the inbox: the board's key and the server's drops");
    let looks = |text: &str| {
        let words = text.as_bytes();
        let server = !Scanner::new(&[text]).scan(folder.path()).is_empty();
        let relayed = in_rows(words, hub.store().as_ref());
        let wired = wire.iter().any(|frame| found(words, frame));
        (server, relayed, wired)
    };
    assert_eq!(looks(&open), (true, true, true), "the scanner finds what is not sealed");
    assert_eq!(looks(&sealed), (false, false, false));
    let read = board.joined().sealed_items(SpaceId::Inbox).unwrap();
    assert!(matches!(&read[0].words, Some(SealedWords::Story { content, .. }) if content.text == sealed));
    // Another phone of the wijk holds nothing of it either.
    let mut other = world.join(Role::Resident);
    sync(&mut world, &mut other, &mut wire);
    assert!(!in_rows(sealed.as_bytes(), other.store.as_ref()));
}

/// Bytes of two things that both have a window of eight in common.
fn common(a: &[u8], b: &[u8]) -> bool {
    found(a, b)
}

#[test]
fn two_sealed_items_of_one_device_share_nothing_that_links_them_or_its_open_entries() {
    let mut world = World::with_seed(42);
    let (mut board, mut amina) = (world.join(Role::Board), world.join(Role::Resident));
    world.sync(&mut board);
    world.sync(&mut amina);
    let content = Content { title: "Plein".into(), text: "Meer bankjes".into(), theme: 1, buurt: String::new() };
    world.ask(&mut amina, Command::Contribute(content)).unwrap();
    let mut subjects = Vec::new();
    for words in ["een", "twee, een stuk langer dan het eerste, en met iets anders erin"] {
        match world.ask(&mut amina, story(words)).unwrap() {
            Reply::Sealed { subject, .. } => subjects.push(subject),
            other => panic!("{other:?}"),
        }
    }
    world.sync(&mut amina);
    world.server_mut().release([9; 32], DAY).unwrap();
    world.sync(&mut board);

    // Everything that stands in the inbox about the two, as the board has it.
    let own = amina.joined();
    let (device, person) = (own.identity().key().id(), own.person());
    let own_keys: Vec<Vec<u8>> = [SpaceId::Inbox, SpaceId::Board, SpaceId::Own(person)]
        .iter()
        .map(|space| own.key_in(*space).id().as_bytes().to_vec())
        .collect();
    let replica = own.replica();
    let mut known: Vec<Vec<u8>> = vec![device.as_bytes().to_vec(), person.as_bytes().to_vec()];
    known.extend(own_keys);
    known.push(own.identity().encryption_key().to_vec());
    for space in [SpaceId::Members, SpaceId::Open] {
        let head = replica.head(space, device).unwrap();
        for seq in 0..=head.seq {
            let row = replica.entry(Place { space, device, seq }).unwrap().unwrap();
            known.push(row.id.as_bytes().to_vec());
            known.push(row.subject.as_bytes().to_vec());
            known.push(row.body_hash.to_vec());
            known.extend(row.signature.map(|signature| signature.0.to_vec()));
            let (seed, commit) = codec::opening(row.kept.body().unwrap()).unwrap().map(|o| (o.seed, o.commit)).unwrap();
            known.push(seed.0.to_vec());
            known.push(commit.0.to_vec());
            known.push(EraseSecret::derive(&own.identity().person_secret, &seed).0.to_vec());
        }
    }

    let inbox = board.joined().replica();
    let mut seen = Vec::new();
    for subject in &subjects {
        let places = inbox.entries_of(SpaceId::Inbox, *subject).unwrap();
        assert_eq!(places.len(), 1);
        let row = inbox.entry(places[0]).unwrap().unwrap();
        assert_eq!(row.kind, Kind::DROPPED);
        assert!(row.extra.is_empty());
        // Who wrote it, as far as the entry says, is the server, for every author alike.
        assert!(world.server().members().server_key(places[0].device).is_some());
        let subject_row = inbox.subject(SpaceId::Inbox, *subject).unwrap().unwrap();
        assert_eq!(subject_row.owner, None);
        seen.push(row);
    }
    let fields = |row: &samenspraak_core::replica::EntryRow| -> Vec<Vec<u8>> {
        let body = row.kept.body().unwrap().to_vec();
        let opening = codec::opening(&body).unwrap().unwrap();
        let Ok(Some(Record::Sealed(sealed))) = codec::decode(row.kind, &body) else { panic!() };
        vec![
            row.id.as_bytes().to_vec(),
            row.subject.as_bytes().to_vec(),
            row.body_hash.to_vec(),
            opening.seed.0.to_vec(),
            opening.commit.0.to_vec(),
            sealed.bytes,
        ]
    };
    let (first, second) = (fields(&seen[0]), fields(&seen[1]));
    for a in &first {
        assert!(second.iter().all(|b| !common(a, b)), "the two have eight bytes in common");
    }
    for field in first.iter().chain(&second) {
        assert!(known.iter().all(|known| !common(known, field)), "a sealed item has eight bytes of its author's");
    }
    // The length tells a step and no more; the keys for answers differ.
    assert_eq!(first[5].len(), second[5].len());
    let replies: BTreeSet<_> = board
        .joined()
        .sealed_items(SpaceId::Inbox)
        .unwrap()
        .into_iter()
        .filter_map(|item| match item.words {
            Some(SealedWords::Story { reply, .. }) => reply,
            _ => None,
        })
        .collect();
    assert_eq!(replies.len(), 2);
}

#[test]
fn the_order_in_the_inbox_says_nothing_about_who_came_first() {
    let mut orders = BTreeSet::new();
    for release in 0..12u8 {
        let mut world = World::with_seed(43);
        let (mut board, mut amina) = (world.join(Role::Board), world.join(Role::Resident));
        world.sync(&mut board);
        world.sync(&mut amina);
        let mut subjects = Vec::new();
        for words in ["een", "twee", "drie"] {
            match world.ask(&mut amina, story(words)).unwrap() {
                Reply::Sealed { subject, .. } => subjects.push(subject),
                other => panic!("{other:?}"),
            }
            world.sync(&mut amina);
        }
        world.server_mut().release([release; 32], DAY).unwrap();
        world.sync(&mut board);
        let shown: Vec<SubjectId> =
            board.joined().sealed_items(SpaceId::Inbox).unwrap().into_iter().map(|item| item.subject).collect();
        let order: Vec<usize> =
            shown.iter().map(|subject| subjects.iter().position(|s| s == subject).unwrap()).collect();
        orders.insert(order);
    }
    assert!(orders.len() >= 4, "{orders:?}");
}
