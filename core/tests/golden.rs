//! Promise: what last year's app wrote can still be read, and is still written the same.
//!
//! Each file in `golden/` holds known bytes by name. Fixed inputs must give exactly these, and these must give the inputs
//! back. A format that was published never changes: a new form gets a new name beside the old one. With
//! `SAMENSPRAAK_BLESS=1` names that are missing are added; what stands there is never overwritten.
//! `golden/by_hand.rs` and `golden/seals_by_hand.rs` compute hashes, signatures and keys without the code under test, so that
//! the bytes are right and not merely the same as yesterday.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "golden/bodies.rs"]
mod bodies;
#[path = "golden/by_hand.rs"]
mod by_hand;
#[path = "golden/entries.rs"]
mod entries;
#[path = "golden/file.rs"]
mod file;
#[path = "golden/fixed.rs"]
mod fixed;
#[path = "golden/frames.rs"]
mod frames;
#[path = "golden/numbers.rs"]
mod numbers;
#[path = "golden/rows.rs"]
mod rows;
#[path = "golden/sealed.rs"]
mod sealed;
#[path = "golden/seals.rs"]
mod seals;
#[path = "golden/seals_by_hand.rs"]
mod seals_by_hand;
#[path = "golden/trust.rs"]
mod trust;
