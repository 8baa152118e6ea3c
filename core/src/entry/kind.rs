//! Kinds of entries. The numbers stand in signed headers for ever; new kinds get new numbers.

use std::fmt;

/// What an entry is. Unknown kinds exist: a phone keeps and relays what a newer app wrote.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u64);

impl Kind {
    /// The first entry of a wijk.
    pub const GENESIS: Self = Self(1);
    /// A role given to a person.
    pub const GRANT: Self = Self(2);
    /// A card to join with.
    pub const INVITATION: Self = Self(5);
    /// A device that joins.
    pub const JOIN: Self = Self(6);
    /// The wijk's server.
    pub const SERVER: Self = Self(7);
    /// A subject's erasure.
    pub const TOMBSTONE: Self = Self(9);
    /// The wijk's directory.
    pub const DIRECTORY: Self = Self(10);
    /// A contribution (document).
    pub const CONTRIBUTION: Self = Self(20);
    /// Meeting notes (document).
    pub const MEETING: Self = Self(21);
    /// One person's voice on one question.
    pub const VOICE: Self = Self(22);
    /// A decision of the board.
    pub const DECISION: Self = Self(23);
    /// A device, a person or a role taken away.
    pub const REVOCATION: Self = Self(3);
    /// Where a revoked chain ends.
    pub const CUT: Self = Self(8);
    /// The key of a server's epoch.
    pub const EPOCH: Self = Self(11);
    /// What stands of something that happened twice.
    pub const SETTLEMENT: Self = Self(12);
    /// Cards that nobody may join with any more.
    pub const WITHDRAWAL: Self = Self(13);
    /// An organisation that can be party to agreements.
    pub const ORGANISATION: Self = Self(14);
    /// A device's key for a closed space.
    pub const ENROLMENT: Self = Self(15);
    /// A key pair that a closed space seals to.
    pub const GENERATION: Self = Self(16);
    /// The private half of a generation, for one member.
    pub const WRAP: Self = Self(17);
    /// A card to come into a circle with.
    pub const CIRCLE_CARD: Self = Self(19);
    /// Something that only members of a closed space can open.
    pub const SEALED: Self = Self(24);
    /// The same, brought by the server without saying who wrote it.
    pub const DROPPED: Self = Self(25);
    /// An answer that only the holder of a receipt can open.
    pub const ANSWER: Self = Self(26);
    /// One person's secret answer to one question.
    pub const BALLOT: Self = Self(27);
    /// Staff asks the server to count a secret poll.
    pub const COUNT: Self = Self(28);
    /// The server's count of a secret poll.
    pub const TALLY: Self = Self(29);
    /// What was ruled on a notice, with reasons.
    pub const RULING: Self = Self(30);

    /// All kinds of this version, in order of their numbers.
    pub const ALL: [Self; 28] = [
        Self::GENESIS,
        Self::GRANT,
        Self::REVOCATION,
        Self::INVITATION,
        Self::JOIN,
        Self::SERVER,
        Self::CUT,
        Self::TOMBSTONE,
        Self::DIRECTORY,
        Self::EPOCH,
        Self::SETTLEMENT,
        Self::WITHDRAWAL,
        Self::ORGANISATION,
        Self::ENROLMENT,
        Self::GENERATION,
        Self::WRAP,
        Self::CIRCLE_CARD,
        Self::CONTRIBUTION,
        Self::MEETING,
        Self::VOICE,
        Self::DECISION,
        Self::SEALED,
        Self::DROPPED,
        Self::ANSWER,
        Self::BALLOT,
        Self::COUNT,
        Self::TALLY,
        Self::RULING,
    ];

    /// Its name in this version, if it has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::GENESIS => "genesis",
            Self::GRANT => "grant",
            Self::INVITATION => "invitation",
            Self::JOIN => "join",
            Self::SERVER => "server",
            Self::TOMBSTONE => "tombstone",
            Self::DIRECTORY => "directory",
            Self::CONTRIBUTION => "contribution",
            Self::MEETING => "meeting",
            Self::VOICE => "voice",
            Self::DECISION => "decision",
            Self::REVOCATION => "revocation",
            Self::CUT => "cut",
            Self::EPOCH => "epoch",
            Self::SETTLEMENT => "settlement",
            Self::WITHDRAWAL => "withdrawal",
            Self::ORGANISATION => "organisation",
            Self::ENROLMENT => "enrolment",
            Self::GENERATION => "generation",
            Self::WRAP => "wrap",
            Self::CIRCLE_CARD => "circle card",
            Self::SEALED => "sealed",
            Self::DROPPED => "dropped",
            Self::ANSWER => "answer",
            Self::BALLOT => "ballot",
            Self::COUNT => "count",
            Self::TALLY => "tally",
            Self::RULING => "ruling",
            _ => return None,
        })
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "kind {}", self.0),
        }
    }
}
