//! Promise: a log that comes packed leaves on a phone exactly what its pieces leave, and packed bytes from a server that lies
//! change nothing and cost little.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use samenspraak_core::app::{Command, Reply};
use samenspraak_core::model::{Content, EntryId, Role, SpaceId};
use samenspraak_core::store::{Store, Table};
use samenspraak_core::sync::segment::{self, At, SEGMENT_PLAIN_BYTES_MAX};
use samenspraak_core::sync::wire::{Frame, Piece};
use samenspraak_tests::conversation::Conversation;
use samenspraak_tests::world::{Phone, Seeded, World, packed};

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn rows(store: &dyn Store) -> Rows {
    let all = Table::ALL.into_iter().flat_map(|table| {
        let rows = store.scan(table, &[], None, usize::MAX).unwrap();
        rows.into_iter().map(move |row| ((table, row.key), row.value))
    });
    all.collect()
}

/// A phone that has nothing yet, twice, each with a world of its own; the second server packs.
fn twice(evening: &mut Conversation) -> [(World, Phone); 2] {
    let phone = evening.world.join(Role::Resident);
    let (plain, mut packing) = (evening.world.copy(9), evening.world.copy(9));
    packing.packs = true;
    [(plain, phone.copy()), (packing, phone.copy())]
}

#[test]
fn segments_leave_what_pieces_leave_of_entries_of_every_kind() {
    let mut evening = Conversation::new();
    let [(mut plain, mut one), (mut packing, mut other)] = twice(&mut evening);
    let (by_pieces, by_segments) = (plain.sync(&mut one), packing.sync(&mut other));
    assert_eq!((by_pieces.settled, by_segments.settled), (Some(None), Some(None)), "{by_segments:?}");
    assert!(by_segments.down.1 < by_pieces.down.1, "{by_segments:?} against {by_pieces:?}");
    let frames = |world: &World| {
        let is_segment = |bytes: &&Vec<u8>| matches!(Frame::decode(bytes), Ok(Frame::Segment { .. }));
        world.said.1.iter().filter(is_segment).count()
    };
    assert_eq!(frames(&plain), 0);
    assert!(frames(&packing) >= 2);
    assert_eq!(rows(one.store.as_ref()), rows(other.store.as_ref()));
}

/// A phone that has nothing, what a server that packs says to it in segments of a few entries, and what it holds then.
fn said_packed(world: &mut Option<World>) -> (Phone, Vec<Vec<u8>>, Rows) {
    let [_, (mut packing, phone)] = twice(&mut Conversation::new());
    let mut first = phone.copy();
    assert_eq!(packing.sync(&mut first).settled, Some(None));
    let said = packing.said.1.clone();
    *world = Some(packing);
    (phone, said, rows(first.store.as_ref()))
}

#[test]
fn a_phone_that_hears_ahead_while_it_stores_holds_what_one_holds_that_waits() {
    let (phone, said, _) = said_packed(&mut None);
    let (mut waits, mut ahead) = (phone.copy(), phone.copy());
    let (first, (second, early)) = (waits.hear(&said), ahead.hear_ahead(&said, |_| false));
    assert!(early >= 2, "only {early} frames came ahead of {}", said.len());
    assert_eq!((&second.said, &second.ended), (&first.said, &first.ended));
    assert_eq!(rows(ahead.store.as_ref()), rows(waits.store.as_ref()));
}

#[test]
fn what_was_heard_ahead_of_a_commit_that_fails_is_not_kept_and_comes_again() {
    let mut world = None;
    let (phone, said, everything) = said_packed(&mut world);
    let mut world = world.unwrap();
    let mut failed = 0;
    for failing in 0..9 {
        for is_killed in [false, true] {
            let mut ahead = phone.copy();
            let (heard, _) = ahead.hear_ahead(&said, |commit| commit == failing);
            failed += usize::from(heard.ended.is_some());
            let why = heard.ended.as_deref().unwrap_or_default();
            assert!(!why.contains("fit"), "commit {failing}: the server was blamed for a full disk: {why}");
            assert!(heard.ended.is_none() || rows(ahead.store.as_ref()) != everything, "commit {failing}");
            // What the app believes, or what its store holds.
            if is_killed {
                ahead.restart();
            }
            assert_eq!(world.sync(&mut ahead).settled, Some(None), "commit {failing}, killed {is_killed}");
            assert_eq!(rows(ahead.store.as_ref()), everything, "commit {failing}");
        }
    }
    assert!(failed >= 6, "{failed} commits failed");
}

#[test]
fn packed_bytes_that_were_changed_are_refused_ahead_as_they_are_in_their_turn() {
    let (phone, said, _) = said_packed(&mut None);
    let segments: Vec<usize> =
        (0..said.len()).filter(|at| matches!(Frame::decode(&said[*at]), Ok(Frame::Segment { .. }))).collect();
    assert!(segments.len() >= 2);
    for at in segments {
        for from_the_end in [1, 9, 40, 200] {
            let mut said = said.clone();
            let Some(byte) = said[at].len().checked_sub(from_the_end) else { continue };
            said[at][byte] ^= 1;
            let (mut waits, mut ahead) = (phone.copy(), phone.copy());
            let (first, (second, _)) = (waits.hear(&said), ahead.hear_ahead(&said, |_| false));
            assert_eq!((&second.said, &second.ended), (&first.said, &first.ended), "{at}, {from_the_end}");
            assert_eq!(rows(ahead.store.as_ref()), rows(waits.store.as_ref()), "{at}, {from_the_end}");
        }
    }
}

/// Everything that a server sends of its logs, in pieces as long as a segment's.
fn pieces(world: &World) -> Vec<Piece> {
    let (reader, mut pieces) = (world.server().reader(), Vec::new());
    for space in world.server().replica().spaces() {
        let mut from = 0;
        while let Some((read, _)) = reader.read_segment(space, from, u64::MAX).unwrap() {
            from = read.head.next;
            pieces.push(read.piece);
        }
    }
    pieces
}

fn at(piece: &Piece) -> At {
    At { space: piece.space, epoch: piece.epoch, from: piece.from }
}

fn unpack(world: &World, at: At, bytes: &[u8]) -> Option<Piece> {
    segment::unpack(world.wijk, at, bytes, &mut |_, _| Some(EntryId::ZERO)).ok()
}

#[test]
fn every_honest_piece_can_be_packed_and_comes_back_as_it_was() {
    let evening = Conversation::new();
    let pieces = pieces(&evening.world);
    assert!(pieces.len() >= 4, "{} spaces", pieces.len());
    for piece in pieces {
        let Frame::Segment { packed: bytes, .. } = packed(evening.world.wijk, &piece) else { panic!() };
        assert_eq!(unpack(&evening.world, at(&piece), &bytes), Some(piece));
    }
}

#[test]
fn the_middle_of_a_log_is_packed_with_what_came_before_it() {
    let mut world = World::with_seed(5);
    let mut author = world.join(Role::Resident);
    let mut content = Content { title: "Stoep".into(), text: "Los.".into(), ..Content::default() };
    let Reply::Saved { subject, .. } = world.ask(&mut author, Command::Contribute(content.clone())).unwrap() else {
        panic!()
    };
    for number in 0..30 {
        if number % 10 == 0 {
            author.restart();
        }
        content.text.push_str(" En weer een stuk, voor de deur van nummer één.");
        world.ask(&mut author, Command::Edit { subject, content: content.clone() }).unwrap();
        world.sync(&mut author);
    }
    let (reader, mut from, mut sizes) = (world.server().reader(), 0, Vec::new());
    // Cut at every push: each segment refers to changes, sessions and links that stand in an earlier one.
    while let Some((read, _)) = reader.read_segment(SpaceId::Open, from, from + 1).unwrap() {
        from = read.head.next;
        let Frame::Segment { packed: bytes, .. } = packed(world.wijk, &read.piece) else { panic!() };
        let mut prev_of = |device, _| read.piece.runs.iter().find(|run| run.device == device).map(|run| run.prev);
        let back = segment::unpack(world.wijk, at(&read.piece), &bytes, &mut prev_of);
        assert_eq!(back.as_ref(), Ok(&read.piece));
        sizes.push(bytes.len());
    }
    assert!(sizes.len() >= 30, "{sizes:?}");
}

#[test]
fn packed_bytes_that_were_changed_are_refused_or_say_something_else_and_never_more_than_they_may() {
    let evening = Conversation::new();
    let mut random = Seeded::new(4);
    let (mut refused, mut other) = (0, 0);
    for piece in pieces(&evening.world) {
        let plain = segment::pack(evening.world.wijk, &piece).unwrap();
        for _ in 0..400 {
            let mut bytes = plain.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = random.bits() as u8,
                    _ => bytes.truncate(at.max(1)),
                }
            }
            let compressed = compress_to_vec(bytes.as_slice(), CompressionLevel::Fastest);
            match unpack(&evening.world, at(&piece), &compressed) {
                None => refused += 1,
                Some(_) => other += 1,
            }
        }
        let Frame::Segment { packed: bytes, .. } = packed(evening.world.wijk, &piece) else { panic!() };
        for _ in 0..100 {
            let mut bytes = bytes.clone();
            let place = random.below(bytes.len());
            bytes[place] ^= 1 << random.below(8);
            // Whatever zstd makes of it: an answer, and no panic.
            let _ = unpack(&evening.world, at(&piece), &bytes);
        }
    }
    assert!(refused > 500 && other > 50, "{refused} refused, {other} read as something else");
}

#[test]
fn bytes_that_would_become_more_than_a_segment_may_be_are_refused_unread() {
    let evening = Conversation::new();
    let at = At { space: SpaceId::Open, epoch: [1; 16], from: 0 };
    for size in [SEGMENT_PLAIN_BYTES_MAX + 1, 20 * SEGMENT_PLAIN_BYTES_MAX] {
        let bomb = compress_to_vec(vec![0; size].as_slice(), CompressionLevel::Fastest);
        assert!(bomb.len() < 64 * 1024, "{} bytes", bomb.len());
        let refused = segment::unpack(evening.world.wijk, at, &bomb, &mut |_, _| None);
        assert_eq!(refused, Err(segment::SegmentError::Compression));
    }
    for bytes in [&b""[..], b"x", &[0x28, 0xb5, 0x2f, 0xfd]] {
        let refused = segment::unpack(evening.world.wijk, at, bytes, &mut |_, _| None);
        assert_eq!(refused, Err(segment::SegmentError::Compression));
    }
}

#[test]
fn a_server_that_changes_what_it_packed_is_left_and_nothing_of_it_is_kept() {
    let mut evening = Conversation::new();
    let [_, (mut packing, mut phone)] = twice(&mut evening);
    let untouched = phone.copy();
    packing.sync(&mut phone);
    let said = packing.said.1.clone();
    let mut random = Seeded::new(6);
    let mut left = 0;
    for (place, frame) in said.iter().enumerate() {
        let Ok(Frame::Segment { space, epoch, from, packed: _ }) = Frame::decode(frame) else { continue };
        let piece = pieces(&packing).into_iter().find(|piece| (piece.space, piece.from) == (space, from)).unwrap();
        let plain = segment::pack(packing.wijk, &piece).unwrap();
        for _ in 0..30 {
            let mut bytes = plain.clone();
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
            let packed = compress_to_vec(bytes.as_slice(), CompressionLevel::Fastest);
            let mut frames = said[..place].to_vec();
            frames.push(Frame::Segment { space, epoch, from, packed }.encode());
            // Behind it the rest of the evening as it was: the signed head proves that something else was said.
            frames.extend_from_slice(&said[place + 1..]);
            let mut victim = untouched.copy();
            let heard = victim.hear(&frames);
            assert!(heard.ended.is_some(), "bit {at} of a segment of {space} was believed");
            left += 1;
        }
    }
    assert!(left >= 60, "{left}");
}
