//! How figures grow: the same workloads at more and more documents and phones, and the size from which a system takes more
//! than its share.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::line::{Line, Outcome, Workload};
use crate::metric::{self, Metric};
use crate::plan::Group;
use crate::plot::{self, Growth};
use crate::problem::Problem;

/// Documents of each step.
pub const DOCS: [usize; 5] = [100, 1000, 5000, 20_000, 50_000];
/// Phones of each storm.
pub const PHONES: [usize; 8] = [10, 20, 50, 100, 200, 500, 1000, 2000];
/// A system whose last step took longer than this is not taken further.
pub const STEP_MAX: Duration = Duration::from_secs(240);
/// Twice the size may cost a little more than twice: the knee is where the exponent between two steps is larger than this.
const EXPONENT_MAX: f64 = 1.25;

/// One step: a size, and what is measured there.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Documents, or the default for storms.
    pub docs: Option<usize>,
    /// Phones, or the default.
    pub phones: Option<usize>,
    /// What is measured.
    pub group: Group,
}

/// All steps up to these sizes, small ones first.
pub fn steps(docs_max: usize, phones_max: usize) -> Vec<Step> {
    let docs = DOCS
        .into_iter()
        .filter(|docs| *docs <= docs_max)
        .flat_map(|docs| [Group::CatchUp, Group::Restart].map(|group| Step { docs: Some(docs), phones: None, group }));
    let phones = PHONES.into_iter().filter(|phones| *phones <= phones_max);
    docs.chain(phones.map(|phones| Step { docs: None, phones: Some(phones), group: Group::Storm })).collect()
}

/// Which systems still take part in a kind of step.
#[derive(Default)]
pub struct Stamina {
    tired: BTreeMap<(String, String), String>,
}

impl Stamina {
    /// Why a system doesn't take part any more.
    pub fn tired(&self, system: &str, group: Group) -> Option<&str> {
        self.tired.get(&(system.to_owned(), group.name())).map(String::as_str)
    }

    /// Notes how long a step took, and whether it gave results.
    pub fn note(&mut self, system: &str, group: Group, begun: Instant, lines: &[Line]) {
        let failed = lines.iter().any(|line| line.outcome == Outcome::Failed);
        let why = match (failed, begun.elapsed() > STEP_MAX) {
            (true, _) => "the step before failed".to_owned(),
            (_, true) => format!("the step before took longer than {} s", STEP_MAX.as_secs()),
            _ => return,
        };
        self.tired.insert((system.to_owned(), group.name()), why);
    }
}

/// What is shown of the growth: workload, form, and whether across documents (or phones).
const SHOWN: [(Workload, &str, bool); 6] = [
    (Workload::W1, "cold", true),
    (Workload::W2, "", true),
    (Workload::W3, "", true),
    (Workload::W7, "stopped", true),
    (Workload::W7, "killed", true),
    (Workload::W4, "", false),
];

/// Tables with knees, and plots in `folder`.
///
/// # Errors
/// When a plot can't be written.
pub fn describe(lines: &[Line], folder: &Path) -> Result<String, Problem> {
    std::fs::create_dir_all(folder)?;
    let mut text = String::new();
    for (workload, form, across_docs) in SHOWN {
        let metrics = metric::of(workload);
        for metric in metrics.iter().filter(|metric| is_shown(workload, metric)) {
            let grown = gather(lines, workload, form, across_docs, metric);
            if grown.iter().all(|growth| growth.points.len() < 2) {
                continue;
            }
            let across = if across_docs { "documents" } else { "phones" };
            let name = format!("{workload}{}{form}", if form.is_empty() { "" } else { " " });
            table(&mut text, &name, across, metric, &grown);
            let file = format!("growth-{name}-{}.svg", metric.heading).replace([' ', '/'], "-");
            plot::growth(&folder.join(&file), &format!("{name}: {}", metric.heading), across, metric, &grown)?;
            let _ = writeln!(text, "![{name}](plots/{file})\n");
        }
    }
    Ok(if text.is_empty() { text } else { format!("## Growth\n\n{text}") })
}

/// Time and processor time; bytes grow with what was written.
fn is_shown(workload: Workload, metric: &Metric) -> bool {
    match workload {
        Workload::W7 => metric.heading == "first answer ms",
        _ => {
            metric.heading.ends_with(" ms") && metric.heading != "phones' CPU ms" && metric.heading != "last receipt ms"
        }
    }
}

fn gather(lines: &[Line], workload: Workload, form: &str, across_docs: bool, metric: &Metric) -> Vec<Growth> {
    let mut all: BTreeMap<String, BTreeMap<usize, f64>> = BTreeMap::new();
    let of_it =
        lines.iter().filter(|line| line.workload == workload && line.form == form && line.outcome == Outcome::Ok);
    for line in of_it {
        let size = if across_docs { line.docs } else { line.phones };
        if let Some(value) = metric.of(line) {
            all.entry(line.system.clone()).or_default().insert(size, value);
        }
    }
    let points = |sizes: BTreeMap<usize, f64>| sizes.into_iter().map(|(size, value)| (size as f64, value)).collect();
    let mut grown: Vec<Growth> =
        all.into_iter().map(|(system, sizes)| Growth { system, points: points(sizes) }).collect();
    grown.sort_by_key(|growth| (growth.system != crate::ours::SYSTEM, growth.system.clone()));
    grown
}

/// The first size from which more costs more than its share, and the exponent there.
pub fn knee(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    points.windows(2).find_map(|pair| {
        let ((size, value), (next_size, next_value)) = (pair[0], pair[1]);
        let exponent = (next_value / value).ln() / (next_size / size).ln();
        (exponent > EXPONENT_MAX).then_some((size, exponent))
    })
}

fn table(text: &mut String, name: &str, across: &str, metric: &Metric, grown: &[Growth]) {
    let mut sizes: Vec<f64> = grown.iter().flat_map(|growth| growth.points.iter().map(|point| point.0)).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    // Writing to memory can't fail.
    let _ = writeln!(text, "### {name}: {} across {across}\n", metric.heading);
    let heads: Vec<String> = sizes.iter().map(|size| format!("{size}")).collect();
    let _ = writeln!(text, "| system | {} | knee |\n|---|{}---|", heads.join(" | "), "---:|".repeat(sizes.len()));
    for growth in grown {
        let cells: Vec<String> = sizes
            .iter()
            .map(|size| growth.points.iter().find(|point| point.0 == *size))
            .map(|point| point.map_or("–".to_owned(), |point| format!("{:.1}", point.1)))
            .collect();
        let knee = match knee(&growth.points) {
            Some((size, exponent)) => format!("at {size} (then as size^{exponent:.1})"),
            None => "none seen".to_owned(),
        };
        let _ = writeln!(text, "| {} | {} | {knee} |", growth.system, cells.join(" | "));
    }
    text.push('\n');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_knee_is_where_more_costs_more_than_its_share() {
        assert_eq!(knee(&[(100.0, 1.0), (1000.0, 10.0), (5000.0, 51.0)]), None);
        let (size, exponent) = knee(&[(100.0, 1.0), (1000.0, 10.0), (10_000.0, 1000.0)]).unwrap();
        assert!(size == 1000.0 && (exponent - 2.0).abs() < 1e-9);
    }

    #[test]
    fn sizes_beyond_what_was_asked_are_left_out() {
        let all = steps(1000, 20);
        assert_eq!(all.iter().filter(|step| step.docs.is_some()).count(), 4);
        assert_eq!(all.iter().filter_map(|step| step.phones).collect::<Vec<_>>(), [10, 20]);
    }
}
