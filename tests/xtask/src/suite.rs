//! Runs the tests of packages with the runner that is here, and counts them.

use std::path::Path;
use std::time::Instant;

use crate::report::{Outcome, Report};
use crate::{child, outcome, place, setup};

/// Packages whose tests belong together.
pub struct Suite {
    /// Its name in the report.
    pub name: &'static str,
    /// The packages.
    pub packages: &'static [&'static str],
    /// Features to switch on, as `package/feature`.
    pub features: &'static [&'static str],
    /// Only this file of tests; all when none is named.
    pub only: Option<&'static str>,
    /// Those of the packages that are libraries: their examples in the docs are tests too.
    pub libraries: &'static [&'static str],
}

impl Suite {
    /// Runs all its tests, whatever fails on the way.
    pub fn run(&self, root: &Path, report: &mut Report) {
        if setup::has_nextest() {
            let arguments = ["nextest", "run", "--no-fail-fast", "--no-tests=pass"];
            self.run_by(root, report, self.name, &arguments, self.packages);
            // Without a name cargo would take all packages.
            if !self.libraries.is_empty() {
                let name = format!("{}: examples in docs", self.name);
                self.run_by(root, report, &name, &["test", "--doc"], self.libraries);
            }
        } else {
            self.run_by(root, report, self.name, &["test", "--no-fail-fast"], self.packages);
        }
    }

    fn run_by(&self, root: &Path, report: &mut Report, name: &str, runner: &[&str], packages: &[&str]) {
        let begun = Instant::now();
        let mut cargo = place::cargo(root);
        cargo.args(runner).args(packages.iter().flat_map(|package| ["--package", package]));
        if let Some(only) = self.only {
            cargo.args(["--test", only]);
        }
        if !self.features.is_empty() {
            cargo.args(["--features", &self.features.join(",")]);
        }
        // Where end-to-end tests find the program; this part builds it before they run.
        cargo.env("SAMENSPRAAK_PROGRAM", place::program(root, "debug"));
        let outcome = match child::show_and_keep(&mut cargo) {
            Ok(finished) => Outcome::Counted(outcome::judge(&finished.text, finished.status.success())),
            Err(problem) => Outcome::Failed(problem),
        };
        report.add(name, outcome, begun.elapsed());
    }
}
