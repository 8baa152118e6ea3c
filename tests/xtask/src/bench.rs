//! `cargo xtask bench`: builds the server and the benchmark in release, and starts it.
//!
//! What is measured, and how, is the business of `tests/bench`. Here: building, and saying where things are.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;

use crate::setup::{self, Need};
use crate::{child, place};

/// What `bench` is told.
#[derive(Args)]
pub struct Options {
    /// Words for the benchmark itself; `cargo xtask bench -- --help` names them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Where the benchmark keeps its wijken, the peers and the raw results.
fn data(root: &Path) -> PathBuf {
    place::target(root).join("bench")
}

/// The benchmark itself, to be started.
pub fn command(root: &Path, profile: &str) -> Command {
    let name = format!("samenspraak-bench{}", std::env::consts::EXE_SUFFIX);
    let mut bench = Command::new(place::target(root).join(profile).join(name));
    bench.current_dir(root).arg("--program").arg(place::program(root, profile)).arg("--data").arg(data(root));
    bench
}

/// Builds the server and the benchmark.
pub fn build(root: &Path, profile: &str) -> Result<(), String> {
    let mut build = place::cargo(root);
    build.args(["build", "--package", "samenspraak-server", "--package", "samenspraak-bench"]);
    if profile == "release" {
        build.arg("--release");
    }
    let status = child::show(&mut build)?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", child::line(&build))) }
}

/// Builds, measures, and reports.
pub fn run(root: &Path, options: &Options) -> Result<ExitCode, String> {
    setup::ensure(&[Need::Compiler])?;
    build(root, "release")?;
    let status = child::show(command(root, "release").args(&options.words))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
