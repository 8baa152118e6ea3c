//! The board's decision on one or more contributions, with the answer everybody may read.

use super::id::{EntryId, SubjectId};

/// Longest reason or answer in bytes: one page; an answer in simple words is shorter.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024;
/// Longest name of a responsible party in bytes.
pub const PARTY_BYTES_MAX: usize = 200;
/// Contributions that one decision answers: a month's worth of one theme.
pub const ABOUT_MAX: usize = 256;
/// Decisions that one decision replaces: as many as board members could write apart from each other.
pub const REPLACES_MAX: usize = 32;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It will be done.
    Yes,
    /// It won't be done.
    No,
    /// A part of it will be done.
    Partly,
    /// It will be decided later.
    Later,
}

impl Outcome {
    /// All, in order of their numbers.
    pub const ALL: [Self; 4] = [Self::Yes, Self::No, Self::Partly, Self::Later];

    /// Its number in entries.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Yes => 1,
            Self::No => 2,
            Self::Partly => 3,
            Self::Later => 4,
        }
    }

    /// The outcome with this number, if this version knows it.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.number() == number)
    }
}

/// A decision with its public answer. Two that do not replace each other mean "not agreed yet", and both are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The contributions it answers, 1 to [`ABOUT_MAX`].
    pub about: Vec<SubjectId>,
    /// What was decided.
    pub outcome: Outcome,
    /// Why; never empty.
    pub reason: String,
    /// The answer in simple words; never empty.
    pub answer: String,
    /// Who does it, or empty.
    pub party: String,
    /// By when, as days since 1 January 1970.
    pub due_day: Option<u32>,
    /// Earlier decisions on the same contributions that its author had seen and takes back.
    pub replaces: Vec<EntryId>,
}
