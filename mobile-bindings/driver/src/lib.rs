//! Drives a phone: performs what the core asks for, over any store and any connection.
//!
//! The apps on Android and iOS, the terminal phone, the board's device inside the server and every participant of a replay are
//! driven by this. It decides nothing: it stores, sends, receives, and hands everything to the core. `line` is what a platform's
//! connection must be able to do, `stay` a device that follows its server. Not here: sockets, certificates, files.

mod driver;
mod error;
mod line;
mod scrub;
mod stay;

pub use driver::{Driver, Watch, entropy, now};
pub use error::SyncError;
pub use line::{Connect, FRAMES_AHEAD, Line, Moved, SILENCE_MAX, ask_wijk};
pub use scrub::{SCRUB_AFTER, scrub};
pub use stay::{News, Request, Rhythm};
