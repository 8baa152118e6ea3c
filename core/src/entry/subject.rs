//! Subjects: what an entry is about, with the secrets that let it be erased for real.
//!
//! A creating body carries in the clear a random `seed` and an `erase_commit`. Nonce and salt follow from the seed, the
//! subject's id from nonce and commitment. When the body goes, seed and salt go with it, and the hashes that remain can't
//! be guessed back into words.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Kind;
use crate::cbor::Writer;
use crate::hash::{Hash, short, tagged};
use crate::model::{DeviceId, SpaceId, SubjectId, WijkId};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

secret!(
    /// 16 random bytes in a creating body, from which nonce and salt follow.
    Seed, 16
);
secret!(
    /// Hash of the erase secret, in a creating body.
    EraseCommit, 16
);
secret!(
    /// Whoever knows it can erase the subject.
    EraseSecret, 32
);
secret!(
    /// Key of a subject's body hashes.
    Salt, 32
);

impl Seed {
    /// The part of the subject's id that a tombstone shows.
    #[must_use]
    pub fn nonce(&self) -> [u8; 16] {
        short(tagged("samenspraak/nonce/v1", 1, |w| {
            w.bytes(&self.0);
        }))
    }

    /// The key of the subject's body hashes.
    #[must_use]
    pub fn salt(&self) -> Salt {
        Salt(tagged("samenspraak/salt/v1", 1, |w| {
            w.bytes(&self.0);
        }))
    }
}

impl EraseSecret {
    /// What the creating body says of it.
    #[must_use]
    pub fn commit(&self) -> EraseCommit {
        EraseCommit(short(tagged("samenspraak/erase/v1", 1, |w| {
            w.bytes(&self.0);
        })))
    }

    /// The erase secret of a person's subject: found again from the person's secret as long as the seed is known.
    #[must_use]
    pub fn derive(person_secret: &[u8; 32], seed: &Seed) -> Self {
        Self(tagged("samenspraak/erase-secret/v1", 2, |w| {
            w.bytes(person_secret).bytes(&seed.0);
        }))
    }
}

/// Tombstones survive the subject, so their bodies are hashed under a salt that everybody knows.
#[must_use]
pub fn tombstone_salt() -> Salt {
    Salt(tagged("samenspraak/tombstone-salt/v1", 0, |_| {}))
}

/// The device that a subject's id names: whoever creates it, but nobody for what was dropped, so that the same drop is the
/// same subject whichever epoch of the server appends it.
#[must_use]
pub fn creator(kind: Kind, device: DeviceId) -> DeviceId {
    if kind == Kind::DROPPED { DeviceId::ZERO } else { device }
}

/// The id of a subject.
#[must_use]
pub fn subject_id(
    wijk: WijkId,
    space: SpaceId,
    device: DeviceId,
    kind: Kind,
    nonce: &[u8; 16],
    commit: &EraseCommit,
) -> SubjectId {
    SubjectId::new(short(tagged("samenspraak/subject/v1", 6, |w| {
        w.bytes(wijk.as_bytes()).bytes(&space.to_bytes()).bytes(device.as_bytes());
        w.uint(kind.0).bytes(nonce).bytes(&commit.0);
    })))
}

/// The hash of a body that stands in its header: HMAC-SHA-256 under the subject's salt over `[device, seq, body]`.
#[must_use]
pub fn body_hash(salt: &Salt, device: DeviceId, seq: u64, body: &[u8]) -> Hash {
    let mut writer = Writer::new();
    writer.array(3).bytes(device.as_bytes()).uint(seq).bytes(body);
    let mut mac = Hmac::<Sha256>::new_from_slice(&salt.0).expect("HMAC takes keys of any length");
    mac.update(&writer.finish());
    mac.finalize().into_bytes().into()
}
