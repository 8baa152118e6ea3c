//! Folding changes into a document: always on a copy, so that a change that breaks automerge breaks only that.
//!
//! A document leaves this module only after it was applied, saved, loaded again and had the same heads. A
//! change with a missing dependency, an impossible sequence number or a jump in its operation counter never
//! reaches automerge: it would queue it without a limit, panic, or use up the counters of everyone else.
//! Changes come from `change::parse`, in the order in which the caller admitted them.
//! A panic in a destructor while another panic unwinds cannot be caught. The one known way to cause that, marks,
//! is refused by the preflight; whoever folds for others should still note what it has in hand before it starts.
//! Not here: what a change may alter (the rule table), and telling others what was set aside (verdicts).
//!
//! Work: for n changes of which k are set aside at a trial, at most `1 + 2k·⌈log2 n⌉` trials, and never more
//! than `2n - 1`. One actor causes at most one failed single trial, since its later changes then lack their
//! predecessor: k is at most the number of actors in the batch.

use crate::ordered::Map;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{ActorId, Automerge, AutomergeError, Change, ChangeHash, LoadOptions, ReadDoc};

/// Why a batch of changes cannot be in a document.
#[derive(Debug, thiserror::Error)]
pub enum FoldFailure {
    /// Automerge refuses to apply them.
    #[error("automerge does not apply the changes")]
    Apply {
        /// What automerge says.
        #[source]
        source: AutomergeError,
    },
    /// Automerge panics while applying, saving or loading them.
    #[error("automerge panics on the changes")]
    Panic,
    /// The document can be saved but not be loaded again.
    #[error("the document with the changes does not load again")]
    Load {
        /// What automerge says.
        #[source]
        source: AutomergeError,
    },
    /// The loaded document has another history than the saved one.
    #[error("the document with the changes loads with other heads")]
    HeadsDiffer,
    /// After applying, some of the changes are not in the document.
    #[error("{missing} of the changes are not in the document after applying them")]
    NotApplied {
        /// How many are missing.
        missing: usize,
    },
}

/// Why one change was left out of the document.
#[derive(Debug, thiserror::Error)]
pub enum SetAside {
    /// A dependency is neither in the document nor in the batch, or waits for one itself; it may still come.
    #[error("a dependency of the change is not here")]
    MissingDependency {
        /// The hash of the first one that is missing.
        hash: [u8; 32],
    },
    /// A dependency was set aside for good, so this one can never be folded either.
    #[error("a dependency of the change was set aside")]
    DependencySetAside {
        /// The hash of the first one that was set aside.
        hash: [u8; 32],
    },
    /// It is not the next change of its actor. A lower number means the actor wrote two changes with it.
    #[error("sequence number {found} of an actor comes where {expected} belongs")]
    Sequence {
        /// The next one of this actor.
        expected: u64,
        /// The one of the change.
        found: u64,
    },
    /// Its operations do not begin right after those of its dependencies, as automerge numbers them.
    #[error("operations begin at {found} where {expected} belongs")]
    StartOp {
        /// One more than the last operation of its dependencies.
        expected: u64,
        /// The one of the change.
        found: u64,
    },
    /// Alone on top of the rest it failed its trial.
    #[error("the change failed its trial")]
    Trial {
        /// How it failed.
        #[source]
        source: FoldFailure,
    },
}

impl SetAside {
    /// The number of this reason in verdicts. Never reuse or change one.
    pub fn number(&self) -> u16 {
        match self {
            Self::MissingDependency { .. } => 101,
            Self::DependencySetAside { .. } => 102,
            Self::Sequence { .. } => 103,
            Self::StartOp { .. } => 104,
            Self::Trial { source } => match source {
                FoldFailure::Apply { .. } => 111,
                FoldFailure::Panic => 112,
                FoldFailure::Load { .. } => 113,
                FoldFailure::HeadsDiffer => 114,
                FoldFailure::NotApplied { .. } => 115,
            },
        }
    }

    /// Whether the change may be folded later, when more has arrived.
    pub fn may_come_later(&self) -> bool {
        matches!(self, Self::MissingDependency { .. })
    }
}

/// A document and what was left out of it.
#[derive(Debug)]
pub struct Folded {
    /// The document with every change that could be in it. It saves and loads.
    pub doc: Automerge,
    /// The others, in the order in which they were looked at, with the caller's ids.
    pub set_aside: Vec<([u8; 32], SetAside)>,
    /// How many times a copy was applied, saved and loaded: the work that was done.
    pub trials: usize,
}

/// Applies changes to a copy and returns the copy only if it also survives saving and loading.
///
/// `doc` is never changed. All dependencies must be in `doc` or in `changes` ([`fold`] sees to it).
pub fn trial(doc: &Automerge, changes: &[Change]) -> Result<Automerge, FoldFailure> {
    let attempt = AssertUnwindSafe(|| {
        let mut copy = doc.clone();
        copy.apply_changes(changes.iter().cloned()).map_err(|source| FoldFailure::Apply { source })?;
        let hashes: Vec<_> = changes.iter().map(Change::hash).collect();
        let missing = copy.get_missing_deps(&hashes).len();
        if missing > 0 {
            return Err(FoldFailure::NotApplied { missing });
        }
        let saved = copy.save_nocompress();
        let options = LoadOptions::new().text_encoding(doc.text_encoding());
        let mut loaded =
            Automerge::load_with_options(&saved, options).map_err(|source| FoldFailure::Load { source })?;
        if loaded.get_heads() != copy.get_heads() {
            return Err(FoldFailure::HeadsDiffer);
        }
        loaded.set_actor(doc.get_actor().clone());
        Ok(loaded)
    });
    catch_unwind(attempt).unwrap_or(Err(FoldFailure::Panic))
}

/// Applies every change that can be in the document and sets exactly the others aside.
///
/// The order given is kept, except that a change waits for its dependencies in the batch. A change that is
/// in the document already is passed over. Of two changes with one sequence number the first given stays.
pub fn fold(doc: &Automerge, changes: Vec<([u8; 32], Change)>) -> Folded {
    let mut bench = Bench::new(doc);
    let ordered = bench.dependencies_first(changes);
    // Halves of the batch that still wait; the next one to try is last.
    let mut waiting = vec![ordered];
    while let Some(part) = waiting.pop() {
        let (part, after) = bench.placed(part);
        if part.is_empty() {
            continue;
        }
        bench.trials += 1;
        let batch: Vec<Change> = part.iter().map(|(_, change)| change.clone()).collect();
        match trial(&bench.doc, &batch) {
            Ok(doc) => {
                bench.doc = doc;
                bench.seen = after;
            }
            Err(source) => bench.split(part, source, &mut waiting),
        }
    }
    Folded { doc: bench.doc, set_aside: bench.set_aside, trials: bench.trials }
}

type Batch = Vec<([u8; 32], Change)>;

/// What the structural checks need to know of the changes that are in.
#[derive(Clone, Default)]
struct Seen {
    /// The last operation of each change that is in.
    max_ops: Map<ChangeHash, u64>,
    /// The last sequence number of each actor.
    seqs: Map<ActorId, u64>,
}

impl Seen {
    fn add(&mut self, hash: ChangeHash, actor: &ActorId, seq: u64, max_op: u64) {
        self.max_ops.insert(hash, max_op);
        let last = self.seqs.entry(actor.clone()).or_default();
        *last = seq.max(*last);
    }
}

struct Bench {
    doc: Automerge,
    seen: Seen,
    set_aside: Vec<([u8; 32], SetAside)>,
    /// The changes that were set aside, and whether they may be folded later.
    set_aside_hashes: Map<ChangeHash, bool>,
    trials: usize,
}

impl Bench {
    fn new(doc: &Automerge) -> Self {
        let mut seen = Seen::default();
        for change in doc.get_changes_meta(&[]) {
            seen.add(change.hash, &change.actor, change.seq, change.max_op);
        }
        Self { doc: doc.clone(), seen, set_aside: Vec::new(), set_aside_hashes: Map::new(), trials: 0 }
    }

    fn put_aside(&mut self, id: [u8; 32], change: &Change, reason: SetAside) {
        self.set_aside_hashes.insert(change.hash(), reason.may_come_later());
        self.set_aside.push((id, reason));
    }

    /// The first given of those whose dependencies have been placed goes next.
    /// Cycles cannot be written down, since a hash covers the dependencies.
    fn dependencies_first(&self, changes: Batch) -> Batch {
        let mut places = Map::new();
        for (place, (_, change)) in changes.iter().enumerate() {
            places.entry(change.hash()).or_insert(place);
        }
        let mut waits_for = vec![0usize; changes.len()];
        let mut blocks: Map<usize, Vec<usize>> = Map::new();
        for (place, (_, change)) in changes.iter().enumerate() {
            for dep in change.deps().iter().filter_map(|dep| places.get(dep)) {
                waits_for[place] += 1;
                blocks.entry(*dep).or_default().push(place);
            }
        }
        let mut ready: BinaryHeap<_> = (0..changes.len()).filter(|place| waits_for[*place] == 0).map(Reverse).collect();
        let mut changes: Vec<_> = changes.into_iter().map(Some).collect();
        let mut ordered = Vec::with_capacity(changes.len());
        while let Some(Reverse(place)) = ready.pop() {
            ordered.extend(changes[place].take());
            for next in blocks.remove(&place).unwrap_or_default() {
                waits_for[next] -= 1;
                if waits_for[next] == 0 {
                    ready.push(Reverse(next));
                }
            }
        }
        ordered
    }

    /// The changes of a part that have a place on top of what is in, and what will be in with them.
    fn placed(&mut self, part: Batch) -> (Batch, Seen) {
        let mut after = self.seen.clone();
        let mut placed = Vec::with_capacity(part.len());
        for (id, change) in part {
            if after.max_ops.contains_key(&change.hash()) {
                continue;
            }
            if let Some(reason) = self.misplaced(&change, &after) {
                self.put_aside(id, &change, reason);
                continue;
            }
            after.add(change.hash(), change.actor_id(), change.seq(), change.max_op());
            placed.push((id, change));
        }
        (placed, after)
    }

    fn misplaced(&self, change: &Change, seen: &Seen) -> Option<SetAside> {
        let mut last_op = 0;
        for dep in change.deps() {
            match seen.max_ops.get(dep) {
                Some(max_op) => last_op = last_op.max(*max_op),
                None => {
                    let for_good = self.set_aside_hashes.get(dep).is_some_and(|later| !later);
                    let hash = dep.0;
                    return Some(if for_good {
                        SetAside::DependencySetAside { hash }
                    } else {
                        SetAside::MissingDependency { hash }
                    });
                }
            }
        }
        let expected = seen.seqs.get(change.actor_id()).map_or(1, |last| last + 1);
        if change.seq() != expected {
            return Some(SetAside::Sequence { expected, found: change.seq() });
        }
        let (expected, found) = (last_op + 1, change.start_op().get());
        (found != expected).then_some(SetAside::StartOp { expected, found })
    }

    /// Tries the halves of a part that failed, the first half first; one change alone is set aside.
    fn split(&mut self, mut part: Batch, source: FoldFailure, waiting: &mut Vec<Batch>) {
        if part.len() > 1 {
            let second = part.split_off(part.len() / 2);
            waiting.extend([second, part]);
        } else if let Some((id, change)) = part.pop() {
            self.put_aside(id, &change, SetAside::Trial { source });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use automerge::transaction::Transactable;
    use automerge::{AutoCommit, ObjType, ROOT};

    use super::*;

    /// Three people write `rounds` times and hear of each other after each round.
    fn history(rounds: u64) -> Vec<Change> {
        let mut first = AutoCommit::new().with_actor(ActorId::from([1; 16]));
        let text = first.put_object(&ROOT, "text", ObjType::Text).unwrap();
        first.commit();
        let mut others: Vec<_> = (2..4).map(|n| first.fork().with_actor(ActorId::from([n; 16]))).collect();
        for round in 0..rounds {
            for doc in std::iter::once(&mut first).chain(&mut others) {
                doc.splice_text(&text, 0, 0, "ja").unwrap();
                doc.put(&ROOT, "count", round as i64).unwrap();
                doc.commit();
            }
            for other in &mut others {
                first.merge(other).unwrap();
            }
            for other in &mut others {
                other.merge(&mut first).unwrap();
            }
        }
        first.get_changes(&[])
    }

    /// A change that breaks automerge: it deletes in an object that does not exist, by an actor of its own.
    fn poison(n: u8) -> Change {
        let mut doc = AutoCommit::new().with_actor(ActorId::from([n; 16]));
        doc.put(&ROOT, "k", ()).unwrap();
        doc.commit();
        let mut expanded = doc.get_last_local_change().unwrap().decode();
        let missing = ActorId::from([n; 16]);
        expanded.operations[0].obj = format!("1@{missing}").parse().unwrap();
        Change::from(expanded)
    }

    fn with_ids(changes: impl IntoIterator<Item = Change>) -> Batch {
        changes.into_iter().map(|change| (change.hash().0, change)).collect()
    }

    fn text_of(doc: &Automerge) -> String {
        let (_, text) = doc.get(&ROOT, "text").unwrap().unwrap();
        doc.text(&text).unwrap()
    }

    #[test]
    fn honest_changes_take_one_trial_in_any_order() {
        let mut changes = history(5);
        let empty = Automerge::new();
        let expected = fold(&empty, with_ids(changes.clone()));
        assert_eq!((expected.trials, expected.set_aside.len()), (1, 0));
        changes.reverse();
        let reversed = fold(&empty, with_ids(changes.clone()));
        assert_eq!((reversed.trials, reversed.set_aside.len()), (1, 0));
        assert_eq!(reversed.doc.get_heads(), expected.doc.get_heads());
        assert_eq!(text_of(&reversed.doc), text_of(&expected.doc));
        let again = fold(&reversed.doc, with_ids(changes));
        assert_eq!((again.trials, again.set_aside.len()), (0, 0));
    }

    #[test]
    fn exactly_the_offenders_are_set_aside_within_the_bound() {
        let honest = history(20);
        let count = honest.len() + 4;
        let mut mixed = honest.clone();
        for (n, place) in [(90, 0), (91, 13), (92, 40), (93, mixed.len() + 3)] {
            mixed.insert(place, poison(n));
        }
        let folded = fold(&Automerge::new(), with_ids(mixed));
        let mut aside: Vec<_> = folded.set_aside.iter().map(|(id, _)| *id).collect();
        let mut poisons: Vec<_> = (90..94).map(|n| poison(n).hash().0).collect();
        aside.sort();
        poisons.sort();
        assert_eq!(aside, poisons);
        assert!(folded.set_aside.iter().all(|(_, reason)| matches!(reason, SetAside::Trial { .. })));
        assert_eq!(folded.doc.get_heads(), fold(&Automerge::new(), with_ids(honest)).doc.get_heads());
        let bound = 1 + 2 * 4 * count.next_power_of_two().ilog2() as usize;
        assert!(folded.trials <= bound, "{} trials, the bound is {bound}", folded.trials);
    }

    #[test]
    fn only_offenders_cost_two_trials_each_at_most() {
        let folded = fold(&Automerge::new(), with_ids((10..42).map(poison)));
        assert_eq!(folded.set_aside.len(), 32);
        assert!(folded.trials <= 63, "{}", folded.trials);
        assert!(folded.doc.get_heads().is_empty());
    }

    #[test]
    fn what_depends_on_an_offender_goes_with_it_and_what_lacks_a_dependency_waits() {
        let bad = poison(90);
        let mut after = poison(91).decode();
        after.deps = vec![bad.hash()];
        after.start_op = 2.try_into().unwrap();
        let after = Change::from(after);
        let history = history(2);
        let without_third: Vec<_> =
            history.iter().enumerate().filter(|(n, _)| *n != 2).map(|(_, change)| change.clone()).collect();
        let batch = [after.clone(), bad.clone()].into_iter().chain(without_third.clone());
        let folded = fold(&Automerge::new(), with_ids(batch));
        let number =
            |hash: [u8; 32]| folded.set_aside.iter().find(|(id, _)| *id == hash).map(|(_, reason)| reason.number());
        assert_eq!(number(bad.hash().0), Some(112));
        assert_eq!(number(after.hash().0), Some(102));
        let waiting: Vec<_> = without_third.iter().filter_map(|change| number(change.hash().0)).collect();
        assert!(!waiting.is_empty() && waiting.iter().all(|number| *number == 101), "{waiting:?}");
        assert_eq!(folded.set_aside.len(), 2 + waiting.len());
        // When the missing one arrives, the rest follows.
        let whole = fold(&folded.doc, with_ids(history.clone()));
        assert!(whole.set_aside.is_empty());
        assert_eq!(whole.doc.get_heads(), fold(&Automerge::new(), with_ids(history)).doc.get_heads());
    }

    #[test]
    fn one_actor_with_many_bad_changes_fails_one_trial() {
        let mut bad = poison(90).decode();
        let mut all = vec![Change::from(bad.clone())];
        for seq in 2..20u64 {
            bad.deps = vec![all.last().unwrap().hash()];
            (bad.seq, bad.start_op) = (seq, seq.try_into().unwrap());
            all.push(Change::from(bad.clone()));
        }
        let folded = fold(&Automerge::new(), with_ids(all));
        let numbers: Vec<_> = folded.set_aside.iter().map(|(_, reason)| reason.number()).collect();
        assert_eq!(numbers.iter().filter(|number| **number == 112).count(), 1, "{numbers:?}");
        assert_eq!(numbers.len(), 19);
        assert!(folded.trials <= 6, "{}", folded.trials);
    }

    #[test]
    fn a_trial_leaves_the_document_and_its_actor_alone() {
        let doc = fold(&Automerge::new().with_actor(ActorId::from([5; 16])), with_ids(history(2))).doc;
        let before = doc.save();
        assert!(matches!(trial(&doc, &[poison(90)]), Err(FoldFailure::Panic)));
        assert_eq!(doc.save(), before);
        assert_eq!(doc.get_actor(), &ActorId::from([5; 16]));
    }
}
