//! The core of Samenspraak: what phones, browsers and the server share.
//!
//! It does no IO, reads no clock and draws no randomness: it is given events and returns effects. Start reading at
//! `app` (what a phone does), `replica` (what one copy of a wijk holds) and `gate` (the one door for entries); the map
//! with four walks through the system is `core/docs/architecture.md`.

pub mod app;
pub mod cbor;
pub mod document;
pub mod entry;
pub mod gate;
pub mod hash;
pub mod letters;
pub mod membership;
pub mod model;
pub mod ordered;
pub mod replica;
pub mod seal;
pub mod store;
pub mod sync;
pub mod vault;
pub mod view;
