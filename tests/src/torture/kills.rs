//! kill -9 of a real process that commits from several threads and says on a pipe what was acknowledged.
//!
//! The same folder goes through many lives, so that what a kill leaves is opened, used and killed again. Some lives end by
//! themselves, closed; in some a second process asks for the store while the first has it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{io, process, thread};

use samenspraak_core::store::disk::sim::Random;
use samenspraak_core::store::disk::{DiskOptions, DiskStore};
use samenspraak_core::store::{Store, StoreError};

use super::words::{all_rows, batch, count, of_writer, rows_of};
use super::{SEGMENT_BYTES, Tally, Wrong, is_of_sled, open};

/// Threads of a victim that commit at once, so that they share flushes.
const WRITERS: u8 = 4;
/// Lives of one folder; more would make every check longer, not harder.
const LIVES: u64 = 25;
/// A victim is killed after at most so many acknowledgements.
const ACKNOWLEDGED_MAX: u64 = 120;
/// One of the writers scrubs after so many of its commits.
const COMMITS_PER_SCRUB: u64 = 30;
/// The victim's code for a panic of ours.
const PANICKED: i32 = 101;

/// The victim: opens the store in `dir`, commits from all writers, prints `writer number` for every commit that returned, and
/// closes after `commits` if nobody killed it before. Never returns.
pub fn victim(dir: &Path, seed: u64, commits: u64) -> ! {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !is_of_sled(info) {
            before(info);
            process::exit(PANICKED);
        }
    }));
    let options = DiskOptions { segment_bytes_max: SEGMENT_BYTES, ..DiskOptions::default() };
    let ended = DiskStore::open(dir, options).and_then(|(store, _)| {
        say("open");
        let left = AtomicU64::new(commits);
        thread::scope(|scope| {
            let (store, left) = (&store, &left);
            let writers: Vec<_> =
                (0..WRITERS).map(|writer| scope.spawn(move || write(store, seed, writer, left))).collect();
            // A panic has ended the process already.
            writers.into_iter().filter_map(|writer| writer.join().ok()).collect::<Result<(), StoreError>>()
        })?;
        store.close()
    });
    match ended {
        Ok(()) => process::exit(0),
        Err(error) => {
            say(&format!("error {error}"));
            process::exit(1)
        }
    }
}

fn write(store: &DiskStore, seed: u64, writer: u8, left: &AtomicU64) -> Result<(), StoreError> {
    let mut number = count(store, writer)?;
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        store.commit(&batch(seed, writer, number))?;
        number += 1;
        say(&format!("{writer} {number}"));
        if writer == 0 && number % COMMITS_PER_SCRUB == 0 {
            store.scrub()?;
        }
    }
    Ok(())
}

/// One line for whoever kills; without a reader there is nothing left to do.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        process::exit(1);
    }
}

/// A folder that goes through life after life.
pub struct Killing {
    program: PathBuf,
    seed: u64,
    dir: Option<tempfile::TempDir>,
    /// Acknowledged batches, by writer.
    acknowledged: [u64; WRITERS as usize],
}

impl Killing {
    /// Nothing is made before the first kill.
    pub fn new(program: &Path, seed: u64) -> Self {
        Self { program: program.to_path_buf(), seed, dir: None, acknowledged: [0; WRITERS as usize] }
    }

    /// One life, and a look at what it left.
    pub fn kill(&mut self, number: u64, tally: &mut Tally) -> Result<(), Wrong> {
        let mut random = Random(self.seed.wrapping_mul(31) + number);
        let seed = self.seed + number / LIVES;
        if number.is_multiple_of(LIVES) {
            self.dir = Some(tempfile::tempdir()?);
            self.acknowledged = [0; WRITERS as usize];
        }
        let Some(dir) = self.dir.as_ref().map(|dir| dir.path().join("store")) else { return Ok(()) };
        std::fs::create_dir_all(&dir)?;
        self.live(&dir, seed, &mut random)?;
        tally.kills += 1;

        let (store, _) = open(&dir, tally)?;
        let found = all_rows(&store)?;
        for (writer, acknowledged) in (0..).zip(&mut self.acknowledged) {
            let durable = count(&store, writer)?;
            // One more may have been flushed without anybody having heard of it.
            if durable < *acknowledged || durable > *acknowledged + 1 {
                let what = format!("writer {writer} was told of {acknowledged} commits, {durable} are there");
                return Err(Wrong::Lost(what));
            }
            if of_writer(&found, writer) != rows_of(seed, writer, durable) {
                return Err(Wrong::Lost(format!("writer {writer} has other rows than its {durable} commits left")));
            }
            *acknowledged = durable;
        }
        if random.below(3) == 0 {
            store.close()?;
        }
        Ok(())
    }

    fn live(&mut self, dir: &Path, seed: u64, random: &mut Random) -> Result<(), Wrong> {
        let ends_by_itself = random.below(10) == 0;
        let commits = if ends_by_itself { random.below(ACKNOWLEDGED_MAX) } else { u64::MAX };
        let mut child = Command::new(&self.program)
            .args(["victim", &dir.display().to_string(), &seed.to_string(), &commits.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let heard = self.listen(&mut child, dir, ends_by_itself, random);
        // Dead already, perhaps.
        let _ = child.kill();
        // What was said before the kill stands in the pipe still.
        let heard = heard.and_then(|lines| lines.map_or(Ok(()), |mut lines| self.hear(&mut lines, None).map(|_| ())));
        let status = child.wait()?;
        heard?;
        match status.code() {
            Some(PANICKED) => panic!("the victim panicked"),
            Some(code) if code != 0 => Err(Wrong::Other(format!("the victim ended with {code}"))),
            _ => Ok(()),
        }
    }

    fn listen(
        &mut self,
        child: &mut Child,
        dir: &Path,
        to_the_end: bool,
        random: &mut Random,
    ) -> Result<Option<impl Iterator<Item = io::Result<String>> + use<>>, Wrong> {
        let Some(out) = child.stdout.take() else { return Ok(None) };
        let mut lines = BufReader::new(out).lines();
        let moment = random.below(8);
        if moment == 0 {
            // While it starts or opens.
            thread::park_timeout(Duration::from_micros(random.below(60_000)));
            return Ok(Some(lines));
        }
        let is_open = self.hear(&mut lines, Some(1))?;
        if is_open && moment == 1 {
            let options = DiskOptions { segment_bytes_max: SEGMENT_BYTES, ..DiskOptions::default() };
            let busy = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Busy { .. }));
            let second = DiskStore::open(dir, options).map(|_| ());
            let reader = DiskStore::open_read_only(dir).map(|_| ());
            // A short victim may be over by now.
            let kept_out = busy(second) && busy(reader);
            if !to_the_end && !kept_out {
                return Err(Wrong::Other("two processes had the store at once".into()));
            }
        }
        self.hear(&mut lines, (!to_the_end).then(|| random.below(ACKNOWLEDGED_MAX)))?;
        if !to_the_end {
            thread::park_timeout(Duration::from_micros(random.below(3_000)));
        }
        Ok(Some(lines))
    }

    /// Takes down what is said, up to so many lines; returns whether there may be more.
    fn hear(
        &mut self,
        lines: &mut impl Iterator<Item = io::Result<String>>,
        at_most: Option<u64>,
    ) -> Result<bool, Wrong> {
        let mut heard = 0;
        while at_most.is_none_or(|at_most| heard < at_most) {
            let Some(line) = lines.next() else { return Ok(false) };
            let line = line?;
            heard += 1;
            if line.starts_with("error") {
                return Err(Wrong::Other(format!("the victim said: {line}")));
            }
            let told = line.split_once(' ').and_then(|(writer, number)| {
                Some((self.acknowledged.get_mut(writer.parse::<usize>().ok()?)?, number.parse().ok()?))
            });
            if let Some((acknowledged, number)) = told {
                *acknowledged = number;
            }
        }
        Ok(true)
    }
}
