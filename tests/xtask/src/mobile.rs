//! `cargo xtask check-mobile`: whether the library compiles for Android and for iPhone.
//!
//! Where rustup has the target it is used; else Debian's own compiler and the source of its standard library, which knows every target.
//! Checking links nothing, so no NDK and no Xcode is needed; and it is no proof that linking works. Not part of `test`: it takes long.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Args;

use crate::setup::{self, Need};
use crate::{child, place};

/// What `check-mobile` is told.
#[derive(Args)]
pub struct Options {
    /// Only these targets, by the compiler's names for them
    targets: Vec<String>,
}

/// A phone of today of each kind, and the simulator's processor would be no other code.
const TARGETS: [&str; 2] = ["aarch64-linux-android", "aarch64-apple-ios"];

/// Checks each target.
pub fn run(root: &Path, options: &Options) -> Result<ExitCode, String> {
    setup::ensure(&[Need::Compiler])?;
    let all = TARGETS.map(String::from);
    let targets = if options.targets.is_empty() { all.as_slice() } else { &options.targets };
    let installed = child::read(Command::new("rustup").args(["target", "list", "--installed"])).unwrap_or_default();
    let mut failed = false;
    for target in targets {
        let begun = Instant::now();
        let is_here = installed.lines().any(|known| known == target);
        let mut check = if is_here {
            place::cargo(root)
        } else {
            setup::ensure(&[Need::DebianRust])?;
            with_source(root)
        };
        check.arg("check").args((!is_here).then_some("-Zbuild-std=std,panic_unwind"));
        check.args(["--package", "samenspraak-mobile", "--lib", "--target", target]);
        // A compiler of its own must not throw away what the other one built.
        check.arg("--target-dir").arg(place::target(root).join("mobile"));
        let is_good = child::show(&mut check)?.success();
        println!("  {target:<24} {:>6.1} s  {}", begun.elapsed().as_secs_f64(), if is_good { "ok" } else { "FAILED" });
        failed |= !is_good;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Debian's cargo and compiler, which build the standard library from its source: allowed to, for this one command.
fn with_source(root: &Path) -> Command {
    let mut cargo = Command::new(setup::DEBIAN_CARGO);
    cargo.current_dir(root).env("RUSTC", setup::DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
    // Named by the cargo that called us, and another compiler's.
    cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    cargo
}
