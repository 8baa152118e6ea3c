//! Promise: others hear how many look at the same notes, never who; a server that did not prove itself hears nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use samenspraak_core::app::{Command, Present, Reply};
use samenspraak_core::model::{Role, SubjectId};
use samenspraak_core::sync::server::ServerEffect;
use samenspraak_core::sync::wire::Frame;
use samenspraak_tests::line::Line;
use samenspraak_tests::world::{Phone, World};

fn meeting(world: &mut World, phone: &mut Phone) -> SubjectId {
    // Who it is allowed to be, it hears first.
    world.sync(phone);
    let command = Command::NewMeeting { title: "Buurtavond".into(), agenda: vec!["Groen".into()] };
    let Reply::Saved { subject, .. } = world.ask(phone, command).unwrap() else { panic!("it is saved") };
    subject
}

#[test]
fn how_many_are_there_is_heard_while_connected_and_unknown_after() {
    let mut world = World::with_seed(7);
    let mut phone = world.join(Role::Facilitator);
    let notes = meeting(&mut world, &mut phone);
    world.present = (3, 2);
    assert!(phone.attend(Some(notes), true).is_empty(), "there is no connection");
    let mut heard = Vec::new();
    world.sync_watched(&mut phone, &mut |phone| heard.extend(phone.present(notes)));
    assert_eq!(world.attended, [(Some(notes), true)]);
    assert_eq!(heard.last(), Some(&Present { others: 2, writing: 1 }), "itself is not one of the others");
    assert_eq!(phone.present(notes), None, "without a connection nobody knows");
    // Said again on each connection, until the person goes on.
    world.sync(&mut phone);
    phone.attend(None, true);
    world.sync(&mut phone);
    assert_eq!(world.attended, [(Some(notes), true), (Some(notes), true)]);
}

#[test]
fn what_was_written_says_nothing_of_who_looked() {
    let mut world = World::with_seed(11);
    let (mut writer, mut looker) = (world.join(Role::Facilitator), world.join(Role::Facilitator));
    let notes = meeting(&mut world, &mut writer);
    world.sync(&mut writer);
    world.sync(&mut looker);
    let before = world.server().reader().head(samenspraak_core::model::SpaceId::Open).unwrap();
    looker.attend(Some(notes), false);
    world.sync(&mut looker);
    assert_eq!(world.attended, [(Some(notes), false)]);
    assert_eq!(world.server().reader().head(samenspraak_core::model::SpaceId::Open).unwrap(), before);
}

#[test]
fn a_number_about_something_else_is_not_shown() {
    let mut world = World::with_seed(8);
    let mut phone = world.join(Role::Facilitator);
    let notes = meeting(&mut world, &mut phone);
    world.sync(&mut phone);
    world.present = (3, 0);
    phone.attend(Some(notes), false);
    let elsewhere = Frame::Attending { subject: Some(SubjectId::new([9; 16])), present: 40, writing: 40 };
    let mut shown = Vec::new();
    world.sync_watched(&mut phone, &mut |phone| {
        if phone.present(notes).is_some() {
            phone.take(&elsewhere);
            shown.push(phone.present(notes).map(|present| present.others));
        }
    });
    assert!(!shown.is_empty() && shown.iter().all(|others| *others == Some(2)), "{shown:?}");
}

#[test]
fn a_server_that_did_not_prove_itself_does_not_hear_what_a_person_looks_at() {
    let (mut world, mut other) = (World::with_seed(9), World::with_seed(10));
    let mut phone = world.join(Role::Resident);
    world.sync(&mut phone);
    phone.attend(Some(SubjectId::new([3; 16])), false);
    other.sync(&mut phone);
    assert!(other.attended.is_empty());
    world.sync(&mut phone);
    assert_eq!(world.attended.len(), 1);
}

#[test]
fn whatever_a_phone_says_it_looks_at_is_answered_so_that_its_line_does_not_seem_dead() {
    let mut world = World::with_seed(12);
    let mut phone = world.join(Role::Resident);
    world.sync(&mut phone);
    let mut stranger = world.join(Role::Resident);
    let (some, none) = (Some(SubjectId::new([3; 16])), None);
    let mut line = Line::prove(&world, &mut phone);
    // The shell counts, and tells the number at once.
    let effects = line.say(&world, &Frame::Attend { subject: some, writes: true });
    assert!(matches!(effects.as_slice(), [ServerEffect::Attend { writes: true, subject } ] if *subject == some));
    let nothing = |effects: &[ServerEffect]| {
        let [ServerEffect::Attend { subject: None, .. }, ServerEffect::Send(answer)] = effects else { return false };
        *answer == Frame::Attending { subject: None, present: 0, writing: 0 }
    };
    assert!(nothing(&line.say(&world, &Frame::Attend { subject: none, writes: false })));
    // Who isn't in yet is counted nowhere and told nothing.
    let mut line = Line::prove(&world, &mut stranger);
    assert!(nothing(&line.say(&world, &Frame::Attend { subject: some, writes: true })));
}
