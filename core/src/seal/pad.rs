//! Padding to steps, so that a size tells its step and no more.
//!
//! Inside what is encrypted: two bytes of length (high byte first), the text, and zero bytes up to the step. A writer takes the
//! smallest step; a reader takes any, so that a later app may hide short answers among longer ones.

use zeroize::Zeroizing;

use super::hpke::OVERHEAD_BYTES;
use super::{SealError, SealPublic, SealSecret, hpke};

/// Bytes of the length in front.
const LENGTH_BYTES: usize = 2;

/// Bytes that fit into sealed bytes of this size.
pub const fn room(step: usize) -> usize {
    let padded = step - OVERHEAD_BYTES;
    assert!(padded <= u16::MAX as usize, "the length must fit into its two bytes");
    padded - LENGTH_BYTES
}

/// Seals to the smallest step into which the text fits. Steps ascend; `tag` separates this use of a key from all others.
pub fn seal(
    to: &SealPublic,
    tag: &str,
    aad: &[u8],
    plain: &[u8],
    entropy: [u8; 32],
    steps: &[usize; 3],
) -> Result<Vec<u8>, SealError> {
    let too_long = SealError::TooLong { bytes: plain.len(), max: room(steps[2]) };
    let step = steps.iter().find(|step| plain.len() <= room(**step)).ok_or(too_long)?;
    let length = u16::try_from(plain.len()).map_err(|_| too_long)?;
    let mut padded = Zeroizing::new(Vec::with_capacity(step - OVERHEAD_BYTES));
    padded.extend(length.to_be_bytes());
    padded.extend(plain);
    padded.resize(step - OVERHEAD_BYTES, 0);
    let ephemeral = hpke::Ephemeral::hedged(entropy, to.as_bytes(), tag.as_bytes(), aad, &padded);
    hpke::seal(to.as_bytes(), tag.as_bytes(), aad, &padded, ephemeral)
}

/// Opens what [`seal`] made.
pub fn open(
    secret: &SealSecret,
    tag: &str,
    aad: &[u8],
    sealed: &[u8],
    steps: &[usize; 3],
) -> Result<Vec<u8>, SealError> {
    if !steps.contains(&sealed.len()) {
        return Err(SealError::Size { bytes: sealed.len() });
    }
    let padded = Zeroizing::new(hpke::open(secret.as_bytes(), tag.as_bytes(), aad, sealed)?);
    let (length, rest) = padded.split_first_chunk::<LENGTH_BYTES>().ok_or(SealError::Padding)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (plain, padding) = rest.split_at_checked(length).ok_or(SealError::Padding)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(SealError::Padding);
    }
    Ok(plain.to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::{SEALED_PLAIN_BYTES_MAX, SEALED_STEPS};
    use super::*;

    const TAG: &str = "samenspraak/test/v1";

    fn secret() -> SealSecret {
        SealSecret::new([7; 32])
    }

    /// Seals a padded text of somebody who does not keep to the rules.
    fn sealed(padded: &[u8]) -> Vec<u8> {
        hpke::seal(secret().public().as_bytes(), TAG.as_bytes(), &[], padded, hpke::Ephemeral::new([1; 32])).unwrap()
    }

    fn opened(sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        open(&secret(), TAG, &[], sealed, &SEALED_STEPS)
    }

    #[test]
    fn every_text_takes_the_smallest_step() {
        assert_eq!(SEALED_PLAIN_BYTES_MAX, 16_334);
        let mut at = 0;
        for step in SEALED_STEPS {
            for length in [at, room(step)] {
                let text = vec![b'x'; length];
                let sealed = seal(&secret().public(), TAG, &[], &text, [1; 32], &SEALED_STEPS).unwrap();
                assert_eq!(sealed.len(), step);
                assert_eq!(opened(&sealed), Ok(text));
            }
            at = room(step) + 1;
        }
        let long = seal(&secret().public(), TAG, &[], &vec![0; at], [1; 32], &SEALED_STEPS);
        assert_eq!(long, Err(SealError::TooLong { bytes: 16_335, max: 16_334 }));
        let absurd = seal(&secret().public(), TAG, &[], &vec![0; 70_000], [1; 32], &SEALED_STEPS);
        assert_eq!(absurd, Err(SealError::TooLong { bytes: 70_000, max: 16_334 }));
    }

    #[test]
    fn a_larger_step_than_needed_is_read() {
        let mut padded = vec![0; SEALED_STEPS[1] - OVERHEAD_BYTES];
        padded[..5].copy_from_slice(b"\x00\x03dag");
        assert_eq!(opened(&sealed(&padded)), Ok(b"dag".to_vec()));
    }

    #[test]
    fn padding_that_carries_something_is_refused() {
        let mut padded = vec![0; SEALED_STEPS[0] - OVERHEAD_BYTES];
        padded[..5].copy_from_slice(b"\x00\x03dag");
        for at in [5, 500, SEALED_STEPS[0] - OVERHEAD_BYTES - 1] {
            let mut carrying = padded.clone();
            carrying[at] = 1;
            assert_eq!(opened(&sealed(&carrying)), Err(SealError::Padding), "byte {at}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        let padded = vec![0xff; SEALED_STEPS[0] - OVERHEAD_BYTES];
        assert_eq!(opened(&sealed(&padded)), Err(SealError::Padding));
    }

    #[test]
    fn other_sizes_are_refused_before_they_are_opened() {
        for bytes in [0, 1, 31, 32, 47, 48, 1023, 1025, 4095, 16_385, 100_000] {
            assert_eq!(opened(&vec![0; bytes]), Err(SealError::Size { bytes }));
        }
        let short = sealed(&[0; 100]);
        assert_eq!(opened(&short), Err(SealError::Size { bytes: 148 }));
    }

    #[test]
    fn nothing_is_sealed_to_a_key_that_everybody_shares() {
        for weak in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            let result = seal(&SealPublic::new(weak), TAG, &[], b"dag", [1; 32], &SEALED_STEPS);
            assert_eq!(result, Err(SealError::WeakKey));
        }
    }
}
