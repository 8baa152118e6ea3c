//! When erased words leave the files: for many erasures at once, soon, and before the program ends.
//!
//! A scrub rewrites files, so one for each erasure would wear out a phone's memory and hold up a meeting. What is due stands in
//! the store itself (`store::erased`): a kill forgets nothing, whoever opens the store next does it. Must never let a store be
//! closed in order while a scrub that could be done is due.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use samenspraak_core::store::erased::is_scrub_due;
use samenspraak_core::store::{Store, StoreError};

pub use samenspraak_driver::{SCRUB_AFTER, scrub};

use crate::error::ProgramError;

/// With so many groups of erasures waiting there is nothing to wait for.
pub const SCRUB_COUNT: usize = 64;

/// A thread that scrubs a store some time after it was told that words were erased.
pub struct Scrubber {
    due: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scrubber {
    /// Starts the thread; it first scrubs what a kill left undone. `then` is called after each scrub.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(store: Arc<dyn Store>, then: impl Fn() + Send + 'static) -> Result<Self, ProgramError> {
        let (due, told) = channel();
        let work = move || run(store.as_ref(), &told, &then);
        let thread = std::thread::Builder::new().name("scrubber".into()).spawn(work);
        let place = "a thread for erasing".to_owned();
        let thread = thread.map_err(|source| StoreError::Io { place, source })?;
        Ok(Self { due: Some(due), thread: Some(thread) })
    }

    /// Says that words were erased.
    pub fn is_due(&self) {
        if let Some(due) = &self.due {
            // The thread ends only after this side does.
            let _ = due.send(());
        }
    }

    /// Ends the thread, after a scrub that it is in the middle of.
    pub fn stop(&mut self) {
        drop(self.due.take());
        if let Some(thread) = self.thread.take() {
            // It catches nothing that could panic; if it did, closing the store does its work.
            let _ = thread.join();
        }
    }
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(store: &dyn Store, told: &Receiver<()>, then: &dyn Fn()) {
    if matches!(is_scrub_due(store), Ok(true)) && scrub(store) {
        then();
    }
    while told.recv().is_ok() {
        let mut done = false;
        while !done {
            let until = Instant::now() + SCRUB_AFTER;
            let mut count = 1;
            while count < SCRUB_COUNT {
                match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(()) => count += 1,
                    Err(RecvTimeoutError::Timeout) => break,
                    // Whoever closes the store scrubs it.
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            done = scrub(store);
        }
        then();
    }
}
