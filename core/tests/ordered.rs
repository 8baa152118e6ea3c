//! Maps and sets of the core do what the standard library's do, whatever is asked of them in whatever order.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed};
use samenspraak_core::ordered::{Map, Set};

/// Few keys, so that they meet; more than a row holds, so that rows are cut.
const KEYS: u16 = 600;

#[derive(Clone, Debug)]
enum Step {
    Insert(u16),
    InsertInOrder(u16),
    Remove(u16),
    RemoveRow(u16),
    PopFirst,
    Entry(u16),
    Retain(u16),
    Range(Bound<u16>, Bound<u16>),
    Clear,
}

fn bound() -> impl Strategy<Value = Bound<u16>> {
    prop_oneof![(0..KEYS).prop_map(Bound::Included), (0..KEYS).prop_map(Bound::Excluded), Just(Bound::Unbounded)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..KEYS).prop_map(Step::Insert),
        3 => (0..KEYS).prop_map(Step::InsertInOrder),
        6 => (0..KEYS).prop_map(Step::Remove),
        1 => (0..KEYS).prop_map(Step::RemoveRow),
        2 => Just(Step::PopFirst),
        4 => (0..KEYS).prop_map(Step::Entry),
        1 => (2..9_u16).prop_map(Step::Retain),
        6 => (bound(), bound()).prop_map(|(from, to)| Step::Range(from, to)),
        1 => prop_oneof![9 => Just(Step::PopFirst), 1 => Just(Step::Clear)],
    ]
}

/// The standard library panics where a range ends before it begins, or is nothing between two equal keys.
fn is_range(from: Bound<u16>, to: Bound<u16>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
        (Bound::Excluded(from), Bound::Excluded(to)) => from < to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from <= to,
    }
}

fn same(map: &Map<u16, String>, set: &Set<u16>, tree: &BTreeMap<u16, String>) {
    assert_eq!((map.len(), map.is_empty(), set.len()), (tree.len(), tree.is_empty(), tree.len()));
    assert!(map.iter().eq(tree.iter()) && map.iter().rev().eq(tree.iter().rev()));
    assert!(map.keys().eq(tree.keys()) && map.values().eq(tree.values()) && set.iter().eq(tree.keys()));
    assert_eq!(map.first_key_value(), tree.first_key_value());
    assert_eq!(set.first(), tree.keys().next());
}

proptest! {
    #![proptest_config(Config {
        cases: 200,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(20_261_122),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn a_map_and_a_set_answer_as_trees_do(steps in prop::collection::vec(step(), 1..400)) {
        let (mut map, mut set, mut tree) = (Map::new(), Set::new(), BTreeMap::new());
        for (number, step) in steps.into_iter().enumerate() {
            let value = number.to_string();
            match step {
                Step::Insert(key) => {
                    prop_assert_eq!(set.insert(key), !tree.contains_key(&key));
                    prop_assert_eq!(map.insert(key, value.clone()), tree.insert(key, value));
                }
                Step::InsertInOrder(key) => {
                    for key in key..KEYS.min(key + 200) {
                        set.insert(key);
                        prop_assert_eq!(map.insert(key, value.clone()), tree.insert(key, value.clone()));
                    }
                }
                Step::Remove(key) => {
                    prop_assert_eq!(set.remove(&key), tree.contains_key(&key));
                    prop_assert_eq!(map.remove(&key), tree.remove(&key));
                }
                Step::RemoveRow(key) => {
                    for key in key..KEYS.min(key + 200) {
                        set.remove(&key);
                        prop_assert_eq!(map.remove(&key), tree.remove(&key));
                    }
                }
                Step::PopFirst => {
                    if let Some(first) = set.first().copied() {
                        set.remove(&first);
                    }
                    prop_assert_eq!(map.pop_first(), tree.pop_first());
                }
                Step::Entry(key) => {
                    set.insert(key);
                    map.entry(key).or_default().push('x');
                    tree.entry(key).or_default().push('x');
                    map.get_mut(&key).unwrap().push('y');
                    tree.get_mut(&key).unwrap().push('y');
                }
                Step::Retain(every) => {
                    set.retain(|key| key % every != 0);
                    map.retain(|key, value| { value.push('r'); key % every != 0 });
                    tree.retain(|key, value| { value.push('r'); key % every != 0 });
                }
                Step::Range(from, to) if is_range(from, to) => {
                    prop_assert!(map.range((from, to)).eq(tree.range((from, to))));
                    prop_assert!(map.range((from, to)).rev().eq(tree.range((from, to)).rev()));
                    let (mut mine, mut theirs) = (map.range((from, to)), tree.range((from, to)));
                    while let Some(next) = theirs.next() {
                        prop_assert_eq!(mine.next(), Some(next));
                        prop_assert_eq!(mine.next_back(), theirs.next_back());
                    }
                    prop_assert!(mine.next().is_none() && mine.next_back().is_none());
                }
                Step::Range(from, to) => prop_assert!(map.range((from, to)).next().is_none()),
                Step::Clear => {
                    set = Set::new();
                    map.clear();
                    tree.clear();
                }
            }
            same(&map, &set, &tree);
        }
        prop_assert!(map.clone().into_iter().eq(tree.clone()));
        prop_assert!(map.clone().into_values().eq(tree.clone().into_values()));
        prop_assert!(set.into_iter().eq(tree.keys().copied()));
        prop_assert_eq!(format!("{map:?}"), format!("{tree:?}"));
        let again: Map<u16, String> = tree.into_iter().rev().collect();
        prop_assert_eq!(&again, &map);
    }

    #[test]
    fn what_one_set_has_and_the_other_has_not(one in prop::collection::vec(0..KEYS, 0..300), other in prop::collection::vec(0..KEYS, 0..300)) {
        let trees: (BTreeSet<u16>, BTreeSet<u16>) = (one.iter().copied().collect(), other.iter().copied().collect());
        let (mut set, more): (Set<u16>, Set<u16>) = (one.into_iter().collect(), other.into_iter().collect());
        let between: BTreeSet<u16> = set.symmetric_difference(&more).copied().collect();
        prop_assert_eq!(between, trees.0.symmetric_difference(&trees.1).copied().collect());
        set.extend(&more);
        prop_assert!(set.iter().eq(trees.0.union(&trees.1)));
    }
}
