//! Secret polls: answers that only the server reads, and the counts it publishes.

use super::id::SubjectId;
use super::voice::Choice;

/// Fewest answers that may be shown: below, a count could give a neighbour away (the design's k for the public).
pub const TALLY_MIN: u64 = 10;

/// The server's count of a secret poll. Choices below [`TALLY_MIN`] aren't in it, and neither is a total, from which they
/// could be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// What was asked.
    pub question: SubjectId,
    /// Choices and how many people made them, in order of the choices' numbers.
    pub counts: Vec<(Choice, u64)>,
}
