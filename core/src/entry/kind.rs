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
