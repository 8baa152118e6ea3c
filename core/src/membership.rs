//! Who belongs: what the signed records of the space `members`, and those of the closed spaces about themselves, say.
//!
//! [`Members`] keeps every record that has a place and folds them (`fold`) into what counts; [`closed`] does the same for
//! closed spaces. The result depends on the set of records, never on their order. What somebody *may do now* and what an
//! entry at some place of a chain *may say* are two questions: a revocation answers the first at once, cuts the second.
//! Not here: signatures of entries (the gate checks them before), and what the roles allow (`gate::rules`).

pub mod card;
pub mod circle;
pub mod closed;
mod fold;
mod lists;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use closed::{ClosedSpace, Enrolled};
pub use fold::{Card, DEVICES_PER_PERSON_MAX, Device, INVITATIONS_PER_DEVICE_MAX, ROOT_AUTHORITY, ServerKey, Source};

use crate::entry::codec::{Record, join_message, person_of, wijk_id};
use crate::entry::{Signature, sign};
use crate::gate::{Dep, Reason};
use crate::model::*;
use closed::ClosedSpaces;
use fold::{Folded, Statement, Statements, fold};

/// What the records say together.
#[derive(Clone, Debug)]
pub struct Members {
    wijk: WijkId,
    statements: Statements,
    folded: Folded,
    closed: ClosedSpaces,
    /// This replica's own device before its join came back from the wijk.
    provisional: Option<(DeviceId, PersonId)>,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It counts now.
    Counts,
    /// It waits for this.
    Waits(Dep),
    /// It can never count.
    Never(Reason),
    /// Another device joined with this card before.
    CardUsed,
    /// The card was withdrawn.
    CardWithdrawn,
}

/// A record that began or ceased to count because of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flip {
    /// Who wrote it.
    pub device: DeviceId,
    /// Where in its chain in `members`.
    pub seq: u64,
    /// Whether it counts now.
    pub counts: bool,
}

/// A record with its place, as it is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// Who wrote it.
    pub device: DeviceId,
    /// Where in its chain.
    pub seq: u64,
    /// The entry.
    pub id: EntryId,
    /// What it says.
    pub record: &'r Record,
    /// Its bytes.
    pub body: &'r [u8],
}

impl Members {
    /// Nobody yet.
    #[must_use]
    pub fn new(wijk: WijkId) -> Self {
        Self {
            wijk,
            statements: Statements::new(),
            folded: Folded::default(),
            closed: ClosedSpaces::default(),
            provisional: None,
        }
    }

    /// Says which device this replica itself writes with, so that its person can write before the join is confirmed.
    pub fn set_provisional(&mut self, device: DeviceId, person: PersonId) {
        self.provisional = Some((device, person));
    }

    /// The wijk.
    #[must_use]
    pub fn wijk(&self) -> WijkId {
        self.wijk
    }

    /// The root key, once the genesis is here.
    #[must_use]
    pub fn root(&self) -> Option<DeviceId> {
        self.folded.root
    }

    /// The server's identity key.
    #[must_use]
    pub fn server(&self) -> Option<DeviceId> {
        self.folded.identity.map(|(_, key)| key)
    }

    /// The key of one of the server's epochs, once it presented itself.
    #[must_use]
    pub fn server_key(&self, device: DeviceId) -> Option<ServerKey> {
        self.folded.servers.get(&device).copied()
    }

    /// The directory that counts.
    #[must_use]
    pub fn directory(&self) -> Option<&Directory> {
        self.folded.directory.as_ref().map(|(_, directory)| directory)
    }

    /// Organisations with the entries that name them.
    pub fn organisations(&self) -> impl Iterator<Item = (EntryId, &Organisation)> {
        self.folded.organisations.iter().map(|(id, organisation)| (*id, organisation))
    }

    /// The person of a device, if it ever belonged.
    #[must_use]
    pub fn person(&self, device: DeviceId) -> Option<PersonId> {
        // The root founds and invites; it is nobody in the wijk.
        let own = self.provisional.filter(|(own, _)| *own == device && self.root() != Some(device));
        let own = own.map(|(_, person)| person);
        self.folded.person(device).or(own)
    }

    /// The device behind a key that writes in a space: itself, but in closed spaces the one that enrolled the key.
    #[must_use]
    pub fn device_behind(&self, space: SpaceId, key: DeviceId) -> Option<DeviceId> {
        if !space.is_closed() {
            return Some(key);
        }
        self.closed.space(space).and_then(|closed| closed.enrolled.get(&key)).map(|enrolled| enrolled.device)
    }

    /// The person who writes with a key in a space.
    #[must_use]
    pub fn person_in(&self, space: SpaceId, key: DeviceId) -> Option<PersonId> {
        self.person(self.device_behind(space, key)?)
    }

    /// A closed space, if anything is known of it.
    #[must_use]
    pub fn closed(&self, space: SpaceId) -> Option<&ClosedSpace> {
        self.closed.space(space)
    }

    /// All closed spaces of which anything is known.
    pub fn closed_spaces(&self) -> impl Iterator<Item = (SpaceId, &ClosedSpace)> {
        self.closed.spaces()
    }

    /// The generations of a closed space that no other one replaces: one, or several that wait to be merged.
    #[must_use]
    pub fn generations(&self, space: SpaceId) -> Vec<&Generation> {
        let announced = self.folded.generations.values().filter(|generation| generation.space == space);
        let all: Vec<&Generation> = match space {
            SpaceId::Board | SpaceId::Inbox => announced.collect(),
            _ => self.closed.space(space).map(|closed| closed.generations.values().collect()).unwrap_or_default(),
        };
        let replaced: BTreeSet<GenerationId> = all.iter().flat_map(|g| g.replaces.iter().copied()).collect();
        let id = |generation: &Generation| crate::entry::codec::generation_id(&generation.public);
        all.into_iter().filter(|generation| !replaced.contains(&id(generation))).collect()
    }

    /// Whether a device belonged by a confirmed join, is the root, or is the server.
    #[must_use]
    pub fn is_member(&self, device: DeviceId) -> bool {
        self.folded.devices.contains_key(&device) || self.root() == Some(device) || self.server_key(device).is_some()
    }

    /// Whether a device belongs and neither it nor its person was revoked.
    #[must_use]
    pub fn is_active(&self, device: DeviceId) -> bool {
        self.is_member(device) && !self.is_revoked(device)
    }

    /// Whether a device or its person was revoked.
    #[must_use]
    pub fn is_revoked(&self, device: DeviceId) -> bool {
        let person = self.folded.person(device);
        self.folded.revocations.values().any(|revocation| match revocation.target {
            RevocationTarget::Device(target) => target == device,
            RevocationTarget::Person(target) => person == Some(target),
            RevocationTarget::Grant(_) => false,
        })
    }

    /// Number of devices that joined.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.folded.devices.len()
    }

    /// Devices that joined, with what is known of each.
    pub fn devices(&self) -> impl Iterator<Item = (DeviceId, &Device)> {
        self.folded.devices.iter().map(|(id, device)| (*id, device))
    }

    /// Whether the person of this device has a role now.
    #[must_use]
    pub fn has_role(&self, device: DeviceId, role: Role) -> bool {
        self.roles(device).contains(&role)
    }

    /// The roles a device's person has now, lowest number first; none for what was revoked.
    #[must_use]
    pub fn roles(&self, device: DeviceId) -> Vec<Role> {
        if self.is_revoked(device) {
            return Vec::new();
        }
        let Some(sources) = self.person(device).and_then(|person| self.folded.roles.get(&person)) else {
            return Vec::new();
        };
        let ended = |source: &Source| match source {
            Source::Card => false,
            Source::Grant(id) => self.folded.revocations.values().any(|r| r.target == RevocationTarget::Grant(*id)),
        };
        sources.iter().filter(|(_, from)| from.iter().any(|source| !ended(source))).map(|(role, _)| *role).collect()
    }

    /// Whether an entry at this place may speak at all: its chain isn't cut before it.
    #[must_use]
    pub fn stands_at(&self, space: SpaceId, key: DeviceId, seq: u64) -> bool {
        self.folded.stands_at(space, key, seq) && self.closed.stands_at(space, key, seq)
    }

    /// The roles that count for an entry at this place.
    #[must_use]
    pub fn roles_at(&self, space: SpaceId, key: DeviceId, seq: u64) -> Vec<Role> {
        match self.device_behind(space, key) {
            Some(device) if space.is_closed() => {
                if !self.closed.stands_at(space, key, seq) {
                    return Vec::new();
                }
                let roles = self.person(device).and_then(|person| self.folded.roles.get(&person));
                roles.into_iter().flat_map(|roles| roles.keys().copied()).collect()
            }
            Some(device) => self.folded.roles_at(space, device, seq),
            None => Vec::new(),
        }
    }

    /// Whether this device may read a space at the server.
    #[must_use]
    pub fn may_read(&self, device: DeviceId, space: SpaceId) -> bool {
        match space {
            SpaceId::Members => true,
            SpaceId::Open => self.is_active(device),
            SpaceId::Board | SpaceId::Inbox => self.has_role(device, Role::Board),
            SpaceId::Circle(_) => self.is_active(device) && self.closed.is_in(space, device),
            SpaceId::Own(person) => self.is_active(device) && self.folded.person(device) == Some(person),
            // Only the server reads what people answer in secret.
            SpaceId::Ballot => false,
        }
    }

    /// Whether a device now has a right to be in a closed space: those whom a generation is wrapped to.
    #[must_use]
    pub fn belongs_in(&self, device: DeviceId, space: SpaceId) -> bool {
        space.is_closed() && self.may_read(device, space)
    }

    /// Who joined with a card, if anybody did; `None` too for a card nobody knows. Of several the one the server settled on.
    #[must_use]
    pub fn joined_with(&self, card: InvitationKey) -> Option<DeviceId> {
        self.folded.joined.get(&card).and_then(|devices| devices.first().copied())
    }

    /// Whether a card is known and was withdrawn.
    #[must_use]
    pub fn is_withdrawn(&self, card: InvitationKey) -> bool {
        self.folded.is_withdrawn(card)
    }

    /// Whether the server settled who is in with a card.
    #[must_use]
    pub fn is_settled(&self, card: InvitationKey) -> bool {
        self.folded.settled.contains_key(&card)
    }

    /// The entry that stands at a place where the server saw two.
    #[must_use]
    pub fn fork_winner(&self, space: SpaceId, key: DeviceId, seq: u64) -> Option<EntryId> {
        self.folded.forks.get(&(space, key, seq)).map(|(_, id)| *id)
    }

    /// Whether the server said which of two entries at a place stands.
    #[must_use]
    pub fn fork_settled(&self, space: SpaceId, key: DeviceId, seq: u64) -> bool {
        self.fork_winner(space, key, seq).is_some()
    }

    /// Cards of a batch that nobody used.
    #[must_use]
    pub fn unused(&self, batch: BatchId) -> usize {
        let of_batch = self.folded.cards.iter().filter(|(_, card)| card.batch == Some(batch));
        of_batch.filter(|(key, _)| !self.folded.joined.contains_key(key)).count()
    }

    /// Grants that count, with the entries that gave them.
    pub fn grants(&self) -> impl Iterator<Item = (EntryId, &Grant)> {
        self.folded.grants.iter().map(|(id, grant)| (*id, grant))
    }

    /// Revocations that count, with their entries.
    pub fn revocations(&self) -> impl Iterator<Item = (EntryId, &Revocation)> {
        self.folded.revocations.iter().map(|(id, revocation)| (*id, revocation))
    }

    /// Whether a chain is cut for a revocation already.
    #[must_use]
    pub fn is_cut(&self, space: SpaceId, key: DeviceId, target: RevocationTarget) -> bool {
        self.folded.cuts.get(&(space, key)).is_some_and(|cuts| cuts.values().any(|cut| cut.target == target))
            || self.closed.is_cut(space, key, target)
    }

    /// The devices a revocation is about.
    #[must_use]
    pub fn devices_of(&self, target: RevocationTarget) -> Vec<DeviceId> {
        let person = match target {
            RevocationTarget::Device(device) => return vec![device],
            RevocationTarget::Person(person) => Some(person),
            RevocationTarget::Grant(id) => self.folded.grants.get(&id).map(|grant| grant.person),
        };
        self.folded.devices.iter().filter(|(_, device)| Some(device.person) == person).map(|(id, _)| *id).collect()
    }

    /// Takes a record of the space `members`; returns what becomes of it, and which others it made count or cease to.
    /// `is_server` says whether a card that another device used gives a place at all.
    pub fn admit(&mut self, asked: &Asked<'_>, is_server: bool) -> (Answer, Vec<Flip>) {
        if let Some(never) = self.form(asked) {
            return (never, Vec::new());
        }
        if let Record::Join(join) = asked.record
            && is_server
            && let Some(answer) = self.card_is_gone(asked.device, join)
        {
            return (answer, Vec::new());
        }
        let record = Arc::new(asked.record.clone());
        let statement = Statement { device: asked.device, seq: asked.seq, id: asked.id, record };
        if self.folded.take_simple(self.wijk, &statement) {
            self.statements.insert((asked.device, asked.seq), statement);
            return (Answer::Counts, Vec::new());
        }
        self.statements.insert((asked.device, asked.seq), statement);
        let flips = self.refold(Some(asked.id));
        if self.folded.counts.contains(&asked.id) {
            return (Answer::Counts, flips);
        }
        (Answer::Waits(self.waits_for(asked.device, asked.record)), flips)
    }

    /// Takes a record that is known to have its form, when a replica is opened; [`Members::folded`] must follow.
    pub(crate) fn insert(&mut self, device: DeviceId, seq: u64, id: EntryId, record: Record) {
        self.statements.insert((device, seq), Statement { device, seq, id, record: Arc::new(record) });
    }

    /// Folds what [`Members::insert`] brought.
    pub(crate) fn folded(&mut self) {
        self.folded = fold(self.wijk, &self.statements);
    }

    /// Whether a record of `members` counts.
    #[must_use]
    pub fn counts(&self, id: EntryId) -> bool {
        self.folded.counts.contains(&id)
    }

    fn refold(&mut self, but: Option<EntryId>) -> Vec<Flip> {
        let folded = fold(self.wijk, &self.statements);
        let before = std::mem::replace(&mut self.folded, folded);
        let changed: BTreeSet<EntryId> = before.counts.symmetric_difference(&self.folded.counts).copied().collect();
        if changed.iter().all(|id| Some(*id) == but) {
            return Vec::new();
        }
        let flipped = self.statements.values().filter(|s| changed.contains(&s.id) && Some(s.id) != but);
        let counts = |id| self.folded.counts.contains(&id);
        flipped.map(|s| Flip { device: s.device, seq: s.seq, counts: counts(s.id) }).collect()
    }

    /// What can never become right, whatever comes.
    fn form(&self, asked: &Asked<'_>) -> Option<Answer> {
        let never = |reason| Some(Answer::Never(reason));
        match asked.record {
            Record::Genesis(root) if wijk_id(asked.body) != self.wijk || *root != asked.device => {
                never(Reason::OtherGenesis)
            }
            Record::Server(_) => match self.root() {
                Some(root) if root != asked.device => never(Reason::Rank),
                _ => None,
            },
            Record::Join(join) => {
                let message = join_message(self.wijk, asked.device, join.person, &join.encryption_key);
                let card = DeviceId::new(*join.invitation.as_bytes());
                if !sign::verify(card, &message, &Signature(join.proof)) {
                    return never(Reason::FalseCard);
                }
                let gives = self.folded.cards.get(&join.invitation).map(|card| card.gives);
                // A device joins once, with the first thing it says; and a card for a role gives a person of its own.
                let own = join.person == person_of(self.wijk, asked.device);
                let as_other = !own && matches!(gives, Some(Gives::Role(_)));
                if asked.seq != 0 && self.folded.devices.contains_key(&asked.device) {
                    never(Reason::Final)
                } else if asked.seq != 0 || as_other {
                    never(Reason::Form)
                } else {
                    None
                }
            }
            // Circles and persons announce their keys among themselves.
            Record::Generation(generation) if !matches!(generation.space, SpaceId::Board | SpaceId::Inbox) => {
                never(Reason::Space)
            }
            Record::Cut(cut) if cut.end.space.is_closed() => never(Reason::Space),
            _ => None,
        }
    }

    fn card_is_gone(&self, device: DeviceId, join: &Join) -> Option<Answer> {
        if self.folded.devices.contains_key(&device) {
            return None;
        }
        if self.folded.joined.contains_key(&join.invitation) {
            return Some(Answer::CardUsed);
        }
        self.is_withdrawn(join.invitation).then_some(Answer::CardWithdrawn)
    }

    fn waits_for(&self, device: DeviceId, record: &Record) -> Dep {
        match record {
            Record::Genesis(_) | Record::Server(_) | Record::Epoch(_) => Dep::Root,
            Record::Join(join) => Dep::Card(join.invitation),
            _ => self.person(device).map_or(Dep::Device(device), Dep::Role),
        }
    }

    /// Takes a record that a closed space says of itself.
    pub fn admit_closed(&mut self, space: SpaceId, asked: &Asked<'_>) -> Answer {
        let mut closed = std::mem::take(&mut self.closed);
        let answer = closed.admit(self, space, asked);
        self.closed = closed;
        answer
    }
}
