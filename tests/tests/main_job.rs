//! The main job in one world: words written without a network reach the board, and the answer comes back.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use samenspraak_core::app::{Command, LineEvent, OwnState, Reply};
use samenspraak_core::model::{Choice, Content, Decision, Outcome, Role, SubjectId};
use samenspraak_tests::world::{Phone, World};

fn mould() -> Content {
    Content { title: "Schimmel".into(), text: "In de kinderkamer.".into(), theme: 1, buurt: String::new() }
}

fn contribute(world: &mut World, phone: &mut Phone, content: Content) -> SubjectId {
    match world.ask(phone, Command::Contribute(content)).unwrap() {
        Reply::Saved { subject, .. } => subject,
        other => panic!("saved, not {other:?}"),
    }
}

fn own_state(phone: &mut Phone, subject: SubjectId) -> OwnState {
    phone.joined().line(subject).unwrap().unwrap().item.own.unwrap()
}

#[test]
fn words_written_offline_reach_the_board_and_the_answer_comes_back() {
    let mut world = World::with_seed(1);
    let mut resident = world.join(Role::Resident);
    let mut board = world.join(Role::Board);
    let subject = contribute(&mut world, &mut resident, mould());
    assert_eq!(own_state(&mut resident, subject), OwnState::Saved);
    resident.restart();
    assert_eq!(own_state(&mut resident, subject), OwnState::Saved);

    let synced = world.sync(&mut resident);
    assert_eq!(synced.settled, Some(None), "{synced:?}");
    assert!(matches!(own_state(&mut resident, subject), OwnState::Arrived { .. }));

    let synced = world.sync(&mut board);
    assert_eq!(synced.settled, Some(None), "{synced:?}");
    let queue = board.joined().contributions().unwrap();
    assert_eq!(queue.len(), 1);
    assert_eq!(queue[0].content, mould());
    let decision = Decision {
        about: vec![subject],
        outcome: Outcome::Yes,
        reason: "Vocht is ongezond.".into(),
        answer: "We komen kijken.".into(),
        party: "woningcorporatie".into(),
        due_day: Some(20_100),
        replaces: Vec::new(),
    };
    world.ask(&mut board, Command::Decide(decision.clone())).unwrap();
    world.sync(&mut board);
    world.sync(&mut resident);
    resident.restart();
    let line = resident.joined().line(subject).unwrap().unwrap();
    let decided = line.events.iter().find_map(|event| match event {
        LineEvent::Decided(item) => Some(item.facts.decision.clone()),
        _ => None,
    });
    assert_eq!(decided, Some(decision));
}

#[test]
fn a_phone_that_breaks_off_anywhere_loses_nothing_and_says_arrived_only_with_a_receipt() {
    for cut in 0..12 {
        let mut world = World::with_seed(100 + cut as u64);
        let mut resident = world.join(Role::Resident);
        let subject = contribute(&mut world, &mut resident, mould());
        world.sync_cut(&mut resident, cut);
        if matches!(own_state(&mut resident, subject), OwnState::Arrived { .. }) {
            let known = world.server().replica().subject(samenspraak_core::model::SpaceId::Open, subject);
            assert!(known.unwrap().is_some(), "cut {cut}: arrived, but not at the server");
        }
        resident.restart();
        world.restart_server();
        let synced = world.sync(&mut resident);
        assert_eq!(synced.settled, Some(None), "cut {cut}: {synced:?}");
        assert!(matches!(own_state(&mut resident, subject), OwnState::Arrived { .. }), "cut {cut}");
    }
}

#[test]
fn the_newest_voice_of_a_person_counts_and_another_edit_of_the_words_does_not_double_them() {
    let mut world = World::with_seed(3);
    let (mut author, mut other) = (world.join(Role::Resident), world.join(Role::Resident));
    let subject = contribute(&mut world, &mut author, mould());
    world.sync(&mut author);
    world.sync(&mut other);
    for choice in [Choice::Agree, Choice::Disagree, Choice::Support] {
        world.ask(&mut other, Command::Speak { question: subject, choice }).unwrap();
    }
    world.sync(&mut other);
    let longer = Content { text: "In de kinderkamer. Al een jaar.".into(), ..mould() };
    let reply = world.ask(&mut author, Command::Edit { subject, content: longer.clone() }).unwrap();
    assert!(matches!(reply, Reply::Saved { subject: same, .. } if same == subject));
    world.sync(&mut author);
    world.sync(&mut other);
    let items = other.joined().contributions().unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].content, longer);
    assert_eq!((items[0].counts.support, items[0].counts.agree, items[0].counts.disagree), (1, 0, 0));
}

#[test]
fn words_that_were_taken_away_are_erased_everywhere() {
    let mut world = World::with_seed(4);
    let (mut author, mut other) = (world.join(Role::Resident), world.join(Role::Resident));
    let subject = contribute(&mut world, &mut author, mould());
    world.sync(&mut author);
    world.sync(&mut other);
    let shorter = Content { text: "In de kamer.".into(), ..mould() };
    let reply = world.ask(&mut author, Command::Edit { subject, content: shorter.clone() }).unwrap();
    let Reply::Saved { subject: fresh, .. } = reply else { panic!("{reply:?}") };
    assert_ne!(fresh, subject);
    world.sync(&mut author);
    world.sync(&mut other);
    for phone in [&mut author, &mut other] {
        let items = phone.joined().contributions().unwrap();
        assert_eq!(items.iter().map(|item| &item.content).collect::<Vec<_>>(), [&shorter]);
        assert!(phone.joined().line(subject).unwrap().is_none());
    }
    other.restart();
    assert_eq!(other.joined().contributions().unwrap().len(), 1);
}

#[test]
fn a_card_used_twice_lets_one_device_in_and_tells_the_other() {
    use samenspraak_core::sync::wire::RefusalCode;
    let mut world = World::with_seed(5);
    let card = world.card(Role::Resident);
    let mut first = world.join_with(card.clone(), std::sync::Arc::new(samenspraak_core::store::MemoryStore::new()));
    let mut second = world.join_with(card, std::sync::Arc::new(samenspraak_core::store::MemoryStore::new()));
    assert_eq!(world.sync(&mut first).settled, Some(None));
    let synced = world.sync(&mut second);
    assert_eq!(synced.settled, Some(Some(RefusalCode::CardUsed)), "{synced:?}");
}

#[test]
fn an_answer_stays_with_an_input_whose_words_were_corrected_also_on_a_phone_that_comes_later() {
    let mut world = World::with_seed(6);
    let (mut author, mut board) = (world.join(Role::Resident), world.join(Role::Board));
    let first = contribute(&mut world, &mut author, mould());
    let other = contribute(&mut world, &mut author, Content { title: "Stoep".into(), ..mould() });
    world.sync(&mut author);
    world.sync(&mut board);
    let decision = Decision {
        about: vec![first, other],
        outcome: Outcome::Yes,
        reason: "Het klopt.".into(),
        answer: "We doen het.".into(),
        party: String::new(),
        due_day: None,
        replaces: Vec::new(),
    };
    world.ask(&mut board, Command::Decide(decision)).unwrap();
    world.sync(&mut board);
    world.sync(&mut author);
    let shorter = Content { text: "In de kamer.".into(), ..mould() };
    let reply = world.ask(&mut author, Command::Edit { subject: first, content: shorter }).unwrap();
    let Reply::Saved { subject: fresh, .. } = reply else { panic!("{reply:?}") };
    world.sync(&mut author);
    world.sync(&mut board);
    let mut later = world.join(Role::Resident);
    assert_eq!(world.sync(&mut later).settled, Some(None));
    for phone in [&mut author, &mut board, &mut later] {
        for subject in [fresh, other] {
            let line = phone.joined().line(subject).unwrap().unwrap();
            assert_eq!(line.item.decisions, 1, "{subject}");
        }
        phone.restart();
        assert_eq!(phone.joined().line(fresh).unwrap().unwrap().item.decisions, 1);
    }
}

#[test]
fn a_command_that_is_refused_costs_neither_the_connection_nor_anything_written() {
    let mut world = World::with_seed(7);
    let mut resident = world.join(Role::Resident);
    let subject = contribute(&mut world, &mut resident, mould());
    let empty = Content { title: String::new(), ..mould() };
    assert!(world.ask(&mut resident, Command::Contribute(empty)).is_err());
    let long = Content { text: "ሰ".repeat(10_000), ..mould() };
    let long_subject = contribute(&mut world, &mut resident, long.clone());
    let longer = Content { text: "ሰ".repeat(10_001), ..mould() };
    assert!(world.ask(&mut resident, Command::Contribute(longer)).is_err());
    assert_eq!(world.sync(&mut resident).settled, Some(None));
    assert!(matches!(own_state(&mut resident, subject), OwnState::Arrived { .. }));
    assert_eq!(resident.joined().line(long_subject).unwrap().unwrap().item.content, long);
}

#[test]
fn a_resident_cannot_join_as_somebody_else() {
    use samenspraak_core::entry::codec::person_of;
    let mut world = World::with_seed(8);
    let (mut resident, mut board) = (world.join(Role::Resident), world.join(Role::Board));
    world.sync(&mut board);
    world.sync(&mut resident);
    for phone in [&mut resident, &mut board] {
        let joined = phone.joined();
        assert_eq!(joined.person(), person_of(joined.identity().wijk, joined.identity().key().id()));
    }
}

#[test]
fn a_decision_that_nobody_could_read_is_refused_before_it_is_written() {
    let mut world = World::with_seed(4);
    let mut board = world.join(Role::Board);
    world.sync(&mut board);
    let subject = contribute(&mut world, &mut board, mould());
    let decision = Decision {
        about: vec![subject],
        outcome: Outcome::No,
        reason: "Te duur.".into(),
        answer: "Dit kan niet.".into(),
        party: String::new(),
        due_day: None,
        replaces: Vec::new(),
    };
    let long_party = Decision { party: "x".repeat(201), ..decision.clone() };
    assert!(world.ask(&mut board, Command::Decide(long_party)).is_err());
    let replaces = vec![samenspraak_core::model::EntryId::ZERO; 33];
    assert!(world.ask(&mut board, Command::Decide(Decision { replaces, ..decision.clone() })).is_err());
    let Ok(Reply::Saved { id, .. }) = world.ask(&mut board, Command::Decide(decision)) else { panic!("saved") };
    assert_eq!(board.joined().state_of(id).unwrap(), Some(OwnState::Saved));
    world.sync(&mut board);
    assert!(matches!(board.joined().state_of(id).unwrap(), Some(OwnState::Arrived { .. })));
}
