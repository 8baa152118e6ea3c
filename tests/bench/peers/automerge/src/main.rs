//! The phone of automerge-repo, and what it measures at any server that speaks its protocol.
//!
//! `cargo xtask bench` starts it once for a group of workloads; every result is a line on standard output. Wall, processor
//! time, bytes and memory are counted as ours are: the same code reads them.

mod acknowledged;
mod catch_up;
mod connection;
mod documents;
mod meeting;
mod phone;
mod storm;
mod wire;

#[path = "../../../src/line.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest")]
mod line;
#[path = "../../../src/plan.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest")]
mod plan;
#[path = "../../../src/problem.rs"]
mod problem;
#[path = "../../../src/process.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest")]
mod process;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;

use line::{Line, Workload};
use phone::Session;
use plan::{Group, Sizes};
use problem::Problem;
use process::{GLANCE, PATIENCE, Process, free_address, own_cpu};

/// What is measured, and at whose server.
#[derive(Parser)]
struct Options {
    /// The workloads that share one life of a server
    #[arg(value_enum)]
    group: Group,
    /// Name in the results
    #[arg(long)]
    system: String,
    /// Command that starts the server; {port} and {dir} are filled in
    #[arg(long)]
    server: String,
    /// A folder for the server's data
    #[arg(long)]
    data: PathBuf,
    /// Which run this is
    #[arg(long, default_value_t = 0)]
    run: usize,
    /// From which documents follow
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    sizes: Sizes,
}

/// How long a server may take to settle.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// A peer's server over a fresh folder.
struct Server {
    command: String,
    port: u16,
    folder: PathBuf,
    process: Process,
    /// When it listened, after it was started.
    listens: Duration,
}

impl Server {
    fn start(options: &Options) -> Result<Self, Problem> {
        let port = free_address()?.port();
        let process = spawn(&options.server, port, &options.data)?;
        let mut server = Self {
            command: options.server.clone(),
            port,
            folder: options.data.clone(),
            process,
            listens: Duration::ZERO,
        };
        server.listens()?;
        Ok(server)
    }

    fn restart(&mut self) -> Result<(), Problem> {
        self.process = spawn(&self.command, self.port, &self.folder)?;
        self.listens()
    }

    fn listens(&mut self) -> Result<(), Problem> {
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if self.process.has_ended() || Instant::now() > until {
                return Err("the server does not come up".into());
            }
            std::thread::sleep(GLANCE);
        }
        self.listens = self.process.started.elapsed();
        Ok(())
    }

    fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }
}

fn spawn(command: &str, port: u16, folder: &Path) -> Result<Process, Problem> {
    let filled = command.replace("{port}", &port.to_string()).replace("{dir}", &folder.to_string_lossy());
    let mut words = filled.split_whitespace();
    let mut start = Command::new(words.next().ok_or("a command without a program")?);
    start.args(words);
    Process::start(&mut start, &folder.with_extension("log"))
}

/// An empty folder for a server.
fn fresh_folder(folder: &Path) -> Result<(), Problem> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

/// What was used when a measurement began.
struct Began {
    server_cpu: f64,
    client_cpu: f64,
}

impl Began {
    fn now(server: &Server) -> Self {
        server.process.reset_peak();
        Self { server_cpu: server.process.cpu(), client_cpu: own_cpu() }
    }

    async fn end(self, server: &Server, line: &mut Line) {
        line.client_cpu_s = Some(own_cpu() - self.client_cpu);
        line.set("server_cpu_until_done_s", server.process.cpu() - self.server_cpu);
        server.process.settle(SETTLE_MAX).await;
        line.server_cpu_s = Some(server.process.cpu() - self.server_cpu);
        line.server_peak_mib = Some(server.process.peak_mib());
        line.set("server_resident_mib", server.process.resident_mib());
    }
}

/// A line with what one session cost.
fn line_of(workload: Workload, form: &str, options: &Options, docs: usize, session: &Session) -> Line {
    let mut line = Line::new(workload, form, &options.system, (docs, 1), options.run);
    line.wall_ms = Some(session.wall_ms);
    line.bytes_up = Some(session.bytes_up);
    line.bytes_down = Some(session.bytes_down);
    // The connection and the greeting come before the first of them.
    line.round_trips = Some(session.trips + 1);
    line
}

fn say(line: &Line) -> Result<(), Problem> {
    println!("{}", serde_json::to_string(line)?);
    Ok(())
}

async fn measure(options: &Options) -> Result<(), Problem> {
    fresh_folder(&options.data)?;
    match options.group {
        Group::CatchUp => catch_up::run(options).await,
        Group::Restart => catch_up::restart(options).await,
        Group::Storm => storm::run(options).await,
        Group::Meeting => meeting::run(options).await,
        Group::Acknowledged => acknowledged::run(options).await,
        _ => Err("only ours is measured like this".into()),
    }
}

async fn within_limit(options: &Options) -> Result<(), Problem> {
    let done = tokio::time::timeout(options.sizes.limit(), measure(options)).await;
    done.unwrap_or_else(|_| Err("it took longer than --limit".into()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let measured = tokio::task::LocalSet::new().run_until(within_limit(&options)).await;
    // What the server wrote is as large as what it was given; the next run begins anew.
    drop(fs::remove_dir_all(&options.data));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
