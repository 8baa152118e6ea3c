//! Sealed forms from first principles: the library for HPKE, CBOR by `minicbor`, `sha2`, `argon2` and `ed25519-dalek`, and
//! nothing of ours. What stands in the golden file must open by this page, and give what was sealed.

use argon2::{Algorithm, Argon2, Params, Version};
use ed25519_dalek::VerifyingKey;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, Serializable, single_shot_open};
use minicbor::Decoder;

use super::by_hand::{cbor, sha};
use super::{file, seals};

const WIJK: [u8; 32] = [0xa1; 32];

/// CBOR of the tag and then byte strings.
fn strings(tag: &str, items: &[&[u8]]) -> Vec<u8> {
    cbor(|e| {
        e.array(1 + items.len() as u64).unwrap().str(tag).unwrap();
        for item in items {
            e.bytes(item).unwrap();
        }
    })
}

fn tagged(tag: &str, items: &[&[u8]]) -> [u8; 32] {
    sha(&strings(tag, items))
}

fn x25519(secret: [u8; 32]) -> [u8; 32] {
    x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(secret)).to_bytes()
}

/// HPKE with the tag as `info`: the encapsulated key stands in front.
fn opened(secret: [u8; 32], tag: &str, aad: &[u8], sealed: &[u8]) -> Vec<u8> {
    let secret = Deserializable::from_bytes(&secret).unwrap();
    let (encapsulated, ciphertext) = sealed.split_at(32);
    let encapsulated = Deserializable::from_bytes(encapsulated).unwrap();
    single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret,
        &encapsulated,
        tag.as_bytes(),
        ciphertext,
        aad,
    )
    .unwrap()
}

/// Two bytes of length, the text, and nothing but zeros.
fn unpadded(padded: &[u8]) -> &[u8] {
    let end = 2 + usize::from(padded[0]) * 256 + usize::from(padded[1]);
    assert!(padded[end..].iter().all(|byte| *byte == 0));
    &padded[2..end]
}

#[test]
fn bodies_and_wrapped_keys_open_by_hand() {
    let known = file::check("seals.hex", &seals::values());
    let public = x25519(seals::GENERATION);
    let generation = &tagged("samenspraak/generation/v1", &[&public])[..16];
    assert_eq!(known["public half of a generation"], public);
    assert_eq!(known["id of a generation"], generation);
    assert_eq!(known["key from a seed"], tagged("samenspraak/test/v1", &[&[0x11; 32]]));

    let commit = &tagged("samenspraak/erase/v1", &[&[0xe5; 32]])[..16];
    let aad = cbor(|e| {
        e.array(7).unwrap().str("samenspraak/sealed/v1").unwrap().bytes(&WIJK).unwrap();
        // The space `inbox`, as bytes; a contribution is kind 20.
        e.bytes(&[3]).unwrap().u64(20).unwrap();
        e.bytes(&[0x5e; 16]).unwrap().bytes(commit).unwrap().bytes(generation).unwrap();
    });
    let sealed = &known["body of 1 KiB"];
    assert_eq!(sealed.len(), 1024);
    let padded = opened(seals::GENERATION, "samenspraak/sealed/v1", &aad, sealed);
    assert_eq!(unpadded(&padded), seals::TEXT.as_bytes());
    let tag = b"samenspraak/sealed/v1";
    let material = tagged("samenspraak/ephemeral/v1", &[&seals::ENTROPY, &public, tag, &aad, &padded]);
    let (_, ephemeral) = X25519HkdfSha256::derive_keypair(&material);
    assert_eq!(&sealed[..32], ephemeral.to_bytes().as_slice());

    let device = ed25519_dalek::SigningKey::from_bytes(&[0x11; 32]).verifying_key().to_bytes();
    let aad = strings("samenspraak/wrapped/v1", &[&WIJK, &[3], generation, &device]);
    let wrapped = &known["wrapped key"];
    assert_eq!(wrapped.len(), 80);
    assert_eq!(opened(seals::MEMBER, "samenspraak/wrapped/v1", &aad, wrapped), seals::GENERATION);
}

#[test]
fn a_drop_opens_by_hand_and_its_signature_fits() {
    let known = file::check("seals.hex", &seals::values());
    let tag = "samenspraak/drop-envelope/v1";
    let sealed = &known["drop of 2 KiB"];
    assert_eq!(sealed.len(), 2048);
    let padded = opened(seals::SERVER, tag, &strings(tag, &[&WIJK]), sealed);
    let plain = unpadded(&padded);
    let mut d = Decoder::new(plain);
    assert_eq!(d.array().unwrap(), Some(3));
    let device: [u8; 32] = d.bytes().unwrap().try_into().unwrap();
    let signature = ed25519_dalek::Signature::from_slice(d.bytes().unwrap()).unwrap();
    let inner = &plain[d.position()..];
    assert_eq!(d.array().unwrap(), Some(3));
    assert_eq!((d.bytes().unwrap(), d.u64().unwrap(), d.bytes().unwrap()), (&[3][..], 20, &b"a body"[..]));
    assert_eq!(d.position(), plain.len());

    let mut digest = cbor(|e| {
        e.array(2).unwrap().str("samenspraak/drop-inner/v1").unwrap();
    });
    digest.extend(inner);
    let digest = sha(&digest);
    assert_eq!(known["digest of a drop"], digest);
    let message = tagged("samenspraak/drop/v1", &[&WIJK, &digest]);
    VerifyingKey::from_bytes(&device).unwrap().verify_strict(&message, &signature).unwrap();
}

#[test]
fn a_reply_opens_by_hand_from_the_bytes_of_the_receipt() {
    let known = file::check("seals.hex", &seals::values());
    // Crockford's letters by division: 128 bits and two zero bits are 26 letters.
    let mut number = u128::from_be_bytes(seals::RECEIPT);
    let alphabet = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut letters = vec![alphabet[((number & 7) << 2) as usize]];
    number >>= 3;
    for _ in 0..25 {
        letters.push(alphabet[(number & 31) as usize]);
        number >>= 5;
    }
    letters.reverse();
    let check = tagged("samenspraak/reply-check/v1", &[&seals::RECEIPT]);
    letters.extend([check[0], check[1]].map(|byte| alphabet[usize::from(byte / 8)]));
    let groups: Vec<_> = letters.chunks(4).collect();
    assert_eq!(known["letters of a receipt"], groups.join(&b'-'));

    let mut stretched = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8192, 1, 1, Some(32)).unwrap())
        .hash_password_into(&seals::RECEIPT, &WIJK, &mut stretched)
        .unwrap();
    let secret = tagged("samenspraak/reply-key/v1", &[&stretched]);
    let public = x25519(secret);
    assert_eq!(known["public half of a receipt"], public);
    let id = &tagged("samenspraak/reply-id/v1", &[&public])[..16];
    assert_eq!(known["id of a reply"], id);
    let tag = "samenspraak/reply/v1";
    let padded = opened(secret, tag, &strings(tag, &[&WIJK, id]), &known["reply"]);
    assert_eq!(unpadded(&padded), seals::ANSWER.as_bytes());
}
