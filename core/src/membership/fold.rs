//! The fold of who belongs, by rank: a pure function of the *set* of statements, whatever order they came in.
//!
//! It goes down from the root: what a higher authority says is settled before anything a lower one says is looked at, so
//! that two who are equal can't remove each other and nobody removes those above. Only one person's own devices manage each
//! other; that they do within a step of its own. Where a revoked chain ends, and what stands of something that happened
//! twice, is never guessed from an order: the server's signed records say it.
//!
//! What counted once keeps counting for what was written under it: a revocation takes away what a person *may do now*, and
//! the cuts that carry it out say from which entry on a chain no longer has a role. So an old decision of a board member who
//! left stays a decision on every replica.
//!
//! `fold/levels.rs` has the steps of one level, `fold/simple.rs` the short way for what is added most often.

mod levels;
mod simple;

use std::cmp::Reverse;
use std::sync::Arc;

use super::Changes;
use crate::entry::codec::Record;
use crate::model::*;
use crate::ordered::{Map, Set};

/// Authority of the root key: above every role.
pub const ROOT_AUTHORITY: u8 = u8::MAX;
/// Authorities from the highest down, in which the fold goes.
const LEVELS: [u8; 4] = [ROOT_AUTHORITY, 3, 2, 1];
/// Cards one facilitator's or board member's device can make in all: a card for every household of a wijk. Administrators
/// and the root have no limit. Cards beyond it wait; an administrator can make more.
pub const INVITATIONS_PER_DEVICE_MAX: usize = 2_000;
/// Devices one person can have in use or lost: a phone a year for a long life of a wijk.
pub const DEVICES_PER_PERSON_MAX: usize = 32;

/// One record of the space `members` with its place. Its form and signatures were checked before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Who wrote it.
    pub device: DeviceId,
    /// Where in its chain.
    pub seq: u64,
    /// The entry.
    pub id: EntryId,
    /// Its subject.
    pub subject: SubjectId,
    /// What it says.
    pub record: Arc<Record>,
    /// Of a join: whether it brings the person that follows from its device.
    pub own_person: bool,
}

/// All statements by place: a chain's in order.
pub type Statements = Map<(DeviceId, u64), Statement>;

/// The join of a device, whether it counts or not: a device joins with the first thing it says.
fn join_of(statements: &Statements, device: DeviceId) -> Option<&Join> {
    match statements.get(&(device, 0)).map(|statement| &*statement.record) {
        Some(Record::Join(join)) => Some(join),
        _ => None,
    }
}

/// Whose device it is or would be. No device can ever belong to another person than its join says, so this may be asked
/// before it is known whether the join counts.
pub fn claimed(statements: &Statements, device: DeviceId) -> Option<PersonId> {
    join_of(statements, device).map(|join| join.person)
}

/// A device that joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Whose it is.
    pub person: PersonId,
    /// X25519 public key for messages sealed to it.
    pub encryption_key: [u8; 32],
    /// The card it joined with.
    pub card: InvitationKey,
    /// Where the person's other device made the card for it: what that place has lost, this device never had.
    pub made_at: Option<(DeviceId, u64)>,
}

/// A card that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// What it gives.
    pub gives: Gives,
    /// Cards made with it.
    pub batch: Option<BatchId>,
    /// Who made it, of several records for one key: the highest authority, then the lowest entry.
    pub made_by: (u8, Reverse<EntryId>, DeviceId),
    /// Where in its maker's chain.
    pub made_at: u64,
}

/// The key of a server's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerKey {
    /// The epoch.
    pub epoch: [u8; 16],
    /// X25519 public key for envelopes to the server.
    pub encryption_key: [u8; 32],
}

/// Where a role comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The card the person joined with.
    Card,
    /// A grant.
    Grant(EntryId),
}

/// A cut that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedCut {
    /// How many entries of the chain are before it.
    pub entries: u64,
    /// What was revoked.
    pub target: RevocationTarget,
}

/// Something that a record that doesn't count (yet) speaks of: when it changes, everything is folded anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mention {
    Device(DeviceId),
    Person(PersonId),
    Card(InvitationKey),
}

/// What the statements say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The root key.
    pub root: Option<DeviceId>,
    /// The server's identity, of the newest record of the root.
    pub identity: Option<(u64, DeviceId)>,
    identities: Set<DeviceId>,
    /// Keys of the server's epochs.
    pub servers: Map<DeviceId, ServerKey>,
    /// What the server said of cards that were used twice or withdrawn.
    pub settled: Map<InvitationKey, Map<EntryId, Option<DeviceId>>>,
    /// What the server said of two entries at one place.
    pub forks: Map<(SpaceId, DeviceId, u64), (EntryId, EntryId)>,
    /// Cards.
    pub cards: Map<InvitationKey, Card>,
    /// Devices by the card they joined with.
    pub joined: Map<InvitationKey, Set<DeviceId>>,
    /// Devices that joined, whatever was revoked later.
    pub devices: Map<DeviceId, Device>,
    /// Roles ever given, with where they come from.
    pub roles: Map<PersonId, Map<Role, Set<Source>>>,
    /// Roles that grants would give, whether they count or not.
    offered: Map<EntryId, (PersonId, Role)>,
    /// Grants that count.
    pub grants: Map<EntryId, Grant>,
    /// Revocations that count.
    pub revocations: Map<EntryId, Revocation>,
    /// With which authority revocations that count were said.
    said_with: Map<EntryId, u8>,
    /// Revocations that a higher rank took back.
    taken_back: Set<EntryId>,
    /// Cuts that count.
    pub cuts: Map<(SpaceId, DeviceId), Map<EntryId, CountedCut>>,
    /// Withdrawals that count: who withdrew, and with which authority.
    pub withdrawn: Map<BatchId, Set<(u8, DeviceId)>>,
    /// Organisations, by subject.
    pub organisations: Map<SubjectId, Organisation>,
    /// The directory.
    pub directory: Option<(EntryId, Directory)>,
    /// Generations of the board's and the inbox's keys.
    pub generations: Map<EntryId, Generation>,
    /// The statements that count.
    pub counts: Set<EntryId>,
    /// Cards for roles made by devices that have a limit, and where in their chains the last one stands.
    made: Map<DeviceId, (usize, u64)>,
    /// Devices of each person.
    device_counts: Map<PersonId, usize>,
    mentioned: Set<Mention>,
    /// Devices that came with a card for one more device which was made behind a cut: nothing they say stands. Kept, for it is
    /// asked with every change of a document.
    pub late: Vec<DeviceId>,
}

impl Folded {
    /// The person of a device that joined.
    pub fn person(&self, device: DeviceId) -> Option<PersonId> {
        self.devices.get(&device).map(|device| device.person)
    }

    /// What cuts take from an entry at this place: everything, or these grants.
    fn lost_at(&self, space: SpaceId, device: DeviceId, seq: u64) -> Lost {
        let mut lost = Lost::default();
        let mut at = Some((space, device, seq));
        // A device that came with another one's card has lost what that one had lost when it made the card. Whoever made the
        // card was there before, so this ends.
        while let Some((space, device, seq)) = at {
            for cut in self.cuts.get(&(space, device)).into_iter().flat_map(|cuts| cuts.values()) {
                if seq >= cut.entries {
                    match cut.target {
                        RevocationTarget::Device(_) | RevocationTarget::Person(_) => lost.all = true,
                        RevocationTarget::Grant(id) => drop(lost.grants.insert(id)),
                        RevocationTarget::Revocation(_) => {}
                    }
                }
            }
            let made_at = self.devices.get(&device).and_then(|device| device.made_at);
            at = made_at.map(|(maker, seq)| (SpaceId::Members, maker, seq));
        }
        lost
    }

    /// Whether an entry at this place stands before every cut of its whole chain.
    pub fn stands_at(&self, space: SpaceId, device: DeviceId, seq: u64) -> bool {
        !self.lost_at(space, device, seq).all
    }

    /// The roles that count for an entry at this place, lowest number first.
    pub fn roles_at(&self, space: SpaceId, device: DeviceId, seq: u64) -> Vec<Role> {
        let lost = self.lost_at(space, device, seq);
        if lost.all {
            return Vec::new();
        }
        let given = self.person(device).and_then(|person| self.roles.get(&person)).into_iter().flatten();
        let kept = |sources: &Set<Source>| {
            sources.iter().any(|source| !matches!(source, Source::Grant(id) if lost.grants.contains(id)))
        };
        given.filter(|(_, sources)| kept(sources)).map(|(role, _)| *role).collect()
    }

    fn authority_at(&self, device: DeviceId, seq: u64) -> u8 {
        if self.root == Some(device) {
            return ROOT_AUTHORITY;
        }
        self.roles_at(SpaceId::Members, device, seq).into_iter().map(Role::authority).max().unwrap_or(0)
    }

    /// Whether any grant names this person, also one that doesn't count.
    pub fn is_offered(&self, person: PersonId) -> bool {
        self.offered.values().any(|(named, _)| *named == person)
    }

    /// The highest rank a person was ever given. What was taken away still protects: an old grudge must not come into force
    /// on the day somebody leaves the board.
    pub fn rank(&self, person: PersonId) -> u8 {
        self.roles.get(&person).into_iter().flatten().map(|(role, _)| role.rank()).max().unwrap_or(0)
    }

    /// Whether this is about the device's own person, or one of that person's devices.
    pub fn is_own(&self, device: DeviceId, target: RevocationTarget) -> bool {
        let person = self.person(device);
        person.is_some()
            && match target {
                RevocationTarget::Device(target) => self.person(target) == person,
                RevocationTarget::Person(target) => person == Some(target),
                RevocationTarget::Grant(_) | RevocationTarget::Revocation(_) => false,
            }
    }

    /// Whether an authority stands strictly above what would be taken away: asked for now, when all is folded.
    pub fn outranks(&self, level: u8, target: RevocationTarget) -> bool {
        let above = level >= Role::Facilitator.authority();
        match target {
            RevocationTarget::Device(device) => {
                above && self.person(device).is_some_and(|person| level > self.rank(person))
            }
            RevocationTarget::Person(person) => above && self.rank(person) > 0 && level > self.rank(person),
            RevocationTarget::Grant(id) => above && self.grants.get(&id).is_some_and(|grant| level > grant.role.rank()),
            RevocationTarget::Revocation(id) => {
                above && self.said_with.get(&id).is_some_and(|authority| level > *authority)
            }
        }
    }

    /// Whether nobody may join with this card any more.
    pub fn is_withdrawn(&self, key: InvitationKey) -> bool {
        let Some(card) = self.cards.get(&key) else { return false };
        let (authority, _, maker) = card.made_by;
        let by = card.batch.and_then(|batch| self.withdrawn.get(&batch)).into_iter().flatten();
        let person = self.person(maker);
        by.into_iter().any(|(other, device)| {
            *other > authority || *device == maker || (person.is_some() && self.person(*device) == person)
        })
    }

    /// Who is in with a card by the server's word: somebody who really joined with it, or nobody, where it really was
    /// withdrawn. Of several such words the lowest entry's.
    fn settled_on(&self, statements: &Statements, card: InvitationKey) -> Option<Option<DeviceId>> {
        let words = self.settled.get(&card)?;
        let is_true = |word: &&Option<DeviceId>| match word {
            Some(device) => join_of(statements, *device).is_some_and(|join| join.invitation == card),
            None => self.is_withdrawn(card),
        };
        words.values().find(is_true).copied()
    }

    /// Whether a cut is of a chain that the revocation is about, and not before what the revocation's author had seen.
    fn fits(&self, statements: &Statements, cut: &Cut, revocation: &Revocation) -> bool {
        let person = claimed(statements, cut.end.device);
        let is_about = match revocation.target {
            RevocationTarget::Device(device) => device == cut.end.device,
            RevocationTarget::Person(target) => person == Some(target),
            RevocationTarget::Grant(id) => self.offered.get(&id).is_some_and(|(target, _)| person == Some(*target)),
            RevocationTarget::Revocation(_) => false,
        };
        let same = |seen: &&ChainEnd| (seen.space, seen.device) == (cut.end.space, cut.end.device);
        is_about && revocation.seen.iter().filter(same).all(|seen| seen.entries <= cut.end.entries)
    }
}

/// What differs for others between two folds.
impl Folded {
    /// Whose roles and which chains are others than before.
    pub fn changes_since(&self, before: &Self) -> Changes {
        let mut changes = Changes::default();
        let roles = self.roles.iter().filter(|(person, roles)| before.roles.get(person) != Some(roles));
        let lost = before.roles.keys().filter(|person| !self.roles.contains_key(person));
        changes.people.extend(roles.map(|(person, _)| *person).chain(lost.copied()));
        for (device, was) in before.devices.iter().filter(|(device, was)| self.devices.get(device) != Some(*was)) {
            changes.people.insert(was.person);
            changes.chains.extend([(SpaceId::Open, *device), (SpaceId::Ballot, *device)]);
        }
        let chains = self.cuts.keys().chain(before.cuts.keys());
        for chain @ (space, device) in chains.filter(|chain| self.cuts.get(chain) != before.cuts.get(chain)) {
            changes.chains.insert(*chain);
            // Devices that came with a card from behind this end have lost what it took.
            if *space == SpaceId::Members {
                changes.people.extend(self.person(*device));
            }
        }
        changes
    }
}

/// What cuts take from one entry.
#[derive(Default)]
struct Lost {
    all: bool,
    grants: Set<EntryId>,
}

/// Folds all statements.
#[must_use]
pub fn fold(statements: &Statements) -> Folded {
    let mut folded = Folded::default();
    folded.found(statements);
    for level in LEVELS {
        folded.take_own(statements, level);
        folded.give(statements, level);
        folded.take_joins(statements);
        folded.take_away(statements, level);
    }
    folded.mention(statements);
    // Joins that are taken the short way come with cards for a role, which make nobody late.
    let devices = folded.devices.iter().filter(|(_, device)| device.made_at.is_some());
    let late = devices.filter(|(id, _)| !folded.stands_at(SpaceId::Members, **id, 0)).map(|(id, _)| *id);
    folded.late = late.collect();
    folded
}
