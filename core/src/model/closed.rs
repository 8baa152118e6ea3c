//! Closed spaces: who is in, the keys of their generations, and what is sealed to them.
//!
//! A device writes in each closed space with a key of its own, so that nobody outside can tell by a key who wrote where.

use super::contribution::Content;
use super::id::{DeviceId, EntryId, GenerationId, InvitationKey, ReplyId, SpaceId, SubjectId};

/// By what right a device comes into a closed space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By its person's role (board, inbox), or because the space is its person's own.
    Right,
    /// It founds this circle: the circle's id is the hash of its device and these bytes.
    Founds([u8; 16]),
    /// With a card of the circle.
    Card {
        /// The card.
        card: InvitationKey,
        /// Signature of the card's key over the enrolment.
        proof: [u8; 64],
    },
}

/// A device's key for one closed space presents itself; the first entry of its chain there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The device behind it. Only the server and the members of the space read this.
    pub device: DeviceId,
    /// X25519 public key that generations are wrapped to.
    pub encryption_key: [u8; 32],
    /// The device's signature over wijk, space, this key and its encryption key.
    pub signature: [u8; 64],
    /// By what right.
    pub way: Way,
}

/// Generations that one generation replaces: as many as devices could start apart from each other.
pub const GENERATION_REPLACES_MAX: usize = 16;

/// A key pair that a closed space seals to, from now on. Only its public half stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The space it is for.
    pub space: SpaceId,
    /// The X25519 public half; its hash is the generation's id.
    pub public: [u8; 32],
    /// The generations it takes the place of.
    pub replaces: Vec<GenerationId>,
}

/// Longest wrapped key in bytes: a key, its encapsulation and its tag.
pub const WRAP_BYTES_MAX: usize = 128;

/// The private half of a generation, wrapped to one member's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrap {
    /// The generation.
    pub generation: GenerationId,
    /// The member's key in this space.
    pub to: DeviceId,
    /// The wrapped key.
    pub sealed: Vec<u8>,
}

/// The sizes of what is sealed, in bytes: all of it, with the encapsulated key in front and the checksum behind. One and four
/// KiB hold nearly every contribution (a page of text is three), sixteen the longest; each further step would tell more.
pub const SEALED_STEPS: [usize; 3] = [1024, 4 * 1024, 16 * 1024];
/// Longest sealed bytes.
pub const SEALED_BYTES_MAX: usize = SEALED_STEPS[2];

/// Something only members of a closed space can open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The generation it is sealed to.
    pub generation: GenerationId,
    /// The sealed bytes, one of the padding steps long.
    pub bytes: Vec<u8>,
}

/// An answer that only the holder of a receipt can open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedAnswer {
    /// Whose receipt.
    pub to: ReplyId,
    /// The sealed bytes, one of the padding steps long.
    pub bytes: Vec<u8>,
}

/// Longest text of a notice, a reason or an appeal in characters: one page.
pub const NOTICE_CHARS_MAX: usize = 4_000;

/// What is inside a sealed body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealedWords {
    /// Something somebody wants the board or a circle to know.
    Story {
        /// The words.
        content: Content,
        /// X25519 public key for answers, which follows from the author's receipt; none when no answer is wanted.
        reply: Option<[u8; 32]>,
    },
    /// "This is illegal or harmful" (DSA article 16).
    Notice {
        /// What it is about.
        about: SubjectId,
        /// Why, in the notifier's words.
        text: String,
        /// For the answer.
        reply: Option<[u8; 32]>,
    },
    /// "I don't agree with this ruling" (DSA article 20).
    Appeal {
        /// The ruling.
        ruling: EntryId,
        /// Why.
        text: String,
        /// For the answer.
        reply: Option<[u8; 32]>,
    },
    /// A note among members of the space.
    Note {
        /// The words.
        text: String,
    },
    /// The secret from which a person's erase secrets follow, for the person's other devices.
    PersonSecret([u8; 32]),
}

impl SealedWords {
    /// The key to answer to, where an answer is wanted.
    #[must_use]
    pub const fn reply(&self) -> Option<[u8; 32]> {
        match self {
            Self::Story { reply, .. } | Self::Notice { reply, .. } | Self::Appeal { reply, .. } => *reply,
            Self::Note { .. } | Self::PersonSecret(_) => None,
        }
    }
}

/// What a sealed answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerWords {
    /// The answer in simple words.
    pub answer: String,
}
