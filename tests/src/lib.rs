//! Tests and measurements of the whole.
//!
//! [`world`] is a wijk in memory: phones and a server without sockets or clocks, driven from a seed.

pub mod world;
