//! Many waiting commits share one flush: the first becomes the leader and works for all that came meanwhile.
//!
//! Must never answer a commit before the leader's work for it returned, and never leave one waiting: when a leader is done it
//! answers its group and hands the lead to one of those that wait. Not here: what the work is; that is a function.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use super::frame::EncodedBatch;
use crate::store::StoreError;

/// A group ends at this size, so that the first in it does not wait long for the last: 4 MiB are written in some 10 ms.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug)]
enum Turn {
    Waiting,
    Lead,
    Done(Result<(), StoreError>),
}

#[derive(Debug)]
struct Ticket {
    batch: EncodedBatch,
    turn: Mutex<Turn>,
    thread: Thread,
}

impl Ticket {
    fn give(&self, turn: Turn) {
        *lock(&self.turn) = turn;
        self.thread.unpark();
    }
}

#[derive(Debug, Default)]
struct Waiting {
    led: bool,
    tickets: VecDeque<Arc<Ticket>>,
}

/// Commits on their way to the journal.
#[derive(Debug, Default)]
pub struct Group {
    waiting: Mutex<Waiting>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    /// Brings one batch through `work`, alone or together with others, on this thread or on another's.
    ///
    /// # Errors
    /// What `work` answered for the group; `stopped` when it panicked.
    pub fn commit(
        &self,
        batch: EncodedBatch,
        work: impl Fn(&[&EncodedBatch]) -> Result<(), StoreError>,
        stopped: impl Fn() -> StoreError,
    ) -> Result<(), StoreError> {
        let ticket = Arc::new(Ticket { batch, turn: Mutex::new(Turn::Waiting), thread: thread::current() });
        {
            let mut waiting = lock(&self.waiting);
            waiting.tickets.push_back(Arc::clone(&ticket));
            if !waiting.led {
                waiting.led = true;
                *lock(&ticket.turn) = Turn::Lead;
            }
        }
        loop {
            let turn = std::mem::replace(&mut *lock(&ticket.turn), Turn::Waiting);
            match turn {
                Turn::Done(result) => return result,
                Turn::Lead => self.lead(&work, &stopped),
                Turn::Waiting => thread::park(),
            }
        }
    }

    fn lead(&self, work: &impl Fn(&[&EncodedBatch]) -> Result<(), StoreError>, stopped: &impl Fn() -> StoreError) {
        let mut group = Vec::new();
        let mut bytes = 0;
        {
            let mut waiting = lock(&self.waiting);
            while let Some(next) = waiting.tickets.front() {
                bytes += next.batch.frame_bytes();
                if !group.is_empty() && bytes > GROUP_BYTES_MAX {
                    break;
                }
                group.extend(waiting.tickets.pop_front());
            }
        }
        let batches: Vec<&EncodedBatch> = group.iter().map(|ticket| &ticket.batch).collect();
        let result = catch_unwind(AssertUnwindSafe(|| work(&batches))).unwrap_or_else(|_| Err(stopped()));
        {
            // Hand over first: the next group can be written while this one wakes up.
            let mut waiting = lock(&self.waiting);
            match waiting.tickets.front() {
                Some(next) => next.give(Turn::Lead),
                None => waiting.led = false,
            }
        }
        for ticket in &group {
            ticket.give(Turn::Done(result.as_ref().copied().map_err(again)));
        }
    }
}

/// The same error once more, for another of the group.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full { place } => StoreError::Full { place: place.clone() },
        StoreError::Busy { place } => StoreError::Busy { place: place.clone() },
        StoreError::Damaged { place, what } => StoreError::Damaged { place: place.clone(), what: what.clone() },
        StoreError::Io { place, source } => {
            let source = match source.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(source.kind(), source.to_string()),
            };
            StoreError::Io { place: place.clone(), source }
        }
        StoreError::Closed { place } => StoreError::Closed { place: place.clone() },
        StoreError::WrongKey { place } => StoreError::WrongKey { place: place.clone() },
        StoreError::Limit { table, what } => StoreError::Limit { table: *table, what },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::store::Batch;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a slow flush, which makes groups form; nothing waits for its length"
    )]
    fn every_commit_is_answered_once_and_groups_form() {
        let group = Group::default();
        let (calls, batches) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |group: &[&EncodedBatch]| {
            calls.fetch_add(1, Ordering::Relaxed);
            batches.fetch_add(group.len(), Ordering::Relaxed);
            thread::sleep(std::time::Duration::from_millis(1));
            Ok(())
        };
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let batch = EncodedBatch::new(&[0; 16], &Batch::new()).unwrap();
                        group.commit(batch, work, || StoreError::Closed { place: String::new() }).unwrap();
                    }
                });
            }
        });
        assert_eq!(batches.into_inner(), 160);
        assert!(calls.into_inner() < 160);
    }

    #[test]
    fn a_leader_that_panics_answers_its_group_and_hands_over() {
        let group = Group::default();
        let stopped = || StoreError::Closed { place: String::new() };
        let batch = || EncodedBatch::new(&[0; 16], &Batch::new()).unwrap();
        let result = group.commit(batch(), |_| panic!("a test's panic"), stopped);
        assert!(matches!(result, Err(StoreError::Closed { .. })));
        assert!(group.commit(batch(), |_| Ok(()), stopped).is_ok());
    }
}
