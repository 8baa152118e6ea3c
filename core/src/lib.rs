//! The core of Samenspraak: what phones, browsers and the server share.
//!
//! It does no IO, reads no clock and draws no randomness: it is given events and returns effects.
pub mod gate;
pub mod store;
