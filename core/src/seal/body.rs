//! Bodies in closed spaces, sealed to the key of the space's generation.

use super::{SEALED_STEPS, SealError, SealPublic, SealSecret, pad};
use crate::cbor::Writer;
use crate::entry::{EraseCommit, Kind, Seed};
use crate::model::{GenerationId, SpaceId, WijkId};

const TAG: &str = "samenspraak/sealed/v1";

/// Where a sealed body belongs. It is bound to all of this: a body that is moved to another subject, kind, space or wijk does not
/// open there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The wijk.
    pub wijk: WijkId,
    /// The closed space.
    pub space: SpaceId,
    /// Kind of the entry.
    pub kind: Kind,
    /// Seed of its subject, which the body carries in the clear.
    pub seed: Seed,
    /// Commitment of its erase secret, in the clear as well.
    pub commit: EraseCommit,
    /// The generation whose key it is sealed to.
    pub generation: GenerationId,
}

impl Context {
    /// What is authenticated with the body: `[tag, wijk, space, kind, seed, commit, generation]`.
    fn aad(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.array(7).text(TAG).bytes(self.wijk.as_bytes()).bytes(&self.space.to_bytes()).uint(self.kind.0);
        w.bytes(&self.seed.0).bytes(&self.commit.0).bytes(self.generation.as_bytes());
        w.finish()
    }
}

/// Seals a body. The result has one of the sizes in [`SEALED_STEPS`]; `entropy` serves for this one call.
///
/// # Errors
/// When the body is too long, or the key is weak or that of another generation.
pub fn seal(to: &SealPublic, context: &Context, plain: &[u8], entropy: [u8; 32]) -> Result<Vec<u8>, SealError> {
    if to.generation() != context.generation {
        return Err(SealError::OtherGeneration);
    }
    pad::seal(to, TAG, &context.aad(), plain, entropy, &SEALED_STEPS)
}

/// Opens a body.
///
/// # Errors
/// When it is not exactly what [`seal`] made to this key in this context.
pub fn open(secret: &SealSecret, context: &Context, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    if secret.public().generation() != context.generation {
        return Err(SealError::OtherGeneration);
    }
    pad::open(secret, TAG, &context.aad(), sealed, &SEALED_STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(secret: &SealSecret) -> Context {
        Context {
            wijk: WijkId::new([1; 32]),
            space: SpaceId::Inbox,
            kind: Kind::CONTRIBUTION,
            seed: Seed([2; 16]),
            commit: EraseCommit([3; 16]),
            generation: secret.public().generation(),
        }
    }

    #[test]
    fn a_body_opens_in_its_own_place_only() {
        let secret = SealSecret::new([9; 32]);
        let own = context(&secret);
        let sealed = seal(&secret.public(), &own, b"Het is donker", [4; 32]).unwrap();
        assert_eq!(open(&secret, &own, &sealed), Ok(b"Het is donker".to_vec()));
        let others = [
            Context { wijk: WijkId::new([0; 32]), ..own },
            Context { space: SpaceId::Board, ..own },
            Context { space: SpaceId::Circle([0; 16]), ..own },
            Context { kind: Kind::MEETING, ..own },
            Context { seed: Seed([0; 16]), ..own },
            Context { commit: EraseCommit([0; 16]), ..own },
        ];
        for other in others {
            assert_eq!(open(&secret, &other, &sealed), Err(SealError::Closed), "{other:?}");
        }
    }

    #[test]
    fn the_key_must_be_that_of_the_generation() {
        let (secret, other) = (SealSecret::new([9; 32]), SealSecret::new([8; 32]));
        let own = context(&secret);
        let wrong = seal(&other.public(), &own, b"", [4; 32]);
        assert_eq!(wrong, Err(SealError::OtherGeneration));
        let sealed = seal(&secret.public(), &own, b"", [4; 32]).unwrap();
        assert_eq!(open(&other, &own, &sealed), Err(SealError::OtherGeneration));
        assert_eq!(open(&other, &context(&other), &sealed), Err(SealError::Closed));
    }
}
