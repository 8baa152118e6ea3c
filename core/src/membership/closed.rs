//! Who is in a closed space, and its keys: a fold over what the space says of itself.
//!
//! Everything here only grows. Whoever has a right to come in (a role, a card of the circle, being the same person) brings a
//! key of its own for this space; who may no longer read follows from the roles of now, and the next generation of the
//! space's key is wrapped only to those who may. Not here: opening anything (`seal`).

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Asked, Members};
use crate::entry::codec::{Record, circle_id, enrolment_message, generation_id};
use crate::entry::{Signature, sign};
use crate::gate::{Dep, Reason};
use crate::model::*;

/// Cards one circle can have: more people than fit around a table, over the years.
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

/// One closed space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClosedSpace {
    /// Device that founded this circle.
    pub founder: Option<DeviceId>,
    /// Cards of this circle.
    pub cards: BTreeSet<InvitationKey>,
    /// Keys that were brought in.
    pub enrolled: BTreeMap<DeviceId, Enrolled>,
    /// Keys that were taken out, with the revocation.
    pub removed: BTreeMap<DeviceId, EntryId>,
    /// Generations announced here (of circles and of persons' own spaces).
    pub generations: BTreeMap<GenerationId, Generation>,
    /// Wrapped private halves, by generation and receiver.
    pub wraps: BTreeMap<GenerationId, BTreeMap<DeviceId, Vec<u8>>>,
    /// Where chains end.
    cuts: BTreeMap<DeviceId, BTreeMap<EntryId, (u64, RevocationTarget)>>,
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
}

/// All closed spaces.
#[derive(Clone, Debug, Default)]
pub struct ClosedSpaces(BTreeMap<SpaceId, ClosedSpace>);

impl ClosedSpaces {
    pub(super) fn space(&self, space: SpaceId) -> Option<&ClosedSpace> {
        self.0.get(&space)
    }

    pub(super) fn spaces(&self) -> impl Iterator<Item = (SpaceId, &ClosedSpace)> {
        self.0.iter().map(|(space, closed)| (*space, closed))
    }

    pub(super) fn is_in(&self, space: SpaceId, device: DeviceId) -> bool {
        self.0.get(&space).is_some_and(|closed| {
            closed.enrolled.iter().any(|(key, e)| e.device == device && !closed.removed.contains_key(key))
        })
    }

    pub(super) fn stands_at(&self, space: SpaceId, key: DeviceId, seq: u64) -> bool {
        let cuts = self.0.get(&space).and_then(|closed| closed.cuts.get(&key));
        cuts.into_iter().flat_map(|cuts| cuts.values()).all(|(entries, _)| seq < *entries)
    }

    pub(super) fn is_cut(&self, space: SpaceId, key: DeviceId, target: RevocationTarget) -> bool {
        let cuts = self.0.get(&space).and_then(|closed| closed.cuts.get(&key));
        cuts.is_some_and(|cuts| cuts.values().any(|(_, known)| *known == target))
    }

    pub(super) fn admit(&mut self, members: &Members, space: SpaceId, asked: &Asked<'_>) -> Answer {
        match asked.record {
            Record::Enrolment(enrolment) => self.enrol(members, space, asked, enrolment),
            Record::CircleCard(card) => self.by_founder(members, space, asked, |closed| {
                if closed.cards.len() < CIRCLE_CARDS_MAX {
                    closed.cards.insert(*card);
                }
            }),
            Record::Generation(generation) if generation.space == space => {
                let insert = |closed: &mut ClosedSpace| {
                    closed.generations.insert(generation_id(&generation.public), generation.clone());
                };
                match space {
                    SpaceId::Circle(_) => self.by_founder(members, space, asked, insert),
                    SpaceId::Own(_) => self.by_enrolled(space, asked, insert),
                    _ => Answer::Never(Reason::Space),
                }
            }
            Record::Wrap(wrap) => self.by_enrolled(space, asked, |closed| {
                let to = closed.wraps.entry(wrap.generation).or_default();
                // Of two wraps the smaller one, so that all replicas keep the same.
                let known = to.entry(wrap.to).or_insert_with(|| wrap.sealed.clone());
                if wrap.sealed < *known {
                    known.clone_from(&wrap.sealed);
                }
            }),
            Record::Revocation(revocation) => match revocation.target {
                RevocationTarget::Device(key) if matches!(space, SpaceId::Circle(_)) => {
                    self.by_founder(members, space, asked, |closed| {
                        let known = closed.removed.entry(key).or_insert(asked.id);
                        *known = (*known).min(asked.id);
                    })
                }
                _ => Answer::Never(Reason::Form),
            },
            Record::Cut(cut) if cut.end.space == space => self.cut(members, space, asked, cut),
            _ => Answer::Never(Reason::Space),
        }
    }

    fn enrol(&mut self, members: &Members, space: SpaceId, asked: &Asked<'_>, enrolment: &Enrolment) -> Answer {
        let message = enrolment_message(members.wijk(), space, asked.device, &enrolment.encryption_key);
        if !sign::verify(enrolment.device, &message, &Signature(enrolment.signature)) || asked.seq != 0 {
            return Answer::Never(Reason::Form);
        }
        let Some(person) = members.person(enrolment.device) else {
            return Answer::Waits(Dep::Device(enrolment.device));
        };
        let had = |role| members.folded.roles.get(&person).is_some_and(|roles| roles.contains_key(&role));
        let closed = self.0.entry(space).or_default();
        match (space, &enrolment.way) {
            (SpaceId::Board | SpaceId::Inbox, Way::Right) => {
                if !had(Role::Board) {
                    return Answer::Waits(Dep::Role(person));
                }
            }
            (SpaceId::Own(owner), Way::Right) => {
                if owner != person {
                    return Answer::Never(Reason::Owner);
                }
            }
            (SpaceId::Circle(_), Way::Founds(nonce)) => {
                if circle_id(members.wijk(), enrolment.device, nonce) != space {
                    return Answer::Never(Reason::Owner);
                }
                if !had(Role::Facilitator) {
                    return Answer::Waits(Dep::Role(person));
                }
                closed.founder = Some(enrolment.device);
            }
            (SpaceId::Circle(_), Way::Card { card, proof }) => {
                if !sign::verify(DeviceId::new(*card.as_bytes()), &message, &Signature(*proof)) {
                    return Answer::Never(Reason::FalseCard);
                }
                if !closed.cards.contains(card) {
                    return Answer::Waits(Dep::Card(*card));
                }
                let used = |e: &Enrolled| e.card == Some(*card) && e.device != enrolment.device;
                if closed.enrolled.values().any(used) {
                    return Answer::CardUsed;
                }
            }
            _ => return Answer::Never(Reason::Space),
        }
        let card = match &enrolment.way {
            Way::Card { card, .. } => Some(*card),
            _ => None,
        };
        let enrolled = Enrolled { device: enrolment.device, encryption_key: enrolment.encryption_key, card };
        closed.enrolled.insert(asked.device, enrolled);
        Answer::Counts
    }

    fn by_enrolled(&mut self, space: SpaceId, asked: &Asked<'_>, then: impl FnOnce(&mut ClosedSpace)) -> Answer {
        let closed = self.0.entry(space).or_default();
        if !closed.enrolled.contains_key(&asked.device) {
            return Answer::Waits(Dep::Device(asked.device));
        }
        then(closed);
        Answer::Counts
    }

    /// Only the circle's facilitator, with any of that person's devices.
    fn by_founder(
        &mut self,
        members: &Members,
        space: SpaceId,
        asked: &Asked<'_>,
        then: impl FnOnce(&mut ClosedSpace),
    ) -> Answer {
        if !matches!(space, SpaceId::Circle(_)) {
            return Answer::Never(Reason::Space);
        }
        let closed = self.0.entry(space).or_default();
        let Some(enrolled) = closed.enrolled.get(&asked.device) else {
            return Answer::Waits(Dep::Device(asked.device));
        };
        let founder = closed.founder.and_then(|device| members.person(device));
        if founder.is_none() || members.person(enrolled.device) != founder {
            return Answer::Never(Reason::Rank);
        }
        then(closed);
        Answer::Counts
    }

    fn cut(&mut self, members: &Members, space: SpaceId, asked: &Asked<'_>, cut: &Cut) -> Answer {
        if members.server_key(asked.device).is_none() {
            return Answer::Waits(Dep::Device(asked.device));
        }
        let closed = self.0.entry(space).or_default();
        let target = match members.folded.revocations.get(&cut.revocation) {
            Some(revocation) => {
                let behind = closed.enrolled.get(&cut.end.device).map(|enrolled| enrolled.device);
                match behind {
                    Some(device) if members.devices_of(revocation.target).contains(&device) => revocation.target,
                    Some(_) => return Answer::Never(Reason::Rank),
                    None => return Answer::Waits(Dep::Device(cut.end.device)),
                }
            }
            None if closed.removed.get(&cut.end.device) == Some(&cut.revocation) => {
                RevocationTarget::Device(cut.end.device)
            }
            None => return Answer::Waits(Dep::Statement(cut.revocation)),
        };
        // A role that ended doesn't end a chain in a space that another role opens; the board's spaces have only one.
        let cuts = closed.cuts.entry(cut.end.device).or_default();
        cuts.insert(asked.id, (cut.end.entries, target));
        Answer::Counts
    }
}
