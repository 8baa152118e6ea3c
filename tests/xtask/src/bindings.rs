//! Part `bindings`, and the task of the same name: the core as a library for apps, what UniFFI writes for each language, and the
//! tests of each against the real program.
//!
//! ```text
//! target/bindings/python/   the package: ours, what was written for it, the library; its wheel, and a place to try both in
//! target/bindings/kotlin/   the compiled library with its tests
//! target/bindings/web/      the npm package: `dist/` is what is published; what builds and tests it beside it
//! ```
//! A surface that changed is a failure until its snapshot in `mobile-bindings/api` was written anew, so that a review sees it.

mod api;
pub mod border;
mod browser;
mod kotlin;
mod python;
mod swift;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use crate::report::{Outcome, Report};
use crate::setup::{self, Need};
use crate::{child, place};

/// What the task is told.
#[derive(Args)]
pub struct Options {
    /// Write the snapshots of the surfaces anew
    #[arg(long)]
    write_api: bool,
}

/// The task: builds everything and leaves it in the build folder.
pub fn run(root: &Path, options: &Options) -> Result<ExitCode, String> {
    setup::ensure(&[Need::Compiler, Need::Python, Need::Npm, Need::WebCompiler])?;
    let built = Built::make(root, "debug")?;
    python::package(root, &built)?;
    browser::package(root, &built)?;
    if options.write_api {
        api::write(root, &built)?;
    }
    println!(
        "The wheel, the npm package and what was written for Kotlin and Swift stand in {}.",
        built.folder.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// The part of `test`.
pub fn test(root: &Path, report: &mut Report) {
    let begun = Instant::now();
    let built = match build_program(root).and_then(|()| Built::make(root, "debug")) {
        Ok(built) => {
            report.add("bindings: library", Outcome::Passed, begun.elapsed());
            built
        }
        Err(problem) => return report.add("bindings: library", Outcome::Failed(problem), begun.elapsed()),
    };
    let begun = Instant::now();
    let packaged = browser::package(root, &built);
    report.add("bindings: package for browsers", Outcome::of(packaged.clone()), begun.elapsed());
    let begun = Instant::now();
    report.add("bindings: surface", Outcome::of(api::check(root, &built)), begun.elapsed());
    let begun = Instant::now();
    report.add("bindings: python", python::test(root, &built), begun.elapsed());
    let begun = Instant::now();
    let tested = packaged.map_or_else(Outcome::Failed, |()| browser::test(root, &built));
    report.add("bindings: browser", tested, begun.elapsed());
    let begun = Instant::now();
    report.add("bindings: swift, unchecked types", swift::test(root, &built), begun.elapsed());
    let begun = Instant::now();
    let kotlin = match kotlin::compile(root, &built) {
        Ok(compiled) => {
            report.add("bindings: kotlin compiles", Outcome::Passed, begun.elapsed());
            compiled
        }
        Err(problem) => return report.add("bindings: kotlin compiles", Outcome::Failed(problem), begun.elapsed()),
    };
    let begun = Instant::now();
    report.add("bindings: kotlin", kotlin.test(root), begun.elapsed());
    let begun = Instant::now();
    report.add("bindings: together", python::test_together(root, &built, &kotlin), begun.elapsed());
}

fn build_program(root: &Path) -> Result<(), String> {
    must(place::cargo(root).args(["build", "--package", "samenspraak-server"]))
}

/// Runs a command that must end well.
fn must(command: &mut std::process::Command) -> Result<(), String> {
    match child::show(command)?.success() {
        true => Ok(()),
        false => Err(format!("`{}` failed", child::line(command))),
    }
}

/// The library that was built, and what was written for each language.
struct Built {
    library: PathBuf,
    folder: PathBuf,
}

impl Built {
    /// `profile`: "debug" or "release".
    fn make(root: &Path, profile: &str) -> Result<Self, String> {
        let target = place::target(root);
        let mut build = place::cargo(root);
        build.args(["build", "--package", "samenspraak-mobile", "--features", "bindgen"]);
        if profile == "release" {
            build.arg("--release");
        }
        must(&mut build)?;
        let prefix = std::env::consts::DLL_PREFIX;
        let library = target.join(profile).join(format!("{prefix}samenspraak{}", std::env::consts::DLL_SUFFIX));
        let folder = target.join("bindings");
        for language in ["python", "kotlin", "swift"] {
            let out = folder.join("written").join(language);
            clear(&out)?;
            let bindgen = target.join(profile).join(format!("uniffi-bindgen{}", std::env::consts::EXE_SUFFIX));
            let mut write = std::process::Command::new(bindgen);
            write.current_dir(root).args(["generate", "--no-format", "--language", language, "--out-dir"]);
            must(write.arg(&out).arg(&library))?;
        }
        Ok(Self { library, folder })
    }

    /// What was written for Python.
    fn python(&self) -> PathBuf {
        self.folder.join("written/python/samenspraak.py")
    }
}

/// Makes an empty folder.
fn clear(folder: &Path) -> Result<(), String> {
    let problem = |problem| format!("cannot clear {}: {problem}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(problem)?;
    }
    fs::create_dir_all(folder).map_err(problem)
}
