//! A server as a process of its own, and what the kernel says it cost.
//!
//! Processor time comes from the process's own clock, in nanoseconds and with threads that have ended; memory from
//! `/proc`, whose peak is reset before each measurement. Linux only, as the peers' figures are.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::problem::Problem;

/// How long a server may take to come up or to stop. One that replays a journal of 50,000 documents takes a while.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// How often is looked while a server comes up: what is measured is a few milliseconds.
pub const GLANCE: Duration = Duration::from_millis(1);
/// A server has settled when it used next to nothing for this long: late saves of peers count to their work.
const QUIET: Duration = Duration::from_millis(400);
/// Next to nothing.
const QUIET_CPU: Duration = Duration::from_millis(8);

/// A process that is ended when it is dropped.
pub struct Process {
    child: Child,
    pid: Pid,
    /// When it was started.
    pub started: Instant,
}

/// Processor time of this process so far, in seconds.
pub fn own_cpu() -> f64 {
    ClockId::CLOCK_PROCESS_CPUTIME_ID.now().map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

/// An address on this machine where nobody listens now.
///
/// # Errors
/// When the system has none.
pub fn free_address() -> Result<SocketAddr, Problem> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

impl Process {
    /// Starts a program; what it says goes to `log`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self, Problem> {
        let log = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = Instant::now();
        let child =
            command.spawn().map_err(|problem| format!("cannot start {:?}: {problem}", command.get_program()))?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        Ok(Self { child, pid, started })
    }

    /// Processor seconds so far.
    pub fn cpu(&self) -> f64 {
        let clock = ClockId::pid_cpu_clock_id(self.pid).and_then(ClockId::now);
        clock.map_or(0.0, |time| Duration::from(time).as_secs_f64())
    }

    fn status(&self, key: &str) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let kib = text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    }

    /// Resident memory now, in MiB.
    pub fn resident_mib(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most it was since [`Process::reset_peak`], in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.status("VmHWM:")
    }

    /// Lets the peak begin at what is resident now.
    pub fn reset_peak(&self) {
        // Where the kernel doesn't allow it, the peak is that of the whole life: never too low.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    /// Waits until it has nothing to do any more, at most `longest`.
    pub async fn settle(&self, longest: Duration) {
        let begun = Instant::now();
        let mut before = self.cpu();
        while begun.elapsed() < longest {
            tokio::time::sleep(QUIET).await;
            let now = self.cpu();
            if now - before < QUIET_CPU.as_secs_f64() {
                return;
            }
            before = now;
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Kills it at once, as `kill -9` does.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub fn kill(&mut self) -> Result<(), Problem> {
        if self.has_ended() {
            return Err("the server ended by itself".into());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Errors
    /// When it doesn't.
    pub async fn stop(&mut self) -> Result<(), Problem> {
        kill(self.pid, Signal::SIGTERM)?;
        let until = Instant::now() + PATIENCE;
        while !self.has_ended() {
            if Instant::now() > until {
                return Err("the server does not stop".into());
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
