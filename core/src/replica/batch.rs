//! What comes to a replica in one piece, what became of each entry of it, and why all of it is refused.
//!
//! Not here: how that is decided (`admit`).

use super::{Place, ReplicaError};
use crate::entry::codec::Record;
use crate::entry::run::{Rebuilt, RunError};
use crate::entry::{Kind, Run};
use crate::gate::Verdict;
use crate::model::{DeviceId, EntryId, SpaceId, SubjectId};

/// Runs with the order in which their entries stand in a log: each number names the run whose next entry comes. Without an
/// order the runs come one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunBatch {
    /// The runs.
    pub runs: Vec<Run>,
    /// The order, or nothing.
    pub order: Vec<u32>,
}

/// A batch whose runs were rebuilt and proven, and of which nothing was placed.
#[derive(Debug)]
pub struct Checked {
    pub(super) space: SpaceId,
    pub(super) entries: Vec<Rebuilt>,
    /// How much the replica had admitted then: a check against other chains and members says nothing.
    pub(super) admissions: u64,
}

/// What became of one entry.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its place.
    pub place: Place,
    /// Its id.
    pub id: EntryId,
    /// Its kind.
    pub kind: Kind,
    /// Its subject.
    pub subject: SubjectId,
    /// Whether its body counts.
    pub verdict: Verdict,
    /// Whether its body opens its subject.
    pub creates: bool,
    /// New here, known before, or asked again because what it waited for came.
    pub news: News,
    /// What it says, if it counts and is news.
    pub record: Option<Record>,
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct Admitted {
    /// One outcome for each entry, in the order of the batch.
    pub entries: Vec<Outcome>,
    /// Entries from before whose bodies were judged anew because of this batch.
    pub woken: Vec<Outcome>,
}

impl Admitted {
    /// All outcomes, those of the batch first.
    pub fn all(&self) -> impl Iterator<Item = &Outcome> {
        self.entries.iter().chain(&self.woken)
    }
}

/// Whether an outcome is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The entry took its place now.
    Placed,
    /// It stood there before.
    Known,
    /// It stood there before, and its body is judged anew.
    Again,
}

/// Why a batch was refused whole. Nothing of it was taken.
#[derive(Debug, thiserror::Error)]
pub enum BatchRefusal {
    /// The order doesn't fit the runs, or there are too many.
    #[error("the batch has another form")]
    Form,
    /// A run can't be rebuilt.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A signature isn't the device's.
    #[error("a signature isn't {device:?}'s")]
    Signature {
        /// Device.
        device: DeviceId,
    },
    /// Entries before the first one are missing here.
    #[error("entries of {device:?} before {first_seq} are missing; {expected} is expected")]
    Gap {
        /// Device.
        device: DeviceId,
        /// First that came.
        first_seq: u64,
        /// The one that is expected.
        expected: u64,
    },
    /// Another entry stands at the same place: the device was cloned.
    #[error("another entry of {device:?} stands at {seq}: this device exists twice")]
    Fork {
        /// Device.
        device: DeviceId,
        /// Where.
        seq: u64,
    },
    /// The device doesn't belong to the wijk.
    #[error("{device:?} doesn't belong to this wijk")]
    NotMember {
        /// Device.
        device: DeviceId,
    },
    /// Another device joined with the same card.
    #[error("this card was used by another device")]
    CardUsed,
    /// The card was withdrawn before anybody used it.
    #[error("this card was withdrawn")]
    CardWithdrawn,
    /// The device or its person no longer belongs.
    #[error("{device:?} no longer belongs to this wijk")]
    Revoked {
        /// Device.
        device: DeviceId,
    },
    /// The card isn't known (any more), or its signature is wrong.
    #[error("this card isn't known in this wijk")]
    CardUnknown,
    /// Too many bodies of this device wait for what they depend on. Not now: they may come again when that is here.
    #[error("too many entries of {device:?} wait for others")]
    Quota {
        /// Device.
        device: DeviceId,
    },
    /// The replica itself failed.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
}

impl From<crate::store::StoreError> for BatchRefusal {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Replica(error.into())
    }
}
