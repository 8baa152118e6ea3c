//! What a wijk knows, without bytes, network or disk.
//!
//! A *wijk* is the neighbourhood that works together and the tenant of everything here; *buurt* is a part of it. Both words
//! have no exact English counterpart and stay Dutch; all other names are the field's English terms.

pub mod closed;
pub mod contribution;
pub mod decision;
pub mod directory;
pub mod id;
pub mod member;
pub mod notice;
pub mod poll;
pub mod voice;

pub use closed::{AnswerWords, Enrolment, Generation, Sealed, SealedAnswer, SealedWords, Way, Wrap};
pub use contribution::{Content, MeetingText, NoteItem};
pub use decision::{Decision, Outcome};
pub use directory::{AreaCode, Buurt, Directory, Theme};
pub use id::{BatchId, DeviceId, EntryId, GenerationId, InvitationKey, PersonId, ReplyId, SpaceId, SubjectId, WijkId};
pub use member::{
    ChainEnd, Cut, EpochKey, Gives, Grant, Invitation, Join, Organisation, Revocation, RevocationReason,
    RevocationTarget, Role, ServerIdentity, Settlement, Withdrawal,
};
pub use notice::{Measure, Ruling};
pub use poll::Tally;
pub use voice::{Choice, Voice};
