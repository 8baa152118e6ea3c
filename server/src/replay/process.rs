//! The server of a replay: a real `serve` process that is killed and started again on the same port.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use samenspraak_core::store::StoreError;
use tokio::time::{Instant, sleep};

use crate::client::ask_wijk;
use crate::error::ProgramError;

/// How long a server may take to answer after it was started, or to end after it was asked to: it reads its whole journal.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked.
const GLANCE: Duration = Duration::from_millis(10);

/// See the module.
pub struct ServerProcess {
    program: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    listen: SocketAddr,
    child: Mutex<Option<Child>>,
}

fn io(place: &Path, source: std::io::Error) -> ProgramError {
    StoreError::Io { place: place.display().to_string(), source }.into()
}

/// This program itself.
pub fn own_program() -> Result<PathBuf, ProgramError> {
    std::env::current_exe().map_err(|source| io(Path::new("this program"), source))
}

/// An address on this machine where nobody listens now.
pub fn free_address() -> Result<SocketAddr, ProgramError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let found = TcpListener::bind(any).and_then(|listener| listener.local_addr());
    found.map_err(|reason| ProgramError::Listen { address: any.to_string(), reason })
}

impl ServerProcess {
    /// A server of `folder` that isn't running yet.
    pub fn new(folder: &Path, listen: SocketAddr, log: &Path) -> Result<Self, ProgramError> {
        File::create(log).map_err(|source| io(log, source))?;
        Ok(Self {
            program: own_program()?,
            folder: folder.to_owned(),
            log: log.to_owned(),
            listen,
            child: Mutex::new(None),
        })
    }

    /// Where phones reach it.
    pub fn address(&self) -> String {
        format!("http://{}", self.listen)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it and waits until it answers.
    pub async fn start(&self) -> Result<(), ProgramError> {
        let log = File::options().append(true).open(&self.log).map_err(|source| io(&self.log, source))?;
        let mut command = Command::new(&self.program);
        command.arg("serve").arg(&self.folder).args(["--listen", &self.listen.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        *self.child() = Some(command.spawn().map_err(|source| io(&self.program, source))?);
        let until = Instant::now() + PATIENCE;
        while ask_wijk(&self.address()).await.is_err() {
            if self.has_ended()? || Instant::now() > until {
                return Err(self.complain("the server doesn't come up"));
            }
            sleep(GLANCE).await;
        }
        Ok(())
    }

    fn has_ended(&self) -> Result<bool, ProgramError> {
        match self.child().as_mut().map(Child::try_wait) {
            None => Ok(true),
            Some(Ok(status)) => Ok(status.is_some()),
            Some(Err(source)) => Err(io(&self.program, source)),
        }
    }

    fn complain(&self, what: &str) -> ProgramError {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().last().unwrap_or("nothing");
        ProgramError::Stopped { what: format!("replay: {what}; the last it said: {last}") }
    }

    /// Kills it at once, as `kill -9` does.
    pub fn kill(&self) -> Result<(), ProgramError> {
        let child = self.child().take();
        if let Some(mut child) = child {
            // A server that had ended by itself was not killed: that would be a failure of its own.
            if child.try_wait().map_err(|source| io(&self.program, source))?.is_some() {
                return Err(self.complain("the server ended by itself"));
            }
            child.kill().and_then(|()| child.wait()).map_err(|source| io(&self.program, source))?;
        }
        Ok(())
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(&self) -> Result<(), ProgramError> {
        let Some(id) = self.child().as_ref().map(Child::id) else { return Ok(()) };
        // The standard library can only kill.
        let asked = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id.to_string()]).status();
        asked.map_err(|source| io(Path::new("sh"), source))?;
        let until = Instant::now() + PATIENCE;
        while !self.has_ended()? {
            if Instant::now() > until {
                return Err(self.complain("the server doesn't stop"));
            }
            sleep(GLANCE).await;
        }
        let child = self.child().take();
        match child.map(|mut child| child.wait()) {
            Some(Ok(status)) if !status.success() => Err(self.complain("the server stopped with an error")),
            _ => Ok(()),
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child().take() {
            // It may have ended by now.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
