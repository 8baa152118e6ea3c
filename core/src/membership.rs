//! Who belongs: a fold over the signed records of the space `members`.
//!
//! The fold only grows and depends on the set of records, not on their order: a record whose ground isn't there yet waits
//! and is asked again when one arrives. The root stands above all; a grant or a card counts only from a strictly higher
//! rank than the role it gives. Not here: signatures of entries (the gate checks them before).

pub mod card;

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::codec::{Record, join_message, person_of, wijk_id};
use crate::entry::{Signature, sign};
use crate::gate::{Dep, Reason};
use crate::hash::Hash;
use crate::model::{DeviceId, Directory, EntryId, Grant, Invitation, InvitationKey, Join, PersonId, Role, WijkId};

/// Rank of the root key: above every role.
const ROOT_RANK: u8 = u8::MAX;

/// A device that belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Whose it is.
    pub person: PersonId,
    /// X25519 public key for messages sealed to it.
    pub encryption_key: [u8; 32],
    /// The card it joined with; its role follows from it.
    pub card: InvitationKey,
}

#[derive(Clone, Debug)]
struct Card {
    role: Role,
    /// Rank of who made it, and the entry: of several records for one key the highest rank counts, then the lowest id.
    made_by: (u8, std::cmp::Reverse<EntryId>),
    used_by: Option<DeviceId>,
}

/// What the records say together.
#[derive(Clone, Debug)]
pub struct Members {
    wijk: WijkId,
    root: Option<DeviceId>,
    server: Option<DeviceId>,
    cards: BTreeMap<InvitationKey, Card>,
    devices: BTreeMap<DeviceId, Device>,
    roles: BTreeMap<PersonId, BTreeSet<Role>>,
    directory: Option<(EntryId, Directory)>,
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
}

impl Members {
    /// Nobody yet.
    #[must_use]
    pub fn new(wijk: WijkId) -> Self {
        Self {
            wijk,
            root: None,
            server: None,
            cards: BTreeMap::new(),
            devices: BTreeMap::new(),
            roles: BTreeMap::new(),
            directory: None,
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
        self.root
    }

    /// The server's identity key.
    #[must_use]
    pub fn server(&self) -> Option<DeviceId> {
        self.server
    }

    /// The directory that counts.
    #[must_use]
    pub fn directory(&self) -> Option<&Directory> {
        self.directory.as_ref().map(|(_, directory)| directory)
    }

    /// The person of a device, if it belongs.
    #[must_use]
    pub fn person(&self, device: DeviceId) -> Option<PersonId> {
        // The root founds and invites; it is nobody in the wijk.
        let own = self.provisional.filter(|(own, _)| *own == device && self.root != Some(device));
        let own = own.map(|(_, person)| person);
        self.devices.get(&device).map(|d| d.person).or(own)
    }

    /// Whether a device belongs by a confirmed join, or is the root.
    #[must_use]
    pub fn is_member(&self, device: DeviceId) -> bool {
        self.devices.contains_key(&device) || self.root == Some(device)
    }

    /// Number of devices that joined.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// Whether the person of this device has a role.
    #[must_use]
    pub fn has_role(&self, device: DeviceId, role: Role) -> bool {
        self.roles(device).contains(&role)
    }

    /// The roles of a device's person, lowest first.
    #[must_use]
    pub fn roles(&self, device: DeviceId) -> Vec<Role> {
        let granted = self.person(device).and_then(|person| self.roles.get(&person));
        let card = self.devices.get(&device).and_then(|device| self.cards.get(&device.card));
        let all: BTreeSet<Role> = granted.into_iter().flatten().copied().chain(card.map(|card| card.role)).collect();
        all.into_iter().collect()
    }

    /// Who joined with a card, if anybody did; `None` too for a card nobody knows.
    #[must_use]
    pub fn joined_with(&self, card: InvitationKey) -> Option<DeviceId> {
        self.cards.get(&card).and_then(|card| card.used_by)
    }

    fn rank(&self, device: DeviceId) -> u8 {
        if self.root == Some(device) {
            return ROOT_RANK;
        }
        self.roles(device).into_iter().map(Role::rank).max().unwrap_or(0)
    }

    /// Takes a record of the space `members`, written by `device` in entry `id`. `body` is the record's bytes.
    pub fn admit(&mut self, device: DeviceId, id: EntryId, record: &Record, body: &[u8]) -> Answer {
        match record {
            Record::Genesis(root) => self.genesis(device, *root, body),
            Record::Server(server) => self.root_only(device, |members| members.server = Some(server.key)),
            Record::Invitation(invitation) => self.invitation(device, id, invitation),
            Record::Join(join) => self.join(device, join),
            Record::Grant(grant) => self.grant(device, grant),
            Record::Directory(directory) => self.directory_record(device, id, directory),
            _ => Answer::Never(Reason::Space),
        }
    }

    fn genesis(&mut self, device: DeviceId, root: DeviceId, body: &[u8]) -> Answer {
        if wijk_id(body) != self.wijk || root != device {
            return Answer::Never(Reason::OtherGenesis);
        }
        self.root = Some(root);
        Answer::Counts
    }

    fn root_only(&mut self, device: DeviceId, then: impl FnOnce(&mut Self)) -> Answer {
        match self.root {
            None => Answer::Waits(Dep::Root),
            Some(root) if root == device => {
                then(self);
                Answer::Counts
            }
            Some(_) => Answer::Never(Reason::Rank),
        }
    }

    /// A record that only a higher rank may write waits when the rank is too low: a grant may still come.
    fn by_rank(&self, device: DeviceId, role: Role) -> Option<Answer> {
        if self.rank(device) > role.rank() {
            return None;
        }
        Some(match self.person(device) {
            Some(person) => Answer::Waits(Dep::Role(person)),
            None => Answer::Waits(Dep::Device(device)),
        })
    }

    fn invitation(&mut self, device: DeviceId, id: EntryId, invitation: &Invitation) -> Answer {
        if let Some(wait) = self.by_rank(device, invitation.role) {
            return wait;
        }
        let made_by = (self.rank(device), std::cmp::Reverse(id));
        let fresh = Card { role: invitation.role, made_by, used_by: None };
        let card = self.cards.entry(invitation.key).or_insert(fresh);
        if made_by > card.made_by {
            (card.role, card.made_by) = (invitation.role, made_by);
        }
        Answer::Counts
    }

    fn join(&mut self, device: DeviceId, join: &Join) -> Answer {
        let message: Hash = join_message(self.wijk, device, join.person, &join.encryption_key);
        if !sign::verify(DeviceId::new(*join.invitation.as_bytes()), &message, &Signature(join.proof)) {
            return Answer::Never(Reason::FalseCard);
        }
        if join.person != person_of(self.wijk, device) {
            return Answer::Never(Reason::Form);
        }
        if self.devices.get(&device).is_some_and(|known| known.card != join.invitation) {
            return Answer::Never(Reason::Final);
        }
        let Some(card) = self.cards.get_mut(&join.invitation) else {
            return Answer::Waits(Dep::Card(join.invitation));
        };
        if card.used_by.is_some_and(|by| by != device) {
            return Answer::CardUsed;
        }
        card.used_by = Some(device);
        let joined = Device { person: join.person, encryption_key: join.encryption_key, card: join.invitation };
        self.devices.insert(device, joined);
        Answer::Counts
    }

    fn grant(&mut self, device: DeviceId, grant: &Grant) -> Answer {
        if let Some(wait) = self.by_rank(device, grant.role) {
            return wait;
        }
        self.roles.entry(grant.person).or_default().insert(grant.role);
        Answer::Counts
    }

    fn directory_record(&mut self, device: DeviceId, id: EntryId, directory: &Directory) -> Answer {
        if self.root != Some(device) && !self.has_role(device, Role::Administrator) {
            return Answer::Waits(self.person(device).map_or(Dep::Device(device), Dep::Role));
        }
        let newer = |(old_id, old): &(EntryId, Directory)| (directory.counter, id) > (old.counter, *old_id);
        if self.directory.as_ref().is_none_or(newer) {
            self.directory = Some((id, directory.clone()));
        }
        Answer::Counts
    }
}
