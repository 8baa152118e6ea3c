//! When who does what: each participant's happenings in batches that are written offline and synced at their end.
//!
//! A batch ends after a pause, when it is long enough, and where somebody else needs what is in it: a vote needs its statement
//! on the phone, so the author's batch must be synced before the voter's begins. Batches are numbered by their ends, and each
//! needs only batches with lower numbers; so the order has no circles, and nothing is ever dropped.

use std::collections::BTreeSet;

use super::input::{Act, Conversation};
use super::seeded::Seeded;

/// A pause after which a phone has synced: somebody puts it away.
const PAUSE_MS: u64 = 30 * 60 * 1000;
/// Shortest and longest batch that is cut for its length; drawn for each.
const ACTS_MAX: (u64, u64) = (10, 40);

/// What one participant does before the next sync.
#[derive(Debug)]
pub struct Batch {
    /// Who (an index).
    pub person: usize,
    /// What, in order.
    pub acts: Vec<Act>,
    /// Batches that must be synced before this one begins.
    pub needs: BTreeSet<usize>,
}

struct Open {
    acts: Vec<Act>,
    needs: BTreeSet<usize>,
    last_ms: u64,
    acts_max: usize,
    /// How many batches had ended when this one began.
    begun_after: usize,
}

struct Scheduler {
    ended: Vec<Batch>,
    open: Vec<Option<Open>>,
    /// The batch each statement stands in, once it has ended.
    batch_of: Vec<Option<usize>>,
    last_of: Vec<Option<usize>>,
    limits: Vec<Seeded>,
}

impl Scheduler {
    fn end(&mut self, person: usize) {
        let Some(Open { acts, mut needs, .. }) = self.open[person].take() else { return };
        let number = self.ended.len();
        needs.extend(self.last_of[person].replace(number));
        for act in &acts {
            if let Act::Write(statement) = act {
                self.batch_of[*statement] = Some(number);
            }
        }
        self.ended.push(Batch { person, acts, needs });
    }
}

/// All batches of a conversation. Participants who did nothing have an empty one: they only join and read.
pub fn batches(conversation: &Conversation, seed: u64) -> Vec<Batch> {
    let people = conversation.people.len();
    let mut author = vec![usize::MAX; conversation.statements.len()];
    let mut scheduler = Scheduler {
        ended: Vec::new(),
        open: (0..people).map(|_| None).collect(),
        batch_of: vec![None; conversation.statements.len()],
        last_of: vec![None; people],
        limits: (0..people).map(|person| Seeded::new(seed, "batches", person)).collect(),
    };
    for happening in &conversation.happenings {
        let person = happening.person;
        let over =
            |open: &Open| happening.at_ms.saturating_sub(open.last_ms) > PAUSE_MS || open.acts.len() >= open.acts_max;
        if scheduler.open[person].as_ref().is_some_and(over) {
            scheduler.end(person);
        }
        let mut need = None;
        match happening.act {
            Act::Write(statement) => author[statement] = person,
            Act::Vote(statement, _) if author[statement] != person => {
                if scheduler.batch_of[statement].is_none() {
                    scheduler.end(author[statement]);
                }
                need = scheduler.batch_of[statement];
                let too_early = |open: &Open| need.is_none_or(|need| open.begun_after <= need);
                if scheduler.open[person].as_ref().is_some_and(too_early) {
                    scheduler.end(person);
                }
            }
            Act::Vote(..) => {}
        }
        let begun_after = scheduler.ended.len();
        let limits = &mut scheduler.limits[person];
        let open = scheduler.open[person].get_or_insert_with(|| Open {
            acts: Vec::new(),
            needs: BTreeSet::new(),
            last_ms: 0,
            acts_max: limits.between(ACTS_MAX.0, ACTS_MAX.1) as usize,
            begun_after,
        });
        open.acts.push(happening.act);
        open.needs.extend(need);
        open.last_ms = happening.at_ms;
    }
    let mut left: Vec<(u64, usize)> =
        scheduler.open.iter().enumerate().filter_map(|(person, open)| Some((open.as_ref()?.last_ms, person))).collect();
    left.sort_unstable();
    for (_, person) in left {
        scheduler.end(person);
    }
    for person in 0..people {
        if scheduler.last_of[person].is_none() {
            scheduler.ended.push(Batch { person, acts: Vec::new(), needs: BTreeSet::new() });
        }
    }
    scheduler.ended
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    #[test]
    fn every_vote_comes_after_its_statement_was_synced_and_nothing_is_dropped() {
        for seed in 0..20 {
            let conversation = synthetic::generate(seed);
            let all = batches(&conversation, seed);
            let count: usize = all.iter().map(|batch| batch.acts.len()).sum();
            assert_eq!(count, conversation.happenings.len());
            let mut batch_of = vec![None; conversation.statements.len()];
            for (number, batch) in all.iter().enumerate() {
                assert!(batch.needs.iter().all(|need| *need < number), "seed {seed}: no circles");
                for act in &batch.acts {
                    match *act {
                        Act::Write(statement) => batch_of[statement] = Some((batch.person, number)),
                        Act::Vote(statement, _) => {
                            let (author, written) = batch_of[statement].expect("written before it is voted on");
                            assert!(author == batch.person || batch.needs.contains(&written), "seed {seed}");
                        }
                    }
                }
            }
            for (person, _) in conversation.people.iter().enumerate() {
                let own = |acts: &mut dyn Iterator<Item = Act>| acts.collect::<Vec<Act>>();
                let given = conversation.happenings.iter().filter(|h| h.person == person).map(|h| h.act);
                let planned = all.iter().filter(|b| b.person == person).flat_map(|b| b.acts.iter().copied());
                assert_eq!(own(&mut { given }), own(&mut { planned }), "seed {seed}: everybody keeps their order");
            }
        }
    }
}
