//! Who belongs: what the signed records of the space `members`, and those of the closed spaces about themselves, say.
//!
//! [`Members`] keeps every record that has a place (`take`) and folds them (`fold`) into what counts; [`closed`] does the same for
//! closed spaces. The result depends on the set of records, never on their order. What somebody *may do now* and what an
//! entry at some place of a chain *may say* are two questions: a revocation answers the first at once, cuts the second.
//! Not here: signatures of entries (the gate checks them before), and what the roles allow (`gate::rules`).

pub mod card;
pub mod circle;
pub mod closed;
mod fold;
mod lists;
mod settled;
mod take;

pub use closed::{ClosedSpace, Enrolled};
pub use fold::{Card, DEVICES_PER_PERSON_MAX, Device, INVITATIONS_PER_DEVICE_MAX, ROOT_AUTHORITY, ServerKey, Source};
pub use take::{Answer, Asked, Changes, Flip};

use crate::entry::codec::Record;
use crate::model::*;
use crate::ordered::Set;
use closed::ClosedSpaces;
use fold::{Folded, Statements};

/// What the records say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    wijk: WijkId,
    statements: Statements,
    folded: Folded,
    closed: ClosedSpaces,
    /// This replica's own device before its join came back from the wijk.
    provisional: Option<(DeviceId, PersonId)>,
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

    /// Organisations by their subjects, which grants to their representatives name.
    pub fn organisations(&self) -> impl Iterator<Item = (SubjectId, &Organisation)> {
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

    /// Whose an entry is that was written with a key: the person that its device came as, whether it still belongs or not.
    #[must_use]
    pub fn author(&self, space: SpaceId, key: DeviceId) -> Option<PersonId> {
        let device = if space.is_closed() { self.enrolled_by(space, key)? } else { key };
        self.person(device).or_else(|| fold::claimed(&self.statements, device))
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
        let replaced: Set<GenerationId> = all.iter().flat_map(|g| g.replaces.iter().copied()).collect();
        let id = |generation: &Generation| crate::entry::codec::generation_id(&generation.public);
        all.into_iter().filter(|generation| !replaced.contains(&id(generation))).collect()
    }

    /// Whether a device belonged by a confirmed join, is the root, or is the server.
    #[must_use]
    pub fn is_member(&self, device: DeviceId) -> bool {
        self.folded.devices.contains_key(&device) || self.root() == Some(device) || self.server_key(device).is_some()
    }

    /// Whether a device came with a card that somebody announced, or brought its key into a closed space, whether that counts or
    /// not. Who came has a place for what it says.
    #[must_use]
    pub fn has_come(&self, space: SpaceId, key: DeviceId) -> bool {
        if space.is_closed() {
            return self.closed.has_come(space, key);
        }
        matches!(self.statements.get(&(key, 0)).map(|statement| &*statement.record), Some(Record::Join(_)))
    }

    /// The device that brought a key into a closed space, whether that counts or not.
    #[must_use]
    pub fn enrolled_by(&self, space: SpaceId, key: DeviceId) -> Option<DeviceId> {
        self.closed.enrolled_by(space, key)
    }

    /// Whether somebody named the person of this device in a grant, with the right to or not.
    #[must_use]
    pub fn is_named(&self, device: DeviceId) -> bool {
        let person = self.statements.get(&(device, 0)).filter(|statement| statement.own_person);
        let person = person.and_then(|_| fold::claimed(&self.statements, device));
        person.is_some_and(|person| self.folded.is_offered(person))
    }

    /// Whether somebody announced this card, with the right to or not.
    #[must_use]
    pub fn is_announced(&self, space: SpaceId, card: InvitationKey) -> bool {
        if space.is_closed() {
            return self.closed.is_announced(space, card);
        }
        self.folded.cards.contains_key(&card)
            || self
                .statements
                .values()
                .any(|statement| matches!(&*statement.record, Record::Invitation(invitation) if invitation.key == card))
    }

    /// Whether a device belongs and neither it nor its person was revoked.
    #[must_use]
    pub fn is_active(&self, device: DeviceId) -> bool {
        self.is_member(device) && !self.is_revoked(device)
    }

    /// Whether a device or its person was revoked, or the device came with a card that a revoked one made after its end.
    #[must_use]
    pub fn is_revoked(&self, device: DeviceId) -> bool {
        let person = self.folded.person(device);
        let is_named = self.folded.revocations.values().any(|revocation| match revocation.target {
            RevocationTarget::Device(target) => target == device,
            RevocationTarget::Person(target) => person == Some(target),
            RevocationTarget::Grant(_) | RevocationTarget::Revocation(_) => false,
        });
        is_named || !self.folded.stands_at(SpaceId::Members, device, 0)
    }

    /// Revocations that count and are about this device, its person or one of the person's grants.
    #[must_use]
    pub fn revocations_of(&self, device: DeviceId) -> Vec<(EntryId, &Revocation)> {
        let all = self.folded.revocations.iter();
        let of = all.filter(|(_, revocation)| self.devices_of(revocation.target).contains(&device));
        of.map(|(id, revocation)| (*id, revocation)).collect()
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
            Some(_) if space.is_closed() => {
                if !self.closed.stands_at(space, key, seq) {
                    return Vec::new();
                }
                self.roles_ever(space, key)
            }
            Some(device) => self.folded.roles_at(space, device, seq),
            None => Vec::new(),
        }
    }

    /// The roles that whoever writes with a key was ever given, whatever was taken away since.
    #[must_use]
    pub fn roles_ever(&self, space: SpaceId, key: DeviceId) -> Vec<Role> {
        let roles = self.person_in(space, key).and_then(|person| self.folded.roles.get(&person));
        roles.into_iter().flat_map(|roles| roles.keys().copied()).collect()
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

    /// Chains of a space that are cut, and how many of their entries stand before it.
    #[must_use]
    pub fn ends(&self, space: SpaceId) -> Vec<(DeviceId, u64)> {
        if space.is_closed() {
            return self.closed.space(space).map(ClosedSpace::ends).unwrap_or_default();
        }
        let cuts = self.folded.cuts.iter().filter(|((of, _), _)| *of == space);
        let ends = cuts.filter_map(|((_, device), cuts)| Some((*device, cuts.values().map(|cut| cut.entries).min()?)));
        ends.chain(self.folded.late.iter().map(|device| (*device, 0))).collect()
    }

    /// The devices a revocation is about.
    #[must_use]
    pub fn devices_of(&self, target: RevocationTarget) -> Vec<DeviceId> {
        let person = match target {
            RevocationTarget::Device(device) => return vec![device],
            RevocationTarget::Person(person) => Some(person),
            RevocationTarget::Grant(id) => self.folded.grants.get(&id).map(|grant| grant.person),
            RevocationTarget::Revocation(_) => None,
        };
        person.map(|person| self.devices_of_person(person)).unwrap_or_default()
    }

    /// The devices of a person.
    #[must_use]
    pub fn devices_of_person(&self, person: PersonId) -> Vec<DeviceId> {
        self.folded.devices.iter().filter(|(_, device)| device.person == person).map(|(id, _)| *id).collect()
    }

    /// The keys that a device brought into closed spaces.
    #[must_use]
    pub fn closed_keys(&self, device: DeviceId) -> Vec<(SpaceId, DeviceId)> {
        let spaces = self.closed.spaces();
        let keys =
            spaces.flat_map(|(space, closed)| closed.enrolled.iter().map(move |(key, e)| (space, *key, e.device)));
        keys.filter(|(.., behind)| *behind == device).map(|(space, key, _)| (space, key)).collect()
    }

    /// Whether a record of `members` counts.
    #[must_use]
    pub fn counts(&self, id: EntryId) -> bool {
        self.folded.counts.contains(&id)
    }
}
