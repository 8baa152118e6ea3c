//! Promise: what we seal is HPKE as RFC 9180 has it, so that any other program that follows the RFC can open it.
//!
//! The vectors are those of appendix A.2.1 (base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305), which is
//! our one suite. `seal::hpke` is held against the first encryption, with the RFC's own ephemeral key material; the later
//! encryptions and the exported values go through the same types of the library, since we never use a context twice.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use data_encoding::HEXLOWER;
use hpke::aead::Aead as _;
use hpke::kdf::Kdf as _;
use hpke::{Deserializable, Kem as _, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};
use samenspraak_core::seal::hpke::{Aead, Ephemeral, Kdf, Kem, OVERHEAD_BYTES, open, public, seal};
use samenspraak_core::seal::{SealError, SealSecret};

const INFO: &str = "4f6465206f6e2061204772656369616e2055726e";
const IKM_E: &str = "909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b";
const PK_EM: &str = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
const SK_EM: &str = "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600";
const IKM_R: &str = "1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df";
const PK_RM: &str = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
const SK_RM: &str = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
const ENC: &str = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
const PT: &str = "4265617574792069732074727574682c20747275746820626561757479";

/// A.2.1.1: sequence number, additional data, ciphertext.
const ENCRYPTIONS: [(usize, &str, &str); 6] = [
    (0, "436f756e742d30", "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"),
    (1, "436f756e742d31", "6b53c051e4199c518de79594e1c4ab18b96f081549d45ce015be002090bb119e85285337cc95ba5f59992dc98c"),
    (2, "436f756e742d32", "71146bd6795ccc9c49ce25dda112a48f202ad220559502cef1f34271e0cb4b02b4f10ecac6f48c32f878fae86b"),
    (4, "436f756e742d34", "63357a2aa291f5a4e5f27db6baa2af8cf77427c7c1a909e0b37214dd47db122bb153495ff0b02e9e54a50dbe16"),
    (
        255,
        "436f756e742d323535",
        "18ab939d63ddec9f6ac2b60d61d36a7375d2070c9b683861110757062c52b8880a5f6b3936da9cd6c23ef2a95c",
    ),
    (
        256,
        "436f756e742d323536",
        "7a4a13e9ef23978e2c520fd4d2e757514ae160cd0cd05e556ef692370ca53076214c0c40d4c728d6ed9e727a5b",
    ),
];

/// A.2.1.2: exporter context, exported value of 32 bytes.
const EXPORTS: [(&str, &str); 3] = [
    ("", "4bbd6243b8bb54cec311fac9df81841b6fd61f56538a775e7c80a9f40160606e"),
    ("00", "8c1df14732580e5501b00f82b10a1647b40713191b7c1240ac80e2b68808ba69"),
    ("54657374436f6e74657874", "5acb09211139c43b3090489a9da433e8a30ee7188ba8b0a9a1ccf0c229283e53"),
];

fn hex(digits: &str) -> Vec<u8> {
    HEXLOWER.decode(digits.as_bytes()).unwrap()
}

fn key(digits: &str) -> [u8; 32] {
    hex(digits).try_into().unwrap()
}

/// What RFC 7748 makes of 32 bytes before it multiplies. The RFC prints its derived keys without this; section 7.1.2
/// prescribes it where private keys are written or read, which is what the library does.
fn clamped(mut secret: [u8; 32]) -> [u8; 32] {
    secret[0] &= 248;
    secret[31] = secret[31] & 127 | 64;
    secret
}

#[test]
fn the_suite_is_the_one_of_appendix_a2() {
    assert_eq!((Kem::KEM_ID, Kdf::KDF_ID, Aead::AEAD_ID), (32, 1, 3));
}

#[test]
fn key_pairs_follow_from_their_material() {
    for (ikm, secret, public_half) in [(IKM_E, SK_EM, PK_EM), (IKM_R, SK_RM, PK_RM)] {
        let (sk, pk) = Kem::derive_keypair(&hex(ikm));
        assert_eq!(sk.to_bytes().as_slice(), clamped(key(secret)));
        assert_eq!(pk.to_bytes().as_slice(), hex(public_half));
        assert_eq!(public(&key(secret)).as_slice(), hex(public_half));
        assert_eq!(SealSecret::new(key(secret)).public().as_bytes().as_slice(), hex(public_half));
    }
}

#[test]
fn our_layer_seals_and_opens_the_first_message_of_the_rfc() {
    let (_, aad, ciphertext) = ENCRYPTIONS[0];
    let expected = [hex(ENC), hex(ciphertext)].concat();
    let sealed = seal(&key(PK_RM), &hex(INFO), &hex(aad), &hex(PT), Ephemeral::new(key(IKM_E))).unwrap();
    assert_eq!(sealed, expected);
    assert_eq!(sealed.len(), hex(PT).len() + OVERHEAD_BYTES);
    assert_eq!(open(&key(SK_RM), &hex(INFO), &hex(aad), &expected), Ok(hex(PT)));
    for (info, aad) in [("", aad), (INFO, ""), (INFO, "436f756e742d31")] {
        assert_eq!(open(&key(SK_RM), &hex(info), &hex(aad), &expected), Err(SealError::Closed));
    }
}

#[test]
fn later_messages_and_exported_values_are_those_of_the_rfc() {
    let (to, from) =
        (Deserializable::from_bytes(&hex(PK_RM)).unwrap(), Deserializable::from_bytes(&hex(SK_RM)).unwrap());
    let mut material = Ephemeral::new(key(IKM_E));
    let (encapsulated, mut sender) =
        setup_sender_with_rng::<Aead, Kdf, Kem>(&OpModeS::Base, &to, &hex(INFO), &mut material).unwrap();
    assert_eq!(encapsulated.to_bytes().as_slice(), hex(ENC));
    let mut receiver = setup_receiver::<Aead, Kdf, Kem>(&OpModeR::Base, &from, &encapsulated, &hex(INFO)).unwrap();
    for (context, value) in EXPORTS {
        let mut exported = [[0; 32]; 2];
        sender.export(&hex(context), &mut exported[0]).unwrap();
        receiver.export(&hex(context), &mut exported[1]).unwrap();
        assert_eq!(exported, [key(value); 2]);
    }
    let mut compared = 0;
    for number in 0..=256 {
        let vector = ENCRYPTIONS.iter().find(|(at, ..)| *at == number);
        // Messages between those of the RFC only move both sides on.
        let aad = vector.map_or(Vec::new(), |(_, aad, _)| hex(aad));
        let ciphertext = sender.seal(&hex(PT), &aad).unwrap();
        assert_eq!(receiver.open(&ciphertext, &aad).unwrap(), hex(PT));
        if let Some((_, _, expected)) = vector {
            assert_eq!(ciphertext, hex(expected), "sequence number {number}");
            compared += 1;
        }
    }
    assert_eq!(compared, ENCRYPTIONS.len());
}
