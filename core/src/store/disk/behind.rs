//! What goes on behind an opened store: building its index, or checking it. Reads that can be answered are; commits and all
//! other reads wait here.
//!
//! Must never leave anybody waiting: work that panics is over too. Not here: what the work is.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Whose turn it is: one store of a process at a time reads or builds a whole index. A server opens three that are as large, and
/// side by side they took three times the memory and were no sooner done; whoever is opened first is ready first.
static TURN: Mutex<()> = Mutex::new(());
/// How often is asked for it.
const TURN_LOOK: Duration = Duration::from_millis(2);
/// So often: five minutes, many times what building the index of 50,000 documents takes. Behind a store whose sled hangs, the
/// next one goes on beside it.
const TURN_LOOKS: u32 = 150_000;

/// How far opening is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The journal is read.
    Reading {
        /// Bytes read.
        done: u64,
        /// Bytes in all.
        all: u64,
    },
    /// The index is built anew.
    Indexing {
        /// Rows that are in.
        done: u64,
        /// Rows in all, at most: replaced ones count until they are met.
        all: u64,
    },
    /// The index of a clean close is compared with what it held then.
    Checking {
        /// Rows compared.
        done: u64,
    },
    /// Everything can be read and committed.
    Ready,
}

/// Rows between two calls while building and checking.
pub(super) const ROWS_PER_CALL: u64 = 4096;

/// What is called while a store opens, also from a thread of its own after [`super::DiskStore::open`] returned. It is called
/// often; whoever prints does so rarely.
#[derive(Clone)]
pub struct OnProgress(Arc<dyn Fn(Progress) + Send + Sync>);

impl OnProgress {
    /// Calls `each`.
    pub fn new(each: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(each))
    }

    pub(super) fn tell(&self, progress: Progress) {
        (self.0)(progress);
    }
}

impl Default for OnProgress {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnProgress")
    }
}

/// Work behind a store, one at a time.
#[derive(Debug, Default)]
pub struct Behind {
    is_working: Mutex<bool>,
    over: Condvar,
    is_stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Behind {
    /// Starts work on a thread of its own; on this one when there can be none. It is given what tells it to stop.
    pub fn start(self: &Arc<Self>, work: impl FnOnce(&Arc<AtomicBool>) + Send + 'static) {
        *self.is_working.lock().unwrap_or_else(PoisonError::into_inner) = true;
        let behind = Arc::clone(self);
        let work = Mutex::new(Some(work));
        let run = Arc::new(move || {
            let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(work) = work {
                let turn = turn(&behind.is_stopping);
                // A panic is one of sled's; whoever comes next finds no index and has it built.
                let _ = catch_unwind(AssertUnwindSafe(|| work(&behind.is_stopping)));
                drop(turn);
            }
            *behind.is_working.lock().unwrap_or_else(PoisonError::into_inner) = false;
            behind.over.notify_all();
        });
        let on_thread = Arc::clone(&run);
        match thread::Builder::new().name("store behind".into()).spawn(move || on_thread()) {
            Ok(handle) => *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle),
            Err(_) => run(),
        }
    }

    /// Waits until no work goes on.
    pub fn wait(&self) {
        let working = self.is_working.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.over.wait_while(working, |working| *working));
    }

    /// Has the work end soon, done or not, and waits for that.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            // It has caught its own panics.
            let _ = handle.join();
        }
    }
}

/// Waits until nobody else in this process reads or builds a whole index, or until it is to stop.
fn turn(is_stopping: &AtomicBool) -> Option<MutexGuard<'static, ()>> {
    for _ in 0..TURN_LOOKS {
        match TURN.try_lock() {
            Ok(turn) => return Some(turn),
            Err(TryLockError::Poisoned(turn)) => return Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) if is_stopping.load(Ordering::SeqCst) => return None,
            Err(TryLockError::WouldBlock) => thread::park_timeout(TURN_LOOK),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn one_store_at_a_time_reads_all_of_its_index_and_none_is_kept_from_stopping() {
        let (now, most, done) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let stores: Vec<Arc<Behind>> = (0..8).map(|_| Arc::default()).collect();
        for store in &stores {
            let (now, most, done) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&done));
            store.start(move |_| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::park_timeout(TURN_LOOK);
                now.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        stores.iter().for_each(|store| store.wait());
        assert_eq!((most.load(Ordering::SeqCst), done.load(Ordering::SeqCst)), (1, 8));
        // One that is closed while it waits for its turn does not wait any longer.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting: Arc<Behind> = Arc::default();
        let told = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&told);
        waiting.start(move |stop| heard.store(stop.load(Ordering::SeqCst), Ordering::SeqCst));
        waiting.stop();
        assert!(told.load(Ordering::SeqCst), "its work is told to stop");
        drop(turn);
    }
}
