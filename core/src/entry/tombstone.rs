//! Tombstones: a subject's erasure, which proves itself.

use super::subject::{EraseCommit, EraseSecret, subject_id};
use super::{Kind, codec};
use crate::cbor::{CborError, Fields, Writer};
use crate::model::{DeviceId, SpaceId, SubjectId, WijkId};

/// Longest legal ground in bytes: an article and a line of reason.
pub const GROUND_BYTES_MAX: usize = 400;

/// Both forms of a tombstone's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tombstone {
    /// Whoever knew the erase secret shows it.
    Owner {
        /// The subject.
        subject: SubjectId,
        /// Device that created it (32 zero bytes for dropped sealed input).
        device: DeviceId,
        /// Its kind.
        kind: Kind,
        /// Its nonce.
        nonce: [u8; 16],
        /// The secret behind its erase commitment.
        erase_secret: EraseSecret,
    },
    /// An administrator's, with a legal ground; hides at once, deletes when a second one signs.
    Administrator {
        /// The subject.
        subject: SubjectId,
        /// The legal ground.
        ground: String,
    },
}

impl Tombstone {
    /// The subject it is about.
    #[must_use]
    pub fn subject(&self) -> SubjectId {
        match self {
            Self::Owner { subject, .. } | Self::Administrator { subject, .. } => *subject,
        }
    }

    /// Whether an owner's tombstone proves itself: its parts hash to the subject's id. An administrator's never does; the
    /// rule table decides on it.
    #[must_use]
    pub fn proves_itself(&self, wijk: WijkId, space: SpaceId) -> bool {
        match self {
            Self::Owner { subject, device, kind, nonce, erase_secret } => {
                subject_id(wijk, space, *device, *kind, nonce, &erase_secret.commit()) == *subject
            }
            Self::Administrator { .. } => false,
        }
    }

    /// The commitment an owner's tombstone opens.
    #[must_use]
    pub fn commit(&self) -> Option<EraseCommit> {
        match self {
            Self::Owner { erase_secret, .. } => Some(erase_secret.commit()),
            Self::Administrator { .. } => None,
        }
    }

    /// The body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Self::Owner { subject, device, kind, nonce, erase_secret } => {
                w.map(5).uint(3).bytes(subject.as_bytes()).uint(4).bytes(device.as_bytes());
                w.uint(5).uint(kind.0).uint(6).bytes(nonce).uint(7).bytes(&erase_secret.0);
            }
            Self::Administrator { subject, ground } => {
                w.map(2).uint(3).bytes(subject.as_bytes()).uint(8).text(ground);
            }
        }
        w.finish()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// When it has neither form.
    pub fn decode(body: &[u8]) -> Result<Self, CborError> {
        let f = Fields::parse(body)?;
        let subject = SubjectId::new(codec::exact(&f, 3)?);
        match f.get(8) {
            Some(mut ground) => Ok(Self::Administrator { subject, ground: ground.text(GROUND_BYTES_MAX)?.to_owned() }),
            None => Ok(Self::Owner {
                subject,
                device: DeviceId::new(codec::exact(&f, 4)?),
                kind: Kind(f.need(5)?.uint()?),
                nonce: codec::exact(&f, 6)?,
                erase_secret: EraseSecret(codec::exact(&f, 7)?),
            }),
        }
    }
}
