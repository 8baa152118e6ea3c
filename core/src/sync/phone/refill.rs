//! Comparing frontiers: what a server lacks that says another epoch, or another log, than this phone knew.
//!
//! The phone names the ends of all chains it holds in a space, and the server says which it has less of and which bodies it
//! lacks. Exactly that goes, whoever wrote it, dependencies first. `members` comes first of all: before that a server that lost
//! everything lets nobody into the others. Where a line breaks the next connection compares again, so nothing is kept of it but
//! that it isn't finished. Must never believe the server's word for more than what to send: arrived is what a receipt says.

use std::collections::VecDeque;

use super::{InFlight, PUSHES_IN_FLIGHT_MAX, Sent, Session, SessionError};
use crate::model::{DeviceId, EntryId, SpaceId};
use crate::ordered::{Map, Set};
use crate::replica::{Lacking, Relayed, Replica, ReplicaError, RunBatch};
use crate::sync::wire::{ChainHead, FRONTIER_CHAINS_MAX, Frame};

/// One space's comparison on this connection.
#[derive(Debug)]
pub(super) enum Comparison {
    /// It hasn't begun.
    Due,
    /// The frontier was sent in so many frames that aren't answered yet.
    Asked { unanswered: usize, wanted: Map<DeviceId, u64> },
    /// What is lacking is on its way.
    Bringing(Box<Bringing>),
    /// Everything is answered.
    Done,
}

/// What is still to be brought.
#[derive(Debug)]
pub(super) struct Bringing {
    lacking: Lacking,
    holes: VecDeque<EntryId>,
    /// Runs of a batch that was refused, each by itself: one bad chain must not keep the others back.
    alone: VecDeque<Relayed>,
}

impl Session {
    /// Whether what this phone holds of a space was compared with what the server has of it, or needn't be.
    #[must_use]
    pub fn is_compared(&self, space: SpaceId) -> bool {
        matches!(self.comparisons.get(&space), None | Some(Comparison::Done))
    }

    /// Whether everything else of a space waits for comparisons.
    pub(super) fn holds_back(&self, space: SpaceId) -> bool {
        !self.is_compared(space) || !self.is_compared(SpaceId::Members)
    }

    /// Spaces whose comparison ended since this was asked last.
    pub fn take_compared(&mut self) -> Vec<SpaceId> {
        let done: Vec<SpaceId> =
            self.comparisons.iter().filter(|(_, c)| matches!(c, Comparison::Done)).map(|(space, _)| *space).collect();
        self.comparisons.retain(|_, comparison| !matches!(comparison, Comparison::Done));
        done
    }

    /// The space is compared on this connection, if it is one whose log this phone follows.
    pub(super) fn must_compare(&mut self, space: SpaceId) {
        if space != SpaceId::Ballot {
            self.comparisons.insert(space, Comparison::Due);
        }
    }

    /// What comparisons have to send now.
    pub(super) fn compare(&mut self, replica: &Replica) -> Result<Vec<Frame>, ReplicaError> {
        let mut frames = Vec::new();
        let spaces: Vec<SpaceId> = self.comparisons.keys().copied().collect();
        for space in spaces {
            if !self.is_proven(replica) || space != SpaceId::Members && !self.is_compared(SpaceId::Members) {
                continue;
            }
            if self.spaces.get(&space).is_none_or(|state| state.refused.is_some()) {
                self.comparisons.remove(&space);
                continue;
            }
            match self.comparisons.get_mut(&space) {
                Some(comparison @ Comparison::Due) => {
                    let asked = frontier(replica, space);
                    *comparison = Comparison::Asked { unanswered: asked.len(), wanted: Map::new() };
                    frames.extend(asked);
                }
                Some(Comparison::Bringing(_)) => self.bring(space, replica, &mut frames)?,
                _ => {}
            }
        }
        Ok(frames)
    }

    fn bring(&mut self, space: SpaceId, replica: &Replica, frames: &mut Vec<Frame>) -> Result<(), ReplicaError> {
        while self.in_flight.len() < PUSHES_IN_FLIGHT_MAX {
            let Some(Comparison::Bringing(bringing)) = self.comparisons.get_mut(&space) else { return Ok(()) };
            let Some(relayed) = bringing.next(space, replica)? else {
                let is_answered = !self.in_flight.iter().any(|sent| sent.space == space && sent.is_relayed());
                if is_answered {
                    self.comparisons.insert(space, Comparison::Done);
                }
                return Ok(());
            };
            let push = self.next_push;
            self.next_push += 1;
            frames.push(Frame::Push { push, space, batch: relayed.batch.clone() });
            self.in_flight.push_back(InFlight { push, space, sent: Sent::Relayed(relayed), answered: false });
        }
        Ok(())
    }

    /// The server says what it lacks.
    ///
    /// # Errors
    /// When nobody asked, or not for these chains.
    pub fn wanted(
        &mut self,
        space: SpaceId,
        chains: &[(DeviceId, u64)],
        holes: Vec<EntryId>,
        last: bool,
        replica: &Replica,
    ) -> Result<(), SessionError> {
        let Some(Comparison::Asked { unanswered, wanted }) = self.comparisons.get_mut(&space) else {
            return Err(SessionError::LogDiffers);
        };
        for (device, first_seq) in chains {
            if replica.head(space, *device).is_none_or(|head| *first_seq > head.seq) {
                return Err(SessionError::LogDiffers);
            }
            wanted.insert(*device, *first_seq);
        }
        *unanswered -= 1;
        if last != (*unanswered == 0) {
            return Err(SessionError::LogDiffers);
        }
        if !last {
            return Ok(());
        }
        let wanted = std::mem::take(wanted);
        let state = self.spaces.get_mut(&space).ok_or(SessionError::Frame)?;
        // What the server still has of this device needs no other receipt than the one that is here.
        let own = wanted.get(&state.device).copied();
        state.acked_seq = state.acked_seq.min(own.unwrap_or(u64::MAX));
        state.next_seq = state.acked_seq;
        let lacking = Lacking::new(space, wanted, Set::from([state.device]));
        let bringing = Bringing { lacking, holes: holes.into(), alone: VecDeque::new() };
        self.comparisons.insert(space, Comparison::Bringing(Box::new(bringing)));
        Ok(())
    }

    /// The server doesn't take what was relayed: its chains are tried one by one, and one that isn't taken alone is left out.
    pub(super) fn relay_refused(&mut self, space: SpaceId, relayed: Relayed) {
        let Some(Comparison::Bringing(bringing)) = self.comparisons.get_mut(&space) else { return };
        let Relayed { batch, places } = relayed;
        if let [run] = batch.runs.as_slice() {
            bringing.lacking.give_up(run.device);
            return;
        }
        for run in batch.runs {
            let places = places.iter().filter(|at| at.device == run.device).copied().collect();
            let order = vec![0; run.entries.len()];
            bringing.alone.push_back(Relayed { batch: RunBatch { runs: vec![run], order }, places });
        }
    }
}

impl Bringing {
    fn next(&mut self, space: SpaceId, replica: &Replica) -> Result<Option<Relayed>, ReplicaError> {
        if let Some(relayed) = self.alone.pop_front() {
            return Ok(Some(relayed));
        }
        if let Some(relayed) = replica.pack_lacking(&mut self.lacking)? {
            return Ok(Some(relayed));
        }
        while let Some(id) = self.holes.pop_front() {
            if let Some(relayed) = replica.pack_hole(space, id)? {
                return Ok(Some(relayed));
            }
        }
        Ok(None)
    }
}

/// The frames that say where all chains of a space stand here: at least one, for holes are asked for with it.
fn frontier(replica: &Replica, space: SpaceId) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut after = None;
    loop {
        let ends = replica.frontier_after(space, after, FRONTIER_CHAINS_MAX);
        after = ends.last().map(|(device, _)| *device);
        let last = ends.len() < FRONTIER_CHAINS_MAX;
        let chains = ends.into_iter().map(|(device, head)| ChainHead { device, seq: head.seq, id: head.id });
        frames.push(Frame::Frontier { space, chains: chains.collect(), last });
        if last {
            return frames;
        }
    }
}
