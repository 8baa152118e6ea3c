//! What staff said of other people's words: rulings on notices, and erasures with a legal ground. Kept as they were said; what
//! follows from them is read off when it is shown, so nothing here depends on the order they came in.

use crate::model::{EntryId, PersonId, Ruling, SpaceId, SubjectId};
use crate::ordered::Map;
use crate::replica::Place;

/// A ruling with its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulingFacts {
    /// The entry.
    pub id: EntryId,
    /// Who ruled.
    pub person: PersonId,
    /// What was ruled.
    pub ruling: Ruling,
}

/// One signature under an erasure with a legal ground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureFacts {
    /// The entry.
    pub id: EntryId,
    /// Where it stands: the role it was signed in follows from that.
    pub place: Place,
    /// Who signed.
    pub person: PersonId,
    /// The legal ground.
    pub ground: String,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Moderation {
    rulings: Map<SubjectId, Map<(u64, EntryId), RulingFacts>>,
    erasures: Map<(SpaceId, SubjectId), Map<EntryId, ErasureFacts>>,
}

impl Moderation {
    pub fn rule(&mut self, id: EntryId, person: PersonId, ruling: &Ruling) {
        let facts = RulingFacts { id, person, ruling: ruling.clone() };
        self.rulings.entry(ruling.about).or_default().insert((ruling.counter, id), facts);
    }

    pub fn sign(&mut self, subject: SubjectId, facts: ErasureFacts) {
        self.erasures.entry((facts.place.space, subject)).or_default().insert(facts.id, facts);
    }

    /// All rulings on a subject; the last one counts: highest counter, ties by entry id.
    pub fn rulings_on(&self, subject: SubjectId) -> impl DoubleEndedIterator<Item = &RulingFacts> {
        self.rulings.get(&subject).into_iter().flat_map(|rulings| rulings.values())
    }

    pub fn ruled(&self) -> impl Iterator<Item = SubjectId> + '_ {
        self.rulings.keys().copied()
    }

    pub fn signatures(&self, space: SpaceId, subject: SubjectId) -> impl Iterator<Item = &ErasureFacts> {
        self.erasures.get(&(space, subject)).into_iter().flat_map(|signed| signed.values())
    }

    pub fn signed(&self) -> impl Iterator<Item = (SpaceId, SubjectId)> + '_ {
        self.erasures.keys().copied()
    }
}
