//! Every sealed form: bodies of each size, a wrapped key, drops, receipts and replies.

use samenspraak_core::entry::Kind;
use samenspraak_core::hash::sha256;
use samenspraak_core::model::*;
use samenspraak_core::seal::*;

use super::file::check;
use super::fixed::*;

/// Stands in for randomness; in earnest it serves once.
pub const ENTROPY: [u8; 32] = [0x42; 32];
/// Private half of a generation.
pub const GENERATION: [u8; 32] = [0x6e; 32];
/// X25519 key of a member's device, and of the server.
pub const MEMBER: [u8; 32] = [0x3d; 32];
pub const SERVER: [u8; 32] = [0x5a; 32];
pub const RECEIPT: [u8; 16] =
    [0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf, 0x84, 0x65, 0x3a, 0x56, 0xd7, 0xc6];
pub const TEXT: &str = "’s Avonds zie je niets. Één lamp helpt al. 🙂";
pub const ANSWER: &str = "Er komt een lamp.";

fn generation() -> SealSecret {
    SealSecret::new(GENERATION)
}

fn context() -> Context {
    Context {
        wijk: WIJK,
        space: SpaceId::Inbox,
        kind: Kind::CONTRIBUTION,
        seed: SEED,
        commit: ERASE.commit(),
        generation: generation().public().generation(),
    }
}

fn wrap_context() -> WrapContext {
    let generation = generation().public().generation();
    WrapContext { wijk: WIJK, space: SpaceId::Inbox, generation, device: device() }
}

/// A text that just needs this step.
fn text(step: usize) -> Vec<u8> {
    let bytes = [0, SEALED_STEPS[0], SEALED_STEPS[1]][step];
    TEXT.bytes().cycle().take(bytes.max(TEXT.len())).collect()
}

fn drop_inner(body: Vec<u8>) -> DropInner {
    DropInner { space: SpaceId::Inbox, kind: Kind::CONTRIBUTION, body }
}

fn sealed(step: usize) -> Vec<u8> {
    seal(&generation().public(), &context(), &text(step), ENTROPY).unwrap()
}

fn in_drop(body: Vec<u8>) -> Vec<u8> {
    seal_drop(&SealSecret::new(SERVER).public(), WIJK, &key(), &drop_inner(body), ENTROPY).unwrap()
}

pub fn values() -> Vec<(&'static str, Vec<u8>)> {
    let receipt = ReceiptSecret::new(RECEIPT);
    let reply = receipt.key(WIJK).public();
    let member = SealSecret::new(MEMBER).public();
    vec![
        ("public half of a generation", generation().public().as_bytes().to_vec()),
        ("id of a generation", generation().public().generation().as_bytes().to_vec()),
        ("key from a seed", SealSecret::from_seed("samenspraak/test/v1", &[0x11; 32]).as_bytes().to_vec()),
        ("body of 1 KiB", sealed(0)),
        // The larger ones by their hash: nobody reads sixteen thousand bytes of noise.
        ("hash of a body of 4 KiB", sha256(&sealed(1)).to_vec()),
        ("hash of a body of 16 KiB", sha256(&sealed(2)).to_vec()),
        ("wrapped key", wrap_generation(&member, &wrap_context(), &generation(), ENTROPY).unwrap().to_vec()),
        ("digest of a drop", drop_inner(b"a body".to_vec()).digest().to_vec()),
        ("drop of 2 KiB", in_drop(b"a body".to_vec())),
        ("hash of a drop of 5 KiB", sha256(&in_drop(sealed(1))).to_vec()),
        ("hash of a drop of 17 KiB", sha256(&in_drop(sealed(2))).to_vec()),
        ("letters of a receipt", receipt.letters().into_bytes()),
        ("public half of a receipt", reply.as_bytes().to_vec()),
        ("id of a reply", reply_id(&reply).as_bytes().to_vec()),
        ("reply", seal_reply(&reply, WIJK, ANSWER.as_bytes(), ENTROPY).unwrap()),
    ]
}

#[test]
fn what_was_sealed_once_is_sealed_the_same_and_opens_for_ever() {
    let known = check("seals.hex", &values());
    assert_eq!(open(&generation(), &context(), &known["body of 1 KiB"]), Ok(TEXT.into()));
    let unwrapped = unwrap_generation(&SealSecret::new(MEMBER), &wrap_context(), &known["wrapped key"]).unwrap();
    assert_eq!(unwrapped.as_bytes(), &GENERATION);
    let opened = open_drop(&SealSecret::new(SERVER), WIJK, &known["drop of 2 KiB"]);
    assert_eq!(opened, Ok((device(), drop_inner(b"a body".to_vec()))));
    let letters = String::from_utf8(known["letters of a receipt"].clone()).unwrap();
    let key = ReceiptSecret::parse(&letters).unwrap().key(WIJK);
    assert_eq!(open_reply(&key, WIJK, &known["reply"]), Ok(ANSWER.into()));
    for (step, bytes) in SEALED_STEPS.into_iter().enumerate() {
        assert_eq!(sealed(step).len(), bytes);
        assert_eq!(in_drop(sealed(step)).len(), DROP_STEPS[step]);
    }
}
