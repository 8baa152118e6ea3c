//! The tasks of this repository, called as `cargo xtask TASK`.
//!
//! `run` shows the program with a demo wijk; `test` is everything that must be green; `fuzz` looks for inputs that break it;
//! `bench` measures; `bindings` builds what apps use, `bench-border` measures it and `check-mobile` compiles it for phones; `torture`
//! kills and damages the disk store; `setup` installs what those need.
//! Not here: tests of the product. They stand beside what they test, and in `tests/`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod bindings;
mod child;
mod fuzz;
mod lint;
mod mobile;
mod outcome;
mod place;
mod replay;
mod report;
mod run;
mod setup;
mod suite;
mod test;
mod torture;
mod web;

/// The tasks of this repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the server, make or keep a demo wijk, and serve it on this machine
    Run(run::Options),
    /// Run everything that must be green, or some parts by name; the last line is `N passed, M failed`
    Test(test::Options),
    /// Look for bytes that break the program, with libFuzzer; `test fuzz` is the short form of it
    Fuzz(fuzz::Options),
    /// Measure our server and phones beside what people would use instead; `-- --help` says more
    Bench(bench::Options),
    /// Build the library for apps and what UniFFI writes for each language
    Bindings(bindings::Options),
    /// Measure what a long list costs on its way to Kotlin and Python
    BenchBorder,
    /// Check that the library compiles for Android and iPhone; links nothing
    CheckMobile(mobile::Options),
    /// Kill, cut the power of and damage the disk store, and count what was lost
    Torture(torture::Options),
    /// Install what building and testing need, where it is missing (Debian)
    Setup,
}

fn main() -> ExitCode {
    let done = place::root().and_then(|root| match Arguments::parse().task {
        Task::Run(options) => run::run(&root, &options),
        Task::Test(options) => Ok(test::run(&root, &options)),
        Task::Fuzz(options) => fuzz::run(&root, &options),
        Task::Bench(options) => bench::run(&root, &options),
        Task::Bindings(options) => bindings::run(&root, &options),
        Task::BenchBorder => bindings::border::run(&root),
        Task::CheckMobile(options) => mobile::run(&root, &options),
        Task::Torture(options) => torture::run(&root, &options),
        Task::Setup => setup::ensure(&setup::Need::ALL).map(|()| ExitCode::SUCCESS),
    });
    done.unwrap_or_else(|problem| {
        eprintln!("xtask: {problem}");
        ExitCode::FAILURE
    })
}
