//! Promise: no bytes on a connection make either side panic, take much memory, or believe what was not said; and after
//! them the same two sync as if nothing had happened.
//!
//! `SAMENSPRAAK_MUTATIONS` for a longer run, `SAMENSPRAAK_SEED` to repeat one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use samenspraak_core::app::{Command, Reply};
use samenspraak_core::entry::{Kind, Payload, Run, RunEntry, Signature};
use samenspraak_core::gate::Verdict;
use samenspraak_core::gate::limits::{BATCH_ENTRIES_MAX, FRAME_BYTES_MAX};
use samenspraak_core::model::{Choice, Content, DeviceId, EntryId, Role, SpaceId, SubjectId};
use samenspraak_core::replica::RunBatch;
use samenspraak_core::sync::server::{ServerEffect, Session};
use samenspraak_core::sync::wire::{Frame, Piece, PieceLine};
use samenspraak_tests::world::{DAY, Phone, Seeded, World};

#[path = "../../core/tests/common/counting.rs"]
mod counting;
use counting::with_peak;

/// What reading a frame may allocate beside the frame: a run's entry takes some hundred bytes in memory, and there are at
/// most [`BATCH_ENTRIES_MAX`] of them.
const DECODE_BYTES_MAX: isize = 1024 * 1024;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// One to four small edits.
fn mutated(frame: &[u8], choose: &mut Seeded) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    for _ in 0..=choose.below(4) {
        let at = choose.below(bytes.len());
        match choose.below(8) {
            0 => bytes[at] = u8::try_from(choose.below(256)).unwrap(),
            1 | 2 => bytes[at] ^= 1 << choose.below(8),
            3 => bytes[at] = [0x00, 0x1b, 0x5b, 0x9b, 0xbb, 0xff, 0xf6, 0x9f][choose.below(8)],
            4 => bytes.insert(at, u8::try_from(choose.below(256)).unwrap()),
            5 if bytes.len() > 1 => drop(bytes.remove(at)),
            6 => bytes.truncate(at.max(1)),
            _ => {
                let from = choose.below(bytes.len());
                let piece = bytes[from..(from + choose.below(40)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

fn golden() -> Vec<Vec<u8>> {
    let text = include_str!("../../core/tests/golden/frames.hex");
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(": "));
    let bytes =
        |hex: &str| (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    lines.map(|(_, hex)| bytes(hex)).collect()
}

fn decode(bytes: &[u8]) -> bool {
    let (read, peak) = with_peak(|| Frame::decode(bytes).ok());
    assert!(peak <= DECODE_BYTES_MAX + 2 * bytes.len() as isize, "{} bytes took {peak}", bytes.len());
    read.is_some()
}

#[test]
fn every_truncation_of_every_frame_is_refused() {
    for frame in golden() {
        assert!(decode(&frame));
        for end in 0..frame.len() {
            assert!(!decode(&frame[..end]), "{end} of {} bytes", frame.len());
        }
        assert!(!decode(&[frame.as_slice(), &[0]].concat()), "one byte more");
    }
}

#[test]
fn mutated_frames_are_read_or_refused_within_bounds_and_read_back_the_same() {
    let (mutations, seed) = (from_env("SAMENSPRAAK_MUTATIONS", 60_000), from_env("SAMENSPRAAK_SEED", 1));
    let frames = golden();
    let mut read = 0;
    for case in 0..mutations {
        let mut choose = Seeded::new(seed.wrapping_mul(1_000_003).wrapping_add(case));
        let bytes = mutated(&frames[choose.below(frames.len())], &mut choose);
        if decode(&bytes) {
            read += 1;
            let frame = Frame::decode(&bytes).unwrap();
            assert_eq!(Frame::decode(&frame.encode()), Ok(frame), "seed {seed}, case {case}");
        }
    }
    println!("{mutations} mutations, {read} can be read");
    assert!(read > mutations / 100);
}

#[test]
fn the_densest_frames_take_bounded_memory() {
    let entry = RunEntry { kind: Kind(0), payload: Payload::Creating { body: vec![] }, extra: vec![] };
    let run = |count: usize| Run {
        device: DeviceId::ZERO,
        first_seq: 0,
        prev: EntryId::ZERO,
        entries: vec![entry.clone(); count],
        signature: Signature([0; 64]),
    };
    let push = |runs| Frame::Push { push: 0, space: SpaceId::Open, batch: RunBatch { runs, order: vec![] } };
    let piece = |lines: Vec<PieceLine>, facts| {
        Frame::Piece(Piece { space: SpaceId::Open, epoch: [0; 16], from: 0, runs: vec![], lines, facts })
    };
    let facts = vec![(1, 0, Verdict::Present); BATCH_ENTRIES_MAX];
    let frames = [
        ("as many entries as may be", push(vec![run(BATCH_ENTRIES_MAX)]), true),
        ("as many runs as may be", push(vec![run(1); 4096]), true),
        ("many full runs", push(vec![run(4096); 50]), false),
        ("as many lines as may be", piece(vec![PieceLine::Next(0); BATCH_ENTRIES_MAX], facts.clone()), true),
        ("as many names as may be", piece(vec![PieceLine::Again(EntryId::ZERO); BATCH_ENTRIES_MAX], facts), true),
    ];
    for (name, frame, readable) in frames {
        let bytes = frame.encode();
        assert!(bytes.len() <= FRAME_BYTES_MAX, "{name}");
        let (read, peak) = with_peak(|| Frame::decode(&bytes));
        println!("{name}: {} bytes took {peak}", bytes.len());
        assert_eq!(read.is_ok(), readable, "{name}");
        assert!(peak <= DECODE_BYTES_MAX + 2 * bytes.len() as isize, "{name}: {} bytes took {peak}", bytes.len());
    }
    assert!(!decode(&vec![0x9f; FRAME_BYTES_MAX]));
    assert!(!decode(&vec![0x81; FRAME_BYTES_MAX]));
    assert!(!decode(&vec![0x81; FRAME_BYTES_MAX + 1]));
}

/// A resident with words of their own and of others, and what both sides say when they sync.
struct Scene {
    world: World,
    /// The same after they synced: what the server said to the phone is true here.
    after: World,
    phone: Phone,
    up: Vec<Vec<u8>>,
    down: Vec<Vec<u8>>,
    own: SubjectId,
}

fn scene() -> Scene {
    let mut world = World::with_seed(1);
    let (mut other, mut phone) = (world.join(Role::Resident), world.join(Role::Resident));
    let content = |words: &str| Content { title: words.into(), text: words.into(), theme: 1, buurt: String::new() };
    let contribute = |world: &mut World, phone: &mut Phone, words: &str| match world
        .ask(phone, Command::Contribute(content(words)))
        .unwrap()
    {
        Reply::Saved { subject, .. } => subject,
        reply => panic!("{reply:?}"),
    };
    let theirs = contribute(&mut world, &mut other, "Hun woorden");
    world.sync(&mut other);
    world.sync(&mut phone);
    let own = contribute(&mut world, &mut phone, "Eigen woorden");
    world.ask(&mut phone, Command::Speak { question: theirs, choice: Choice::Agree }).unwrap();
    world.ask(&mut phone, Command::Speak { question: theirs, choice: Choice::Disagree }).unwrap();
    world.ask(&mut other, Command::Speak { question: theirs, choice: Choice::Support }).unwrap();
    contribute(&mut world, &mut other, "Nog iets van hen");
    world.sync(&mut other);
    let (mut elsewhere, mut played) = (world.copy(7), phone.copy());
    assert_eq!(elsewhere.sync(&mut played).settled, Some(None));
    let (up, down) = elsewhere.said.clone();
    assert!(up.len() >= 4 && down.len() >= 5, "{} up, {} down", up.len(), down.len());
    Scene { world, after: elsewhere, phone, up, down, own }
}

/// Both sync as if nothing had happened, and the server has the phone's words as they were written.
fn honest_sync(world: &mut World, phone: &mut Phone, own: SubjectId, case: u64) {
    phone.restart();
    let synced = world.sync(phone);
    assert_eq!(synced.settled, Some(None), "case {case}: {synced:?}");
    let items = phone.joined().contributions().unwrap();
    assert_eq!(items.len(), 3, "case {case}");
    let mine = items.iter().find(|item| item.subject == own).unwrap();
    assert_eq!(mine.content.text, "Eigen woorden", "case {case}");
    assert!(mine.received_day.is_some(), "case {case}");
}

/// Sometimes a frame of any kind comes in between, which nobody asked for.
fn insert_any(frames: &mut Vec<Vec<u8>>, choose: &mut Seeded) {
    if choose.below(3) == 0 {
        let golden = golden();
        let frame = golden[choose.below(golden.len())].clone();
        let frame = if choose.below(2) == 0 { mutated(&frame, choose) } else { frame };
        frames.insert(choose.below(frames.len() + 1), frame);
    }
}

#[test]
fn a_server_that_hears_mutated_frames_takes_nothing_false_and_syncs_on() {
    let (seed, Scene { world, phone, up, down, own, .. }) = (from_env("SAMENSPRAAK_SEED", 1), scene());
    let Ok(Frame::Hello { nonce, .. }) = Frame::decode(&down[0]) else { panic!() };
    let expected = {
        let (mut world, mut phone) = (world.copy(8), phone.copy());
        world.sync(&mut phone);
        let head = world.server().reader().head(SpaceId::Open).unwrap();
        head.next
    };
    let (mut closed, mut refused) = (0, 0);
    for case in 0..from_env("SAMENSPRAAK_MUTATIONS", 600) {
        let mut choose = Seeded::new(seed.wrapping_mul(1_000_003).wrapping_add(case));
        let (mut world, mut phone) = (world.copy(case), phone.copy());
        let (mut session, _) = Session::begin(world.wijk, world.server().certificate(), nonce);
        let hostile = choose.below(up.len());
        let mut frames = up.clone();
        frames[hostile] = mutated(&frames[hostile], &mut choose);
        insert_any(&mut frames, &mut choose);
        'heard: for frame in frames {
            let reader = world.server().reader();
            for effect in session.receive(&frame, world.server().members(), &reader) {
                match effect {
                    ServerEffect::Admit(job) => {
                        let (answers, _) = world.server_mut().admit(&[job], DAY).expect("a server goes on");
                        refused += usize::from(matches!(answers[0], Frame::Refused { .. }));
                    }
                    ServerEffect::Close(_) => {
                        closed += 1;
                        break 'heard;
                    }
                    ServerEffect::Drop(job) => {
                        let answer = world.server_mut().take_drop(&job, DAY).expect("a server goes on");
                        refused += usize::from(matches!(answer, Frame::DropRefused { .. }));
                    }
                    ServerEffect::Confirm(said) => {
                        world.server_mut().confirm(&[said]).unwrap();
                    }
                    ServerEffect::Send(_) | ServerEffect::Follow(..) | ServerEffect::Attend { .. } => {}
                    ServerEffect::WentBack(space, head) => panic!("nobody showed {head:?} of {space}"),
                }
            }
        }
        honest_sync(&mut world, &mut phone, own, case);
        let head = world.server().reader().head(SpaceId::Open).unwrap();
        assert_eq!(head.next, expected, "case {case}: the log has exactly what was written");
    }
    println!("{closed} connections were closed, {refused} pushes refused");
    assert!(closed > 100 && refused > 10);
}

#[test]
fn a_phone_that_hears_mutated_frames_loses_and_believes_nothing_and_syncs_on() {
    let (seed, Scene { after, phone, down, own, .. }) = (from_env("SAMENSPRAAK_SEED", 1), scene());
    for case in 0..from_env("SAMENSPRAAK_MUTATIONS", 600) {
        let mut choose = Seeded::new(seed.wrapping_mul(1_000_003).wrapping_add(case));
        let (mut world, mut phone) = (after.copy(case), phone.copy());
        let hostile = choose.below(down.len());
        let mut frames = down.clone();
        frames[hostile] = mutated(&frames[hostile], &mut choose);
        insert_any(&mut frames, &mut choose);
        phone.hear(&frames);
        phone.restart();
        let line = phone.joined().line(own).unwrap().unwrap();
        assert_eq!(line.item.content.text, "Eigen woorden", "case {case}");
        honest_sync(&mut world, &mut phone, own, case);
    }
}
