//! The steps of one level of authority: a person's own devices, what is given, who comes in with it, what is taken away.
//!
//! When a level begins, everybody who has its authority is known: roles are only given from above, and whoever was given a
//! role by name needs no card to be known. When it ends, nothing that a lower level says can change it.

use std::cmp::Reverse;

use super::{
    Card, CountedCut, DEVICES_PER_PERSON_MAX, Device, Folded, INVITATIONS_PER_DEVICE_MAX, ServerKey, Source, Statement,
    Statements, claimed,
};
use crate::entry::codec::Record;
use crate::model::*;
use crate::ordered::{Map, Set};

impl Folded {
    /// Root, server and what only the server says: nothing of it depends on roles.
    pub(super) fn found(&mut self, statements: &Statements) {
        for statement in statements.values() {
            match &*statement.record {
                Record::Genesis(root) => {
                    self.root = Some(*root);
                    self.counts.insert(statement.id);
                }
                Record::Grant(grant) => drop(self.offered.insert(statement.id, (grant.person, grant.role))),
                _ => {}
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
            if let Record::Epoch(epoch) = &*statement.record
                && self.identities.contains(&epoch.identity)
            {
                let key = ServerKey { epoch: epoch.epoch, encryption_key: epoch.encryption_key };
                self.servers.entry(statement.device).or_insert(key);
                self.counts.insert(statement.id);
            }
        }
        for statement in statements.values().filter(|statement| self.servers.contains_key(&statement.device)) {
            if let Record::Settlement(settlement) = &*statement.record {
                self.counts.insert(statement.id);
                match settlement {
                    Settlement::Card { card, device } => {
                        self.settled.entry(*card).or_default().insert(statement.id, *device);
                    }
                    Settlement::Fork { space, device, seq, id } => {
                        let known = self.forks.entry((*space, *device, *seq)).or_insert((statement.id, *id));
                        *known = (*known).min((statement.id, *id));
                    }
                }
            }
        }
    }

    /// Joins that count by now. Returns whether anybody came in.
    pub(super) fn take_joins(&mut self, statements: &Statements) -> bool {
        let mut came = false;
        for statement in statements.values() {
            if let Record::Join(join) = &*statement.record {
                came |= self.take_join(statements, statement, join);
            }
        }
        came
    }

    /// Whether a device has what a card gives.
    pub(super) fn is_in_with(&self, card: InvitationKey, device: DeviceId) -> bool {
        self.joined.get(&card).is_some_and(|devices| devices.contains(&device))
    }

    pub(super) fn take_join(&mut self, statements: &Statements, statement: &Statement, join: &Join) -> bool {
        let device = statement.device;
        let has_come = self.devices.contains_key(&device);
        let gives = self.cards.get(&join.invitation).map(|card| card.gives);
        let own_role = match gives {
            Some(Gives::Role(role)) if statement.own_person => Some(role),
            _ => None,
        };
        if has_come && (own_role.is_none() || self.is_in_with(join.invitation, device)) {
            return false;
        }
        let count = self.device_counts.get(&join.person).copied().unwrap_or(0);
        let by_card = match gives {
            Some(Gives::Device(person)) => join.person == person && count < DEVICES_PER_PERSON_MAX,
            _ => own_role.is_some(),
        };
        // Somebody of authority has named this person, so whatever its card is, it is no stranger. Nobody who has a higher
        // authority than the card's maker may depend on what becomes of that card.
        let by_name = statement.own_person && self.roles.contains_key(&join.person);
        let overruled = self.settled_on(statements, join.invitation).is_some_and(|winner| winner != Some(device));
        if overruled || !(by_card || by_name) {
            return false;
        }
        if by_card {
            self.joined.entry(join.invitation).or_default().insert(device);
        }
        if let Some(role) = own_role {
            self.roles.entry(join.person).or_default().entry(role).or_default().insert(Source::Card);
        }
        if has_come {
            return false;
        }
        self.counts.insert(statement.id);
        *self.device_counts.entry(join.person).or_insert(0) += 1;
        let card = self.cards.get(&join.invitation).filter(|_| by_card && own_role.is_none());
        let made_at = card.map(|card| (card.made_by.2, card.made_at));
        let encryption_key = join.encryption_key;
        self.devices.insert(device, Device { person: join.person, encryption_key, card: join.invitation, made_at });
        true
    }

    /// One person's devices at this level: cards for more of them, and which of them were revoked by another.
    pub(super) fn take_own(&mut self, statements: &Statements, level: u8) {
        loop {
            let mut came = self.take_joins(statements);
            for statement in statements.values() {
                if let Record::Invitation(Invitation { key, gives: Gives::Device(person), batch }) = &*statement.record
                    && !self.counts.contains(&statement.id)
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
                    && !self.taken_back.contains(&statement.id)
                    && self.is_about_own(statements, statement.device, revocation)
            })
            .collect();
        // The cuts first, all of them from what stood before: two devices that revoke each other are judged alike.
        let by_own = own.iter().map(|(statement, revocation)| (statement.id, (*revocation).clone())).collect();
        self.take_cuts(statements, &by_own);
        for (statement, revocation) in own {
            if self.stands_at(SpaceId::Members, statement.device, statement.seq) {
                self.revoke(statement, level, revocation);
            }
        }
    }

    fn is_about_own(&self, statements: &Statements, device: DeviceId, revocation: &Revocation) -> bool {
        let person = self.person(device);
        person.is_some()
            && match revocation.target {
                RevocationTarget::Device(target) => claimed(statements, target) == person,
                RevocationTarget::Person(target) => person == Some(target),
                RevocationTarget::Grant(_) | RevocationTarget::Revocation(_) => false,
            }
    }

    /// Cuts that carry out one of these revocations.
    fn take_cuts(&mut self, statements: &Statements, revocations: &Map<EntryId, Revocation>) {
        if revocations.is_empty() {
            return;
        }
        for statement in statements.values() {
            if let Record::Cut(cut) = &*statement.record
                && self.servers.contains_key(&statement.device)
                && let Some(revocation) = revocations.get(&cut.revocation)
                && self.fits(statements, cut, revocation)
            {
                let cuts = self.cuts.entry((cut.end.space, cut.end.device)).or_default();
                cuts.insert(statement.id, CountedCut { entries: cut.end.entries, target: revocation.target });
                self.counts.insert(statement.id);
            }
        }
    }

    /// What devices of this authority give, or say of the wijk.
    pub(super) fn give(&mut self, statements: &Statements, level: u8) {
        // Organisations before their representatives, who may also be named from above.
        if level >= Role::Administrator.authority() {
            for statement in statements.values() {
                if let Record::Organisation(organisation) = &*statement.record
                    && self.authority_at(statement.device, statement.seq) == level
                {
                    self.counts.insert(statement.id);
                    self.organisations.insert(statement.subject, organisation.clone());
                }
            }
        }
        for statement in statements.values() {
            let is_said_here = |folded: &Self| {
                !folded.counts.contains(&statement.id) && folded.authority_at(statement.device, statement.seq) == level
            };
            match &*statement.record {
                Record::Invitation(Invitation { key, gives: Gives::Role(role), batch })
                    if level > role.rank() && is_said_here(self) && self.has_cards_left(level, statement.device) =>
                {
                    self.add_card(statement, level, *key, Gives::Role(*role), *batch);
                }
                Record::Grant(grant) if level > grant.role.rank() && !self.counts.contains(&statement.id) => {
                    self.grant(statement, level, grant);
                }
                Record::Withdrawal(withdrawal) if is_said_here(self) => {
                    self.counts.insert(statement.id);
                    self.withdrawn.entry(withdrawal.batch).or_default().insert((level, statement.device));
                }
                Record::Directory(directory) if level >= Role::Administrator.authority() && is_said_here(self) => {
                    self.counts.insert(statement.id);
                    let newer = |(old_id, old): &(EntryId, Directory)| {
                        (directory.counter, statement.id) > (old.counter, *old_id)
                    };
                    if self.directory.as_ref().is_none_or(newer) {
                        self.directory = Some((statement.id, directory.clone()));
                    }
                }
                Record::Generation(generation) if is_said_here(self) && self.may_start(statement) => {
                    self.counts.insert(statement.id);
                    self.generations.insert(statement.id, generation.clone());
                }
                _ => {}
            }
        }
    }

    fn grant(&mut self, statement: &Statement, level: u8, grant: &Grant) {
        let authority = self.authority_at(statement.device, statement.seq);
        // A representative may be named by the root for an organisation that an administrator names.
        let later = grant.role == Role::Party && authority > level && level == Role::Administrator.authority();
        let named = grant.organisation.is_none_or(|subject| self.organisations.contains_key(&subject));
        if (authority == level || later) && named {
            self.counts.insert(statement.id);
            self.grants.insert(statement.id, grant.clone());
            let roles = self.roles.entry(grant.person).or_default();
            roles.entry(grant.role).or_default().insert(Source::Grant(statement.id));
        }
    }

    pub(super) fn has_cards_left(&self, authority: u8, device: DeviceId) -> bool {
        authority >= Role::Administrator.authority()
            || self.made.get(&device).is_none_or(|(made, _)| *made < INVITATIONS_PER_DEVICE_MAX)
    }

    pub(super) fn add_card(
        &mut self,
        statement: &Statement,
        authority: u8,
        key: InvitationKey,
        gives: Gives,
        batch: Option<BatchId>,
    ) {
        self.counts.insert(statement.id);
        if authority < Role::Administrator.authority() && matches!(gives, Gives::Role(_)) {
            let made = self.made.entry(statement.device).or_insert((0, 0));
            *made = (made.0 + 1, statement.seq);
        }
        let made_by = (authority, Reverse(statement.id), statement.device);
        let fresh = Card { gives, batch, made_by, made_at: statement.seq };
        let card = self.cards.entry(key).or_insert_with(|| fresh.clone());
        if made_by > card.made_by {
            *card = fresh;
        }
    }

    /// Whether a device may start a generation of the board's and the inbox's keys.
    fn may_start(&self, statement: &Statement) -> bool {
        let roles = self.roles_at(SpaceId::Members, statement.device, statement.seq);
        roles.contains(&Role::Board) || roles.contains(&Role::Administrator)
    }

    /// What devices of this authority take away, and where the server says that it ends.
    pub(super) fn take_away(&mut self, statements: &Statements, level: u8) {
        if level >= Role::Facilitator.authority() {
            let (mut back, mut not_below) = (Vec::new(), Set::new());
            for statement in statements.values() {
                let Record::Revocation(revocation) = &*statement.record else { continue };
                let authority = self.authority_at(statement.device, statement.seq);
                if authority >= level {
                    not_below.insert(statement.id);
                }
                if authority != level || self.counts.contains(&statement.id) || self.taken_back.contains(&statement.id)
                {
                    continue;
                }
                match revocation.target {
                    RevocationTarget::Revocation(id) => back.push((statement, id)),
                    _ if self.is_above(statements, level, revocation) => {
                        self.revoke(statement, level, revocation);
                    }
                    _ => {}
                }
            }
            // What an equal said or somebody above isn't theirs to take back, whether it counts or not.
            back.retain(|(_, id)| !self.counts.contains(id) && !not_below.contains(id));
            for (statement, id) in back {
                self.counts.insert(statement.id);
                self.taken_back.insert(id);
            }
        }
        let revocations = std::mem::take(&mut self.revocations);
        self.take_cuts(statements, &revocations);
        self.revocations = revocations;
    }

    fn revoke(&mut self, statement: &Statement, level: u8, revocation: &Revocation) {
        self.counts.insert(statement.id);
        self.said_with.insert(statement.id, level);
        self.revocations.insert(statement.id, revocation.clone());
    }

    /// Whether what is taken away ranks lower. What lower levels will still give is lower too, so a person needs not be known
    /// by now.
    fn is_above(&self, statements: &Statements, level: u8, revocation: &Revocation) -> bool {
        match revocation.target {
            RevocationTarget::Device(device) => {
                claimed(statements, device).is_some_and(|person| level > self.rank(person))
            }
            RevocationTarget::Person(person) => level > self.rank(person),
            RevocationTarget::Grant(id) => self.offered.get(&id).is_some_and(|(_, role)| level > role.rank()),
            RevocationTarget::Revocation(_) => false,
        }
    }
}
