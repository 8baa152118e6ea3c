//! Who belongs to the wijk and in which role.

use super::id::{DeviceId, InvitationKey, PersonId};

/// A role, lowest first. "Experience expert" is not among them: a public list of them would publish a stigma.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Lives in the wijk.
    Resident,
    /// Leads meetings and hands out cards.
    Facilitator,
    /// Sits on the board and answers.
    Board,
    /// Keeps the server and the wijk's directory.
    Administrator,
}

impl Role {
    /// Its number in entries and on the wire.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Resident => 1,
            Self::Facilitator => 2,
            Self::Board => 3,
            Self::Administrator => 4,
        }
    }

    /// The role with this number, if this version knows it.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Resident, Self::Facilitator, Self::Board, Self::Administrator].into_iter().find(|r| r.number() == number)
    }

    /// Rank in the fold of membership: administrator above facilitator and board, those above resident. The root stands
    /// above all and has no role.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Resident => 1,
            Self::Facilitator | Self::Board => 2,
            Self::Administrator => 3,
        }
    }
}

/// A card somebody may join with. Only the public half of its key is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Public half of the card's key.
    pub key: InvitationKey,
    /// Role of whoever joins with it.
    pub role: Role,
}

/// A new device joins with a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The card.
    pub invitation: InvitationKey,
    /// The person who joins.
    pub person: PersonId,
    /// Signature of the card's key over wijk, device and person.
    pub proof: [u8; 64],
    /// X25519 public key for messages sealed to this device.
    pub encryption_key: [u8; 32],
}

/// Somebody of a higher rank gives a person one more role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who receives it.
    pub person: PersonId,
    /// What.
    pub role: Role,
}

/// The root names the wijk's server. Its identity key certifies the key of each epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerIdentity {
    /// The identity key.
    pub key: DeviceId,
}
