//! What screens show, derived from the entries that count: contributions, voices, decisions, arrival.
//!
//! Everything here can be thrown away and derived again from the store. The result depends on the *set* of entries, never on
//! the order they came in (property tests permute it). Not here: the words of documents (`document`), nor what is allowed.

mod moderation;
mod tally;

pub use moderation::{ErasureFacts, RulingFacts};

use crate::entry::codec::Record;
use crate::entry::{Kind, Tombstone};
use crate::gate::Verdict;
use crate::model::{Choice, Decision, EntryId, PersonId, ReplyId, SpaceId, SubjectId, Tally, Voice};
use crate::ordered::{Map, Set};
use crate::replica::Place;

/// A document that counts: a contribution or a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFacts {
    /// Who began it.
    pub person: PersonId,
    /// The entry that began it.
    pub first: EntryId,
    /// How often a change of it was found to count since this view was made: when that grows, it reads differently.
    pub changes: u32,
    /// The contribution it took the place of.
    pub replaces: Option<SubjectId>,
}

/// Something sealed that counts: where it stands. What it says only those with its key know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedFacts {
    /// The entry.
    pub id: EntryId,
    /// Its place.
    pub place: Place,
}

/// One person's newest word within one subject of voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spoken {
    subject: SubjectId,
    counter: u64,
    id: EntryId,
    choice: Choice,
}

/// The voice that counts of one person on one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentVoice {
    /// What the person says.
    pub choice: Choice,
    /// Its counter.
    pub counter: u64,
    /// Its entry.
    pub id: EntryId,
    /// Its subject.
    pub subject: SubjectId,
}

/// Exact numbers of voices on one question. Only the board sees them until small numbers are hidden by one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Support.
    pub support: u32,
    /// Agree.
    pub agree: u32,
    /// Disagree.
    pub disagree: u32,
    /// Pass.
    pub pass: u32,
}

/// A decision with its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionFacts {
    /// The entry.
    pub id: EntryId,
    /// The board member.
    pub person: PersonId,
    /// What was decided.
    pub decision: Decision,
}

/// What the server's log says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its number in the space's log.
    pub number: u64,
    /// Day the server received it.
    pub day: u32,
    /// Whether it counts there.
    pub verdict: Verdict,
}

/// See the module.
#[derive(Debug, Default)]
pub struct View {
    contributions: Map<SubjectId, DocumentFacts>,
    meetings: Map<SubjectId, DocumentFacts>,
    voices: Map<(SubjectId, PersonId), Vec<Spoken>>,
    voice_subjects: Map<SubjectId, (SubjectId, PersonId)>,
    decisions: Map<EntryId, DecisionFacts>,
    decided: Map<SubjectId, Set<EntryId>>,
    /// Which text took the place of which; kept when either is erased, so that a line doesn't break.
    replaced: Map<SubjectId, SubjectId>,
    numbered: Map<EntryId, Numbered>,
    sealed: Map<SpaceId, Map<SubjectId, SealedFacts>>,
    answers: Map<ReplyId, Map<SubjectId, SealedFacts>>,
    tallies: tally::Tallies,
    /// Subjects that a tombstone is about. When one of staff has signed, the words are still here; they may come after it.
    hidden: Set<SubjectId>,
    moderation: moderation::Moderation,
}

impl View {
    /// Takes an entry that counts.
    #[expect(clippy::too_many_arguments, reason = "what is known of one entry, and nothing else has all of it")]
    pub fn counts(
        &mut self,
        place: Place,
        id: EntryId,
        kind: Kind,
        subject: SubjectId,
        person: Option<PersonId>,
        creates: bool,
        record: &Record,
    ) {
        if kind != Kind::TOMBSTONE && self.hidden.contains(&subject) {
            return;
        }
        match record {
            Record::Sealed(_) => {
                self.sealed.entry(place.space).or_default().insert(subject, SealedFacts { id, place });
            }
            Record::Answer(answer) => {
                self.answers.entry(answer.to).or_default().insert(subject, SealedFacts { id, place });
            }
            _ => {}
        }
        if place.space != SpaceId::Open && kind != Kind::TOMBSTONE {
            return;
        }
        match (record, person) {
            (Record::Change(change), Some(person)) => {
                let documents = if kind == Kind::CONTRIBUTION { &mut self.contributions } else { &mut self.meetings };
                let facts =
                    documents.entry(subject).or_insert(DocumentFacts { person, first: id, changes: 0, replaces: None });
                if creates {
                    self.replaced.extend(change.replaces.map(|replaced| (subject, replaced)));
                    facts.person = person;
                    facts.first = id;
                    facts.replaces = change.replaces;
                }
                facts.changes = facts.changes.wrapping_add(1);
            }
            (Record::Voice(voice), Some(person)) => self.voice(subject, id, person, voice),
            (Record::Decision(decision), Some(person)) => {
                for about in &decision.about {
                    self.decided.entry(*about).or_default().insert(id);
                }
                self.decisions.insert(id, DecisionFacts { id, person, decision: decision.clone() });
            }
            (Record::Tally(tally), _) => self.tallies.take(id, tally),
            (Record::Ruling(ruling), Some(person)) => self.moderation.rule(id, person, ruling),
            (Record::Tombstone(Tombstone::Owner { .. }), _) => self.erase(subject),
            // One signature erases nothing yet; when the second one does, the replica says so ([`View::erase`]).
            (Record::Tombstone(Tombstone::Administrator { ground, .. }), Some(person)) => {
                self.moderation.sign(subject, ErasureFacts { id, place, person, ground: ground.clone() });
            }
            _ => {}
        }
    }

    fn voice(&mut self, subject: SubjectId, id: EntryId, person: PersonId, voice: &Voice) {
        let spoken = Spoken { subject, counter: voice.counter, id, choice: voice.choice };
        // A subject of voice is about one question for good.
        if *self.voice_subjects.entry(subject).or_insert((voice.question, person)) != (voice.question, person) {
            return;
        }
        let all = self.voices.entry((voice.question, person)).or_default();
        match all.iter_mut().find(|known| known.subject == subject) {
            Some(known) if (known.counter, known.id) < (spoken.counter, spoken.id) => *known = spoken,
            Some(_) => {}
            None => all.push(spoken),
        }
    }

    /// Forgets everything about a subject that was erased.
    pub fn erase(&mut self, subject: SubjectId) {
        self.hidden.insert(subject);
        self.contributions.remove(&subject);
        self.meetings.remove(&subject);
        for subjects in self.sealed.values_mut().chain(self.answers.values_mut()) {
            subjects.remove(&subject);
        }
        if let Some(key) = self.voice_subjects.remove(&subject)
            && let Some(all) = self.voices.get_mut(&key)
        {
            all.retain(|spoken| spoken.subject != subject);
            if all.is_empty() {
                self.voices.remove(&key);
            }
        }
    }

    /// Everything sealed in a space.
    #[must_use]
    pub fn sealed_in(&self, space: SpaceId) -> &Map<SubjectId, SealedFacts> {
        const NOTHING: &Map<SubjectId, SealedFacts> = &Map::new();
        self.sealed.get(&space).unwrap_or(NOTHING)
    }

    /// Sealed answers to the holder of a receipt.
    pub fn answers_to(&self, to: ReplyId) -> impl Iterator<Item = SealedFacts> + '_ {
        self.answers.get(&to).into_iter().flat_map(|answers| answers.values().copied())
    }

    /// Takes what the server's log says of an entry.
    pub fn numbered(&mut self, id: EntryId, numbered: Numbered) {
        self.numbered.insert(id, numbered);
    }

    /// What the server's log says of an entry.
    #[must_use]
    pub fn number_of(&self, id: EntryId) -> Option<Numbered> {
        self.numbered.get(&id).copied()
    }

    /// The newest count of a secret poll that the server published, with its entry.
    #[must_use]
    pub fn tally_of(&self, question: SubjectId) -> Option<(EntryId, &Tally)> {
        self.tallies.newest(question, |id| self.number_of(id).map(|numbered| numbered.number))
    }

    /// All rulings on a subject, the one that counts last.
    pub fn rulings_on(&self, subject: SubjectId) -> impl DoubleEndedIterator<Item = &RulingFacts> {
        self.moderation.rulings_on(subject)
    }

    /// Everything that was ever ruled on.
    pub fn ruled(&self) -> impl Iterator<Item = SubjectId> + '_ {
        self.moderation.ruled()
    }

    /// Signatures of staff under the erasure of a subject.
    pub fn erasure_signatures(&self, space: SpaceId, subject: SubjectId) -> impl Iterator<Item = &ErasureFacts> {
        self.moderation.signatures(space, subject)
    }

    /// Everything that staff ever signed for to be erased.
    pub fn signed_for_erasure(&self) -> impl Iterator<Item = (SpaceId, SubjectId)> + '_ {
        self.moderation.signed()
    }

    /// The text that is there and took the place of this one: of several the lowest. Known also when this one was erased.
    #[must_use]
    pub fn replaced_by(&self, subject: SubjectId) -> Option<SubjectId> {
        let by = self.replaced.iter().filter(|(_, replaced)| **replaced == subject).map(|(new, _)| *new);
        by.into_iter().find(|new| self.document(*new).is_some())
    }

    /// All contributions, those that are hidden included: what a person may see is asked of [`crate::app::Joined`].
    pub fn contributions(&self) -> impl Iterator<Item = (SubjectId, &DocumentFacts)> {
        self.contributions.iter().map(|(subject, facts)| (*subject, facts))
    }

    /// All meetings, those that are hidden included.
    pub fn meetings(&self) -> impl Iterator<Item = (SubjectId, &DocumentFacts)> {
        self.meetings.iter().map(|(subject, facts)| (*subject, facts))
    }

    /// One contribution or meeting.
    #[must_use]
    pub fn document(&self, subject: SubjectId) -> Option<(Kind, &DocumentFacts)> {
        let contribution = self.contributions.get(&subject).map(|facts| (Kind::CONTRIBUTION, facts));
        contribution.or_else(|| self.meetings.get(&subject).map(|facts| (Kind::MEETING, facts)))
    }

    /// The voice that counts of one person on one question: highest counter, ties by entry id.
    #[must_use]
    pub fn voice_of(&self, question: SubjectId, person: PersonId) -> Option<CurrentVoice> {
        self.voices.get(&(question, person)).and_then(|all| newest(all))
    }

    /// All voices that count.
    pub fn voices(&self) -> impl Iterator<Item = (SubjectId, PersonId, CurrentVoice)> + '_ {
        self.voices.iter().filter_map(|((question, person), all)| Some((*question, *person, newest(all)?)))
    }

    /// Voices on one question, counted.
    #[must_use]
    pub fn counts_of(&self, question: SubjectId) -> Counts {
        let mut counts = Counts::default();
        let (first, last) = ((question, PersonId::ZERO), (question, PersonId::new([0xff; 16])));
        for (_, all) in self.voices.range(first..=last) {
            match newest(all).map(|voice| voice.choice) {
                Some(Choice::Support) => counts.support += 1,
                Some(Choice::Agree) => counts.agree += 1,
                Some(Choice::Disagree) => counts.disagree += 1,
                Some(Choice::Pass) => counts.pass += 1,
                Some(Choice::Withdrawn) | None => {}
            }
        }
        counts
    }

    /// The decisions on a contribution, or on the texts it took the place of, that no other one replaces. More than one
    /// means "not agreed yet". Voices don't come along: others supported the words that were there.
    #[must_use]
    pub fn decisions_on(&self, subject: SubjectId) -> Vec<&DecisionFacts> {
        let mut ids: Set<EntryId> = Set::new();
        let (mut at, mut seen) = (Some(subject), Set::new());
        while let Some(subject) = at.filter(|subject| seen.insert(*subject)) {
            ids.extend(self.decided.get(&subject).into_iter().flatten());
            at = self.replaced.get(&subject).copied();
        }
        let all: Vec<&DecisionFacts> = ids.iter().filter_map(|id| self.decisions.get(id)).collect();
        let replaced: Set<EntryId> = all.iter().flat_map(|facts| facts.decision.replaces.iter().copied()).collect();
        all.into_iter().filter(|facts| !replaced.contains(&facts.id)).collect()
    }
}

fn newest(all: &[Spoken]) -> Option<CurrentVoice> {
    all.iter().max_by_key(|spoken| (spoken.counter, spoken.id)).map(|spoken| CurrentVoice {
        choice: spoken.choice,
        counter: spoken.counter,
        id: spoken.id,
        subject: spoken.subject,
    })
}
