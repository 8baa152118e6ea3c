//! What a neighbourhood would run instead of us, measured in the same run.
//!
//! Each peer is installed at first use, into the build folder and never into the sources, and measured by a program of its
//! own that speaks its protocol and prints our lines. What can't be installed is a line that says skipped, what fails one
//! that says failed; neither ends the run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::ValueEnum;
use tokio::process::Command;

use crate::line::{Line, Outcome, Workload};
use crate::plan::{Group, Sizes};
use crate::problem::Problem;

/// How long installing one peer may take: samod is some hundred packages of Rust.
const INSTALL_MAX: Duration = Duration::from_secs(1800);
/// A peer's own program ends itself at the limit; this much later it is killed.
const LATE: Duration = Duration::from_secs(60);

/// A peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// automerge-repo's sync server (JavaScript).
    AutomergeRepo,
    /// samod (Rust), which speaks the same protocol.
    Samod,
    /// Hocuspocus with Yjs and SQLite.
    Hocuspocus,
    /// express-pouchdb and PouchDB.
    Pouchdb,
}

/// Which peers are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// None of them.
    None,
    /// All of them.
    All,
    /// automerge-repo.
    AutomergeRepo,
    /// samod.
    Samod,
    /// Hocuspocus.
    Hocuspocus,
    /// PouchDB.
    Pouchdb,
}

/// The peers that were asked for; all when nothing was said.
pub fn chosen(choices: &[Choice]) -> Vec<Peer> {
    if choices.contains(&Choice::None) {
        return Vec::new();
    }
    let all = choices.is_empty() || choices.contains(&Choice::All);
    let asked = |peer: &Peer| all || choices.iter().any(|choice| choice.peer() == Some(*peer));
    [Peer::AutomergeRepo, Peer::Samod, Peer::Hocuspocus, Peer::Pouchdb].into_iter().filter(asked).collect()
}

impl Choice {
    fn peer(self) -> Option<Peer> {
        match self {
            Self::None | Self::All => None,
            Self::AutomergeRepo => Some(Peer::AutomergeRepo),
            Self::Samod => Some(Peer::Samod),
            Self::Hocuspocus => Some(Peer::Hocuspocus),
            Self::Pouchdb => Some(Peer::Pouchdb),
        }
    }
}

impl Peer {
    /// Its name in the results.
    pub fn name(self) -> &'static str {
        match self {
            Self::AutomergeRepo => "automerge-repo",
            Self::Samod => "samod",
            Self::Hocuspocus => "hocuspocus",
            Self::Pouchdb => "pouchdb",
        }
    }

    /// Why there is no figure of it for a group, if there is none.
    fn has_no(self, group: Group) -> Option<&'static str> {
        match (self, group) {
            (Self::Hocuspocus | Self::Pouchdb, Group::Storm) => Some("no program of ours measures a storm here"),
            (Self::Pouchdb, Group::Meeting) => Some("replicates whole documents; no live channel of its own"),
            _ => None,
        }
    }

    fn is_node(self) -> bool {
        self != Self::Samod
    }

    fn speaks_automerge(self) -> bool {
        matches!(self, Self::AutomergeRepo | Self::Samod)
    }
}

/// The sources of the peers' programs.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// A peer that is ready, or why it isn't.
pub struct Installed {
    /// Which.
    pub peer: Peer,
    place: PathBuf,
    /// Why it can't be measured here.
    pub missing: Option<String>,
}

/// Installs a peer below `place` where it isn't yet.
pub async fn install(peer: Peer, place: &Path) -> Installed {
    let done = async {
        if peer.is_node() {
            install_node(peer.name(), place).await?;
        }
        if peer.speaks_automerge() {
            build_automerge(place).await?;
        }
        Ok::<(), Problem>(())
    };
    let missing = done.await.err().map(|problem| problem.to_string());
    Installed { peer, place: place.to_owned(), missing }
}

async fn must_end_well(command: &mut Command, what: &str) -> Result<(), Problem> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output =
        tokio::time::timeout(INSTALL_MAX, command.output()).await.map_err(|_| format!("{what}: too slow"))??;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{what} failed: {}", telling(&output.stderr)).into())
}

/// The line in which a program says what went wrong: the first that speaks of an error, or else the last.
fn telling(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    let error = said.lines().find(|line| line.contains("Error: ") || line.to_lowercase().contains("error "));
    error.or(lines.next_back()).unwrap_or("it ended without a word").trim().to_owned()
}

/// Copies the sources of a JavaScript peer and installs what its lock file names. `npm ci` would want the packages of every
/// other platform in it too.
async fn install_node(name: &str, place: &Path) -> Result<(), Problem> {
    let (from, to) = (sources().join(name), place.join(name));
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(&from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    fs::copy(sources().join("common.mjs"), to.join("common.mjs"))?;
    let lock = fs::read(to.join("package-lock.json"))?;
    let stamp = to.join("node_modules/installed.lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    eprintln!("bench: installing {name}");
    let mut npm = Command::new("npm");
    must_end_well(npm.current_dir(&to).args(["install", "--no-audit", "--no-fund"]), "npm install").await?;
    Ok(fs::write(stamp, lock)?)
}

async fn build_automerge(place: &Path) -> Result<(), Problem> {
    let manifest = sources().join("automerge/Cargo.toml");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--manifest-path"]).arg(manifest);
    cargo.arg("--target-dir").arg(place.join("automerge"));
    must_end_well(&mut cargo, "building samod and the phone of automerge-repo").await
}

impl Installed {
    /// Measures one group once.
    pub async fn measure(&self, group: Group, sizes: &Sizes, wanted: &[Workload], seed: u64, run: usize) -> Vec<Line> {
        let workloads: Vec<Workload> =
            group.workloads().iter().filter(|workload| wanted.contains(workload)).copied().collect();
        if matches!(group, Group::Hostile | Group::Memory) {
            // Measured for our server alone.
            return Vec::new();
        }
        let without = |workload: Workload, outcome, reason: &str| {
            let size = (sizes.docs, group.phones(sizes));
            Line::new(workload, "", self.peer.name(), size, run).without_result(outcome, reason)
        };
        let why_not = self.missing.as_deref().or(self.peer.has_no(group));
        if let Some(reason) = why_not {
            return workloads.into_iter().map(|workload| without(workload, Outcome::Skipped, reason)).collect();
        }
        let (mut lines, problem) = self.start(group, sizes, seed, run).await;
        lines.retain(|line| wanted.contains(&line.workload));
        if let Some(problem) = problem {
            let measured = |workload: &Workload| lines.iter().any(|line| line.workload == *workload);
            let missing: Vec<Workload> = workloads.into_iter().filter(|workload| !measured(workload)).collect();
            lines.extend(missing.into_iter().map(|workload| without(workload, Outcome::Failed, &problem)));
        }
        lines
    }

    /// Runs the peer's program; returns what it printed, and what went wrong.
    async fn start(&self, group: Group, sizes: &Sizes, seed: u64, run: usize) -> (Vec<Line>, Option<String>) {
        let mut command = self.command();
        command.arg(group.name()).arg("--data").arg(self.place.join(format!("data-{}", self.peer.name())));
        command.args(["--run", &run.to_string(), "--seed", &seed.to_string()]).args(sizes.words());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = match tokio::time::timeout(sizes.limit() + LATE, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(problem)) => return (Vec::new(), Some(problem.to_string())),
            Err(_) => return (Vec::new(), Some("it took longer than --limit".to_owned())),
        };
        let printed = String::from_utf8_lossy(&output.stdout);
        let lines = printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines, (!output.status.success()).then(|| telling(&output.stderr)))
    }

    fn command(&self) -> Command {
        let name = self.peer.name();
        if !self.peer.speaks_automerge() {
            let folder = self.place.join(name);
            let mut node = Command::new("node");
            node.arg(folder.join("client.mjs")).current_dir(folder);
            return node;
        }
        let programs = self.place.join("automerge/release");
        let server = match self.peer {
            Peer::Samod => format!("{} {{port}} {{dir}}", programs.join("samod-server").display()),
            _ => format!("node {} {{port}} {{dir}}", self.place.join(name).join("server.mjs").display()),
        };
        let mut phone = Command::new(programs.join("automerge-phone"));
        phone.args(["--system", name, "--server", &server]);
        phone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_all_none_or_those_that_were_named() {
        assert_eq!(chosen(&[]).len(), 4);
        assert_eq!(chosen(&[Choice::All]).len(), 4);
        assert!(chosen(&[Choice::None]).is_empty());
        assert_eq!(chosen(&[Choice::Samod, Choice::Pouchdb]), [Peer::Samod, Peer::Pouchdb]);
    }

    #[test]
    fn a_failure_is_told_by_the_line_that_names_it() {
        assert_eq!(telling(b"npm warn x\nnpm error code E1\nnpm error see y\n"), "npm error code E1");
        assert_eq!(telling(b"    at file:1\nError: no port\n    at file:2\n"), "Error: no port");
        assert_eq!(telling(b"one\n\ntwo\n"), "two");
    }

    #[test]
    fn every_peer_has_its_sources_here() {
        for peer in chosen(&[Choice::All]) {
            let file = if peer.is_node() {
                format!("{}/package-lock.json", peer.name())
            } else {
                "automerge/Cargo.lock".into()
            };
            assert!(sources().join(&file).is_file(), "{file} is not there");
        }
    }
}
