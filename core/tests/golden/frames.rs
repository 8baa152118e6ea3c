//! Frames, and everything a server or a phone signs beside entries.

use samenspraak_core::gate::{Reason, Verdict};
use samenspraak_core::model::*;
use samenspraak_core::replica::RunBatch;
use samenspraak_core::store::log::{LogHead, LogItem};
use samenspraak_core::sync::segment;
use samenspraak_core::sync::wire::{ChainHead, Frame, Piece, PieceLine, Reach, Receipt, ReceiptLine, RefusalCode};
use samenspraak_core::sync::{ServerCertificate, epoch_message, head_message, prove_message, receipt_message};

use super::file::check;
use super::fixed::*;

const HEAD: LogHead = LogHead { next: 41_207, hash: [0x4e; 32] };

fn certificate() -> ServerCertificate {
    let epoch_key = DeviceId::new([0x5b; 32]);
    let signature = key().sign(&epoch_message(WIJK, &EPOCH, epoch_key));
    ServerCertificate { identity: device(), epoch: EPOCH, epoch_key, signature }
}

fn receipt() -> Receipt {
    let line = |number, verdict| ReceiptLine { id: ENTRY, number, day: 20_000, verdict };
    let refused = Verdict::Refused(Reason::Owner);
    let mut receipt = Receipt {
        push: 4,
        space: SpaceId::Open,
        epoch: EPOCH,
        lines: vec![line(41_205, Verdict::Present), line(41_206, refused)],
        head: HEAD,
        signature: samenspraak_core::entry::Signature([0; 64]),
    };
    receipt.signature = key().sign(&receipt_message(WIJK, &receipt));
    receipt
}

fn frames() -> Vec<(&'static str, Frame)> {
    let (space, subject) = (SpaceId::Open, SubjectId::new([0x2d; 16]));
    let piece = Piece {
        space,
        epoch: EPOCH,
        from: 41_201,
        runs: vec![run()],
        lines: [vec![PieceLine::Next(0); 5], vec![PieceLine::Again(ENTRY)]].concat(),
        facts: vec![(4, 20_000, Verdict::Present), (2, 20_001, Verdict::Pending)],
    };
    let refused = |push, code, expected_seq| Frame::Refused { push, space, code, expected_seq };
    let signature = key().sign(&prove_message(WIJK, DeviceId::new([0x5b; 32]), &[0x0f; 32]));
    let push = |batch| Frame::Push { push: 4, space, batch };
    vec![
        ("hello", Frame::Hello { wijk: WIJK, certificate: certificate(), nonce: [0x0f; 32] }),
        ("prove", Frame::Prove { device: device(), signature }),
        ("subscribe", Frame::Subscribe { space, epoch: EPOCH, cursor: HEAD }),
        ("push", push(RunBatch { runs: vec![run()], order: vec![] })),
        ("push with an order", push(RunBatch { runs: vec![run()], order: vec![0; 5] })),
        ("receipt", Frame::Receipt(receipt())),
        ("refused", refused(Some(4), RefusalCode::Gap, Some(12))),
        ("refused subscription", refused(None, RefusalCode::NotReadable, None)),
        ("piece", Frame::Piece(piece)),
        (
            "current",
            Frame::Current {
                space,
                epoch: EPOCH,
                head: HEAD,
                signature: key().sign(&head_message(WIJK, space, &EPOCH, &HEAD)),
            },
        ),
        ("restart", Frame::Restart { space: SpaceId::Members, epoch: EPOCH }),
        ("bye", Frame::Bye),
        ("confirm", Frame::Confirm { space, epoch: EPOCH, next: 41_207 }),
        ("confirmed", Frame::Confirmed { space, next: 41_207 }),
        ("ask erased", Frame::AskErased { space: SpaceId::Inbox, subject }),
        ("erased", Frame::Erased { space, subject, reach: Some(Reach { devices: 300, confirmed: 299 }) }),
        ("erased unknown", Frame::Erased { space, subject, reach: None }),
        ("segment", Frame::Segment { space, epoch: EPOCH, from: 41_201, packed: vec![0x28, 0xb5, 0x2f, 0xfd] }),
        (
            "frontier",
            Frame::Frontier {
                space,
                chains: vec![
                    ChainHead { device: device(), seq: 12, id: ENTRY },
                    ChainHead { device: DeviceId::new([0x5b; 32]), seq: 0, id: ENTRY },
                ],
                last: true,
            },
        ),
        ("wanted", Frame::Wanted { space, chains: vec![(device(), 9)], holes: vec![ENTRY], last: true }),
        (
            "shown",
            Frame::Shown {
                space,
                epoch: EPOCH,
                head: HEAD,
                signature: key().sign(&head_message(WIJK, space, &EPOCH, &HEAD)),
            },
        ),
        ("attend", Frame::Attend { subject: Some(subject), writes: true }),
        ("attend nothing", Frame::Attend { subject: None, writes: false }),
        ("attending", Frame::Attending { subject: Some(subject), present: 12, writing: 3 }),
        ("attending nothing", Frame::Attending { subject: None, present: 0, writing: 0 }),
    ]
}

#[test]
fn every_frame_keeps_its_bytes_and_is_read_back() {
    let frames = frames();
    let bytes: Vec<_> = frames.iter().map(|(name, frame)| (*name, frame.encode())).collect();
    let known = check("frames.hex", &bytes);
    for (name, frame) in frames {
        assert_eq!(Frame::decode(&known[name]), Ok(frame), "{name}");
    }
}

#[test]
fn what_servers_and_phones_sign_keeps_its_bytes() {
    let item = LogItem { id: ENTRY, day: 20_000, verdict: Verdict::Present, again: false };
    let refused = LogItem { verdict: Verdict::Refused(Reason::Change(24)), ..item.clone() };
    let empty = LogHead::empty(WIJK, SpaceId::Open, &EPOCH);
    let known = check(
        "signed.hex",
        &[
            ("log head of nothing", empty.hash.to_vec()),
            ("log head of one", empty.after(&item).hash.to_vec()),
            ("log head of two", empty.after(&item).after(&refused).hash.to_vec()),
            ("head message", head_message(WIJK, SpaceId::Open, &EPOCH, &HEAD).to_vec()),
            ("epoch message", epoch_message(WIJK, &EPOCH, DeviceId::new([0x5b; 32])).to_vec()),
            ("prove message", prove_message(WIJK, DeviceId::new([0x5b; 32]), &[0x0f; 32]).to_vec()),
            ("receipt message", receipt_message(WIJK, &receipt()).to_vec()),
            ("certificate", certificate().encode()),
        ],
    );
    assert_eq!(ServerCertificate::decode(&known["certificate"]), Ok(certificate()));
    assert!(certificate().is_valid(WIJK));
    // Whether an item was judged anew follows from the log and isn't hashed.
    assert_eq!(empty.after(&item), empty.after(&LogItem { again: true, ..item }));
}

#[test]
fn a_packed_piece_keeps_its_bytes() {
    let Some((_, Frame::Piece(piece))) = frames().into_iter().find(|(name, _)| *name == "piece") else { panic!() };
    let plain = segment::pack(WIJK, &piece).expect("a piece can be packed");
    check("segment.hex", &[("segment before it is compressed", plain)]);
}
