//! Lines on the terminal.
//!
//! The standard macros panic when a line can't be written, half way in a command and with its store open. Here a command goes
//! on to its end. When nobody reads any more (`samenspraak phone … | head`) that is all; when the disk under a file of cards
//! is full, the program says so as its last word.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// Why a line to whoever asked could not be written.
static UNSAID: OnceLock<io::Error> = OnceLock::new();

/// A line to whoever asked.
macro_rules! say {
    ($($line:tt)*) => { $crate::say::line(format_args!($($line)*)) };
}

/// A line beside the answer, for a person and not for a pipe.
macro_rules! remark {
    ($($line:tt)*) => { $crate::say::beside(format_args!($($line)*)) };
}

/// For `say!`.
pub fn line(line: Arguments<'_>) {
    if let Err(error) = writeln!(io::stdout(), "{line}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        UNSAID.get_or_init(|| error);
    }
}

/// For `remark!`; where there is no error stream there is nobody to tell.
pub fn beside(line: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Why not all lines could be written to whoever asked, if that is so.
#[must_use]
pub fn unsaid() -> Option<&'static io::Error> {
    UNSAID.get()
}
