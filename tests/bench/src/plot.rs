//! One picture a workload (SVG): a bar for each system in each figure, and lines where several sizes were measured.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::prelude::*;

use crate::line::{Line, Workload};
use crate::metric::{self, Better, Metric};
use crate::ours::SYSTEM;
use crate::problem::Problem;
use crate::table::{Scene, scenes, spread};

const WIDTH: u32 = 980;
const BAR: i32 = 18;
/// Space for names on the left, and for numbers on the right of a bar.
const LEFT: i32 = 190;
const RIGHT: i32 = 140;
const LETTERS: i32 = 13;
const OURS: RGBColor = RGBColor(0x1b, 0x7f, 0x4d);
const PEER: RGBColor = RGBColor(0x8a, 0x93, 0x9c);
/// Colours of lines, ours first.
const LINES: [RGBColor; 5] = [
    OURS,
    RGBColor(0xb0, 0x3a, 0x2e),
    RGBColor(0x2e, 0x6d, 0xa4),
    RGBColor(0x7d, 0x3c, 0x98),
    RGBColor(0xb7, 0x95, 0x0b),
];

fn drawing(problem: impl std::fmt::Display) -> Problem {
    format!("a plot can't be drawn: {problem}").into()
}

/// Draws every workload that has figures; returns the names of the files.
///
/// # Errors
/// When a file can't be written.
pub fn draw(lines: &[Line], folder: &Path) -> Result<Vec<String>, Problem> {
    std::fs::create_dir_all(folder)?;
    let all = scenes(lines);
    let mut files = Vec::new();
    for workload in Workload::ALL {
        let of_it: Vec<_> = all.iter().filter(|(scene, _)| scene.workload == workload).collect();
        if !of_it.is_empty() {
            let name = format!("{workload}.svg");
            bars(&folder.join(&name), &of_it)?;
            files.push(name);
        }
    }
    Ok(files)
}

type OfScene<'l> = (&'l Scene, &'l BTreeMap<&'l str, Vec<&'l Line>>);

/// Bars: one block for each scene and figure, each with a scale of its own.
fn bars(file: &Path, all: &[OfScene<'_>]) -> Result<(), Problem> {
    let mut blocks: Vec<(String, Vec<(String, f64)>)> = Vec::new();
    for (scene, systems) in all {
        for metric in metric::of(scene.workload).iter().filter(|metric| metric.better != Better::Neither).take(4) {
            let mut values: Vec<(String, f64)> = systems
                .iter()
                .filter_map(|(system, lines)| Some(((*system).to_owned(), spread(metric, lines)?.median)))
                .collect();
            values.sort_by_key(|(system, _)| (system != SYSTEM, system.clone()));
            let form = if scene.form.is_empty() { String::new() } else { format!(" {}", scene.form) };
            let heading =
                format!("{}{form}, D = {}, C = {}: {}", scene.workload, scene.docs, scene.phones, metric.heading);
            if !values.is_empty() {
                blocks.push((heading, values));
            }
        }
    }
    let rows: usize = blocks.iter().map(|(_, values)| values.len() + 2).sum();
    let height = u32::try_from(rows)? * BAR.unsigned_abs() + 20;
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE).map_err(drawing)?;
    let (heads, words) = (("sans-serif", LETTERS + 1).into_font().color(&BLACK), ("sans-serif", LETTERS).into_font());
    let mut y = 12;
    for (heading, values) in blocks {
        area.draw(&Text::new(heading, (10, y), heads.clone())).map_err(drawing)?;
        y += BAR;
        let most = values.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        for (system, value) in values {
            let length = (value / most * f64::from(WIDTH as i32 - LEFT - RIGHT)).round() as i32;
            let colour = if system == SYSTEM { OURS } else { PEER };
            area.draw(&Text::new(system, (20, y + 2), words.clone())).map_err(drawing)?;
            let bar = [(LEFT, y + 2), (LEFT + length.max(1), y + BAR - 3)];
            area.draw(&Rectangle::new(bar, colour.filled())).map_err(drawing)?;
            let shown = if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
            area.draw(&Text::new(shown, (LEFT + length + 6, y + 2), words.clone())).map_err(drawing)?;
            y += BAR;
        }
        y += BAR;
    }
    area.present().map_err(drawing)
}

/// One figure of one system over sizes.
pub struct Growth {
    /// The system.
    pub system: String,
    /// Size and value.
    pub points: Vec<(f64, f64)>,
}

/// Draws how a figure grows with the size, both on a logarithmic scale.
///
/// # Errors
/// When the file can't be written.
pub fn growth(file: &Path, title: &str, across: &str, metric: &Metric, all: &[Growth]) -> Result<(), Problem> {
    let points = || all.iter().flat_map(|growth| growth.points.iter());
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (x, y) = (bounds(&mut points().map(|point| point.0)), bounds(&mut points().map(|point| point.1.max(1e-3))));
    if !x.0.is_finite() {
        return Ok(());
    }
    let area = SVGBackend::new(file, (WIDTH, 520)).into_drawing_area();
    area.fill(&WHITE).map_err(drawing)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(72)
        .build_cartesian_2d((x.0 * 0.9..x.1 * 1.1).log_scale(), (y.0 * 0.8..y.1 * 1.25).log_scale())
        .map_err(drawing)?;
    chart.configure_mesh().x_desc(across).y_desc(metric.heading).draw().map_err(drawing)?;
    for (at, of) in all.iter().enumerate() {
        let colour = LINES[at % LINES.len()];
        let series = LineSeries::new(of.points.iter().copied(), colour.stroke_width(2)).point_size(4);
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2));
        chart.draw_series(series).map_err(drawing)?.label(of.system.clone()).legend(legend);
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw().map_err(drawing)?;
    area.present().map_err(drawing)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_workload_with_figures_is_drawn_with_its_systems() {
        let folder = std::env::temp_dir().join(format!("samenspraak-plot-{}", std::process::id()));
        let mut lines = Vec::new();
        for (system, wall_ms) in [(SYSTEM, 3.0), ("samod", 30.0)] {
            let mut line = Line::new(Workload::W2, "", system, (50, 1), 0);
            line.wall_ms = Some(wall_ms);
            lines.push(line);
        }
        let files = draw(&lines, &folder).unwrap();
        let text = std::fs::read_to_string(folder.join("W2.svg")).unwrap();
        let growing = [Growth { system: "samod".to_owned(), points: vec![(10.0, 1.0), (100.0, 20.0)] }];
        growth(&folder.join("g.svg"), "t", "documents", &metric::of(Workload::W2)[0], &growing).unwrap();
        let grown = std::fs::read_to_string(folder.join("g.svg")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(files, ["W2.svg"]);
        assert!(text.contains(SYSTEM) && text.contains("samod") && text.contains("30"), "{text}");
        assert!(grown.contains("polyline") && grown.contains("documents"));
    }
}
