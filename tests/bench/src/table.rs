//! Results as tables in Markdown: medians, their spread, and how ours compares with the best peer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::line::{Line, Outcome, Workload, quantile};
use crate::metric::{self, Better, Metric};
use crate::ours::SYSTEM;

/// What is compared with each other: the same workload at the same size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scene {
    /// The workload.
    pub workload: Workload,
    /// Its form.
    pub form: String,
    /// Documents.
    pub docs: usize,
    /// Phones.
    pub phones: usize,
}

/// One scene with its lines, by system.
pub type Scenes<'l> = BTreeMap<Scene, BTreeMap<&'l str, Vec<&'l Line>>>;

/// Sorts lines into scenes. Peers that start from what they find on disk know no clean stop, so their restart stands in both
/// forms; their one document of a meeting or of a lane counts as ours.
pub fn scenes(lines: &[Line]) -> Scenes<'_> {
    let mut scenes = Scenes::new();
    let mut sizes: BTreeMap<(Workload, usize), usize> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.system == SYSTEM && line.outcome == Outcome::Ok) {
        sizes.insert((line.workload, line.phones), line.docs);
    }
    for line in lines.iter().filter(|line| line.outcome == Outcome::Ok) {
        let docs = match line.workload {
            Workload::W5 | Workload::W6 => sizes.get(&(line.workload, line.phones)).copied().unwrap_or(line.docs),
            _ => line.docs,
        };
        let scene = |form: &str| Scene { workload: line.workload, form: form.to_owned(), docs, phones: line.phones };
        let mut forms = vec![line.form.as_str()];
        if line.workload == Workload::W7 && line.system != SYSTEM {
            forms.push("stopped");
        }
        for form in forms {
            scenes.entry(scene(form)).or_default().entry(line.system.as_str()).or_default().push(line);
        }
    }
    scenes
}

/// A median with the smallest and the largest.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The median.
    pub median: f64,
    low: f64,
    high: f64,
}

/// What a metric was over all runs; `None` where it wasn't measured.
pub fn spread(metric: &Metric, lines: &[&Line]) -> Option<Spread> {
    let values: Vec<f64> = lines.iter().filter_map(|line| metric.of(line)).collect();
    Some(Spread { median: quantile(&values, 0.5)?, low: quantile(&values, 0.0)?, high: quantile(&values, 1.0)? })
}

fn number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 && value.fract() != 0.0 => format!("{value:.2}"),
        medium if medium < 100.0 && value.fract() != 0.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{:.0}", value.abs());
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at) % 3 == 0 {
                    grouped.push(' ');
                }
                grouped.push(digit);
            }
            if value < 0.0 { format!("-{grouped}") } else { grouped }
        }
    }
}

impl Spread {
    fn show(&self) -> String {
        let close = (self.high - self.low).abs() <= 0.02 * self.median.abs();
        match close {
            true => number(self.median),
            false => format!("{} ({}–{})", number(self.median), number(self.low), number(self.high)),
        }
    }
}

/// How ours compares with the best peer in one metric, and which peer that is.
pub fn against_best(metric: &Metric, systems: &BTreeMap<&str, Vec<&Line>>) -> Option<(f64, String)> {
    let ours = spread(metric, systems.get(SYSTEM)?)?.median;
    let peers = systems.iter().filter(|(system, _)| **system != SYSTEM);
    let figures = peers.filter_map(|(system, lines)| Some((spread(metric, lines)?.median, *system)));
    let best = match metric.better {
        Better::Less => figures.min_by(|a, b| a.0.total_cmp(&b.0))?,
        Better::More => figures.max_by(|a, b| a.0.total_cmp(&b.0))?,
        Better::Neither => return None,
    };
    (best.0 > 0.0).then(|| (ours / best.0, best.1.to_owned()))
}

fn heading(scene: &Scene) -> String {
    let form = if scene.form.is_empty() { String::new() } else { format!(" ({})", scene.form) };
    format!("{} — {}{form}; D = {}, C = {}", scene.workload, scene.workload.title(), scene.docs, scene.phones)
}

/// All tables.
pub fn markdown(lines: &[Line]) -> String {
    let mut text = String::new();
    for (scene, systems) in scenes(lines) {
        let metrics = metric::of(scene.workload);
        // Writing to memory can't fail.
        let _ = writeln!(text, "### {}\n", heading(&scene));
        let _ = writeln!(text, "| system | runs | {} |", join(metrics.iter().map(|metric| metric.heading.to_owned())));
        let _ = writeln!(text, "|---|---:|{}", "---:|".repeat(metrics.len()));
        let order = systems.keys().filter(|system| **system == SYSTEM).chain(systems.keys().filter(|s| **s != SYSTEM));
        for system in order {
            let lines = systems.get(system).map_or(&[][..], Vec::as_slice);
            let cells =
                metrics.iter().map(|metric| spread(metric, lines).map_or("–".to_owned(), |spread| spread.show()));
            let _ = writeln!(text, "| {system} | {} | {} |", lines.len(), join(cells));
        }
        if systems.len() > 1 && systems.contains_key(SYSTEM) {
            let cells = metrics.iter().map(|metric| match against_best(metric, &systems) {
                Some((ratio, peer)) => format!("**{ratio:.3}** {peer}"),
                None => "–".to_owned(),
            });
            let _ = writeln!(text, "| ours ÷ best peer | | {} |", join(cells));
        }
        text.push('\n');
    }
    text.push_str(&without_result(lines));
    text
}

fn join(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(" | ")
}

/// What has no figure, and why.
fn without_result(lines: &[Line]) -> String {
    let missing: BTreeSet<(Workload, &str, &str, &str)> = lines
        .iter()
        .filter(|line| line.outcome != Outcome::Ok)
        .map(|line| {
            let outcome = if line.outcome == Outcome::Failed { "failed" } else { "skipped" };
            (line.workload, line.system.as_str(), outcome, line.note.as_deref().unwrap_or_default())
        })
        .collect();
    let mut text = String::new();
    if !missing.is_empty() {
        text.push_str("### Without a figure\n\n| workload | system | | why |\n|---|---|---|---|\n");
        for (workload, system, outcome, why) in missing {
            let _ = writeln!(text, "| {workload} | {system} | {outcome} | {} |", why.replace('|', "/"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn line(system: &str, run: usize, wall_ms: f64) -> Line {
        let mut line = Line::new(Workload::W2, "", system, (50, 1), run);
        line.wall_ms = Some(wall_ms);
        line
    }

    #[test]
    fn ours_is_compared_with_the_best_peer_by_medians() {
        let lines = [
            line(SYSTEM, 0, 9.0),
            line(SYSTEM, 1, 10.0),
            line(SYSTEM, 2, 400.0),
            line("samod", 0, 20.0),
            line("pouchdb", 0, 200.0),
        ];
        let all = scenes(&lines);
        let (_, systems) = all.first_key_value().unwrap();
        let wall = &metric::of(Workload::W2)[0];
        assert_eq!(against_best(wall, systems), Some((0.5, "samod".to_owned())));
        let text = markdown(&lines);
        assert!(text.contains("10 (9–400)") && text.contains("**0.500** samod"), "{text}");
    }

    #[test]
    fn what_failed_is_named_and_gives_no_figure() {
        let failed = line("samod", 0, 1.0).without_result(Outcome::Failed, "it never came up");
        let lines = [line(SYSTEM, 0, 9.0), failed];
        let text = markdown(&lines);
        assert!(text.contains("| W2 | samod | failed | it never came up |"), "{text}");
        assert!(!text.contains("best peer"), "{text}");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(1234567.4), "1 234 567");
        assert_eq!([number(0.1234), number(12.34), number(3.0)], ["0.12", "12.3", "3"]);
    }
}
