//! Promise: one person's devices share what only that person may know, over a space that nobody else can read, and each can
//! take back what another wrote.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use samenspraak_core::app::{Command, CommandError, PeopleCommand, Reply};
use samenspraak_core::model::*;
use samenspraak_core::store::MemoryStore;
use samenspraak_tests::world::{Phone, World};

fn second(world: &mut World, first: &mut Phone) -> Phone {
    let Reply::DeviceCard { card, .. } = world.ask(first, PeopleCommand::InviteDevice.into()).unwrap() else {
        panic!()
    };
    world.sync(first);
    let mut second = world.join_with(card, Arc::new(MemoryStore::new()));
    world.sync(&mut second);
    second
}

fn contribute(world: &mut World, phone: &mut Phone, text: &str) -> SubjectId {
    let content = Content { title: "Plein".into(), text: text.into(), theme: 1, buurt: String::new() };
    match world.ask(phone, Command::Contribute(content)).unwrap() {
        Reply::Saved { subject, .. } => subject,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_one_device_of_a_person_wrote_another_can_erase_once_both_have_synced() {
    let mut world = World::with_seed(51);
    let mut first = world.join(Role::Resident);
    world.sync(&mut first);
    let subject = contribute(&mut world, &mut first, "Meer bankjes");
    world.sync(&mut first);
    let mut second = second(&mut world, &mut first);
    assert_eq!(second.joined().person(), first.joined().person());
    // The second one hasn't got the secret yet, and says so instead of failing later.
    assert!(matches!(
        world.ask(&mut second, Command::Erase(subject)),
        Err(CommandError::OtherDevice { subject: of }) if of == subject
    ));
    // The first hears of the second, brings its key and starts the space; the second comes in, and then has it.
    for _ in 0..3 {
        world.sync(&mut first);
        world.sync(&mut second);
    }
    assert!(second.joined().line(subject).unwrap().is_some());
    world.ask(&mut second, Command::Erase(subject)).unwrap();
    world.sync(&mut second);
    world.sync(&mut first);
    assert!(first.joined().line(subject).unwrap().is_none());
}

#[test]
fn a_person_s_own_space_is_read_by_nobody_else_and_by_no_device_that_was_lost() {
    let mut world = World::with_seed(52);
    let mut first = world.join(Role::Resident);
    world.sync(&mut first);
    let mut lost = second(&mut world, &mut first);
    for _ in 0..3 {
        world.sync(&mut first);
        world.sync(&mut lost);
    }
    let own = SpaceId::Own(first.joined().person());
    let mut other = world.join(Role::Board);
    world.sync(&mut other);
    let device = |phone: &mut Phone| phone.joined().identity().key().id();
    let (lost_device, other_device) = (device(&mut lost), device(&mut other));
    assert!(world.server().members().may_read(lost_device, own));
    assert!(!world.server().members().may_read(other_device, own));
    assert!(other.joined().replica().frontier(own).next().is_none());
    let before = first.joined().seals_to(own).unwrap();

    let target = RevocationTarget::Device(lost_device);
    let revoke = PeopleCommand::Revoke { target, reason: RevocationReason::Lost };
    world.ask(&mut first, revoke.into()).unwrap();
    world.sync(&mut first);
    assert!(!world.server().members().may_read(lost_device, own));
    // What comes after is sealed to a key that the lost device never gets.
    let after = first.joined().seals_to(own).unwrap();
    assert_ne!(before, after);
    let lost_key = lost.joined().key_in(own).id();
    let closed = world.server().members().closed(own).unwrap();
    assert!(closed.wraps.get(&before.generation()).unwrap().contains_key(&lost_key));
    assert!(!closed.wraps.get(&after.generation()).unwrap().contains_key(&lost_key));
}
