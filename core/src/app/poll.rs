//! Secret polls on a phone: a person's own answers, and the counts the server publishes.
//!
//! An answer goes into the space `ballot`, which every device only sends to: nobody but the server reads it. What this device
//! answered it knows from its own chain; what another device of the same person answered it doesn't. Of those with the same
//! counter the higher entry counts. Must never show anything but what the server signed: below `TALLY_MIN` there is nothing to show.

use super::entropy::Entropy;
use super::write::{Written, saved};
use super::{Command, CommandError, Joined, OwnState, Reply};
use crate::entry::Kind;
use crate::entry::codec::{self, Record};
use crate::model::{Choice, EntryId, Role, SpaceId, SubjectId, Voice};
use crate::replica::{About, Kept, Place, ReplicaError};

/// What can be asked about secret polls. A question is a contribution.
#[derive(Clone, Debug)]
pub enum PollCommand {
    /// Answer in secret. A later answer takes the place of an earlier one; `Withdrawn` takes it back.
    Ballot {
        /// What was asked.
        question: SubjectId,
        /// The answer.
        choice: Choice,
    },
    /// Have the server count and publish (staff).
    AskCount {
        /// What was asked.
        question: SubjectId,
    },
}

impl From<PollCommand> for Command {
    fn from(command: PollCommand) -> Self {
        Self::Poll(command)
    }
}

/// What this device answered in secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAnswer {
    /// The answer that counts.
    pub choice: Choice,
    /// How far it got.
    pub state: OwnState,
    counter: u64,
    id: EntryId,
    subject: SubjectId,
}

/// The newest count of a secret poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TallyItem {
    /// Choices that enough people made, with how many; never fewer than [`crate::model::poll::TALLY_MIN`]. Nothing when
    /// no choice has enough yet.
    pub counts: Vec<(Choice, u64)>,
    /// Day of the count.
    pub day: Option<u32>,
}

impl Joined {
    pub(super) fn poll_command(
        &mut self,
        command: PollCommand,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        match command {
            PollCommand::Ballot { question, choice } => self.ballot(question, choice, entropy),
            PollCommand::AskCount { question } => {
                if !self.has_any_role(&[Role::Facilitator, Role::Board, Role::Administrator]) {
                    return Err(CommandError::Role { needs: "facilitator or board" });
                }
                self.needs_question(question)?;
                saved(self.create(SpaceId::Open, Kind::COUNT, &Record::Count(question), entropy)?)
            }
        }
    }

    /// A contribution that this person may see, to say something about.
    pub(super) fn needs_question(&self, question: SubjectId) -> Result<(), CommandError> {
        match self.view().document(question) {
            Some((Kind::CONTRIBUTION, _)) if self.is_shown(question) => Ok(()),
            _ => Err(CommandError::Unknown { what: "contribution", subject: question }),
        }
    }

    fn ballot(&mut self, question: SubjectId, choice: Choice, entropy: &mut Entropy) -> Result<Written, CommandError> {
        self.needs_question(question)?;
        let before = self.own_answer(question)?;
        if before.map_or(choice == Choice::Withdrawn, |answer| answer.choice == choice) {
            return Ok(Written::nothing(Reply::Unchanged { subject: question }));
        }
        let counter = before.map_or(1, |answer| answer.counter.saturating_add(1));
        let record = Record::Voice(Voice { question, choice, counter, replaces: before.map(|answer| answer.id) });
        saved(match before {
            Some(answer) => {
                let about = About::Existing(answer.subject);
                self.replica.write(&self.key, SpaceId::Ballot, Kind::BALLOT, about, &record)?
            }
            None => self.create(SpaceId::Ballot, Kind::BALLOT, &record, entropy)?,
        })
    }

    /// What this device answered in secret to a question; `None` when it never did, or erased it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn own_answer(&self, question: SubjectId) -> Result<Option<OwnAnswer>, ReplicaError> {
        let (space, device) = (SpaceId::Ballot, self.key.id());
        let Some(head) = self.replica.head(space, device) else { return Ok(None) };
        let mut newest: Option<OwnAnswer> = None;
        // One person's answers to polls: dozens in a life.
        for seq in 0..=head.seq {
            let place = Place { space, device, seq };
            if let Some(entry) = self.replica.entry(place)?
                && let Kept::Present(body) | Kept::Pending(body) = &entry.kept
                && let Ok(Some(Record::Voice(voice))) = codec::decode(entry.kind, body)
                && voice.question == question
                && newest.is_none_or(|known| (known.counter, known.id) < (voice.counter, entry.id))
                && let Some(state) = self.entry_state(place, entry.id, &entry.kept)
            {
                let Voice { choice, counter, .. } = voice;
                newest = Some(OwnAnswer { choice, state, counter, id: entry.id, subject: entry.subject });
            }
        }
        Ok(newest)
    }

    /// The newest count of a secret poll that the server published; `None` when there is none, or the question is gone.
    #[must_use]
    pub fn tally(&self, question: SubjectId) -> Option<TallyItem> {
        self.needs_question(question).ok()?;
        let (id, tally) = self.view.tally_of(question)?;
        Some(TallyItem { counts: tally.counts.clone(), day: self.view.number_of(id).map(|numbered| numbered.day) })
    }
}
