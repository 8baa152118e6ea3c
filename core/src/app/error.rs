//! Why a command can't be done: one reason for each thing that somebody can do something about. Nothing was written then.

use std::sync::Arc;

use crate::document::meeting::MeetingEditError;
use crate::gate::Reason;
use crate::model::{DeviceId, SpaceId, SubjectId, WijkId};
use crate::replica::ReplicaError;
use crate::seal::SealError;
use crate::store::StoreError;

/// Why a command can't be done. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// This store has no wijk yet.
    #[error("this device hasn't joined a wijk yet")]
    NotJoined,
    /// This store has a wijk already.
    #[error("this device belongs to wijk {wijk} already; another wijk needs another data folder")]
    AlreadyJoined {
        /// The wijk.
        wijk: WijkId,
    },
    /// There is nothing with this id here, or it was erased.
    #[error("there is no {what} {subject} on this device")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The id.
        subject: SubjectId,
    },
    /// It belongs to somebody else.
    #[error("{subject} was written by somebody else")]
    NotOwn {
        /// The id.
        subject: SubjectId,
    },
    /// Another device of this person wrote it, and this one hasn't got its secret yet.
    #[error("{subject} was written on another device of yours; it can be erased there, or here after both have synced")]
    OtherDevice {
        /// The id.
        subject: SubjectId,
    },
    /// A text is empty or too long.
    #[error("the {what} has {chars} characters; 1 to {max} are allowed")]
    Length {
        /// Which text.
        what: &'static str,
        /// How long it is.
        chars: usize,
        /// How long it may be.
        max: usize,
    },
    /// A number is out of range.
    #[error("{what}: {value} isn't between {min} and {max}")]
    Range {
        /// Of what.
        what: &'static str,
        /// What was given.
        value: usize,
        /// Least.
        min: usize,
        /// Most.
        max: usize,
    },
    /// Nothing is sealed there.
    #[error("nothing can be sealed into {space}; the inbox of the board and circles take sealed input")]
    NotSealable {
        /// The space.
        space: SpaceId,
    },
    /// This device has no key there (yet).
    #[error("this device has no key to {space} yet; it comes with the next sync after somebody in it was online")]
    NoKey {
        /// The space.
        space: SpaceId,
    },
    /// It could not be sealed.
    #[error("it could not be sealed")]
    Seal {
        /// Why.
        #[source]
        cause: SealError,
    },
    /// The card is of another wijk.
    #[error("this card is of wijk {wijk}, not of the one this device belongs to")]
    OtherWijk {
        /// The card's wijk.
        wijk: WijkId,
    },
    /// No such device.
    #[error("there is no device {device}")]
    UnknownDevice {
        /// The id.
        device: DeviceId,
    },
    /// This device exists twice, perhaps from a copied folder; the server settled which words stand.
    #[error("this device exists twice; make a card with `invite-device`, join with it anew, and write there")]
    Cloned,
    /// The agenda has no such item.
    #[error(transparent)]
    Meeting(#[from] MeetingEditError),
    /// Nothing of this kind has this id.
    #[error("this device knows no {what} {id}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// The id, as people read it.
        id: String,
    },
    /// It was written anew, and what is added to the old text would go with it.
    #[error("{subject} was written anew as {by}; use that one")]
    Replaced {
        /// The old one.
        subject: SubjectId,
        /// The new one.
        by: SubjectId,
    },
    /// This device, or its person, was taken out of the wijk: what it writes counts nowhere.
    #[error("this device no longer belongs to the wijk; nothing was written")]
    Revoked,
    /// It was taken away before.
    #[error("that was taken away before")]
    AlreadyRevoked,
    /// A party represents an organisation; nobody else does.
    #[error("the role of party needs an organisation, and no other role has one")]
    Organisation,
    /// This person's role doesn't allow it.
    #[error("this needs the role of {needs}")]
    Role {
        /// Which role.
        needs: &'static str,
    },
    /// The gate refuses it, here as everywhere. Nothing of it was stored.
    #[error("this can't count in this wijk: {reason:?}")]
    Refused {
        /// Why.
        reason: Reason,
    },
    /// It could not be stored. Nothing of it is there.
    #[error("not saved")]
    NotSaved {
        /// Why.
        #[source]
        cause: Arc<StoreError>,
    },
    /// The store holds something this program can't read.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// automerge refused an edit of ours: a bug.
    #[error("the document could not be written")]
    Document {
        /// What it said.
        #[source]
        cause: automerge::AutomergeError,
    },
}
