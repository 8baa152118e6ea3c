//! Promise: what is sealed is read by those it is for, and by nobody else; and whoever wrote it hears the answer.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use samenspraak_core::app::own::Stage;
use samenspraak_core::app::{Command, OwnState, PeopleCommand, Reply, Sealing};
use samenspraak_core::membership::circle::CircleLink;
use samenspraak_core::model::*;
use samenspraak_core::seal::ReceiptSecret;
use samenspraak_tests::world::{DAY, Phone, World};

fn story(words: &str) -> Sealing {
    Sealing::Story(Content { title: "Thuis".into(), text: words.into(), theme: 1, buurt: String::new() })
}

fn seal(world: &mut World, phone: &mut Phone, space: SpaceId, words: &str) -> (SubjectId, ReceiptSecret) {
    match world.ask(phone, Command::Seal { space, sealing: story(words) }).unwrap() {
        Reply::Sealed { subject, receipt } => (subject, receipt),
        other => panic!("{other:?}"),
    }
}

fn release(world: &mut World) {
    let entropy = [7; 32];
    world.server_mut().release(entropy, DAY).unwrap();
}

fn texts(phone: &mut Phone, space: SpaceId) -> Vec<Option<String>> {
    let items = phone.joined().sealed_items(space).unwrap();
    let text = |words: SealedWords| match words {
        SealedWords::Story { content, .. } => content.text,
        SealedWords::Note { text } => text,
        other => format!("{other:?}"),
    };
    items.into_iter().map(|item| item.words.map(text)).collect()
}

#[test]
fn a_story_sealed_without_a_network_is_answered_to_whoever_holds_the_receipt() {
    let mut world = World::with_seed(31);
    let mut board = world.join(Role::Board);
    let mut amina = world.join(Role::Resident);
    // No key of the board is known yet: it is kept all the same.
    let (subject, receipt) = seal(&mut world, &mut amina, SpaceId::Inbox, "Er is schimmel");
    assert_eq!(amina.joined().own_sealed().unwrap()[0].state, OwnState::Saved);
    world.sync(&mut board);
    world.sync(&mut board);
    world.sync(&mut amina);
    let own = amina.joined().own_sealed().unwrap();
    assert_eq!((own[0].subject, own[0].state), (subject, OwnState::Arrived { day: DAY }));
    release(&mut world);
    world.sync(&mut board);
    assert_eq!(texts(&mut board, SpaceId::Inbox), [Some("Er is schimmel".to_owned())]);
    let answer = Command::AnswerSealed { space: SpaceId::Inbox, subject, answer: "Er komt iemand kijken".into() };
    world.ask(&mut board, answer).unwrap();
    world.sync(&mut board);
    world.sync(&mut amina);
    let answers = amina.joined().own_sealed().unwrap().remove(0).answers;
    assert_eq!(answers.iter().map(|answer| answer.answer.as_str()).collect::<Vec<_>>(), ["Er komt iemand kijken"]);
    // Another phone of the wijk, with the letters of the receipt alone.
    let mut friend = world.join(Role::Resident);
    world.sync(&mut friend);
    let typed = ReceiptSecret::parse(&receipt.letters()).unwrap();
    assert_eq!(friend.joined().answers_for(&typed).unwrap(), answers);
    assert!(friend.joined().answers_for(&ReceiptSecret::new([1; 16])).unwrap().is_empty());
    assert!(texts(&mut friend, SpaceId::Inbox).is_empty());
}

#[test]
fn a_second_board_member_reads_what_came_before_and_one_who_left_nothing_that_came_after() {
    let mut world = World::with_seed(32);
    let mut first = world.join(Role::Board);
    world.sync(&mut first);
    let mut amina = world.join(Role::Resident);
    world.sync(&mut amina);
    seal(&mut world, &mut amina, SpaceId::Inbox, "een");
    world.sync(&mut amina);
    release(&mut world);
    let mut second = world.join(Role::Board);
    // The second brings its key, the first wraps for it, the second reads.
    for _ in 0..2 {
        world.sync(&mut second);
        world.sync(&mut first);
    }
    world.sync(&mut second);
    assert_eq!(texts(&mut second, SpaceId::Inbox), [Some("een".to_owned())]);

    let device = first.joined().identity().key().id();
    let target = RevocationTarget::Device(device);
    world.root_says(PeopleCommand::Revoke { target, reason: RevocationReason::Left }.into());
    world.sync(&mut second);
    world.sync(&mut amina);
    seal(&mut world, &mut amina, SpaceId::Inbox, "twee");
    world.sync(&mut amina);
    release(&mut world);
    world.sync(&mut second);
    assert_eq!(texts(&mut second, SpaceId::Inbox), [Some("een".to_owned()), Some("twee".to_owned())]);
    assert!(world.server().members().is_revoked(device));
    let synced = world.sync(&mut first);
    assert!(matches!(synced.settled, Some(Some(_))), "{synced:?}");
    assert_eq!(texts(&mut first, SpaceId::Inbox), [Some("een".to_owned())]);
    // Even with every byte of the server's store: the key isn't wrapped to it.
    let used = second.joined().seals_to(SpaceId::Inbox).unwrap().generation();
    let own = first.joined().key_in(SpaceId::Inbox).id();
    let closed = world.server().members().closed(SpaceId::Inbox).unwrap();
    assert!(!closed.wraps.get(&used).unwrap().contains_key(&own));
}

#[test]
fn sealed_input_is_erased_by_its_author_everywhere() {
    let mut world = World::with_seed(33);
    let mut board = world.join(Role::Board);
    world.sync(&mut board);
    let mut amina = world.join(Role::Resident);
    world.sync(&mut amina);
    let (subject, _) = seal(&mut world, &mut amina, SpaceId::Inbox, "toch niet");
    world.sync(&mut amina);
    release(&mut world);
    world.sync(&mut board);
    assert_eq!(texts(&mut board, SpaceId::Inbox).len(), 1);
    world.ask(&mut amina, Command::Erase(subject)).unwrap();
    assert_eq!(amina.joined().own_sealed().unwrap()[0].words, None);
    world.sync(&mut amina);
    assert_eq!(amina.joined().own_sealed().unwrap()[0].stage, Stage::Erased);
    release(&mut world);
    world.sync(&mut board);
    assert!(texts(&mut board, SpaceId::Inbox).is_empty());
}

#[test]
fn a_circle_is_read_by_its_members_alone_and_not_by_one_who_was_taken_out() {
    let mut world = World::with_seed(34);
    let mut staff = world.join(Role::Facilitator);
    world.sync(&mut staff);
    let Reply::Circle(circle) = world.ask(&mut staff, Command::FoundCircle).unwrap() else { panic!() };
    staff.restart();
    let invite = Command::InviteToCircle { circle, count: 2 };
    let Reply::CircleCards { secrets, .. } = world.ask(&mut staff, invite).unwrap() else { panic!() };
    staff.restart();
    world.sync(&mut staff);
    let mut experts: Vec<Phone> = Vec::new();
    for secret in secrets {
        let mut expert = world.join(Role::Resident);
        let card = CircleLink { wijk: world.wijk, circle, secret };
        world.ask(&mut expert, Command::JoinCircle { card }).unwrap();
        world.sync(&mut expert);
        experts.push(expert);
    }
    world.sync(&mut staff);
    for expert in &mut experts {
        world.sync(expert);
    }
    world.ask(&mut experts[0], Command::WriteNote { space: circle, text: "Zo was het".into() }).unwrap();
    world.sync(&mut experts[0]);
    world.sync(&mut experts[1]);
    assert_eq!(texts(&mut experts[1], circle), [Some("Zo was het".to_owned())]);
    let gone = experts[0].joined().key_in(circle).id();
    world.ask(&mut staff, Command::RemoveFromCircle { circle, key: gone }).unwrap();
    world.sync(&mut staff);
    world.sync(&mut experts[1]);
    world.ask(&mut experts[1], Command::WriteNote { space: circle, text: "Nu verder".into() }).unwrap();
    world.sync(&mut experts[1]);
    world.sync(&mut experts[0]);
    world.sync(&mut staff);
    assert_eq!(texts(&mut staff, circle).len(), 2);
    assert_eq!(texts(&mut experts[0], circle).len(), 1);
    // A board member or resident who knows the circle's id gets nothing of it.
    let mut board = world.join(Role::Board);
    world.sync(&mut board);
    assert!(!world.server().members().may_read(board.joined().identity().key().id(), circle));
    assert!(board.joined().replica().frontier(circle).next().is_none());
}
