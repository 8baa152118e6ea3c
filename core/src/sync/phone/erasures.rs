//! What one connection says of erasures: which logs this phone confirmed to have scrubbed, and which subjects it asked after.

use super::SessionError;
use crate::model::{SpaceId, SubjectId};
use crate::ordered::{Map, Set};
use crate::store::log::Epoch;
use crate::sync::wire::Frame;

/// See the module.
#[derive(Debug, Default)]
pub struct Erasures {
    confirming: Map<SpaceId, u64>,
    asked: Set<(SpaceId, SubjectId)>,
}

impl Erasures {
    /// Whether everything was answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.confirming.is_empty() && self.asked.is_empty()
    }

    /// The frame that confirms a log up to a number; nothing when as much was said on this connection and not answered yet.
    pub fn confirm(&mut self, space: SpaceId, epoch: Epoch, next: u64) -> Option<Frame> {
        let before = self.confirming.insert(space, next);
        (before < Some(next)).then_some(Frame::Confirm { space, epoch, next })
    }

    /// The frame that asks how far an erasure reached; nothing when it was asked and not answered yet.
    pub fn ask(&mut self, space: SpaceId, subject: SubjectId) -> Option<Frame> {
        self.asked.insert((space, subject)).then_some(Frame::AskErased { space, subject })
    }

    /// The server keeps what was confirmed.
    ///
    /// # Errors
    /// When nothing like it was said.
    pub fn confirmed(&mut self, space: SpaceId, next: u64) -> Result<(), SessionError> {
        match self.confirming.get(&space) {
            Some(said) if *said == next => drop(self.confirming.remove(&space)),
            Some(said) if *said > next => {}
            _ => return Err(SessionError::LogDiffers),
        }
        Ok(())
    }

    /// The server said how far an erasure reached.
    ///
    /// # Errors
    /// When nobody asked.
    pub fn answered(&mut self, space: SpaceId, subject: SubjectId) -> Result<(), SessionError> {
        if self.asked.remove(&(space, subject)) { Ok(()) } else { Err(SessionError::LogDiffers) }
    }

    /// The server refuses this phone in a space: nothing more is awaited there.
    pub fn refused(&mut self, space: SpaceId) {
        self.confirming.remove(&space);
        self.asked.retain(|(asked, _)| *asked != space);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_twice_and_nothing_is_believed_that_nobody_asked() {
        let (space, subject) = (SpaceId::Open, SubjectId::new([1; 16]));
        let mut said = Erasures::default();
        assert!(said.confirm(space, [1; 16], 5).is_some());
        assert!(said.confirm(space, [1; 16], 5).is_none());
        assert!(said.confirm(space, [1; 16], 7).is_some());
        assert!(said.ask(space, subject).is_some());
        assert!(said.ask(space, subject).is_none());
        assert_eq!(said.confirmed(space, 5), Ok(()), "an answer to the first");
        assert!(!said.is_empty());
        assert_eq!(said.confirmed(space, 8), Err(SessionError::LogDiffers));
        assert_eq!(said.confirmed(space, 7), Ok(()));
        assert_eq!(said.answered(SpaceId::Inbox, subject), Err(SessionError::LogDiffers));
        assert_eq!(said.answered(space, subject), Ok(()));
        assert!(said.is_empty());
        said.ask(space, subject);
        said.confirm(space, [1; 16], 9);
        said.refused(space);
        assert!(said.is_empty());
    }
}
