//! The phone's side of one connection: what it sends in which order, and what it believes of what comes back.
//!
//! A receipt counts only when its signature is that of the epoch key, the epoch key is certified by the server's identity,
//! and the identity is the one the wijk's root named. On the very first connection that is known only when `members` is
//! complete, so receipts that come before wait. Not here: storing anything; the app commits and then goes on.

mod drops;
mod erasures;
mod refill;

use std::collections::VecDeque;

pub use drops::Drops;
pub use erasures::Erasures;
use refill::Comparison;

use super::wire::{Frame, Receipt, RefusalCode};
use super::{ServerCertificate, head_message, prove_message, receipt_message};
use crate::entry::sign::{self, Key};
use crate::gate::limits::{BATCH_BYTES_TARGET, PUSH_ENTRIES_MAX};
use crate::model::{DeviceId, SpaceId, WijkId};
use crate::ordered::Map;
use crate::replica::{Hashes, Place, Relayed, Replica, ReplicaError, RunBatch};
use crate::store::log::{Epoch, LogHead};

/// Spaces that every phone follows. Others come with what it writes there: a closed space begins with the enrolment of a
/// key, secret answers are only sent.
const EVERYBODY: [SpaceId; 2] = [SpaceId::Members, SpaceId::Open];
/// Pushes under way at once: enough to fill a slow line, few enough that little is sent twice when it breaks.
const PUSHES_IN_FLIGHT_MAX: usize = 8;

/// Why a phone ends a connection. The text is for logs and names no person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// A frame can't be read.
    #[error("the server sent a frame that can't be read")]
    Frame,
    /// Another wijk answers at this address.
    #[error("another wijk answers at this address")]
    OtherWijk,
    /// The server's certificate is false, or its identity isn't the one the wijk names.
    #[error("the server can't prove that it is this wijk's server")]
    FalseServer,
    /// A signature of the server is false.
    #[error("a signature of the server is false")]
    FalseSignature,
    /// What came isn't what was asked for.
    #[error("the server's log doesn't fit what it sent before")]
    LogDiffers,
    /// A run of the server didn't pass the gate.
    #[error("the server sent entries that can't be placed")]
    BadEntries,
    /// The server asked to come back later.
    #[error("the server asked to try again later")]
    NotNow,
    /// The server ended.
    #[error("the server said goodbye")]
    Goodbye,
}

/// Where one space stands on this connection.
#[derive(Clone, Copy, Debug)]
pub struct SpaceState {
    /// The device's key in this space.
    pub device: DeviceId,
    /// Whether the server was asked for what comes after the cursor.
    pub subscribed: bool,
    /// What was delivered and committed.
    pub cursor: LogHead,
    /// Next own sequence number to push.
    pub next_seq: u64,
    /// Own entries before this one stand in receipts.
    pub acked_seq: u64,
    /// Whether the end of the log was reached.
    pub current: bool,
    /// Whether the server refused this space or our entries in it.
    pub refused: Option<RefusalCode>,
    /// Whether hashes are sent along, because the server lacked a subject.
    pub hashes: Hashes,
}

#[derive(Debug)]
struct InFlight {
    push: u64,
    space: SpaceId,
    sent: Sent,
    /// A receipt came; it is being stored, or waits until the server is proven.
    answered: bool,
}

/// What a push carries.
#[derive(Debug)]
enum Sent {
    /// Own entries from one sequence number to before another.
    Own { first_seq: u64, end_seq: u64 },
    /// What the server lacked, whoever wrote it.
    Relayed(Relayed),
}

impl InFlight {
    fn is_relayed(&self) -> bool {
        matches!(self.sent, Sent::Relayed(_))
    }

    /// Own entries before this stand in its receipt, where those before `acked_seq` stand in others.
    fn own_end(&self, device: DeviceId, acked_seq: u64) -> u64 {
        match &self.sent {
            Sent::Own { end_seq, .. } => acked_seq.max(*end_seq),
            Sent::Relayed(relayed) => {
                let own = relayed.places.iter().filter(|at| at.device == device);
                own.fold(acked_seq, |acked, at| if at.seq == acked { acked + 1 } else { acked })
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    wijk: WijkId,
    key: Key,
    certificate: ServerCertificate,
    spaces: Map<SpaceId, SpaceState>,
    in_flight: VecDeque<InFlight>,
    next_push: u64,
    /// Receipts of a server that is not known to be the wijk's yet.
    unproven: Vec<Receipt>,
    drops: Drops,
    erasures: Erasures,
    comparisons: Map<SpaceId, Comparison>,
}

/// What a phone remembers of a space between connections.
#[derive(Clone, Copy, Debug)]
pub struct Remembered {
    /// Epoch of both numbers.
    pub epoch: Epoch,
    /// What was delivered.
    pub cursor: LogHead,
    /// Own entries before this one stand in receipts.
    pub acked_seq: u64,
    /// Whether what this phone holds was compared with what the server has in this epoch, or came from there.
    pub compared: bool,
}

impl Session {
    /// Answers a server's `Hello` with everything the phone has to say, in one flight.
    ///
    /// # Errors
    /// When the server isn't the wijk's, or own entries can't be read.
    pub fn answer(
        hello: &Frame,
        key: &Key,
        replica: &Replica,
        remembered: &Map<SpaceId, Remembered>,
    ) -> Result<Result<(Self, Vec<Frame>), SessionError>, ReplicaError> {
        let Frame::Hello { wijk, certificate, nonce } = hello else { return Ok(Err(SessionError::Frame)) };
        if *wijk != replica.wijk() {
            return Ok(Err(SessionError::OtherWijk));
        }
        let named = replica.members().server();
        if !certificate.is_valid(*wijk) || named.is_some_and(|identity| identity != certificate.identity) {
            return Ok(Err(SessionError::FalseServer));
        }
        let mut session = Self {
            wijk: *wijk,
            key: key.clone(),
            certificate: certificate.clone(),
            spaces: Map::new(),
            in_flight: VecDeque::new(),
            next_push: 0,
            unproven: Vec::new(),
            drops: Drops::default(),
            erasures: Erasures::default(),
            comparisons: Map::new(),
        };
        session.begin_spaces(replica, remembered);
        let proof = key.sign(&prove_message(*wijk, certificate.epoch_key, nonce));
        let mut frames = vec![Frame::Prove { device: key.id(), signature: proof }];
        frames.extend(session.push(replica)?);
        frames.extend(session.subscribe());
        Ok(Ok((session, frames)))
    }

    /// Takes up the spaces that everybody follows, and those in which this device has a chain.
    pub fn begin_spaces(&mut self, replica: &Replica, remembered: &Map<SpaceId, Remembered>) {
        let own = replica.spaces().into_iter().filter(|space| !EVERYBODY.contains(space));
        for space in EVERYBODY.into_iter().chain(own) {
            if self.spaces.contains_key(&space) {
                continue;
            }
            let device = self.key.in_space(self.wijk, space).id();
            if !EVERYBODY.contains(&space) && replica.head(space, device).is_none() {
                continue;
            }
            let before = remembered.get(&space);
            let known = before.filter(|known| known.epoch == self.certificate.epoch);
            let is_due = before.is_some_and(|before| known.is_none() || !before.compared);
            if is_due {
                self.must_compare(space);
            }
            // What another epoch receipted counts as far as the comparison shows that it is still there.
            let receipted = if space == SpaceId::Ballot { known } else { before };
            let acked_seq = receipted.map_or(0, |known| known.acked_seq);
            let state = SpaceState {
                device,
                subscribed: false,
                cursor: known.map_or(LogHead::empty(self.wijk, space, &self.certificate.epoch), |known| known.cursor),
                next_seq: acked_seq,
                acked_seq,
                current: space == SpaceId::Ballot,
                refused: None,
                hashes: Hashes::Omitted,
            };
            self.spaces.insert(space, state);
        }
    }

    /// Asks for the spaces that were not asked for yet; a closed one once the server took the key that this device has there.
    pub fn subscribe(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let held: Vec<(SpaceId, bool)> = self.spaces.keys().map(|space| (*space, self.holds_back(*space))).collect();
        let members_compared = self.is_compared(SpaceId::Members);
        for (space, held) in held {
            let Some(state) = self.spaces.get_mut(&space) else { continue };
            let waits = held && space != SpaceId::Members && (space.is_closed() || !members_compared);
            let may = !waits && (!space.is_closed() || state.acked_seq > 0);
            if !state.subscribed && may && space != SpaceId::Ballot && state.refused.is_none() {
                state.subscribed = true;
                frames.push(Frame::Subscribe { space, epoch: self.certificate.epoch, cursor: state.cursor });
            }
        }
        frames
    }

    /// What was put into envelopes on this connection.
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// The same, for sending more and for what the server says of them.
    pub fn drops_mut(&mut self) -> &mut Drops {
        &mut self.drops
    }

    /// What was said of erasures on this connection.
    pub fn erasures_mut(&mut self) -> &mut Erasures {
        &mut self.erasures
    }

    /// Pushes of own entries that were not sent on this connection yet, as many as may be under way.
    ///
    /// # Errors
    /// When own entries can't be read.
    pub fn push(&mut self, replica: &Replica) -> Result<Vec<Frame>, ReplicaError> {
        let mut frames = self.compare(replica)?;
        let proven = self.is_proven(replica);
        // Whoever answers at an address on a card may be anybody until `members` says who the server is. It gets the join,
        // which it needs, and no words.
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces.into_iter().filter(|space| proven || *space == SpaceId::Members) {
            if self.holds_back(space) {
                continue;
            }
            while self.in_flight.len() < PUSHES_IN_FLIGHT_MAX {
                let Some(state) = self.spaces.get_mut(&space).filter(|state| state.refused.is_none()) else { break };
                let device = state.device;
                let packed = replica.pack_chain(
                    space,
                    device,
                    state.next_seq,
                    PUSH_ENTRIES_MAX,
                    BATCH_BYTES_TARGET,
                    state.hashes,
                )?;
                let Some(packed) = packed else { break };
                let first_seq = state.next_seq;
                let end_seq = first_seq + packed.run.entries.len() as u64;
                state.next_seq = end_seq;
                let push = self.next_push;
                self.next_push += 1;
                let sent = Sent::Own { first_seq, end_seq };
                self.in_flight.push_back(InFlight { push, space, sent, answered: false });
                frames.push(Frame::Push { push, space, batch: RunBatch { runs: vec![packed.run], order: Vec::new() } });
            }
        }
        Ok(frames)
    }

    /// Who the server is.
    #[must_use]
    pub fn certificate(&self) -> &ServerCertificate {
        &self.certificate
    }

    /// Where a space stands.
    #[must_use]
    pub fn space(&self, space: SpaceId) -> Option<&SpaceState> {
        self.spaces.get(&space)
    }

    /// Whether an own entry was sent on this connection.
    #[must_use]
    pub fn was_sent(&self, space: SpaceId, seq: u64) -> bool {
        self.spaces.get(&space).is_some_and(|state| seq < state.next_seq)
    }

    /// Whether the identity of the server is the one the root named.
    #[must_use]
    pub fn is_proven(&self, replica: &Replica) -> bool {
        replica.members().server() == Some(self.certificate.identity)
    }

    /// Checks a receipt. Returns it when it counts now, and nothing when it waits until the server is proven.
    ///
    /// # Errors
    /// When it isn't the server's or answers nothing that was sent.
    pub fn receipt(&mut self, receipt: Receipt, replica: &Replica) -> Result<Option<Receipt>, SessionError> {
        let message = receipt_message(self.wijk, &receipt);
        if receipt.epoch != self.certificate.epoch
            || !sign::verify(self.certificate.epoch_key, &message, &receipt.signature)
        {
            return Err(SessionError::FalseSignature);
        }
        match self.in_flight.iter_mut().find(|sent| !sent.answered) {
            Some(sent) if sent.push == receipt.push && sent.space == receipt.space => {
                let device = self.spaces.get(&sent.space).map_or(DeviceId::ZERO, |state| state.device);
                let mut named = receipt.lines.iter().map(|line| replica.place_of(line.id).ok().flatten());
                let fits = match &sent.sent {
                    // It must name exactly what was pushed: a receipt for less would let words be forgotten.
                    Sent::Own { first_seq, end_seq } => {
                        let places = (*first_seq..*end_seq).map(|seq| Place { space: sent.space, device, seq });
                        places.map(Some).eq(named)
                    }
                    Sent::Relayed(relayed) => relayed.places.iter().all(|at| named.next() == Some(Some(*at))),
                };
                if !fits {
                    return Err(SessionError::LogDiffers);
                }
                sent.answered = true;
            }
            _ => return Err(SessionError::LogDiffers),
        }
        if self.is_proven(replica) {
            Ok(Some(receipt))
        } else {
            self.unproven.push(receipt);
            Ok(None)
        }
    }

    /// Receipts that waited for the proof of the server; taken when `members` is complete.
    ///
    /// # Errors
    /// When the wijk names another server, or none.
    pub fn proven(&mut self, replica: &Replica) -> Result<Vec<Receipt>, SessionError> {
        if self.is_proven(replica) { Ok(std::mem::take(&mut self.unproven)) } else { Err(SessionError::FalseServer) }
    }

    /// Own entries before this sequence number are receipted, now that the receipt is stored.
    pub fn acknowledged(&mut self, receipt: &Receipt) -> Option<u64> {
        let at = self.in_flight.iter().position(|sent| sent.push == receipt.push)?;
        let sent = self.in_flight.remove(at)?;
        let state = self.spaces.get_mut(&sent.space)?;
        state.acked_seq = sent.own_end(state.device, state.acked_seq);
        state.next_seq = state.next_seq.max(state.acked_seq);
        Some(state.acked_seq)
    }

    /// Own entries before this stand in receipts once the one for this push is stored.
    #[must_use]
    pub fn end_of(&self, push: u64) -> Option<u64> {
        let sent = self.in_flight.iter().find(|sent| sent.push == push)?;
        let state = self.spaces.get(&sent.space)?;
        Some(sent.own_end(state.device, state.acked_seq))
    }

    /// A refusal of a push or a subscription.
    ///
    /// # Errors
    /// When the connection can't go on.
    pub fn refused(
        &mut self,
        push: Option<u64>,
        space: SpaceId,
        code: RefusalCode,
        expected_seq: Option<u64>,
    ) -> Result<(), SessionError> {
        let at = self.in_flight.iter().position(|sent| Some(sent.push) == push);
        let sent = at.and_then(|at| self.in_flight.remove(at));
        if let Some(InFlight { sent: Sent::Relayed(relayed), .. }) = sent {
            if code == RefusalCode::NotNow {
                return Err(SessionError::NotNow);
            }
            self.relay_refused(space, relayed);
            return Ok(());
        }
        let Some(state) = self.spaces.get_mut(&space) else { return Err(SessionError::Frame) };
        match code {
            RefusalCode::NotNow => return Err(SessionError::NotNow),
            // The server stands elsewhere than we thought: what we sent behind the gap is refused too, so begin there
            // again. Once: a server that goes on asking would keep a phone sending for ever.
            RefusalCode::Gap if state.hashes == Hashes::Omitted => {
                let expected = expected_seq.ok_or(SessionError::Frame)?;
                if expected < state.next_seq {
                    state.next_seq = expected;
                    state.acked_seq = state.acked_seq.min(expected);
                }
                state.hashes = Hashes::Given;
            }
            RefusalCode::UnknownSubject if state.hashes == Hashes::Omitted => {
                state.hashes = Hashes::Given;
                state.next_seq = state.acked_seq;
            }
            // Pushes that were under way behind the one that was sent again.
            RefusalCode::Gap | RefusalCode::UnknownSubject if !self.in_flight.is_empty() => {}
            _ => state.refused = Some(code),
        }
        if push.is_none() {
            state.current = true;
            self.erasures.refused(space);
            self.comparisons.remove(&space);
        }
        Ok(())
    }

    /// Checks a signed head. It must be the one this phone computed itself.
    ///
    /// # Errors
    /// When it isn't.
    pub fn current(&mut self, frame: &Frame) -> Result<SpaceId, SessionError> {
        let Frame::Current { space, epoch, head, signature } = frame else { return Err(SessionError::Frame) };
        let message = head_message(self.wijk, *space, epoch, head);
        if *epoch != self.certificate.epoch || !sign::verify(self.certificate.epoch_key, &message, signature) {
            return Err(SessionError::FalseSignature);
        }
        let state = self.spaces.get_mut(space).ok_or(SessionError::Frame)?;
        if state.cursor != *head {
            return Err(SessionError::LogDiffers);
        }
        state.current = true;
        Ok(*space)
    }

    /// The server's log is another one than the cursor's, so it may have lost what it receipted: begin from nothing, and
    /// compare what is here with what it has.
    ///
    /// # Errors
    /// When the space isn't followed or the epoch is another one.
    pub fn restart(&mut self, space: SpaceId, epoch: Epoch) -> Result<(), SessionError> {
        if epoch != self.certificate.epoch {
            return Err(SessionError::LogDiffers);
        }
        let state = self.spaces.get_mut(&space).ok_or(SessionError::Frame)?;
        state.cursor = LogHead::empty(self.wijk, space, &epoch);
        state.current = false;
        self.must_compare(space);
        Ok(())
    }

    /// A piece was committed.
    pub fn delivered(&mut self, space: SpaceId, cursor: LogHead) {
        if let Some(state) = self.spaces.get_mut(&space) {
            state.cursor = cursor;
            state.current = false;
        }
    }

    /// Whether there is nothing left to send, to wait for or to receive.
    #[must_use]
    pub fn is_settled(&self, replica: &Replica) -> bool {
        let done = |space: SpaceId, state: &SpaceState| {
            let sent = replica.head(space, state.device).is_none_or(|head| head.seq < state.acked_seq);
            state.refused.is_some() || (state.current && sent)
        };
        self.in_flight.is_empty()
            && self.unproven.is_empty()
            && self.drops.is_empty()
            && self.erasures.is_empty()
            && self.comparisons.values().all(|comparison| matches!(comparison, Comparison::Done))
            && self.spaces.iter().all(|(space, state)| done(*space, state))
    }

    /// Why the server refused what everybody follows, or our entries in it, if it did. That a closed space is closed for
    /// somebody who left it is no failure of a sync.
    #[must_use]
    pub fn refusal(&self) -> Option<RefusalCode> {
        EVERYBODY.iter().filter_map(|space| self.spaces.get(space)).find_map(|state| state.refused)
    }
}
