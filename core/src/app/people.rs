//! Who belongs, as people work with it: taking devices, persons, roles and cards away, a card for one more device of one's
//! own, organisations; and the lists that go with them.
//!
//! A command that the wijk could never let count is refused here, before anything is written. Who belongs is public within
//! the wijk by design (pseudonyms only), so the lists ask for no role. Not here: what counts (`membership`).

use super::entropy::Entropy;
use super::write::{Written, above, saved};
use super::{Command, CommandError, Joined, Reply};
use crate::document;
use crate::entry::Kind;
use crate::entry::codec::{self, Record};
use crate::membership::card::{CardLink, CardSecret};
use crate::membership::{DEVICES_PER_PERSON_MAX, INVITATIONS_PER_DEVICE_MAX, Source};
use crate::model::member::{ORGANISATION_BYTES_MAX, SEEN_MAX};
use crate::model::{
    BatchId, ChainEnd, Content, DeviceId, EntryId, Gives, Grant, Invitation, Organisation, PersonId, Revocation,
    RevocationReason, RevocationTarget, Role, SpaceId, SubjectId, Withdrawal,
};
use crate::ordered::Map;
use crate::replica::{Kept, Place, ReplicaError};

/// What can be asked about who belongs, beside joining, cards and roles.
#[derive(Clone, Debug)]
pub enum PeopleCommand {
    /// Take a device, a person or a role away. What was written before stays; what the target writes after counts nowhere.
    Revoke {
        /// What.
        target: RevocationTarget,
        /// Why.
        reason: RevocationReason,
    },
    /// Take cards back: nobody can join with them any more. Who joined before stays.
    WithdrawCards {
        /// The batch.
        batch: BatchId,
    },
    /// A card for one more device of one's own.
    InviteDevice,
    /// Name an organisation that can be party to agreements.
    NameOrganisation(Organisation),
    /// Leave the wijk with all own devices. Own words stay: whoever wants them gone erases them before.
    Leave,
}

impl From<PeopleCommand> for Command {
    fn from(command: PeopleCommand) -> Self {
        Self::People(command)
    }
}

/// A device in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceItem {
    /// The device.
    pub device: DeviceId,
    /// Why it no longer belongs; `None` while it does.
    pub revoked: Option<RevocationReason>,
    /// Whether this is the device that is asked.
    pub is_this: bool,
}

/// A role in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleItem {
    /// The role.
    pub role: Role,
    /// The grant that gave it, by which it can be taken away; `None` for the role on the card.
    pub grant: Option<EntryId>,
    /// The organisation a party speaks for.
    pub organisation: Option<SubjectId>,
    /// Why it ended; `None` while it stands.
    pub revoked: Option<RevocationReason>,
}

/// A person in a list: a pseudonym, never a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonItem {
    /// The person.
    pub person: PersonId,
    /// Roles, those that ended included.
    pub roles: Vec<RoleItem>,
    /// Devices, those that were taken out included.
    pub devices: Vec<DeviceItem>,
    /// Why the person no longer belongs; `None` for members.
    pub revoked: Option<RevocationReason>,
    /// Whether this is the person who asks.
    pub is_self: bool,
}

/// Cards that were made together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardsItem {
    /// With which they are withdrawn; `None` for a card of no batch.
    pub batch: Option<BatchId>,
    /// What they give.
    pub gives: Gives,
    /// The person who made them; `None` for the root.
    pub made_by: Option<PersonId>,
    /// Cards made.
    pub made: usize,
    /// Cards somebody joined with.
    pub used: usize,
    /// Whether they were withdrawn.
    pub withdrawn: bool,
}

impl CardsItem {
    /// Cards that somebody can still join with.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        if self.withdrawn { 0 } else { self.made.saturating_sub(self.used) }
    }
}

/// An organisation in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganisationItem {
    /// With which it is named in grants.
    pub subject: SubjectId,
    /// Its name.
    pub name: String,
}

/// Own words that don't count, because this device was taken out before they arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// What they are about.
    pub subject: SubjectId,
    /// The entry.
    pub id: EntryId,
    /// Their words, where they began a contribution.
    pub content: Option<Content>,
}

impl Joined {
    pub(super) fn people_command(
        &mut self,
        command: PeopleCommand,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        match command {
            PeopleCommand::Revoke { target, reason } => self.revoke(target, reason, entropy),
            PeopleCommand::WithdrawCards { batch } => self.withdraw(batch, entropy),
            PeopleCommand::InviteDevice => self.invite_device(entropy),
            PeopleCommand::NameOrganisation(organisation) => self.name_organisation(organisation, entropy),
            PeopleCommand::Leave => {
                let person = self.needs_person()?;
                self.revoke(RevocationTarget::Person(person), RevocationReason::Left, entropy)
            }
        }
    }

    /// The person of this device; the root has none.
    fn needs_person(&self) -> Result<PersonId, CommandError> {
        let person = self.replica.members().person(self.key.id());
        person.ok_or(CommandError::Role { needs: "a member" })
    }

    fn revoke(
        &mut self,
        target: RevocationTarget,
        reason: RevocationReason,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        let members = self.replica.members();
        let (what, id, is_known, rank) = match target {
            RevocationTarget::Device(device) => {
                let person = members.person(device);
                ("device", device.to_string(), person.is_some(), person.map_or(0, |person| members.rank(person)))
            }
            RevocationTarget::Person(person) => {
                ("person", person.to_string(), members.knows(person), members.rank(person))
            }
            RevocationTarget::Grant(id) => {
                let role = members.grants().find(|(grant, _)| *grant == id).map(|(_, grant)| grant.role);
                ("role given by", id.to_string(), role.is_some(), role.map_or(0, Role::rank))
            }
            // Taken back by somebody above whoever revoked: facilitators and board revoke residents at least.
            RevocationTarget::Revocation(id) => {
                let is_known = members.revocations().any(|(known, _)| known == id);
                ("revocation", id.to_string(), is_known, Role::Facilitator.rank())
            }
        };
        if !is_known {
            return Err(CommandError::NotFound { what, id });
        }
        if members.revocation_of(target).is_some() {
            return Err(CommandError::AlreadyRevoked);
        }
        // A device that has just joined belongs only by its own word yet, and may still take that back.
        let is_own = self.needs_person().is_ok_and(|person| match target {
            RevocationTarget::Device(device) => members.person(device) == Some(person),
            RevocationTarget::Person(target) => target == person,
            RevocationTarget::Grant(_) | RevocationTarget::Revocation(_) => false,
        });
        if !is_own && !members.may_revoke(self.key.id(), target) {
            return Err(CommandError::Role { needs: above(rank) });
        }
        let seen = self.seen_of(target);
        let record = Record::Revocation(Revocation { target, reason, seen });
        saved(self.create(SpaceId::Members, Kind::REVOCATION, &record, entropy)?)
    }

    /// What this device has of the chains a revocation ends: no cut may fall before it.
    fn seen_of(&self, target: RevocationTarget) -> Vec<ChainEnd> {
        let devices = self.replica.members().devices_of(target);
        let chains =
            devices.into_iter().flat_map(|device| [SpaceId::Members, SpaceId::Open].map(|space| (space, device)));
        let ends = chains.filter_map(|(space, device)| {
            let head = self.replica.head(space, device)?;
            Some(ChainEnd { space, device, entries: head.seq + 1, last: head.id })
        });
        ends.take(SEEN_MAX).collect()
    }

    fn withdraw(&mut self, batch: BatchId, entropy: &mut Entropy) -> Result<Written, CommandError> {
        let members = self.replica.members();
        let Some((key, card)) = members.batch(batch).next() else {
            return Err(CommandError::NotFound { what: "batch of cards", id: batch.to_string() });
        };
        if !members.may_withdraw(self.key.id(), card) {
            return Err(CommandError::Role { needs: above(card.made_by.0) });
        }
        if members.is_withdrawn(key) {
            return Ok(Written::nothing(Reply::Withdrawn { batch, unused: 0 }));
        }
        let unused = members.unused(batch);
        let record = Record::Withdrawal(Withdrawal { batch });
        let written = saved(self.create(SpaceId::Members, Kind::WITHDRAWAL, &record, entropy)?)?;
        Ok(Written { reply: Reply::Withdrawn { batch, unused }, ..written })
    }

    fn invite_device(&mut self, entropy: &mut Entropy) -> Result<Written, CommandError> {
        let person = self.needs_person()?;
        let count = self.replica.members().devices_of(RevocationTarget::Person(person)).len();
        if count >= DEVICES_PER_PERSON_MAX {
            let (what, max) = ("number of devices", DEVICES_PER_PERSON_MAX);
            return Err(CommandError::Range { what, value: count + 1, min: 1, max });
        }
        let batch = BatchId::new(entropy.bytes());
        let secret = CardSecret::new(entropy.bytes());
        let (wijk, server) = (self.identity.wijk, self.identity.server.clone());
        let invitation = Invitation { key: secret.public(wijk), gives: Gives::Device(person), batch: Some(batch) };
        let record = Record::Invitation(invitation);
        let written = saved(self.create(SpaceId::Members, Kind::INVITATION, &record, entropy)?)?;
        let card = CardLink { server, wijk, secret, device_of: Some(person) };
        Ok(Written { reply: Reply::DeviceCard { batch, card }, ..written })
    }

    fn name_organisation(
        &mut self,
        organisation: Organisation,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        if !self.is_root() && !self.has_any_role(&[Role::Administrator]) {
            return Err(CommandError::Role { needs: "administrator" });
        }
        let bytes = organisation.name.len();
        if organisation.name.trim().is_empty() || bytes > ORGANISATION_BYTES_MAX {
            let what = "name of the organisation";
            return Err(CommandError::Length { what, chars: bytes, max: ORGANISATION_BYTES_MAX });
        }
        let record = Record::Organisation(organisation);
        saved(self.create(SpaceId::Members, Kind::ORGANISATION, &record, entropy)?)
    }

    pub(super) fn grant(&mut self, grant: Grant, entropy: &mut Entropy) -> Result<Written, CommandError> {
        self.needs_rank_above(grant.role)?;
        if !self.replica.members().knows(grant.person) {
            return Err(CommandError::NotFound { what: "person", id: grant.person.to_string() });
        }
        match (grant.role, grant.organisation) {
            (Role::Party, Some(subject)) => {
                if !self.organisations().iter().any(|known| known.subject == subject) {
                    return Err(CommandError::NotFound { what: "organisation", id: subject.to_string() });
                }
            }
            (Role::Party, None) | (_, Some(_)) => return Err(CommandError::Organisation),
            (_, None) => {}
        }
        saved(self.create(SpaceId::Members, Kind::GRANT, &Record::Grant(grant), entropy)?)
    }

    /// Cards beyond what one device may make would wait for ever, so they aren't made.
    pub(super) fn has_cards_left(&self, count: usize) -> Result<(), CommandError> {
        let members = self.replica.members();
        if members.authority(self.key.id()) >= Role::Administrator.authority() {
            return Ok(());
        }
        let made = members.cards().filter(|(_, card)| card.made_by.2 == self.key.id()).count();
        let left = INVITATIONS_PER_DEVICE_MAX.saturating_sub(made);
        if count <= left {
            return Ok(());
        }
        Err(CommandError::Range {
            what: "number of cards that this device may still make",
            value: count,
            min: 0,
            max: left,
        })
    }

    /// Why this device no longer belongs to the wijk; `None` while it does. Once it is something, no command writes.
    #[must_use]
    pub fn revoked(&self) -> Option<RevocationReason> {
        self.replica.members().why_revoked(self.key.id())
    }

    /// Own words that don't count because they are behind the end of this device's chain, in the order they were written.
    /// They are in no list any more and stay on this device.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn left_behind(&self) -> Result<Vec<LeftBehind>, ReplicaError> {
        let (space, device) = (SpaceId::Open, self.key.id());
        let mut left = Vec::new();
        let Some(head) = self.replica.head(space, device).filter(|_| self.revoked().is_some()) else { return Ok(left) };
        for seq in 0..=head.seq {
            if let Some(entry) = self.replica.entry(Place { space, device, seq })?
                && let Kept::Pending(body) = &entry.kept
            {
                let content = match codec::decode(entry.kind, body) {
                    Ok(Some(Record::Change(change))) if entry.kind == Kind::CONTRIBUTION && entry.creates => {
                        let folded = document::open(vec![(entry.id, change.change)]);
                        Some(document::contribution::read(&folded.doc))
                    }
                    _ => None,
                };
                left.push(LeftBehind { subject: entry.subject, id: entry.id, content });
            }
        }
        Ok(left)
    }

    /// Everybody who ever belonged, by pseudonym.
    #[must_use]
    pub fn people(&self) -> Vec<PersonItem> {
        let members = self.replica.members();
        let mut devices: Map<PersonId, Vec<DeviceItem>> = Map::new();
        for (device, known) in members.devices() {
            let (revoked, is_this) = (members.why_revoked(device), device == self.key.id());
            devices.entry(known.person).or_default().push(DeviceItem { device, revoked, is_this });
        }
        let grants: Map<EntryId, &Grant> = members.grants().collect();
        let people = members.people().map(|(person, given)| {
            let roles = given.into_iter().flat_map(|(role, from)| from.into_iter().map(move |source| (role, source)));
            let roles = roles.map(|(role, source)| {
                let grant = match source {
                    Source::Card => None,
                    Source::Grant(id) => Some(id),
                };
                RoleItem {
                    role,
                    grant,
                    organisation: grant.and_then(|id| grants.get(&id)).and_then(|grant| grant.organisation),
                    revoked: grant
                        .and_then(|id| members.revocation_of(RevocationTarget::Grant(id)))
                        .map(|revocation| revocation.reason),
                }
            });
            PersonItem {
                person,
                roles: roles.collect(),
                devices: devices.remove(&person).unwrap_or_default(),
                revoked: members.revocation_of(RevocationTarget::Person(person)).map(|revocation| revocation.reason),
                is_self: person == self.identity.person,
            }
        });
        people.collect()
    }

    /// All cards that count, batch by batch: those used and withdrawn included.
    #[must_use]
    pub fn cards(&self) -> Vec<CardsItem> {
        let members = self.replica.members();
        let mut batches: Map<BatchId, CardsItem> = Map::new();
        let mut single = Vec::new();
        for (key, card) in members.cards() {
            let item = CardsItem {
                batch: card.batch,
                gives: card.gives,
                made_by: members.person(card.made_by.2),
                made: 0,
                used: 0,
                withdrawn: members.is_withdrawn(key),
            };
            let counted = match card.batch {
                Some(batch) => batches.entry(batch).or_insert(item),
                None => {
                    single.push(item);
                    let Some(last) = single.last_mut() else { continue };
                    last
                }
            };
            counted.made += 1;
            counted.used += usize::from(members.joined_with(key).is_some());
        }
        batches.into_values().chain(single).collect()
    }

    /// Organisations that can be party to agreements.
    #[must_use]
    pub fn organisations(&self) -> Vec<OrganisationItem> {
        let known = self.replica.members().organisations();
        known.map(|(subject, organisation)| OrganisationItem { subject, name: organisation.name.clone() }).collect()
    }
}
