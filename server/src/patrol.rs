//! Looks after the server's journal while it serves: slowly, round after round, so that damage is known before a reader meets
//! it.
//!
//! What it finds is said in the log once and counted. Must never mend anything: a person decides (`samenspraak verify` says all
//! that is wrong at once). Not here: what counts as damage.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use samenspraak_core::store::StoreError;
use samenspraak_core::store::disk::Patrol;

use crate::error::ProgramError;
use crate::server_store::ServerStore;

/// How much is read in a second, 1 MiB: a gigabyte in a quarter of an hour, for a hundredth of what a small disk can do.
const BYTES_PER_SECOND: u64 = 1024 * 1024;
/// How long it rests between two steps.
const REST: Duration = Duration::from_secs(1);
/// How long it rests after a whole round, or when the system refused: a small journal need not be read all day.
const LONG_REST: Duration = Duration::from_secs(15 * 60);

/// A thread that looks after a store. Dropping it stops it.
pub struct Patrols {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Patrols {
    /// Starts the thread, which calls `found` for every damaged place, once each.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(store: Arc<ServerStore>, found: impl Fn() + Send + 'static) -> Result<Self, ProgramError> {
        let (stop, told) = channel();
        let spawned = std::thread::Builder::new().name("patrol".into()).spawn(move || run(&store, &told, &found));
        let place = "a thread to look after the journal".to_owned();
        let thread = spawned.map_err(|source| StoreError::Io { place, source })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Patrols {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to lose.
            let _ = thread.join();
        }
    }
}

fn run(store: &ServerStore, told: &Receiver<()>, found: &dyn Fn()) {
    let (mut patrol, mut known) = (Patrol::default(), BTreeSet::new());
    loop {
        let rest = step(store, &mut patrol, &mut known, found);
        match told.recv_timeout(rest) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Looks at the next part, says what is new, and returns how long to rest.
fn step(store: &ServerStore, patrol: &mut Patrol, known: &mut BTreeSet<String>, found: &dyn Fn()) -> Duration {
    match store.disk().patrol(patrol, BYTES_PER_SECOND) {
        Ok(seen) => {
            for damage in seen.damage {
                if known.insert(damage.place.clone()) {
                    found();
                    let (place, what) = (damage.place, damage.what);
                    tracing::error!(
                        place,
                        what,
                        "the journal is damaged; stop the server and run `samenspraak verify`"
                    );
                }
            }
            if seen.is_round_over { LONG_REST } else { REST }
        }
        // The store stopped; that is said by whoever stopped it.
        Err(StoreError::Closed { .. }) => LONG_REST,
        Err(error) => {
            tracing::warn!(%error, "the journal could not be looked at");
            LONG_REST
        }
    }
}
