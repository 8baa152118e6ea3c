//! What goes wrong in a measurement: it becomes a row that says so, and never ends the whole run.

/// Anything that can go wrong, in words.
pub type Problem = Box<dyn std::error::Error + Send + Sync>;
