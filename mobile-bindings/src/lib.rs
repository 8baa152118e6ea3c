//! The surface of the core for apps: one object [`Wijk`], typed commands, views to look at, and notices of what changed.
//!
//! Kotlin, Swift and Python get this through UniFFI. An app brings what its platform has: a place for the key
//! ([`KeyVault`]), connections ([`Connector`]), and somebody to tell ([`Listener`]). No rule of the domain lives here: commands go
//! to the core as they are, views come from it. Must never block a caller's thread on the network, hold a lock while the app's
//! code runs, or let a panic or a throw on either side of the border end the other side.

mod circles;
mod commands;
mod error;
mod held;
mod moderation;
mod network;
mod platform;
mod polls;
mod runtime;
mod surface;
mod vault;
mod views;
mod wijk;

pub use circles::CircleMember;
pub use error::WijkError;
pub use moderation::{ErasureSignature, GroundedErasure, Notice, Ruled, Ruling};
pub use platform::{ConnectionError, Connector, KeyVault, KeyVaultError, Listener};
pub use polls::{Ballot, Poll, PollCount};
pub use surface::*;
pub use wijk::{Wijk, open_wijk};

uniffi::setup_scaffolding!();
