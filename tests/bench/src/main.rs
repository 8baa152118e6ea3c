//! The benchmark: our server and phones beside what people would use instead, in one run.
//!
//! `cargo xtask bench` builds and starts it. It measures and writes down; it never judges, and a system that fails is a row
//! that says so. Look at `kept` for what is in a wijk, `ours` for our side, `line` for what a result is.

#![allow(dead_code, reason = "the table uses the rest, in the next commit")]

mod author;
mod documents;
mod kept;
mod lean;
mod line;
mod live;
mod ours;
mod plan;
mod problem;
mod process;
mod serving;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use line::{Line, Workload};
use ours::Setting;
use plan::{Group, Sizes};
use problem::Problem;

/// What is measured, and how large.
#[derive(Parser)]
#[command(name = "samenspraak-bench")]
struct Options {
    /// Only these workloads, as in W1,W5
    #[arg(long, value_delimiter = ',')]
    only: Vec<Workload>,
    /// Repetitions, all systems taking turns
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[command(flatten)]
    sizes: Sizes,
    /// One result a line is written here as well
    #[arg(long)]
    json: Option<PathBuf>,
    /// From which documents and choices follow
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Make kept wijken anew
    #[arg(long)]
    fresh: bool,
    /// The program `samenspraak`
    #[arg(long)]
    program: PathBuf,
    /// Where wijken are kept and copied to
    #[arg(long)]
    data: PathBuf,
}

impl Options {
    fn wanted(&self) -> Vec<Workload> {
        let wants = |workload: &Workload| self.only.is_empty() || self.only.contains(workload);
        Workload::ALL.into_iter().filter(wants).collect()
    }
}

fn show(lines: &[Line]) {
    for line in lines {
        match serde_json::to_string(line) {
            Ok(text) => println!("{text}"),
            Err(problem) => println!("a line that can't be written: {problem}"),
        }
    }
}

async fn all(options: &Options) -> Result<Vec<Line>, Problem> {
    let setting = Setting { program: options.program.clone(), base: options.data.clone(), seed: options.seed };
    if options.fresh && setting.base.exists() {
        std::fs::remove_dir_all(&setting.base)?;
    }
    std::fs::create_dir_all(&setting.base)?;
    let wanted = options.wanted();
    let mut results = Vec::new();
    for run in 0..options.runs {
        for group in Group::ALL.into_iter().filter(|group| group.is_wanted(&wanted)) {
            let lines = ours::measure(&setting, group, &options.sizes, &wanted, run).await;
            show(&lines);
            results.extend(lines);
        }
    }
    Ok(results)
}

fn write(path: &Path, lines: &[Line]) -> Result<(), Problem> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
    }
    std::fs::write(path, text).map_err(|problem| format!("cannot write {}: {problem}", path.display()).into())
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let begun = Instant::now();
    let done = match all(&options).await {
        Ok(lines) => {
            eprintln!("bench: {} results in {:.0} s", lines.len(), begun.elapsed().as_secs_f64());
            options.json.as_deref().map_or(Ok(()), |path| write(path, &lines))
        }
        Err(problem) => Err(problem),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}
