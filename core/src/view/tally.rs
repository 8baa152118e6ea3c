//! Counts of secret polls as the server published them. The newest by the log's number is shown; older ones stay, so that
//! the result doesn't depend on the order they came in.

use crate::model::{EntryId, SubjectId, Tally};
use crate::ordered::Map;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tallies(Map<SubjectId, Map<EntryId, Tally>>);

impl Tallies {
    /// Takes a count that counts.
    pub fn take(&mut self, id: EntryId, tally: &Tally) {
        self.0.entry(tally.question).or_default().insert(id, tally.clone());
    }

    /// The newest count of a question: highest number, ties by entry id. `number_of` says where an entry stands in the log.
    pub fn newest(&self, question: SubjectId, number_of: impl Fn(EntryId) -> Option<u64>) -> Option<(EntryId, &Tally)> {
        let all = self.0.get(&question)?.iter();
        all.map(|(id, tally)| (*id, tally)).max_by_key(|(id, _)| (number_of(*id), *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_with_the_highest_number_is_shown_whatever_the_order() {
        let question = SubjectId::new([1; 16]);
        let id = |n| EntryId::new([n; 32]);
        let tally = |count| Tally { question, counts: vec![(crate::model::Choice::Agree, count)] };
        let numbers = Map::from([(id(3), 10), (id(1), 12), (id(2), 11)]);
        for order in [[1, 2, 3], [3, 2, 1], [2, 1, 3]] {
            let mut tallies = Tallies::default();
            for n in order {
                tallies.take(id(n), &tally(u64::from(n) + 20));
            }
            let newest = tallies.newest(question, |id| numbers.get(&id).copied());
            assert_eq!(newest, Some((id(1), &tally(21))), "{order:?}");
            assert_eq!(tallies.newest(SubjectId::new([2; 16]), |_| None), None);
        }
    }
}
