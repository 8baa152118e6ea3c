//! Promise: who belongs depends on the *set* of records, never on their order, their repetition or the path the fold takes;
//! and rank decides: equals can't remove each other, nobody removes those above, only the server ends chains.
//!
//! Ten thousand random sets of records are told in one order record by record, in another with repetitions, and as a whole;
//! `SAMENSPRAAK_FOLD_SETS` says how many.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use samenspraak_core::entry::codec::Record;
use samenspraak_core::membership::{Answer, Asked, Members};
use samenspraak_core::model::*;

#[path = "common/hostile.rs"]
mod hostile;
#[path = "common/statements.rs"]
mod statements;
#[path = "common/wijk.rs"]
mod wijk;
use hostile::Seeded;
use statements::*;
use wijk::{Wijk, key};

/// Sets in every build.
const SETS: u64 = 10_000;

fn sets() -> u64 {
    std::env::var("SAMENSPRAAK_FOLD_SETS").map_or(SETS, |sets| sets.parse().unwrap())
}

/// One record with its place.
#[derive(Clone, Debug)]
struct Said {
    device: DeviceId,
    seq: u64,
    id: EntryId,
    subject: SubjectId,
    record: Record,
    body: Vec<u8>,
}

impl Said {
    fn asked(&self) -> Asked<'_> {
        let Self { device, seq, id, subject, record, body } = self;
        Asked { device: *device, seq: *seq, id: *id, subject: *subject, record, body }
    }
}

/// Collects what is said, under ids that look as random as hashes.
struct Set {
    said: Vec<Said>,
    ids: Seeded,
    devices: BTreeMap<u8, DeviceId>,
}

impl Set {
    fn new(seed: u64, genesis: &Said, devices: &BTreeMap<u8, DeviceId>) -> Self {
        Self { said: vec![genesis.clone()], ids: Seeded(seed ^ 0xfeed), devices: devices.clone() }
    }
}

impl Listens for Set {
    fn says(&mut self, number: u8, record: Record) -> (EntryId, SubjectId) {
        let seq = self.entries(number, SpaceId::Members);
        let mut bytes = [0; 48];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.ids.next().to_be_bytes());
        }
        let id = EntryId::new(bytes[..32].try_into().unwrap());
        let subject = SubjectId::new(bytes[32..].try_into().unwrap());
        self.said.push(Said { device: self.devices[&number], seq, id, subject, record, body: Vec::new() });
        (id, subject)
    }

    fn entries(&self, number: u8, space: SpaceId) -> u64 {
        let device = self.devices[&number];
        // Nothing is written elsewhere here; any length will do.
        if space == SpaceId::Members { self.said.iter().filter(|said| said.device == device).count() as u64 } else { 4 }
    }
}

/// The wijk's genesis, and the devices by their numbers.
fn scene() -> (WijkId, Said, BTreeMap<u8, DeviceId>) {
    let wijk = Wijk::new();
    let made = &wijk.members[0];
    let samenspraak_core::entry::Payload::Creating { body } = made.run.entries[0].payload.clone() else {
        unreachable!()
    };
    let device = wijk.root.device();
    let subject = SubjectId::new([0; 16]);
    let genesis = Said { device, seq: 0, id: made.id, subject, record: Record::Genesis(device), body };
    let numbers = DEVICES.chain([ROOT]).chain(IDENTITIES).chain(EPOCHS.map(|(number, _)| number));
    (wijk.id, genesis, numbers.map(|number| (number, key(number).id())).collect())
}

/// What counts, as answers and flips tell it one after the other.
fn tell(wijk: WijkId, order: &[&Said]) -> (Members, BTreeSet<EntryId>, BTreeSet<EntryId>) {
    let mut members = Members::new(wijk);
    let (mut counts, mut never) = (BTreeSet::new(), BTreeSet::new());
    let at: BTreeMap<(DeviceId, u64), EntryId> = order.iter().map(|said| ((said.device, said.seq), said.id)).collect();
    for said in order {
        let (answer, changes) = members.admit(&said.asked(), false);
        match answer {
            Answer::Counts => drop(counts.insert(said.id)),
            Answer::Waits(_) => drop(counts.remove(&said.id)),
            Answer::Never(_) => drop(never.insert(said.id)),
            other => panic!("{other:?} is for servers only"),
        }
        for flip in changes.flips {
            let id = at[&(flip.device, flip.seq)];
            let changed = if flip.counts { counts.insert(id) } else { counts.remove(&id) };
            assert!(changed, "{flip:?} says nothing new");
        }
    }
    (members, counts, never)
}

/// Any order, with every fifth record a second time somewhere.
fn permuted<'s>(said: &'s [Said], seeded: &mut Seeded) -> Vec<&'s Said> {
    let mut order: Vec<&Said> = said.iter().collect();
    let twice: Vec<&Said> = said.iter().filter(|_| seeded.below(5) == 0).collect();
    order.extend(twice);
    for at in (1..order.len()).rev() {
        order.swap(at, seeded.below(at + 1));
    }
    order
}

/// Every question that can be asked, with its answer.
fn answers(members: &Members, devices: &BTreeMap<u8, DeviceId>) -> Vec<String> {
    let mut all = vec![
        format!("{:?} {:?} {:?}", members.root(), members.server(), members.directory()),
        format!("{:?}", members.organisations().collect::<Vec<_>>()),
        format!("{:?}", members.grants().collect::<Vec<_>>()),
        format!("{:?}", members.revocations().collect::<Vec<_>>()),
        format!("{:?}", members.devices().collect::<Vec<_>>()),
        format!("{:?}", [SpaceId::Board, SpaceId::Inbox].map(|space| members.generations(space))),
    ];
    for number in 0..16 {
        let card = card_key(number);
        all.push(format!("{:?} {}", members.joined_with(card), members.is_withdrawn(card)));
        all.push(format!("{} {}", members.is_settled(card), members.unused(BatchId::new([number; 8]))));
    }
    for device in devices.values().copied() {
        all.push(format!("{:?} {:?}", members.person(device), members.roles(device)));
        all.push(format!("{} {:?}", members.is_active(device), members.server_key(device)));
        for space in [SpaceId::Members, SpaceId::Open, SpaceId::Ballot, SpaceId::Board] {
            all.push(format!("{}", members.may_read(device, space)));
            for seq in 0..6 {
                let at = (members.stands_at(space, device, seq), members.roles_at(space, device, seq));
                all.push(format!("{at:?} {:?}", members.fork_winner(space, device, seq)));
            }
        }
    }
    all
}

/// How often things really happened in the sets; a generator that never makes them proves nothing.
#[derive(Debug, Default)]
struct Seen {
    revoked: BTreeMap<&'static str, usize>,
    vain: BTreeMap<&'static str, usize>,
    given: BTreeMap<&'static str, usize>,
}

fn name(target: RevocationTarget) -> &'static str {
    match target {
        RevocationTarget::Device(_) => "device",
        RevocationTarget::Person(_) => "person",
        RevocationTarget::Grant(_) => "grant",
        RevocationTarget::Revocation(_) => "revocation",
    }
}

impl Seen {
    fn count(map: &mut BTreeMap<&'static str, usize>, name: &'static str) {
        *map.entry(name).or_insert(0) += 1;
    }

    /// Checks by the design's own words, without the fold's, that only the right ones took effect.
    fn check(&mut self, seed: u64, members: &Members, set: &[Said], counts: &BTreeSet<EntryId>) {
        let by_id: BTreeMap<EntryId, &Said> = set.iter().map(|said| (said.id, said)).collect();
        let authority = |said: &Said| match members.root() == Some(said.device) {
            true => u8::MAX,
            false => {
                let roles = members.roles_at(SpaceId::Members, said.device, said.seq);
                roles.into_iter().map(Role::authority).max().unwrap_or(0)
            }
        };
        let rank_of = |device| {
            let roles = members.roles_ever(SpaceId::Members, device);
            roles.into_iter().map(Role::rank).max().unwrap_or(0)
        };
        for said in set {
            let does = counts.contains(&said.id);
            let at = || format!("seed {seed}: {said:?}");
            match &said.record {
                Record::Revocation(revocation) => {
                    let what = name(revocation.target);
                    Self::count(if does { &mut self.revoked } else { &mut self.vain }, what);
                    let author = members.person(said.device);
                    match revocation.target {
                        RevocationTarget::Device(device) if does => {
                            let own = author.is_some() && members.person(device).is_none_or(|p| Some(p) == author);
                            let above = authority(said) > rank_of(device);
                            assert!(own || above, "{}", at());
                            Self::count(&mut self.given, if above { "device from above" } else { "own device" });
                            assert!(!members.is_active(device), "{}", at());
                        }
                        RevocationTarget::Person(person) if does => {
                            let devices = members.devices_of_person(person);
                            let above = devices.iter().all(|device| authority(said) > rank_of(*device));
                            assert!(author == Some(person) || above, "{}", at());
                            assert!(devices.iter().all(|device| !members.is_active(*device)), "{}", at());
                        }
                        RevocationTarget::Grant(id) if does => {
                            if let Record::Grant(grant) = &by_id[&id].record {
                                assert!(authority(said) > grant.role.rank(), "{}", at());
                            }
                        }
                        RevocationTarget::Revocation(id) if does => {
                            assert!(!counts.contains(&id), "{}", at());
                            assert!(by_id.get(&id).is_none_or(|of| authority(of) < authority(said)), "{}", at());
                        }
                        _ => {}
                    }
                    // A person of the same rank, or above: the grudge comes to nothing.
                    if let RevocationTarget::Person(person) = revocation.target
                        && author != Some(person)
                        && members.devices_of_person(person).iter().any(|d| rank_of(*d) >= authority(said))
                    {
                        assert!(!does, "{}", at());
                        Self::count(&mut self.vain, "of equals and above");
                    }
                }
                Record::Grant(grant) if does => {
                    assert!(authority(said) > grant.role.rank(), "{}", at());
                    Self::count(&mut self.given, "grant");
                }
                Record::Cut(cut) => self.check_cut(&at, members, said, cut, &by_id, does),
                Record::Settlement(Settlement::Card { card, device }) => {
                    assert!(!does || members.server_key(said.device).is_some(), "{}", at());
                    let came = |other: &&Said| matches!(&other.record, Record::Join(j) if j.invitation == *card && other.seq == 0);
                    let all = set.iter().filter(came).filter(|other| Some(other.device) != *device).count();
                    if does && all > 0 && members.joined_with(*card) == *device {
                        Self::count(&mut self.given, "settlement of a card");
                    }
                }
                Record::Settlement(_) if does => Self::count(&mut self.given, "settlement of a fork"),
                Record::Withdrawal(_) if does => Self::count(&mut self.given, "withdrawal"),
                Record::Join(_) if does => {
                    let by_person = members.devices_of_person(members.person(said.device).unwrap()).len();
                    Self::count(&mut self.given, if by_person > 1 { "join as a further device" } else { "join" });
                }
                Record::Organisation(_) if does => Self::count(&mut self.given, "organisation"),
                Record::Generation(_) if does => Self::count(&mut self.given, "generation"),
                Record::Epoch(_) if does => Self::count(&mut self.given, "epoch"),
                Record::Directory(_) if does => Self::count(&mut self.given, "directory"),
                _ => {}
            }
        }
        let withdrawn = (0..16).filter(|number| members.is_withdrawn(card_key(*number))).count();
        *self.given.entry("withdrawn card").or_insert(0) += withdrawn;
        let parties = members.grants().filter(|(_, grant)| grant.role == Role::Party).count();
        *self.given.entry("party representative").or_insert(0) += parties;
    }

    fn check_cut(
        &mut self,
        at: &dyn Fn() -> String,
        members: &Members,
        said: &Said,
        cut: &Cut,
        by_id: &BTreeMap<EntryId, &Said>,
        does: bool,
    ) {
        let by_server = members.server_key(said.device).is_some();
        let Some(Record::Revocation(revocation)) = by_id.get(&cut.revocation).map(|said| &said.record) else {
            assert!(!does, "{}", at());
            return Self::count(&mut self.vain, "cut without a revocation");
        };
        let end = cut.end;
        let before_seen = revocation
            .seen
            .iter()
            .any(|seen| (seen.space, seen.device) == (end.space, end.device) && seen.entries > end.entries);
        if !by_server || before_seen {
            assert!(!does, "{}", at());
            return Self::count(&mut self.vain, if by_server { "cut before what was seen" } else { "cut by others" });
        }
        if !does {
            return;
        }
        match revocation.target {
            RevocationTarget::Grant(_) => Self::count(&mut self.given, "cut of a role"),
            _ => {
                assert!(!members.stands_at(end.space, end.device, end.entries), "{}", at());
                assert!(members.roles_at(end.space, end.device, end.entries).is_empty(), "{}", at());
                Self::count(&mut self.given, "cut of a chain");
                if end.entries > 0 && !members.roles_at(end.space, end.device, end.entries - 1).is_empty() {
                    Self::count(&mut self.given, "roles before a cut");
                }
            }
        }
    }
}

#[test]
fn who_belongs_depends_on_the_set_of_records_and_not_on_their_order() {
    let (wijk, genesis, devices) = scene();
    let (mut proofs, mut seen) = (Proofs::default(), Seen::default());
    for seed in 0..sets() {
        let mut set = Set::new(seed, &genesis, &devices);
        generate(seed, wijk, 20 + (seed % 25) as usize, 0, &mut proofs, &mut set);
        let mut seeded = Seeded(seed ^ 0xacdc);
        let (members, counts, never) = tell(wijk, &permuted(&set.said, &mut seeded));
        let mut whole = Members::new(wijk);
        let taken = set.said.iter().filter(|said| !never.contains(&said.id));
        whole.take_all(taken.map(|said| (SpaceId::Members, said.asked())));
        assert!(members == whole, "seed {seed}: the way in differs from the whole fold");
        let by_members: BTreeSet<EntryId> =
            set.said.iter().map(|said| said.id).filter(|id| members.counts(*id)).collect();
        assert_eq!(by_members, counts, "seed {seed}: answers and flips tell another story than the fold");
        if seed % 10 == 0 {
            // The short ways are taken most often in the order things were written in.
            let (in_order, _, never_in_order) = tell(wijk, &set.said.iter().collect::<Vec<_>>());
            assert!(in_order == whole, "seed {seed}: in the order of writing");
            assert_eq!(never, never_in_order, "seed {seed}");
            assert_eq!(answers(&in_order, &devices), answers(&members, &devices), "seed {seed}");
        }
        seen.check(seed, &members, &set.said, &counts);
    }
    let sets = sets() as usize;
    println!("{sets} sets: {seen:?}");
    let at_least = |map: &BTreeMap<&str, usize>, name: &str, per_hundred: usize| {
        let count = map.get(name).copied().unwrap_or(0);
        assert!(count * 100 >= sets * per_hundred, "{name}: {count} times in {sets} sets");
    };
    for (name, per_hundred) in [("device", 50), ("person", 20), ("grant", 20), ("revocation", 5)] {
        at_least(&seen.revoked, name, per_hundred);
        at_least(&seen.vain, name, 10);
    }
    for name in ["of equals and above", "cut without a revocation", "cut before what was seen", "cut by others"] {
        at_least(&seen.vain, name, 1);
    }
    for name in [
        "own device",
        "device from above",
        "grant",
        "cut of a role",
        "cut of a chain",
        "roles before a cut",
        "settlement of a card",
        "settlement of a fork",
        "withdrawal",
        "withdrawn card",
        "join as a further device",
        "organisation",
        "party representative",
        "generation",
        "epoch",
        "directory",
    ] {
        at_least(&seen.given, name, 2);
    }
}
