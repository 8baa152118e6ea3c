//! The private half of a generation, wrapped for one member's device.
//!
//! A member checks that what it unwrapped is the key that the generation is named after: whoever starts a generation can't give
//! two members two different keys under one id.

use zeroize::Zeroizing;

use super::{SealError, SealPublic, SealSecret, hpke};
use crate::cbor::Writer;
use crate::model::{DeviceId, GenerationId, SpaceId, WijkId};

const TAG: &str = "samenspraak/wrapped/v1";

/// Bytes of a wrapped key; always the same, so nothing is padded.
pub const WRAPPED_BYTES: usize = 32 + hpke::OVERHEAD_BYTES;

/// Which key is wrapped for whom. A wrap that is moved to another device, space or wijk does not open there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrapContext {
    /// The wijk.
    pub wijk: WijkId,
    /// The closed space.
    pub space: SpaceId,
    /// The generation whose private half it is.
    pub generation: GenerationId,
    /// The device that may have it.
    pub device: DeviceId,
}

impl WrapContext {
    /// What is authenticated with the key: `[tag, wijk, space, generation, device]`.
    fn aad(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.array(5).text(TAG).bytes(self.wijk.as_bytes()).bytes(&self.space.to_bytes());
        w.bytes(self.generation.as_bytes()).bytes(self.device.as_bytes());
        w.finish()
    }
}

/// Wraps the private half of a generation to a device's X25519 key; `entropy` serves for this one call.
///
/// # Errors
/// When the secret is not that of the generation, or the device announced a weak key: then this device is left out, and
/// others get theirs.
pub fn wrap_generation(
    to: &SealPublic,
    context: &WrapContext,
    secret: &SealSecret,
    entropy: [u8; 32],
) -> Result<[u8; WRAPPED_BYTES], SealError> {
    if secret.public().generation() != context.generation {
        return Err(SealError::OtherGeneration);
    }
    let (aad, tag) = (context.aad(), TAG.as_bytes());
    let ephemeral = hpke::Ephemeral::hedged(entropy, to.as_bytes(), tag, &aad, secret.as_bytes());
    let wrapped = hpke::seal(to.as_bytes(), tag, &aad, secret.as_bytes(), ephemeral)?;
    Ok(wrapped.try_into().expect("32 bytes and what sealing adds"))
}

/// Unwraps the private half of a generation with the device's own X25519 key.
///
/// # Errors
/// When it was not wrapped for this device and place, or is not the key that the generation is named after.
pub fn unwrap_generation(own: &SealSecret, context: &WrapContext, wrapped: &[u8]) -> Result<SealSecret, SealError> {
    if wrapped.len() != WRAPPED_BYTES {
        return Err(SealError::Size { bytes: wrapped.len() });
    }
    let plain = Zeroizing::new(hpke::open(own.as_bytes(), TAG.as_bytes(), &context.aad(), wrapped)?);
    let secret = SealSecret::new(plain.as_slice().try_into().map_err(|_| SealError::Closed)?);
    if secret.public().generation() != context.generation {
        return Err(SealError::OtherGeneration);
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (SealSecret, SealSecret, WrapContext) {
        let (own, secret) = (SealSecret::new([1; 32]), SealSecret::new([2; 32]));
        let context = WrapContext {
            wijk: WijkId::new([3; 32]),
            space: SpaceId::Board,
            generation: secret.public().generation(),
            device: DeviceId::new([4; 32]),
        };
        (own, secret, context)
    }

    #[test]
    fn a_wrapped_key_opens_on_its_own_device_in_its_own_place_only() {
        let (own, secret, context) = world();
        let wrapped = wrap_generation(&own.public(), &context, &secret, [5; 32]).unwrap();
        let unwrapped = unwrap_generation(&own, &context, &wrapped).unwrap();
        assert_eq!(unwrapped.as_bytes(), secret.as_bytes());
        let others = [
            WrapContext { wijk: WijkId::new([0; 32]), ..context },
            WrapContext { space: SpaceId::Inbox, ..context },
            WrapContext { generation: GenerationId::new([0; 16]), ..context },
            WrapContext { device: DeviceId::new([0; 32]), ..context },
        ];
        for other in others {
            assert_eq!(unwrap_generation(&own, &other, &wrapped).unwrap_err(), SealError::Closed, "{other:?}");
        }
        assert_eq!(unwrap_generation(&secret, &context, &wrapped).unwrap_err(), SealError::Closed);
        assert_eq!(unwrap_generation(&own, &context, &wrapped[1..]).unwrap_err(), SealError::Size { bytes: 79 });
    }

    #[test]
    fn two_devices_share_nothing_even_if_the_randomness_was_drawn_once() {
        let (own, secret, context) = world();
        let other = WrapContext { device: DeviceId::new([9; 32]), ..context };
        let one = wrap_generation(&own.public(), &context, &secret, [5; 32]).unwrap();
        let two = wrap_generation(&own.public(), &other, &secret, [5; 32]).unwrap();
        assert!(!one.windows(8).any(|window| two.windows(8).any(|again| again == window)));
    }

    #[test]
    fn a_key_that_is_not_that_of_its_generation_is_refused_on_both_sides() {
        let (own, secret, context) = world();
        let other = SealSecret::new([6; 32]);
        let refused = wrap_generation(&own.public(), &context, &other, [5; 32]);
        assert_eq!(refused, Err(SealError::OtherGeneration));
        // Somebody who starts a generation and does not check.
        let ephemeral = hpke::Ephemeral::new([5; 32]);
        let forged =
            hpke::seal(own.public().as_bytes(), TAG.as_bytes(), &context.aad(), other.as_bytes(), ephemeral).unwrap();
        assert_eq!(unwrap_generation(&own, &context, &forged).unwrap_err(), SealError::OtherGeneration);
        assert!(
            unwrap_generation(&own, &context, &wrap_generation(&own.public(), &context, &secret, [5; 32]).unwrap())
                .is_ok()
        );
    }
}
