//! What the app shows: lists, one contribution with its whole line, meetings, and how far own words got.

use std::sync::Arc;

use super::Joined;
use super::moderate::{Hidden, RulingItem};
use crate::document::{self, contribution, meeting};
use crate::entry::Kind;
use crate::entry::codec::{self, Record};
use crate::gate::{Reason, Verdict};
use crate::model::{Content, EntryId, MeetingText, PersonId, SpaceId, SubjectId};
use crate::replica::{Kept, Place, ReplicaError};
use crate::view::{Counts, DecisionFacts};

/// How far own words got. Never further than what is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnState {
    /// Flushed on this device.
    Saved,
    /// Sent on this connection; the server's receipt isn't here yet.
    OnTheWay,
    /// The server's signed receipt is here.
    Arrived {
        /// Day the server received it, as days since 1 January 1970.
        day: u32,
    },
    /// The gate refused it, here or at the server.
    Refused(Reason),
}

/// A contribution in a list.
#[derive(Clone, Debug)]
pub struct ContributionItem {
    /// Its id.
    pub subject: SubjectId,
    /// Its words.
    pub content: Content,
    /// Its author's pseudonym.
    pub person: PersonId,
    /// How far it got, if it is one's own.
    pub own: Option<OwnState>,
    /// Its number in the server's log: the order of arrival.
    pub number: Option<u64>,
    /// Day the server received it.
    pub received_day: Option<u32>,
    /// Voices, exact; for the board.
    pub counts: Counts,
    /// Decisions that stand: none, one, or several that don't agree yet.
    pub decisions: usize,
    /// Why it is hidden from everybody else; only ever something on one's own.
    pub hidden: Option<Hidden>,
}

/// A decision as shown.
#[derive(Clone, Debug)]
pub struct DecisionItem {
    /// The decision.
    pub facts: DecisionFacts,
    /// Day the server received it.
    pub day: Option<u32>,
}

/// One event in the line of a contribution.
#[derive(Clone, Debug)]
pub enum LineEvent {
    /// Written on this phone; how far it got.
    Written(OwnState),
    /// The server received it.
    Received {
        /// When.
        day: u32,
    },
    /// It takes the place of an earlier text, which was erased.
    Replaced,
    /// Others spoke.
    Voices(Counts),
    /// It was ruled on; for its author and staff.
    Ruled(RulingItem),
    /// An administrator signed for its erasure; it is hidden until a second one of staff signs, and then gone.
    ErasureSigned {
        /// The legal ground.
        ground: String,
        /// Day the server received it.
        day: Option<u32>,
    },
    /// The board answered.
    Decided(DecisionItem),
    /// Two decisions stand that do not replace each other.
    NotAgreed,
}

/// One contribution with its whole line.
#[derive(Clone, Debug)]
pub struct Line {
    /// The contribution.
    pub item: ContributionItem,
    /// What happened, in order.
    pub events: Vec<LineEvent>,
}

/// A meeting.
#[derive(Clone, Debug)]
pub struct MeetingItem {
    /// Its id.
    pub subject: SubjectId,
    /// Its notes.
    pub text: MeetingText,
    /// The heads of its document, sorted: equal on two devices when their notes are made of the same changes.
    pub heads: Vec<automerge::ChangeHash>,
    /// How far own edits got, if there are any.
    pub own: Option<OwnState>,
    /// Why it is hidden from everybody else; only ever something on one's own.
    pub hidden: Option<Hidden>,
    /// The notes it took the place of, because words had to go.
    pub replaces: Option<SubjectId>,
    /// The notes that took its place; it is erased once two of staff have signed.
    pub replaced_by: Option<SubjectId>,
}

impl Joined {
    /// All contributions, in the order the server received them; those it hasn't yet come last. What is hidden is here for
    /// its author alone.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn contributions(&mut self) -> Result<Vec<ContributionItem>, ReplicaError> {
        let order = self.contribution_order();
        let items = order.iter().map(|subject| self.contribution(*subject));
        items.filter_map(Result::transpose).collect()
    }

    /// The same contributions by id alone, in the same order: opens no document, however many there are. A screen asks for the
    /// [`Joined::contribution`]s that it shows.
    #[must_use]
    pub fn contribution_order(&mut self) -> Arc<[SubjectId]> {
        if let Some(order) = &self.order {
            return Arc::clone(order);
        }
        let mut subjects: Vec<(SubjectId, EntryId)> =
            self.view.contributions().map(|(subject, facts)| (subject, facts.first)).collect();
        subjects.retain(|(subject, _)| self.is_shown(*subject));
        subjects.sort_by_cached_key(|(subject, first)| {
            (self.view.number_of(*first).map_or(u64::MAX, |numbered| numbered.number), *subject)
        });
        let order: Arc<[SubjectId]> = subjects.into_iter().map(|(subject, _)| subject).collect();
        self.order = Some(Arc::clone(&order));
        order
    }

    /// One contribution as a list shows it, whether it is hidden or not; `None` when it isn't here or was erased.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn contribution(&mut self, subject: SubjectId) -> Result<Option<ContributionItem>, ReplicaError> {
        self.item(subject)
    }

    /// Whether this device exists twice, as the server has seen.
    #[must_use]
    pub fn is_cloned(&self) -> bool {
        self.replica.members().is_forked(self.key.id())
    }

    /// Own contributions of a branch that gave way, because this device exists twice. Their words are on this phone alone, to
    /// be written again on a device of its own.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn set_aside_words(&self) -> Result<Vec<(EntryId, Content)>, ReplicaError> {
        let device = self.key.id();
        let own = self.replica.aside()?.into_iter().filter(|(at, row)| at.device == device && row.creates);
        let words = own.filter_map(|(_, row)| {
            let change = match codec::decode(row.kind, row.kept.body()?) {
                Ok(Some(Record::Change(record))) if row.kind == Kind::CONTRIBUTION => record.change,
                _ => return None,
            };
            Some((row.id, contribution::read(&document::open(vec![(row.id, change)]).doc)))
        });
        Ok(words.collect())
    }

    /// Own contributions that the gate refused: they aren't in [`Joined::contributions`], and their words are kept here.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn refused(&self) -> Result<Vec<(Place, EntryId, Reason)>, ReplicaError> {
        let device = self.key.id();
        let Some(head) = self.replica.head(SpaceId::Open, device) else { return Ok(Vec::new()) };
        let mut refused = Vec::new();
        for seq in 0..=head.seq {
            let place = Place { space: SpaceId::Open, device, seq };
            if let Some(entry) = self.replica.entry(place)?
                && let Some(OwnState::Refused(reason)) = self.entry_state(place, entry.id, &entry.kept)
            {
                refused.push((place, entry.id, reason));
            }
        }
        Ok(refused)
    }

    fn item(&mut self, subject: SubjectId) -> Result<Option<ContributionItem>, ReplicaError> {
        let Some(content) = self.words(subject)? else { return Ok(None) };
        let Some((Kind::CONTRIBUTION, facts)) = self.view.document(subject) else { return Ok(None) };
        let numbered = self.view.number_of(facts.first);
        Ok(Some(ContributionItem {
            subject,
            content,
            person: facts.person,
            own: self.own_state(subject)?,
            number: numbered.map(|numbered| numbered.number),
            received_day: numbered.map(|numbered| numbered.day),
            counts: self.view.counts_of(subject),
            decisions: self.view.decisions_on(subject).len(),
            hidden: self.hidden(subject),
        }))
    }

    /// One contribution with its whole line, or `None` when it isn't here, was erased, or is hidden from this person.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn line(&mut self, subject: SubjectId) -> Result<Option<Line>, ReplicaError> {
        let Some(item) = self.item(subject)?.filter(|_| self.is_shown(subject)) else { return Ok(None) };
        let mut events = Vec::new();
        events.extend(item.own.map(LineEvent::Written));
        if self.view.document(subject).is_some_and(|(_, facts)| facts.replaces.is_some()) {
            events.push(LineEvent::Replaced);
        }
        events.extend(item.received_day.map(|day| LineEvent::Received { day }));
        if item.counts != Counts::default() {
            events.push(LineEvent::Voices(item.counts));
        }
        events.extend(self.rulings_for(subject).into_iter().map(LineEvent::Ruled));
        if let Some(Hidden::Erasure { ground, day }) = item.hidden.clone() {
            events.push(LineEvent::ErasureSigned { ground, day });
        }
        let mut decisions: Vec<DecisionItem> = self
            .view
            .decisions_on(subject)
            .into_iter()
            .map(|facts| DecisionItem { facts: facts.clone(), day: self.view.number_of(facts.id).map(|n| n.day) })
            .collect();
        decisions.sort_by_key(|decision| (decision.day, decision.facts.id));
        if decisions.len() > 1 {
            events.push(LineEvent::NotAgreed);
        }
        events.extend(decisions.into_iter().map(LineEvent::Decided));
        Ok(Some(Line { item, events }))
    }

    /// All meetings; those that are hidden for whoever began them alone.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn meetings(&mut self) -> Result<Vec<MeetingItem>, ReplicaError> {
        let subjects: Vec<SubjectId> = self.view.meetings().map(|(subject, _)| subject).collect();
        let items = subjects.into_iter().map(|subject| self.meeting(subject));
        items.filter_map(Result::transpose).collect()
    }

    /// One meeting, or `None` when it isn't here, was erased, or is hidden from this person.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn meeting(&mut self, subject: SubjectId) -> Result<Option<MeetingItem>, ReplicaError> {
        if !matches!(self.view.document(subject), Some((Kind::MEETING, _))) {
            return Ok(None);
        }
        if !self.is_shown(subject) {
            return Ok(None);
        }
        let Some(doc) = self.document(subject)? else { return Ok(None) };
        let text = meeting::read(doc);
        let mut heads = doc.get_heads();
        heads.sort_unstable();
        Ok(Some(MeetingItem {
            subject,
            text,
            heads,
            own: self.own_state(subject)?,
            hidden: self.hidden(subject),
            replaces: self.view.document(subject).and_then(|(_, facts)| facts.replaces),
            replaced_by: self.view.replaced_by(subject),
        }))
    }

    /// How far one own entry got, by its id; `None` when there is no such entry or somebody else wrote it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn state_of(&self, id: EntryId) -> Result<Option<OwnState>, ReplicaError> {
        let Some(place) = self.replica.place_of(id)?.filter(|place| place.device == self.key.id()) else {
            return Ok(None);
        };
        let entry = self.replica.entry(place)?;
        Ok(entry.and_then(|entry| self.entry_state(place, entry.id, &entry.kept)))
    }

    /// How far this device's entries about a subject got: the least far of them. `None` when it wrote none.
    fn own_state(&self, subject: SubjectId) -> Result<Option<OwnState>, ReplicaError> {
        let Some((kind, facts)) = self.view.document(subject) else { return Ok(None) };
        // Most of a list is somebody else's, and nobody else writes in that.
        if kind == Kind::CONTRIBUTION && facts.person != self.person() {
            return Ok(None);
        }
        let device = self.key.id();
        let mut least: Option<OwnState> = None;
        for place in self.replica.entries_of(SpaceId::Open, subject)?.into_iter().filter(|at| at.device == device) {
            let Some(entry) = self.replica.entry(place)?.filter(|entry| matches!(entry.kept, Kept::Present(_))) else {
                continue;
            };
            let state = self.entry_state(place, entry.id, &entry.kept);
            least = match (least, state) {
                (Some(a), Some(b)) => Some(if distance(b) < distance(a) { b } else { a }),
                (a, b) => a.or(b),
            };
        }
        Ok(least)
    }

    /// How far an entry of this device got; `None` when it isn't here or is somebody else's.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn own_entry_state(&self, id: EntryId) -> Result<Option<OwnState>, ReplicaError> {
        let Some(place) = self.replica.place_of(id)?.filter(|place| place.device == self.key.id()) else {
            return Ok(None);
        };
        Ok(self.replica.entry(place)?.and_then(|entry| self.entry_state(place, id, &entry.kept)))
    }

    /// How far one own entry got.
    pub(super) fn entry_state(&self, place: Place, id: EntryId, kept: &Kept) -> Option<OwnState> {
        let refused = |verdict| match verdict {
            Verdict::Refused(reason) => Some(OwnState::Refused(reason)),
            _ => None,
        };
        if let Some(state) = refused(kept.verdict()) {
            return Some(state);
        }
        if let Some(line) = self.receipts.get(&id) {
            return Some(refused(line.verdict).unwrap_or(OwnState::Arrived { day: line.day }));
        }
        let sent = self.session.as_ref().is_some_and(|session| session.was_sent(place.space, place.seq));
        Some(if sent { OwnState::OnTheWay } else { OwnState::Saved })
    }
}

fn distance(state: OwnState) -> u8 {
    match state {
        OwnState::Refused(_) => 0,
        OwnState::Saved => 1,
        OwnState::OnTheWay => 2,
        OwnState::Arrived { .. } => 3,
    }
}
