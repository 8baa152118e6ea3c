//! What screens show, derived from the entries that count: contributions, voices, decisions, arrival.
//!
//! Everything here can be thrown away and derived again from the store. The result depends on the *set* of entries, never on
//! the order they came in (property tests permute it). Not here: the words of documents (`document`), nor what is allowed.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::codec::Record;
use crate::entry::{Kind, Tombstone};
use crate::gate::Verdict;
use crate::model::{Choice, Decision, EntryId, PersonId, SpaceId, SubjectId, Voice};
use crate::replica::Place;

/// A document that counts: a contribution or a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFacts {
    /// Who began it.
    pub person: PersonId,
    /// The entry that began it.
    pub first: EntryId,
    /// All its entries that count.
    pub entries: BTreeSet<Place>,
    /// The contribution it took the place of.
    pub replaces: Option<SubjectId>,
}

/// One person's word within one subject of voice. Older ones stay, for the newest may cease to count.
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
    contributions: BTreeMap<SubjectId, DocumentFacts>,
    meetings: BTreeMap<SubjectId, DocumentFacts>,
    voices: BTreeMap<(SubjectId, PersonId), Vec<Spoken>>,
    voice_subjects: BTreeMap<SubjectId, (SubjectId, PersonId)>,
    decisions: BTreeMap<EntryId, DecisionFacts>,
    decided: BTreeMap<SubjectId, BTreeSet<EntryId>>,
    /// Which text took the place of which; kept when either is erased, so that a line doesn't break.
    replaced: BTreeMap<SubjectId, SubjectId>,
    numbered: BTreeMap<EntryId, Numbered>,
    /// What staff wants erased, by the entries that say so: hidden at once, also before a second one has signed.
    hidden: BTreeMap<SubjectId, BTreeSet<EntryId>>,
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
        if place.space != SpaceId::Open && kind != Kind::TOMBSTONE {
            return;
        }
        match (record, person) {
            (Record::Change(change), Some(person)) => {
                let documents = if kind == Kind::CONTRIBUTION { &mut self.contributions } else { &mut self.meetings };
                let facts = documents.entry(subject).or_insert(DocumentFacts {
                    person,
                    first: id,
                    entries: BTreeSet::new(),
                    replaces: None,
                });
                if creates {
                    self.replaced.extend(change.replaces.map(|replaced| (subject, replaced)));
                    facts.person = person;
                    facts.first = id;
                    facts.replaces = change.replaces;
                }
                facts.entries.insert(place);
            }
            (Record::Voice(voice), Some(person)) => self.voice(subject, id, person, voice),
            (Record::Decision(decision), Some(person)) => {
                for about in &decision.about {
                    self.decided.entry(*about).or_default().insert(id);
                }
                self.decisions.insert(id, DecisionFacts { id, person, decision: decision.clone() });
            }
            (Record::Tombstone(Tombstone::Owner { .. }), _) => self.erase(subject),
            (Record::Tombstone(Tombstone::Administrator { .. }), _) => {
                self.hidden.entry(subject).or_default().insert(id);
            }
            _ => {}
        }
    }

    /// Takes back an entry that no longer counts: its chain was cut before it, or another branch stands in its place.
    pub fn ceases(&mut self, place: Place, id: EntryId, subject: SubjectId) {
        for documents in [&mut self.contributions, &mut self.meetings] {
            if let Some(facts) = documents.get_mut(&subject) {
                facts.entries.remove(&place);
                if facts.entries.is_empty() {
                    documents.remove(&subject);
                    self.replaced.remove(&subject);
                }
            }
        }
        if let Some(key) = self.voice_subjects.get(&subject).copied()
            && let Some(all) = self.voices.get_mut(&key)
        {
            all.retain(|spoken| spoken.id != id);
            if !all.iter().any(|spoken| spoken.subject == subject) {
                self.voice_subjects.remove(&subject);
            }
            if all.is_empty() {
                self.voices.remove(&key);
            }
        }
        if let Some(facts) = self.decisions.remove(&id) {
            for about in &facts.decision.about {
                if let Some(ids) = self.decided.get_mut(about) {
                    ids.remove(&id);
                }
            }
        }
        if let Some(by) = self.hidden.get_mut(&subject) {
            by.remove(&id);
            if by.is_empty() {
                self.hidden.remove(&subject);
            }
        }
    }

    /// Whether staff hid a subject, to have it erased.
    #[must_use]
    pub fn is_hidden(&self, subject: SubjectId) -> bool {
        self.hidden.contains_key(&subject)
    }

    fn voice(&mut self, subject: SubjectId, id: EntryId, person: PersonId, voice: &Voice) {
        let spoken = Spoken { subject, counter: voice.counter, id, choice: voice.choice };
        // A subject of voice is about one question for good.
        if *self.voice_subjects.entry(subject).or_insert((voice.question, person)) != (voice.question, person) {
            return;
        }
        let all = self.voices.entry((voice.question, person)).or_default();
        if !all.contains(&spoken) {
            all.push(spoken);
        }
    }

    /// Forgets everything about a subject that was erased.
    pub fn erase(&mut self, subject: SubjectId) {
        self.contributions.remove(&subject);
        self.meetings.remove(&subject);
        if let Some(key) = self.voice_subjects.remove(&subject)
            && let Some(all) = self.voices.get_mut(&key)
        {
            all.retain(|spoken| spoken.subject != subject);
            if all.is_empty() {
                self.voices.remove(&key);
            }
        }
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

    /// All contributions.
    pub fn contributions(&self) -> impl Iterator<Item = (SubjectId, &DocumentFacts)> {
        self.shown(&self.contributions)
    }

    /// All meetings.
    pub fn meetings(&self) -> impl Iterator<Item = (SubjectId, &DocumentFacts)> {
        self.shown(&self.meetings)
    }

    fn shown<'v>(
        &'v self,
        documents: &'v BTreeMap<SubjectId, DocumentFacts>,
    ) -> impl Iterator<Item = (SubjectId, &'v DocumentFacts)> {
        let shown = documents.iter().filter(|(subject, _)| !self.is_hidden(**subject));
        shown.map(|(subject, facts)| (*subject, facts))
    }

    /// One contribution or meeting.
    #[must_use]
    pub fn document(&self, subject: SubjectId) -> Option<(Kind, &DocumentFacts)> {
        if self.is_hidden(subject) {
            return None;
        }
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
        let mut ids: BTreeSet<EntryId> = BTreeSet::new();
        let (mut at, mut seen) = (Some(subject), BTreeSet::new());
        while let Some(subject) = at.filter(|subject| seen.insert(*subject)) {
            ids.extend(self.decided.get(&subject).into_iter().flatten());
            at = self.replaced.get(&subject).copied();
        }
        let all: Vec<&DecisionFacts> = ids.iter().filter_map(|id| self.decisions.get(id)).collect();
        let replaced: BTreeSet<EntryId> =
            all.iter().flat_map(|facts| facts.decision.replaces.iter().copied()).collect();
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
