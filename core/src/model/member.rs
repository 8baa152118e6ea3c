//! Who belongs to the wijk and in which role: roles, cards, grants, and what takes them away.

use super::id::{BatchId, DeviceId, EntryId, InvitationKey, PersonId, SpaceId, SubjectId};

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
    /// Signs agreements for an organisation.
    Party,
}

impl Role {
    /// All roles, in order of their numbers.
    pub const ALL: [Self; 5] = [Self::Resident, Self::Facilitator, Self::Board, Self::Administrator, Self::Party];

    /// Its number in entries and on the wire.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Resident => 1,
            Self::Facilitator => 2,
            Self::Board => 3,
            Self::Administrator => 4,
            Self::Party => 5,
        }
    }

    /// The role with this number, if this version knows it.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.number() == number)
    }

    /// How high it stands where others want to give or take it: only a strictly higher [`Role::authority`] may. The root
    /// stands above all and has no role.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Resident => 1,
            Self::Facilitator | Self::Board | Self::Party => 2,
            Self::Administrator => 3,
        }
    }

    /// What it may give and take: everything of a lower rank. A party representative is protected like the board and may
    /// give nothing: the organisation speaks through agreements, not through members.
    #[must_use]
    pub fn authority(self) -> u8 {
        match self {
            Self::Resident | Self::Party => 1,
            Self::Facilitator | Self::Board => 2,
            Self::Administrator => 3,
        }
    }
}

/// What a card gives to whoever joins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gives {
    /// A person of its own, in this role.
    Role(Role),
    /// One more device of the person who made the card.
    Device(PersonId),
}

/// A card somebody may join with. Only the public half of its key is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Public half of the card's key.
    pub key: InvitationKey,
    /// What it gives.
    pub gives: Gives,
    /// Cards that were made together, and can be withdrawn together.
    pub batch: Option<BatchId>,
}

impl Invitation {
    /// A card of no batch for a role.
    #[must_use]
    pub fn to_role(key: InvitationKey, role: Role) -> Self {
        Self { key, gives: Gives::Role(role), batch: None }
    }
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
    /// For a party representative: the organisation's record.
    pub organisation: Option<SubjectId>,
}

impl Grant {
    /// A role that needs no organisation.
    #[must_use]
    pub fn of(person: PersonId, role: Role) -> Self {
        Self { person, role, organisation: None }
    }
}

/// Longest name of an organisation in bytes.
pub const ORGANISATION_BYTES_MAX: usize = 200;

/// An organisation that can be party to agreements. Holds no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organisation {
    /// Its name.
    pub name: String,
}

/// The root names the wijk's server. Its identity key certifies the key of each epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerIdentity {
    /// The identity key.
    pub key: DeviceId,
}

/// The key of a server's epoch presents itself: from then on it may write what only the server says (cuts, settlements,
/// drops, counts), and can be sealed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochKey {
    /// The identity that certifies it.
    pub identity: DeviceId,
    /// The epoch.
    pub epoch: [u8; 16],
    /// The identity's signature over wijk, epoch and key, as in a server's hello.
    pub certificate: [u8; 64],
    /// X25519 public key for envelopes to the server.
    pub encryption_key: [u8; 32],
}

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RevocationTarget {
    /// One device of a person.
    Device(DeviceId),
    /// A person with all devices and roles.
    Person(PersonId),
    /// One role, by the entry that granted it.
    Grant(EntryId),
    /// A revocation itself: whoever ranks above its author takes it back, and what the cuts ended counts again.
    Revocation(EntryId),
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RevocationReason {
    /// The device is lost or stolen.
    Lost,
    /// The person left, or the role ended.
    Left,
    /// The wijk was harmed with it.
    Abuse,
}

impl RevocationReason {
    /// All, in order of their numbers.
    pub const ALL: [Self; 3] = [Self::Lost, Self::Left, Self::Abuse];

    /// Its number in entries.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Lost => 1,
            Self::Left => 2,
            Self::Abuse => 3,
        }
    }

    /// The reason with this number, if this version knows it.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.number() == number)
    }
}

/// Chains a revocation may name: a person's devices in the two spaces that every device writes.
pub const SEEN_MAX: usize = 64;

/// The end of a chain as somebody saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainEnd {
    /// The space.
    pub space: SpaceId,
    /// Whose chain.
    pub device: DeviceId,
    /// How many entries it had.
    pub entries: u64,
    /// The last of them; zero for none.
    pub last: EntryId,
}

/// Takes a device, a person or a role away. Counts only from a strictly higher rank, or among one person's own devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What.
    pub target: RevocationTarget,
    /// Why.
    pub reason: RevocationReason,
    /// What its author had seen of the target: no cut may fall before it.
    pub seen: Vec<ChainEnd>,
}

/// The server's word where a revoked chain ends: entries up to here count, later ones don't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where.
    pub end: ChainEnd,
    /// The revocation that it carries out.
    pub revocation: EntryId,
}

/// The server's word on what happened twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Of all devices that joined with a card this one is in; nobody, when the card was withdrawn before anybody came.
    Card {
        /// The card.
        card: InvitationKey,
        /// The device.
        device: Option<DeviceId>,
    },
    /// Of two entries at one place of a chain this one stands.
    Fork {
        /// The space.
        space: SpaceId,
        /// Whose chain.
        device: DeviceId,
        /// Where.
        seq: u64,
        /// The entry that stands.
        id: EntryId,
    },
}

/// Cards that nobody may join with any more. Who joined before stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// The batch.
    pub batch: BatchId,
}
