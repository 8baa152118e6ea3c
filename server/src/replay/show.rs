//! What a replay shows: how far it is, and at the end a table, the differences, and one last line.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::compare::Findings;
use super::input::Conversation;
use super::phone::{Phone, Traffic};
use super::play::Kills;
use super::server_copy::Copy;

/// Lines that are printed on the way where no bar can be shown.
const LINES: u64 = 20;
/// Differences that are printed.
const SHOWN_MAX: usize = 20;

/// A bar on a terminal, some lines elsewhere; both on the error stream.
pub struct Progress(JoinHandle<()>);

impl Progress {
    /// Shows `steps` out of `total` until it is stopped.
    pub fn start(total: u64, steps: watch::Receiver<u64>) -> Self {
        let show = std::io::stderr().is_terminal();
        Self(if show { tokio::spawn(bar(total, steps)) } else { tokio::spawn(lines(total, steps)) })
    }

    /// Shows no more.
    pub async fn stop(self) {
        self.0.abort();
        // It was aborted: that it says so is no failure.
        let _ = self.0.await;
    }
}

async fn bar(total: u64, mut steps: watch::Receiver<u64>) {
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:40}] {percent} % ({pos} of {len})");
    let bar = ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    while steps.changed().await.is_ok() {
        bar.set_position(*steps.borrow_and_update());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn lines(total: u64, mut steps: watch::Receiver<u64>) {
    let begun = Instant::now();
    for line in 1..=LINES {
        let next = total * line / LINES;
        if steps.wait_for(|steps| *steps >= next).await.is_err() {
            return;
        }
        remark!("replay: {} %, {:.0} s", 100 * line / LINES, begun.elapsed().as_secs_f64());
    }
}

/// What came out.
pub struct Summary {
    title: String,
    expected: [usize; 3],
    findings: Findings,
    kills: Kills,
    server: Copy,
    on_disk: u64,
    deaths: u64,
    traffic: Traffic,
    /// How long it took.
    pub seconds: f64,
}

impl Summary {
    /// Of phones only.
    pub fn new(conversation: &Conversation, findings: Findings, kills: Kills) -> Self {
        Self {
            title: conversation.title.clone(),
            expected: [conversation.statements.len(), conversation.expected.count(), conversation.people.len()],
            findings,
            kills,
            server: Copy::default(),
            on_disk: 0,
            deaths: 0,
            traffic: Traffic::default(),
            seconds: 0.0,
        }
    }

    /// Adds what one phone went through.
    pub fn count_phone(&mut self, phone: &Phone) {
        self.on_disk += u64::from(phone.disk.is_some());
        self.deaths += phone.deaths;
        self.traffic.add(phone.traffic);
    }

    /// Adds what the server's copy holds.
    pub fn count_server(&mut self, copy: Copy) {
        self.server = copy;
    }

    fn differences(&self) -> usize {
        self.server.differences.len() + self.findings.differences.len()
    }

    /// Whether all is as it must be.
    pub fn is_clean(&self) -> bool {
        let counted = [self.server.statements, self.server.voices, self.findings.phones];
        self.server.lost == 0 && self.differences() == 0 && counted == self.expected
    }

    /// What is wrong, in one line.
    pub fn complaint(&self) -> String {
        format!("replay: {} entries were lost and {} cells or texts differ", self.server.lost, self.differences())
    }

    /// Prints the table, differences, and the last line.
    pub fn print(&self) {
        let rows: [(&str, String); 12] = [
            ("conversation", self.title.clone()),
            ("statements", self.server.statements.to_string()),
            ("voices", self.server.voices.to_string()),
            ("phones", self.findings.phones.to_string()),
            ("  with a disk", self.on_disk.to_string()),
            ("  their deaths", self.deaths.to_string()),
            ("server kills", format!("{} ({} while phones synced)", self.kills.kills, self.kills.while_syncing)),
            ("syncs", format!("{} (and {} that broke and were repeated)", self.traffic.syncs, self.traffic.broken)),
            ("bytes up", self.traffic.bytes_up.to_string()),
            ("bytes down", self.traffic.bytes_down.to_string()),
            ("entries admitted by phones", self.findings.entries.to_string()),
            ("seconds", format!("{:.1}", self.seconds)),
        ];
        for (name, value) in rows {
            say!("{name:<28}{value}");
        }
        for line in self.server.differences.iter().chain(&self.findings.differences).take(SHOWN_MAX) {
            say!("{line}");
        }
        if self.differences() > SHOWN_MAX {
            say!("and {} more differences", self.differences() - SHOWN_MAX);
        }
        say!(
            "replay: {} statements, {} voices, {} phones, {} server kills, {} lost, {} differences",
            self.server.statements,
            self.server.voices,
            self.findings.phones,
            self.kills.kills,
            self.server.lost,
            self.differences()
        );
    }
}
