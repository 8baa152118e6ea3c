//! `cargo xtask torture`: kills, power cuts and damage for the disk store, as many as one wants.
//!
//! The work is done by a program of its own (`tests/src/bin/torture.rs`), since it must be killed.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::{child, place};

/// What `torture` is told.
#[derive(Args)]
pub struct Options {
    /// How many processes are killed while they commit
    #[arg(long, default_value_t = 500)]
    kills: u64,
    /// How many power cuts
    #[arg(long, default_value_t = 200)]
    cuts: u64,
    /// How many damages
    #[arg(long, default_value_t = 200)]
    damage: u64,
    /// What everything follows from, but for the moments at which the system kills
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Builds the program and runs it; its last line is the count.
pub fn run(root: &Path, options: &Options) -> Result<ExitCode, String> {
    let Options { kills, cuts, damage, seed } = options;
    let mut cargo = place::cargo(root);
    cargo.args(["run", "--quiet", "--package", "samenspraak-tests", "--bin", "torture", "--", "run"]);
    for (name, value) in [("--kills", kills), ("--cuts", cuts), ("--damage", damage), ("--seed", seed)] {
        cargo.arg(name).arg(value.to_string());
    }
    Ok(if child::show(&mut cargo)?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
