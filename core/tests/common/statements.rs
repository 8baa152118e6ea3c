//! Random sets of records about who belongs, from a seed: honest people, mistakes, grudges, thieves and liars together.
//!
//! Use it with `#[path = "common/statements.rs"] mod statements;`, beside `hostile` and `wijk`. It knows nothing of how records
//! are folded; [`generate`] only keeps enough of its own bookkeeping to be interesting often.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "part of tests")]

use std::collections::BTreeMap;

use samenspraak_core::entry::Kind;
use samenspraak_core::entry::codec::{self, Record};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::model::*;
use samenspraak_core::sync::epoch_message;

use super::hostile::Seeded;
use super::wijk::key;

/// The root, as in `wijk`.
pub const ROOT: u8 = 200;
/// Devices of people.
pub const DEVICES: std::ops::RangeInclusive<u8> = 1..=14;
/// Identities of servers: the second is named only sometimes, the third never.
pub const IDENTITIES: [u8; 3] = [230, 231, 232];
/// Keys of epochs, one for each identity and one more for the first.
pub const EPOCHS: [(u8, u8); 4] = [(220, 230), (221, 230), (222, 231), (223, 232)];
/// Cards in play.
const CARDS: u8 = 16;

/// The kind of a record of `members`.
pub fn kind_of(record: &Record) -> Kind {
    match record {
        Record::Genesis(_) => Kind::GENESIS,
        Record::Grant(_) => Kind::GRANT,
        Record::Revocation(_) => Kind::REVOCATION,
        Record::Invitation(_) => Kind::INVITATION,
        Record::Join(_) => Kind::JOIN,
        Record::Server(_) => Kind::SERVER,
        Record::Cut(_) => Kind::CUT,
        Record::Directory(_) => Kind::DIRECTORY,
        Record::Epoch(_) => Kind::EPOCH,
        Record::Settlement(_) => Kind::SETTLEMENT,
        Record::Withdrawal(_) => Kind::WITHDRAWAL,
        Record::Organisation(_) => Kind::ORGANISATION,
        Record::Generation(_) => Kind::GENERATION,
        other => panic!("{other:?} doesn't stand in members"),
    }
}

/// Where the generator puts what somebody says: whose chain, what; gives the entry and its subject.
pub trait Listens {
    /// The next entry of a device's chain in `members`.
    fn says(&mut self, device: u8, record: Record) -> (EntryId, SubjectId);
    /// How long a chain is in a space.
    fn entries(&self, device: u8, space: SpaceId) -> u64;
    /// Something that isn't about who belongs; nothing where only `members` is looked at.
    fn acts(&mut self, _device: u8, _seeded: &mut Seeded) {}
}

/// Signatures of cards over joins, made once for all seeds.
#[derive(Default)]
pub struct Proofs(BTreeMap<(u8, u8, PersonId), [u8; 64]>);

/// What has been said so far, for choices that mean something.
struct Known {
    wijk: WijkId,
    cards: Vec<(u8, Gives)>,
    joined: BTreeMap<u8, PersonId>,
    grants: Vec<(EntryId, PersonId)>,
    revocations: Vec<(EntryId, RevocationTarget, Vec<ChainEnd>)>,
    organisations: Vec<SubjectId>,
    batches: Vec<BatchId>,
    used: Vec<(u8, u8)>,
}

/// The key of a card.
pub fn card(number: u8) -> Key {
    Key::from_secret(&[
        number, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 9,
    ])
}

/// The public half of a card's key.
pub fn card_key(number: u8) -> InvitationKey {
    InvitationKey::new(*card(number).id().as_bytes())
}

fn device(number: u8) -> DeviceId {
    key(number).id()
}

fn pick<T: Copy>(seeded: &mut Seeded, all: &[T]) -> Option<T> {
    (!all.is_empty()).then(|| all[seeded.below(all.len())])
}

fn batch(number: usize) -> BatchId {
    BatchId::new([number as u8; 8])
}

/// An epoch's key as it presents itself.
pub fn epoch(wijk: WijkId, number: u8, identity: u8) -> Record {
    let epoch = [number; 16];
    let certificate = key(identity).sign(&epoch_message(wijk, &epoch, device(number))).0;
    Record::Epoch(EpochKey { identity: device(identity), epoch, certificate, encryption_key: [number; 32] })
}

/// One random set: so many steps, of which `acts` in 20 more aren't about who belongs. The first devices are given high roles early, so that the rest has somebody to obey and to fight.
pub fn generate(seed: u64, wijk: WijkId, steps: usize, acts: usize, proofs: &mut Proofs, listener: &mut dyn Listens) {
    let mut seeded = Seeded(seed.wrapping_mul(0x1_0001) ^ 0x5eed);
    let s = &mut seeded;
    let mut known = Known {
        wijk,
        cards: Vec::new(),
        joined: BTreeMap::new(),
        grants: Vec::new(),
        revocations: Vec::new(),
        organisations: Vec::new(),
        batches: Vec::new(),
        used: Vec::new(),
    };
    listener.says(ROOT, Record::Server(ServerIdentity { key: device(IDENTITIES[0]) }));
    if s.below(8) > 0 {
        listener.says(EPOCHS[0].0, epoch(wijk, EPOCHS[0].0, EPOCHS[0].1));
    }
    let first = [Role::Administrator, Role::Administrator, Role::Facilitator, Role::Board, Role::Resident];
    for (at, role) in first.into_iter().enumerate().take(2 + s.below(4)) {
        let number = at as u8;
        let gives = Gives::Role(role);
        let of = if s.below(2) == 0 { Some(batch(s.below(3))) } else { None };
        listener.says(ROOT, Record::Invitation(Invitation { key: card_key(number), gives, batch: of }));
        known.cards.push((number, gives));
        join(&mut known, s, proofs, listener, 1 + number, number);
    }
    for _ in 0..steps {
        let author = author(&known, s);
        match s.below(20 + acts) {
            0..=2 => invite(&mut known, s, listener, author),
            3..=6 => {
                let number = DEVICES.start() + s.below(DEVICES.count()) as u8;
                // Now and then a card that was used before.
                let used: Vec<u8> = known.used.iter().map(|(card, _)| *card).collect();
                let shown: Vec<u8> = known.cards.iter().map(|(card, _)| *card).collect();
                let again = s.below(5) == 0;
                if let Some(card) = pick(s, if again { &used } else { &shown }) {
                    join(&mut known, s, proofs, listener, number, card);
                }
            }
            7 | 8 => grant(&mut known, s, listener, author),
            9..=12 => revoke(&mut known, s, listener, author),
            13..=15 => cut(&mut known, s, listener, author),
            16 => settle(&mut known, s, listener, author),
            17 => {
                let of = pick(s, &known.batches).unwrap_or(batch(s.below(3)));
                listener.says(author, Record::Withdrawal(Withdrawal { batch: of }));
            }
            18 => {
                let (number, identity) = EPOCHS[s.below(EPOCHS.len())];
                // Also one with the certificate of another.
                let record = epoch(wijk, if s.below(6) == 0 { EPOCHS[0].0 } else { number }, identity);
                listener.says(number, record);
            }
            19 => rest(&mut known, s, listener, author),
            _ => listener.acts(author, s),
        }
    }
}

/// Mostly somebody who was let in, or the root; sometimes anybody.
fn author(known: &Known, s: &mut Seeded) -> u8 {
    let joined: Vec<u8> = known.joined.keys().copied().collect();
    match s.below(8) {
        0 => DEVICES.start() + s.below(DEVICES.count()) as u8,
        1 => ROOT,
        2 | 3 => pick(s, &joined[..joined.len().min(4)]).unwrap_or(ROOT),
        _ => pick(s, &joined).unwrap_or(ROOT),
    }
}

fn person(known: &Known, number: u8) -> PersonId {
    known.joined.get(&number).copied().unwrap_or_else(|| codec::person_of(known.wijk, device(number)))
}

fn any_person(known: &Known, s: &mut Seeded) -> PersonId {
    person(known, DEVICES.start() + s.below(DEVICES.count()) as u8)
}

fn invite(known: &mut Known, s: &mut Seeded, listener: &mut dyn Listens, author: u8) {
    let number = s.below(CARDS as usize) as u8;
    let gives = match s.below(4) {
        0 => Gives::Device(if s.below(8) == 0 { any_person(known, s) } else { person(known, author) }),
        1 => Gives::Role([Role::Facilitator, Role::Board, Role::Administrator][s.below(3)]),
        _ => Gives::Role(Role::Resident),
    };
    let of = if s.below(2) == 0 { Some(batch(s.below(3))) } else { None };
    known.batches.extend(of);
    known.cards.push((number, gives));
    listener.says(author, Record::Invitation(Invitation { key: card_key(number), gives, batch: of }));
}

fn join(known: &mut Known, s: &mut Seeded, proofs: &mut Proofs, listener: &mut dyn Listens, number: u8, with: u8) {
    let own = codec::person_of(known.wijk, device(number));
    let given = known.cards.iter().rev().find(|(card, _)| *card == with).map(|(_, gives)| *gives);
    let person = match given {
        Some(Gives::Device(person)) if s.below(8) > 0 => person,
        _ if s.below(20) == 0 => any_person(known, s),
        _ => own,
    };
    let encryption_key = [number; 32];
    let sign = || card(with).sign(&codec::join_message(known.wijk, device(number), person, &encryption_key)).0;
    let mut proof = *proofs.0.entry((with, number, person)).or_insert_with(sign);
    if s.below(40) == 0 {
        proof[5] ^= 1;
    }
    if listener.entries(number, SpaceId::Members) == 0 {
        known.joined.insert(number, person);
        known.used.push((with, number));
    }
    listener.says(number, Record::Join(Join { invitation: card_key(with), person, proof, encryption_key }));
}

fn grant(known: &mut Known, s: &mut Seeded, listener: &mut dyn Listens, author: u8) {
    let role = Role::ALL[s.below(Role::ALL.len())];
    let organisation =
        (role == Role::Party).then(|| pick(s, &known.organisations).unwrap_or(SubjectId::new([s.below(3) as u8; 16])));
    let person = any_person(known, s);
    let (id, _) = listener.says(author, Record::Grant(Grant { person, role, organisation }));
    known.grants.push((id, person));
}

/// The end of a chain as it is now, or a little before or behind it.
fn end(s: &mut Seeded, listener: &dyn Listens, number: u8, space: SpaceId) -> ChainEnd {
    let entries = listener.entries(number, space);
    let entries = match s.below(3) {
        0 => s.below(entries as usize + 2) as u64,
        _ => entries,
    };
    let last = if entries == 0 { EntryId::ZERO } else { EntryId::new([1; 32]) };
    ChainEnd { space, device: device(number), entries, last }
}

fn revoke(known: &mut Known, s: &mut Seeded, listener: &mut dyn Listens, author: u8) {
    let number = DEVICES.start() + s.below(DEVICES.count()) as u8;
    let own: Vec<u8> = known.joined.iter().filter(|(_, p)| **p == person(known, author)).map(|(n, _)| *n).collect();
    let grants: Vec<EntryId> = known.grants.iter().map(|(id, _)| *id).collect();
    let revocations: Vec<EntryId> = known.revocations.iter().map(|(id, ..)| *id).collect();
    let target = match s.below(9) {
        0 | 1 => RevocationTarget::Person(person(known, number)),
        2 | 3 => RevocationTarget::Grant(pick(s, &grants).unwrap_or(EntryId::ZERO)),
        4 => RevocationTarget::Revocation(pick(s, &revocations).unwrap_or(EntryId::ZERO)),
        5 | 6 => RevocationTarget::Device(device(pick(s, &own).unwrap_or(number))),
        _ => RevocationTarget::Device(device(number)),
    };
    let spaces = [SpaceId::Members, SpaceId::Open];
    let seen: Vec<ChainEnd> = (0..s.below(3))
        .map(|_| {
            let space = spaces[s.below(2)];
            end(s, listener, number, space)
        })
        .collect();
    let reason = RevocationReason::ALL[s.below(3)];
    let (id, _) = listener.says(author, Record::Revocation(Revocation { target, reason, seen: seen.clone() }));
    known.revocations.push((id, target, seen));
}

fn cut(known: &mut Known, s: &mut Seeded, listener: &mut dyn Listens, author: u8) {
    let at = s.below(known.revocations.len().max(1));
    let Some((id, target, seen)) = known.revocations.get(at).cloned() else { return };
    let of = |person: PersonId| known.joined.iter().filter(move |(_, p)| **p == person).map(|(number, _)| *number);
    let targets: Vec<u8> = match target {
        RevocationTarget::Device(of) => DEVICES.filter(|number| device(*number) == of).collect(),
        RevocationTarget::Person(person) => of(person).collect(),
        RevocationTarget::Grant(id) => {
            known.grants.iter().filter(|(grant, _)| *grant == id).flat_map(|(_, person)| of(*person)).collect()
        }
        RevocationTarget::Revocation(_) => Vec::new(),
    };
    let honest = pick(s, &targets).filter(|_| s.below(8) > 0);
    let number = honest.unwrap_or(DEVICES.start() + s.below(DEVICES.count()) as u8);
    let space = [SpaceId::Members, SpaceId::Open, SpaceId::Members, SpaceId::Ballot][s.below(4)];
    let mut end = end(s, listener, number, space);
    if s.below(2) > 0 {
        // As an honest server says it: not before what the author of the revocation had seen.
        let seen = seen.iter().filter(|seen| (seen.space, seen.device) == (space, end.device));
        end = seen.copied().chain([end]).max_by_key(|end| end.entries).unwrap();
    }
    let revocation = if s.below(12) == 0 { EntryId::new([9; 32]) } else { id };
    let by = match s.below(8) {
        0 => author,
        1 => EPOCHS[1 + s.below(3)].0,
        _ => EPOCHS[0].0,
    };
    listener.says(by, Record::Cut(Cut { end, revocation }));
}

fn settle(known: &mut Known, s: &mut Seeded, listener: &mut dyn Listens, author: u8) {
    let by = if s.below(6) == 0 { author } else { EPOCHS[s.below(2)].0 };
    let settlement = match (s.below(4), pick(s, &known.used)) {
        (0, _) | (_, None) => Settlement::Fork {
            space: if s.below(2) == 0 { SpaceId::Members } else { SpaceId::Open },
            device: device(DEVICES.start() + s.below(DEVICES.count()) as u8),
            seq: s.below(3) as u64,
            id: EntryId::new([s.below(3) as u8; 32]),
        },
        (1, Some((card, _))) => Settlement::Card { card: card_key(card), device: None },
        (_, Some((card, number))) => Settlement::Card { card: card_key(card), device: Some(device(number)) },
    };
    listener.says(by, Record::Settlement(settlement));
}

/// What is said least often.
fn rest(known: &mut Known, s: &mut Seeded, listener: &mut dyn Listens, author: u8) {
    let record = match s.below(5) {
        0 => Record::Server(ServerIdentity { key: device(IDENTITIES[s.below(2)]) }),
        1 => Record::Directory(Directory {
            name: format!("Wijk {}", s.below(4)),
            municipality: "Waterlo".into(),
            code: AreaCode::parse("WK999901").unwrap(),
            reference_year: 2025,
            themes: Vec::new(),
            buurten: Vec::new(),
            counter: s.below(3) as u64,
        }),
        2 => {
            let space = [SpaceId::Board, SpaceId::Inbox, SpaceId::Open, SpaceId::Circle([7; 16])][s.below(4)];
            Record::Generation(Generation { space, public: [s.below(4) as u8; 32], replaces: Vec::new() })
        }
        _ => Record::Organisation(Organisation { name: format!("Organisatie {}", s.below(3)) }),
    };
    let is_organisation = matches!(record, Record::Organisation(_));
    let (_, subject) = listener.says(author, record);
    if is_organisation {
        known.organisations.push(subject);
    }
}
