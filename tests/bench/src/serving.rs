//! Our own server as a process, on an address that stays the same when it is started again.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use samenspraak_server::client::ask_wijk;

use crate::problem::Problem;
use crate::process::{GLANCE, PATIENCE, Process, free_address};

/// Our server over one data folder, on an address that stays the same when it is started again.
pub struct Serving {
    program: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    listen: SocketAddr,
    /// The process that runs now.
    pub process: Process,
}

impl Serving {
    /// Starts the server of a folder and waits until it answers.
    ///
    /// # Errors
    /// When it doesn't.
    pub async fn start(program: &Path, folder: &Path) -> Result<Self, Problem> {
        let listen = free_address()?;
        let log = folder.with_extension("log");
        let process = spawn(program, folder, listen, &log)?;
        let mut serving = Self { program: program.to_owned(), folder: folder.to_owned(), log, listen, process };
        serving.answers().await?;
        Ok(serving)
    }

    /// Where phones reach it.
    pub fn address(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Starts it again after it was stopped or killed, without waiting for it.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn restart(&mut self) -> Result<(), Problem> {
        self.process = spawn(&self.program, &self.folder, self.listen, &self.log)?;
        Ok(())
    }

    /// Waits until it says `Hello`.
    ///
    /// # Errors
    /// When it ends first, or takes too long.
    pub async fn answers(&mut self) -> Result<Duration, Problem> {
        let until = Instant::now() + PATIENCE;
        while ask_wijk(&self.address()).await.is_err() {
            if self.process.has_ended() || Instant::now() > until {
                return Err(self.complaint("the server does not come up"));
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(self.process.started.elapsed())
    }

    fn complaint(&self, what: &str) -> Problem {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        format!("{what}; the last it said: {}", log.lines().last().unwrap_or("nothing")).into()
    }
}

fn spawn(program: &Path, folder: &Path, listen: SocketAddr, log: &Path) -> Result<Process, Problem> {
    let mut command = Command::new(program);
    command.arg("serve").arg(folder).args(["--listen", &listen.to_string()]);
    Process::start(&mut command, log)
}
