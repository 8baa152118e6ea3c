//! A server that can't show what it signed: its disk went back in time, or two servers run on copies of one folder.
//!
//! A phone keeps the newest head of each log that the server signed. When the server then has another log in the same epoch,
//! the phone keeps both heads, shows the server its own signature, and goes on by comparing what each has. Must never judge by
//! it: people do, with the evidence at hand.

use super::{App, Effect, Then};
use crate::cbor::{Reader, Writer};
use crate::model::SpaceId;
use crate::replica::ReplicaError;
use crate::store::log::{Epoch, LogHead};
use crate::store::{Batch, Row, Store, Table, keys};
use crate::sync::phone::Remembered;
use crate::sync::wire::Frame;

use super::joined::{encode_sync, sync_key};

/// The beginning of their rows in `Table::Meta`.
const PREFIX: &[u8] = b"broken-history/";
/// Such events that are kept: each is a disk that was put back, and a hostile server must not fill this one.
const KEPT_MAX: usize = 64;

/// Two signed heads of one log that can't both be true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenHistory {
    /// The space.
    pub space: SpaceId,
    /// The epoch of both.
    pub epoch: Epoch,
    /// What the server had signed, as the frame in which it came.
    pub had: Frame,
    /// What it signed afterwards, once it has.
    pub shows: Option<Frame>,
}

impl BrokenHistory {
    /// The head that the server had signed.
    #[must_use]
    pub fn head(&self) -> Option<LogHead> {
        match &self.had {
            Frame::Current { head, .. } => Some(*head),
            _ => None,
        }
    }

    fn key(&self) -> Vec<u8> {
        let next = self.head().map_or(0, |head| head.next);
        [PREFIX, &self.space.to_bytes(), &self.epoch, &next.to_be_bytes()].concat()
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.array(2).bytes(&self.had.encode());
        match &self.shows {
            Some(frame) => w.bytes(&frame.encode()),
            None => w.null(),
        };
        w.finish()
    }

    fn decode(row: &Row) -> Result<Option<Self>, crate::cbor::CborError> {
        let mut r = Reader::new(&row.value);
        r.array_of(2)?;
        let had = Frame::decode(r.bytes(row.value.len())?)?;
        let shows = if r.null()? { None } else { Some(Frame::decode(r.bytes(row.value.len())?)?) };
        let Frame::Current { space, epoch, .. } = had else { return Ok(None) };
        Ok(Some(Self { space, epoch, had, shows }))
    }
}

/// All that are kept in a store.
pub(super) fn read(store: &dyn Store) -> Result<Vec<BrokenHistory>, ReplicaError> {
    let rows = store.scan(Table::Meta, PREFIX, Some(&keys::after(PREFIX)), KEPT_MAX)?;
    let wrong = |cause| ReplicaError::Row { table: Table::Meta, cause };
    rows.iter().filter_map(|row| BrokenHistory::decode(row).map_err(wrong).transpose()).collect()
}

/// Where the newest signed head of a log stands in `Table::Meta`.
pub(super) fn signed_head_key(space: SpaceId) -> Vec<u8> {
    [b"signed-head/".as_slice(), &space.to_bytes()].concat()
}

impl App {
    /// The server has another log than this phone's cursor: if it signed more than that, both are kept, and it is told.
    pub(super) fn went_back(&mut self, space: SpaceId, effects: &mut Vec<Effect>) {
        let signed = self.store.get(Table::Meta, &signed_head_key(space)).ok().flatten();
        let signed = signed.and_then(|bytes| Frame::decode(&bytes).ok());
        let Some(joined) = &mut self.joined else { return };
        let now = joined.session.as_ref().map(|session| session.certificate().epoch);
        if let Some(Frame::Current { space, epoch, head, signature }) = signed
            && now == Some(epoch)
        {
            effects.push(Effect::Send(Frame::Shown { space, epoch, head, signature }.encode()));
            let had = Frame::Current { space, epoch, head, signature };
            let broken = BrokenHistory { space, epoch, had, shows: None };
            let is_known = joined.broken.iter().any(|known| known.had == broken.had);
            if !is_known && joined.broken.len() < KEPT_MAX {
                let mut batch = Batch::new();
                batch.put(Table::Meta, broken.key(), broken.encode());
                joined.broken.push(broken);
                return self.commit(batch, Then::Noted, effects);
            }
        }
        self.push_more(effects);
    }

    /// The rows that complete what is kept of a broken history with the head that the server signs now.
    pub(super) fn complete_history(&mut self, space: SpaceId, frame: &Frame) -> Batch {
        let mut batch = Batch::new();
        let broken = self.joined.iter_mut().flat_map(|joined| &mut joined.broken);
        for broken in broken.filter(|broken| broken.space == space && broken.shows.is_none()) {
            if let Frame::Current { epoch, .. } = frame
                && *epoch == broken.epoch
            {
                broken.shows = Some(frame.clone());
                batch.put(Table::Meta, broken.key(), broken.encode());
            }
        }
        batch
    }

    /// Keeps that comparisons ended, so that the next connection doesn't compare again.
    pub(super) fn note_compared(&mut self, effects: &mut Vec<Effect>) {
        let Some(joined) = &mut self.joined else { return };
        let Some(session) = &mut joined.session else { return };
        let mut batch = Batch::new();
        for space in session.take_compared() {
            let Some(state) = session.space(space) else { continue };
            let (epoch, cursor, acked_seq) = (session.certificate().epoch, state.cursor, state.acked_seq);
            let remembered = Remembered { epoch, cursor, acked_seq, compared: true };
            batch.put(Table::Meta, sync_key(space), encode_sync(&remembered));
            joined.remembered.insert(space, remembered);
        }
        if !batch.is_empty() {
            self.commit(batch, Then::Compared, effects);
        }
    }
}

impl super::Joined {
    /// The epoch of the server's log of `members` that this phone follows.
    #[must_use]
    pub fn server_epoch(&self) -> Option<Epoch> {
        self.remembered.get(&SpaceId::Members).map(|known| known.epoch)
    }

    /// What the server signed and could not show later.
    #[must_use]
    pub fn broken_histories(&self) -> &[BrokenHistory] {
        &self.broken
    }
}
