//! One person's voice on one question: support, or agree, disagree, pass.

use super::id::{EntryId, SubjectId};

/// What somebody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// "I support this."
    Support,
    /// Takes an earlier voice back.
    Withdrawn,
    /// Agrees with a statement.
    Agree,
    /// Disagrees with a statement.
    Disagree,
    /// Has seen it and gives no opinion.
    Pass,
}

impl Choice {
    /// All, in order of their numbers.
    pub const ALL: [Self; 5] = [Self::Support, Self::Withdrawn, Self::Agree, Self::Disagree, Self::Pass];

    /// Its number in entries.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Support => 1,
            Self::Withdrawn => 2,
            Self::Agree => 3,
            Self::Disagree => 4,
            Self::Pass => 5,
        }
    }

    /// The choice with this number, if this version knows it.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.number() == number)
    }
}

/// A voice. Of all voices of one person on one question the newest counts: highest counter, ties by entry id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// What it is about: the subject of a contribution.
    pub question: SubjectId,
    /// What the person says.
    pub choice: Choice,
    /// One more than the newest voice of this person that the device knew.
    pub counter: u64,
    /// The voice it replaces.
    pub replaces: Option<EntryId>,
}
