//! The Python package: put together, made a wheel, installed into a place of its own, and tested there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Built, browser, clear, kotlin, must};
use crate::report::{Outcome, Tally};
use crate::{child, place};

/// Ours, in the repository.
const PACKAGE: &str = "mobile-bindings/python";
/// Tests of apps in several languages.
const TOGETHER: &str = "mobile-bindings/tests";

/// Puts the package together and builds its wheel; gives the wheel.
pub fn package(root: &Path, built: &Built) -> Result<PathBuf, String> {
    let (ours, package) = (root.join(PACKAGE), built.folder.join("python"));
    clear(&package)?;
    let into = package.join("samenspraak");
    copy(&ours.join("pyproject.toml"), &package.join("pyproject.toml"))?;
    fs::create_dir_all(&into).map_err(|problem| problem.to_string())?;
    for file in fs::read_dir(ours.join("samenspraak")).map_err(|problem| problem.to_string())? {
        let file = file.map_err(|problem| problem.to_string())?;
        if file.path().is_file() {
            copy(&file.path(), &into.join(file.file_name()))?;
        }
    }
    copy(&built.python(), &into.join("_core.py"))?;
    let library = built.library.file_name().ok_or("a library without a name")?;
    copy(&built.library, &into.join(library))?;
    let wheels = package.join("wheels");
    let python = environment(built)?;
    must(
        Command::new(&python)
            .args(["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"])
            .arg(&wheels)
            .arg(&package),
    )?;
    let found = fs::read_dir(&wheels).map_err(|problem| problem.to_string())?.flatten().map(|file| file.path());
    found.into_iter().find(|file| file.extension().is_some_and(|end| end == "whl")).ok_or("no wheel was built".into())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(drop).map_err(|problem| format!("cannot copy {}: {problem}", from.display()))
}

/// A Python with a place of its own; kept between runs.
pub fn environment(built: &Built) -> Result<PathBuf, String> {
    let folder = built.folder.join("python-environment");
    let python = folder.join("bin/python");
    if !python.exists() {
        must(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    Ok(python)
}

/// Installs the wheel and runs the tests on it.
pub fn test(root: &Path, built: &Built) -> Outcome {
    match installed(root, built) {
        Ok(python) => {
            // From its own folder: beside the package Python would take that instead of what was installed.
            run(pytest(root, &python, &root.join(PACKAGE).join("tests")))
        }
        Err(problem) => Outcome::Failed(problem),
    }
}

/// Runs the tests of apps in several languages; the package must have been tested, which installs it.
pub fn test_together(root: &Path, built: &Built, kotlin: &kotlin::Compiled) -> Outcome {
    match environment(built) {
        Ok(python) => {
            let mut together = pytest(root, &python, &root.join(TOGETHER));
            together.env("SAMENSPRAAK_KOTLIN_PHONE", kotlin.command(kotlin::PHONE));
            browser::phone(built, &mut together);
            run(together)
        }
        Err(problem) => Outcome::Failed(problem),
    }
}

/// The tests in a folder.
pub fn pytest(root: &Path, python: &Path, folder: &Path) -> Command {
    let mut pytest = Command::new(python);
    pytest.current_dir(folder).args(["-m", "pytest", "-p", "no:cacheprovider", "-q", "."]);
    pytest.env("PYTHONDONTWRITEBYTECODE", "1").env("SAMENSPRAAK_PROGRAM", place::program(root, "debug"));
    pytest
}

/// Runs tests and counts them.
pub fn run(mut pytest: Command) -> Outcome {
    match child::show_and_keep(&mut pytest) {
        Ok(finished) => Outcome::Counted(counted(&finished.text, finished.status.success())),
        Err(problem) => Outcome::Failed(problem),
    }
}

/// Builds the wheel and installs it; gives the Python that has it.
pub fn installed(root: &Path, built: &Built) -> Result<PathBuf, String> {
    let wheel = package(root, built)?;
    let python = environment(built)?;
    let mut what = wheel.into_os_string();
    what.push("[test]");
    must(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--force-reinstall"]).arg(what))?;
    Ok(python)
}

/// `3 failed, 9 passed, 1 skipped in 4.2s`, the last line of pytest.
fn counted(printed: &str, ended_well: bool) -> Tally {
    let summary = printed.lines().rev().find(|line| line.contains(" in ") && line.contains("s"));
    let mut tally = Tally::default();
    for part in summary.and_then(|line| line.split_once(" in ")).map_or("", |(counts, _)| counts).split(',') {
        let mut words = part.trim_matches(['=', ' ']).split(' ');
        let (Some(number), Some(word)) = (words.next().and_then(|number| number.parse::<u64>().ok()), words.next())
        else {
            continue;
        };
        match word {
            "passed" => tally.passed += number,
            "skipped" | "xfailed" => tally.skipped += number,
            "warning" | "warnings" => {}
            _ => tally.failed += number,
        }
    }
    // A run without a count has shown nothing.
    if tally.failed == 0 && (!ended_well || tally.passed == 0) {
        tally.failed = 1;
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_pytest_are_read_and_a_run_without_them_has_failed() {
        let counts = |text, ended_well| counted(text, ended_well);
        assert_eq!(counts("..\n12 passed in 4.20s\n", true), Tally { passed: 12, failed: 0, skipped: 0 });
        let mixed = "==== 2 failed, 9 passed, 1 skipped, 1 error in 61.20s (0:01:01) ====\n";
        assert_eq!(counts(mixed, false), Tally { passed: 9, failed: 3, skipped: 1 });
        assert_eq!(counts("12 passed in 4.20s\n", false), Tally { passed: 12, failed: 1, skipped: 0 });
        assert_eq!(counts("Segmentation fault\n", false), Tally::FAILED);
        assert_eq!(counts("no tests ran in 0.01s\n", true), Tally::FAILED);
    }
}
