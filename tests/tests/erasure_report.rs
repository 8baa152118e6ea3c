//! How far an erasure reached: phones confirm once it has left their disks, and whoever asks hears how many of how many.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use samenspraak_core::app::{Command, CommandError, ErasureReport, PeopleCommand, Reply, Sealing};
use samenspraak_core::model::{Content, RevocationReason, RevocationTarget, Role, SpaceId, SubjectId};
use samenspraak_core::store::erased::scrub_if_due;
use samenspraak_core::sync::server::Confirmation;
use samenspraak_core::sync::wire::{Frame, Reach};
use samenspraak_tests::world::{DAY, Phone, Synced, World};

fn write(world: &mut World, phone: &mut Phone) -> SubjectId {
    let content = Content { title: "Plein".into(), text: "Donker.".into(), theme: 1, buurt: String::new() };
    match world.ask(phone, Command::Contribute(content)) {
        Ok(Reply::Saved { subject, .. }) => subject,
        other => panic!("saved, not {other:?}"),
    }
}

fn synced(world: &mut World, phone: &mut Phone) -> Synced {
    let synced = world.sync(phone);
    assert_eq!(synced.settled, Some(None), "{synced:?}");
    synced
}

/// What somebody hears who asks now.
fn report(world: &mut World, phone: &mut Phone, subject: SubjectId) -> ErasureReport {
    assert_eq!(world.ask(phone, Command::ErasureReport(subject)).unwrap(), Reply::Asked { subject });
    synced(world, phone);
    phone.joined().erasure_report(subject).unwrap()
}

fn reached(devices: u64, confirmed: u64) -> ErasureReport {
    ErasureReport::Reached(Reach { devices, confirmed })
}

/// Frames about erasures on the last connection, up and down.
fn spoken(world: &World) -> usize {
    let of_erasures = |frame: &&Vec<u8>| {
        let frame = Frame::decode(frame).unwrap();
        matches!(
            frame,
            Frame::Confirm { .. } | Frame::Confirmed { .. } | Frame::AskErased { .. } | Frame::Erased { .. }
        )
    };
    world.said.0.iter().chain(&world.said.1).filter(of_erasures).count()
}

#[test]
fn each_device_is_counted_when_the_words_have_left_its_disk_and_not_before() {
    let mut world = World::with_seed(1);
    let [mut author, mut near, mut away] = [(); 3].map(|()| world.join(Role::Resident));
    let subject = write(&mut world, &mut author);
    for phone in [&mut author, &mut near, &mut away] {
        synced(&mut world, phone);
        assert_eq!(spoken(&world), 0, "nothing was erased");
    }
    world.ask(&mut author, Command::Erase(subject)).unwrap();
    synced(&mut world, &mut author);
    assert_eq!(report(&mut world, &mut author, subject), reached(3, 1));
    // This one can't scrub yet: it has the erasure, and the words still stand in its files.
    near.scrubs = false;
    synced(&mut world, &mut near);
    assert!(near.joined().has_unconfirmed());
    assert_eq!(report(&mut world, &mut author, subject), reached(3, 1));
    // Killed before and after the scrub: it isn't forgotten.
    near.restart();
    synced(&mut world, &mut near);
    assert_eq!(report(&mut world, &mut author, subject), reached(3, 1));
    scrub_if_due(near.store.as_ref()).unwrap();
    near.restart();
    assert!(near.joined().has_unconfirmed());
    synced(&mut world, &mut near);
    assert!(!near.joined().has_unconfirmed());
    assert_eq!(report(&mut world, &mut author, subject), reached(3, 2));
    synced(&mut world, &mut away);
    world.restart_server();
    author.restart();
    assert_eq!(report(&mut world, &mut author, subject), reached(3, 3));

    // Whoever joins later never had it, and whoever is taken out isn't counted.
    let mut late = world.join(Role::Resident);
    synced(&mut world, &mut late);
    assert_eq!(report(&mut world, &mut author, subject), reached(4, 4));
    let person = away.joined().person();
    let mut facilitator = world.join(Role::Facilitator);
    synced(&mut world, &mut facilitator);
    let target = RevocationTarget::Person(person);
    let revoke = PeopleCommand::Revoke { target, reason: RevocationReason::Left };
    world.ask(&mut facilitator, revoke.into()).unwrap();
    synced(&mut world, &mut facilitator);
    assert_eq!(report(&mut world, &mut author, subject), reached(4, 4));
}

#[test]
fn a_sync_in_which_nothing_was_erased_says_nothing_of_it() {
    let mut world = World::with_seed(2);
    let (mut author, mut other) = (world.join(Role::Resident), world.join(Role::Resident));
    let subject = write(&mut world, &mut author);
    synced(&mut world, &mut author);
    synced(&mut world, &mut other);
    let quiet = synced(&mut world, &mut other);
    world.ask(&mut author, Command::Erase(subject)).unwrap();
    synced(&mut world, &mut author);
    synced(&mut world, &mut other);
    assert_eq!(spoken(&world), 2, "said once, and kept");
    let after = synced(&mut world, &mut other);
    assert_eq!(spoken(&world), 0);
    assert_eq!((after.up, after.down.0), (quiet.up, quiet.down.0), "as short as before");
}

#[test]
fn an_erasure_the_server_does_not_know_is_said_to_be_so_and_others_may_not_ask() {
    let mut world = World::with_seed(3);
    let (mut author, mut other) = (world.join(Role::Resident), world.join(Role::Resident));
    let mut board = world.join(Role::Board);
    let subject = write(&mut world, &mut author);
    for phone in [&mut author, &mut other, &mut board] {
        synced(&mut world, phone);
    }
    let not_erased = world.ask(&mut author, Command::ErasureReport(subject));
    assert!(matches!(not_erased, Err(CommandError::Unknown { .. })), "{not_erased:?}");
    world.ask(&mut author, Command::Erase(subject)).unwrap();
    assert_eq!(author.joined().own_erased().unwrap(), [subject]);
    synced(&mut world, &mut author);
    synced(&mut world, &mut other);
    let refused = world.ask(&mut other, Command::ErasureReport(subject));
    assert!(matches!(refused, Err(CommandError::NotOwn { .. })), "{refused:?}");
    synced(&mut world, &mut board);
    assert_eq!(report(&mut world, &mut board, subject), reached(3, 3), "staff sees how far erasures get");

    // Sealed input that was dropped: only its author knows what it was.
    let sealing =
        Sealing::Story(Content { title: "Thuis".into(), text: "Geheim.".into(), theme: 1, ..Content::default() });
    let sealed = world.ask(&mut author, Command::Seal { space: SpaceId::Inbox, sealing }).unwrap();
    let Reply::Sealed { subject: sealed, .. } = sealed else { panic!("sealed, not {sealed:?}") };
    synced(&mut world, &mut author);
    world.server_mut().release([7; 32], DAY).unwrap();
    synced(&mut world, &mut board);
    world.ask(&mut author, Command::Erase(sealed)).unwrap();
    assert_eq!(report(&mut world, &mut author, sealed), ErasureReport::NotThere, "it is held with other drops");
    world.server_mut().release([8; 32], DAY).unwrap();
    assert_eq!(report(&mut world, &mut author, sealed), reached(1, 0), "of the devices of the board");
    synced(&mut world, &mut board);
    assert_eq!(report(&mut world, &mut author, sealed), reached(1, 1));
}

#[test]
fn nobody_confirms_what_is_not_in_the_log_yet() {
    let mut world = World::with_seed(4);
    let (mut author, mut liar) = (world.join(Role::Resident), world.join(Role::Resident));
    let subject = write(&mut world, &mut author);
    synced(&mut world, &mut author);
    synced(&mut world, &mut liar);
    // "Everything, for ever."
    let device = liar.joined().identity().key().id();
    let said = Confirmation { device, space: SpaceId::Open, next: u64::MAX };
    world.server_mut().confirm(&[said]).unwrap();
    world.ask(&mut author, Command::Erase(subject)).unwrap();
    synced(&mut world, &mut author);
    assert_eq!(report(&mut world, &mut author, subject), reached(2, 1));
}
