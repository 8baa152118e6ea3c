//! Rulings on notices of illegal or harmful content (DSA articles 16 and 17). A ruling is always a person's: nothing is
//! hidden by a program, and the author can appeal.

use super::id::{EntryId, SubjectId};

/// Longest statement of reasons in bytes: one page.
pub const REASON_BYTES_MAX: usize = 4 * 1024;
/// Longest ground in bytes: an article of a law or a rule of the house.
pub const GROUND_BYTES_MAX: usize = 200;

/// What was ruled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// It stays, or may be seen again.
    Keep,
    /// It is hidden on every screen; the author still sees it, with the reasons.
    Hide,
}

impl Measure {
    /// Its number in entries.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Keep => 1,
            Self::Hide => 2,
        }
    }

    /// The measure with this number, if this version knows it.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Keep, Self::Hide].into_iter().find(|measure| measure.number() == number)
    }
}

/// A ruling with its statement of reasons. Of several on one subject the highest counter counts, ties by entry id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// What it is about.
    pub about: SubjectId,
    /// What was ruled.
    pub measure: Measure,
    /// The law or rule it rests on; never empty.
    pub ground: String,
    /// Why, in simple words, for the author; never empty.
    pub reason: String,
    /// The sealed notice or appeal it answers, if it does.
    pub answers: Option<SubjectId>,
    /// One more than the newest ruling on this subject that its author knew.
    pub counter: u64,
    /// The ruling it replaces.
    pub replaces: Option<EntryId>,
}
