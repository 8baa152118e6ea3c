//! What a device owes the closed spaces of its wijk, without being asked: to bring its own key in, to start the next
//! generation of a space's key when somebody left, to wrap keys for those who came, and to seal own input once there is a
//! key for it. All of it follows from who belongs; a person decides that elsewhere.

use super::entropy::Entropy;
use super::{App, CommandError, Effect, Joined, Then};
use crate::entry::codec::{Record, enrolment_message, generation_id};
use crate::entry::sign::Key;
use crate::entry::{EraseSecret, Kind, Seed};
use crate::hash::short;
use crate::model::closed::GENERATION_REPLACES_MAX;
use crate::model::*;
use crate::replica::{About, Admitted, Outcome};
use crate::seal::{self, SealPublic, SealSecret, WrapContext};
use crate::store::{Batch, Table};

impl App {
    /// Does what is owed, if nothing else is being stored.
    pub(super) fn do_duties(&mut self, effects: &mut Vec<Effect>) {
        if self.holds_duties {
            return;
        }
        let Some(joined) = self.joined.as_mut().filter(|joined| joined.duties_due) else { return };
        joined.duties_due = false;
        match joined.duties() {
            Ok((outcomes, rows)) => {
                if outcomes.is_empty() && rows.is_empty() {
                    return self.settle(effects);
                }
                let mut batch = joined.replica.take_rows();
                batch.append(rows);
                self.commit(batch, Then::DidDuties(outcomes), effects);
            }
            // Nothing was asked, so nobody is told; it is tried again with the next change.
            Err(_) => self.forget_uncommitted(),
        }
    }

    pub(super) fn did_duties(&mut self, outcomes: &[Outcome], effects: &mut Vec<Effect>) {
        let changed = self.show(outcomes);
        if !changed.is_empty() {
            effects.push(Effect::Changed(changed));
        }
        self.push_more(effects);
    }
}

impl Joined {
    fn duties(&mut self) -> Result<(Vec<Outcome>, Batch), CommandError> {
        let mut outcomes = Vec::new();
        let mut rows = Batch::new();
        if self.replica.members().is_active(self.key.id()) && !self.is_root() {
            for space in self.due_enrolments() {
                outcomes.extend(all(self.enrol(space, Way::Right)?));
            }
            for space in self.spaces_within() {
                self.keep_keys(space, &mut outcomes)?;
            }
            self.share_person_secret(&mut outcomes, &mut rows)?;
        }
        self.seal_own(&mut rows)?;
        Ok((outcomes, rows))
    }

    /// Spaces this device has a right to be in and no key yet.
    fn due_enrolments(&self) -> Vec<SpaceId> {
        let (members, device) = (self.replica.members(), self.key.id());
        let devices = members.devices().filter(|(id, d)| d.person == self.identity.person && members.is_active(*id));
        let own = (devices.count() > 1).then_some(SpaceId::Own(self.identity.person));
        let right = [SpaceId::Board, SpaceId::Inbox].into_iter().chain(own);
        right
            .filter(|space| members.belongs_in(device, *space))
            .filter(|space| self.replica.head(*space, self.key_in(*space).id()).is_none())
            .collect()
    }

    /// Closed spaces this device is in now.
    fn spaces_within(&self) -> Vec<SpaceId> {
        let (members, device) = (self.replica.members(), self.key.id());
        let spaces = members
            .closed_spaces()
            .filter(|(space, closed)| closed.present(members, *space).any(|(_, enrolled)| enrolled.device == device));
        spaces.map(|(space, _)| space).collect()
    }

    /// Brings this device's key into a closed space.
    pub(super) fn enrol(&mut self, space: SpaceId, way: Way) -> Result<Admitted, CommandError> {
        let (wijk, key) = (self.identity.wijk, self.key_in(space));
        let encryption_key = *key.seal_secret().public().as_bytes();
        let signature = self.key.sign(&enrolment_message(wijk, space, key.id(), &encryption_key)).0;
        let record = Record::Enrolment(Enrolment { device: self.key.id(), encryption_key, signature, way });
        self.owe(&key, space, Kind::ENROLMENT, &record)
    }

    /// Writes an entry nobody asked for: what is random elsewhere follows from the key and the entry's place, which no other
    /// entry has.
    fn owe(&mut self, key: &Key, space: SpaceId, kind: Kind, record: &Record) -> Result<Admitted, CommandError> {
        let seed = Seed(short(self.at_place(key, space, "samenspraak/duty-seed/v1")));
        let erase_secret = EraseSecret::derive(&self.identity.person_secret, &seed);
        Ok(self.replica.write(key, space, kind, About::New { seed, erase_secret }, record)?)
    }

    fn at_place(&self, key: &Key, space: SpaceId, tag: &str) -> [u8; 32] {
        let seq = self.replica.head(space, key.id()).map_or(0, |head| head.seq + 1);
        key.derive(tag, 2, |w| {
            w.bytes(&space.to_bytes()).uint(seq);
        })
    }

    /// Starts a generation where there is none or somebody left, and wraps those this device has for those who lack them.
    fn keep_keys(&mut self, space: SpaceId, outcomes: &mut Vec<Outcome>) -> Result<(), CommandError> {
        if self.needs_generation(space) {
            let (key, written_in) = match space {
                SpaceId::Board | SpaceId::Inbox => (self.key.clone(), SpaceId::Members),
                _ => (self.key_in(space), space),
            };
            let secret = SealSecret::new(self.at_place(&key, written_in, "samenspraak/generation-secret/v1"));
            let tips = self.replica.members().generations(space);
            let mut replaces: Vec<GenerationId> = tips.iter().map(|tip| generation_id(&tip.public)).collect();
            replaces.truncate(GENERATION_REPLACES_MAX);
            let public = secret.public();
            let record = Record::Generation(Generation { space, public: *public.as_bytes(), replaces });
            outcomes.extend(all(self.owe(&key, written_in, Kind::GENERATION, &record)?));
            self.wrap(space, public.generation(), &secret, outcomes)?;
        }
        let known: Vec<GenerationId> =
            self.replica.members().closed(space).map(|c| c.wraps.keys().copied().collect()).unwrap_or_default();
        for generation in known {
            if let Some(secret) = self.generation_secret(space, generation) {
                self.wrap(space, generation, &secret, outcomes)?;
            }
        }
        Ok(())
    }

    /// Whether there is no key yet, or the one in use is known to somebody who is no longer in. Only whoever may start one
    /// asks: any member of the board, a circle's facilitator, a person's own devices.
    fn needs_generation(&self, space: SpaceId) -> bool {
        let members = self.replica.members();
        let Some(closed) = members.closed(space) else { return false };
        if matches!(space, SpaceId::Circle(_)) {
            let founder = closed.founder.and_then(|device| members.person(device));
            if founder != Some(self.identity.person) {
                return false;
            }
        }
        let Some(used) = self.seals_to(space).map(|public| public.generation()) else { return true };
        let knows = closed.wraps.get(&used);
        let present: Vec<DeviceId> = closed.present(members, space).map(|(key, _)| key).collect();
        knows.is_some_and(|wraps| wraps.keys().any(|key| !present.contains(key)))
    }

    /// Wraps a generation for everybody present who lacks it.
    fn wrap(
        &mut self,
        space: SpaceId,
        generation: GenerationId,
        secret: &SealSecret,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), CommandError> {
        let members = self.replica.members();
        let Some(closed) = members.closed(space) else { return Ok(()) };
        let has = closed.wraps.get(&generation);
        let lacking: Vec<(DeviceId, SealPublic)> = closed
            .present(members, space)
            .filter(|(key, _)| has.is_none_or(|wraps| !wraps.contains_key(key)))
            .map(|(key, enrolled)| (key, SealPublic::new(enrolled.encryption_key)))
            .collect();
        let (wijk, own) = (self.identity.wijk, self.key_in(space));
        for (to, public) in lacking {
            let context = WrapContext { wijk, space, generation, device: to };
            let entropy = self.at_place(&own, space, "samenspraak/wrap-entropy/v1");
            // Whoever announced a weak key is left out, and others get theirs.
            let Ok(sealed) = seal::wrap_generation(&public, &context, secret, entropy) else { continue };
            let record = Record::Wrap(Wrap { generation, to, sealed: sealed.to_vec() });
            outcomes.extend(all(self.owe(&own, space, Kind::WRAP, &record)?));
        }
        Ok(())
    }

    /// Gives the secret from which erase secrets follow to this person's other devices, and takes theirs.
    fn share_person_secret(&mut self, outcomes: &mut Vec<Outcome>, rows: &mut Batch) -> Result<(), CommandError> {
        let space = SpaceId::Own(self.identity.person);
        let own = self.key_in(space);
        if self.seals_to(space).is_none() || self.replica.members().device_behind(space, own.id()).is_none() {
            return Ok(());
        }
        let subjects: Vec<(SubjectId, DeviceId)> =
            self.view.sealed_in(space).iter().map(|(subject, facts)| (*subject, facts.place.device)).collect();
        for (subject, by) in &subjects {
            if *by != own.id()
                && let Some(SealedWords::PersonSecret(secret)) = self.open_sealed(space, *subject)?
                && self.identity.adopt(secret)
            {
                rows.put(Table::Meta, super::identity::IDENTITY_KEY, self.identity.encode());
            }
        }
        if !subjects.iter().any(|(_, by)| *by == own.id()) {
            let words = SealedWords::PersonSecret(self.identity.person_secret);
            let mut entropy = Entropy::new(self.at_place(&own, space, "samenspraak/own-entropy/v1"));
            outcomes.extend(all(self.write_sealed(space, &words, &mut entropy)?));
        }
        Ok(())
    }

    /// Seals own input for which there is a key now.
    fn seal_own(&mut self, rows: &mut Batch) -> Result<(), CommandError> {
        let wijk = self.identity.wijk;
        let due: Vec<SubjectId> =
            self.own.iter().filter(|(_, own)| own.words.is_some() && own.body.is_none()).map(|(s, _)| *s).collect();
        for subject in due {
            let Some(mut own) = self.own.get(&subject).cloned() else { continue };
            let Some(to) = self.seals_to(own.space) else { continue };
            own.seal(wijk, &to).map_err(|cause| CommandError::Seal { cause })?;
            rows.append(self.keep_own(subject, own));
        }
        Ok(())
    }
}

fn all(admitted: Admitted) -> impl Iterator<Item = Outcome> {
    admitted.entries.into_iter().chain(admitted.woken)
}
