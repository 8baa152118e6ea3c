//! The benchmark: our server and phones beside what people would use instead, in one run.
//!
//! `cargo xtask bench` builds and starts it. It measures and writes down; it never judges, and a system that fails is a row
//! that says so. Look at `kept` for what is in a wijk, `ours` for our side, `peers` for the others, `line` for what a result
//! is, and `table`, `plot` and `results` for what becomes of results.

mod author;
mod documents;
mod grow;
mod kept;
mod lean;
mod line;
mod live;
mod metric;
mod ours;
mod peers;
mod plan;
mod plot;
mod problem;
mod process;
mod results;
mod serving;
mod table;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use grow::{Stamina, Step};
use line::{Line, Outcome, Workload};
use ours::Setting;
use peers::Installed;
use plan::{Group, Sizes};
use problem::Problem;
use results::Origin;

/// What is measured, and how large.
#[derive(Parser)]
#[command(name = "samenspraak-bench", bin_name = "cargo xtask bench")]
struct Options {
    /// Only these workloads, as in W1,W5
    #[arg(long, value_delimiter = ',')]
    only: Vec<Workload>,
    /// Repetitions, all systems taking turns
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Whom to measure beside us; all when nothing is said
    #[arg(long, value_delimiter = ',')]
    peers: Vec<peers::Choice>,
    #[command(flatten)]
    sizes: Sizes,
    /// One result a line is written here as well
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write tests/bench/RESULTS.md and its plots; done anyway when everything is measured with all peers
    #[arg(long)]
    write: bool,
    /// Measure nothing: take the results from files that --json wrote
    #[arg(long, value_delimiter = ',')]
    from: Vec<PathBuf>,
    /// Also measure growth, up to so many documents and phones, as in 50000,2000
    #[arg(long, value_delimiter = ',', num_args = 0..=2, default_missing_value = "50000,2000")]
    grow: Option<Vec<usize>>,
    /// From which documents and choices follow
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Make kept wijken anew
    #[arg(long)]
    fresh: bool,
    /// The program `samenspraak`; given by the task
    #[arg(long, hide = true)]
    program: PathBuf,
    /// Where wijken are kept and copied to, and where peers are installed; given by the task
    #[arg(long, hide = true)]
    data: PathBuf,
}

impl Options {
    fn wanted(&self) -> Vec<Workload> {
        let wants = |workload: &Workload| self.only.is_empty() || self.only.contains(workload);
        Workload::ALL.into_iter().filter(wants).collect()
    }

    fn writes_results(&self) -> bool {
        self.write || (self.only.is_empty() && self.peers.is_empty() && self.from.is_empty())
    }
}

/// Results as they come: shown, kept on disk at once, so that a run that is broken off loses none.
struct Results {
    lines: Vec<Line>,
    files: Vec<File>,
}

impl Results {
    fn begin(options: &Options) -> Result<Self, Problem> {
        let open =
            |path: &Path| File::create(path).map_err(|problem| format!("cannot write {}: {problem}", path.display()));
        let mut files = vec![open(&options.data.join("last.jsonl"))?];
        if let Some(path) = &options.json {
            files.push(open(path)?);
        }
        Ok(Self { lines: Vec::new(), files })
    }

    fn add(&mut self, lines: Vec<Line>) -> Result<(), Problem> {
        for line in lines {
            let text = serde_json::to_string(&line)?;
            println!("{text}");
            for file in &mut self.files {
                writeln!(file, "{text}")?;
            }
            self.lines.push(line);
        }
        Ok(())
    }
}

async fn measure(options: &Options) -> Result<Vec<Line>, Problem> {
    let base = options.data.join("wijken");
    if options.fresh && base.exists() {
        fs::remove_dir_all(&base)?;
    }
    fs::create_dir_all(&base)?;
    let setting = Setting { program: options.program.clone(), base, seed: options.seed };
    let wanted = options.wanted();
    let mut installed: Vec<Installed> = Vec::new();
    for peer in peers::chosen(&options.peers) {
        installed.push(peers::install(peer, &options.data.join("peers")).await);
    }
    let mut results = Results::begin(options)?;
    let systems = installed.len() + 1;
    for run in 0..options.runs {
        for group in Group::ALL.into_iter().filter(|group| group.is_wanted(&wanted)) {
            // Another one begins each time, so that none always runs on a machine that just rested.
            for turn in 0..systems {
                let lines = match ((turn + run) % systems).checked_sub(1) {
                    None => ours::measure(&setting, group, &options.sizes, &wanted, run).await,
                    Some(peer) => installed[peer].measure(group, &options.sizes, &wanted, options.seed, run).await,
                };
                results.add(lines)?;
            }
        }
    }
    if let Some(sizes) = &options.grow {
        let (docs, phones) = (sizes.first().copied().unwrap_or(0), sizes.get(1).copied().unwrap_or(0));
        grow(options, &setting, &installed, grow::steps(docs, phones), &mut results).await?;
    }
    Ok(results.lines)
}

/// Measures every step once with every system that can still follow.
async fn grow(
    options: &Options,
    setting: &Setting,
    installed: &[Installed],
    steps: Vec<Step>,
    results: &mut Results,
) -> Result<(), Problem> {
    let mut stamina = Stamina::default();
    let wanted = options.wanted();
    for step in steps.into_iter().filter(|step| step.group.is_wanted(&wanted)) {
        let mut sizes = options.sizes.clone();
        sizes.docs = step.docs.unwrap_or(sizes.docs);
        sizes.phones = step.phones.unwrap_or(sizes.phones);
        for turn in 0..=installed.len() {
            let peer = turn.checked_sub(1).map(|peer| &installed[peer]);
            let system = peer.map_or(ours::SYSTEM, |peer| peer.peer.name());
            if let Some(why) = stamina.tired(system, step.group) {
                eprintln!("bench: {system} is not taken to {step:?}: {why}");
                continue;
            }
            let begun = Instant::now();
            let mut lines = match peer {
                None => ours::measure(setting, step.group, &sizes, &wanted, 0).await,
                Some(peer) => peer.measure(step.group, &sizes, &wanted, options.seed, 0).await,
            };
            stamina.note(system, step.group, begun, &lines);
            lines.iter_mut().for_each(|line| line.set(GROWTH, 1.0));
            results.add(lines)?;
        }
    }
    Ok(())
}

/// Marks lines that were measured for growth: once, and not in the tables of medians.
const GROWTH: &str = "growth";

/// Results that were written before.
fn read(paths: &[PathBuf]) -> Result<Vec<Line>, Problem> {
    let mut lines = Vec::new();
    for path in paths {
        let text = fs::read_to_string(path).map_err(|problem| format!("cannot read {}: {problem}", path.display()))?;
        for line in text.lines() {
            lines.push(serde_json::from_str(line)?);
        }
    }
    Ok(lines)
}

async fn run(options: &Options) -> Result<bool, Problem> {
    let begun = Instant::now();
    let lines = if options.from.is_empty() { measure(options).await? } else { read(&options.from)? };
    let (grown, repeated): (Vec<Line>, Vec<Line>) =
        lines.iter().cloned().partition(|line| line.more.contains_key(GROWTH));
    println!("\n{}", table::markdown(&repeated));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    if options.writes_results() {
        let growth = grow::describe(&grown, &folder.join("plots"))?;
        results::write(folder, &repeated, &Origin { command: command(), growth })?;
        eprintln!("bench: wrote tests/bench/RESULTS.md");
    }
    eprintln!("bench: {} results in {:.0} s", lines.len(), begun.elapsed().as_secs_f64());
    let failed = |line: &&Line| line.system == ours::SYSTEM && line.outcome == Outcome::Failed;
    let failures = lines.iter().filter(failed).count();
    if failures > 0 {
        eprintln!("bench: {failures} of ours failed");
    }
    Ok(failures == 0)
}

/// The command as somebody types it: without what the task adds.
fn command() -> String {
    let mut words = std::env::args().skip(1).peekable();
    let mut typed = vec!["cargo xtask bench".to_owned()];
    while let Some(word) = words.next() {
        if word == "--program" || word == "--data" {
            words.next();
        } else {
            typed.push(word);
        }
    }
    typed.join(" ")
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut options = Options::parse();
    // Programs of peers run in folders of their own.
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    (options.data, options.program) = (whole(&options.data), whole(&options.program));
    match run(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}
