//! Promises that the fuzz functions found broken, each in its smallest form. What is mended stays here.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, ObjType, ROOT};
use samenspraak_core::app::{Command, PeopleCommand, Reply};
use samenspraak_core::entry::codec::Record;
use samenspraak_core::entry::subject::{body_hash, tombstone_salt};
use samenspraak_core::entry::{Header, Kind, Payload, Run, RunEntry, Tombstone};
use samenspraak_core::gate::Verdict;
use samenspraak_core::gate::change::{parse, preflight};
use samenspraak_core::gate::fold::fold;
use samenspraak_core::model::{Choice, EntryId, Measure, RevocationReason, RevocationTarget, Role, Ruling, SpaceId};
use samenspraak_core::replica::{Hashes, Replica, RunBatch, Side};
use samenspraak_core::store::MemoryStore;
use samenspraak_core::sync::server::PushJob;
use samenspraak_core::sync::wire::Frame;
use samenspraak_tests::conversation::Conversation;
use samenspraak_tests::world::{DAY, Phone, World};

#[path = "../../core/tests/common/hostile.rs"]
mod hostile;
#[path = "../../core/tests/common/wijk.rs"]
mod wijk;
use wijk::{Wijk, commit, key, take, verdict};

/// A list under a key that is the last of its map, made by an insertion, which only lists have. Automerge applies it; where
/// debug assertions are on it panics on the next new key behind it, whoever writes that.
#[test]
fn an_insertion_under_a_key_keeps_no_honest_change_out() {
    let base = hostile::base([0x21; 16]);
    let mut doc = AutoCommit::load(&base.save()).unwrap().with_actor(ActorId::from([0x43; 16]));
    let list = doc.put_object(&ROOT, "b", ObjType::List).unwrap();
    doc.insert(&list, 0, ()).unwrap();
    doc.commit();
    let change = hostile::ChangeBody::read(doc.get_last_local_change().unwrap().raw_bytes());
    let hostile_bytes = change.column(hostile::column::INSERT, vec![0, 2]).chunk();
    let honest_bytes = hostile::honest_addition(&base, [0x65; 16]);
    let read = |bytes: &[u8]| preflight(bytes).and_then(|found| parse(&found));
    let honest = read(&honest_bytes).unwrap();
    let changes = read(&hostile_bytes).into_iter().chain([honest.clone()]);
    let folded = fold(&base, changes.map(|change| (change.hash().0, change)).collect());
    assert!(hostile::contains(&folded.doc, honest.hash().0), "{:?}", folded.set_aside);
}

/// A phone takes everything of one writer from a server.
fn relay(server: &Replica, phone: &mut Replica, author: &wijk::Author) {
    let packed = server.pack_chain(SpaceId::Open, author.device(), 0, 100, 100_000, Hashes::Given).unwrap().unwrap();
    phone.admit(SpaceId::Open, &RunBatch { runs: vec![packed.run], order: vec![] }).unwrap();
    commit(phone);
}

/// A server drops the body of what it refuses, so no phone ever learns of that subject. What is about it must not count at
/// the server and wait on every phone: 1,024 such entries would take all the room for what honestly waits.
#[test]
fn what_is_about_a_refused_contribution_counts_the_same_on_a_phone_as_at_the_server() {
    let mut wijk = Wijk::new();
    let mut mallory = wijk.member(1, Role::Resident);
    let (mut amina, mut administrator) = (wijk.member(2, Role::Resident), wijk.member(3, Role::Administrator));
    let mut server = wijk.server();
    let mut phone = wijk.replica(Side::Phone { device: key(9).id() });
    let refused = mallory.subject(Kind::CONTRIBUTION);
    let bomb = hostile::null_bomb(mallory.actor(refused.id, 1), 1_000_000);
    let contribution = mallory.change(&refused, 1, bomb, true);
    assert!(matches!(take(&mut server, &contribution), Verdict::Refused(_)));
    let (_, voice) = amina.speak(refused.id, Choice::Agree, 1);
    let ground = "Artikel 16".to_owned();
    let tombstone = Tombstone::Administrator { subject: refused.id, ground: ground.clone() };
    let erasure = administrator.tombstone(SpaceId::Open, refused.id, tombstone);
    let about = administrator.subject(Kind::RULING);
    let ruling = Ruling {
        about: refused.id,
        measure: Measure::Hide,
        ground,
        reason: "Daarom.".into(),
        answers: None,
        counter: 1,
        replaces: None,
    };
    let ruling = administrator.create(SpaceId::Open, &about, &Record::Ruling(ruling));
    for made in [&voice, &erasure, &ruling] {
        take(&mut server, made);
    }
    for author in [&mallory, &amina, &administrator] {
        relay(&server, &mut phone, author);
    }
    for made in [&voice, &erasure, &ruling] {
        assert_eq!(verdict(&phone, made), verdict(&server, made));
    }
}

/// A record of who belongs that says it is a second entry about something. It was kept waiting without being folded, and
/// folded at the next start: then it counted, on this replica alone.
#[test]
fn a_second_entry_about_a_record_of_who_belongs_counts_neither_now_nor_after_a_restart() {
    let mut wijk = Wijk::new();
    let mut administrator = wijk.member(1, Role::Administrator);
    let mut server = wijk.server();
    let elsewhere = administrator.subject_in(SpaceId::Members, Kind::DIRECTORY);
    let directory = Record::Directory(samenspraak_tests::world::directory());
    let made = administrator.follow(SpaceId::Members, &elsewhere, &directory);
    assert!(matches!(take(&mut server, &made), Verdict::Refused(_)));
    assert_eq!(server.members().directory(), None);
    let again = Replica::open(wijk.id, Side::Server, Arc::clone(server.store())).unwrap();
    assert_eq!(again.members().directory(), None);
}

/// What one of staff asks to erase is hidden at once and goes when a second one signs. A phone that started anew showed it
/// again until then.
#[test]
fn what_one_of_staff_erases_stays_hidden_after_a_restart() {
    let mut evening = Conversation::new();
    let (subject, space) = (evening.contribution, SpaceId::Open);
    let author = evening.administrator.joined().identity().key();
    let head = evening.world.server().replica().head(space, author.id());
    let (seq, prev) = head.map_or((0, EntryId::ZERO), |head| (head.seq + 1, head.id));
    let body = Tombstone::Administrator { subject, ground: "Artikel 16".into() }.encode();
    let (wijk, device, kind, extra) = (evening.world.wijk, author.id(), Kind::TOMBSTONE, Vec::new());
    let hash = body_hash(&tombstone_salt(), device, seq, &body);
    let header = Header { wijk, space, device, seq, prev, subject, kind, body_hash: hash, extra: vec![] };
    let payload = Payload::Following { subject, body, hash: None };
    let run = Run {
        device,
        first_seq: seq,
        prev,
        entries: vec![RunEntry { kind, payload, extra }],
        signature: author.sign_entry(header.id()),
    };
    let batch = RunBatch { runs: vec![run], order: vec![] };
    let (answers, _) = evening.world.server_mut().admit(&[PushJob { push: 0, space, batch }], DAY).unwrap();
    assert!(matches!(&answers[..], [Frame::Receipt(_)]), "{answers:?}");
    let Conversation { world, neighbour, .. } = &mut evening;
    let shows = |phone: &mut Phone| phone.joined().contributions().unwrap().iter().any(|item| item.subject == subject);
    assert!(shows(neighbour));
    world.sync(neighbour);
    assert!(!shows(neighbour));
    neighbour.restart();
    assert!(!shows(neighbour));
}

/// Whoever has the higher rank can take somebody out, whoever's card they came with.
#[test]
fn an_administrator_and_a_facilitator_take_out_who_came_with_a_facilitators_card() {
    for role in [Role::Administrator, Role::Facilitator] {
        let mut world = World::with_seed(9);
        let (mut facilitator, mut remover) = (world.join(Role::Facilitator), world.join(role));
        for phone in [&mut facilitator, &mut remover] {
            assert_eq!(world.sync(phone).settled, Some(None));
        }
        let made = world.ask(&mut facilitator, Command::Invite { role: Role::Resident, count: 1 }).unwrap();
        let Reply::Cards { secrets, .. } = made else { panic!("cards, not {made:?}") };
        world.sync(&mut facilitator);
        let mut guest = world.join_with(world.link(secrets[0].clone()), Arc::new(MemoryStore::new()));
        for phone in [&mut guest, &mut remover] {
            assert_eq!(world.sync(phone).settled, Some(None));
        }
        let (person, device) = (guest.joined().person(), guest.joined().identity().key().id());
        let target = RevocationTarget::Person(person);
        let revoke = PeopleCommand::Revoke { target, reason: RevocationReason::Abuse };
        world.ask(&mut remover, revoke.into()).unwrap();
        assert_eq!(world.sync(&mut remover).settled, Some(None));
        assert!(!world.server().members().is_active(device), "taken out by somebody in the role {role:?}");
    }
}
