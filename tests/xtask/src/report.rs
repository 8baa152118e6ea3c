//! What passed and what failed, over all parts, and the closing line that people and machines read.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// Counts of tests; a lint step counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed, crashed or never started.
    pub failed: u64,
    /// Tests that were left out, each with its reason on the screen.
    pub skipped: u64,
}

impl Tally {
    /// One test that passed.
    pub const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    /// One test that failed.
    pub const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };
    /// One test that was left out.
    pub const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// The closing line: `12 passed, 0 failed`, and `, 1 skipped` when something was.
impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(out, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// How one step ended.
#[derive(Debug)]
pub enum Outcome {
    /// A test runner's counts.
    Counted(Tally),
    /// A check that holds.
    Passed,
    /// A check that does not hold, and what somebody can do about it.
    Failed(String),
    /// A check that could not be made, and why.
    Skipped(String),
}

impl Outcome {
    /// From a check that says what is wrong.
    pub fn of(checked: Result<(), String>) -> Self {
        checked.map_or_else(Self::Failed, |()| Self::Passed)
    }

    /// Its counts.
    pub fn tally(&self) -> Tally {
        match self {
            Self::Counted(tally) => *tally,
            Self::Passed => Tally::PASSED,
            Self::Failed(_) => Tally::FAILED,
            Self::Skipped(_) => Tally::SKIPPED,
        }
    }
}

/// One line of the report.
struct Line {
    name: String,
    outcome: Outcome,
    took: Duration,
}

/// All steps so far.
#[derive(Default)]
pub struct Report {
    lines: Vec<Line>,
}

impl Report {
    /// Notes how a step ended, and says so on the screen.
    pub fn add(&mut self, name: &str, outcome: Outcome, took: Duration) {
        let line = Line { name: name.to_owned(), outcome, took };
        println!("{line}");
        self.lines.push(line);
    }

    /// The counts over all steps.
    pub fn tally(&self) -> Tally {
        self.lines.iter().fold(Tally::default(), |sum, line| sum + line.outcome.tally())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "  {:<28} {:>6.1} s  ", self.name, self.took.as_secs_f64())?;
        match &self.outcome {
            Outcome::Counted(tally) => write!(out, "{tally}"),
            Outcome::Passed => out.write_str("ok"),
            Outcome::Failed(reason) => write!(out, "FAILED: {reason}"),
            Outcome::Skipped(reason) => write!(out, "skipped ({reason})"),
        }
    }
}

/// All steps again, below everything that the parts printed, and the closing line alone as the last one.
impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(out, "{line}")?;
        }
        write!(out, "\n{}", self.tally())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_stands_alone_at_the_end_and_counts_everything() {
        let mut report = Report::default();
        report.add("format", Outcome::Passed, Duration::ZERO);
        report.add("core", Outcome::Counted(Tally { passed: 40, failed: 0, skipped: 0 }), Duration::ZERO);
        assert_eq!(report.to_string().lines().last(), Some("41 passed, 0 failed"));
        report.add("licences", Outcome::Failed("two lines\nof text".into()), Duration::ZERO);
        report.add("advisories", Outcome::Skipped("no database".into()), Duration::ZERO);
        assert_eq!(report.to_string().lines().last(), Some("41 passed, 1 failed, 1 skipped"));
        assert!(report.to_string().contains("skipped (no database)"));
    }
}
