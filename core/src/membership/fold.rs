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

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::entry::codec::{Record, person_of};
use crate::entry::{Signature, sign};
use crate::model::*;
use crate::sync::epoch_message;

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
#[derive(Clone, Debug)]
pub struct Statement {
    /// Who wrote it.
    pub device: DeviceId,
    /// Where in its chain.
    pub seq: u64,
    /// The entry.
    pub id: EntryId,
    /// What it says.
    pub record: Arc<Record>,
}

/// All statements by place: a chain's in order.
pub type Statements = BTreeMap<(DeviceId, u64), Statement>;

/// A device that joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Whose it is.
    pub person: PersonId,
    /// X25519 public key for messages sealed to it.
    pub encryption_key: [u8; 32],
    /// The card it joined with.
    pub card: InvitationKey,
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
    identities: BTreeSet<DeviceId>,
    /// Keys of the server's epochs.
    pub servers: BTreeMap<DeviceId, ServerKey>,
    /// What the server said of cards that were used twice or withdrawn.
    pub settled: BTreeMap<InvitationKey, (EntryId, Option<DeviceId>)>,
    /// What the server said of two entries at one place.
    pub forks: BTreeMap<(SpaceId, DeviceId, u64), (EntryId, EntryId)>,
    /// Cards.
    pub cards: BTreeMap<InvitationKey, Card>,
    /// Devices by the card they joined with.
    pub joined: BTreeMap<InvitationKey, BTreeSet<DeviceId>>,
    /// Devices that joined, whatever was revoked later.
    pub devices: BTreeMap<DeviceId, Device>,
    /// Roles ever given, with where they come from.
    pub roles: BTreeMap<PersonId, BTreeMap<Role, BTreeSet<Source>>>,
    /// Grants that count.
    pub grants: BTreeMap<EntryId, Grant>,
    /// Revocations that count.
    pub revocations: BTreeMap<EntryId, Revocation>,
    /// Cuts that count.
    pub cuts: BTreeMap<(SpaceId, DeviceId), BTreeMap<EntryId, CountedCut>>,
    /// Withdrawals that count: who withdrew, and with which authority.
    pub withdrawn: BTreeMap<BatchId, BTreeSet<(u8, DeviceId)>>,
    /// Organisations, by the subject's entry.
    pub organisations: BTreeMap<EntryId, Organisation>,
    /// The directory.
    pub directory: Option<(EntryId, Directory)>,
    /// Generations of the board's and the inbox's keys.
    pub generations: BTreeMap<EntryId, Generation>,
    /// The statements that count.
    pub counts: BTreeSet<EntryId>,
    mentioned: BTreeSet<Mention>,
}

impl Folded {
    /// The person of a device that joined.
    pub fn person(&self, device: DeviceId) -> Option<PersonId> {
        self.devices.get(&device).map(|device| device.person)
    }

    /// What cuts take from an entry at this place: everything, or these grants.
    fn lost_at(&self, space: SpaceId, device: DeviceId, seq: u64) -> Lost {
        let mut lost = Lost::default();
        for cut in self.cuts.get(&(space, device)).into_iter().flat_map(|cuts| cuts.values()) {
            if seq >= cut.entries {
                match cut.target {
                    RevocationTarget::Device(_) | RevocationTarget::Person(_) => lost.all = true,
                    RevocationTarget::Grant(id) => drop(lost.grants.insert(id)),
                }
            }
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
        let kept = |sources: &BTreeSet<Source>| {
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

    /// The highest rank a person was ever given.
    pub fn rank(&self, person: PersonId) -> u8 {
        self.roles.get(&person).into_iter().flatten().map(|(role, _)| role.rank()).max().unwrap_or(0)
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

    /// Whether this device's join with this card is overruled by what the server settled.
    fn is_settled_otherwise(&self, card: InvitationKey, device: DeviceId) -> bool {
        self.settled.get(&card).is_some_and(|(_, winner)| *winner != Some(device))
    }

    /// Root, server and what only the server says: nothing of it depends on roles.
    fn found(&mut self, wijk: WijkId, statements: &Statements) {
        for statement in statements.values() {
            if let Record::Genesis(root) = &*statement.record {
                self.root = Some(*root);
                self.counts.insert(statement.id);
            }
        }
        for statement in statements.values().filter(|statement| self.root == Some(statement.device)) {
            if let Record::Server(server) = &*statement.record {
                self.identities.insert(server.key);
                self.identity = self.identity.max(Some((statement.seq, server.key)));
                self.counts.insert(statement.id);
            }
        }
        for statement in statements.values() {
            if let Record::Epoch(epoch) = &*statement.record {
                let message = epoch_message(wijk, &epoch.epoch, statement.device);
                if self.identities.contains(&epoch.identity)
                    && sign::verify(epoch.identity, &message, &Signature(epoch.certificate))
                {
                    let key = ServerKey { epoch: epoch.epoch, encryption_key: epoch.encryption_key };
                    self.servers.entry(statement.device).or_insert(key);
                    self.counts.insert(statement.id);
                }
            }
        }
        for statement in statements.values().filter(|statement| self.servers.contains_key(&statement.device)) {
            if let Record::Settlement(settlement) = &*statement.record {
                self.counts.insert(statement.id);
                match settlement {
                    Settlement::Card { card, device } => {
                        let known = self.settled.entry(*card).or_insert((statement.id, *device));
                        *known = (*known).min((statement.id, *device));
                    }
                    Settlement::Fork { space, device, seq, id } => {
                        let known = self.forks.entry((*space, *device, *seq)).or_insert((statement.id, *id));
                        *known = (*known).min((statement.id, *id));
                    }
                }
            }
        }
    }

    /// Joins whose cards count. Returns whether anybody came in.
    fn take_joins<'s>(&mut self, statements: impl Iterator<Item = &'s Statement>, wijk: WijkId) -> bool {
        let mut came = false;
        for statement in statements {
            if let Record::Join(join) = &*statement.record
                && !self.counts.contains(&statement.id)
            {
                came |= self.take_join(wijk, statement, join);
            }
        }
        came
    }

    fn take_join(&mut self, wijk: WijkId, statement: &Statement, join: &Join) -> bool {
        let Some(card) = self.cards.get(&join.invitation) else { return false };
        let gives = card.gives;
        let of_person = |devices: &BTreeMap<DeviceId, Device>, person| {
            devices.values().filter(|device| device.person == person).count()
        };
        let fits = match gives {
            Gives::Role(_) => join.person == person_of(wijk, statement.device),
            Gives::Device(person) => join.person == person && of_person(&self.devices, person) < DEVICES_PER_PERSON_MAX,
        };
        if !fits || self.is_settled_otherwise(join.invitation, statement.device) {
            return false;
        }
        self.counts.insert(statement.id);
        self.joined.entry(join.invitation).or_default().insert(statement.device);
        let device = Device { person: join.person, encryption_key: join.encryption_key, card: join.invitation };
        self.devices.insert(statement.device, device);
        if let Gives::Role(role) = gives {
            self.roles.entry(join.person).or_default().entry(role).or_default().insert(Source::Card);
        }
        true
    }

    /// One person's devices at this level: cards for more of them, and which of them were revoked by another.
    fn take_own(&mut self, statements: &Statements, level: u8, wijk: WijkId) {
        loop {
            let mut came = self.take_joins(statements.values(), wijk);
            for statement in statements.values().filter(|s| !self.counts.contains(&s.id)).collect::<Vec<_>>() {
                if let Record::Invitation(Invitation { key, gives: Gives::Device(person), batch }) = &*statement.record
                    && self.authority_at(statement.device, statement.seq) == level
                    && self.person(statement.device) == Some(*person)
                {
                    self.add_card(statement, level, *key, Gives::Device(*person), *batch);
                    came = true;
                }
            }
            if !came {
                break;
            }
        }
        let own: Vec<(&Statement, &Revocation)> = statements
            .values()
            .filter_map(|statement| match &*statement.record {
                Record::Revocation(revocation) => Some((statement, revocation)),
                _ => None,
            })
            .filter(|(statement, revocation)| {
                self.authority_at(statement.device, statement.seq) == level
                    && self.is_own(statement.device, revocation.target)
            })
            .collect();
        // The cuts first, all of them from what stood before: two devices that revoke each other are judged alike.
        let by_own = own.iter().map(|(statement, revocation)| (statement.id, (*revocation).clone())).collect();
        self.take_cuts(statements, &by_own);
        for (statement, revocation) in own {
            if self.stands_at(SpaceId::Members, statement.device, statement.seq) {
                self.counts.insert(statement.id);
                self.revocations.insert(statement.id, revocation.clone());
            }
        }
    }

    /// Whether this is about the device's own person, or one of that person's devices.
    pub fn is_own(&self, device: DeviceId, target: RevocationTarget) -> bool {
        let person = self.person(device);
        person.is_some()
            && match target {
                RevocationTarget::Device(target) => self.person(target) == person,
                RevocationTarget::Person(target) => person == Some(target),
                RevocationTarget::Grant(_) => false,
            }
    }

    /// Cuts that carry out one of these revocations.
    fn take_cuts(&mut self, statements: &Statements, revocations: &BTreeMap<EntryId, Revocation>) {
        for statement in statements.values().filter(|statement| self.servers.contains_key(&statement.device)) {
            if let Record::Cut(cut) = &*statement.record
                && let Some(revocation) = revocations.get(&cut.revocation)
                && self.fits(cut, revocation)
            {
                let cuts = self.cuts.entry((cut.end.space, cut.end.device)).or_default();
                cuts.insert(statement.id, CountedCut { entries: cut.end.entries, target: revocation.target });
                self.counts.insert(statement.id);
            }
        }
    }

    /// Whether a cut is of a chain that the revocation is about, and not before what the revocation's author had seen.
    pub fn fits(&self, cut: &Cut, revocation: &Revocation) -> bool {
        let person = self.person(cut.end.device);
        let is_about = match revocation.target {
            RevocationTarget::Device(device) => device == cut.end.device,
            RevocationTarget::Person(target) => person == Some(target),
            RevocationTarget::Grant(id) => self.grants.get(&id).is_some_and(|grant| person == Some(grant.person)),
        };
        let same = |seen: &&ChainEnd| (seen.space, seen.device) == (cut.end.space, cut.end.device);
        is_about && revocation.seen.iter().filter(same).all(|seen| seen.entries <= cut.end.entries)
    }

    /// Everything else that devices of this authority say.
    fn decide(&mut self, statements: &Statements, level: u8) {
        let mut made: BTreeMap<DeviceId, usize> = BTreeMap::new();
        for statement in statements.values() {
            if self.counts.contains(&statement.id)
                || self.authority_at(statement.device, statement.seq) != level
                || !self.stands_at(SpaceId::Members, statement.device, statement.seq)
            {
                continue;
            }
            match &*statement.record {
                Record::Invitation(Invitation { key, gives: Gives::Role(role), batch }) if level > role.rank() => {
                    let made = made.entry(statement.device).or_insert(0);
                    if level >= Role::Administrator.authority() || *made < INVITATIONS_PER_DEVICE_MAX {
                        *made += 1;
                        self.add_card(statement, level, *key, Gives::Role(*role), *batch);
                    }
                }
                Record::Grant(grant) if level > grant.role.rank() => self.add_grant(statement.id, grant),
                Record::Revocation(revocation) if self.outranks(level, revocation.target) => {
                    self.counts.insert(statement.id);
                    self.revocations.insert(statement.id, revocation.clone());
                }
                // Whose cards it takes back is asked of each card: anybody may take back the cards of own devices.
                Record::Withdrawal(withdrawal) => {
                    self.counts.insert(statement.id);
                    self.withdrawn.entry(withdrawal.batch).or_default().insert((level, statement.device));
                }
                Record::Organisation(organisation) if level >= Role::Administrator.authority() => {
                    self.counts.insert(statement.id);
                    self.organisations.insert(statement.id, organisation.clone());
                }
                Record::Directory(directory) if level >= Role::Administrator.authority() => {
                    self.counts.insert(statement.id);
                    let newer = |(old_id, old): &(EntryId, Directory)| {
                        (directory.counter, statement.id) > (old.counter, *old_id)
                    };
                    if self.directory.as_ref().is_none_or(newer) {
                        self.directory = Some((statement.id, directory.clone()));
                    }
                }
                Record::Generation(generation) if self.may_start(statement) => {
                    self.counts.insert(statement.id);
                    self.generations.insert(statement.id, generation.clone());
                }
                _ => {}
            }
        }
    }

    /// Whether a device may start a generation of the board's and the inbox's keys.
    fn may_start(&self, statement: &Statement) -> bool {
        let roles = self.roles_at(SpaceId::Members, statement.device, statement.seq);
        roles.contains(&Role::Board) || roles.contains(&Role::Administrator)
    }

    /// Whether an authority stands strictly above what would be taken away.
    pub fn outranks(&self, level: u8, target: RevocationTarget) -> bool {
        match target {
            RevocationTarget::Device(device) => self.person(device).is_some_and(|person| level > self.rank(person)),
            // A person nobody ever knew has nothing to lose; waiting for the first card keeps the fold simple.
            RevocationTarget::Person(person) => (1..level).contains(&self.rank(person)),
            RevocationTarget::Grant(id) => self.grants.get(&id).is_some_and(|grant| level > grant.role.rank()),
        }
    }

    fn add_card(
        &mut self,
        statement: &Statement,
        authority: u8,
        key: InvitationKey,
        gives: Gives,
        batch: Option<BatchId>,
    ) {
        self.counts.insert(statement.id);
        let made_by = (authority, Reverse(statement.id), statement.device);
        let fresh = Card { gives, batch, made_by };
        let card = self.cards.entry(key).or_insert_with(|| fresh.clone());
        if made_by > card.made_by {
            *card = fresh;
        }
    }

    fn add_grant(&mut self, id: EntryId, grant: &Grant) {
        self.counts.insert(id);
        self.grants.insert(id, grant.clone());
        let roles = self.roles.entry(grant.person).or_default();
        roles.entry(grant.role).or_default().insert(Source::Grant(id));
    }

    /// Takes one more statement without folding everything anew, where that gives the same: a card nobody has spoken of, or
    /// a join that nothing is waiting for. Returns whether it could.
    pub fn take_simple(&mut self, wijk: WijkId, statement: &Statement) -> bool {
        match &*statement.record {
            Record::Invitation(invitation) => {
                let authority = self.authority_at(statement.device, statement.seq);
                let Gives::Role(role) = invitation.gives else { return false };
                let is_new = !self.cards.contains_key(&invitation.key)
                    && !self.mentioned.contains(&Mention::Card(invitation.key));
                // Below, cards are counted along the chain.
                if authority >= Role::Administrator.authority() && authority > role.rank() && is_new {
                    self.add_card(statement, authority, invitation.key, invitation.gives, invitation.batch);
                    return true;
                }
                false
            }
            Record::Join(join) => {
                let known = self.mentioned.contains(&Mention::Device(statement.device))
                    || self.mentioned.contains(&Mention::Person(join.person))
                    || self.roles.contains_key(&join.person)
                    || self.joined.contains_key(&join.invitation);
                let role_card =
                    self.cards.get(&join.invitation).is_some_and(|card| matches!(card.gives, Gives::Role(_)));
                !known && role_card && self.take_join(wijk, statement, join)
            }
            _ => false,
        }
    }

    /// Notes what statements that don't count speak of.
    fn mention(&mut self, statements: &Statements) {
        for statement in statements.values() {
            let counts = self.counts.contains(&statement.id);
            match &*statement.record {
                Record::Join(join) if !counts => {
                    self.mentioned.insert(Mention::Card(join.invitation));
                    self.mentioned.insert(Mention::Device(statement.device));
                }
                Record::Revocation(revocation) => drop(match revocation.target {
                    RevocationTarget::Device(device) => self.mentioned.insert(Mention::Device(device)),
                    RevocationTarget::Person(person) => self.mentioned.insert(Mention::Person(person)),
                    RevocationTarget::Grant(_) => false,
                }),
                Record::Cut(cut) => drop(self.mentioned.insert(Mention::Device(cut.end.device))),
                _ if !counts => drop(self.mentioned.insert(Mention::Device(statement.device))),
                _ => {}
            }
        }
    }
}

/// What cuts take from one entry.
#[derive(Default)]
struct Lost {
    all: bool,
    grants: BTreeSet<EntryId>,
}

/// Folds all statements.
#[must_use]
pub fn fold(wijk: WijkId, statements: &Statements) -> Folded {
    let mut folded = Folded::default();
    folded.found(wijk, statements);
    for level in LEVELS {
        folded.take_own(statements, level, wijk);
        folded.decide(statements, level);
        let by_rank = folded.revocations.clone();
        folded.take_cuts(statements, &by_rank);
        folded.take_joins(statements.values(), wijk);
    }
    folded.mention(statements);
    folded
}
