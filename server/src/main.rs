//! The program `samenspraak`.

use std::process::ExitCode;

fn main() -> ExitCode {
    samenspraak_server::cli::run()
}
