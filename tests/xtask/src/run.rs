//! `cargo xtask run`: from a fresh clone to a running server with a demo wijk, in one command.
//!
//! What a demo wijk holds, and what the server prints, is the program's business. Here: building, and never leaving half a
//! demo wijk or removing a folder that this task did not make.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;

use crate::setup::{self, Need};
use crate::{child, place};

/// What `run` is told.
#[derive(Args)]
pub struct Options {
    /// Begin anew: remove the demo wijk that an earlier run made
    #[arg(long)]
    fresh: bool,
    /// The port on this machine
    #[arg(long, default_value_t = 8400)]
    port: u16,
    /// The data folder; `target/demo` when not given
    #[arg(long)]
    data: Option<PathBuf>,
}

/// Stands in a data folder that this task made; only such a folder is ever removed.
const MARK: &str = ".xtask-demo";

/// Builds, makes or keeps the demo wijk, and becomes the server.
pub fn run(root: &Path, options: &Options) -> Result<ExitCode, String> {
    setup::ensure(&[Need::Compiler])?;
    let program = place::program(root, "release");
    println!("1/3  Building the server. The first time this takes some minutes.");
    must_end_well(place::cargo(root).args([
        "build",
        "--release",
        "--package",
        "samenspraak-server",
        "--bin",
        "samenspraak",
    ]))?;

    let data = options.data.clone().unwrap_or_else(|| place::target(root).join("demo"));
    match plan(&data, options.fresh)? {
        Plan::Keep => println!("2/3  Keeping the demo wijk in {} (--fresh begins anew).", data.display()),
        Plan::Make => {
            println!("2/3  Making a demo wijk in {}.", data.display());
            let address = format!("http://127.0.0.1:{}", options.port);
            make(&data, |folder| {
                must_end_well(Command::new(&program).arg("demo").arg(folder).args(["--address", &address]))
            })?;
        }
    }

    println!("3/3  Starting the server; Ctrl-C stops it.\n");
    let mut serve = Command::new(&program);
    serve.arg("serve").arg(&data).args(["--listen", &format!("127.0.0.1:{}", options.port), "--show-card"]);
    become_program(serve)
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Keep,
    Make,
}

fn plan(data: &Path, fresh: bool) -> Result<Plan, String> {
    let is_empty = match fs::read_dir(data) {
        Ok(mut items) => items.next().is_none(),
        Err(_) => !data.exists(),
    };
    match (is_empty, data.join(MARK).exists(), fresh) {
        (true, _, _) | (false, true, true) => Ok(Plan::Make),
        (false, true, false) => Ok(Plan::Keep),
        (false, false, _) => {
            Err(format!("{} holds something else than a demo wijk; name another folder with --data", data.display()))
        }
    }
}

/// Makes the wijk beside its place and moves it there when it is whole: a run that was broken off leaves no half wijk.
fn make(data: &Path, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    let cannot = |problem: std::io::Error| format!("cannot make {}: {problem}", data.display());
    let name = data.file_name().ok_or_else(|| format!("{} is no folder for a wijk", data.display()))?;
    let unfinished = data.with_file_name(format!("{}.unfinished", name.to_string_lossy()));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(cannot)?;
    }
    if let Some(parent) = data.parent() {
        fs::create_dir_all(parent).map_err(cannot)?;
    }
    fill(&unfinished)?;
    fs::write(unfinished.join(MARK), "Made by `cargo xtask run`, which removes it when called with --fresh.\n")
        .map_err(cannot)?;
    if data.exists() {
        fs::remove_dir_all(data).map_err(cannot)?;
    }
    fs::rename(&unfinished, data).map_err(cannot)
}

fn must_end_well(command: &mut Command) -> Result<(), String> {
    let status = child::show(command)?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", child::line(command))) }
}

/// The server takes the place of this process, so that every signal reaches it and its exit code is ours.
#[cfg(unix)]
fn become_program(mut command: Command) -> Result<ExitCode, String> {
    use std::os::unix::process::CommandExt as _;
    Err(format!("cannot start `{}`: {}", child::line(&command), command.exec()))
}

#[cfg(not(unix))]
fn become_program(mut command: Command) -> Result<ExitCode, String> {
    let status = command.status().map_err(|problem| format!("cannot start `{}`: {problem}", child::line(&command)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(folder: &Path) -> Result<(), String> {
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(folder.join("wijk"), "demo"))
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_demo_wijk_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("deep/demo");
        assert_eq!(plan(&data, false), Ok(Plan::Make));
        make(&data, fill).unwrap();
        assert!(data.join("wijk").exists());
        assert_eq!(plan(&data, false), Ok(Plan::Keep));
        assert_eq!(plan(&data, true), Ok(Plan::Make));
    }

    #[test]
    fn a_run_that_was_broken_off_leaves_no_half_wijk() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("demo");
        let broken = make(&data, |folder| fill(folder).and(Err("killed".into())));
        assert_eq!(broken, Err("killed".to_owned()));
        assert_eq!(plan(&data, false), Ok(Plan::Make));
        make(&data, fill).unwrap();
        assert_eq!(plan(&data, false), Ok(Plan::Keep));
    }

    #[test]
    fn a_folder_with_something_else_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        for fresh in [false, true] {
            assert!(plan(folder.path(), fresh).unwrap_err().contains("--data"));
        }
        assert!(folder.path().join("thesis.txt").exists());
    }

    #[test]
    fn making_anew_keeps_the_old_wijk_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("demo");
        make(&data, fill).unwrap();
        assert!(make(&data, |_| Err("no".into())).is_err());
        assert!(data.join("wijk").exists());
    }
}
