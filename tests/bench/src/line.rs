//! One result: a line of JSON.

use std::collections::BTreeMap;
use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The workloads. What each is stands in `tests/bench/README.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum Workload {
    /// A fresh phone: first screen, and all documents.
    W1,
    /// Nothing changed.
    W2,
    /// A week offline.
    W3,
    /// Many phones come back at once.
    W4,
    /// A live meeting.
    W5,
    /// Acknowledged changes a second, then a kill.
    W6,
    /// Start to first synced document.
    W7,
    /// A live meeting with readers that don't read.
    W8,
    /// Memory of the server.
    W9,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::W1, Self::W2, Self::W3, Self::W4, Self::W5, Self::W6, Self::W7, Self::W8, Self::W9];

    /// What it is, in a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::W1 => "a fresh phone",
            Self::W2 => "nothing changed",
            Self::W3 => "a week offline",
            Self::W4 => "a storm of phones",
            Self::W5 => "a live meeting",
            Self::W6 => "acknowledged changes, then a kill",
            Self::W7 => "start to first document",
            Self::W8 => "readers that do not read",
            Self::W9 => "memory of the server",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What became of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was measured.
    Ok,
    /// It went wrong.
    Failed,
    /// The system can't be installed or started here.
    Skipped,
}

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Which workload.
    pub workload: Workload,
    /// Which form of it, as `cold` and `warm` of W1; empty where there is one.
    pub form: String,
    /// Whose server.
    pub system: String,
    /// Documents in the wijk.
    pub docs: usize,
    /// Phones.
    pub phones: usize,
    /// Which run, from 0.
    pub run: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it failed or was skipped, or what must be known to read it.
    pub note: Option<String>,
    /// From the first packet until all was where it belongs, in milliseconds.
    pub wall_ms: Option<f64>,
    /// Processor seconds of the server, until it had settled.
    pub server_cpu_s: Option<f64>,
    /// Processor seconds of the phones.
    pub client_cpu_s: Option<f64>,
    /// Bytes of WebSocket payload from the phones.
    pub bytes_up: Option<u64>,
    /// Bytes of WebSocket payload to the phones.
    pub bytes_down: Option<u64>,
    /// Times the phones spoke and waited.
    pub round_trips: Option<u64>,
    /// Most resident memory of the server, in MiB.
    pub server_peak_mib: Option<f64>,
    /// What else was measured; the unit is the end of the name.
    #[serde(flatten)]
    pub more: BTreeMap<String, f64>,
}

impl Line {
    /// A line without figures yet.
    pub fn new(workload: Workload, form: &str, system: &str, size: (usize, usize), run: usize) -> Self {
        let (docs, phones) = size;
        Self {
            workload,
            form: form.to_owned(),
            system: system.to_owned(),
            docs,
            phones,
            run,
            outcome: Outcome::Ok,
            note: None,
            wall_ms: None,
            server_cpu_s: None,
            client_cpu_s: None,
            bytes_up: None,
            bytes_down: None,
            round_trips: None,
            server_peak_mib: None,
            more: BTreeMap::new(),
        }
    }

    /// The same, as failed or skipped for a reason.
    #[must_use]
    pub fn without_result(mut self, outcome: Outcome, reason: impl fmt::Display) -> Self {
        self.outcome = outcome;
        self.note = Some(reason.to_string());
        self
    }

    /// Adds a figure.
    pub fn set(&mut self, name: &str, value: f64) {
        // JSON knows no infinities.
        if value.is_finite() {
            self.more.insert(name.to_owned(), value);
        }
    }
}

/// Milliseconds of a duration.
pub fn ms(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The value below which this part of the values lies (0.5: the median). `None` without values.
pub fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1)) as f64 * part;
    sorted.get(at.round() as usize).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives_json_with_all_it_measured() {
        let mut line = Line::new(Workload::W1, "cold", "ours", (50, 1), 2);
        line.wall_ms = Some(1.5);
        line.set("first_screen_ms", 0.5);
        line.set("nothing", f64::NAN);
        let text = serde_json::to_string(&line).unwrap();
        let back: Line = serde_json::from_str(&text).unwrap();
        assert_eq!(back.more.get("first_screen_ms"), Some(&0.5));
        assert!(back.more.len() == 1 && back.wall_ms == Some(1.5) && back.workload == Workload::W1);
    }

    #[test]
    fn the_median_lies_in_the_middle() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 1.0), Some(3.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
