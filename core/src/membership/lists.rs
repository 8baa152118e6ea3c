//! What screens ask of who belongs, and whether a person may take something away: answered from the fold, never stored.
//!
//! These answer for *now*. Whether an entry at some place of a chain counted is the fold's own question.

use super::Members;
use super::fold::{Card, ROOT_AUTHORITY, Source};
use crate::model::{BatchId, DeviceId, InvitationKey, PersonId, Revocation, RevocationReason, RevocationTarget, Role};
use crate::ordered::Map;

impl Members {
    /// The authority a device has now: the root's, else the highest of its person's roles, 0 for nobody and for what was
    /// revoked.
    #[must_use]
    pub fn authority(&self, device: DeviceId) -> u8 {
        if self.root() == Some(device) {
            return ROOT_AUTHORITY;
        }
        self.roles(device).into_iter().map(Role::authority).max().unwrap_or(0)
    }

    /// Whether a device may take this away now: it stands above it, or it is about the device's own person.
    #[must_use]
    pub fn may_revoke(&self, device: DeviceId, target: RevocationTarget) -> bool {
        !self.is_revoked(device)
            && (self.folded.is_own(device, target) || self.folded.outranks(self.authority(device), target))
    }

    /// Whether a device may take back a batch of cards now: it made them, or stands above whoever did.
    #[must_use]
    pub fn may_withdraw(&self, device: DeviceId, card: &Card) -> bool {
        let (authority, _, maker) = card.made_by;
        let person = self.person(device);
        let is_own = maker == device || (person.is_some() && self.person(maker) == person);
        !self.is_revoked(device) && (is_own || self.authority(device) > authority)
    }

    /// The highest rank a person was ever given; 0 for nobody.
    #[must_use]
    pub fn rank(&self, person: PersonId) -> u8 {
        self.folded.rank(person)
    }

    /// The revocation of exactly this that counts, if there is one.
    #[must_use]
    pub fn revocation_of(&self, target: RevocationTarget) -> Option<&Revocation> {
        self.folded.revocations.values().find(|revocation| revocation.target == target)
    }

    /// Why a device no longer belongs: because it was revoked, or its person. `None` while it belongs.
    #[must_use]
    pub fn why_revoked(&self, device: DeviceId) -> Option<RevocationReason> {
        let own = self.revocation_of(RevocationTarget::Device(device));
        let person =
            || self.folded.person(device).and_then(|person| self.revocation_of(RevocationTarget::Person(person)));
        own.or_else(person).map(|revocation| revocation.reason)
    }

    /// All cards that count.
    pub fn cards(&self) -> impl Iterator<Item = (InvitationKey, &Card)> {
        self.folded.cards.iter().map(|(key, card)| (*key, card))
    }

    /// The cards of one batch.
    pub fn batch(&self, batch: BatchId) -> impl Iterator<Item = (InvitationKey, &Card)> {
        self.cards().filter(move |(_, card)| card.batch == Some(batch))
    }

    /// Everybody who ever had a role, with the roles and where each comes from.
    pub fn people(&self) -> impl Iterator<Item = (PersonId, Map<Role, Vec<Source>>)> {
        self.folded.roles.iter().map(|(person, roles)| {
            (*person, roles.iter().map(|(role, from)| (*role, from.iter().copied().collect())).collect())
        })
    }

    /// Whether anything is known of a person.
    #[must_use]
    pub fn knows(&self, person: PersonId) -> bool {
        self.folded.roles.contains_key(&person) || self.folded.devices.values().any(|device| device.person == person)
    }
}
