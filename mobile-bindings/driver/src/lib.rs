//! Drives a phone: performs what the core asks for, over any store and any connection.
//!
//! The apps on Android and iOS, the terminal phone, the board's device inside the server and every participant of a replay are
//! driven by this. It decides nothing: it stores, sends, receives, and hands everything to the core. `line` is what a platform's
//! connection must be able to do, `stay` a device that follows its server. Not here: sockets, certificates, files.

mod address;
#[cfg(feature = "tokio")]
mod driver;
mod error;
#[cfg(feature = "tokio")]
mod line;
mod scrub;
#[cfg(feature = "tokio")]
mod stay;

pub use address::sync_url;
#[cfg(feature = "tokio")]
pub use driver::{Driver, Watch, entropy, now};
pub use error::SyncError;
#[cfg(feature = "tokio")]
pub use line::{Connect, FRAMES_AHEAD, Line, Moved, ask_wijk};
pub use scrub::{SCRUB_AFTER, scrub};
#[cfg(feature = "tokio")]
pub use stay::{News, Request, Rhythm};

/// How long a server may be silent before a phone gives up: longer than a slow line needs for one frame.
pub const SILENCE_MAX: std::time::Duration = std::time::Duration::from_secs(60);
