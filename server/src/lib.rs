//! The small server of a wijk, and the tools of its administrator.
//!
//! `folder` knows what lies where on disk, `serve` answers phones, `board` shows the board its page, `client` drives a phone
//! over a socket, and the rest are commands. No decision about the wijk is made here: the core makes them.

#[macro_use]
mod say;

pub mod backup;
pub mod board;
pub mod cli;
pub mod client;
pub mod config;
pub mod date;
pub mod demo;
pub mod device;
pub mod epoch;
pub mod erased_log;
pub mod error;
pub mod folder;
pub mod heal;
pub mod local;
pub mod messages;
pub mod patrol;
pub mod phone;
pub mod recover;
pub mod replay;
pub mod scrub;
pub mod segments;
pub mod serve;
pub mod server_store;
pub mod size;
pub mod vault;
pub mod verify;
pub mod wijk;
