//! `RESULTS.md`: the tables with the command, the machine, the date and the commit they belong to.

use std::fs;
use std::path::Path;
use std::process::Command;

use samenspraak_server::date::{date, today};

use crate::line::Line;
use crate::problem::Problem;
use crate::{plot, table};

/// Where things are and how they came about.
pub struct Origin {
    /// The command as it was typed.
    pub command: String,
    /// What is said of the growth, if it was measured.
    pub growth: String,
}

fn first_line(program: &str, words: &[&str], folder: &Path) -> String {
    let output = Command::new(program).args(words).current_dir(folder).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let found = text.lines().find(|line| line.starts_with(name));
        found.and_then(|line| line.split_once(':')).map_or_else(|| "unknown".to_owned(), |(_, v)| v.trim().to_owned())
    };
    let model = field(&read("/proc/cpuinfo"), "model name");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let gib = memory.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0 / 1024.0;
    let kernel = read("/proc/sys/kernel/osrelease");
    // What stands behind the two numbers says who built it, and nothing about speed.
    let kernel: Vec<&str> = kernel.trim().split('.').take(2).collect();
    format!("{cores} × {model}, {gib:.0} GiB of memory, Linux {}", kernel.join("."))
}

/// Writes `RESULTS.md` and the plots into a folder.
///
/// # Errors
/// When they can't be written.
pub fn write(folder: &Path, lines: &[Line], origin: &Origin) -> Result<(), Problem> {
    let files = plot::draw(lines, &folder.join("plots"))?;
    let commit = first_line("git", &["rev-parse", "--short", "HEAD"], folder);
    let changed = first_line("git", &["status", "--porcelain", "--untracked-files=no"], folder);
    let changed = if changed == "unknown" { "" } else { ", with changes that are not committed" };
    let runs = lines.iter().map(|line| line.run + 1).max().unwrap_or(0);
    let pictures: String = files.iter().map(|file| format!("![{file}](plots/{file})\n")).collect();
    let text = format!(
        "# Results of the benchmark\n\n\
         Written by `{}`; what each workload and column is stands in [README.md](README.md).\n\n\
         - Machine: {}, shared by the server and all phones\n\
         - Date: {}\n\
         - Commit: {commit}{changed}\n\
         - Runs: {runs}, all systems taking turns; medians, with the smallest and the largest where they differ by more than 2 %\n\n\
         ## Tables\n\n{}{}## Plots\n\n{pictures}",
        origin.command,
        machine(),
        date(today()),
        table::markdown(lines),
        origin.growth,
    );
    Ok(fs::write(folder.join("RESULTS.md"), text)?)
}
