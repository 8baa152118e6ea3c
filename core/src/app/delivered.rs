//! Pieces of the server's log become commits: entries that pass the gate, and the place up to which they were delivered.

use super::erasure::Erasing;
use super::joined::{encode_sync, sync_key};
use super::loading::{is_numbered, put_number};
use super::{App, Effect, Event, Storing, Then};
use crate::entry::Kind;
use crate::gate::Verdict;
use crate::model::{EntryId, SpaceId};
use crate::replica::{BatchRefusal, Checked, Outcome, Place, RunBatch};
use crate::store::log::{Epoch, LogHead, LogItem, RUN_ITEMS_MAX, encode_run};
use crate::store::{Batch, Table, keys};
use crate::sync::phone::{Remembered, SessionError};
use crate::sync::segment::{self, At};
use crate::sync::wire::{Frame, Piece, PieceLine};
use crate::view::Numbered;

/// A piece that is being committed.
pub(super) struct Taken {
    space: SpaceId,
    /// The epoch, where something was erased that is to be confirmed.
    erased_in: Option<Epoch>,
    outcomes: Vec<Outcome>,
    numbers: Vec<(EntryId, Numbered)>,
    cursor: LogHead,
}

/// From so many items on a piece is long: storing it takes as long as checking some thousands of the next.
const LONG_ITEMS_MIN: usize = 2048;

impl Taken {
    pub(super) fn is_long(&self) -> bool {
        self.outcomes.len() >= LONG_ITEMS_MIN
    }
}

/// A piece that waits for the one before it to be stored, unpacked and checked meanwhile.
pub(super) struct Prepared {
    piece: Piece,
    batch: RunBatch,
    checked: Checked,
}

impl App {
    /// A packed piece: unpacked with what this phone has, it is taken like any other.
    pub(super) fn segment(&mut self, at: At, packed: &[u8], effects: &mut Vec<Effect>) -> Result<(), SessionError> {
        let piece = self.unpacked(at, packed)?;
        self.piece(piece, effects)
    }

    fn unpacked(&self, at: At, packed: &[u8]) -> Result<Piece, SessionError> {
        let joined = self.joined.as_ref().ok_or(SessionError::Frame)?;
        let replica = &joined.replica;
        let mut prev_of = |device, seq| match replica.head(at.space, device) {
            Some(head) if head.seq == seq => Some(head.id),
            _ => replica.entry(Place { space: at.space, device, seq }).ok().flatten().map(|entry| entry.id),
        };
        segment::unpack(joined.identity.wijk, at, packed, &mut prev_of).map_err(|_| SessionError::BadEntries)
    }

    pub(super) fn piece(&mut self, mut piece: Piece, effects: &mut Vec<Effect>) -> Result<(), SessionError> {
        let batch = piece.take_batch();
        self.deliver(&piece, &batch, None, effects)
    }

    /// Does as much as can be done now for the frame that waits first, if that is the next piece of a log that is being
    /// stored. What is wrong with it is found again, and said, when its turn comes.
    pub(super) fn prepare(&mut self) {
        if self.prepared.is_none() {
            self.prepared = self.prepared_next();
        }
    }

    fn prepared_next(&self) -> Option<Prepared> {
        let Some(Storing { then: Then::Took(taken), .. }) = &self.storing else { return None };
        let Some((_, Event::Frame(bytes))) = self.waiting.front() else { return None };
        let follows = |space, from| space == taken.space && from == taken.cursor.next;
        let mut piece = match Frame::decode(bytes).ok()? {
            Frame::Piece(piece) if follows(piece.space, piece.from) => piece,
            Frame::Segment { space, epoch, from, packed } if follows(space, from) => {
                self.unpacked(At { space, epoch, from }, &packed).ok()?
            }
            _ => return None,
        };
        let batch = piece.take_batch();
        let checked = self.joined.as_ref()?.replica.check(piece.space, &batch).ok()?;
        Some(Prepared { piece, batch, checked })
    }

    pub(super) fn take_prepared(
        &mut self,
        Prepared { piece, batch, checked }: Prepared,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SessionError> {
        self.deliver(&piece, &batch, Some(checked), effects)
    }

    fn deliver(
        &mut self,
        piece: &Piece,
        batch: &RunBatch,
        checked: Option<Checked>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SessionError> {
        let joined = self.joined.as_mut().ok_or(SessionError::Frame)?;
        let session = joined.session.as_ref().ok_or(SessionError::Frame)?;
        let epoch = session.certificate().epoch;
        let cursor = session.space(piece.space).ok_or(SessionError::Frame)?.cursor;
        let acked_seq = session.space(piece.space).map_or(0, |state| state.acked_seq);
        if piece.epoch != epoch || piece.from != cursor.next {
            return Err(SessionError::LogDiffers);
        }
        let admitted = match joined.replica.admit_checked(piece.space, batch, checked) {
            Ok(admitted) => admitted,
            Err(BatchRefusal::Replica(_)) => return Err(SessionError::NotNow),
            Err(BatchRefusal::Fork { device, .. }) => return self.give_way(piece.space, device, effects),
            Err(_) => return Err(SessionError::BadEntries),
        };
        let mut placed = admitted.entries.iter();
        let (mut head, mut rows, mut numbers) = (cursor, Batch::new(), Vec::new());
        let mut items = Vec::with_capacity(piece.lines.len());
        for (line, day, verdict) in piece.items() {
            let (id, again, shown) = match line {
                PieceLine::Again(id) => (id, true, true),
                PieceLine::Next(_) => {
                    let outcome = placed.next().ok_or(SessionError::BadEntries)?;
                    (outcome.id, false, is_numbered(outcome.kind, outcome.creates))
                }
            };
            let item = LogItem { id, day, verdict, again };
            if shown {
                let numbered = Numbered { number: head.next, day, verdict };
                put_number(&mut rows, id, &numbered);
                numbers.push((id, numbered));
            }
            head = head.after(&item);
            items.push(item);
        }
        for (first, run) in (cursor.next..).step_by(RUN_ITEMS_MAX).zip(items.chunks(RUN_ITEMS_MAX)) {
            let closes = (first + run.len() as u64 == head.next).then_some(&head.hash);
            rows.put(Table::Log, keys::log_line(piece.space, &epoch, first), encode_run(run, closes));
        }
        let compared = session.is_compared(piece.space);
        let remembered = Remembered { epoch, cursor: head, acked_seq, compared };
        rows.put(Table::Meta, sync_key(piece.space), encode_sync(&remembered));
        rows.put(Table::Meta, keys::log_head(piece.space, &epoch), crate::store::log::encode_head(&head));
        let mut batch = joined.replica.take_rows();
        let outcomes: Vec<Outcome> = admitted.entries.into_iter().chain(admitted.woken).collect();
        let erased_in = outcomes.iter().any(is_erasure).then_some(epoch);
        if let Some(epoch) = erased_in {
            Erasing::owe(&mut rows, piece.space, epoch, head.next);
        }
        batch.append(rows);
        let taken = Taken { space: piece.space, erased_in, outcomes, numbers, cursor: head };
        self.commit(batch, Then::Took(Box::new(taken)), effects);
        Ok(())
    }

    pub(super) fn took(&mut self, taken: Taken, effects: &mut Vec<Effect>) {
        let Some(joined) = &mut self.joined else { return };
        for (id, numbered) in taken.numbers {
            joined.view.numbered(id, numbered);
        }
        if let Some(session) = &mut joined.session {
            session.delivered(taken.space, taken.cursor);
            let certificate = session.certificate();
            let acked_seq = session.space(taken.space).map_or(0, |state| state.acked_seq);
            let compared = session.is_compared(taken.space);
            let remembered = Remembered { epoch: certificate.epoch, cursor: taken.cursor, acked_seq, compared };
            joined.remembered.insert(taken.space, remembered);
        }
        if let Some(epoch) = taken.erased_in {
            joined.erasing.owes(taken.space, epoch, taken.cursor.next);
        }
        let changed = self.show(&taken.outcomes);
        if !changed.is_empty() {
            effects.push(Effect::Changed(changed));
        }
    }
}

/// Whether something was erased by this, or may have been: one signature of two erases nothing, and confirming it does no
/// harm.
fn is_erasure(outcome: &Outcome) -> bool {
    outcome.kind == Kind::TOMBSTONE && outcome.verdict == Verdict::Present
}
