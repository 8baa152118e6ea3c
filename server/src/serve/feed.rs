//! What is sent next to whoever follows a log: encoded once, for all connections that stand at the same place.
//!
//! Long stretches come from [`Segments`] as they were stored; the end of a log, which a whole meeting reads at the same moment,
//! is read and encoded by the first connection that asks and kept for the others. Must never hand out a body that was
//! erased: whoever commits an erasure calls [`Feed::erased`] before it is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use samenspraak_core::model::{SpaceId, WijkId};
use samenspraak_core::store::log::LogHead;
use samenspraak_core::sync::pieces::{PieceError, PieceReader};
use samenspraak_core::sync::segment;
use samenspraak_core::sync::server::HeadSigner;
use samenspraak_core::sync::wire::{Frame, Piece};
use tokio::sync::watch;

use crate::segments::Segments;

/// Bytes of encoded pieces that are kept: some pieces of each log that phones follow at the moment.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A piece of fewer items isn't packed: a change that somebody typed just now should not wait for it.
const PACKED_ITEMS_MIN: usize = 16;
/// How hard what was just written is compressed, on zstd's scale to 22: quickly, for somebody waits.
const PACKED_LEVEL: i32 = 3;
/// A kept piece shorter than this is read again when the log went on: many short ones cost a phone a flush each.
const SHORT_BYTES: usize = 32 * 1024;

/// A frame, and where the log stands behind it.
#[derive(Clone)]
pub struct Next {
    /// The frame's bytes, shared by all connections that send it.
    pub bytes: Bytes,
    /// The head behind it.
    pub head: LogHead,
}

#[derive(Default)]
struct Kept {
    /// With each, whether it is a segment.
    pieces: HashMap<(SpaceId, u64), (Next, bool)>,
    bytes: usize,
    heads: HashMap<SpaceId, (LogHead, Bytes)>,
    /// Where each log ends: who has read to there is told so without a look at the store.
    ends: HashMap<SpaceId, u64>,
    /// Grows with every erasure: what was read before must not be kept after.
    erasures: u64,
}

/// See the module.
pub struct Feed {
    wijk: WijkId,
    reader: PieceReader,
    signer: HeadSigner,
    segments: Arc<Segments>,
    kept: Mutex<Kept>,
    erased: watch::Sender<u64>,
}

impl Feed {
    /// What `reader` reads and `segments` keeps.
    #[must_use]
    pub fn new(wijk: WijkId, reader: PieceReader, signer: HeadSigner, segments: Arc<Segments>) -> Self {
        Self { wijk, reader, signer, segments, kept: Mutex::default(), erased: watch::Sender::new(0) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the logs.
    #[must_use]
    pub fn reader(&self) -> &PieceReader {
        &self.reader
    }

    /// What comes at `from` of a log if that is in memory: `Some(None)` at its end, `None` when the store has to be read.
    #[must_use]
    pub fn at_hand(&self, space: SpaceId, from: u64) -> Option<Option<Next>> {
        if !self.segments.is_read() {
            return None;
        }
        let is_packed = self.segments.begins(space, from);
        let kept = self.kept();
        let end = *kept.ends.get(&space)?;
        if from >= end {
            return Some(None);
        }
        match kept.pieces.get(&(space, from)) {
            // A piece that was read before the log was packed gives way, and a short one that no longer ends the log.
            Some((next, was_packed))
                if *was_packed || !is_packed && (next.head.next >= end || next.bytes.len() >= SHORT_BYTES) =>
            {
                Some(Some(next.clone()))
            }
            _ => None,
        }
    }

    /// What comes at `from` of a log, or `None` at its end.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn next(&self, space: SpaceId, from: u64) -> Result<Option<Next>, PieceError> {
        if from >= self.end(space)? {
            return Ok(None);
        }
        // Others may have read it while this one waited for its turn.
        if let Some(next) = self.at_hand(space, from) {
            return Ok(next);
        }
        let is_packed = self.segments.begins(space, from);
        let erasures = self.kept().erasures;
        let packed = if is_packed { self.segments.frame(space, from) } else { None };
        let is_packed = packed.is_some();
        let next = match packed {
            Some((bytes, head)) => Next { bytes: bytes.into(), head },
            None => {
                let until = self.segments.next_after(space, from).unwrap_or(u64::MAX);
                let Some(read) = self.reader.read_until(space, from, until)? else { return Ok(None) };
                Next { bytes: self.encode(read.piece).into(), head: read.head }
            }
        };
        let mut kept = self.kept();
        if kept.erasures == erasures {
            if kept.bytes + next.bytes.len() > KEPT_BYTES_MAX {
                kept.pieces.clear();
                kept.bytes = 0;
            }
            kept.bytes += next.bytes.len();
            if let Some((before, _)) = kept.pieces.insert((space, from), (next.clone(), is_packed)) {
                kept.bytes -= before.bytes.len();
            }
        }
        Ok(Some(next))
    }

    /// A piece as a frame: packed where that is shorter. It happens once for all that stand at the same place.
    fn encode(&self, piece: Piece) -> Vec<u8> {
        let worth = piece.lines.len() >= PACKED_ITEMS_MIN;
        let plain = if worth { segment::pack(self.wijk, &piece) } else { None };
        let (space, epoch, from) = (piece.space, piece.epoch, piece.from);
        let as_it_is = Frame::Piece(piece).encode();
        match plain.and_then(|plain| zstd::bulk::compress(&plain, PACKED_LEVEL).ok()) {
            Some(packed) if packed.len() < as_it_is.len() / 2 => Frame::Segment { space, epoch, from, packed }.encode(),
            _ => as_it_is,
        }
    }

    /// Where a log ends.
    fn end(&self, space: SpaceId) -> Result<u64, PieceError> {
        if let Some(end) = self.kept().ends.get(&space) {
            return Ok(*end);
        }
        let next = self.reader.head(space)?.next;
        let mut kept = self.kept();
        // It may have grown since it was read.
        let end = kept.ends.entry(space).or_insert(next);
        *end = next.max(*end);
        Ok(*end)
    }

    /// These logs grew: called before anybody is woken.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn grew(&self, spaces: &[SpaceId]) -> Result<(), PieceError> {
        for space in spaces {
            let next = self.reader.head(*space)?.next;
            let mut kept = self.kept();
            let end = kept.ends.entry(*space).or_insert(next);
            *end = next.max(*end);
        }
        Ok(())
    }

    /// The signed head of a log: signed once for all that stand there.
    #[must_use]
    pub fn signed(&self, space: SpaceId, head: LogHead) -> Bytes {
        if let Some((known, bytes)) = self.kept().heads.get(&space)
            && *known == head
        {
            return bytes.clone();
        }
        let bytes: Bytes = self.signer.current(space, head).encode().into();
        self.kept().heads.insert(space, (head, bytes.clone()));
        bytes
    }

    /// Something was erased: nothing that holds it is sent from here on.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn erased(&self) -> Result<(), PieceError> {
        {
            let mut kept = self.kept();
            kept.erasures += 1;
            kept.pieces.clear();
            kept.bytes = 0;
        }
        self.segments.refresh()?;
        self.erased.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Changes whenever something was erased.
    #[must_use]
    pub fn erasures(&self) -> watch::Receiver<u64> {
        self.erased.subscribe()
    }
}
