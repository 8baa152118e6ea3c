//! The one door through which every entry enters, on phone and server alike.
//!
//! Three questions, kept apart. *Header*: does the entry have a place in its chain ([`crate::replica`] asks it)? *Body*:
//! does it count ([`body`])? *Fold*: can its document be opened with it ([`fold`])? Nothing from a peer reaches automerge
//! but through here, and nobody hands automerge a peer's saved document.

pub mod body;
pub mod change;
pub mod fold;
pub mod limits;
pub mod rules;
mod verdict;

pub use verdict::{Reason, Verdict};

use crate::model::{DeviceId, EntryId, InvitationKey, PersonId, SpaceId, SubjectId};

/// What a pending body waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dep {
    /// The wijk's genesis.
    Root,
    /// A role for this person.
    Role(PersonId),
    /// This device's join.
    Device(DeviceId),
    /// This card.
    Card(InvitationKey),
    /// The creation of this subject.
    Subject(SpaceId, SubjectId),
    /// This change of this document.
    Change(SubjectId, [u8; 32]),
    /// An app that knows this kind.
    Kind(u64),
    /// The server's log. This device's own join waits for it: of two devices with one card the log names the one that is in,
    /// and neither may think so itself.
    Log(DeviceId),
    /// This record of a closed space's members, or of who belongs.
    Statement(EntryId),
    /// That a cut no longer ends this chain, because a higher rank took the revocation back.
    Readmission(DeviceId),
    /// Anything that changes who belongs: records of `members` are judged together, as a set.
    Membership,
}
