//! The benchmark: our server and phones beside what people would use instead, in one run.
//!
//! `cargo xtask bench` builds and starts it. It measures and writes down; it never judges, and a system that fails is a row
//! that says so. Look at `kept` for what is in a wijk, `ours` for our side, `line` for what a result is.

#![allow(dead_code, reason = "the storm and the meeting use the rest, in the next commit")]

mod author;
mod documents;
mod kept;
mod lean;
mod line;
mod ours;
mod problem;
mod process;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;

use line::{Line, Outcome, Workload};
use ours::Setting;
use problem::Problem;

/// What is measured, and how large.
#[derive(Parser)]
#[command(name = "samenspraak-bench")]
struct Options {
    /// Only these workloads, as in W1,W5
    #[arg(long, value_delimiter = ',')]
    only: Vec<Workload>,
    /// Documents in the wijk
    #[arg(long, default_value_t = 1000)]
    docs: usize,
    /// Repetitions, all systems taking turns
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Starts of each kind in W7
    #[arg(long, default_value_t = 20)]
    starts: usize,
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
    /// Longest that one system may take for one group of workloads, in seconds
    #[arg(long, default_value_t = 900)]
    limit: u64,
}

impl Options {
    fn wants(&self, workload: Workload) -> bool {
        self.only.is_empty() || self.only.contains(&workload)
    }

    fn wanted(&self) -> Vec<Workload> {
        Workload::ALL.into_iter().filter(|workload| self.wants(*workload)).collect()
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
    let limit = Duration::from_secs(options.limit);
    let mut results = Vec::new();
    for run in 0..options.runs {
        let mut lines = Vec::new();
        let before = lines.len();
        if [Workload::W1, Workload::W2, Workload::W3].iter().any(|workload| wanted.contains(workload)) {
            let work = ours::catch_up::run(&setting, options.docs, run, &wanted, &mut lines);
            let done = tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err("it took too long".into()));
            if let Err(problem) = done {
                let next = [Workload::W1, Workload::W2, Workload::W3].into_iter().find(|workload| {
                    wanted.contains(workload) && !lines[before..].iter().any(|line| line.workload == *workload)
                });
                let line = Line::new(next.unwrap_or(Workload::W3), "", ours::SYSTEM, (options.docs, 1), run);
                lines.push(line.without_result(Outcome::Failed, problem));
            }
        }
        if wanted.contains(&Workload::W7) {
            let work = ours::restart::run(&setting, options.docs, run, options.starts);
            match tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err("it took too long".into())) {
                Ok(done) => lines.extend(done),
                Err(problem) => {
                    let line = Line::new(Workload::W7, "", ours::SYSTEM, (options.docs, 1), run);
                    lines.push(line.without_result(Outcome::Failed, problem));
                }
            }
        }
        show(&lines);
        results.extend(lines);
    }
    Ok(results)
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let options = Options::parse();
    let begun = Instant::now();
    match all(&options).await {
        Ok(lines) => {
            if let Some(path) = &options.json {
                let text: String =
                    lines.iter().filter_map(|line| serde_json::to_string(line).ok()).map(|line| line + "\n").collect();
                if let Err(problem) = std::fs::write(path, text) {
                    eprintln!("bench: cannot write {}: {problem}", path.display());
                    return std::process::ExitCode::FAILURE;
                }
            }
            eprintln!("bench: {} results in {:.0} s", lines.len(), begun.elapsed().as_secs_f64());
            std::process::ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("bench: {problem}");
            std::process::ExitCode::FAILURE
        }
    }
}
