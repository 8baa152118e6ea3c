//! What the server settled, and what became of cards: who is in with one, whether it was withdrawn, and which of two entries
//! at one place of a chain stands. Nothing here is decided by who came first somewhere.

use super::Members;
use crate::model::{BatchId, DeviceId, EntryId, InvitationKey, SpaceId};

impl Members {
    /// Who joined with a card, if anybody did; `None` too for a card nobody knows. Of several the one the server settled on.
    #[must_use]
    pub fn joined_with(&self, card: InvitationKey) -> Option<DeviceId> {
        self.folded.joined.get(&card).and_then(|devices| devices.first().copied())
    }

    /// Whether a card is known and was withdrawn.
    #[must_use]
    pub fn is_withdrawn(&self, card: InvitationKey) -> bool {
        self.folded.is_withdrawn(card)
    }

    /// Whether the server settled who is in with a card.
    #[must_use]
    pub fn is_settled(&self, card: InvitationKey) -> bool {
        self.folded.settled.contains_key(&card)
    }

    /// The entry that stands at a place where the server saw two.
    #[must_use]
    pub fn fork_winner(&self, space: SpaceId, key: DeviceId, seq: u64) -> Option<EntryId> {
        match self.closed.space(space) {
            Some(closed) if space.is_closed() => closed.forks.get(&(key, seq)).map(|(_, id)| *id),
            _ => self.folded.forks.get(&(space, key, seq)).map(|(_, id)| *id),
        }
    }

    /// Whether the server ever saw two entries of this device at one place: it exists twice.
    #[must_use]
    pub fn is_forked(&self, device: DeviceId) -> bool {
        self.folded.forks.keys().any(|(_, forked, _)| *forked == device)
    }

    /// Whether the server said which of two entries at a place stands.
    #[must_use]
    pub fn fork_settled(&self, space: SpaceId, key: DeviceId, seq: u64) -> bool {
        self.fork_winner(space, key, seq).is_some()
    }

    /// Cards of a batch that nobody used.
    #[must_use]
    pub fn unused(&self, batch: BatchId) -> usize {
        let of_batch = self.folded.cards.iter().filter(|(_, card)| card.batch == Some(batch));
        of_batch.filter(|(key, _)| !self.folded.joined.contains_key(key)).count()
    }
}
