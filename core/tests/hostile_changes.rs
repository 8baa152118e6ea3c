//! Promise: no change from a peer costs more than its limit, and none can keep an honest one out.
//!
//! Each hostile input of `common/hostile.rs` has its expected end here, its work in counted steps and the
//! peak of its allocations. Then seeded mutations: `SAMENSPRAAK_MUTATIONS=1000000` for a long run,
//! `SAMENSPRAAK_SEED` to repeat one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::time::Instant;

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Automerge, Change, ROOT, ReadDoc};
use samenspraak_core::gate::change::{ChangeRefusal, Work, parse, preflight_counted};
use samenspraak_core::gate::fold::{Folded, fold};
use samenspraak_core::gate::limits;

#[path = "common/counting.rs"]
mod counting;
#[path = "common/hostile.rs"]
mod hostile;
use counting::{quietly, with_peak};
use hostile::Seeded;

const PEAK_BYTES_MAX: isize = 1024 * 1024;
const ALICE: [u8; 16] = [0x21; 16];
const MALLORY: [u8; 16] = [0x43; 16];
const AMINA: [u8; 16] = [0x65; 16];

/// What becomes of an input.
#[derive(Debug, PartialEq)]
enum End {
    /// The preflight refuses it with this number, after exactly this work.
    Refused { number: u16, inflated: usize, runs: u64 },
    /// It passes the preflight, and the structural checks of the fold set all but the first few aside.
    Misplaced { number: u16, folded: usize },
    /// It passes the preflight and fails its trial.
    Failed { number: u16 },
    /// Nothing is wrong with it as far as the gate can tell.
    Folds,
}
use End::{Failed, Folds, Misplaced, Refused};

fn refused(number: u16, runs: u64) -> End {
    Refused { number, inflated: 0, runs }
}

fn read(bytes: &[u8], work: &mut Work) -> Result<Change, ChangeRefusal> {
    let (seen, peak) = with_peak(|| preflight_counted(bytes, work));
    assert!(peak <= PEAK_BYTES_MAX, "a preflight of {} bytes took {peak} bytes", bytes.len());
    parse(&seen?)
}

fn fold_all(doc: &Automerge, changes: impl IntoIterator<Item = Change>) -> Folded {
    quietly(|| fold(doc, changes.into_iter().map(|change| (change.hash().0, change)).collect()))
}

fn table(base: &Automerge) -> Vec<(&'static str, Vec<Vec<u8>>, End)> {
    let one = |bytes| vec![bytes];
    vec![
        ("20,000,000 nulls", one(hostile::null_bomb(MALLORY, 20_000_000)), refused(24, 1)),
        ("1,000,000 nulls", one(hostile::null_bomb(MALLORY, 1_000_000)), refused(24, 1)),
        ("a long column of keys", one(hostile::long_column(MALLORY, 20_000_000)), refused(31, 2)),
        ("a key copied 60,000 times", one(hostile::key_bomb(MALLORY, 60_000, 100_000)), refused(31, 2)),
        ("1,000,000 predecessors", one(hostile::predecessor_bomb(MALLORY, 1_000_000)), refused(30, 5)),
        (
            "97 KB that inflate to 100 MB",
            one(hostile::inflate_bomb(MALLORY)),
            Refused { number: 7, inflated: limits::CHANGE_INFLATED_BYTES_MAX + 1, runs: 0 },
        ),
        ("counters near the end of 32 bits", one(hostile::counter_near_end(base, MALLORY)), refused(14, 0)),
        ("maps 20,000 deep", one(hostile::nested_maps(MALLORY, 20_000)), refused(29, 1)),
        ("a mark that ends the process", one(hostile::mark_that_aborts(MALLORY)), refused(28, 1)),
        ("a whole document", one(base.save()), refused(3, 0)),
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
    let honest = hostile::honest_edit(&base, AMINA, "een rustige regel");
    let honest = read(&honest, &mut Work::default()).unwrap();
    for (name, inputs, expected) in table(&base) {
        let (started, mut work) = (Instant::now(), Work::default());
        let results: Vec<_> = inputs.iter().map(|bytes| read(bytes, &mut work)).collect();
        let took = started.elapsed();
        let mut changes = Vec::new();
        let mut refusal = None;
        for result in results {
            match result {
                Ok(change) => changes.push(change),
                Err(error) => refusal = Some(error),
            }
        }
        let came = changes.len();
        let folded = fold_all(&base, changes.into_iter().chain([honest.clone()]));
        let reasons: Vec<u16> = folded.set_aside.iter().map(|(_, reason)| reason.number()).collect();
        let end = match (refusal, reasons.first()) {
            (Some(refusal), _) => {
                Refused { number: refusal.number(), inflated: work.bytes_inflated, runs: work.runs_read }
            }
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

#[test]
fn the_largest_changes_that_pass_cost_little() {
    let base = hostile::base(ALICE);
    let honest = hostile::honest_edit(&base, AMINA, "een rustige regel");
    let honest = read(&honest, &mut Work::default()).unwrap();
    let page = "é".repeat(limits::OPS_PER_CHANGE_MAX as usize / 2 - 10);
    let inputs = [
        ("nulls", hostile::null_bomb(MALLORY, limits::OPS_PER_CHANGE_MAX)),
        ("keys", hostile::key_bomb(MALLORY, 1_000, 262)),
        ("predecessors", hostile::predecessor_bomb(MALLORY, limits::PREDECESSORS_PER_CHANGE_MAX)),
        ("maps", hostile::nested_maps(MALLORY, limits::OBJECTS_PER_CHANGE_MAX)),
        ("text", hostile::honest_edit(&base, MALLORY, &page)),
    ];
    for (name, bytes) in inputs {
        let started = Instant::now();
        let (change, parse_peak) = with_peak(|| read(&bytes, &mut Work::default()).unwrap());
        let parsed = started.elapsed();
        let ops = change.len();
        let (folded, fold_peak) = with_peak(|| fold_all(&base, [change, honest.clone()]));
        println!(
            "{name}: {} bytes, {ops} operations: parsed in {parsed:?} with {parse_peak} bytes, folded after {:?} \
             with {fold_peak} bytes, {} trials, set aside {:?}",
            bytes.len(),
            started.elapsed(),
            folded.trials,
            folded.set_aside
        );
        assert!(hostile::contains(&folded.doc, honest.hash().0));
        assert!(parse_peak <= 8 * PEAK_BYTES_MAX, "{name}: parsing took {parse_peak} bytes");
        assert!(fold_peak <= 128 * PEAK_BYTES_MAX, "{name}: folding took {fold_peak} bytes");
    }
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// How often each end was reached, by number; the test is worth something only if many are.
#[derive(Default, Debug)]
struct Ends {
    refused: BTreeMap<u16, u64>,
    set_aside: BTreeMap<u16, u64>,
    folded: u64,
    trials: u64,
}

/// A local edit and a save on a document that came out of a fold, as an app does after it.
fn edit_after(doc: &Automerge) {
    let mut edited = AutoCommit::load(&doc.save()).unwrap().with_actor(ActorId::from([0x99; 16]));
    edited.put(&ROOT, "theme", "daarna").unwrap();
    edited.commit();
    let again = Automerge::load(&edited.save()).unwrap();
    assert_eq!(again.get(&ROOT, "theme").unwrap().unwrap().0.as_str(), Some("daarna"));
}

#[test]
fn no_mutation_escapes_and_every_document_that_comes_out_lives_on() {
    let seed = from_env("SAMENSPRAAK_SEED", 2026);
    let mutations = from_env("SAMENSPRAAK_MUTATIONS", 20_000);
    let empty = Automerge::new().with_actor(ActorId::from(AMINA));
    let base = hostile::base(ALICE);
    let mallory = hostile::honest_edit(&base, MALLORY, "wat een ander zei");
    let mut both = base.clone();
    both.apply_changes([Change::try_from(&mallory[..]).unwrap()]).unwrap();
    // What is mutated, and the document on which it is tried.
    let sources = [
        (base.get_changes(&[])[0].raw_bytes().to_vec(), &empty),
        (mallory, &base),
        (hostile::honest_edit(&both, MALLORY, "en nog iets"), &both),
        (hostile::null_bomb(MALLORY, 3), &empty),
    ];
    let honest: Vec<_> =
        [&empty, &base, &both].map(|doc| (doc.get_heads(), hostile::honest_addition(doc, AMINA))).into_iter().collect();
    let mut ends = Ends::default();
    for case in 0..mutations {
        let mut seeded = Seeded(seed.wrapping_mul(1_000_003).wrapping_add(case));
        let (source, doc) = &sources[seeded.below(sources.len())];
        let bytes = hostile::mutated(source, &mut seeded);
        let change = match quietly(|| read(&bytes, &mut Work::default())) {
            Ok(change) => change,
            Err(refusal) => {
                *ends.refused.entry(refusal.number()).or_default() += 1;
                continue;
            }
        };
        let (_, honest) = honest.iter().find(|(heads, _)| *heads == doc.get_heads()).unwrap();
        let honest = Change::try_from(&honest[..]).unwrap();
        let folded = fold_all(doc, [change.clone(), honest.clone()]);
        ends.trials += folded.trials as u64;
        assert!(hostile::contains(&folded.doc, honest.hash().0), "seed {seed}, case {case}");
        match folded.set_aside.as_slice() {
            [] => ends.folded += 1,
            [(id, reason)] if *id == change.hash().0 => {
                *ends.set_aside.entry(reason.number()).or_default() += 1;
            }
            others => panic!("seed {seed}, case {case}: {others:?}"),
        }
        let outcome = std::panic::catch_unwind(|| edit_after(&folded.doc));
        assert!(outcome.is_ok(), "seed {seed}, case {case}: a later edit of the document fails: {bytes:02x?}");
    }
    println!("{mutations} mutations of seed {seed}: {ends:?}");
    let total = ends.folded + ends.refused.values().chain(ends.set_aside.values()).sum::<u64>();
    assert_eq!(total, mutations);
    if mutations >= 10_000 {
        assert!(ends.refused.len() > 20 && ends.set_aside.len() > 3 && ends.folded > 100, "{ends:?}");
    }
}

#[test]
fn damaged_compressed_bytes_are_refused_within_the_limits() {
    let base = hostile::base(ALICE);
    let change = hostile::honest_edit(&base, MALLORY, &"lange tekst, vaak herhaald ".repeat(20));
    let carried = Change::try_from(&change[..]).unwrap().bytes().into_owned();
    assert_eq!(carried[8], 2, "the fixture is compressed");
    let mut passed = 0;
    for case in 0..20_000 {
        let mut seeded = Seeded(case);
        let mut bytes = carried.clone();
        for _ in 0..=seeded.below(3) {
            let at = seeded.below(bytes.len());
            bytes[at] = seeded.next() as u8;
        }
        bytes.truncate(bytes.len() - seeded.below(2) * seeded.below(bytes.len()));
        let mut work = Work::default();
        passed += u64::from(read(&bytes, &mut work).is_ok());
        assert!(work.bytes_inflated <= limits::CHANGE_INFLATED_BYTES_MAX + 1, "case {case}");
        assert!(work.runs_read <= work.bytes_inflated as u64, "case {case}");
    }
    assert!(passed < 200, "{passed} damaged changes passed");
}

#[test]
fn maps_nested_over_many_changes_do_not_overflow_a_stack() {
    let base = Automerge::new();
    let changes = hostile::nested_maps_in_steps(MALLORY, limits::OBJECTS_PER_CHANGE_MAX, 60);
    let changes: Vec<_> = changes.iter().map(|bytes| read(bytes, &mut Work::default()).unwrap()).collect();
    // Half of what a thread gets by default, so that there is room below it.
    let small = std::thread::Builder::new().stack_size(1024 * 1024);
    let folded = small.spawn(move || fold_all(&base, changes)).unwrap().join().unwrap();
    assert!(folded.set_aside.is_empty());
    // A reader of ours must still not recurse: this document is 30,720 maps deep and nothing refuses it.
}

#[test]
fn a_panic_unwinds_in_this_profile() {
    // `gate::change::parse` and `gate::fold::trial` catch the panics of automerge.
    const { assert!(cfg!(panic = "unwind"), "every native profile needs panic = \"unwind\"") };
    assert!(quietly(|| std::panic::catch_unwind(|| panic!("expected"))).is_err());
}
