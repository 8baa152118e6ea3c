//! Part `replay`: a whole conversation through the real program, one replica per participant, with kills on the way.
//!
//! Without a real conversation (`SAMENSPRAAK_POLIS_DIR`) a synthetic one runs, and the real one is reported as skipped.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::report::{Outcome, Report};
use crate::{child, place};

/// Names the folder with a real conversation in the Polis export format; it stays outside the repository.
const REAL: &str = "SAMENSPRAAK_POLIS_DIR";

/// The program ends so when something differs.
const DIFFERS: i32 = 1;

/// Runs the part.
pub fn run(root: &Path, report: &mut Report) {
    let build = ["build", "--release", "--package", "samenspraak-server"];
    if !step(report, "replay: builds", 0, place::cargo(root).args(build)) {
        return;
    }
    let replay = |arguments: &[&str]| {
        let mut command = Command::new(place::program(root, "release"));
        command.arg("replay").args(arguments).args(["--seed", "1"]);
        command
    };
    match real_conversation() {
        Some(folder) => {
            let folder = folder.to_string_lossy();
            step(report, "replay: real", 0, &mut replay(&["polis", &folder]));
            step(report, "replay: tampering is seen", DIFFERS, &mut replay(&["polis", &folder, "--tamper"]));
        }
        None => {
            report.add("replay: real", Outcome::Skipped(format!("{REAL} is not set")), Duration::ZERO);
            step(report, "replay: synthetic", 0, &mut replay(&["synthetic"]));
            step(report, "replay: tampering is seen", DIFFERS, &mut replay(&["synthetic", "--tamper"]));
        }
    }
}

/// A folder that is named but not there is left to the program, which says so and fails.
fn real_conversation() -> Option<PathBuf> {
    env::var_os(REAL).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

fn step(report: &mut Report, name: &str, code: i32, command: &mut Command) -> bool {
    let begun = Instant::now();
    let outcome = child::show(command).and_then(|status| match status.code() {
        Some(found) if found == code => Ok(()),
        found => Err(format!("ended with {found:?} instead of {code}")),
    });
    let holds = outcome.is_ok();
    report.add(name, Outcome::of(outcome), begun.elapsed());
    holds
}
