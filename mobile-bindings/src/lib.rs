//! The surface of the core for apps: one object [`Wijk`], typed commands, views to look at, and notices of what changed.
//!
//! Kotlin, Swift and Python get this through UniFFI. An app brings what its platform has: a place for the key
//! ([`KeyVault`]), connections ([`Connector`]), and somebody to tell ([`Listener`]). No rule of the domain lives here: commands go
//! to the core as they are, views come from it. Must never block a caller's thread on the network, hold a lock while the app's
//! code runs, or let a panic or a throw on either side of the border end the other side.

pub mod asks;
#[cfg(feature = "native")]
mod circles;
#[cfg(feature = "native")]
mod commands;
mod error;
#[cfg(feature = "native")]
mod held;
pub mod looks;
#[cfg(feature = "native")]
mod moderation;
#[cfg(feature = "native")]
mod network;
#[cfg(feature = "native")]
mod platform;
#[cfg(feature = "native")]
mod polls;
#[cfg(feature = "native")]
mod runtime;
mod surface;
#[cfg(feature = "native")]
mod vault;
#[cfg(feature = "native")]
mod views;
#[cfg(feature = "native")]
mod wijk;

#[cfg(feature = "native")]
pub use circles::CircleMember;
pub use error::WijkError;
#[cfg(feature = "native")]
pub use moderation::{ErasureSignature, GroundedErasure, Notice, Ruled, Ruling};
#[cfg(feature = "native")]
pub use platform::{BackgroundSync, ConnectionError, Connector, KeyVault, KeyVaultError, Listener};
#[cfg(feature = "native")]
pub use polls::{Ballot, Poll, PollCount};
pub use surface::*;
#[cfg(feature = "native")]
pub use wijk::{Wijk, open_wijk};

#[cfg(feature = "native")]
uniffi::setup_scaffolding!();
