//! Part `lint`: what can be judged without running the program. Every step counts as one test.
//!
//! Rules of this repository that no ready-made tool knows stand in `layout` (names and sizes of files), `purity` (what the core
//! may not touch) and `threats` (promises without a test); their unit tests show that they can fail.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::report::{Outcome, Report};
use crate::{child, place};

mod layout;
mod paths;
mod purity;
mod threats;

/// How long a database of advisories may take to answer. It is fetched whole the first time (some 10 MB).
const ADVISORIES_PATIENCE: Duration = Duration::from_secs(45);

/// Where cargo-deny finds its rules; the top level of the repository stays small.
const DENY_CONFIG: &str = ".config/deny.toml";

/// Runs all steps, the quick ones first.
pub fn run(root: &Path, report: &mut Report) {
    let mut step = |name: &str, judge: &dyn Fn() -> Outcome| {
        let begun = Instant::now();
        let outcome = judge();
        report.add(name, outcome, begun.elapsed());
    };
    step("format", &|| Outcome::of(cargo(root, &["fmt", "--all", "--check"], "run `cargo fmt`")));
    step("layout", &|| Outcome::of(layout::check(root)));
    step("threats have tests", &|| Outcome::of(threats::check(root)));
    step("pure core: sources", &|| Outcome::of(purity::check_sources(root)));
    step("pure core: dependencies", &|| Outcome::of(purity::check_dependencies(root)));
    step("pure core: builds alone", &|| {
        let arguments = ["check", "--package", "samenspraak-core", "--lib", "--no-default-features"];
        Outcome::of(cargo(root, &arguments, "the core must build without its disk store"))
    });
    step("clippy", &|| {
        let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        Outcome::of(cargo(root, &arguments, "warnings are denied here"))
    });
    step("docs", &|| Outcome::of(docs(root)));
    step("licences, bans, sources", &|| {
        let arguments =
            ["deny", "--config", DENY_CONFIG, "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
        Outcome::of(cargo(root, &arguments, "see .config/deny.toml"))
    });
    step("advisories", &|| advisories(root));
}

fn docs(root: &Path) -> Result<(), String> {
    let mut doc = place::cargo(root);
    doc.args(["doc", "--no-deps", "--workspace", "--all-features", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings");
    must_end_well(&mut doc, "a link or an example in the docs is broken")
}

/// Known vulnerabilities. Being offline is no failure: the same tree was good yesterday, and CI elsewhere may be online.
fn advisories(root: &Path) -> Outcome {
    let mut fetch = place::cargo(root);
    fetch.args(["deny", "--config", DENY_CONFIG, "fetch", "db"]);
    if !child::succeeds_within(&mut fetch, ADVISORIES_PATIENCE) {
        return Outcome::Skipped("no database".into());
    }
    let arguments =
        ["deny", "--config", DENY_CONFIG, "check", "--hide-inclusion-graph", "--disable-fetch", "advisories"];
    Outcome::of(cargo(root, &arguments, "a dependency has a known problem"))
}

fn cargo(root: &Path, arguments: &[&str], advice: &str) -> Result<(), String> {
    must_end_well(place::cargo(root).args(arguments), advice)
}

fn must_end_well(command: &mut Command, advice: &str) -> Result<(), String> {
    let status = child::show(command)?;
    if status.success() { Ok(()) } else { Err(advice.to_owned()) }
}

/// At most this many problems are printed; the rest is counted.
const PROBLEMS_SHOWN_MAX: usize = 20;

/// `Ok` when there are no problems; otherwise all of them as one text.
fn none(problems: &[String]) -> Result<(), String> {
    if problems.is_empty() {
        return Ok(());
    }
    let shown = problems.iter().take(PROBLEMS_SHOWN_MAX).fold(String::new(), |text, problem| text + "\n    " + problem);
    Err(format!("{} {}{shown}", problems.len(), if problems.len() == 1 { "problem" } else { "problems" }))
}
