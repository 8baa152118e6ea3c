//! The signed entry: the only thing that syncs, and its byte form, which can't be changed later.
//!
//! `core/docs/decisions/0001-entry-format.md` lists every key and number; `core/tests/golden/` holds known bytes.
//! Nothing here knows automerge, a store or a network.

pub mod codec;
pub mod header;
pub mod kind;
pub mod run;
pub mod sign;
pub mod subject;
pub mod tombstone;

pub use header::Header;
pub use kind::Kind;
pub use run::{Payload, Run, RunEntry};
pub use sign::Signature;
pub use subject::{EraseCommit, EraseSecret, Salt, Seed};
pub use tombstone::Tombstone;

/// Version of the header; another number is another format.
pub const VERSION: u64 = 1;
