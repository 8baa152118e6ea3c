//! `cargo xtask bench-border`: what it costs that a list of 1,000 contributions comes to Kotlin and to Python as typed objects.
//!
//! A release build of the library, a wijk that others filled, no network while it is measured. What the core itself takes is in the
//! numbers. The measuring is done by `mobile-bindings/python/bench/border.py` and `Border.kt`.

use std::path::Path;
use std::process::{Command, ExitCode};

use super::{Built, build_program, kotlin, python};
use crate::setup::{self, Need};
use crate::{child, place};

/// What such a list may take in Kotlin on the JVM, in microseconds: a third of one frame of a screen that shows sixty a second.
const KOTLIN_US_MAX: u64 = 5000;

/// Where the benchmark stands.
const SCRIPT: &str = "mobile-bindings/python/bench/border.py";

/// Builds, measures, prints; fails when Kotlin's list takes longer than it may.
pub fn run(root: &Path) -> Result<ExitCode, String> {
    setup::ensure(&[Need::Compiler, Need::Python, Need::Java, Need::Jna, Need::Npm])?;
    build_program(root)?;
    let built = Built::make(root, "release")?;
    let kotlin = kotlin::compile(root, &built)?;
    let mut bench = Command::new(python::installed(root, &built)?);
    bench.arg(root.join(SCRIPT)).env("PYTHONDONTWRITEBYTECODE", "1");
    bench.env("SAMENSPRAAK_PROGRAM", place::program(root, "debug"));
    bench.env("SAMENSPRAAK_KOTLIN_BORDER", kotlin.command("samenspraak.BorderKt"));
    let printed = child::read(&mut bench)?;
    let took =
        |language| Took::read(&printed, language).ok_or_else(|| format!("{language} printed no numbers: {printed}"));
    let (in_kotlin, in_python) = (took("kotlin")?, took("python")?);
    println!("\nOne list of 1,000 contributions, milliseconds: median, 95th percentile");
    for (language, took) in [("Kotlin on the JVM", in_kotlin), ("Python", in_python)] {
        println!("  {language:<20} {:>6.2} {:>6.2}", milliseconds(took.median_us), milliseconds(took.p95_us));
    }
    println!("  it may take          {:>6.2} in Kotlin", milliseconds(KOTLIN_US_MAX));
    Ok(if in_kotlin.median_us < KOTLIN_US_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn milliseconds(microseconds: u64) -> f64 {
    std::time::Duration::from_micros(microseconds).as_secs_f64() * 1000.0
}

/// What was measured in one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Took {
    median_us: u64,
    p95_us: u64,
}

impl Took {
    fn read(printed: &str, language: &str) -> Option<Self> {
        let words = printed.lines().find_map(|line| line.strip_prefix(language))?;
        let (median, p95) = words.trim_start().split_once(' ')?;
        Some(Self { median_us: median.parse().ok()?, p95_us: p95.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_that_prints_no_numbers_has_measured_nothing() {
        let printed = "kotlin 4100 5200\npython many 1\n";
        assert_eq!(Took::read(printed, "kotlin"), Some(Took { median_us: 4100, p95_us: 5200 }));
        assert_eq!(Took::read(printed, "python"), None);
        assert_eq!(Took::read("", "kotlin"), None);
    }
}
