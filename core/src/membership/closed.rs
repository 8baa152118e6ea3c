//! Who is in a closed space, and its keys: a fold over the set of records that the space has about itself.
//!
//! Whoever has a right to come in (a role, a card of the circle, being the same person) brings a key of its own for this
//! space; who may no longer read follows from the roles of now, and the next generation of the space's key is wrapped only
//! to those who may. Cuts and settlements of these chains stand here too, for whoever isn't in a circle shall not even see
//! its keys. Not here: opening anything (`seal`).

use super::fold::{Statement, Statements};
use super::{Answer, Asked, Changes, Flip, Members};
use crate::entry::codec::{Record, circle_id, enrolment_message, generation_id};
use crate::entry::{Signature, sign};
use crate::gate::{Dep, Reason};
use crate::model::*;
use crate::ordered::{Map, Set};

/// Cards one key can make in a circle: more people than fit around a table, over the years. Further ones wait.
pub const CIRCLE_CARDS_MAX: usize = 256;

/// A device's key in a closed space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The device behind it.
    pub device: DeviceId,
    /// X25519 public key that generations are wrapped to.
    pub encryption_key: [u8; 32],
    /// The card it came with, in a circle.
    pub card: Option<InvitationKey>,
}

/// Cuts of one chain: how many entries are before each, and what was revoked.
type Cuts = Map<EntryId, (u64, RevocationTarget)>;

/// One closed space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClosedSpace {
    /// Device that founded this circle.
    pub founder: Option<DeviceId>,
    /// Cards of this circle.
    pub cards: Set<InvitationKey>,
    /// Keys that were brought in.
    pub enrolled: Map<DeviceId, Enrolled>,
    /// Keys that were taken out, with the revocation.
    pub removed: Map<DeviceId, EntryId>,
    /// Generations announced here (of circles and of persons' own spaces).
    pub generations: Map<GenerationId, Generation>,
    /// Wrapped private halves, by generation and receiver.
    pub wraps: Map<GenerationId, Map<DeviceId, Vec<u8>>>,
    /// What the server said of two entries at one place.
    pub(super) forks: Map<(DeviceId, u64), (EntryId, EntryId)>,
    /// Keys that the server named as the ones that are in with a card.
    settled: Map<InvitationKey, Map<EntryId, DeviceId>>,
    /// Where chains end.
    cuts: Map<DeviceId, Cuts>,
    counts: Set<EntryId>,
}

impl ClosedSpace {
    /// Keys that are in, of devices that have a right to be now.
    pub fn present<'m>(
        &'m self,
        members: &'m Members,
        space: SpaceId,
    ) -> impl Iterator<Item = (DeviceId, &'m Enrolled)> {
        let may = move |enrolled: &Enrolled| members.belongs_in(enrolled.device, space);
        let here = self.enrolled.iter().filter(move |(key, e)| !self.removed.contains_key(key) && may(e));
        here.map(|(key, enrolled)| (*key, enrolled))
    }

    /// The key that is in with a card, by the server's word or because it is the only one.
    #[must_use]
    pub fn joined_with(&self, card: InvitationKey) -> Option<DeviceId> {
        self.enrolled.iter().find(|(_, enrolled)| enrolled.card == Some(card)).map(|(key, _)| *key)
    }

    /// Whether the server said who is in with a card.
    #[must_use]
    pub fn is_settled(&self, card: InvitationKey) -> bool {
        self.settled.contains_key(&card)
    }

    /// Keys whose chains are cut, and how many of their entries stand before it.
    pub(super) fn ends(&self) -> Vec<(DeviceId, u64)> {
        let ends = self.cuts.iter();
        ends.filter_map(|(key, cuts)| Some((*key, cuts.values().map(|(entries, _)| *entries).min()?))).collect()
    }

    fn stands_at(&self, key: DeviceId, seq: u64) -> bool {
        self.cuts.get(&key).into_iter().flat_map(|cuts| cuts.values()).all(|(entries, _)| seq < *entries)
    }
}

/// What a chain in a closed space says of its key with its first entry, whether it counts or not.
fn enrolment_of(statements: &Statements, key: DeviceId) -> Option<&Enrolment> {
    match statements.get(&(key, 0)).map(|statement| &*statement.record) {
        Some(Record::Enrolment(enrolment)) => Some(enrolment),
        _ => None,
    }
}

/// All closed spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClosedSpaces {
    said: Map<SpaceId, Statements>,
    folded: Map<SpaceId, ClosedSpace>,
}

impl ClosedSpaces {
    pub(super) fn space(&self, space: SpaceId) -> Option<&ClosedSpace> {
        self.folded.get(&space)
    }

    pub(super) fn spaces(&self) -> impl Iterator<Item = (SpaceId, &ClosedSpace)> {
        self.folded.iter().map(|(space, closed)| (*space, closed))
    }

    pub(super) fn is_in(&self, space: SpaceId, device: DeviceId) -> bool {
        self.folded.get(&space).is_some_and(|closed| {
            closed.enrolled.iter().any(|(key, e)| e.device == device && !closed.removed.contains_key(key))
        })
    }

    pub(super) fn stands_at(&self, space: SpaceId, key: DeviceId, seq: u64) -> bool {
        self.folded.get(&space).is_none_or(|closed| closed.stands_at(key, seq))
    }

    pub(super) fn is_cut(&self, space: SpaceId, key: DeviceId, target: RevocationTarget) -> bool {
        let cuts = self.folded.get(&space).and_then(|closed| closed.cuts.get(&key));
        cuts.is_some_and(|cuts| cuts.values().any(|(_, known)| *known == target))
    }

    pub(super) fn counts(&self, space: SpaceId, id: EntryId) -> bool {
        self.folded.get(&space).is_some_and(|closed| closed.counts.contains(&id))
    }

    pub(super) fn enrolled_by(&self, space: SpaceId, key: DeviceId) -> Option<DeviceId> {
        enrolment_of(self.said.get(&space)?, key).map(|enrolment| enrolment.device)
    }

    pub(super) fn has_come(&self, space: SpaceId, key: DeviceId) -> bool {
        self.enrolled_by(space, key).is_some()
    }

    pub(super) fn is_announced(&self, space: SpaceId, card: InvitationKey) -> bool {
        let said = self.said.get(&space).into_iter().flat_map(|said| said.values());
        said.into_iter().any(|statement| matches!(&*statement.record, Record::CircleCard(known) if *known == card))
    }

    /// Whether something said here doesn't count yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.said.iter().any(|(space, said)| self.folded.get(space).is_none_or(|f| f.counts.len() < said.len()))
    }

    pub(super) fn insert(&mut self, space: SpaceId, statement: Statement) {
        self.folded.entry(space).or_default();
        self.said.entry(space).or_default().insert((statement.device, statement.seq), statement);
    }

    /// What can never become right, and at the server a card that another device used.
    pub(super) fn refuses(
        &self,
        members: &Members,
        space: SpaceId,
        asked: &Asked<'_>,
        is_server: bool,
    ) -> Option<Answer> {
        let never = |reason| Some(Answer::Never(reason));
        let is_circle = matches!(space, SpaceId::Circle(_));
        match asked.record {
            Record::Enrolment(enrolment) => self.refuses_enrolment(members, space, asked, enrolment, is_server),
            Record::CircleCard(_) if is_circle => self.refuses_others(members, space, asked.device),
            Record::Generation(generation) if generation.space == space => match space {
                SpaceId::Circle(_) => self.refuses_others(members, space, asked.device),
                SpaceId::Own(_) => None,
                _ => never(Reason::Space),
            },
            Record::Wrap(_) => None,
            Record::Revocation(Revocation { target: RevocationTarget::Device(_), .. }) if is_circle => {
                self.refuses_others(members, space, asked.device)
            }
            Record::Revocation(_) => never(Reason::Form),
            Record::Cut(cut) if cut.end.space == space => None,
            Record::Settlement(Settlement::Fork { space: of, .. }) if *of == space => None,
            Record::Settlement(Settlement::Card { device: Some(_), .. }) if is_circle => None,
            Record::Settlement(_) => never(Reason::Form),
            _ => never(Reason::Space),
        }
    }

    fn refuses_enrolment(
        &self,
        members: &Members,
        space: SpaceId,
        asked: &Asked<'_>,
        enrolment: &Enrolment,
        is_server: bool,
    ) -> Option<Answer> {
        let never = |reason| Some(Answer::Never(reason));
        let message = enrolment_message(members.wijk(), space, asked.device, &enrolment.encryption_key);
        if !sign::verify(enrolment.device, &message, &Signature(enrolment.signature)) || asked.seq != 0 {
            return never(Reason::Form);
        }
        match (space, &enrolment.way) {
            (SpaceId::Board | SpaceId::Inbox, Way::Right) => None,
            (SpaceId::Own(owner), Way::Right) => {
                let is_other = members.person(enrolment.device).is_some_and(|person| person != owner);
                is_other.then_some(Answer::Never(Reason::Owner))
            }
            (SpaceId::Circle(_), Way::Founds(nonce)) => {
                let is_this = circle_id(members.wijk(), enrolment.device, nonce) == space;
                (!is_this).then_some(Answer::Never(Reason::Owner))
            }
            (SpaceId::Circle(_), Way::Card { card, proof }) => {
                if !sign::verify(DeviceId::new(*card.as_bytes()), &message, &Signature(*proof)) {
                    return never(Reason::FalseCard);
                }
                let used = |e: &Enrolled| e.card == Some(*card) && e.device != enrolment.device;
                let is_used = self.folded.get(&space).is_some_and(|closed| closed.enrolled.values().any(used));
                (is_server && is_used).then_some(Answer::CardUsed)
            }
            _ => never(Reason::Space),
        }
    }

    /// Only the circle's facilitator decides, with any of that person's devices. Who else is in can't become it.
    fn refuses_others(&self, members: &Members, space: SpaceId, key: DeviceId) -> Option<Answer> {
        let closed = self.folded.get(&space)?;
        let founder = members.person(closed.founder?)?;
        let person = members.person(closed.enrolled.get(&key)?.device)?;
        (person != founder).then_some(Answer::Never(Reason::Rank))
    }

    pub(super) fn waits_for(&self, space: SpaceId, asked: &Asked<'_>) -> Dep {
        match asked.record {
            Record::Enrolment(Enrolment { way: Way::Card { card, .. }, .. })
                if self.folded.get(&space).is_none_or(|closed| !closed.cards.contains(card)) =>
            {
                Dep::Card(*card)
            }
            Record::Cut(cut) => Dep::Statement(cut.revocation),
            _ => Dep::Device(asked.device),
        }
    }

    /// Folds a space anew; returns what changed but for the record that is just being asked about.
    pub(super) fn refold(&mut self, members: &Members, space: SpaceId, but: EntryId) -> Changes {
        let mut changes = Changes::default();
        let Some(said) = self.said.get(&space) else { return changes };
        let fresh = fold(members, space, said);
        let before = self.folded.insert(space, fresh).unwrap_or_default();
        let Some(now) = self.folded.get(&space) else { return changes };
        let flipped = said.values().filter(|s| before.counts.contains(&s.id) != now.counts.contains(&s.id));
        let flip = |s: &Statement| Flip { space, device: s.device, seq: s.seq, counts: now.counts.contains(&s.id) };
        changes.flips.extend(flipped.filter(|s| s.id != but).map(flip));
        let keys = now.cuts.keys().chain(before.cuts.keys());
        let cut = keys.filter(|key| now.cuts.get(key) != before.cuts.get(key));
        let out = before.enrolled.keys().filter(|key| !now.enrolled.contains_key(key));
        changes.chains.extend(cut.chain(out).map(|key| (space, *key)));
        changes
    }
}

fn fold(members: &Members, space: SpaceId, said: &Statements) -> ClosedSpace {
    let server = members.folded.servers.keys().flat_map(|key| said.range((*key, 0)..=(*key, u64::MAX)));
    let server: Vec<&Statement> = server.map(|(_, statement)| statement).collect();
    let mut closed = ClosedSpace::default();
    closed.hear_server(&server);
    // First where the wijk's revocations end chains, then where the circle's own do: all of these from what stood before,
    // so that two of the facilitator's devices that take each other out are judged alike.
    let behind = |key| enrolment_of(said, key).map(|enrolment| enrolment.device);
    closed.cut(&server, |cut| {
        let revocation = members.folded.revocations.get(&cut.revocation)?;
        let is_about = members.devices_of(revocation.target).contains(&behind(cut.end.device)?);
        is_about.then_some(revocation.target)
    });
    let mut before = closed.clone();
    before.let_in(members, space, said);
    let removals: Map<EntryId, DeviceId> = before.removals(members, said).collect();
    closed.cut(&server, |cut| {
        let removed = removals.get(&cut.revocation).filter(|key| **key == cut.end.device)?;
        Some(RevocationTarget::Device(*removed))
    });
    closed.let_in(members, space, said);
    let removals: Vec<(EntryId, DeviceId)> = closed.removals(members, said).collect();
    for (id, key) in removals {
        closed.counts.insert(id);
        let known = closed.removed.entry(key).or_insert(id);
        *known = (*known).min(id);
    }
    closed.take_keys(members, space, said);
    closed
}

impl ClosedSpace {
    fn hear_server(&mut self, server: &[&Statement]) {
        for statement in server {
            match &*statement.record {
                Record::Settlement(Settlement::Card { card, device: Some(key) }) => {
                    self.settled.entry(*card).or_default().insert(statement.id, *key);
                }
                Record::Settlement(Settlement::Fork { device, seq, id, .. }) => {
                    let known = self.forks.entry((*device, *seq)).or_insert((statement.id, *id));
                    *known = (*known).min((statement.id, *id));
                }
                _ => continue,
            }
            self.counts.insert(statement.id);
        }
    }

    fn cut(&mut self, server: &[&Statement], target: impl Fn(&Cut) -> Option<RevocationTarget>) {
        for statement in server {
            if let Record::Cut(cut) = &*statement.record
                && let Some(target) = target(cut)
            {
                self.cuts.entry(cut.end.device).or_default().insert(statement.id, (cut.end.entries, target));
                self.counts.insert(statement.id);
            }
        }
    }

    /// Who is in by a right or a card, and the circle's cards.
    fn let_in(&mut self, members: &Members, space: SpaceId, said: &Statements) {
        let mut made: Map<DeviceId, usize> = Map::new();
        loop {
            let before = self.counts.len();
            for statement in said.values() {
                if self.counts.contains(&statement.id) || !self.stands_at(statement.device, statement.seq) {
                    continue;
                }
                match &*statement.record {
                    Record::Enrolment(enrolment) => self.enrol(members, space, said, statement, enrolment),
                    Record::CircleCard(card) if self.is_founder(members, statement.device) => {
                        let made = made.entry(statement.device).or_insert(0);
                        if *made < CIRCLE_CARDS_MAX {
                            *made += 1;
                            self.counts.insert(statement.id);
                            self.cards.insert(*card);
                        }
                    }
                    _ => {}
                }
            }
            if self.counts.len() == before {
                return;
            }
        }
    }

    fn enrol(
        &mut self,
        members: &Members,
        space: SpaceId,
        said: &Statements,
        statement: &Statement,
        enrolment: &Enrolment,
    ) {
        let device = enrolment.device;
        let Some(person) = members.person(device) else { return };
        // It came after its person's end, or with a card from behind one.
        if !members.stands_at(SpaceId::Members, device, 0) {
            return;
        }
        let had = |role| members.folded.roles.get(&person).is_some_and(|roles| roles.contains_key(&role));
        let mut card = None;
        let may = match (space, &enrolment.way) {
            (SpaceId::Board | SpaceId::Inbox, Way::Right) => had(Role::Board),
            (SpaceId::Own(owner), Way::Right) => owner == person,
            (SpaceId::Circle(_), Way::Founds(_)) => had(Role::Facilitator),
            (SpaceId::Circle(_), Way::Card { card: shown, .. }) => {
                card = Some(*shown);
                self.cards.contains(shown) && !self.is_settled_otherwise(said, *shown, device)
            }
            _ => false,
        };
        if !may {
            return;
        }
        if matches!(enrolment.way, Way::Founds(_)) {
            self.founder = Some(device);
        }
        self.counts.insert(statement.id);
        self.enrolled.insert(statement.device, Enrolled { device, encryption_key: enrolment.encryption_key, card });
    }

    /// Whether the server named another device's key for a card: one that really came with it, the lowest entry's of several.
    fn is_settled_otherwise(&self, said: &Statements, card: InvitationKey, device: DeviceId) -> bool {
        let words = self.settled.get(&card).into_iter().flat_map(|words| words.values());
        let came = words.filter_map(|key| enrolment_of(said, *key));
        let mut came = came.filter(|e| matches!(e.way, Way::Card { card: shown, .. } if shown == card));
        came.next().is_some_and(|winner| winner.device != device)
    }

    /// Whether this key is of the circle's facilitator.
    fn is_founder(&self, members: &Members, key: DeviceId) -> bool {
        let founder = self.founder.and_then(|device| members.person(device));
        let person = self.enrolled.get(&key).and_then(|enrolled| members.person(enrolled.device));
        founder.is_some() && person == founder
    }

    /// The keys that the circle's facilitator took out.
    fn removals<'s>(
        &'s self,
        members: &'s Members,
        said: &'s Statements,
    ) -> impl Iterator<Item = (EntryId, DeviceId)> + 's {
        said.values().filter_map(|statement| match &*statement.record {
            Record::Revocation(Revocation { target: RevocationTarget::Device(key), .. })
                if self.stands_at(statement.device, statement.seq) && self.is_founder(members, statement.device) =>
            {
                Some((statement.id, *key))
            }
            _ => None,
        })
    }

    /// Generations and wraps.
    fn take_keys(&mut self, members: &Members, space: SpaceId, said: &Statements) {
        for statement in said.values() {
            let (key, seq) = (statement.device, statement.seq);
            let is_in = self.enrolled.contains_key(&key) && self.stands_at(key, seq);
            match &*statement.record {
                Record::Generation(generation) if is_in => {
                    if matches!(space, SpaceId::Circle(_)) && !self.is_founder(members, key) {
                        continue;
                    }
                    self.generations.insert(generation_id(&generation.public), generation.clone());
                }
                Record::Wrap(wrap) if is_in => {
                    let to = self.wraps.entry(wrap.generation).or_default();
                    // Of two wraps the smaller one, so that all replicas keep the same.
                    let known = to.entry(wrap.to).or_insert_with(|| wrap.sealed.clone());
                    if wrap.sealed < *known {
                        known.clone_from(&wrap.sealed);
                    }
                }
                _ => continue,
            }
            self.counts.insert(statement.id);
        }
    }
}
