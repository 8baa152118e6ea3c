//! Tortures the disk store and counts: `cargo xtask torture` calls this. As a victim it is what gets killed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use samenspraak_tests::torture::{Amount, run, victim};

/// Tortures the disk store; the last line is the count.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Kill, cut and damage so many times
    Run {
        /// Processes to kill
        #[arg(long, default_value_t = 500)]
        kills: u64,
        /// Power cuts
        #[arg(long, default_value_t = 200)]
        cuts: u64,
        /// Damages
        #[arg(long, default_value_t = 200)]
        damage: u64,
        /// What everything follows from
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Commit until killed, or so many times
    Victim {
        /// The store's folder
        dir: PathBuf,
        /// What is written follows from this
        seed: u64,
        /// Commits of all threads together
        commits: u64,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().role {
        Role::Victim { dir, seed, commits } => victim(&dir, seed, commits),
        Role::Run { kills, cuts, damage, seed } => {
            let Ok(program) = std::env::current_exe() else {
                eprintln!("torture: cannot find this program to start it again");
                return ExitCode::FAILURE;
            };
            let amount = Amount { kills, cuts, damages: damage, seed };
            let all = kills + cuts + damage;
            let tally = run(amount, &program, |done| {
                if done % 100 == 0 {
                    println!("torture: {done} of {all} done");
                }
            });
            println!("{tally}");
            if tally.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}
