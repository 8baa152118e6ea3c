//! Who belongs: any records of the space `members`, by anybody, in any order.
//!
//! Bytes are choices: after a beginning in which everybody who is needed joins, devices say what comes, allowed or not. The
//! same set in another order, with repetitions, must give the same members; and what the fold said along the way (which
//! record counts, begins to or ceases to) must add up to what counts at the end.

use std::collections::{BTreeMap, BTreeSet};

use samenspraak_core::entry::codec::{self, Opening, Record};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::entry::{EraseSecret, Seed};
use samenspraak_core::membership::{Answer, Asked, Members};
use samenspraak_core::model::*;
use samenspraak_core::sync::epoch_message;

use super::choices::Choices;
use super::{Ends, Target};

pub const TARGET: Target = Target { name: "members", run, seeds, accepts: "counts" };

/// Records of one input after the beginning.
const RECORDS_MAX: usize = 24;
const EPOCH: [u8; 16] = [1; 16];

/// Places of devices in their list.
const ROOT: usize = 0;
const SERVER: usize = 1;
const ADMINISTRATOR: usize = 2;
const DEVICES: usize = 9;
const CARDS: usize = 8;

/// One record with its place.
struct Said {
    device: DeviceId,
    seq: u64,
    id: EntryId,
    record: Record,
    body: Vec<u8>,
}

struct Scene {
    wijk: WijkId,
    devices: Vec<Key>,
    cards: Vec<Key>,
    identity: Key,
    said: Vec<Said>,
}

impl Scene {
    fn begin() -> Self {
        let key = |kind: u8| move |number: usize| Key::from_secret(&[kind + u8::try_from(number).unwrap_or(0); 32]);
        let devices: Vec<Key> = (0..DEVICES).map(key(10)).collect();
        let cards = (0..CARDS).map(key(40)).collect();
        let genesis = Record::Genesis(devices[ROOT].id());
        let opening = Opening { seed: Seed([5; 16]), commit: EraseSecret([6; 32]).commit() };
        let wijk = codec::wijk_id(&codec::encode(Some(&opening), &genesis));
        let mut scene = Self { wijk, devices, cards, identity: key(80)(0), said: Vec::new() };
        scene.say(ROOT, 0, genesis.clone());
        scene.said[0].body = codec::encode(Some(&opening), &genesis);
        scene.say(ROOT, 1, Record::Server(ServerIdentity { key: scene.identity.id() }));
        let epoch = scene.epoch(SERVER, true);
        scene.say(SERVER, 2, epoch);
        let roles = [Role::Administrator, Role::Facilitator, Role::Board, Role::Resident];
        for (at, role) in roles.into_iter().enumerate() {
            let key = scene.card(at);
            scene.say(ROOT, 3, Record::Invitation(Invitation::to_role(key, role)));
            let join = scene.join(ADMINISTRATOR + at, at, ADMINISTRATOR + at);
            scene.say(ADMINISTRATOR + at, 4, join);
        }
        scene
    }

    fn say(&mut self, by: usize, first: u8, record: Record) {
        let device = self.devices[by].id();
        let seq = self.said.iter().filter(|said| said.device == device).count() as u64;
        // Ids decide ties, so they are chosen as well; the rest makes them different.
        let mut id = [0; 32];
        id[..4].copy_from_slice(&[first, 1, u8::try_from(by).unwrap_or(0), u8::try_from(seq).unwrap_or(0)]);
        self.said.push(Said { device, seq, id: EntryId::new(id), record, body: Vec::new() });
    }

    fn card(&self, at: usize) -> InvitationKey {
        InvitationKey::new(*self.cards[at].id().as_bytes())
    }

    fn person(&self, at: usize) -> PersonId {
        codec::person_of(self.wijk, self.devices[at].id())
    }

    fn join(&self, by: usize, card: usize, person: usize) -> Record {
        let (person, encryption_key) = (self.person(person), [3; 32]);
        let message = codec::join_message(self.wijk, self.devices[by].id(), person, &encryption_key);
        let proof = self.cards[card].sign(&message).0;
        Record::Join(Join { invitation: self.card(card), person, proof, encryption_key })
    }

    fn epoch(&self, by: usize, honest: bool) -> Record {
        let identity = if honest { &self.identity } else { &self.devices[by] };
        let certificate = identity.sign(&epoch_message(self.wijk, &EPOCH, self.devices[by].id())).0;
        Record::Epoch(EpochKey { identity: self.identity.id(), epoch: EPOCH, certificate, encryption_key: [4; 32] })
    }

    /// Anything, by anybody.
    fn record(&self, by: usize, choices: &mut Choices<'_>) -> Record {
        let (at, other) = (choices.below(DEVICES), choices.below(CARDS));
        let person = self.person(at);
        let said = choices.one(&self.said).id;
        let batch = BatchId::new([choices.byte() % 3; BatchId::LEN]);
        match choices.below(14) {
            0 => {
                let gives = Gives::Role(*choices.one(&Role::ALL));
                let batch = choices.once_in(2).then_some(batch);
                Record::Invitation(Invitation { key: self.card(other), gives, batch })
            }
            1 => Record::Invitation(Invitation { key: self.card(other), gives: Gives::Device(person), batch: None }),
            2 => self.join(by, other, by),
            3 => self.join(by, other, at),
            4 => Record::Grant(Grant::of(person, *choices.one(&Role::ALL))),
            5 | 6 => {
                let target = match choices.below(4) {
                    3 => RevocationTarget::Revocation(said),
                    0 => RevocationTarget::Device(self.devices[at].id()),
                    1 => RevocationTarget::Person(person),
                    _ => RevocationTarget::Grant(said),
                };
                let seen = (0..choices.below(3)).map(|_| self.end(choices)).collect();
                Record::Revocation(Revocation { target, reason: RevocationReason::Left, seen })
            }
            7 => Record::Cut(Cut { end: self.end(choices), revocation: said }),
            8 => {
                let device = choices.once_in(3).then(|| self.devices[at].id());
                Record::Settlement(Settlement::Card { card: self.card(other), device })
            }
            9 => {
                let ChainEnd { space, device, entries: seq, .. } = self.end(choices);
                Record::Settlement(Settlement::Fork { space, device, seq, id: said })
            }
            10 => Record::Withdrawal(Withdrawal { batch }),
            11 => Record::Directory(Directory { counter: choices.number(), ..crate::world::directory() }),
            12 => match choices.below(3) {
                0 => Record::Server(ServerIdentity { key: self.devices[at].id() }),
                1 => self.epoch(by, choices.once_in(2)),
                _ => Record::Organisation(Organisation { name: "Woonstichting".into() }),
            },
            _ => {
                let space = *choices.one(&[SpaceId::Board, SpaceId::Inbox]);
                Record::Generation(Generation { space, public: choices.array(), replaces: Vec::new() })
            }
        }
    }

    fn end(&self, choices: &mut Choices<'_>) -> ChainEnd {
        let device = self.devices[choices.below(DEVICES)].id();
        let space = *choices.one(&[SpaceId::Members, SpaceId::Open]);
        ChainEnd { space, device, entries: choices.below(5) as u64, last: EntryId::new([7; 32]) }
    }
}

/// The fold with what it said along the way.
struct Heard {
    members: Members,
    counting: BTreeSet<EntryId>,
}

impl Heard {
    fn new(wijk: WijkId) -> Self {
        Self { members: Members::new(wijk), counting: BTreeSet::new() }
    }

    fn hear(&mut self, said: &Said, all: &BTreeMap<(DeviceId, u64), EntryId>) {
        let Said { device, seq, id, record, body } = said;
        // Records of who belongs are all subjects of their own; any id that is its entry's alone will do.
        let mut subject = [0; 16];
        subject.copy_from_slice(&id.as_bytes()[..16]);
        let asked = Asked { device: *device, seq: *seq, id: *id, subject: SubjectId::new(subject), record, body };
        let (answer, flips) = self.members.admit(&asked, false);
        if answer == Answer::Counts {
            self.counting.insert(*id);
        }
        for flip in flips.flips {
            let flipped = all[&(flip.device, flip.seq)];
            let changed = if flip.counts { self.counting.insert(flipped) } else { self.counting.remove(&flipped) };
            assert!(changed, "a record is said to change that was like that before");
        }
        assert_eq!(self.members.counts(*id), answer == Answer::Counts, "the answer is not what the fold says");
    }
}

fn run(input: &[u8], ends: &mut Ends) {
    let mut choices = Choices::new(input);
    let mut scene = Scene::begin();
    for _ in 0..RECORDS_MAX {
        if choices.is_over() {
            break;
        }
        let by = choices.below(DEVICES);
        let record = scene.record(by, &mut choices);
        scene.say(by, choices.byte(), record);
    }
    let all: BTreeMap<_, _> = scene.said.iter().map(|said| ((said.device, said.seq), said.id)).collect();
    let mut first = Heard::new(scene.wijk);
    scene.said.iter().for_each(|said| first.hear(said, &all));
    let mut second = Heard::new(scene.wijk);
    for said in another_order(&scene, input) {
        second.hear(said, &all);
    }
    for heard in [&first, &second] {
        let counts = scene.said.iter().filter(|said| heard.members.counts(said.id));
        assert!(counts.map(|said| said.id).eq(in_order(&scene, &heard.counting)), "what was said doesn't add up");
    }
    let (before, after) = (summary(&scene, &first.members), summary(&scene, &second.members));
    assert_eq!(before, after, "another order gives other members");
    for said in &scene.said {
        ends.reach(if first.counting.contains(&said.id) { "counts" } else { "waits" }, number(&said.record));
    }
    ends.reach("revoked", first.members.revocations().count() as u64);
}

fn in_order<'s>(scene: &'s Scene, counting: &'s BTreeSet<EntryId>) -> impl Iterator<Item = EntryId> + 's {
    scene.said.iter().map(|said| said.id).filter(|id| counting.contains(id))
}

fn number(record: &Record) -> u64 {
    match record {
        Record::Invitation(invitation) => 1 + u64::from(matches!(invitation.gives, Gives::Device(_))),
        Record::Join(_) => 3,
        Record::Grant(grant) => 10 + grant.role.number(),
        Record::Revocation(revocation) => match revocation.target {
            RevocationTarget::Device(_) => 4,
            RevocationTarget::Person(_) => 5,
            RevocationTarget::Grant(_) => 6,
            RevocationTarget::Revocation(_) => 26,
        },
        Record::Cut(_) => 7,
        Record::Settlement(_) => 8,
        Record::Withdrawal(_) => 9,
        _ => 20,
    }
}

/// Chains stay in their order and are mixed otherwise; some records come twice.
fn another_order<'s>(scene: &'s Scene, input: &[u8]) -> Vec<&'s Said> {
    let reversed: Vec<u8> = input.iter().rev().copied().collect();
    let mut choices = Choices::new(&reversed);
    let mut chains: Vec<Vec<&Said>> = Vec::new();
    for key in &scene.devices {
        let chain: Vec<&Said> = scene.said.iter().rev().filter(|said| said.device == key.id()).collect();
        chains.push(chain);
    }
    // The last devices first, so that nothing is in its place when what needs it comes.
    chains.reverse();
    let mut order = Vec::new();
    while chains.iter().any(|chain| !chain.is_empty()) {
        chains.retain(|chain| !chain.is_empty());
        let at = choices.below(chains.len());
        order.extend(chains[at].pop());
        if let Some(again) = order.get(choices.below(order.len())).copied().filter(|_| choices.once_in(6)) {
            order.push(again);
        }
    }
    order
}

/// Everything others ask of who belongs.
fn summary(scene: &Scene, members: &Members) -> String {
    let mut text = format!(
        "root {:?} server {:?} directory {:?} organisations {:?} grants {:?} revocations {:?}\n",
        members.root(),
        members.server(),
        members.directory(),
        members.organisations().collect::<Vec<_>>(),
        members.grants().collect::<Vec<_>>(),
        members.revocations().collect::<Vec<_>>(),
    );
    for key in &scene.devices {
        let device = key.id();
        let ever = (members.person(device), members.is_member(device), members.server_key(device));
        let now = (members.is_active(device), members.is_revoked(device), members.roles(device));
        text += &format!("{device:?}: {ever:?} {now:?}");
        for space in [SpaceId::Members, SpaceId::Open, SpaceId::Board, SpaceId::Inbox] {
            text += &format!(" {}", members.may_read(device, space));
            for seq in 0..6 {
                let fork = members.fork_winner(space, device, seq);
                text += &format!(
                    " {:?} {fork:?}",
                    (members.stands_at(space, device, seq), members.roles_at(space, device, seq))
                );
            }
        }
        text.push('\n');
    }
    for at in 0..CARDS {
        let card = scene.card(at);
        let facts = (members.joined_with(card), members.is_withdrawn(card), members.is_settled(card));
        text += &format!("card {at}: {facts:?}\n");
    }
    for byte in 0..3 {
        text += &format!("batch {}\n", members.unused(BatchId::new([byte; BatchId::LEN])));
    }
    let generations = [SpaceId::Board, SpaceId::Inbox].map(|space| {
        let mut all: Vec<String> =
            members.generations(space).iter().map(|generation| format!("{generation:?}")).collect();
        all.sort();
        all
    });
    text + &format!("{generations:?}")
}

/// The beginning alone, which everything else builds on.
fn seeds() -> Vec<Vec<u8>> {
    vec![Vec::new(), vec![ADMINISTRATOR as u8, 0, 5, 0, 0, 0, 0, 9]]
}
