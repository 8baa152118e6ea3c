//! `cargo xtask test`: everything that must be green, in parts that can be called by name.
//!
//! A part that cannot even start is a failure, and the next one is run all the same: whoever reads the report sees all of it.
//! The last line on the screen is the count over all parts, alone.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::report::{Outcome, Report};
use crate::setup::{self, Need};
use crate::suite::Suite;
use crate::{bindings, child, lint, place, replay, web};

/// What `test` is told.
#[derive(Args)]
pub struct Options {
    /// Only these parts, in this order; all when none is named
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Format, warnings, docs, dependencies, and the rules of this repository
    Lint,
    /// The domain and protocol, with the disk store
    Core,
    /// The server, the bindings, these tasks, and all of them together
    Server,
    /// Any bytes, for twenty seconds a function
    Fuzz,
    /// A whole conversation, through real programs, equal on every phone at the end
    Replay,
    /// The core in Kotlin, Swift, Python and a browser, against the real program
    Bindings,
    /// The pages, in a browser
    Web,
}

const CORE: Suite = Suite {
    name: "core",
    packages: &["samenspraak-core"],
    features: &["samenspraak-core/disk", "samenspraak-core/testing"],
    only: None,
    libraries: &["samenspraak-core"],
};

/// A part of its own: it takes its time on purpose, and nothing else waits for it.
const FUZZ: Suite = Suite {
    name: "fuzz",
    packages: &["samenspraak-tests"],
    features: &["samenspraak-tests/fuzz"],
    only: Some("fuzz"),
    libraries: &[],
};

const SERVER: Suite = Suite {
    name: "server",
    packages: &[
        "samenspraak-server",
        "samenspraak-driver",
        "samenspraak-mobile",
        "samenspraak-web",
        "samenspraak-tests",
        "samenspraak-bench",
        "xtask",
    ],
    features: &[],
    only: None,
    libraries: &["samenspraak-server", "samenspraak-driver", "samenspraak-mobile", "samenspraak-tests"],
};

impl Part {
    fn needs(self) -> &'static [Need] {
        match self {
            Self::Lint => &[Need::Compiler, Need::Git, Need::Formatter, Need::Clippy, Need::Deny],
            Self::Core | Self::Server | Self::Fuzz | Self::Replay => &[Need::Compiler],
            Self::Bindings => {
                &[Need::Compiler, Need::Python, Need::Java, Need::Jna, Need::Npm, Need::Chromium, Need::WebCompiler]
            }
            Self::Web => &[Need::Compiler, Need::Chromium],
        }
    }

    fn run(self, root: &Path, report: &mut Report) {
        match self {
            Self::Lint => lint::run(root, report),
            Self::Core => CORE.run(root, report),
            Self::Server => {
                build_program(root, report);
                SERVER.run(root, report);
            }
            Self::Fuzz => FUZZ.run(root, report),
            Self::Replay => replay::run(root, report),
            Self::Bindings => bindings::test(root, report),
            Self::Web => web::run(root, report),
        }
    }
}

/// Runs the parts and reports.
pub fn run(root: &Path, options: &Options) -> ExitCode {
    let parts = if options.parts.is_empty() { Part::value_variants() } else { &options.parts };
    let mut report = Report::default();
    for part in parts {
        let name = format!("{part:?}").to_lowercase();
        println!("\n── {name} {}", "─".repeat(70_usize.saturating_sub(name.len())));
        match setup::ensure(part.needs()) {
            Ok(()) => part.run(root, &mut report),
            Err(problem) => report.add(&format!("{name}: setup"), Outcome::Failed(problem), Duration::ZERO),
        }
    }
    println!("\n── all {}\n{report}", "─".repeat(67));
    if report.tally().failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tests of several packages together start the real program, which `cargo test` would not build for them.
fn build_program(root: &Path, report: &mut Report) {
    let begun = Instant::now();
    let built = child::show(place::cargo(root).args(["build", "--package", "samenspraak-server"]));
    let outcome = built.and_then(|status| if status.success() { Ok(()) } else { Err("it does not build".into()) });
    report.add("server: builds", Outcome::of(outcome), begun.elapsed());
}
