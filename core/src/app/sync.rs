//! What the app does with frames: check, commit, and only then believe and show.

use super::history::signed_head_key;
use super::joined::{encode_receipt_line, encode_sync, sync_key};
use super::own::Stage;
use super::{App, Effect, Joined, Then, Timestamp};
use crate::gate::Verdict;
use crate::hash::Hash;
use crate::model::{DeviceId, EntryId, SpaceId};
use crate::ordered::Set;
use crate::seal::{SealPublic, seal_drop};
use crate::store::{Batch, Table, keys};
use crate::sync::phone::{Remembered, Session, SessionError};
use crate::sync::segment::At;
use crate::sync::wire::{Frame, Receipt, RefusalCode};

/// First wait after a lost connection; doubles with each failure.
const BACKOFF_FIRST_MS: u64 = 1_000;
/// Longest wait: a phone that finds a network again is heard within this time.
const BACKOFF_MAX_MS: u64 = 5 * 60 * 1_000;
/// The longest that a phone waits because a server asked it to. Quotas by the minute take less; one by the day is asked about
/// again every quarter of an hour, in one small flight.
const ASKED_TO_WAIT_MS_MAX: u64 = 15 * 60 * 1000;

impl App {
    pub(super) fn frame(&mut self, bytes: &[u8], effects: &mut Vec<Effect>) {
        let result = match self.prepared.take() {
            Some(prepared) => self.take_prepared(prepared, effects),
            None => {
                Frame::decode(bytes).map_err(|_| SessionError::Frame).and_then(|frame| self.take_frame(frame, effects))
            }
        };
        if let Err(error) = result {
            self.forget_uncommitted();
            if let Some(joined) = &mut self.joined {
                joined.session = None;
            }
            effects.push(Effect::Disconnect(error));
        }
    }

    fn take_frame(&mut self, frame: Frame, effects: &mut Vec<Effect>) -> Result<(), SessionError> {
        let joined = self.joined.as_mut().ok_or(SessionError::OtherWijk)?;
        if matches!(frame, Frame::Hello { .. }) && joined.session.is_none() {
            let answered = Session::answer(&frame, &joined.key, &joined.replica, &joined.remembered);
            let (session, frames) = answered.map_err(|_| SessionError::NotNow)??;
            joined.session = Some(session);
            self.failed_connects = 0;
            self.presence.begin();
            effects.extend(frames.iter().map(|frame| Effect::Send(frame.encode())));
            self.speak_of_erasures(effects);
            return Ok(());
        }
        let session = joined.session.as_mut().ok_or(SessionError::Frame)?;
        match frame {
            Frame::Piece(piece) => self.piece(piece, effects),
            Frame::Segment { space, epoch, from, packed } => self.segment(At { space, epoch, from }, &packed, effects),
            Frame::Receipt(receipt) => match session.receipt(receipt, &joined.replica)? {
                Some(receipt) => {
                    let batch = self.receipt_rows(&receipt);
                    self.commit(batch, Then::Receipted(vec![receipt]), effects);
                    Ok(())
                }
                None => Ok(()),
            },
            Frame::Current { .. } => self.current(&frame, effects),
            Frame::Restart { space, epoch } => {
                session.restart(space, epoch)?;
                self.went_back(space, effects);
                Ok(())
            }
            Frame::Wanted { space, chains, holes, last } => {
                session.wanted(space, &chains, holes, last, &joined.replica)?;
                self.push_more(effects);
                self.settle(effects);
                Ok(())
            }
            Frame::Refused { push, space, code, expected_seq } => {
                if code == RefusalCode::NotNow {
                    // No server may silence a phone for long.
                    self.asked_to_wait_ms = expected_seq.unwrap_or(0).saturating_mul(1000).min(ASKED_TO_WAIT_MS_MAX);
                }
                session.refused(push, space, code, expected_seq)?;
                self.push_more(effects);
                self.settle(effects);
                Ok(())
            }
            Frame::Bye => Err(SessionError::Goodbye),
            Frame::Dropped { drop, digest, day, signature } => {
                let (wijk, certificate) = (joined.identity.wijk, session.certificate().clone());
                let what = (drop, digest, day);
                let digest = session.drops_mut().dropped(wijk, &certificate, what, &signature)?;
                self.dropped(&digest, day, effects);
                Ok(())
            }
            Frame::DropRefused { drop, code } => {
                session.drops_mut().refused(drop, code)?;
                self.settle(effects);
                Ok(())
            }
            Frame::Confirmed { space, next } => self.confirmed(space, next, effects),
            Frame::Erased { space, subject, reach } => self.reached(space, subject, reach, effects),
            Frame::Attending { subject, present, writing } => {
                self.attending(subject, present, writing, effects);
                Ok(())
            }
            Frame::Hello { .. }
            | Frame::Attend { .. }
            | Frame::Confirm { .. }
            | Frame::AskErased { .. }
            | Frame::Prove { .. }
            | Frame::Subscribe { .. }
            | Frame::Push { .. }
            | Frame::Frontier { .. }
            | Frame::Shown { .. }
            | Frame::Drop { .. } => Err(SessionError::Frame),
        }
    }

    /// The log has another branch of a chain than this phone: if the wijk's server settled that in a record that counts here,
    /// this one is set aside, and the next connection goes on along the other.
    pub(super) fn give_way(
        &mut self,
        space: SpaceId,
        device: DeviceId,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SessionError> {
        let joined = self.joined.as_mut().ok_or(SessionError::Frame)?;
        let seq = joined.replica.branches_off(space, device).map_err(|_| SessionError::NotNow)?;
        let seq = seq.ok_or(SessionError::BadEntries)?;
        let batch = joined.replica.set_aside(space, device, seq).map_err(|_| SessionError::NotNow)?;
        self.commit(batch, Then::GaveWay, effects);
        Ok(())
    }

    /// The branch is aside: everything is read anew, and asked for again on a new connection.
    pub(super) fn gave_way(&mut self, effects: &mut Vec<Effect>) {
        self.reload();
        if let Some(joined) = &mut self.joined {
            joined.session = None;
        }
        effects.push(Effect::Disconnect(SessionError::NotNow));
    }

    fn current(&mut self, frame: &Frame, effects: &mut Vec<Effect>) -> Result<(), SessionError> {
        let joined = self.joined.as_mut().ok_or(SessionError::Frame)?;
        let session = joined.session.as_mut().ok_or(SessionError::Frame)?;
        let space = session.current(frame)?;
        // Once all of `members` is here, so is what the wijk says of its server: receipts that waited for that count now.
        let receipts = if space == SpaceId::Members { session.proven(&joined.replica)? } else { Vec::new() };
        let mut batch = self.evidence(space, frame);
        batch.append(self.complete_history(space, frame));
        for receipt in &receipts {
            batch.append(self.receipt_rows(receipt));
        }
        if batch.is_empty() {
            self.push_more(effects);
        } else {
            self.commit(batch, Then::Receipted(receipts), effects);
        }
        self.settle(effects);
        Ok(())
    }

    /// The newest signed head of a log: what the server put its name to. Nothing when it is known already, so that a sync in
    /// which nothing changed writes nothing.
    fn evidence(&self, space: SpaceId, frame: &Frame) -> Batch {
        let mut batch = Batch::new();
        let key = signed_head_key(space);
        let bytes = frame.encode();
        let known = self.store.get(Table::Meta, &key).ok().flatten();
        if known.as_ref() != Some(&bytes) {
            batch.put(Table::Meta, key, bytes);
            if let Some(session) = self.joined.as_ref().and_then(|joined| joined.session.as_ref()) {
                batch.put(Table::Meta, b"server".to_vec(), session.certificate().encode());
            }
        }
        batch
    }

    fn receipt_rows(&self, receipt: &Receipt) -> Batch {
        let mut batch = Batch::new();
        for line in &receipt.lines {
            if !self.is_own(receipt.space, line.id) {
                continue;
            }
            batch.put(Table::Receipt, line.id.as_bytes().as_slice(), encode_receipt_line(line));
        }
        if let Some(first) = receipt.lines.first() {
            let key = keys::log_line(receipt.space, &receipt.epoch, first.number);
            batch.put(Table::Receipt, key, Frame::Receipt(receipt.clone()).encode());
        }
        let session = self.joined.as_ref().and_then(|joined| joined.session.as_ref());
        if let Some(session) = session
            && let (Some(end), Some(state)) = (session.end_of(receipt.push), session.space(receipt.space))
        {
            let acked_seq = state.acked_seq.max(end);
            let compared = session.is_compared(receipt.space);
            let remembered = Remembered { epoch: receipt.epoch, cursor: state.cursor, acked_seq, compared };
            batch.put(Table::Meta, sync_key(receipt.space), encode_sync(&remembered));
        }
        batch
    }

    fn is_own(&self, space: SpaceId, id: EntryId) -> bool {
        let Some(joined) = &self.joined else { return false };
        let own = joined.key_in(space).id();
        joined.replica.place_of(id).ok().flatten().is_some_and(|at| at.device == own)
    }

    pub(super) fn receipted(&mut self, receipts: &[Receipt], effects: &mut Vec<Effect>) {
        for receipt in receipts {
            self.one_receipted(receipt, effects);
        }
        self.push_more(effects);
    }

    fn one_receipted(&mut self, receipt: &Receipt, effects: &mut Vec<Effect>) {
        let Some(joined) = &mut self.joined else { return };
        let mut changed = Set::new();
        for line in &receipt.lines {
            let own = joined.key_in(receipt.space).id();
            if joined.replica.place_of(line.id).ok().flatten().is_none_or(|at| at.device != own) {
                continue;
            }
            if let Some(place) = joined.replica.place_of(line.id).ok().flatten()
                && let Some(entry) = joined.replica.entry(place).ok().flatten()
            {
                changed.insert(entry.subject);
                if matches!(line.verdict, Verdict::Refused(_)) {
                    // The server left this change out, so the next one must not build on this session.
                    joined.sessions.remove(&entry.subject);
                }
            }
            joined.receipts.insert(line.id, line.clone());
        }
        if let Some(session) = &mut joined.session
            && let Some(acked_seq) = session.acknowledged(receipt)
            && let Some(state) = session.space(receipt.space)
        {
            let compared = session.is_compared(receipt.space);
            let remembered = Remembered { epoch: receipt.epoch, cursor: state.cursor, acked_seq, compared };
            joined.remembered.insert(receipt.space, remembered);
        }
        effects.push(Effect::Changed(changed));
    }

    /// Sends own entries that were written since, if a connection is there.
    pub(super) fn push_more(&mut self, effects: &mut Vec<Effect>) {
        let Some(joined) = &mut self.joined else { return };
        let Some(session) = &mut joined.session else { return };
        session.begin_spaces(&joined.replica, &joined.remembered);
        match session.push(&joined.replica) {
            Ok(frames) => {
                let frames = frames.into_iter().chain(session.subscribe()).chain(joined.drops());
                effects.extend(frames.map(|frame| Effect::Send(frame.encode())));
            }
            Err(_) => effects.push(Effect::Disconnect(SessionError::NotNow)),
        }
    }

    /// The server has what was dropped.
    fn dropped(&mut self, digest: &Hash, day: u32, effects: &mut Vec<Effect>) {
        let Some(joined) = &mut self.joined else { return };
        let wijk = joined.identity.wijk;
        let found = joined.own.iter().find(|(_, own)| own.digest(wijk) == Some(*digest));
        let Some((subject, mut own)) = found.map(|(subject, own)| (*subject, own.clone())) else {
            return self.settle(effects);
        };
        own.stage = if own.stage == Stage::Erasing { Stage::Erased } else { Stage::Arrived { day } };
        let rows = joined.keep_own(subject, own);
        self.commit(rows, Then::Dropped(subject), effects);
    }

    /// Says so when nothing is left to do on this connection.
    pub(super) fn settle(&mut self, effects: &mut Vec<Effect>) {
        self.speak_of_erasures(effects);
        let Some(joined) = &self.joined else { return };
        let Some(session) = &joined.session else { return };
        // What is owed to closed spaces goes on the same connection.
        let owes = joined.duties_due && !self.holds_duties;
        if !owes && self.storing.is_none() && self.waiting.is_empty() && session.is_settled(&joined.replica) {
            let refusal = session.refusal();
            self.say_presence(effects);
            effects.push(Effect::Settled { refusal });
        }
    }

    pub(super) fn disconnected(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(joined) = &mut self.joined else { return };
        joined.session = None;
        effects.extend(self.presence.lost().map(|subject| Effect::Changed(Set::from([subject]))));
        self.failed_connects = self.failed_connects.saturating_add(1);
        let wait = backoff_ms(self.failed_connects, joined.key.id().as_bytes());
        // Later by as much as the backoff spreads: all who were asked to wait would else come at the same moment.
        let asked = std::mem::take(&mut self.asked_to_wait_ms);
        let wait = if asked > wait { asked.saturating_add(wait) } else { wait };
        effects.push(Effect::ConnectAt(Timestamp(now.0.saturating_add(wait))));
    }
}

impl Joined {
    /// Envelopes with own sealed input, and with what takes it back, that were not sent on this connection. None before the
    /// server has proven itself and said what to seal to.
    fn drops(&mut self) -> Vec<Frame> {
        let wijk = self.identity.wijk;
        let Some(session) = self.session.as_mut().filter(|session| session.is_proven(&self.replica)) else {
            return Vec::new();
        };
        let Some(server) = self.replica.members().server_key(session.certificate().epoch_key) else {
            return Vec::new();
        };
        let mut frames = Vec::new();
        for inner in self.own.values().filter_map(|own| own.to_drop(wijk)) {
            let digest = inner.digest();
            if session.drops().was_sent(&digest) {
                continue;
            }
            // The same drop in the same envelope is the same bytes: nothing is learnt from sending it again.
            let entropy = self.key.derive("samenspraak/envelope-entropy/v1", 1, |w| {
                w.bytes(&digest);
            });
            let to = SealPublic::new(server.encryption_key);
            if let Ok(envelope) = seal_drop(&to, wijk, &self.key, &inner, entropy) {
                frames.push(session.drops_mut().send(digest, envelope));
            }
        }
        frames
    }
}

/// How long to wait before the next try: doubling, at most five minutes, spread by device so that a whole meeting doesn't
/// come back in the same second.
fn backoff_ms(failures: u32, device: &[u8; 32]) -> u64 {
    let longest = BACKOFF_FIRST_MS.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(BACKOFF_MAX_MS);
    let spread = u64::from(device[(failures as usize) % 32]);
    longest / 2 + longest / 2 * spread / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_stays_bounded_and_differs_between_devices() {
        let waits: Vec<u64> = (1..40).map(|failures| backoff_ms(failures, &[128; 32])).collect();
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(waits.iter().all(|wait| (BACKOFF_FIRST_MS / 2..=BACKOFF_MAX_MS).contains(wait)));
        assert_ne!(backoff_ms(3, &[0; 32]), backoff_ms(3, &[255; 32]));
    }
}
