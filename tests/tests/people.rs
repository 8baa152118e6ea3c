//! Who belongs, as people work with it: devices, persons, roles and cards taken away; one more device; organisations.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use samenspraak_core::app::people::CardsItem;
use samenspraak_core::app::{Command, CommandError, PeopleCommand, Reply};
use samenspraak_core::membership::card::CardLink;
use samenspraak_core::model::{
    Choice, Content, DeviceId, Gives, Organisation, PersonId, RevocationReason, RevocationTarget, Role, SubjectId,
};
use samenspraak_core::store::MemoryStore;
use samenspraak_core::sync::wire::RefusalCode;
use samenspraak_tests::world::{Phone, World};

fn words(title: &str) -> Command {
    Command::Contribute(Content { title: title.into(), text: "Tekst.".into(), theme: 1, buurt: String::new() })
}

fn subject(reply: Result<Reply, CommandError>) -> SubjectId {
    match reply {
        Ok(Reply::Saved { subject, .. }) => subject,
        other => panic!("saved, not {other:?}"),
    }
}

fn write(world: &mut World, phone: &mut Phone, title: &str) -> SubjectId {
    subject(world.ask(phone, words(title)))
}

fn device_card(world: &mut World, phone: &mut Phone) -> CardLink {
    match world.ask(phone, PeopleCommand::InviteDevice.into()) {
        Ok(Reply::DeviceCard { card, .. }) => card,
        other => panic!("a card, not {other:?}"),
    }
}

fn ids(phone: &mut Phone) -> (PersonId, DeviceId) {
    (phone.joined().person(), phone.joined().identity().key().id())
}

fn sees(phone: &mut Phone) -> Vec<SubjectId> {
    phone.joined().contributions().unwrap().into_iter().map(|item| item.subject).collect()
}

fn synced(world: &mut World, phone: &mut Phone) {
    let synced = world.sync(phone);
    assert_eq!(synced.settled, Some(None), "{synced:?}");
}

/// A phone that has joined in a role and has synced.
fn member(world: &mut World, role: Role) -> Phone {
    let mut phone = world.join(role);
    synced(world, &mut phone);
    phone
}

#[test]
fn words_of_a_lost_phone_before_its_revocation_stand_and_later_ones_count_nowhere() {
    let mut world = World::with_seed(1);
    let (mut facilitator, mut lost) = (member(&mut world, Role::Facilitator), member(&mut world, Role::Resident));
    let before = write(&mut world, &mut lost, "Voor het verlies");
    synced(&mut world, &mut lost);
    synced(&mut world, &mut facilitator);
    let (_, device) = ids(&mut lost);
    let target = RevocationTarget::Device(device);
    let revoke = Command::from(PeopleCommand::Revoke { target, reason: RevocationReason::Lost });
    let revocation = subject(world.ask(&mut facilitator, revoke.clone()));
    assert!(matches!(world.ask(&mut facilitator, revoke), Err(CommandError::AlreadyRevoked)));
    synced(&mut world, &mut facilitator);
    assert_ne!(revocation, before);

    // Whoever has the phone doesn't know yet, and writes.
    let after = write(&mut world, &mut lost, "Na het verlies");
    let said = world.sync(&mut lost);
    assert_eq!(said.settled, Some(Some(RefusalCode::Revoked)), "{said:?}");
    assert_eq!(lost.joined().revoked(), Some(RevocationReason::Lost));
    let written = world.ask(&mut lost, words("Nog een"));
    assert!(matches!(written, Err(CommandError::Revoked)), "{written:?}");
    // A phone that has nothing to send is told the same.
    let mut quiet = lost.copy();
    assert_eq!(world.sync(&mut quiet).settled, Some(Some(RefusalCode::Revoked)));

    synced(&mut world, &mut facilitator);
    assert_eq!(sees(&mut facilitator), [before]);
    for _ in 0..2 {
        assert_eq!(sees(&mut lost), [before], "on the lost phone too");
        let left = lost.joined().left_behind().unwrap();
        assert_eq!(left.iter().map(|left| left.subject).collect::<Vec<_>>(), [after], "kept, and shown apart");
        lost.restart();
    }
    let people = facilitator.joined().people();
    let item = people.iter().flat_map(|person| &person.devices).find(|item| item.device == device).unwrap();
    assert_eq!(item.revoked, Some(RevocationReason::Lost));
}

#[test]
fn what_nobody_may_take_away_is_refused_before_anything_is_written() {
    let mut world = World::with_seed(2);
    let (mut facilitator, mut board) = (member(&mut world, Role::Facilitator), member(&mut world, Role::Board));
    let mut resident = member(&mut world, Role::Resident);
    for phone in [&mut facilitator, &mut board, &mut resident] {
        synced(&mut world, phone);
    }
    let person = |phone: &mut Phone| RevocationTarget::Person(ids(phone).0);
    let (of_board, of_facilitator) = (person(&mut board), person(&mut facilitator));
    let of_nobody = RevocationTarget::Person(PersonId::new([9; 16]));
    let tried = |world: &mut World, phone: &mut Phone, target| {
        let reply = world.ask(phone, PeopleCommand::Revoke { target, reason: RevocationReason::Abuse }.into());
        assert!(!phone.joined().replica().has_uncommitted());
        reply.unwrap_err().to_string()
    };
    assert_eq!(tried(&mut world, &mut resident, of_facilitator), "this needs the role of administrator");
    assert_eq!(tried(&mut world, &mut facilitator, of_board), "this needs the role of administrator");
    assert_eq!(tried(&mut world, &mut board, of_facilitator), "this needs the role of administrator");
    let unknown = tried(&mut world, &mut board, of_nobody);
    assert_eq!(unknown, format!("this device knows no person {}", PersonId::new([9; 16])));
    let mut root = std::mem::replace(&mut world.root, Phone::open(Arc::new(MemoryStore::new())));
    assert!(matches!(world.ask(&mut root, PeopleCommand::Leave.into()), Err(CommandError::Role { .. })));
    let nobody = PeopleCommand::NameOrganisation(Organisation { name: "Huurders Samen".into() });
    assert!(matches!(world.ask(&mut board, nobody.into()), Err(CommandError::Role { needs: "administrator" })));
    let chains =
        world.ask(&mut root, PeopleCommand::Revoke { target: of_board, reason: RevocationReason::Left }.into());
    assert!(matches!(chains, Ok(Reply::Saved { .. })), "the root stands above all: {chains:?}");
}

#[test]
fn one_more_device_of_a_person_speaks_for_the_same_person() {
    let mut world = World::with_seed(3);
    let (mut first, mut other) = (member(&mut world, Role::Resident), member(&mut world, Role::Resident));
    let card = device_card(&mut world, &mut first);
    synced(&mut world, &mut first);
    let read_back = CardLink::parse(&card.to_string()).unwrap();
    let mut second = world.join_with(read_back, Arc::new(MemoryStore::new()));
    assert_eq!(ids(&mut second).0, ids(&mut first).0, "known before any network");
    let question = write(&mut world, &mut second, "Van het tweede toestel");
    synced(&mut world, &mut second);
    for phone in [&mut first, &mut other] {
        synced(&mut world, phone);
    }
    let shown = other.joined().contributions().unwrap();
    assert_eq!(shown[0].person, ids(&mut first).0);
    // One person has one voice, from whichever device it comes.
    for phone in [&mut first, &mut second] {
        world.ask(phone, Command::Speak { question, choice: Choice::Agree }).unwrap();
        synced(&mut world, phone);
    }
    synced(&mut world, &mut other);
    assert_eq!(other.joined().view().counts_of(question).agree, 1);
    let person = ids(&mut first).0;
    let people = other.joined().people();
    let item = people.iter().find(|item| item.person == person).unwrap();
    assert_eq!(item.devices.len(), 2);

    // A thief of the first phone can't keep its owner from taking it out with the second.
    let target = RevocationTarget::Device(ids(&mut first).1);
    world.ask(&mut second, PeopleCommand::Revoke { target, reason: RevocationReason::Lost }.into()).unwrap();
    synced(&mut world, &mut second);
    assert_eq!(world.sync(&mut first).settled, Some(Some(RefusalCode::Revoked)));
    assert_eq!(second.joined().revoked(), None);
    write(&mut world, &mut second, "Nog steeds lid");
    synced(&mut world, &mut second);
}

#[test]
fn a_card_for_one_persons_device_lets_nobody_join_as_somebody_else() {
    let mut world = World::with_seed(4);
    let (mut first, mut victim) = (member(&mut world, Role::Resident), member(&mut world, Role::Resident));
    let card = device_card(&mut world, &mut first);
    synced(&mut world, &mut first);
    for device_of in [Some(ids(&mut victim).0), None] {
        let forged = CardLink { device_of, ..card.clone() };
        let mut thief = world.join_with(forged, Arc::new(MemoryStore::new()));
        assert_eq!(world.sync(&mut thief).settled, Some(Some(RefusalCode::CardUnknown)), "{device_of:?}");
    }
    let mut honest = world.join_with(card, Arc::new(MemoryStore::new()));
    synced(&mut world, &mut honest);
}

#[test]
fn withdrawn_cards_let_nobody_in_and_who_joined_before_stays() {
    let mut world = World::with_seed(5);
    let mut facilitator = member(&mut world, Role::Facilitator);
    let mut other = member(&mut world, Role::Facilitator);
    let made = world.ask(&mut facilitator, Command::Invite { role: Role::Resident, count: 3 }).unwrap();
    let Reply::Cards { batch, secrets } = made else { panic!("cards, not {made:?}") };
    synced(&mut world, &mut facilitator);
    let links: Vec<CardLink> = secrets.into_iter().map(|secret| world.link(secret)).collect();
    let mut early = world.join_with(links[0].clone(), Arc::new(MemoryStore::new()));
    synced(&mut world, &mut early);
    for phone in [&mut facilitator, &mut other] {
        synced(&mut world, phone);
    }
    let of_batch = |phone: &mut Phone| -> CardsItem {
        phone.joined().cards().into_iter().find(|item| item.batch == Some(batch)).unwrap()
    };
    let item = of_batch(&mut other);
    assert_eq!((item.gives, item.made, item.used, item.outstanding()), (Gives::Role(Role::Resident), 3, 1, 2));
    assert_eq!(item.made_by, Some(ids(&mut facilitator).0));

    let withdraw = || Command::from(PeopleCommand::WithdrawCards { batch });
    let refused = world.ask(&mut other, withdraw()).unwrap_err();
    assert!(matches!(refused, CommandError::Role { needs: "administrator" }), "{refused}: an equal's cards");
    let said = world.ask(&mut facilitator, withdraw()).unwrap();
    assert_eq!(said, Reply::Withdrawn { batch, unused: 2 });
    assert_eq!(world.ask(&mut facilitator, withdraw()).unwrap(), Reply::Withdrawn { batch, unused: 0 });
    synced(&mut world, &mut facilitator);
    let mut late = world.join_with(links[1].clone(), Arc::new(MemoryStore::new()));
    assert_eq!(world.sync(&mut late).settled, Some(Some(RefusalCode::CardWithdrawn)));
    write(&mut world, &mut early, "Ik ben er nog");
    synced(&mut world, &mut early);
    synced(&mut world, &mut facilitator);
    let item = of_batch(&mut facilitator);
    assert_eq!((item.withdrawn, item.outstanding()), (true, 0));
}

#[test]
fn a_resident_can_take_back_the_card_of_an_own_device() {
    let mut world = World::with_seed(6);
    let (mut first, mut other) = (member(&mut world, Role::Resident), member(&mut world, Role::Resident));
    let made = world.ask(&mut first, PeopleCommand::InviteDevice.into()).unwrap();
    let Reply::DeviceCard { batch, card } = made else { panic!("a card, not {made:?}") };
    synced(&mut world, &mut first);
    synced(&mut world, &mut other);
    let refused = world.ask(&mut other, PeopleCommand::WithdrawCards { batch }.into());
    assert!(matches!(refused, Err(CommandError::Role { .. })), "{refused:?}");
    let said = world.ask(&mut first, PeopleCommand::WithdrawCards { batch }.into()).unwrap();
    assert_eq!(said, Reply::Withdrawn { batch, unused: 1 });
    synced(&mut world, &mut first);
    let mut finder = world.join_with(card, Arc::new(MemoryStore::new()));
    assert_eq!(world.sync(&mut finder).settled, Some(Some(RefusalCode::CardWithdrawn)));
}

#[test]
fn who_leaves_brings_the_last_words_and_can_write_no_more() {
    let mut world = World::with_seed(7);
    let (mut leaver, mut other) = (member(&mut world, Role::Resident), member(&mut world, Role::Resident));
    let last = write(&mut world, &mut leaver, "Geschreven zonder netwerk");
    world.ask(&mut leaver, PeopleCommand::Leave.into()).unwrap();
    let late = world.ask(&mut leaver, words("Te laat"));
    assert!(matches!(late, Err(CommandError::Revoked)), "{late:?}");
    let said = world.sync(&mut leaver);
    assert_eq!(said.settled, Some(Some(RefusalCode::Revoked)), "{said:?}");
    assert_eq!(leaver.joined().revoked(), Some(RevocationReason::Left));
    synced(&mut world, &mut other);
    assert_eq!(sees(&mut other), [last]);
    assert_eq!(sees(&mut leaver), [last]);
    assert!(leaver.joined().left_behind().unwrap().is_empty());
    let people = other.joined().people();
    let person = people.iter().find(|item| item.person == ids(&mut leaver).0).unwrap();
    assert_eq!(person.revoked, Some(RevocationReason::Left));
}

#[test]
fn a_party_speaks_for_an_organisation_that_the_wijk_knows() {
    let mut world = World::with_seed(8);
    let (mut administrator, mut member) = (member(&mut world, Role::Administrator), member(&mut world, Role::Resident));
    let person = ids(&mut member).0;
    synced(&mut world, &mut administrator);
    let grant = |role, organisation| Command::Grant { person, role, organisation };
    let none = world.ask(&mut administrator, grant(Role::Party, None));
    assert!(matches!(none, Err(CommandError::Organisation)), "{none:?}");
    let named = PeopleCommand::NameOrganisation(Organisation { name: "Huurders Samen".into() });
    let organisation = subject(world.ask(&mut administrator, named.into()));
    let other_role = world.ask(&mut administrator, grant(Role::Facilitator, Some(organisation)));
    assert!(matches!(other_role, Err(CommandError::Organisation)), "{other_role:?}");
    let unknown = world.ask(&mut administrator, grant(Role::Party, Some(SubjectId::new([1; 16]))));
    assert!(matches!(unknown, Err(CommandError::NotFound { what: "organisation", .. })), "{unknown:?}");
    world.ask(&mut administrator, grant(Role::Party, Some(organisation))).unwrap();
    synced(&mut world, &mut administrator);
    synced(&mut world, &mut member);
    let known = member.joined().organisations();
    assert_eq!(
        known.iter().map(|known| (known.subject, known.name.as_str())).collect::<Vec<_>>(),
        [(organisation, "Huurders Samen")]
    );
    let role = |phone: &mut Phone| {
        let people = phone.joined().people();
        let item = people.into_iter().find(|item| item.person == person).unwrap();
        item.roles.into_iter().find(|role| role.role == Role::Party).unwrap()
    };
    let given = role(&mut member);
    assert_eq!((given.organisation, given.revoked), (Some(organisation), None));
    let target = RevocationTarget::Grant(given.grant.unwrap());
    world.ask(&mut administrator, PeopleCommand::Revoke { target, reason: RevocationReason::Left }.into()).unwrap();
    synced(&mut world, &mut administrator);
    synced(&mut world, &mut member);
    assert_eq!(role(&mut member).revoked, Some(RevocationReason::Left));
    assert_eq!(member.joined().revoked(), None, "the person stays a resident");
    write(&mut world, &mut member, "Als bewoner");
    synced(&mut world, &mut member);
}
