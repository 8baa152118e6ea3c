//! How long starting took, step by step: one line in the log, for whoever wonders why a server comes up slowly.
//!
//! Must never cost more than reading a clock.

use std::fmt::Write;
use std::time::Instant;

/// The steps so far.
pub struct Steps {
    begun: Instant,
    last: Instant,
    said: String,
}

impl Steps {
    /// Begins to count.
    pub fn begin() -> Self {
        let now = Instant::now();
        Self { begun: now, last: now, said: String::new() }
    }

    /// This was done since the last step.
    pub fn done(&mut self, what: &str) {
        let now = Instant::now();
        let comma = if self.said.is_empty() { "" } else { ", " };
        // A string takes everything.
        let _ = write!(self.said, "{comma}{what} {:.1}", (now - self.last).as_secs_f64() * 1000.0);
        self.last = now;
    }

    /// Says all of it, in milliseconds.
    pub fn say(&self, what: &str) {
        let ms = format!("{:.1}", (self.last - self.begun).as_secs_f64() * 1000.0);
        tracing::info!(ms, steps = self.said, "{what}");
    }
}
