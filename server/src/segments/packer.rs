//! Makes segments beside the running server: when a log grew and then was quiet for a moment, or when something was taken away.
//!
//! The end of a log is packed in short segments first, and those together into long ones, so that a phone that was away for a
//! day gets a short one, a new phone gets long ones, and no item is packed more than a few times. Reads the log as every
//! connection does and holds nobody up. Not here: what a segment says (`samenspraak_core::sync::segment`).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use samenspraak_core::model::SpaceId;
use samenspraak_core::store::StoreError;
use samenspraak_core::sync::pieces::PieceError;
use samenspraak_core::sync::segment;
use samenspraak_core::sync::wire::Frame;

use super::{Made, Segments};
use crate::error::ProgramError;

/// A log that grew is packed when nothing came for so long: a meeting in full swing isn't held up.
const QUIET: Duration = Duration::from_millis(500);
/// And at the latest after this, so that a busy server packs too.
const LATEST: Duration = Duration::from_secs(20);
/// Fewer items at the end of a log aren't packed: as a piece they are some kilobytes.
const ITEMS_MIN: u64 = 48;
/// So many short segments at the end of a log are packed into one.
const SHORT_MAX: usize = 6;
/// How hard it compresses, on zstd's scale to 22. Measured on 1,000 documents: 425 kB against 488 kB at 9 and 514 kB at 3. It
/// happens once, sending happens for every phone.
const LEVEL: i32 = 19;

/// The thread that makes segments.
pub struct Packer {
    stopping: Arc<AtomicBool>,
    grown: Mutex<Option<Sender<BTreeSet<SpaceId>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Packer {
    /// Starts it; it looks at all logs first.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(segments: Arc<Segments>) -> Result<Self, ProgramError> {
        let (grown, told) = channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stopping);
        let work = move || run(&segments, &told, &asked);
        let thread = std::thread::Builder::new().name("packer".into()).spawn(work);
        let thread = thread.map_err(|source| StoreError::Io { place: "a thread for packing".to_owned(), source })?;
        Ok(Self { stopping, grown: Mutex::new(Some(grown)), thread: Mutex::new(Some(thread)) })
    }

    /// Says that these logs grew, or that something in them was taken away.
    pub fn grew(&self, spaces: impl IntoIterator<Item = SpaceId>) {
        if let Some(grown) = &*self.grown.lock().unwrap_or_else(PoisonError::into_inner) {
            // The thread ends only after this side does.
            let _ = grown.send(spaces.into_iter().collect());
        }
    }

    /// Ends the thread, after what it is in the middle of.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        drop(self.grown.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // All that it makes can be made again.
            let _ = thread.join();
        }
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(segments: &Segments, told: &Receiver<BTreeSet<SpaceId>>, stopping: &AtomicBool) {
    let mut spaces = segments.reader.spaces().unwrap_or_else(|error| {
        tracing::warn!(%error, "the logs can't be listed; they are packed when they grow");
        BTreeSet::new()
    });
    loop {
        for space in std::mem::take(&mut spaces) {
            if let Err(error) = pack(segments, space, stopping) {
                tracing::warn!(%space, %error, "a log can't be packed; phones are sent pieces");
            }
        }
        segments.note();
        match told.recv() {
            Ok(grown) => spaces.extend(grown),
            Err(_) => return,
        }
        let latest = Instant::now() + LATEST;
        loop {
            match told.recv_timeout(QUIET.min(latest.saturating_duration_since(Instant::now()))) {
                Ok(grown) => spaces.extend(grown),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// What of a log is to be packed: from where to where, in order.
fn stretches(segments: &Segments, space: SpaceId) -> Result<Vec<(u64, u64)>, PieceError> {
    let end = segments.reader.head(space)?.next;
    let state = segments.state();
    let known = state.segments.get(&space).map_or(&[][..], Vec::as_slice);
    let (mut next, mut stretches) = (0, Vec::new());
    for segment in known {
        if segment.from > next {
            stretches.push((next, segment.from));
        }
        next = segment.next;
    }
    if end - next >= ITEMS_MIN {
        let short = known.iter().rev().take_while(|segment| !segment.full).count();
        let together = if short >= SHORT_MAX { known.get(known.len() - short) } else { None };
        stretches.push((together.map_or(next, |first| first.from), end));
    }
    Ok(stretches)
}

fn pack(segments: &Segments, space: SpaceId, stopping: &AtomicBool) -> Result<(), PieceError> {
    segments.refresh()?;
    for (mut from, until) in stretches(segments, space)? {
        while from < until && !stopping.load(Ordering::Relaxed) {
            let as_of = segments.state().taken_away;
            let Some((read, full)) = segments.reader.read_segment(space, from, until)? else { break };
            let (epoch, next) = (read.piece.epoch, read.head.next);
            // What can't be packed is sent as pieces.
            let packed = segment::pack(segments.wijk, &read.piece)
                .and_then(|plain| zstd::bulk::compress(&plain, LEVEL).ok())
                .filter(|packed| packed.len() <= segment::SEGMENT_BYTES_MAX);
            if let Some(packed) = packed {
                let bytes = Frame::Segment { space, epoch, from, packed }.encode();
                let full =
                    full || next == until && segments.next_after(space, from).is_some_and(|after| after == until);
                if !segments.publish(&Made { space, from, head: read.head, bytes, full, as_of }) {
                    return Ok(());
                }
            }
            from = next;
        }
    }
    Ok(())
}
