//! Promise: what the gate's header and body questions refuse, keep waiting or take, rule by rule.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use samenspraak_core::entry::codec::Record;
use samenspraak_core::entry::run::RunError;
use samenspraak_core::entry::{EraseSecret, Kind, Payload, Run, Tombstone};
use samenspraak_core::gate::{Reason, Verdict};
use samenspraak_core::model::*;
use samenspraak_core::replica::{BatchRefusal, Kept, News, RunBatch, Side};

#[path = "common/wijk.rs"]
mod wijk;
use wijk::*;

const OPEN: SpaceId = SpaceId::Open;

/// A wijk with a resident, another resident and a board member.
fn people() -> (Wijk, Author, Author, Author) {
    let mut wijk = Wijk::new();
    let (amina, bas) = (wijk.member(1, Role::Resident), wijk.member(2, Role::Resident));
    let board = wijk.member(3, Role::Board);
    (wijk, amina, bas, board)
}

#[test]
fn an_entry_in_the_name_of_another_device_is_refused() {
    let (wijk, mut amina, bas, _) = people();
    let mut server = wijk.server();
    let (_, made) = amina.contribute("Licht");
    let mut forged = made.run.clone();
    forged.device = bas.device();
    let refused = server.admit(OPEN, &RunBatch { runs: vec![forged], order: vec![] });
    assert!(matches!(refused, Err(BatchRefusal::Signature { device }) if device == bas.device()), "{refused:?}");
    assert_eq!(take(&mut server, &made), Verdict::Present);
}

#[test]
fn a_false_signature_is_refused_and_the_true_one_taken() {
    let (wijk, mut amina, ..) = people();
    let mut server = wijk.server();
    let (_, made) = amina.contribute("Licht");
    for at in [0, 31, 32, 63] {
        let mut run = made.run.clone();
        run.signature.0[at] ^= 1;
        let refused = server.admit(OPEN, &RunBatch { runs: vec![run], order: vec![] });
        assert!(matches!(refused, Err(BatchRefusal::Signature { .. })), "{refused:?}");
    }
    assert_eq!(take(&mut server, &made), Verdict::Present);
}

#[test]
fn an_entry_of_another_space_or_wijk_has_no_valid_signature_here() {
    let (wijk, mut amina, ..) = people();
    let mut server = wijk.server();
    let (_, made) = amina.contribute("Licht");
    for space in [SpaceId::Board, SpaceId::Inbox, SpaceId::Circle([1; 16])] {
        assert!(matches!(server.admit(space, &made.batch()), Err(BatchRefusal::Signature { .. })));
    }
    let mut elsewhere = Author::new(1, WijkId::new([9; 32]));
    let (_, foreign) = elsewhere.contribute("Licht");
    assert!(matches!(server.admit(OPEN, &foreign.batch()), Err(BatchRefusal::Signature { .. })));
}

#[test]
fn a_kind_in_a_space_where_it_doesn_t_belong_is_refused_for_good() {
    let (wijk, mut amina, ..) = people();
    let mut server = wijk.server();
    let subject = amina.subject_in(SpaceId::Ballot, Kind::VOICE);
    let voice = Record::Voice(Voice { question: subject.id, choice: Choice::Agree, counter: 1, replaces: None });
    let made = amina.create(SpaceId::Ballot, &subject, &voice);
    assert_eq!(take(&mut server, &made), Verdict::Refused(Reason::Space));
}

#[test]
fn a_stranger_gets_no_place_in_any_space() {
    let (wijk, ..) = people();
    let mut server = wijk.server();
    let mut stranger = Author::new(77, wijk.id);
    let (_, made) = stranger.contribute("Hallo");
    assert!(matches!(server.admit(OPEN, &made.batch()), Err(BatchRefusal::NotMember { .. })));
    let subject = stranger.subject_in(SpaceId::Members, Kind::GRANT);
    let grant = Record::Grant(Grant::of(stranger.person, Role::Administrator));
    let made = stranger.create(SpaceId::Members, &subject, &grant);
    assert!(matches!(server.admit(SpaceId::Members, &made.batch()), Err(BatchRefusal::NotMember { .. })));
    assert!(server.take_rows().is_empty(), "nothing of a refused batch is kept");
}

#[test]
fn a_gap_in_a_chain_is_refused_until_it_is_filled() {
    let (wijk, mut amina, ..) = people();
    let mut server = wijk.server();
    let made: Vec<Made> = ["een", "twee", "drie"].map(|words| amina.contribute(words).1).into();
    let refused = server.admit(OPEN, &made[2].batch());
    assert!(matches!(refused, Err(BatchRefusal::Gap { first_seq: 2, expected: 0, .. })), "{refused:?}");
    let all = take_all(&mut server, OPEN, &joined(&made));
    assert!(all.entries.iter().all(|outcome| outcome.verdict == Verdict::Present));
    // Half known, half new.
    let more = amina.contribute("vier").1;
    let all = take_all(&mut server, OPEN, &joined(&[made[2].clone(), more]));
    assert_eq!(all.entries.iter().map(|outcome| outcome.news).collect::<Vec<_>>(), [News::Known, News::Placed]);
}

#[test]
fn a_branch_of_a_cloned_device_is_refused_and_the_first_one_stands() {
    let (wijk, mut amina, ..) = people();
    let mut server = wijk.server();
    let first = amina.contribute("een").1;
    let mut clone = amina.clone();
    let (mine, other) = (amina.contribute("twee").1, clone.contribute("anders").1);
    take(&mut server, &first);
    take(&mut server, &mine);
    assert!(matches!(server.admit(OPEN, &other.batch()), Err(BatchRefusal::Fork { seq: 1, .. })));
    // Behind the branch, too: its link names an entry that isn't here.
    let later = clone.contribute("nog meer").1;
    assert!(matches!(server.admit(OPEN, &later.batch()), Err(BatchRefusal::Fork { seq: 2, .. })));
    assert_eq!(take(&mut server, &amina.contribute("drie").1), Verdict::Present);
}

#[test]
fn a_body_that_isn_t_its_header_s_is_the_carrier_s_fault() {
    let (wijk, mut amina, ..) = people();
    let mut server = wijk.server();
    let (question, made) = amina.contribute("Licht");
    take(&mut server, &made);
    let (voice, created) = amina.speak(question.id, Choice::Agree, 1);
    take(&mut server, &created);
    let record = Record::Voice(Voice { question: question.id, choice: Choice::Disagree, counter: 2, replaces: None });
    let next = amina.follow(OPEN, &voice, &record);
    let tampered = |hash_too: bool| -> Run {
        let mut run = next.run.clone();
        if let Payload::Following { body, hash, .. } = &mut run.entries[0].payload {
            let at = body.len() - 1;
            body[at] ^= 1;
            *hash = hash.filter(|_| !hash_too);
        }
        run
    };
    let batch = |run| RunBatch { runs: vec![run], order: vec![] };
    let refused = server.admit(OPEN, &batch(tampered(false)));
    assert!(matches!(refused, Err(BatchRefusal::Run(RunError::OtherBody { seq: 2, .. }))), "{refused:?}");
    assert!(matches!(server.admit(OPEN, &batch(tampered(true))), Err(BatchRefusal::Signature { .. })));
    assert_eq!(take(&mut server, &next), Verdict::Present);
}

#[test]
fn a_second_genesis_is_refused_also_from_the_root() {
    let (mut wijk, ..) = people();
    let mut server = wijk.server();
    let subject = wijk.root.subject_in(SpaceId::Members, Kind::GENESIS);
    let device = wijk.root.device();
    let made = wijk.root.create(SpaceId::Members, &subject, &Record::Genesis(device));
    assert_eq!(take(&mut server, &made), Verdict::Refused(Reason::OtherGenesis));
    assert_eq!(server.members().root(), Some(device));
}

#[test]
fn a_decision_by_a_resident_waits_and_a_later_grant_releases_it() {
    for side in [Side::Server, Side::Phone { device: key(2).id() }] {
        let (mut wijk, mut amina, mut bas, _) = people();
        let mut replica = wijk.replica(side);
        let (question, made) = bas.contribute("Licht");
        take(&mut replica, &made);
        let (_, decision) = amina.decide(question.id, "Ja");
        assert_eq!(take(&mut replica, &decision), Verdict::Pending);
        let after = amina.contribute("Verder schrijven").1;
        assert_eq!(take(&mut replica, &after), Verdict::Present, "what its author writes after it counts");
        let grant = wijk.grant(amina.person, Role::Board);
        let admitted = take_all(&mut replica, SpaceId::Members, &grant.batch());
        assert_eq!(admitted.woken.iter().map(|outcome| outcome.id).collect::<Vec<_>>(), [decision.id]);
        assert_eq!(verdict(&replica, &decision), Verdict::Present);
        assert_eq!(replica.waiting_count(), 0);
    }
}

#[test]
fn a_decision_is_released_by_the_second_of_two_grants_that_come_together() {
    let (mut wijk, mut amina, mut bas, _) = people();
    let mut server = wijk.server();
    let (question, made) = bas.contribute("Licht");
    take(&mut server, &made);
    let (_, decision) = amina.decide(question.id, "Ja");
    assert_eq!(take(&mut server, &decision), Verdict::Pending);
    let grants = [wijk.grant(amina.person, Role::Facilitator), wijk.grant(amina.person, Role::Board)];
    take_all(&mut server, SpaceId::Members, &joined(&grants));
    assert_eq!(verdict(&server, &decision), Verdict::Present);
    assert_eq!(server.waiting_count(), 0);
}

#[test]
fn a_voice_on_an_unknown_contribution_waits_and_is_released() {
    let (wijk, mut amina, mut bas, _) = people();
    let mut server = wijk.server();
    let (question, made) = bas.contribute("Licht");
    let (_, voice) = amina.speak(question.id, Choice::Agree, 1);
    assert_eq!(take(&mut server, &voice), Verdict::Pending);
    assert_eq!(take(&mut server, &made), Verdict::Present);
    assert_eq!(verdict(&server, &voice), Verdict::Present);
    assert_eq!(server.waiting_count(), 0);
}

#[test]
fn an_edit_of_somebody_else_s_contribution_is_refused_and_stops_nobody() {
    let (wijk, mut amina, mut bas, _) = people();
    let mut server = wijk.server();
    let (subject, made) = bas.contribute("Licht");
    take(&mut server, &made);
    let content = Content { title: "Donker".into(), text: "Donker".into(), theme: 1, buurt: String::new() };
    let actor = amina.actor(subject.id, 5);
    let change = samenspraak_core::document::contribution::create(actor, &content).unwrap().unwrap();
    let edit = amina.change(&subject, 5, change, false);
    assert_eq!(take(&mut server, &edit), Verdict::Refused(Reason::Owner));
    assert!(matches!(
        server.entry(server.place_of(edit.id).unwrap().unwrap()).unwrap().unwrap().kept,
        Kept::Refused(_, None)
    ));
    assert_eq!(take(&mut server, &amina.contribute("Eigen woorden").1), Verdict::Present);
}

fn tombstones(subject: &Subject) -> [(&'static str, Tombstone, Verdict); 4] {
    let Tombstone::Owner { subject: id, device, kind, nonce, erase_secret } = subject.tombstone() else {
        unreachable!()
    };
    let refused = Verdict::Refused(Reason::FalseTombstone);
    let owner = |device, nonce, erase_secret| Tombstone::Owner { subject: id, device, kind, nonce, erase_secret };
    [
        ("another secret", owner(device, nonce, EraseSecret([0; 32])), refused),
        ("another nonce", owner(device, [0; 16], erase_secret), refused),
        ("another device", owner(DeviceId::ZERO, nonce, erase_secret), refused),
        (
            "an administrator's waits for the second signature",
            Tombstone::Administrator { subject: id, ground: "omdat het kan".into() },
            Verdict::Pending,
        ),
    ]
}

#[test]
fn a_tombstone_that_doesn_t_prove_itself_erases_nothing() {
    let (wijk, mut amina, mut bas, _) = people();
    let mut server = wijk.server();
    let (subject, made) = bas.contribute("Licht");
    take(&mut server, &made);
    for (name, tombstone, expected) in tombstones(&subject) {
        let made = amina.tombstone(OPEN, subject.id, tombstone);
        assert_eq!(take(&mut server, &made), expected, "{name}");
    }
    // A true one about another subject than its header says.
    let (other, made_other) = bas.contribute("Groen");
    take(&mut server, &made_other);
    let swapped = amina.tombstone(OPEN, subject.id, other.tombstone());
    assert_eq!(take(&mut server, &swapped), Verdict::Refused(Reason::FalseTombstone));
    assert_eq!(verdict(&server, &made), Verdict::Present);
    assert_eq!(verdict(&server, &made_other), Verdict::Present);
}

#[test]
fn what_the_wijk_decided_has_no_tombstone() {
    let (wijk, _, mut bas, mut board) = people();
    let mut server = wijk.server();
    let (question, made) = bas.contribute("Licht");
    take(&mut server, &made);
    let (subject, decision) = board.decide(question.id, "Ja");
    take(&mut server, &decision);
    let tombstone = board.tombstone(OPEN, subject.id, subject.tombstone());
    assert_eq!(take(&mut server, &tombstone), Verdict::Refused(Reason::NotErasable));
    assert_eq!(verdict(&server, &decision), Verdict::Present);
}

#[test]
fn an_erased_subject_takes_nothing_more_and_its_author_writes_on() {
    let (wijk, mut amina, mut bas, _) = people();
    let mut server = wijk.server();
    let (subject, made) = bas.contribute("Licht");
    let (voice, voiced) = amina.speak(subject.id, Choice::Agree, 1);
    for made in [&made, &voiced] {
        assert_eq!(take(&mut server, made), Verdict::Present);
    }
    let tombstone = amina.tombstone(OPEN, voice.id, voice.tombstone());
    assert_eq!(take(&mut server, &tombstone), Verdict::Present);
    let row = server.entry(server.place_of(voiced.id).unwrap().unwrap()).unwrap().unwrap();
    assert_eq!(row.kept, Kept::Erased);
    let record = Record::Voice(Voice { question: subject.id, choice: Choice::Disagree, counter: 2, replaces: None });
    let later = amina.follow(OPEN, &voice, &record);
    assert_eq!(take(&mut server, &later), Verdict::Erased);
    let (_, fresh) = amina.speak(subject.id, Choice::Pass, 3);
    assert_eq!(take(&mut server, &fresh), Verdict::Present);
    // A replica that hears of the tombstone first erases what comes after it.
    let mut late = wijk.server();
    let Tombstone::Owner { .. } = voice.tombstone() else { unreachable!() };
    let by_bas = bas.tombstone(OPEN, voice.id, voice.tombstone());
    take(&mut late, &made);
    assert_eq!(take(&mut late, &by_bas), Verdict::Present);
    assert_eq!(take(&mut late, &voiced), Verdict::Erased);
}

#[test]
fn two_branches_in_one_batch_are_refused_and_leave_no_broken_chain() {
    let (wijk, mut amina, ..) = people();
    let mut server = wijk.server();
    let mut clone = amina.clone();
    let mine = amina.contribute("een").1;
    let other = joined(&[clone.contribute("anders").1, clone.contribute("en verder").1]);
    let both = RunBatch { runs: vec![mine.run.clone(), other.runs[0].clone()], order: vec![] };
    let refused = server.admit(OPEN, &both);
    assert!(matches!(refused, Err(BatchRefusal::Form)), "{refused:?}");
    assert_eq!(take(&mut server, &mine), Verdict::Present);
    assert_eq!(take(&mut server, &amina.contribute("twee").1), Verdict::Present);
}

#[test]
fn a_hole_keeps_its_place_and_takes_only_its_own_body_and_signature() {
    let (wijk, mut amina, ..) = people();
    let mut server = wijk.server();
    let (question, made) = amina.contribute("Licht");
    take(&mut server, &made);
    let (voice, created) = amina.speak(question.id, Choice::Agree, 1);
    take(&mut server, &created);
    let record = Record::Voice(Voice { question: question.id, choice: Choice::Disagree, counter: 2, replaces: None });
    let next = amina.follow(OPEN, &voice, &record);
    let Payload::Following { subject, hash: Some(hash), .. } = next.run.entries[0].payload else { unreachable!() };
    let mut stub = next.run.clone();
    stub.entries[0].payload = Payload::Stub { subject, hash };
    let batch = |run| RunBatch { runs: vec![run], order: vec![] };
    let admitted = take_all(&mut server, OPEN, &batch(stub));
    assert_eq!(admitted.entries[0].verdict, Verdict::Pending);
    // Any carrier may bring the body. The signature that proved the entry stays, whatever it brings beside it.
    let mut carried = next.run.clone();
    carried.signature.0 = [7; 64];
    let admitted = take_all(&mut server, OPEN, &batch(carried));
    assert_eq!((admitted.entries[0].verdict, admitted.entries[0].news), (Verdict::Present, News::Again));
    let row = server.entry(admitted.entries[0].place).unwrap().unwrap();
    assert_eq!(row.signature, Some(next.run.signature));
}

#[test]
fn a_device_can_t_join_as_somebody_else() {
    let (mut wijk, _, _, board) = people();
    let mut server = wijk.server();
    let card = wijk.card(Role::Resident);
    take(&mut server, wijk.members.last().unwrap());
    let mut mallory = Author::new(66, wijk.id);
    mallory.person = board.person;
    let join = wijk.join_entry(&mut mallory, &card);
    let refused = server.admit(SpaceId::Members, &join.batch());
    assert!(matches!(refused, Err(BatchRefusal::CardUnknown)), "{refused:?}");
    assert!(!server.members().has_role(mallory.device(), Role::Board));
    // The card isn't spent.
    let mut honest = Author::new(67, wijk.id);
    assert_eq!(take(&mut server, &wijk.join_entry(&mut honest, &card)), Verdict::Present);
}

#[test]
fn a_voice_on_a_contribution_that_was_erased_before_it_came_does_not_wait_for_ever() {
    let (wijk, mut amina, mut bas, _) = people();
    let (question, made) = bas.contribute("Licht");
    let (_, voice) = amina.speak(question.id, Choice::Agree, 1);
    let tombstone = bas.tombstone(OPEN, question.id, question.tombstone());
    let mut saw_all = wijk.server();
    let mut saw_late = wijk.server();
    for made in [&made, &voice, &tombstone] {
        take(&mut saw_all, made);
    }
    for made in [&voice, &made, &tombstone] {
        let mut made = (*made).clone();
        if made.id == tombstone.id || made.id == voice.id {
            take(&mut saw_late, &made);
            continue;
        }
        // The contribution itself comes as a stub: its body is gone everywhere.
        let hash = samenspraak_core::entry::run::Cursor::new(&made.run)
            .next(wijk.id, OPEN, &mut |_| None)
            .unwrap()
            .unwrap()
            .header
            .body_hash;
        made.run.entries[0].payload = Payload::Stub { subject: question.id, hash };
        take(&mut saw_late, &made);
    }
    assert_eq!(verdict(&saw_all, &voice), Verdict::Present);
    assert_eq!(verdict(&saw_late, &voice), Verdict::Present);
    assert_eq!(saw_late.waiting_count(), 0);
}

#[test]
fn a_tombstone_in_the_same_commit_takes_all_words_with_it() {
    let (wijk, _, mut bas, _) = people();
    let mut server = wijk.server();
    let (subject, made) = bas.contribute("Licht");
    let content = Content { title: "Licht".into(), text: "Licht, en snel".into(), theme: 1, buurt: String::new() };
    let Payload::Creating { body } = &made.run.entries[0].payload else { unreachable!() };
    let Some(Record::Change(first)) = samenspraak_core::entry::codec::decode(Kind::CONTRIBUTION, body).unwrap() else {
        unreachable!()
    };
    let doc = samenspraak_core::document::open(vec![(made.id, first.change)]).doc;
    let actor = bas.actor(subject.id, 2);
    let change = samenspraak_core::document::contribution::edit(&doc, actor, &content).unwrap().unwrap();
    let edit = bas.change(&subject, 2, change, false);
    let tombstone = bas.tombstone(OPEN, subject.id, subject.tombstone());
    // A server commits the pushes of many connections together.
    for made in [&made, &edit, &tombstone] {
        assert_eq!(server.admit(OPEN, &made.batch()).unwrap().entries[0].verdict, Verdict::Present);
    }
    commit(&mut server);
    for made in [&made, &edit] {
        let row = server.entry(server.place_of(made.id).unwrap().unwrap()).unwrap().unwrap();
        assert_eq!(row.kept, Kept::Erased);
    }
    let changes = server.store().scan(samenspraak_core::store::Table::Change, &[], None, 9).unwrap();
    assert_eq!(changes, [], "nothing is remembered of its changes");
}

#[test]
fn a_body_that_comes_before_its_subject_is_kept_and_counts_only_if_it_is_its_header_s() {
    let (wijk, _, mut bas, _) = people();
    let (question, asked) = bas.contribute("Licht");
    let mut staff = bas.clone();
    let (voice, created) = staff.speak(question.id, Choice::Agree, 1);
    // The creation travels as a stub first, so that what follows it comes before its subject.
    let record = Record::Voice(Voice { question: question.id, choice: Choice::Pass, counter: 2, replaces: None });
    let next = staff.follow(OPEN, &voice, &record);
    let Some(Ok(rebuilt)) = samenspraak_core::entry::run::Cursor::new(&created.run).next(wijk.id, OPEN, &mut |_| None)
    else {
        unreachable!()
    };
    let mut stub = created.clone();
    stub.run.entries[0].payload = Payload::Stub { subject: voice.id, hash: rebuilt.header.body_hash };
    for tampered in [false, true] {
        let mut server = wijk.server();
        let mut early = next.clone();
        if let Payload::Following { body, .. } = &mut early.run.entries[0].payload
            && tampered
        {
            *body.last_mut().unwrap() ^= 1;
        }
        take(&mut server, &asked);
        take(&mut server, &stub);
        assert_eq!(take(&mut server, &early), Verdict::Pending);
        assert_eq!(take(&mut server, &created), Verdict::Present, "the creation fills its hole");
        let expected = if tampered { Verdict::Pending } else { Verdict::Present };
        assert_eq!(verdict(&server, &next), expected);
        // Whoever has the right body can still bring it.
        assert_eq!(take(&mut server, &next), Verdict::Present);
    }
}
