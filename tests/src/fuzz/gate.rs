//! The gate as a whole: members push whatever they like, with hashes and signatures that are right, and a phone hears of it.
//!
//! Bytes are choices: entries as an honest app writes them, then changed part by part, put into runs and pushed. Afterwards
//! it must hold that the server goes on and opens again as it was; that a phone takes all of the server's log, judges each
//! entry as the server does, shows it and opens again as it was; that a phone to which the chains come in another order
//! counts the same; and that what honest members write next counts everywhere. Whatever a document holds by then, it can
//! be edited.

mod draft;
mod honest;
mod scene;

use std::collections::BTreeMap;
use std::sync::Arc;

use samenspraak_core::entry::codec::person_of;
use samenspraak_core::entry::{Kind, Run, Signature};
use samenspraak_core::gate::body::{SubjectState, Written, is_document, waits_for};
use samenspraak_core::gate::limits::{BATCH_BYTES_TARGET, BATCH_ENTRIES_MAX};
use samenspraak_core::gate::{Reason, Verdict};
use samenspraak_core::model::{DeviceId, EntryId, SpaceId};
use samenspraak_core::ordered::Set;
use samenspraak_core::replica::{Hashes, Kept, Replica, RunBatch, Side};
use samenspraak_core::sync::server::PushJob;
use samenspraak_core::sync::wire::Frame;

use super::choices::Choices;
use super::{Ends, Target};
use crate::world::{DAY, Phone, copy_of};
use draft::{Draft, End};
use scene::{Base, EVERYBODY, FACILITATOR, NEIGHBOUR, RESIDENT, Scene, all_entries, open};

pub const TARGET: Target = Target { name: "gate", run, seeds, accepts: "counts" };

/// Pushes of one input: each costs milliseconds.
const PUSHES_MAX: usize = 6;
/// Entries of one push.
const ENTRIES_MAX: usize = 4;

thread_local! {
    static BASE: Base = Base::new();
}

fn run(input: &[u8], ends: &mut Ends) {
    BASE.with(|base| {
        let mut scene = Scene::begin(base);
        let mut choices = Choices::new(input);
        let mut before: Option<RunBatch> = None;
        for push in 0..PUSHES_MAX {
            if push > 0 && choices.is_over() {
                break;
            }
            let (space, mut batch) = make(&mut scene, &mut choices);
            if let (Some(before), true) = (&before, choices.once_in(8)) {
                batch.runs.extend(before.runs.clone());
            }
            change_runs(&mut batch, &scene, &mut choices);
            before = Some(batch.clone());
            deliver(&mut scene, space, batch, ends);
        }
        holds(base, &mut scene, ends);
    });
}

/// A push of some drafts in one space, mostly of one writer.
fn make(scene: &mut Scene, choices: &mut Choices<'_>) -> (SpaceId, RunBatch) {
    let mut drafts: Vec<Draft> = Vec::new();
    for _ in 0..=choices.below(ENTRIES_MAX) {
        let mut draft = match (drafts.last(), choices.below(4)) {
            (Some(last), 3) => last.clone(),
            _ => Draft::honest(scene, choices),
        };
        for _ in 0..choices.below(4) {
            draft.change_a_part(scene, choices);
        }
        drafts.push(draft);
    }
    let space = drafts[0].space;
    let mut batch = RunBatch::default();
    let mut ends: BTreeMap<DeviceId, (End, usize)> = BTreeMap::new();
    for draft in drafts.iter().filter(|draft| draft.space == space) {
        let device = scene.key(draft.by, space).id();
        let (end, at) = *ends.entry(device).or_insert_with(|| {
            let head = scene.replica().head(space, device);
            let end = head.map_or(End { seq: 0, prev: EntryId::ZERO }, |head| End { seq: head.seq + 1, prev: head.id });
            let (entries, signature) = (Vec::new(), Signature([0; 64]));
            batch.runs.push(Run { device, first_seq: end.seq, prev: end.prev, entries, signature });
            (end, batch.runs.len() - 1)
        });
        let (entry, id, signature) = draft.sign(scene, end);
        scene.entries.push(id);
        batch.runs[at].entries.push(entry);
        batch.runs[at].signature = signature;
        batch.order.push(u32::try_from(at).unwrap_or(u32::MAX));
        ends.insert(device, (End { seq: end.seq + 1, prev: id }, at));
    }
    if choices.once_in(2) {
        batch.order.clear();
    }
    (space, batch)
}

/// Sometimes the runs aren't what was signed.
fn change_runs(batch: &mut RunBatch, scene: &Scene, choices: &mut Choices<'_>) {
    let at = choices.below(batch.runs.len());
    let run = &mut batch.runs[at];
    match choices.below(32) {
        24 => run.signature.0[choices.below(64)] ^= 1 << choices.below(8),
        25 => run.first_seq = choices.number() % (1 << 33),
        26 => run.prev = *choices.one(&scene.entries),
        27 => drop(run.entries.pop()),
        28 => run.device = choices.one(&scene.writers).key.id(),
        29 => choices.edit_numbers(&mut batch.order),
        30 => run.entries.reverse(),
        31 => {
            let again = run.clone();
            batch.runs.push(again);
        }
        _ => {}
    }
}

/// Gives the push to the server as a connection would.
fn deliver(scene: &mut Scene, space: SpaceId, batch: RunBatch, ends: &mut Ends) {
    let bytes = Frame::Push { push: 0, space, batch }.encode();
    let (space, batch) = match Frame::decode(&bytes) {
        Ok(Frame::Push { space, batch, .. }) => (space, batch),
        Ok(_) => panic!("a push reads as another frame"),
        Err(error) => return ends.reach(error.what, 0),
    };
    // As its session does.
    if batch.runs.iter().any(|run| run.entries.is_empty()) {
        return ends.reach("not for this server", 0);
    }
    let heads =
        |scene: &Scene| -> Vec<_> { batch.runs.iter().map(|run| scene.replica().head(space, run.device)).collect() };
    let before = heads(scene);
    let kinds: Vec<Kind> = batch.runs.iter().flat_map(|run| &run.entries).map(|entry| entry.kind).collect();
    let server = scene.world.server_mut();
    let job = PushJob { push: 0, space, batch: batch.clone() };
    let (answers, _) = server.admit(&[job], DAY).expect("the server goes on");
    assert!(!server.replica().has_uncommitted(), "something is left over from a push");
    match &answers[..] {
        [Frame::Receipt(receipt)] => {
            assert_eq!(receipt.lines.len(), kinds.len(), "an entry that was taken has no line in its receipt");
            scene.pushed.push((space, batch.clone()));
            let by_kind = receipt.lines.iter().zip(kinds);
            by_kind.for_each(|(line, kind)| {
                ends.reach("taken", ((kind.0 % 256) << 16) | (line.verdict.number() % 65_536))
            });
        }
        [Frame::Refused { code, .. }] => {
            // The server may have said which of two devices or entries stands; that is on its own chain.
            assert_eq!(heads(scene), before, "a push that was refused is in a chain");
            ends.reach("refused", code.number());
        }
        other => panic!("a push is answered once: {other:?}"),
    }
}

fn holds(base: &Base, scene: &mut Scene, ends: &mut Ends) {
    opens_again(scene.replica(), Side::Server);
    reordered(base, scene);
    follows(scene);
    let hashes = honest_afterwards(scene);
    let shown = follows(scene);
    scene.victim.restart();
    assert_eq!(show(&mut scene.victim), shown, "a phone shows something else after a restart");
    let device = scene.victim_device;
    opens_again(scene.victim.joined().replica(), Side::Phone { device });
    let meeting = scene.meeting;
    for folded in [open(scene.replica(), meeting), open(scene.victim.joined().replica(), meeting)] {
        for hash in &hashes {
            assert!(super::hostile::contains(&folded.doc, *hash), "an honest change is not in the notes");
        }
    }
    for (place, row) in all_entries(scene.replica()) {
        if is_document(row.kind) && row.creates && row.kept.verdict() == Verdict::Present {
            assert_eq!(place.space, SpaceId::Open, "a document counts where none belongs");
            let folded = open(scene.replica(), row.subject);
            folded.set_aside.iter().for_each(|(_, reason)| ends.reach("set aside", reason.number().into()));
        }
    }
    ends.reach("counts", 0);
}

/// What a replica keeps is what it is after a restart.
fn opens_again(replica: &Replica, side: Side) {
    let mut again = Replica::open(replica.wijk(), side, Arc::clone(replica.store())).expect("a replica opens again");
    if let Side::Phone { device } = side {
        // As the app does.
        again.set_provisional(device, person_of(replica.wijk(), device));
    }
    assert_eq!(again.spaces(), replica.spaces());
    for space in replica.spaces() {
        assert!(again.frontier(space).eq(replica.frontier(space)), "another frontier after a restart");
    }
    assert_eq!(again.waiting_count(), replica.waiting_count(), "another number of entries waits after a restart");
    let (then, now) = (format!("{:?}", replica.members()), format!("{:?}", again.members()));
    if then != now {
        let at = then.bytes().zip(now.bytes()).take_while(|(then, now)| then == now).count();
        let part = |text: &str| text.chars().skip(at.saturating_sub(300)).take(700).collect::<String>();
        panic!("other members after a restart: {} …\nbut before: {} …", part(&now), part(&then));
    }
    for (place, row) in all_entries(replica) {
        assert_eq!(replica.place_of(row.id).expect("read"), Some(place), "an entry isn't found by its id");
    }
}

/// A phone takes the whole log, thinks of each entry what the server does, and shows it.
fn follows(scene: &mut Scene) -> String {
    let synced = scene.world.sync(&mut scene.victim);
    assert_eq!(synced.settled, Some(None), "a phone can't follow the log: {synced:?}");
    let (phone, both) = (scene.victim.joined().replica(), EVERYBODY.into());
    agree(scene.world.server().replica(), phone, &both, "behind the server");
    show(&mut scene.victim)
}

/// Everything that screens show, as text.
fn show(phone: &mut Phone) -> String {
    let joined = phone.joined();
    let mut text = String::new();
    let contributions = joined.contributions().expect("contributions are read");
    for item in &contributions {
        let line = joined.line(item.subject).expect("a line is read");
        text += &format!("{item:?} {line:?}\n");
    }
    for meeting in joined.meetings().expect("meetings are read") {
        text += &format!("{meeting:?} {:?}\n", joined.meeting(meeting.subject).expect("a meeting is read"));
    }
    text + &format!("{:?}", joined.refused().expect("refusals are read"))
}

/// Two replicas have the same entries in these spaces, and the same ones count.
fn agree(server: &Replica, phone: &Replica, spaces: &Set<SpaceId>, how: &str) {
    let shared = |replica| {
        let all = all_entries(replica).into_iter();
        all.filter(|(place, _)| spaces.contains(&place.space)).collect::<Vec<_>>()
    };
    let (ours, theirs) = (shared(server), shared(phone));
    assert!(ours.iter().map(|(place, row)| (place, row.id)).eq(theirs.iter().map(|(place, row)| (place, row.id))));
    for ((place, server), (_, phone)) in ours.iter().zip(&theirs) {
        let (at_server, at_phone) = (server.kept.verdict(), phone.kept.verdict());
        let agreed = match (at_server, at_phone) {
            // Refused is refused; what was wrong first depends on the order.
            (Verdict::Refused(_) | Verdict::Erased, Verdict::Refused(_) | Verdict::Erased) => true,
            // What the server dropped doesn't travel, and a phone keeps what an app newer than the server wrote.
            (Verdict::Refused(_) | Verdict::Erased, Verdict::Pending) => {
                phone.kept == Kept::Absent || at_server == Verdict::Refused(Reason::NewerKind)
            }
            _ => at_server == at_phone,
        };
        assert!(agreed, "{how}: {:?} at {place:?} is {at_server:?} at the server, {at_phone:?} here", server.kind);
    }
}

/// A phone that hears what was pushed from others, the last first.
fn reordered(base: &Base, scene: &Scene) {
    let side = Side::Phone { device: DeviceId::ZERO };
    let store = copy_of(&**base.replica().store());
    let mut phone = Replica::open(scene.wijk(), side, store).expect("a copy opens");
    let own = words_of_the_server(base, scene);
    let mut pushed: Vec<&(SpaceId, RunBatch)> = own.iter().chain(&scene.pushed).rev().collect();
    while !pushed.is_empty() {
        let before = pushed.len();
        // What continues a chain that isn't here yet comes again later.
        pushed.retain(|(space, batch)| match phone.admit(*space, batch) {
            Ok(_) => {
                let rows = phone.take_rows();
                phone.store().commit(&rows).expect("memory takes rows");
                phone.committed();
                false
            }
            Err(_) => true,
        });
        assert!(pushed.len() < before, "{} pushes can't be placed in another order", pushed.len());
    }
    agree(scene.replica(), &phone, &scene.replica().spaces(), "in another order");
}

/// What the server itself wrote since the base: where chains end, what stands of what happened twice, counts.
fn words_of_the_server(base: &Base, scene: &Scene) -> Vec<(SpaceId, RunBatch)> {
    let device = scene.world.server().certificate().epoch_key;
    let packed = scene.replica().spaces().into_iter().filter_map(|space| {
        let first = base.replica().head(space, device).map_or(0, |head| head.seq + 1);
        let (most, bytes) = (BATCH_ENTRIES_MAX, 8 * BATCH_BYTES_TARGET);
        let packed = scene.replica().pack_chain(space, device, first, most, bytes, Hashes::Given);
        Some((space, RunBatch { runs: vec![packed.expect("the server's chain is packed")?.run], order: Vec::new() }))
    });
    packed.collect()
}

/// Members who did nothing wrong, or whose device did, write on. Gives the changes they made in the notes. Whose device was
/// revoked meanwhile, or who has no role any more, by what staff may do, is left out.
fn honest_afterwards(scene: &mut Scene) -> Vec<[u8; 32]> {
    let mut hashes = Vec::new();
    let contribution = Draft::contribution(scene, RESIDENT, [0xfa; 8]);
    let about = contribution.subject();
    if !counts(scene, &contribution) {
        return hashes;
    }
    let meeting = scene.replica().subject_state(SpaceId::Open, scene.meeting).expect("memory is read");
    for by in [FACILITATOR, NEIGHBOUR].into_iter().filter(|_| meeting == Some(SubjectState::Live)) {
        let notes = Draft::notes(scene, by, [0xfb; 8]);
        if counts(scene, &notes) {
            hashes.push(notes.change_hash().expect("a change"));
        }
    }
    let voice = Draft::voice(scene, NEIGHBOUR, about, 1);
    counts(scene, &voice);
    let decision = Draft::decide(scene, scene::BOARD, about);
    counts(scene, &decision);
    hashes
}

/// Whether somebody may write this; if so, it counts.
fn counts(scene: &mut Scene, draft: &Draft) -> bool {
    let device = scene.writers[draft.by].key.id();
    let head = scene.replica().head(draft.space, device);
    let end = head.map_or(End { seq: 0, prev: EntryId::ZERO }, |head| End { seq: head.seq + 1, prev: head.id });
    let members = scene.replica().members();
    let at = (draft.space, device, end.seq);
    let written = Written { at, kind: draft.kind, creates: draft.creates(), owner: None };
    if !members.is_active(device) || waits_for(members, &written).is_some() {
        return false;
    }
    let (entry, id, signature) = draft.sign(scene, end);
    let run = Run { device, first_seq: end.seq, prev: end.prev, entries: vec![entry], signature };
    let job = PushJob { push: 1, space: draft.space, batch: RunBatch { runs: vec![run], order: Vec::new() } };
    let (answers, _) = scene.world.server_mut().admit(&[job], DAY).expect("the server goes on");
    let [Frame::Receipt(receipt)] = &answers[..] else { panic!("an honest entry is refused: {answers:?}") };
    let line = &receipt.lines[0];
    assert_eq!((line.id, line.verdict), (id, Verdict::Present), "an honest {:?}", draft.kind);
    true
}

/// Nothing at all, then one honest entry of each form.
fn seeds() -> Vec<Vec<u8>> {
    std::iter::once(Vec::new())
        .chain((0..honest::FORMS).map(|form| vec![0, u8::try_from(form).unwrap_or(0), 0, 1]))
        .collect()
}
