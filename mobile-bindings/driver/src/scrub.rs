//! When erased words leave a device's files: for many erasures at once, soon, and before the program ends.

use std::time::Duration;

use samenspraak_core::store::erased::scrub_if_due;
use samenspraak_core::store::{Store, StoreError};

/// How long erased words may stay in the files of a running program: soon enough for somebody who takes them back, and at a
/// meeting where ten people do so one rewrite is enough.
pub const SCRUB_AFTER: Duration = Duration::from_secs(30);

/// Scrubs a store if that is due, and says in the log what came of it. Returns whether nothing is due any more.
pub fn scrub(store: &dyn Store) -> bool {
    match scrub_if_due(store) {
        Ok(was_due) => {
            if was_due {
                tracing::debug!("erased words have left the files");
            }
            true
        }
        Err(error) => {
            // When the store stopped for another reason, that is told where it happened.
            if !matches!(error, StoreError::Closed { .. }) {
                tracing::warn!(%error, "erased words are still in the files; it is tried again");
            }
            false
        }
    }
}
