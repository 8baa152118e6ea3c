//! `cargo xtask fuzz`: gives the fuzz functions to libFuzzer, which sees what the program does with an input.
//!
//! libFuzzer needs flags that a stable compiler takes only when it is told to (`RUSTC_BOOTSTRAP`, for this build alone) and
//! C++. Where it can't be built the same functions run without it, as in `cargo xtask test fuzz`. Everything it makes is
//! in `target/fuzz`: an input that broke something is in `artifacts`, and belongs into `tests/tests/fuzz` as a fixture.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;

use crate::setup::{self, Need};
use crate::{child, place};

/// What `fuzz` is told.
#[derive(Args)]
pub struct Options {
    /// Only this function; all, one after the other, when none is named
    target: Option<String>,
    /// How long each of them runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// The package with a libFuzzer target for each function.
const PACKAGE: &str = "core/fuzz";
/// Longest input in bytes. Most functions read a byte a choice, and short inputs are found and understood sooner.
const INPUT_BYTES_MAX: u32 = 8192;
/// An input that takes longer has found something: no honest one takes a tenth of a second.
const INPUT_SECONDS_MAX: u32 = 30;

/// Builds the targets and runs them; ends badly when an input broke something.
pub fn run(root: &Path, options: &Options) -> Result<ExitCode, String> {
    let all = targets(root)?;
    let chosen = match &options.target {
        None => all,
        Some(name) if all.contains(name) => vec![name.clone()],
        Some(name) => return Err(format!("there is no fuzz function `{name}`, but {}", all.join(", "))),
    };
    let built = setup::ensure(&[Need::Compiler, Need::Cxx, Need::Fuzzer]).and_then(|()| build(root));
    if let Err(problem) = built {
        println!("libFuzzer can't be used here ({problem}); the same functions run without it, seeing less.");
        return without_it(root, options.seconds, &chosen);
    }
    let folder = place::target(root).join("fuzz");
    let corpus = folder.join("corpus");
    let mut seeds = place::cargo(root);
    seeds.args(["run", "--package", "samenspraak-tests", "--example", "fuzz_seeds", "--"]).arg(&corpus);
    must_end_well(&mut seeds)?;
    let mut broken = Vec::new();
    for target in &chosen {
        let artifacts = folder.join("artifacts").join(target);
        fs::create_dir_all(&artifacts).map_err(|problem| format!("cannot make {}: {problem}", artifacts.display()))?;
        let mut run = cargo_fuzz(root, "run");
        run.arg(target).arg(corpus.join(target)).arg("--");
        run.arg(format!("-artifact_prefix={}/", artifacts.display()));
        run.arg(format!("-max_total_time={}", options.seconds)).arg(format!("-max_len={INPUT_BYTES_MAX}"));
        run.arg(format!("-timeout={INPUT_SECONDS_MAX}")).arg("-len_control=0");
        if !child::show(&mut run)?.success() {
            broken.push(format!("{target} broke: see above, and {}", artifacts.display()));
        }
    }
    if broken.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(broken.join("\n")) }
}

/// The functions, as their targets are called.
fn targets(root: &Path) -> Result<Vec<String>, String> {
    let folder = root.join(PACKAGE).join("fuzz_targets");
    let listed = fs::read_dir(&folder).map_err(|problem| format!("cannot read {}: {problem}", folder.display()))?;
    let files = listed.filter_map(|item| Some(PathBuf::from(item.ok()?.file_name())));
    let mut names: Vec<String> = files.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

fn build(root: &Path) -> Result<(), String> {
    must_end_well(&mut cargo_fuzz(root, "build"))
}

fn cargo_fuzz(root: &Path, task: &str) -> Command {
    let mut cargo = place::cargo(root);
    // No sanitizer: there is no unsafe code of ours, and Rust checks the rest by itself. No comparisons: those of the
    // cryptography took a third of the time and can't be guessed anyway.
    cargo.args(["fuzz", task, "--sanitizer", "none", "--no-trace-compares", "--fuzz-dir", PACKAGE]);
    cargo.arg("--target-dir").arg(place::target(root).join("fuzz/build"));
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo
}

fn without_it(root: &Path, seconds: u64, chosen: &[String]) -> Result<ExitCode, String> {
    let mut cargo = place::cargo(root);
    cargo.args(["test", "--package", "samenspraak-tests", "--features", "samenspraak-tests/fuzz", "--test", "fuzz"]);
    cargo.env("SAMENSPRAAK_FUZZ_SECONDS", seconds.to_string());
    cargo.env("SAMENSPRAAK_FUZZ_ONLY", chosen.join(","));
    must_end_well(&mut cargo).map(|()| ExitCode::SUCCESS)
}

fn must_end_well(command: &mut Command) -> Result<(), String> {
    if child::show(command)?.success() { Ok(()) } else { Err(format!("`{}` failed", child::line(command))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_not_there_is_named_with_those_that_are() {
        let root = place::root().unwrap();
        let options = Options { target: Some("nothing".into()), seconds: 1 };
        let problem = run(&root, &options).unwrap_err();
        assert!(problem.contains("`nothing`") && problem.contains("frame"), "{problem}");
    }
}
