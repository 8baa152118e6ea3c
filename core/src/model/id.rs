//! Ids: one newtype each, so that two of them can't be swapped.

use std::fmt;

/// Reads lower-case hexadecimal digits; nothing where there are others, more or fewer of them.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_lower = !text.bytes().any(|letter| letter.is_ascii_uppercase());
    (is_lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
            /// All bytes zero: stands for "none" where the format says so.
            pub const ZERO: Self = Self([0; $len]);

            /// From its bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// From lower-case hexadecimal digits.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                from_hex(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Four bytes are enough to follow one thing through a log, and too few to be taken for the id.
                write!(f, "{}({}…)", stringify!($name), hex::encode(&self.0[..4]))
            }
        }
    };
}

id!(
    /// The wijk: hash of its genesis.
    WijkId, 32
);
id!(
    /// A device: its Ed25519 public key.
    DeviceId, 32
);
id!(
    /// A person in one wijk: random, no name needed.
    PersonId, 16
);
id!(
    /// An entry: hash of its header.
    EntryId, 32
);
id!(
    /// What an entry is about: a contribution, a meeting, one person's voice on one question.
    SubjectId, 16
);
id!(
    /// The public half of an invitation card's key.
    InvitationKey, 32
);
id!(
    /// A generation of a closed space's key pair: hash of its public half.
    GenerationId, 16
);
id!(
    /// What the holder of a receipt looks for: hash of the public half of the receipt's key.
    ReplyId, 16
);

id!(
    /// Cards that were made together.
    BatchId, 8
);

/// Who may read and write together, and the unit of sync.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpaceId {
    /// Who belongs, invitations, the wijk's directory. Syncs first; all that a stranger may read.
    Members,
    /// All members.
    Open,
    /// Private notes of the board.
    Board,
    /// Sealed input for the board.
    Inbox,
    /// Secret poll answers.
    Ballot,
    /// A closed circle of experience experts.
    Circle([u8; 16]),
    /// Between one person's devices.
    Own(PersonId),
}

impl SpaceId {
    /// Its byte form: a number, and 16 bytes of id where it has one. Never one the beginning of another.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let (number, id) = match self {
            Self::Members => (0, None),
            Self::Open => (1, None),
            Self::Board => (2, None),
            Self::Inbox => (3, None),
            Self::Ballot => (4, None),
            Self::Circle(id) => (5, Some(id)),
            Self::Own(person) => (6, Some(*person.as_bytes())),
        };
        let mut bytes = vec![number];
        bytes.extend(id.iter().flatten());
        bytes
    }

    /// Whether its bodies are sealed to a key of its own, and each device writes in it with a key of its own.
    #[must_use]
    pub fn is_closed(self) -> bool {
        match self {
            Self::Members | Self::Open | Self::Ballot => false,
            Self::Board | Self::Inbox | Self::Circle(_) | Self::Own(_) => true,
        }
    }

    /// From its byte form.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (number, id) = bytes.split_first()?;
        let id: Option<[u8; 16]> = if id.is_empty() { None } else { Some(id.try_into().ok()?) };
        Some(match (number, id) {
            (0, None) => Self::Members,
            (1, None) => Self::Open,
            (2, None) => Self::Board,
            (3, None) => Self::Inbox,
            (4, None) => Self::Ballot,
            (5, Some(id)) => Self::Circle(id),
            (6, Some(id)) => Self::Own(PersonId::new(id)),
            _ => return None,
        })
    }
}

impl fmt::Display for SpaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Members => f.write_str("members"),
            Self::Open => f.write_str("open"),
            Self::Board => f.write_str("board"),
            Self::Inbox => f.write_str("inbox"),
            Self::Ballot => f.write_str("ballot"),
            Self::Circle(id) => write!(f, "circle/{}", hex::encode(id)),
            Self::Own(person) => write!(f, "own/{person}"),
        }
    }
}

impl fmt::Debug for SpaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_survive_their_byte_form() {
        let all = [
            SpaceId::Members,
            SpaceId::Open,
            SpaceId::Board,
            SpaceId::Inbox,
            SpaceId::Ballot,
            SpaceId::Circle([7; 16]),
            SpaceId::Own(PersonId::new([9; 16])),
        ];
        for space in all {
            assert_eq!(SpaceId::from_bytes(&space.to_bytes()), Some(space));
        }
        for odd in [&[][..], &[7], &[1, 1], &[5], &[5, 1]] {
            assert_eq!(SpaceId::from_bytes(odd), None);
        }
    }
}
