//! Frames: what is read is written and read again as the same.

use samenspraak_core::entry::Signature;
use samenspraak_core::model::{DeviceId, EntryId, SpaceId, SubjectId};
use samenspraak_core::store::log::LogHead;
use samenspraak_core::sync::wire::{ChainHead, Frame, Reach, RefusalCode};

use super::{Ends, Target};
use crate::conversation::Conversation;

pub const TARGET: Target = Target { name: "frame", run, seeds, accepts: "read" };

fn run(input: &[u8], ends: &mut Ends) {
    match Frame::decode(input) {
        Ok(frame) => {
            let bytes = frame.encode();
            ends.reach("read", number(&frame));
            assert_eq!(Frame::decode(&bytes).as_ref(), Ok(&frame), "a frame reads back as another one");
            if let Frame::Piece(piece) = frame {
                let items = piece.items().count();
                assert_eq!(items, piece.lines.len(), "an item of a piece has no day and verdict");
                assert!(piece.clone().take_batch().order.len() <= items);
            }
        }
        Err(error) => ends.reach(error.what, u64::from(input.get(1).copied().unwrap_or(0))),
    }
}

fn number(frame: &Frame) -> u64 {
    match frame {
        Frame::Hello { .. } => 0,
        Frame::Prove { .. } => 1,
        Frame::Subscribe { .. } => 2,
        Frame::Push { .. } => 3,
        Frame::Receipt(_) => 4,
        Frame::Refused { .. } => 5,
        Frame::Piece(_) => 6,
        Frame::Current { .. } => 7,
        Frame::Restart { .. } => 8,
        Frame::Bye => 9,
        Frame::Drop { .. } => 10,
        Frame::Dropped { .. } => 11,
        Frame::DropRefused { .. } => 12,
        Frame::Confirm { .. } => 13,
        Frame::Confirmed { .. } => 14,
        Frame::AskErased { .. } => 15,
        Frame::Erased { .. } => 16,
        Frame::Segment { .. } => 17,
        Frame::Frontier { .. } => 18,
        Frame::Wanted { .. } => 19,
        Frame::Shown { .. } => 20,
        Frame::Attend { .. } => 21,
        Frame::Attending { .. } => 22,
    }
}

/// What is said on an honest evening, and the frames that are seldom said.
fn seeds() -> Vec<Vec<u8>> {
    let (space, subject) = (SpaceId::Open, SubjectId::new([5; 16]));
    let device = DeviceId::new([6; 32]);
    let refused = |push, expected_seq| Frame::Refused { push, space, code: RefusalCode::Gap, expected_seq };
    let rare = [
        refused(None, None),
        refused(Some(3), Some(7)),
        Frame::Restart { space, epoch: [1; 16] },
        Frame::Bye,
        Frame::DropRefused { drop: 1, code: RefusalCode::NotNow },
        Frame::Confirm { space, epoch: [1; 16], next: 300 },
        Frame::Confirmed { space, next: 300 },
        Frame::AskErased { space, subject },
        Frame::Frontier { space, chains: Vec::new(), last: true },
        Frame::Frontier { space, chains: vec![ChainHead { device, seq: 7, id: EntryId::ZERO }], last: false },
        Frame::Wanted { space, chains: vec![(device, 3)], holes: vec![EntryId::ZERO], last: true },
        Frame::Shown { space, epoch: [1; 16], head: LogHead { next: 9, hash: [2; 32] }, signature: Signature([3; 64]) },
        Frame::Erased { space, subject, reach: None },
        Frame::Erased { space, subject, reach: Some(Reach { devices: 3, confirmed: 2 }) },
        Frame::Attend { subject: Some(subject), writes: true },
        Frame::Attend { subject: None, writes: false },
        Frame::Attending { subject: Some(subject), present: 300, writing: 2 },
        Frame::Attending { subject: None, present: 0, writing: 0 },
        Frame::Segment { space, epoch: [1; 16], from: 3, packed: vec![7; 40] },
    ];
    let mut seeds = Conversation::new().said;
    seeds.extend(rare.iter().map(Frame::encode));
    seeds
}
