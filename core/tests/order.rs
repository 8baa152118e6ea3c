//! Promise: what a replica shows depends on the set of entries it has, never on the order in which they came.
//!
//! Entries of several devices come in any order that their chains allow, also before what they depend on. `open` may come
//! before the grants of `members` that it waits for; joins come first, since without them an entry has no place at all.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use samenspraak_core::document::{self, Splice, contribution, meeting};
use samenspraak_core::entry::Kind;
use samenspraak_core::entry::codec::{Record, decode};
use samenspraak_core::gate::Verdict;
use samenspraak_core::model::*;
use samenspraak_core::replica::{Kept, Place, Replica, Side};
use samenspraak_core::store::{Table, keys};
use samenspraak_core::view::View;

#[path = "common/hostile.rs"]
mod hostile;
#[path = "common/wijk.rs"]
mod wijk;
use hostile::Seeded;
use wijk::*;

const OPEN: SpaceId = SpaceId::Open;

/// Everything somebody wrote, chain by chain, and who it depends on besides.
struct Story {
    wijk: Wijk,
    joined: usize,
    chains: Vec<Vec<Made>>,
    contributions: Vec<Subject>,
    meeting: Subject,
    people: Vec<PersonId>,
}

fn change_of(made: &Made, kind: Kind) -> Vec<u8> {
    use samenspraak_core::entry::Payload;
    let (Payload::Creating { body } | Payload::Following { body, .. }) = &made.run.entries[0].payload else {
        unreachable!()
    };
    match decode(kind, body) {
        Ok(Some(Record::Change(change))) => change.change,
        other => panic!("{other:?}"),
    }
}

/// A small neighbourhood: contributions edited and erased, voices changed, a meeting written by two, decisions that
/// replace each other, one of them by somebody who is granted the role only later.
fn story() -> Story {
    let mut wijk = Wijk::new();
    let (mut amina, mut bas) = (wijk.member(1, Role::Resident), wijk.member(2, Role::Resident));
    let (mut staff, mut board) = (wijk.member(3, Role::Facilitator), wijk.member(4, Role::Board));
    let mut new_board = wijk.member(5, Role::Resident);
    let joined = wijk.members.len();
    wijk.grant(new_board.person, Role::Facilitator);
    wijk.grant(new_board.person, Role::Board);
    let mut chains: Vec<Vec<Made>> = vec![Vec::new(); 6];

    let (light, made) = amina.contribute("Licht");
    let mut doc = document::open(vec![(made.id, change_of(&made, Kind::CONTRIBUTION))]).doc;
    chains[0].push(made);
    for (session, words) in [(2, "Licht en groen"), (3, "Licht en groen, en rust")] {
        let actor = amina.actor(light.id, session);
        let mut content = contribution::read(&doc);
        content.text = words.into();
        let change = contribution::edit(&doc, actor, &content).unwrap().unwrap();
        let made = amina.change(&light, session, change.clone(), false);
        doc = document::update(&doc, vec![(made.id, change)]).doc;
        chains[0].push(made);
    }
    let (gone, made) = bas.contribute("Toch niet");
    chains[1].push(made);
    let (on_gone, made) = amina.speak(gone.id, Choice::Support, 1);
    chains[0].push(made);
    let (voice, made) = bas.speak(light.id, Choice::Agree, 1);
    chains[1].push(made);
    let record = |choice, counter| Record::Voice(Voice { question: light.id, choice, counter, replaces: None });
    chains[1].push(bas.follow(OPEN, &voice, &record(Choice::Disagree, 2)));
    // Two subjects of one person on one question: the higher counter counts.
    chains[1].push(bas.speak(light.id, Choice::Pass, 2).1);
    chains[2].push(staff.speak(light.id, Choice::Agree, 1).1);
    chains[1].push(bas.tombstone(OPEN, gone.id, gone.tombstone()));
    let (erased_voice, made) = board.speak(light.id, Choice::Support, 9);
    chains[3].push(made);
    // Anybody who knows the secret may bring a tombstone.
    chains[2].push(staff.tombstone(OPEN, erased_voice.id, erased_voice.tombstone()));

    let notes = staff.subject(Kind::MEETING);
    let change = meeting::create(staff.actor(notes.id, 1), "Wijkavond", &["Licht".into()]).unwrap().unwrap();
    let made = staff.change(&notes, 1, change.clone(), true);
    let mut doc = document::open(vec![(made.id, change)]).doc;
    chains[2].push(made);
    let mut sessions = BTreeMap::from([(2, 1u8), (3, 1u8)]);
    for (at, words) in [(3, "Board: ja. "), (2, "Ook goed. "), (3, "Dan is het klaar. "), (2, "Einde.")] {
        let author = if at == 2 { &mut staff } else { &mut board };
        let session = sessions.get_mut(&at).unwrap();
        *session += 1;
        let splice = Splice { at: 0, delete: 0, insert: words.into() };
        let edit = meeting::MeetingEdit::Splice { item: 0, splice };
        let change = meeting::edit(&doc, author.actor(notes.id, *session), &edit).unwrap().unwrap();
        let made = author.change(&notes, *session, change.clone(), false);
        doc = document::update(&doc, vec![(made.id, change)]).doc;
        chains[at].push(made);
    }
    let (_, first) = board.decide(light.id, "Nee");
    let replaces = vec![first.id];
    chains[3].push(first);
    let subject = new_board.subject(Kind::DECISION);
    let decision = Decision {
        about: vec![light.id],
        outcome: Outcome::Yes,
        reason: "Bij nader inzien".into(),
        answer: "Ja".into(),
        party: String::new(),
        due_day: None,
        replaces,
    };
    chains[4].push(new_board.create(OPEN, &subject, &Record::Decision(decision)));
    chains[5] = wijk.members[joined..].to_vec();
    let people = [&amina, &bas, &staff, &board, &new_board].map(|author| author.person).into();
    let _ = on_gone;
    Story { wijk, joined, chains, contributions: vec![light, gone], meeting: notes, people }
}

/// What screens would show.
#[derive(Debug, PartialEq)]
struct Shown {
    contributions: BTreeMap<SubjectId, (PersonId, EntryId, Content)>,
    meetings: BTreeMap<SubjectId, (PersonId, EntryId, MeetingText)>,
    voices: BTreeSet<(SubjectId, PersonId, Choice, u64)>,
    decisions: BTreeMap<SubjectId, BTreeSet<EntryId>>,
    roles: BTreeMap<PersonId, Vec<Role>>,
    verdicts: BTreeMap<EntryId, Verdict>,
}

/// Takes what an admission says counts into a view, as the app does.
fn show(view: &mut View, replica: &Replica, outcomes: impl IntoIterator<Item = samenspraak_core::replica::Outcome>) {
    for outcome in outcomes {
        let (Verdict::Present, Some(record)) = (outcome.verdict, &outcome.record) else { continue };
        let person = replica.members().person(outcome.place.device);
        let creates = replica.entry(outcome.place).unwrap().unwrap().creates;
        view.counts(outcome.place, outcome.id, outcome.kind, outcome.subject, person, creates, record);
    }
}

/// The view after opening the store again.
fn reread(replica: &Replica) -> View {
    let mut view = View::default();
    for row in replica.store().scan(Table::Entry, &keys::space(OPEN), None, usize::MAX).unwrap() {
        let place = Place::decode(&row.key).unwrap();
        let entry = replica.entry(place).unwrap().unwrap();
        if let Kept::Present(body) = &entry.kept
            && let Ok(Some(record)) = decode(entry.kind, body)
        {
            let person = replica.members().person(place.device);
            view.counts(place, entry.id, entry.kind, entry.subject, person, entry.creates, &record);
        }
    }
    view
}

fn shown(story: &Story, replica: &Replica, view: &View) -> Shown {
    let open = |subject: SubjectId| {
        assert!(view.document(subject).is_some());
        let bodies = replica.entries_of(OPEN, subject).unwrap().into_iter().filter_map(|place| {
            let entry = replica.entry(place).unwrap().unwrap();
            let Kept::Present(body) = &entry.kept else { return None };
            match decode(entry.kind, body) {
                Ok(Some(Record::Change(change))) => Some((entry.id, change.change)),
                _ => None,
            }
        });
        let folded = document::open(bodies.collect());
        assert!(folded.set_aside.is_empty(), "{:?}", folded.set_aside);
        folded.doc
    };
    let all = story.chains.iter().flatten();
    let device = |person: &PersonId| key(person.as_bytes()[0]).id();
    Shown {
        contributions: view
            .contributions()
            .map(|(subject, facts)| (subject, (facts.person, facts.first, contribution::read(&open(subject)))))
            .collect(),
        meetings: view
            .meetings()
            .map(|(subject, facts)| (subject, (facts.person, facts.first, meeting::read(&open(subject)))))
            .collect(),
        voices: view.voices().map(|(question, person, v)| (question, person, v.choice, v.counter)).collect(),
        decisions: story
            .contributions
            .iter()
            .map(|subject| (subject.id, view.decisions_on(subject.id).iter().map(|facts| facts.id).collect()))
            .collect(),
        roles: story.people.iter().map(|person| (*person, replica.members().roles(device(person)))).collect(),
        verdicts: all.map(|made| (made.id, verdict(replica, made))).collect(),
    }
}

/// Gives a replica all entries in an order that only keeps each chain in order. Some come as batches of several, some a
/// second time.
fn tell(story: &Story, side: Side, seeded: &mut Seeded) -> (Replica, View, usize) {
    let mut replica = story.wijk.empty(side);
    for made in &story.wijk.members[..story.joined] {
        take(&mut replica, made);
    }
    let (mut view, mut next, mut waited) = (View::default(), vec![0; story.chains.len()], 0);
    loop {
        let left: Vec<usize> = (0..next.len()).filter(|at| next[*at] < story.chains[*at].len()).collect();
        if left.is_empty() {
            break;
        }
        let chain = left[seeded.below(left.len())];
        let from = if seeded.below(6) == 0 { 0 } else { next[chain] };
        let to = (next[chain] + 1 + seeded.below(3)).min(story.chains[chain].len());
        next[chain] = to;
        let part = &story.chains[chain][from..to];
        let admitted = replica.admit(part[0].space, &joined(part)).unwrap();
        // A server commits several admissions together.
        if seeded.below(3) > 0 {
            commit(&mut replica);
        }
        show(&mut view, &replica, admitted.entries.into_iter().chain(admitted.woken));
        waited += replica.waiting_count();
    }
    commit(&mut replica);
    (replica, view, waited)
}

#[test]
fn what_is_shown_depends_on_the_entries_and_not_on_their_order() {
    let story = story();
    let mut expected: Option<Shown> = None;
    let mut waited = 0;
    for seed in 0..400 {
        let mut seeded = Seeded(seed);
        let side = if seed % 2 == 0 { Side::Server } else { Side::Phone { device: key(2).id() } };
        let (replica, view, waits) = tell(&story, side, &mut seeded);
        waited += waits;
        let now = shown(&story, &replica, &view);
        assert_eq!(replica.waiting_count(), 0, "seed {seed}: something waits for ever");
        assert_eq!(shown(&story, &replica, &reread(&replica)), now, "seed {seed}: opened again");
        match &expected {
            None => expected = Some(now),
            Some(expected) => assert_eq!(now, *expected, "seed {seed}"),
        }
    }
    let shown = expected.unwrap();
    assert!(waited > 1_000, "entries came before what they depend on {waited} times");
    assert_eq!(shown.contributions.len(), 1);
    assert_eq!(shown.contributions.values().next().unwrap().2.text, "Licht en groen, en rust");
    assert_eq!(shown.meetings.keys().collect::<Vec<_>>(), [&story.meeting.id]);
    assert_eq!(shown.decisions[&story.contributions[0].id].len(), 1, "the second decision replaces the first");
    assert!(shown.voices.iter().all(|(_, person, ..)| *person != story.people[3]), "an erased voice is gone");
}
