//! The real program, as processes of its own, on real disks and sockets: killed, filled up, lied to and asked to stop.
//!
//! Everything is on loopback and in temporary folders, every seed is fixed and printed when a test fails. Longer forms:
//! `SAMENSPRAAK_KILLS=1000`. Worlds without processes, on simulated disks, are in the package `samenspraak-tests`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod proxy;
mod support;

mod at_rest;
mod damage;
mod drills;
mod erasing;
mod full_disk;
mod logs;
mod mistakes;
mod people;
mod phone_kills;
mod presence;
mod quiet_sync;
mod quotas;
mod segments;
mod server_kills;
mod sizes;
mod slow;
mod starting;
mod stopping;
mod strangers;
mod tls;
mod two_terminals;
mod walk;
mod watching;
