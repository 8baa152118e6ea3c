//! Promise: signatures and shared secrets are judged as Project Wycheproof says, with the mistakes that others made.
//!
//! Our verification is stricter than RFC 8032 asks for; that it nevertheless accepts every valid vector is what is shown here,
//! so the list of valid ones that it refuses is empty.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use samenspraak_core::entry::Signature;
use samenspraak_core::entry::sign::verify_bytes;
use samenspraak_core::model::DeviceId;
use samenspraak_core::seal::SealError;
use samenspraak_core::seal::hpke::{Ephemeral, OVERHEAD_BYTES, open, public, seal};
use wycheproof::TestResult;
use wycheproof::eddsa::{self, TestFlag as SignatureFlag};
use wycheproof::xdh::{self, TestFlag as ExchangeFlag};

/// As our readers do it: a signature is 64 bytes or none at all.
fn verified(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (key.try_into(), signature.try_into()) else { return false };
    verify_bytes(DeviceId::new(key), message, &Signature(signature))
}

#[test]
fn every_valid_signature_is_accepted_and_every_other_one_is_refused() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let (mut valid, mut refused, mut malleable) = (0, 0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let accepted = verified(&group.key.pk, &test.msg, &test.sig);
            match test.result {
                TestResult::Valid => {
                    assert!(accepted, "{}: {}", test.tc_id, test.comment);
                    valid += 1;
                }
                TestResult::Invalid => {
                    assert!(!accepted, "{}: {}", test.tc_id, test.comment);
                    refused += 1;
                }
                // None in this version of the vectors. A new one must be looked at, not skipped.
                TestResult::Acceptable => panic!("{} is undecided: {}", test.tc_id, test.comment),
            }
            malleable += usize::from(test.flags.contains(&SignatureFlag::SignatureMalleability));
        }
    }
    assert_eq!(valid + refused, set.number_of_tests);
    assert!(valid > 50 && refused > 50 && malleable > 0, "{valid} valid, {refused} refused, {malleable} malleable");
}

/// The multiplication under sealing. Vectors with a secret of zero are those that everybody could compute.
#[test]
fn shared_secrets_are_right_and_nothing_is_sealed_to_a_key_that_everybody_shares() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let (mut shared, mut weak) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let secret: [u8; 32] = test.private_key.as_slice().try_into().unwrap();
        let other: [u8; 32] = test.public_key.as_slice().try_into().unwrap();
        let product = x25519_dalek::x25519(secret, other);
        assert_eq!(product.as_slice(), test.shared_secret.as_slice(), "{}: {}", test.tc_id, test.comment);
        let sealed = seal(&other, b"info", b"aad", b"dag", Ephemeral::new([1; 32]));
        if test.flags.contains(&ExchangeFlag::ZeroSharedSecret) || product == [0; 32] {
            assert_eq!(sealed, Err(SealError::WeakKey), "{}: {}", test.tc_id, test.comment);
            // Nor is anything opened that claims to come from such a key.
            let forged = [&other[..], &[0; OVERHEAD_BYTES]].concat();
            assert_eq!(open(&secret, b"info", b"aad", &forged), Err(SealError::Closed));
            weak += 1;
        } else {
            assert!(sealed.is_ok(), "{}: {}", test.tc_id, test.comment);
            let own = seal(&public(&secret), b"info", b"aad", b"dag", Ephemeral::new([1; 32])).unwrap();
            assert_eq!(open(&secret, b"info", b"aad", &own), Ok(b"dag".to_vec()));
            shared += 1;
        }
    }
    assert_eq!(shared + weak, set.number_of_tests);
    assert!(shared > 400 && weak > 5, "{shared} shared, {weak} weak");
}
