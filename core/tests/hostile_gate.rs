//! Promise: a hostile entry, properly signed by a member, ends where the table says, costs little and hinders nobody.
//!
//! The inputs are those of `common/hostile.rs`, in entries of a facilitator who may write in the meeting they are aimed
//! at. Each goes through [`Replica::admit`] of a server and of a phone, and then the meeting is opened.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use automerge::{AutoCommit, Automerge, ROOT, ReadDoc};
use samenspraak_core::document;
use samenspraak_core::entry::Kind;
use samenspraak_core::entry::codec::{CHANGE_BYTES_MAX, Record, decode};
use samenspraak_core::gate::change::{Work, preflight, preflight_counted};
use samenspraak_core::gate::fold::Folded;
use samenspraak_core::gate::{Reason, Verdict, limits};
use samenspraak_core::model::*;
use samenspraak_core::replica::{BatchRefusal, EntryRow, Kept, Replica, Side};
use samenspraak_core::store::Table;

#[path = "common/counting.rs"]
mod counting;
#[path = "common/hostile.rs"]
mod hostile;
#[path = "common/wijk.rs"]
mod wijk;
use counting::{quietly, with_peak_and_rest};
use wijk::*;

const OPEN: SpaceId = SpaceId::Open;
/// What admitting may allocate for a moment, beside what is then kept.
const PEAK_BYTES_MAX: isize = 1024 * 1024;
const SIDES: [fn() -> Side; 2] = [|| Side::Server, || Side::Phone { device: key(3).id() }];

/// A wijk with a meeting: Amina began it, Mallory may write in it, Bas only has contributions.
struct Scene {
    replica: Replica,
    amina: Author,
    mallory: Author,
    bas: Author,
    meeting: Subject,
    base: Automerge,
    other: (Subject, Made),
}

impl Scene {
    fn new(side: Side) -> Self {
        let mut wijk = Wijk::new();
        let (mut amina, mallory) = (wijk.member(1, Role::Facilitator), wijk.member(2, Role::Facilitator));
        let mut bas = wijk.member(3, Role::Resident);
        let mut replica = wijk.replica(side);
        let meeting = amina.subject(Kind::MEETING);
        let base = hostile::base(amina.actor(meeting.id, 1));
        let first = base.get_changes(&[])[0].raw_bytes().to_vec();
        assert_eq!(take(&mut replica, &amina.change(&meeting, 1, first, true)), Verdict::Present);
        let other = bas.contribute("Een andere zaak");
        assert_eq!(take(&mut replica, &other.1), Verdict::Present);
        Self { replica, amina, mallory, bas, meeting, base, other }
    }

    /// The actor Mallory's hostile changes must name.
    fn actor(&self) -> [u8; 16] {
        self.mallory.actor(self.meeting.id, 66)
    }

    /// Admits hostile changes one by one; says what became of them and how much was allocated beside what is kept.
    fn attack(&mut self, changes: &[Vec<u8>]) -> (Vec<Verdict>, isize) {
        let (mut verdicts, mut worst) = (Vec::new(), 0);
        for change in changes {
            let made = self.mallory.change(&self.meeting, 66, change.clone(), false);
            let batch = made.batch();
            let replica = &mut self.replica;
            let (admitted, peak, rest) = with_peak_and_rest(|| quietly(|| replica.admit(OPEN, &batch).unwrap()));
            worst = worst.max(peak - rest);
            verdicts.push(admitted.entries[0].verdict);
            commit(&mut self.replica);
        }
        (verdicts, worst)
    }

    /// Honest edits after an attack: by the attacker and by somebody else in the same meeting, and by a third elsewhere.
    fn honest_afterwards(&mut self, name: &str) -> Vec<[u8; 32]> {
        let mut hashes = Vec::new();
        for (author, session) in [(&mut self.mallory, 7), (&mut self.amina, 8)] {
            let words = format!("rustig woord van {session}");
            let change = hostile::honest_edit(&self.base, author.actor(self.meeting.id, session), &words);
            hashes.push(preflight(&change).unwrap().hash);
            let made = author.change(&self.meeting, session, change, false);
            assert_eq!(take(&mut self.replica, &made), Verdict::Present, "{name}: the next honest entry");
        }
        let (_, made) = self.bas.contribute("En nog een");
        assert_eq!(take(&mut self.replica, &made), Verdict::Present, "{name}: another document");
        hashes
    }

    fn open(&self, subject: &Subject) -> Folded {
        let places = self.replica.entries_of(OPEN, subject.id).unwrap();
        let bodies = places.into_iter().filter_map(|place| {
            let EntryRow { id, kind, kept, .. } = self.replica.entry(place).unwrap().unwrap();
            let Kept::Present(body) = kept else { return None };
            match decode(kind, &body) {
                Ok(Some(Record::Change(change))) => Some((id, change.change)),
                _ => None,
            }
        });
        let bodies = bodies.collect();
        quietly(|| document::open(bodies))
    }
}

/// What is expected of an input.
enum End {
    /// Refused by the gate.
    Refused(Reason),
    /// Waits; nothing of it is folded.
    Pending,
    /// The first counts, the second is refused.
    FirstOnly(Reason),
    /// Counts, and is set aside where the document is opened, with this number.
    SetAside(u16),
    /// Counts and is folded.
    Folds,
}
use End::{FirstOnly, Folds, Pending, Refused, SetAside};

type Make = fn([u8; 16], &Automerge) -> Vec<Vec<u8>>;

fn small_inflate_bomb(actor: [u8; 16]) -> Vec<u8> {
    let mut body = hostile::ChangeBody::nulls(actor, 1).body();
    body.resize(50_000_000, 0);
    hostile::chunk(2, &miniz_oxide::deflate::compress_to_vec(&body, 6), &body)
}

/// An honest change, and a second one that follows the same document as the first. Folded together it has no place; folded
/// later, on top of the first, it would have one.
fn without_own_last(actor: [u8; 16], base: &Automerge) -> Vec<Vec<u8>> {
    let mut second = hostile::ChangeBody::read(&hostile::honest_edit(base, actor, "en ook"));
    second.seq = 2;
    vec![hostile::honest_edit(base, actor, "eerst"), second.chunk()]
}

#[rustfmt::skip]
const TABLE: &[(&str, End, Make)] = &[
    ("20,000,000 nulls in 69 bytes", Refused(Reason::Change(24)), |a, _| vec![hostile::null_bomb(a, 20_000_000)]),
    ("1,000,000 nulls", Refused(Reason::Change(24)), |a, _| vec![hostile::null_bomb(a, 1_000_000)]),
    ("a long column of keys", Refused(Reason::Change(31)), |a, _| vec![hostile::long_column(a, 20_000_000)]),
    ("a key copied 60,000 times", Refused(Reason::Change(31)), |a, _| vec![hostile::key_bomb(a, 60_000, 50_000)]),
    ("1,000,000 predecessors", Refused(Reason::Change(30)), |a, _| vec![hostile::predecessor_bomb(a, 1_000_000)]),
    ("97 KB that inflate to 100 MB: longer than a body", Refused(Reason::Form), |a, _| vec![hostile::inflate_bomb(a)]),
    ("49 KB that inflate to 50 MB", Refused(Reason::Change(7)), |a, _| vec![small_inflate_bomb(a)]),
    ("counters near the end of 32 bits", Refused(Reason::Change(14)), |a, b| vec![hostile::counter_near_end(b, a)]),
    ("maps 20,000 deep", Refused(Reason::Change(29)), |a, _| vec![hostile::nested_maps(a, 20_000)]),
    ("a mark that ends the process", Refused(Reason::Change(28)), |a, _| vec![hostile::mark_that_aborts(a)]),
    ("a whole document", Refused(Reason::Change(3)), |_, b| vec![b.save()]),
    ("an actor of another session", Refused(Reason::Actor), |_, b| vec![hostile::honest_edit(b, [9; 16], "hm")]),
    ("number 99 of an unknown actor", Refused(Reason::Sequence), |a, b| vec![hostile::sequence_gap(b, a)]),
    ("a counter that jumps", Refused(Reason::StartOp), |a, b| vec![hostile::counter_jump(b, a, limits::OP_COUNTER_MAX - 100)]),
    ("a counter that was used before", Refused(Reason::StartOp), |a, b| vec![hostile::counter_jump(b, a, hostile::last_op(b))]),
    ("one sequence number twice", FirstOnly(Reason::Sequence), |a, b| hostile::duplicate_sequence(b, a).to_vec()),
    ("a change that leaves out its author's last one", FirstOnly(Reason::Sequence), without_own_last),
    ("200 missing dependencies", Pending, |a, b| hostile::missing_dependencies(b, a, 200)),
    ("an object that is not there", SetAside(112), |a, b| vec![hostile::missing_object(b, a)]),
    ("an actor that is not there", SetAside(112), |a, b| vec![hostile::unknown_actor(b, a)]),
    ("maps 2,048 deep in four changes", Folds, |a, _| hostile::nested_maps_in_steps(a, 512, 4)),
    ("no bytes at all", Refused(Reason::Change(2)), |_, _| vec![vec![]]),
];

fn expected(end: &End, count: usize) -> (Vec<Verdict>, Vec<u16>) {
    match end {
        Refused(reason) => (vec![Verdict::Refused(*reason); count], vec![]),
        Pending => (vec![Verdict::Pending; count], vec![]),
        FirstOnly(reason) => (vec![Verdict::Present, Verdict::Refused(*reason)], vec![]),
        SetAside(number) => (vec![Verdict::Present; count], vec![*number; count]),
        Folds => (vec![Verdict::Present; count], vec![]),
    }
}

#[test]
fn each_hostile_entry_ends_where_it_should_and_the_next_honest_one_counts() {
    for side in SIDES {
        for (name, end, make) in TABLE {
            let mut scene = Scene::new(side());
            let changes = make(scene.actor(), &scene.base);
            let mut work = Work::default();
            for change in changes.iter().filter(|change| change.len() <= CHANGE_BYTES_MAX) {
                let _ = preflight_counted(change, &mut work);
            }
            assert!(work.bytes_inflated <= limits::CHANGE_INFLATED_BYTES_MAX + 1, "{name}: {work:?}");
            let bytes: usize = changes.iter().map(Vec::len).sum();
            assert!(work.runs_read <= (bytes + work.bytes_inflated) as u64, "{name}: {work:?}");
            let (verdicts, peak) = scene.attack(&changes);
            println!("{name}: {bytes} bytes, {work:?}, {peak} bytes allocated for a moment");
            let (expected, numbers) = expected(end, changes.len());
            assert_eq!(verdicts, expected, "{name} as {:?}", side());
            assert!(peak <= PEAK_BYTES_MAX, "{name}: {peak} bytes");
            let honest = scene.honest_afterwards(name);
            let folded = scene.open(&scene.meeting);
            let set_aside: Vec<u16> = folded.set_aside.iter().map(|(_, reason)| reason.number()).collect();
            assert_eq!(set_aside, numbers, "{name}");
            for hash in honest {
                assert!(hostile::contains(&folded.doc, hash), "{name} kept an honest change out");
            }
            lives_on(&folded.doc, name);
            let other = document::contribution::read(&scene.open(&scene.other.0).doc);
            assert_eq!(other.title, "Een andere zaak", "{name}: another document");
        }
    }
}

/// A document that comes out can be edited, saved and loaded.
fn lives_on(doc: &Automerge, name: &str) {
    use automerge::transaction::Transactable;
    let mut edited = AutoCommit::load(&doc.save()).unwrap();
    edited.put(&ROOT, "theme", "daarna").unwrap();
    edited.commit();
    let again = Automerge::load(&edited.save()).unwrap();
    assert_eq!(again.get(&ROOT, "theme").unwrap().unwrap().0.as_str(), Some("daarna"), "{name}");
}

#[test]
fn a_body_that_is_no_record_is_refused_without_a_panic() {
    let mut scene = Scene::new(Side::Server);
    let honest = scene.mallory.contribute("eerlijk").1;
    take(&mut scene.replica, &honest);
    let deep = [vec![0xa1, 0x03], vec![0x81; 60_000]].concat();
    let bodies = [vec![], vec![0xa0], vec![0xff; 64], vec![0x5b, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], deep];
    for kind in [Kind::MEETING, Kind::VOICE, Kind::DECISION, Kind::TOMBSTONE, Kind::GRANT, Kind(99)] {
        for body in &bodies {
            let salt = match kind {
                Kind::TOMBSTONE => samenspraak_core::entry::subject::tombstone_salt(),
                _ => scene.meeting.seed.salt(),
            };
            let made = scene.mallory.raw(OPEN, kind, scene.meeting.id, &salt, body.clone(), false);
            let batch = made.batch();
            let replica = &mut scene.replica;
            let (admitted, peak, rest) = with_peak_and_rest(|| replica.admit(OPEN, &batch).unwrap());
            assert!(matches!(admitted.entries[0].verdict, Verdict::Refused(_)), "{kind:?}: {admitted:?}");
            assert!(peak - rest <= PEAK_BYTES_MAX);
            commit(&mut scene.replica);
        }
    }
    scene.honest_afterwards("bodies that are no records");
}

#[test]
fn a_flood_of_changes_with_missing_dependencies_is_kept_within_its_bound() {
    const COUNT: u64 = 20_000;
    for side in SIDES {
        let mut scene = Scene::new(side());
        let server = side() == Side::Server;
        let changes = hostile::missing_dependencies(&scene.base, scene.actor(), COUNT);
        let made: Vec<Made> =
            changes.into_iter().map(|change| scene.mallory.change(&scene.meeting, 66, change, false)).collect();
        for part in made.chunks(1024) {
            let batch = joined(part);
            let bytes: usize = part.iter().map(entry_bytes).sum();
            let replica = &mut scene.replica;
            let (admitted, peak, rest) = with_peak_and_rest(|| replica.admit(OPEN, &batch));
            if server {
                // A server receipts only what it keeps: not now, and nothing of the push is taken.
                let refused = matches!(admitted, Err(BatchRefusal::Quota { .. } | BatchRefusal::Gap { .. }));
                assert!(refused, "{admitted:?}");
                assert!(peak - rest <= PEAK_BYTES_MAX + 2 * bytes as isize);
                continue;
            }
            let admitted = admitted.unwrap();
            assert!(admitted.entries.iter().all(|outcome| outcome.verdict == Verdict::Pending));
            // Rebuilding a batch copies it once, and headers stand beside the bodies.
            assert!(peak - rest <= PEAK_BYTES_MAX + 2 * bytes as isize, "{} of {bytes} bytes", peak - rest);
            commit(&mut scene.replica);
        }
        if server {
            // In smaller pushes its bound is reached exactly.
            for part in made.iter().take(limits::PENDING_BODIES_PER_DEVICE_MAX + 1) {
                let admitted = scene.replica.admit(OPEN, &part.batch());
                commit(&mut scene.replica);
                let full = scene.replica.waiting_count() == limits::PENDING_BODIES_PER_DEVICE_MAX;
                assert!(admitted.is_ok() || full && matches!(admitted, Err(BatchRefusal::Quota { .. })));
            }
            assert_eq!(scene.replica.waiting_count(), limits::PENDING_BODIES_PER_DEVICE_MAX);
            let (_, made) = scene.bas.contribute("Iemand anders gaat door");
            assert_eq!(take(&mut scene.replica, &made), Verdict::Present);
            continue;
        }
        let rows = scene.replica.store().scan(Table::Entry, &[], None, usize::MAX).unwrap();
        let rows = rows.iter().map(|row| EntryRow::decode(&row.value).unwrap());
        let bodies = rows.filter(|row| matches!(row.kept, Kept::Pending(_))).count();
        assert_eq!(bodies, limits::PENDING_BODIES_MAX);
        assert_eq!(scene.replica.waiting_count(), limits::PENDING_BODIES_MAX);
        let waiting = scene.replica.store().scan(Table::Pending, &[], None, usize::MAX).unwrap();
        assert_eq!(waiting.len(), limits::PENDING_BODIES_MAX);
        scene.honest_afterwards("a flood");
        assert!(scene.open(&scene.meeting).set_aside.is_empty());
    }
}

fn entry_bytes(made: &Made) -> usize {
    let samenspraak_core::entry::Payload::Following { body, .. } = &made.run.entries[0].payload else { return 0 };
    body.len()
}

#[test]
fn own_words_that_wait_are_kept_on_their_phone_whatever_the_bound() {
    let mut wijk = Wijk::new();
    let mut amina = wijk.member(1, Role::Resident);
    let mut phone = wijk.replica(Side::Phone { device: amina.device() });
    let unknown = amina.subject(Kind::CONTRIBUTION);
    let made: Vec<Made> = (0..=limits::PENDING_BODIES_MAX as u64)
        .map(|counter| {
            let voice = Voice { question: unknown.id, choice: Choice::Agree, counter, replaces: None };
            let seed = samenspraak_core::entry::Seed(std::array::from_fn(|at| (counter >> (8 * at.min(7))) as u8));
            let subject = Subject { seed, ..unknown };
            let body = samenspraak_core::entry::codec::encode(Some(&subject.opening()), &Record::Voice(voice));
            let id = samenspraak_core::entry::subject::subject_id(
                wijk.id,
                OPEN,
                amina.device(),
                Kind::VOICE,
                &seed.nonce(),
                &subject.erase_secret.commit(),
            );
            amina.raw(OPEN, Kind::VOICE, id, &seed.salt(), body, true)
        })
        .collect();
    let admitted = take_all(&mut phone, OPEN, &joined(&made));
    for outcome in &admitted.entries {
        let row = phone.entry(outcome.place).unwrap().unwrap();
        assert!(matches!(row.kept, Kept::Pending(_)), "entry {} lost its words", outcome.place.seq);
    }
}

#[test]
fn every_changed_byte_of_a_push_is_refused_or_changes_nothing() {
    use samenspraak_core::cbor::{Reader, Writer};
    use samenspraak_core::entry::Run;
    use samenspraak_core::replica::RunBatch;

    let mut wijk = Wijk::new();
    let (mut amina, mut bas) = (wijk.member(1, Role::Resident), wijk.member(2, Role::Resident));
    let (question, asked) = bas.contribute("Licht");
    let words = amina.contribute("Woorden").1;
    let (voice, spoken) = amina.speak(question.id, Choice::Agree, 1);
    let again =
        Record::Voice(Voice { question: question.id, choice: Choice::Pass, counter: 2, replaces: Some(spoken.id) });
    let made = [words, spoken.clone(), amina.follow(OPEN, &voice, &again)];
    let batch = joined(&made);
    let mut writer = Writer::new();
    batch.runs[0].encode(&mut writer);
    let bytes = writer.finish();
    let (mut refused, mut unread) = (0, 0);
    let mut server = wijk.server();
    take(&mut server, &asked);
    for at in 0..bytes.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut other = bytes.clone();
            other[at] ^= flip;
            let mut reader = Reader::new(&other);
            let Ok(run) = Run::decode(&mut reader) else {
                unread += 1;
                continue;
            };
            match server.admit(OPEN, &RunBatch { runs: vec![run], order: vec![] }) {
                Err(_) => refused += 1,
                Ok(admitted) => {
                    let ids: Vec<EntryId> = admitted.entries.iter().map(|outcome| outcome.id).collect();
                    assert_eq!(ids, made.iter().map(|made| made.id).collect::<Vec<_>>(), "byte {at}");
                    panic!("byte {at} with {flip:#x} was taken");
                }
            }
            assert!(server.take_rows().is_empty(), "byte {at}: something of a refused batch is kept");
        }
    }
    println!("{} bytes: {unread} changes can't be read, {refused} are refused", bytes.len());
    assert!(refused > bytes.len());
    let admitted = take_all(&mut server, OPEN, &batch);
    assert!(admitted.entries.iter().all(|outcome| outcome.verdict == Verdict::Present));
}
