//! Promise: a device that exists twice loses no words, and every phone ends with the branch that the server's log has.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use samenspraak_core::app::{Command, CommandError, PeopleCommand, Reply};
use samenspraak_core::document::meeting::MeetingEdit;
use samenspraak_core::model::*;
use samenspraak_core::replica::{Hashes, RunBatch};
use samenspraak_core::store::Table;
use samenspraak_tests::world::{Phone, World};

fn contribute(world: &mut World, phone: &mut Phone, text: &str) -> Result<Reply, CommandError> {
    let content = Content { title: text.into(), text: text.into(), theme: 1, buurt: String::new() };
    world.ask(phone, Command::Contribute(content))
}

fn texts(phone: &mut Phone) -> Vec<String> {
    let mut texts: Vec<String> =
        phone.joined().contributions().unwrap().into_iter().map(|item| item.content.text).collect();
    texts.sort();
    texts
}

/// A phone that wrote and synced, and a copy that somebody made of its folder.
fn shared_chain(world: &mut World, first: &mut Phone) -> Phone {
    world.sync(first);
    contribute(world, first, "samen").unwrap();
    world.sync(first);
    first.copy()
}

#[test]
fn a_cloned_phone_is_told_keeps_its_words_and_follows_the_branch_that_stands() {
    let mut world = World::with_seed(61);
    let mut first = world.join(Role::Resident);
    let mut clone = shared_chain(&mut world, &mut first);
    contribute(&mut world, &mut first, "van het ene").unwrap();
    contribute(&mut world, &mut clone, "van het andere").unwrap();
    contribute(&mut world, &mut clone, "en nog iets").unwrap();
    world.sync(&mut first);
    // The first to arrive stands; the other learns it, gives way, and goes on along the log.
    for _ in 0..3 {
        world.sync(&mut clone);
    }
    assert_eq!(texts(&mut clone), ["samen", "van het ene"]);
    let kept: Vec<String> = clone.joined().set_aside_words().unwrap().into_iter().map(|(_, c)| c.text).collect();
    assert_eq!(kept, ["van het andere", "en nog iets"]);
    // Also after a restart.
    clone.restart();
    assert_eq!(texts(&mut clone), ["samen", "van het ene"]);
    assert_eq!(clone.joined().set_aside_words().unwrap().len(), 2);
    // Both are told, for either may be the copy; and a card of its own lets the old key bring its successor in.
    world.sync(&mut first);
    for phone in [&mut first, &mut clone] {
        assert!(matches!(contribute(&mut world, phone, "verder"), Err(CommandError::Cloned)));
    }
    let Ok(Reply::DeviceCard { card, .. }) = world.ask(&mut first, PeopleCommand::InviteDevice.into()) else {
        panic!()
    };
    world.sync(&mut first);
    let mut successor = world.join_with(card, std::sync::Arc::new(samenspraak_core::store::MemoryStore::new()));
    world.sync(&mut successor);
    assert_eq!(successor.joined().person(), first.joined().person());
    contribute(&mut world, &mut successor, "van het andere").unwrap();
    world.sync(&mut successor);
    world.sync(&mut clone);
    assert_eq!(texts(&mut clone), ["samen", "van het andere", "van het ene"]);
}

#[test]
fn a_phone_that_got_the_other_branch_by_another_way_ends_like_one_that_never_had_it() {
    let mut world = World::with_seed(62);
    let mut first = world.join(Role::Facilitator);
    let mut clone = shared_chain(&mut world, &mut first);
    let mut neighbour = world.join(Role::Resident);
    world.sync(&mut neighbour);
    // Notes that the neighbour doesn't have yet when the clone's words in them come.
    let mut writer = world.join(Role::Facilitator);
    world.sync(&mut writer);
    let begin = Command::NewMeeting { title: "Buurtavond".into(), agenda: Vec::new() };
    let Ok(Reply::Saved { subject, .. }) = world.ask(&mut writer, begin) else { panic!() };
    world.sync(&mut writer);
    world.sync(&mut clone);
    contribute(&mut world, &mut first, "van het ene").unwrap();
    contribute(&mut world, &mut clone, "van het andere").unwrap();
    let edit = MeetingEdit::AddItem { title: "Erbij".into() };
    world.ask(&mut clone, Command::EditMeeting { subject, edit }).unwrap();
    // The neighbour has the clone's words from a stick, before the server ever heard of them.
    let device = clone.joined().identity().key().id();
    let packed = clone.joined().replica().pack_chain(SpaceId::Open, device, 0, 9, usize::MAX, Hashes::Given);
    let runs = vec![packed.unwrap().unwrap().run];
    neighbour.takes(SpaceId::Open, &RunBatch { runs, order: Vec::new() });
    assert_eq!(texts(&mut neighbour), ["samen", "van het andere"]);
    world.sync(&mut first);
    for _ in 0..2 {
        world.sync(&mut clone);
    }
    for _ in 0..3 {
        world.sync(&mut neighbour);
    }
    let mut new = world.join(Role::Resident);
    world.sync(&mut new);
    assert_eq!(texts(&mut neighbour), texts(&mut new));
    assert_eq!(texts(&mut neighbour), ["samen", "van het ene"]);
    // Nothing speaks of anything any more that only the branch spoke of.
    let subjects = |phone: &mut Phone| {
        let rows =
            phone.joined().replica().store().scan(Table::Subject, &SpaceId::Open.to_bytes(), None, usize::MAX).unwrap();
        rows.into_iter().map(|row| row.key).collect::<Vec<_>>()
    };
    assert_eq!(subjects(&mut neighbour), subjects(&mut new));
    let frontier = |phone: &mut Phone| phone.joined().replica().frontier(SpaceId::Open).collect::<Vec<_>>();
    assert_eq!(frontier(&mut neighbour), frontier(&mut new));
}
