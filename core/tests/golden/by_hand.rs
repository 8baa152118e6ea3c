//! The format from first principles: CBOR by `minicbor`, hashes by `sha2`, signatures by `ed25519-dalek`, and nothing of
//! ours. What comes out must be what stands in the golden files.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use minicbor::{Decoder, Encoder};
use sha2::{Digest, Sha256};

use super::{entries, file, fixed};

/// What these calls write.
pub fn cbor(write: impl FnOnce(&mut Encoder<Vec<u8>>)) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    write(&mut e);
    e.into_writer()
}

/// SHA-256.
pub fn sha(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 over `[tag, item]`.
pub fn tagged(tag: &str, item: &[u8]) -> [u8; 32] {
    sha(&cbor(|e| {
        e.array(2).unwrap().str(tag).unwrap().bytes(item).unwrap();
    }))
}

/// HMAC as RFC 2104 has it, for keys of 32 bytes.
pub fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = [with; 64];
        key.iter().zip(&mut block).for_each(|(k, b)| *b ^= k);
        block
    };
    sha(&[padded(0x5c).as_slice(), &sha(&[padded(0x36).as_slice(), message].concat())].concat())
}

fn body_hash(seed: &[u8; 16], device: &[u8; 32], seq: u64, body: &[u8]) -> [u8; 32] {
    let message = cbor(|e| {
        e.array(3).unwrap().bytes(device).unwrap().u64(seq).unwrap().bytes(body).unwrap();
    });
    hmac(&tagged("samenspraak/salt/v1", seed), &message)
}

fn subject(wijk: &[u8; 32], device: &[u8; 32], kind: u64, seed: &[u8; 16], commit: &[u8]) -> [u8; 16] {
    let nonce = &tagged("samenspraak/nonce/v1", seed)[..16];
    let hashed = cbor(|e| {
        e.array(7).unwrap().str("samenspraak/subject/v1").unwrap().bytes(wijk).unwrap();
        // The space `open`, as bytes.
        e.bytes(&[1]).unwrap().bytes(device).unwrap().u64(kind).unwrap();
        e.bytes(nonce).unwrap().bytes(commit).unwrap();
    });
    sha(&hashed)[..16].try_into().unwrap()
}

struct HeaderFields<'a> {
    wijk: [u8; 32],
    device: [u8; 32],
    seq: u64,
    prev: [u8; 32],
    subject: [u8; 16],
    kind: u64,
    body_hash: [u8; 32],
    /// Pairs of a newer app, as they stand.
    extra: (u64, &'a [u8]),
}

fn header(h: &HeaderFields<'_>) -> Vec<u8> {
    let mut bytes = cbor(|e| {
        e.map(9 + h.extra.0).unwrap();
        e.u8(0).unwrap().u8(1).unwrap();
        e.u8(1).unwrap().bytes(&h.wijk).unwrap();
        e.u8(2).unwrap().bytes(&[1]).unwrap();
        e.u8(3).unwrap().bytes(&h.device).unwrap();
        e.u8(4).unwrap().u64(h.seq).unwrap();
        e.u8(5).unwrap().bytes(&h.prev).unwrap();
        e.u8(6).unwrap().bytes(&h.subject).unwrap();
        e.u8(7).unwrap().u64(h.kind).unwrap();
        e.u8(8).unwrap().bytes(&h.body_hash).unwrap();
    });
    bytes.extend(h.extra.1);
    bytes
}

fn entry_id(header: &[u8]) -> [u8; 32] {
    let mut hashed = cbor(|e| {
        e.array(2).unwrap().str("samenspraak/entry/v1").unwrap();
    });
    hashed.extend(header);
    sha(&hashed)
}

#[test]
fn ids_subjects_hashes_and_signatures_are_right_by_hand() {
    let known = file::check("entries.hex", &entries::values());
    let signing = SigningKey::from_bytes(&[0x11; 32]);
    let device = signing.verifying_key().to_bytes();
    assert_eq!(known["device"], device);
    let extra = [&[9, 0x1a, 0x00, 0x01, 0x11, 0x70][..], &[0x19, 0x01, 0x2c, 0x62, b'j', b'a']].concat();
    let mut fields = HeaderFields {
        wijk: [0xa1; 32],
        device,
        seq: 41_207,
        prev: [0xd4; 32],
        subject: [0xc3; 16],
        kind: 22,
        body_hash: [0x0b; 32],
        extra: (0, &[]),
    };
    assert_eq!(known["header"], header(&fields));
    let id = entry_id(&header(&fields));
    assert_eq!(known["id"], id);
    assert_eq!(known["signature"], signing.sign(&tagged("samenspraak/sign/v1", &id)).to_bytes());
    fields.extra = (2, &extra);
    assert_eq!(known["header of a newer app"], header(&fields));
    assert_eq!(known["id of a newer app"], entry_id(&header(&fields)));

    let seed = [0x5e; 16];
    assert_eq!(known["nonce"], tagged("samenspraak/nonce/v1", &seed)[..16]);
    assert_eq!(known["salt"], tagged("samenspraak/salt/v1", &seed));
    let commit = &tagged("samenspraak/erase/v1", &[0xe5; 32])[..16];
    assert_eq!(known["erase commitment"], commit);
    assert_eq!(known["subject"], subject(&[0xa1; 32], &device, 20, &seed, commit));
    assert_eq!(known["hash of a body"], body_hash(&seed, &device, 41_207, b"a body"));
    let alone = cbor(|e| {
        e.array(1).unwrap().str("samenspraak/tombstone-salt/v1").unwrap();
    });
    assert_eq!(known["salt of tombstones"], sha(&alone));
    let actor = cbor(|e| {
        e.array(4).unwrap().str("samenspraak/actor/v1").unwrap().bytes(&device).unwrap();
        e.bytes(&[0xc3; 16]).unwrap().bytes(&[0x77; 8]).unwrap();
    });
    assert_eq!(known["actor"], sha(&actor)[..16]);
    let genesis = cbor(|e| {
        e.array(2).unwrap().str("samenspraak/genesis/v1").unwrap();
    });
    assert_eq!(known["wijk"], sha(&[genesis.as_slice(), b"a genesis body"].concat()));
}

/// Reads the golden run by the page of the format, rebuilds its chain and checks its signature.
#[test]
fn the_run_is_proven_by_a_reader_written_by_hand() {
    let known = file::check("entries.hex", &entries::values());
    let bytes = &known["run"];
    let mut d = Decoder::new(bytes);
    assert_eq!(d.array().unwrap(), Some(5));
    let device: [u8; 32] = d.bytes().unwrap().try_into().unwrap();
    assert_eq!(d.u64().unwrap(), 0);
    d.null().unwrap();
    let (mut prev, mut seed, mut ids) = ([0; 32], [0; 16], Vec::new());
    for seq in 0..d.array().unwrap().unwrap() {
        let len = d.array().unwrap().unwrap();
        let (form, kind) = (d.u64().unwrap(), d.u64().unwrap());
        let mut extra = (0, Vec::new());
        let (about, hash, fields) = match form {
            0 => {
                let body = d.bytes().unwrap();
                let mut b = Decoder::new(body);
                b.map().unwrap();
                assert_eq!(b.u64().unwrap(), 1);
                seed = b.bytes().unwrap().try_into().unwrap();
                assert_eq!(b.u64().unwrap(), 2);
                let commit = b.bytes().unwrap();
                (subject(&[0xa1; 32], &device, kind, &seed, commit), body_hash(&seed, &device, seq, body), 3)
            }
            1 | 2 => {
                let about = d.bytes().unwrap().try_into().unwrap();
                let hash = body_hash(&seed, &device, seq, d.bytes().unwrap());
                if form == 2 {
                    assert_eq!(d.bytes().unwrap(), hash);
                }
                (about, hash, 3 + form)
            }
            _ => (d.bytes().unwrap().try_into().unwrap(), d.bytes().unwrap().try_into().unwrap(), 4),
        };
        if len == fields + 1 {
            extra.0 = d.map().unwrap().unwrap();
            let start = d.position();
            (0..2 * extra.0).for_each(|_| d.skip().unwrap());
            extra.1 = bytes[start..d.position()].to_vec();
        }
        let fields = HeaderFields {
            wijk: [0xa1; 32],
            device,
            seq,
            prev,
            subject: about,
            kind,
            body_hash: hash,
            extra: (extra.0, &extra.1),
        };
        prev = entry_id(&header(&fields));
        ids.push(prev);
    }
    let signature = ed25519_dalek::Signature::from_slice(d.bytes().unwrap()).unwrap();
    assert_eq!(d.position(), bytes.len());
    let key = VerifyingKey::from_bytes(&device).unwrap();
    key.verify_strict(&tagged("samenspraak/sign/v1", &prev), &signature).unwrap();
    let rebuilt = fixed::rebuild(&fixed::run());
    assert_eq!(rebuilt.iter().map(|entry| *entry.id.as_bytes()).collect::<Vec<_>>(), ids);
}
