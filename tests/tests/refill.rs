//! Promise: a server that lost something, or everything, is refilled by its phones: the same entries with the same ids and
//! bodies, also those of people whose phones are gone, and nothing that was erased.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use samenspraak_core::app::{Command, Reply};
use samenspraak_core::entry::Kind;
use samenspraak_core::gate::limits::PUSH_ENTRIES_MAX;
use samenspraak_core::model::{Choice, Content, EntryId, Role, SpaceId, SubjectId};
use samenspraak_core::replica::{EntryRow, Kept, Place};
use samenspraak_core::store::{Batch, MemoryStore, Store, Table, keys};
use samenspraak_core::sync::wire::Frame;
use samenspraak_tests::world::{Phone, World};

/// Every entry of a store with its place, id and body.
fn entries(store: &dyn Store) -> BTreeMap<Place, (EntryId, Kept)> {
    let rows = store.scan(Table::Entry, &[], None, usize::MAX).unwrap();
    rows.iter()
        .map(|row| {
            let entry = EntryRow::decode(&row.value).unwrap();
            (Place::decode(&row.key).unwrap(), (entry.id, entry.kept))
        })
        .collect()
}

fn server_entries(world: &World) -> BTreeMap<Place, (EntryId, Kept)> {
    entries(world.server().replica().store().as_ref())
}

/// Those that are of people, not of a server's epoch.
fn of_people(world: &World, all: BTreeMap<Place, (EntryId, Kept)>) -> BTreeMap<Place, (EntryId, Kept)> {
    let members = world.server().members();
    all.into_iter().filter(|(at, _)| members.server_key(at.device).is_none()).collect()
}

fn contribute(world: &mut World, phone: &mut Phone, title: &str) -> SubjectId {
    let content = Content { title: title.into(), text: format!("Over {title}"), ..Content::default() };
    match world.ask(phone, Command::Contribute(content)).unwrap() {
        Reply::Saved { subject, .. } => subject,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn synced(world: &mut World, phone: &mut Phone) {
    let synced = world.sync(phone);
    assert_eq!((synced.settled, &synced.disconnected), (Some(None), &None), "{synced:?}");
}

/// Frames of one kind that a phone sent on the last connection.
fn said(world: &World, which: impl Fn(&Frame) -> bool) -> Vec<Frame> {
    let frames = world.said.0.iter().map(|bytes| Frame::decode(bytes).unwrap());
    frames.filter(which).collect()
}

fn pushed(world: &World) -> usize {
    let pushes = said(world, |frame| matches!(frame, Frame::Push { .. }));
    let entries = pushes.iter().map(|frame| match frame {
        Frame::Push { batch, .. } => batch.runs.iter().map(|run| run.entries.len()).sum(),
        _ => 0,
    });
    entries.sum()
}

/// Three residents; the first has synced everything, the second's phone is gone afterwards, the third was offline.
struct Scene {
    world: World,
    amina: Phone,
    gone: Phone,
    offline: Phone,
    subjects: Vec<SubjectId>,
}

fn scene(seed: u64) -> Scene {
    let mut world = World::with_seed(seed);
    let [mut amina, mut gone, mut offline] = std::array::from_fn(|_| world.join(Role::Resident));
    let mut subjects = Vec::new();
    for phone in [&mut amina, &mut gone, &mut offline] {
        synced(&mut world, phone);
    }
    for round in 0..3 {
        for (name, phone) in [("amina", &mut amina), ("gone", &mut gone), ("offline", &mut offline)] {
            subjects.push(contribute(&mut world, phone, &format!("{name} {round}")));
            synced(&mut world, phone);
        }
    }
    let voice = Command::Speak { question: subjects[1], choice: Choice::Support };
    world.ask(&mut amina, voice).unwrap();
    let edit = Content { title: "gone 0".into(), text: "Over gone 0, en meer".into(), ..Content::default() };
    world.ask(&mut gone, Command::Edit { subject: subjects[1], content: edit }).unwrap();
    synced(&mut world, &mut gone);
    synced(&mut world, &mut amina);
    Scene { world, amina, gone, offline, subjects }
}

#[test]
fn an_empty_server_gets_every_entry_back_that_any_phone_holds() {
    let Scene { mut world, mut amina, gone, mut offline, subjects } = scene(1);
    drop(gone);
    let card = world.card(Role::Resident);
    synced(&mut world, &mut amina);
    let before = of_people(&world, server_entries(&world));
    let unheard = contribute(&mut world, &mut offline, "geschreven zonder net");
    world.lose_server();
    assert!(server_entries(&world).is_empty());
    // The root's phone is gone too: only residents come.
    synced(&mut world, &mut amina);
    let after = of_people(&world, server_entries(&world));
    assert_eq!(after, before);
    synced(&mut world, &mut offline);
    let after = server_entries(&world);
    for (place, row) in &before {
        assert_eq!(after.get(place), Some(row));
    }
    assert!(world.server().replica().subject(SpaceId::Open, unheard).unwrap().is_some());
    // A phone that joins now reads everything from the new log.
    synced(&mut world, &mut amina);
    let mut fresh = world.join_with(card, Arc::new(MemoryStore::new()));
    synced(&mut world, &mut fresh);
    for subject in subjects.into_iter().chain([unheard]) {
        assert!(fresh.joined().line(subject).unwrap().is_some());
    }
}

#[test]
fn only_what_is_lacking_goes_and_nothing_twice() {
    let Scene { mut world, mut amina, mut gone, mut offline, .. } = scene(2);
    let all = contribute(&mut world, &mut gone, "het laatste");
    synced(&mut world, &mut gone);
    synced(&mut world, &mut amina);
    world.begin_epoch();
    // The new epoch has everything already: the phone compares and pushes nothing, and hears the log anew.
    synced(&mut world, &mut amina);
    assert_eq!(pushed(&world), 0);
    assert_eq!(said(&world, |frame| matches!(frame, Frame::Frontier { .. })).len(), 2);
    synced(&mut world, &mut amina);
    assert_eq!(said(&world, |frame| matches!(frame, Frame::Frontier { .. })).len(), 0, "once an epoch");
    assert!(amina.joined().line(all).unwrap().is_some());
    // An empty server gets each entry from the first phone that comes, and nothing again from the second.
    world.lose_server();
    synced(&mut world, &mut amina);
    let people = of_people(&world, server_entries(&world)).len();
    assert!(pushed(&world) >= people);
    synced(&mut world, &mut gone);
    assert_eq!(pushed(&world), 0);
    let own = contribute(&mut world, &mut offline, "alleen hier");
    synced(&mut world, &mut offline);
    assert_eq!(pushed(&world), 1);
    assert!(world.server().replica().subject(SpaceId::Open, own).unwrap().is_some());
}

#[test]
fn a_line_that_breaks_after_any_frame_loses_nothing_and_the_next_one_brings_the_rest() {
    let Scene { world, amina, .. } = scene(3);
    let before = of_people(&world, server_entries(&world));
    for frames in 1..24 {
        let (mut world, mut amina) = (world.copy(frames), amina.copy());
        world.lose_server();
        world.sync_cut(&mut amina, usize::try_from(frames).unwrap());
        amina.restart();
        synced(&mut world, &mut amina);
        assert_eq!(of_people(&world, server_entries(&world)), before, "cut after {frames} frames");
        let was_told = world.sync(&mut amina);
        assert_eq!((was_told.settled, was_told.flights_up), (Some(None), 1));
    }
}

#[test]
fn what_was_erased_stays_erased_whoever_comes_first() {
    for stale_first in [false, true] {
        let Scene { mut world, mut amina, mut gone, subjects, .. } = scene(4);
        // A copy of a phone that never heard of the erasure.
        synced(&mut world, &mut amina);
        let mut stale = amina.copy();
        world.ask(&mut gone, Command::Erase(subjects[1])).unwrap();
        synced(&mut world, &mut gone);
        synced(&mut world, &mut amina);
        world.lose_server();
        let [first, second] = if stale_first { [&mut stale, &mut amina] } else { [&mut amina, &mut stale] };
        synced(&mut world, first);
        synced(&mut world, second);
        let of_subject = world.server().replica().entries_of(SpaceId::Open, subjects[1]).unwrap();
        assert!(!of_subject.is_empty());
        for at in of_subject {
            let row = world.server().replica().entry(at).unwrap().unwrap();
            assert!(row.kind == Kind::TOMBSTONE || row.kept == Kept::Erased, "{row:?}");
        }
        synced(&mut world, &mut stale);
        assert!(stale.joined().view().document(subjects[1]).is_none(), "and the phone that didn't know erases it too");
    }
}

#[test]
fn a_body_that_the_server_lacks_is_asked_for_and_comes_from_a_phone_that_has_it() {
    let Scene { mut world, mut amina, subjects, .. } = scene(5);
    let before = of_people(&world, server_entries(&world));
    let at = world.server().replica().entries_of(SpaceId::Open, subjects[1]).unwrap()[0];
    // A phone that has of one entry no more than its place, and comes first.
    let mut poor = amina.copy();
    let row = poor.joined().replica().entry(at).unwrap().unwrap();
    let mut batch = Batch::new();
    batch.put(Table::Entry, at.encode(), EntryRow { kept: Kept::Absent, ..row.clone() }.encode());
    poor.store.commit(&batch).unwrap();
    poor.restart();
    world.lose_server();
    synced(&mut world, &mut poor);
    assert_eq!(world.server().replica().entry(at).unwrap().unwrap().kept, Kept::Absent);
    synced(&mut world, &mut amina);
    assert_eq!(of_people(&world, server_entries(&world)), before);
    let store = world.server().replica().store();
    assert!(store.get(Table::Meta, &keys::hole(at.space, at.device, at.seq)).unwrap().is_none());
}

#[test]
fn long_chains_that_a_phone_can_cut_nowhere_are_brought_in_pushes_that_the_server_takes_again_and_again() {
    let mut world = World::with_seed(6);
    let [mut amina, mut author] = std::array::from_fn(|_| world.join(Role::Resident));
    synced(&mut world, &mut amina);
    let question = contribute(&mut world, &mut author, "De brug");
    synced(&mut world, &mut author);
    // A push and a full one after it: who reads both in one piece holds one signature for them.
    for count in [PUSH_ENTRIES_MAX - 100, PUSH_ENTRIES_MAX] {
        for at in 0..count {
            let choice = if at % 2 == 0 { Choice::Support } else { Choice::Pass };
            world.ask(&mut author, Command::Speak { question, choice }).unwrap();
        }
        synced(&mut world, &mut author);
    }
    synced(&mut world, &mut amina);
    let before = of_people(&world, server_entries(&world));
    drop(author);
    // And what was made of them can be handed on once more, by a phone that has it from the server that was refilled.
    let card = world.card(Role::Resident);
    synced(&mut world, &mut amina);
    let mut holder = amina;
    for round in 0..2 {
        world.lose_server();
        synced(&mut world, &mut holder);
        let after = of_people(&world, server_entries(&world));
        for (place, row) in &before {
            assert_eq!(after.get(place), Some(row), "round {round}");
        }
        let refused = world.said.1.iter().filter(|frame| matches!(Frame::decode(frame), Ok(Frame::Refused { .. })));
        assert_eq!(refused.count(), 0, "round {round}");
        let longest = said(&world, |frame| matches!(frame, Frame::Push { .. })).into_iter().map(|frame| match frame {
            Frame::Push { batch, .. } => batch.runs.iter().map(|run| run.entries.len()).max().unwrap_or(0),
            _ => 0,
        });
        assert!(longest.max() > Some(PUSH_ENTRIES_MAX), "or this test shows nothing");
        if round == 0 {
            holder = world.join_with(card.clone(), Arc::new(MemoryStore::new()));
            synced(&mut world, &mut holder);
        }
    }
}

#[test]
fn closed_spaces_come_back_from_those_who_are_in_them() {
    let mut world = World::with_seed(7);
    let [mut one, mut two] = std::array::from_fn(|_| world.join(Role::Board));
    for _ in 0..3 {
        synced(&mut world, &mut one);
        synced(&mut world, &mut two);
    }
    let note = Command::WriteNote { space: SpaceId::Board, text: "Alleen voor het bestuur.".into() };
    world.ask(&mut one, note).unwrap();
    synced(&mut world, &mut one);
    synced(&mut world, &mut two);
    let before = of_people(&world, server_entries(&world));
    assert!(before.keys().any(|at| at.space == SpaceId::Board));
    // The one who wrote is gone; a colleague holds it.
    drop(one);
    world.lose_server();
    for _ in 0..2 {
        synced(&mut world, &mut two);
    }
    let after = server_entries(&world);
    for (place, row) in &before {
        assert_eq!(after.get(place), Some(row), "{place:?}");
    }
}
