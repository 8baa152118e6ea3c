//! Our own server and phones under the workloads.
//!
//! The server is the real program as a process of its own. The phones are the core's real app over the store that a phone
//! has: sealed rows on a disk where one phone is measured, memory where many share this machine.

pub mod acknowledged;
pub mod catch_up;
pub mod hostile;
pub mod meeting;
pub mod memory;
pub mod restart;
pub mod storm;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use samenspraak_core::app::Command;
use samenspraak_server::client::{Driver, Moved};
use samenspraak_server::device::DeviceStore;

use crate::kept::Kept;
use crate::line::{Line, Outcome, Workload};
use crate::plan::{Group, Sizes};
use crate::problem::Problem;
use crate::process::own_cpu;
use crate::serving::Serving;

/// Name in the results.
pub const SYSTEM: &str = "samenspraak";
/// How long the server may take to settle after a measurement.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// Where things are, and how large they are.
pub struct Setting {
    /// The program `samenspraak`.
    pub program: PathBuf,
    /// Where kept wijken and copies of them lie.
    pub base: PathBuf,
    /// From which words follow.
    pub seed: u64,
}

impl Setting {
    /// Where this run's copy of a wijk lies.
    pub fn copy_place(&self, name: &str) -> PathBuf {
        self.base.join(format!("run-{name}"))
    }
}

/// Measures one group of workloads once. What fails is a line that says so.
pub async fn measure(setting: &Setting, group: Group, sizes: &Sizes, wanted: &[Workload], run: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let work = group_of(setting, group, sizes, wanted, run, &mut lines);
    let done = tokio::time::timeout(sizes.limit(), work).await;
    if let Err(problem) = done.unwrap_or_else(|_| Err("it took longer than --limit".into())) {
        let measured = |workload: &Workload| lines.iter().any(|line: &Line| line.workload == *workload);
        let workloads = group.workloads().iter().filter(|workload| wanted.contains(workload));
        let next = workloads.clone().find(|workload| !measured(workload)).or(workloads.clone().next_back());
        if let Some(workload) = next {
            let line = Line::new(*workload, "", SYSTEM, (sizes.docs, group.phones(sizes)), run);
            lines.push(line.without_result(Outcome::Failed, problem));
        }
    }
    lines
}

async fn group_of(
    setting: &Setting,
    group: Group,
    sizes: &Sizes,
    wanted: &[Workload],
    run: usize,
    lines: &mut Vec<Line>,
) -> Result<(), Problem> {
    match group {
        Group::CatchUp => catch_up::run(setting, sizes.docs, run, wanted, lines).await?,
        Group::Restart => lines.extend(restart::run(setting, sizes.docs, run, sizes.starts).await?),
        Group::Storm => lines.push(storm::run(setting, sizes.storm_docs, sizes.phones, run).await?),
        Group::Meeting => lines.push(meeting::run(setting, sizes.meeting(), run).await?),
        Group::Hostile => lines.extend(hostile::run(setting, sizes, run).await?),
        Group::Memory => lines.extend(memory::run(setting, sizes, run).await?),
        Group::Acknowledged => lines.push(acknowledged::run(setting, sizes.lanes, sizes.ack_seconds, run).await?),
    }
    Ok(())
}

/// What was used when a measurement began.
pub struct Began {
    server_cpu: f64,
    client_cpu: f64,
}

impl Began {
    /// Notes what was used so far and lets the peak of memory begin anew.
    pub fn now(serving: &Serving) -> Self {
        serving.process.reset_peak();
        Self { server_cpu: serving.process.cpu(), client_cpu: own_cpu() }
    }

    /// Writes into a line what was used since, once the server has settled.
    pub async fn end(self, serving: &Serving, line: &mut Line) {
        line.client_cpu_s = Some(own_cpu() - self.client_cpu);
        line.set("server_cpu_until_done_s", serving.process.cpu() - self.server_cpu);
        serving.process.settle(SETTLE_MAX).await;
        line.server_cpu_s = Some(serving.process.cpu() - self.server_cpu);
        line.server_peak_mib = Some(serving.process.peak_mib());
        line.set("server_resident_mib", serving.process.resident_mib());
    }
}

/// Writes into a line what one phone moved.
pub fn moved(line: &mut Line, moved: Moved) {
    line.bytes_up = Some(line.bytes_up.unwrap_or(0) + moved.bytes_up);
    line.bytes_down = Some(line.bytes_down.unwrap_or(0) + moved.bytes_down);
    line.round_trips = Some(line.round_trips.unwrap_or(0) + moved.flights_up);
    line.set("frames_up", moved.frames_up as f64);
    line.set("frames_down", moved.frames_down as f64);
}

/// A phone on disk, as the terminal phone has it: sealed rows over a journal with its index.
pub struct DiskPhone {
    store: DeviceStore,
    /// The phone.
    pub driver: Driver,
}

impl DiskPhone {
    /// Opens the phone of a folder.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let store = DeviceStore::open_phone(path)?;
        let driver = Driver::open(store.rows())?;
        Ok(Self { store, driver })
    }

    /// A fresh phone that joined with a card and heard nothing yet.
    ///
    /// # Errors
    /// When it can't join.
    pub fn fresh(wijk: &Kept, card: usize, name: &str) -> Result<Self, Problem> {
        let mut phone = Self::open(&wijk.place(name))?;
        phone.driver.command(Command::Join { card: wijk.card(card)? })?;
        Ok(phone)
    }

    /// Closes it, as an app that is put away.
    ///
    /// # Errors
    /// When its store had stopped.
    pub fn close(self) -> Result<(), Problem> {
        let Self { store, driver } = self;
        drop(driver);
        Ok(store.close()?)
    }
}

/// A phone in memory over a store that holds who it is.
///
/// # Errors
/// When it can't be read.
pub fn memory_phone(store: Arc<dyn samenspraak_core::store::Store>) -> Result<Driver, Problem> {
    Ok(Driver::open(store)?)
}

/// A resident's phone in memory that joined with a card and heard nothing yet.
///
/// # Errors
/// When it can't join.
pub fn fresh_memory_phone(wijk: &Kept, card: usize) -> Result<Driver, Problem> {
    let mut driver = memory_phone(Arc::new(samenspraak_core::store::MemoryStore::new()))?;
    driver.command(Command::Join { card: wijk.card(card)? })?;
    Ok(driver)
}
