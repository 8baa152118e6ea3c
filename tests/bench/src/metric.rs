//! Which figures of a workload are shown, in which unit, and which way is better.

use crate::line::{Line, Workload};

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less.
    Less,
    /// More.
    More,
    /// Neither: a fact beside the figures.
    Neither,
}

/// One column.
pub struct Metric {
    /// Its heading, with the unit.
    pub heading: &'static str,
    /// Which way is better.
    pub better: Better,
    value: fn(&Line) -> Option<f64>,
}

impl Metric {
    const fn less(heading: &'static str, value: fn(&Line) -> Option<f64>) -> Self {
        Self { heading, better: Better::Less, value }
    }

    /// Its value in a line.
    pub fn of(&self, line: &Line) -> Option<f64> {
        (self.value)(line)
    }
}

fn more(line: &Line, name: &str) -> Option<f64> {
    line.more.get(name).copied()
}

const WALL: Metric = Metric::less("wall ms", |line| line.wall_ms);
const SERVER_CPU: Metric = Metric::less("server CPU ms", |line| line.server_cpu_s.map(|s| s * 1e3));
const CLIENT_CPU: Metric = Metric::less("phones' CPU ms", |line| line.client_cpu_s.map(|s| s * 1e3));
const UP: Metric = Metric::less("up kB", |line| line.bytes_up.map(|bytes| bytes as f64 / 1e3));
const DOWN: Metric = Metric::less("down kB", |line| line.bytes_down.map(|bytes| bytes as f64 / 1e3));
const TRIPS: Metric = Metric::less("trips", |line| line.round_trips.map(|trips| trips as f64));
const PEAK: Metric = Metric::less("server peak MiB", |line| line.server_peak_mib);

/// The columns of a workload; the first is the one that is plotted first.
pub fn of(workload: Workload) -> Vec<Metric> {
    match workload {
        Workload::W1 => vec![
            Metric::less("first screen ms", |line| more(line, "first_screen_ms")),
            Metric { heading: "all ms", ..WALL },
            Metric::less("every title ms", |line| more(line, "every_title_ms")),
            SERVER_CPU,
            CLIENT_CPU,
            UP,
            DOWN,
            TRIPS,
            PEAK,
        ],
        Workload::W2 | Workload::W3 => vec![WALL, SERVER_CPU, CLIENT_CPU, UP, DOWN, TRIPS, PEAK],
        Workload::W4 => vec![
            Metric { heading: "all have all ms", ..WALL },
            Metric::less("last receipt ms", |line| more(line, "acked_max_ms")),
            SERVER_CPU,
            CLIENT_CPU,
            UP,
            DOWN,
            TRIPS,
            PEAK,
        ],
        Workload::W5 => vec![
            Metric::less("p50 ms", |line| more(line, "p50_ms")),
            Metric::less("p99 ms", |line| more(line, "p99_ms")),
            Metric::less("receipt p50 ms", |line| more(line, "acked_p50_ms")),
            SERVER_CPU,
            UP,
            DOWN,
            PEAK,
        ],
        Workload::W6 => vec![
            Metric { heading: "acknowledged/s", better: Better::More, value: |line| more(line, "acknowledged_per_s") },
            Metric::less("lost after kill -9", |line| more(line, "lost")),
            Metric::less("p50 ms", |line| more(line, "acked_p50_ms")),
            Metric::less("p99 ms", |line| more(line, "acked_p99_ms")),
            Metric::less("server CPU µs each", |line| {
                Some(line.server_cpu_s? * 1e6 / more(line, "acknowledged").filter(|count| *count > 0.0)?)
            }),
            PEAK,
        ],
        Workload::W7 => vec![
            Metric { heading: "first document ms", ..WALL },
            Metric::less("first answer ms", |line| more(line, "first_answer_ms")),
            Metric::less("slowest ms", |line| more(line, "slowest_ms")),
            SERVER_CPU,
            Metric { heading: "server MiB", ..PEAK },
        ],
        Workload::W8 => vec![
            Metric::less("p50 ms", |line| more(line, "p50_ms")),
            Metric::less("p99 ms", |line| more(line, "p99_ms")),
            Metric::less("p50 ÷ alone", |line| more(line, "p50_to_alone_ratio")),
            Metric::less("p50 ÷ beside readers", |line| more(line, "p50_to_readers_ratio")),
            Metric::less("p99 ÷ beside readers", |line| more(line, "p99_to_readers_ratio")),
            SERVER_CPU,
            PEAK,
        ],
        Workload::W9 => vec![
            Metric::less("resident MiB", |line| more(line, "server_resident_mib")),
            PEAK,
            Metric { heading: "wall ms", better: Better::Neither, ..WALL },
        ],
    }
}
