//! Promise: no change from a peer costs more than its limit, and none can keep an honest one out.
//!
//! Each hostile input of `common/hostile.rs` has its expected end here, its work in counted steps and the
//! peak of its allocations. Then seeded mutations: `SAMENSPRAAK_MUTATIONS=1000000` for a long run,
//! `SAMENSPRAAK_SEED` to repeat one.
#![expect(unsafe_code, reason = "a counting allocator is the only way to see a peak")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Automerge, Change, ROOT, ReadDoc};
use samenspraak_core::gate::change::{ChangeRefusal, Preflight, parse, preflight};
use samenspraak_core::gate::fold::{Folded, fold};
use samenspraak_core::gate::limits;

#[path = "common/hostile.rs"]
mod hostile;
use hostile::Seeded;

thread_local! {
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn count(bytes: isize) {
    let in_use = IN_USE.get() + bytes;
    IN_USE.set(in_use);
    PEAK.set(PEAK.get().max(in_use));
}

// SAFETY: every call goes to the system allocator unchanged; the counters are plain cells of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Both live at once when the block moves.
        count(new_size as isize);
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the promises of `realloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs something and says how far its allocations rose above where they were.
fn with_peak<T>(run: impl FnOnce() -> T) -> (T, isize) {
    let before = IN_USE.get();
    PEAK.set(before);
    let result = run();
    (result, PEAK.get() - before)
}

/// Panics inside a trial are expected by the thousand; printing each with a backtrace takes minutes.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = run();
    QUIET.set(false);
    result
}

const PEAK_BYTES_MAX: isize = 1024 * 1024;
const ALICE: [u8; 16] = [0x21; 16];
const MALLORY: [u8; 16] = [0x43; 16];
const AMINA: [u8; 16] = [0x65; 16];

/// What becomes of an input.
#[derive(Debug, PartialEq)]
enum End {
    /// The preflight refuses it with this number, after at most so many inflated bytes and runs.
    Refused { number: u16, inflated: usize, runs: u64 },
    /// It passes the preflight, and the structural checks of the fold set all but the first few aside.
    Misplaced { number: u16, folded: usize },
    /// It passes the preflight and fails its trial.
    Failed { number: u16 },
    /// Nothing is wrong with it as far as the gate can tell.
    Folds,
}
use End::{Failed, Folds, Misplaced, Refused};

fn refused(number: u16) -> End {
    Refused { number, inflated: 0, runs: 0 }
}

fn read(bytes: &[u8]) -> Result<(Preflight, Change), ChangeRefusal> {
    let (seen, peak) = with_peak(|| preflight(bytes));
    assert!(peak <= PEAK_BYTES_MAX, "a preflight of {} bytes took {peak} bytes", bytes.len());
    let seen = seen?;
    let change = parse(&seen)?;
    Ok((seen, change))
}

fn fold_all(doc: &Automerge, changes: impl IntoIterator<Item = Change>) -> Folded {
    quietly(|| fold(doc, changes.into_iter().map(|change| (change.hash().0, change)).collect()))
}

fn table(base: &Automerge) -> Vec<(&'static str, Vec<Vec<u8>>, End)> {
    let one = |bytes| vec![bytes];
    vec![
        ("20,000,000 nulls", one(hostile::null_bomb(MALLORY, 20_000_000)), refused(24)),
        ("1,000,000 nulls", one(hostile::null_bomb(MALLORY, 1_000_000)), refused(24)),
        ("a long column of keys", one(hostile::long_column(MALLORY, 20_000_000)), refused(31)),
        ("a key copied 60,000 times", one(hostile::key_bomb(MALLORY, 60_000, 100_000)), refused(31)),
        ("1,000,000 predecessors", one(hostile::predecessor_bomb(MALLORY, 1_000_000)), refused(30)),
        ("97 KB that inflate to 100 MB", one(hostile::inflate_bomb(MALLORY)), refused(7)),
        ("counters near the end of 32 bits", one(hostile::counter_near_end(base, MALLORY)), refused(14)),
        ("maps 20,000 deep", one(hostile::nested_maps(MALLORY, 20_000)), refused(29)),
        ("a whole document", one(base.save()), refused(3)),
        (
            "number 99 of an unknown actor",
            one(hostile::sequence_gap(base, MALLORY)),
            Misplaced { number: 103, folded: 0 },
        ),
        (
            "a counter that jumps",
            one(hostile::counter_jump(base, MALLORY, limits::OP_COUNTER_MAX - 100)),
            Misplaced { number: 104, folded: 0 },
        ),
        (
            "a counter that was used before",
            one(hostile::counter_jump(base, MALLORY, hostile::last_op(base))),
            Misplaced { number: 104, folded: 0 },
        ),
        (
            "one sequence number twice",
            hostile::duplicate_sequence(base, MALLORY).to_vec(),
            Misplaced { number: 103, folded: 1 },
        ),
        (
            "500 missing dependencies",
            hostile::missing_dependencies(base, MALLORY, 500),
            Misplaced { number: 101, folded: 0 },
        ),
        ("an object that is not there", one(hostile::missing_object(base, MALLORY)), Failed { number: 112 }),
        ("an actor that is not there", one(hostile::unknown_actor(base, MALLORY)), Failed { number: 112 }),
        ("maps 2,048 deep in four changes", hostile::nested_maps_in_steps(MALLORY, 512, 4), Folds),
    ]
}

#[test]
fn each_hostile_input_ends_where_it_should_and_keeps_no_honest_change_out() {
    let base = hostile::base(ALICE);
    let (_, honest) = read(&hostile::honest_edit(&base, AMINA, "een rustige regel")).unwrap();
    for (name, inputs, expected) in table(&base) {
        let started = Instant::now();
        let results: Vec<_> = inputs.iter().map(|bytes| read(bytes)).collect();
        let took = started.elapsed();
        let mut changes = Vec::new();
        let mut refusal = None;
        for result in results {
            match result {
                Ok((_, change)) => changes.push(change),
                Err(error) => refusal = Some(error),
            }
        }
        let came = changes.len();
        let folded = fold_all(&base, changes.into_iter().chain([honest.clone()]));
        let reasons: Vec<u16> = folded.set_aside.iter().map(|(_, reason)| reason.number()).collect();
        let end = match (refusal, reasons.first()) {
            (Some(refusal), _) => refused(refusal.number()),
            (None, None) => Folds,
            (None, Some(&number @ 101..=104)) => Misplaced { number, folded: came - reasons.len() },
            (None, Some(&number)) => Failed { number },
        };
        println!("{name}: {} bytes, {end:?}, {took:?}, {} trials", inputs[0].len(), folded.trials);
        assert_eq!(end, expected, "{name}: {:?}", folded.set_aside);
        assert!(reasons.iter().all(|number| Some(number) == reasons.first()), "{name}: {reasons:?}");
        assert!(hostile::contains(&folded.doc, honest.hash().0), "{name} kept an honest change out");
        let again = Automerge::load(&folded.doc.save()).unwrap();
        assert_eq!(again.get_heads(), folded.doc.get_heads());
    }
}
