//! The torture of the disk store: kill -9, power cuts and damage of every kind, each from a seed, counted.
//!
//! `kills` are real processes, `cuts` a recorded disk that is cut off anywhere, `damage` files that went bad. A case ends with
//! what it found or with what is wrong; a panic of ours is caught and counted. sled panics on its own files and is meant to
//! be survived, so its panics are not ours. The short form runs as a test, the long one as `cargo xtask torture`.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use samenspraak_core::store::StoreError;
use samenspraak_core::store::disk::{DiskOptions, DiskStore, OpenReport};

mod cuts;
mod damage;
mod kills;
pub mod words;

pub use kills::victim;

/// Small segments, so that some rotate within a case.
pub const SEGMENT_BYTES: u64 = 32 * 1024;

/// How much of what.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Processes that are killed.
    pub kills: u64,
    /// Power cuts.
    pub cuts: u64,
    /// Damages.
    pub damages: u64,
    /// What everything follows from, but for the moments at which the system kills.
    pub seed: u64,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Processes that were killed.
    pub kills: u64,
    /// Power cuts.
    pub cuts: u64,
    /// Damages.
    pub damages: u64,
    /// Cases in which acknowledged rows were lost, changed or half there, beyond what was damaged and named.
    pub lost: u64,
    /// Panics of ours.
    pub panics: u64,
    /// Openings that built the index anew.
    pub rebuilds: u64,
    /// What is wrong, case by case.
    pub problems: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "torture: {problem}")?;
        }
        let Self { kills, cuts, damages, lost, panics, rebuilds, .. } = self;
        write!(
            f,
            "torture: {kills} kills, {cuts} cuts, {damages} damages, {lost} acknowledged lost, {panics} panics, {rebuilds} rebuilds"
        )
    }
}

/// What is wrong with a case.
#[derive(Debug)]
pub enum Wrong {
    /// Something acknowledged is lost or other than it was.
    Lost(String),
    /// Something else: an error where none should be, damage that nobody reported.
    Other(String),
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<std::io::Error> for Wrong {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// Runs it all. `program` is this program, to be started as a victim with the arguments of [`victim`]; `each` is called
/// after every case, with how many are done.
#[must_use]
pub fn run(amount: Amount, program: &Path, mut each: impl FnMut(u64)) -> Tally {
    quiet_about_sled();
    let mut tally = Tally::default();
    let mut done = 0;
    let mut case = |tally: &mut Tally, what: &str, seed: u64, run: &mut dyn FnMut(&mut Tally) -> Result<(), Wrong>| {
        let wrong = match panic::catch_unwind(AssertUnwindSafe(|| run(tally))) {
            Ok(Ok(())) => None,
            Ok(Err(Wrong::Lost(what))) => {
                tally.lost += 1;
                Some(what)
            }
            Ok(Err(Wrong::Other(what))) => Some(what),
            Err(_) => {
                tally.panics += 1;
                Some("panicked".into())
            }
        };
        tally.problems.extend(wrong.map(|wrong| format!("{what} with seed {seed}: {wrong}")));
        done += 1;
        each(done);
    };
    let mut killing = kills::Killing::new(program, amount.seed);
    for number in 0..amount.kills {
        case(&mut tally, "kill", amount.seed + number, &mut |tally| killing.kill(number, tally));
    }
    let mut recording = None;
    for number in 0..amount.cuts {
        let seed = amount.seed + number;
        case(&mut tally, "power cut", seed, &mut |tally| cuts::cut(&mut recording, number, seed, tally));
    }
    for number in 0..amount.damages {
        let seed = amount.seed + number;
        case(&mut tally, "damage", seed, &mut |tally| damage::damage(number, seed, tally));
    }
    tally
}

/// Panics inside sled are expected, many, and handled; all others are still printed.
fn quiet_about_sled() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !is_of_sled(info) {
            before(info);
        }
    }));
}

/// Whether a panic began in sled or while sled's results were unwrapped by it.
fn is_of_sled(info: &panic::PanicHookInfo<'_>) -> bool {
    let place = info.location().map_or("", |location| location.file());
    let thread = std::thread::current();
    place.contains("sled-") || thread.name().is_some_and(|name| name.starts_with("sled-") || name == "index")
}

/// A store in a folder, in small segments.
fn open(dir: &Path, tally: &mut Tally) -> Result<(DiskStore, OpenReport), StoreError> {
    let options = DiskOptions { segment_bytes_max: SEGMENT_BYTES, ..DiskOptions::default() };
    let (store, report) = DiskStore::open(dir, options)?;
    tally.rebuilds += u64::from(report.index_rebuilt.is_some());
    Ok((store, report))
}
