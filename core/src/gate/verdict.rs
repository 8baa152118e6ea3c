//! What the gate says of an entry's body, as a number that stands in signed logs.

use super::change::ChangeRefusal;

/// Whether a body counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It counts.
    Present,
    /// A grant or a dependency may still come.
    Pending,
    /// Its subject was erased.
    Erased,
    /// It can never count.
    Refused(Reason),
}

/// Why a body can never count. The numbers stand in signed logs; the author reads them as plain words on the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The body has not the form of its kind.
    Form,
    /// This kind doesn't belong in this space.
    Space,
    /// This kind can't have a second entry on its subject.
    Final,
    /// Somebody else's.
    Owner,
    /// The rank of the author is too low and can't become high enough.
    Rank,
    /// This kind can't be erased this way.
    NotErasable,
    /// The tombstone doesn't prove itself.
    FalseTombstone,
    /// The subject exists already.
    SubjectTaken,
    /// The entry that created the subject was refused.
    SubjectRefused,
    /// The wijk's genesis is another one.
    OtherGenesis,
    /// The card's signature isn't right.
    FalseCard,
    /// A newer kind than this server knows.
    NewerKind,
    /// The change names another actor than its device and session give.
    Actor,
    /// The change isn't the next one of its actor.
    Sequence,
    /// The change's operations don't begin where those it depends on end.
    StartOp,
    /// The document would become too large.
    TooManyOps,
    /// Another device joined with the same card.
    CardUsed,
    /// A reason of a newer program, by its verdict number.
    Newer(u64),
    /// The change chunk itself; the second number says what.
    Change(u16),
}

/// Numbers of reasons begin here, those of change refusals at [`CHANGE_BASE`].
const REASON_BASE: u64 = 16;
const CHANGE_BASE: u64 = 256;

const REASONS: [Reason; 17] = [
    Reason::Form,
    Reason::Space,
    Reason::Final,
    Reason::Owner,
    Reason::Rank,
    Reason::NotErasable,
    Reason::FalseTombstone,
    Reason::SubjectTaken,
    Reason::SubjectRefused,
    Reason::OtherGenesis,
    Reason::FalseCard,
    Reason::NewerKind,
    Reason::Actor,
    Reason::Sequence,
    Reason::StartOp,
    Reason::TooManyOps,
    Reason::CardUsed,
];

impl From<&ChangeRefusal> for Reason {
    fn from(refusal: &ChangeRefusal) -> Self {
        Self::Change(refusal.number())
    }
}

impl Verdict {
    /// Its number in logs.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Present => 0,
            Self::Pending => 1,
            Self::Erased => 2,
            Self::Refused(Reason::Change(number)) => CHANGE_BASE + u64::from(number),
            Self::Refused(Reason::Newer(number)) => number,
            Self::Refused(reason) => REASON_BASE + REASONS.iter().position(|r| *r == reason).map_or(0, |at| at as u64),
        }
    }

    /// The verdict with this number. One of a newer program reads as a refusal whose reason isn't known here, and keeps its
    /// number, so that old phones can follow a newer server's log.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let known = |at: u64| REASONS.get(usize::try_from(at).ok()?).copied();
        match number {
            0 => Self::Present,
            1 => Self::Pending,
            2 => Self::Erased,
            _ => Self::Refused(match number.checked_sub(CHANGE_BASE).map(u16::try_from) {
                Some(Ok(change)) => Reason::Change(change),
                _ => number.checked_sub(REASON_BASE).and_then(known).unwrap_or(Reason::Newer(number)),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_survive_their_numbers() {
        let refused = REASONS.into_iter().chain([Reason::Change(0), Reason::Change(u16::MAX)]).map(Verdict::Refused);
        for verdict in [Verdict::Present, Verdict::Pending, Verdict::Erased].into_iter().chain(refused) {
            assert_eq!(Verdict::from_number(verdict.number()), verdict);
        }
        for number in [3, 15, 99, 255, 1 << 40] {
            assert_eq!(Verdict::from_number(number).number(), number);
        }
    }
}
