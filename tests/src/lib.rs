//! Tests and measurements of the whole.
//!
//! [`world`] is a wijk in memory: phones and a server without sockets or clocks, driven from a seed. [`conversation`] is an
//! honest evening in one. [`fuzz`] takes any bytes. [`scan`] looks for words in everything that lies on a disk. `torture`
//! kills, cuts and damages the disk store.

pub mod conversation;
pub mod fuzz;
pub mod line;
#[cfg(feature = "disk")]
pub mod scan;
#[cfg(feature = "disk")]
pub mod torture;
pub mod world;
