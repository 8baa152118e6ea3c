//! Taking a record: whether it can ever count, whether it counts now, and what it changes for others.

use std::sync::Arc;

use super::Members;
use super::fold::{Statement, fold};
use crate::entry::codec::{Record, join_message, person_of, wijk_id};
use crate::entry::{Signature, sign};
use crate::gate::{Dep, Reason};
use crate::model::*;
use crate::ordered::Set;
use crate::sync::epoch_message;

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
    /// Where it is said: `members` or a closed space.
    pub space: SpaceId,
    /// Who wrote it.
    pub device: DeviceId,
    /// Where in its chain there.
    pub seq: u64,
    /// Whether it counts now.
    pub counts: bool,
}

/// What one record changed for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Records that count now and didn't, or the other way round.
    pub flips: Vec<Flip>,
    /// Persons who have other roles than before, or whose devices stand otherwise.
    pub people: Set<PersonId>,
    /// Chains whose standing changed by themselves.
    pub chains: Set<(SpaceId, DeviceId)>,
}

impl Changes {
    /// Takes further changes.
    pub fn append(&mut self, other: Self) {
        self.flips.extend(other.flips);
        self.people.extend(other.people);
        self.chains.extend(other.chains);
    }
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
    /// Its subject.
    pub subject: SubjectId,
    /// What it says.
    pub record: &'r Record,
    /// Its bytes.
    pub body: &'r [u8],
}

impl Members {
    /// Takes a record of the space `members`; returns what becomes of it, and what it changed for others.
    /// `is_server` says whether a card that another device used gives a place at all.
    pub fn admit(&mut self, asked: &Asked<'_>, is_server: bool) -> (Answer, Changes) {
        if let Some(never) = self.form(asked) {
            return (never, Changes::default());
        }
        if let Record::Join(join) = asked.record
            && is_server
            && let Some(answer) = self.card_is_gone(asked.device, join)
        {
            return (answer, Changes::default());
        }
        let statement = self.statement(asked);
        let is_simple = self.folded.take_simple(&self.statements, &statement);
        self.statements.insert((asked.device, asked.seq), statement);
        let mut changes = Changes::default();
        if !is_simple {
            changes = self.refold(asked.id);
        }
        // Closed spaces say who is in them by who belongs to the wijk.
        if !is_simple || self.closed.is_waiting() {
            changes.append(self.refold_closed());
        }
        match self.folded.counts.contains(&asked.id) {
            true => (Answer::Counts, changes),
            false => (Answer::Waits(self.waits_for(asked.device, asked.record)), changes),
        }
    }

    /// Takes a record that a closed space says of itself.
    pub fn admit_closed(&mut self, space: SpaceId, asked: &Asked<'_>, is_server: bool) -> (Answer, Changes) {
        if let Some(answer) = self.closed.refuses(self, space, asked, is_server) {
            return (answer, Changes::default());
        }
        let statement = self.statement(asked);
        self.closed.insert(space, statement);
        let changes = self.refold_space(space, asked.id);
        match self.closed.counts(space, asked.id) {
            true => (Answer::Counts, changes),
            false => (Answer::Waits(self.closed.waits_for(space, asked)), changes),
        }
    }

    /// Folds records of `members` and closed spaces that are known to have their form: those that a store keeps.
    pub fn take_all<'r>(&mut self, records: impl IntoIterator<Item = (SpaceId, Asked<'r>)>) {
        for (space, asked) in records {
            let statement = self.statement(&asked);
            match space {
                SpaceId::Members => drop(self.statements.insert((asked.device, asked.seq), statement)),
                _ => self.closed.insert(space, statement),
            }
        }
        self.folded = fold(&self.statements);
        drop(self.refold_closed());
    }

    fn statement(&self, asked: &Asked<'_>) -> Statement {
        let own_person = match asked.record {
            Record::Join(join) => join.person == person_of(self.wijk, asked.device),
            _ => false,
        };
        let Asked { device, seq, id, subject, record, .. } = *asked;
        Statement { device, seq, id, subject, record: Arc::new(record.clone()), own_person }
    }

    /// Folds anew; returns what changed but for the record that is just being asked about.
    fn refold(&mut self, but: EntryId) -> Changes {
        let folded = fold(&self.statements);
        let before = std::mem::replace(&mut self.folded, folded);
        let mut changes = self.folded.changes_since(&before);
        let changed: Set<EntryId> = before.counts.symmetric_difference(&self.folded.counts).copied().collect();
        if changed.iter().any(|id| *id != but) {
            let flipped = self.statements.values().filter(|s| changed.contains(&s.id) && s.id != but);
            let counts = |id| self.folded.counts.contains(&id);
            let space = SpaceId::Members;
            changes.flips.extend(flipped.map(|s| Flip { space, device: s.device, seq: s.seq, counts: counts(s.id) }));
        }
        changes
    }

    fn refold_closed(&mut self) -> Changes {
        let spaces: Vec<SpaceId> = self.closed.spaces().map(|(space, _)| space).collect();
        let mut changes = Changes::default();
        for space in spaces {
            changes.append(self.refold_space(space, EntryId::ZERO));
        }
        changes
    }

    fn refold_space(&mut self, space: SpaceId, but: EntryId) -> Changes {
        let mut closed = std::mem::take(&mut self.closed);
        let changes = closed.refold(self, space, but);
        self.closed = closed;
        changes
    }

    /// What can never become right, whatever comes.
    fn form(&self, asked: &Asked<'_>) -> Option<Answer> {
        let never = |reason| Some(Answer::Never(reason));
        match asked.record {
            Record::Genesis(root) if wijk_id(asked.body) != self.wijk || *root != asked.device => {
                never(Reason::OtherGenesis)
            }
            Record::Join(join) => {
                let message = join_message(self.wijk, asked.device, join.person, &join.encryption_key);
                let card = DeviceId::new(*join.invitation.as_bytes());
                if !sign::verify(card, &message, &Signature(join.proof)) {
                    never(Reason::FalseCard)
                } else if asked.seq != 0 {
                    // A device joins once, with the first thing it says.
                    never(Reason::Final)
                } else {
                    None
                }
            }
            Record::Epoch(epoch) => {
                let message = epoch_message(self.wijk, &epoch.epoch, asked.device);
                let is_true = sign::verify(epoch.identity, &message, &Signature(epoch.certificate));
                (!is_true).then_some(Answer::Never(Reason::Form))
            }
            // Circles and persons announce their keys among themselves, and what the server says of a closed space's chains
            // stands there.
            Record::Generation(generation) if !matches!(generation.space, SpaceId::Board | SpaceId::Inbox) => {
                never(Reason::Space)
            }
            Record::Cut(cut) if cut.end.space.is_closed() => never(Reason::Space),
            Record::Settlement(Settlement::Fork { space, .. }) if space.is_closed() => never(Reason::Space),
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
}
