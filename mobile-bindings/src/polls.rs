//! Secret polls: one's own answer, and the counts that the server publishes. Never anything between: who answered what is known to
//! the server alone, and small counts to nobody.

use samenspraak_core::app::PollCommand;

use crate::looks::{joined, subject};
use crate::{Progress, Voice, Wijk, WijkError};

/// A secret poll as this device knows it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Poll {
    /// What this device answered; nothing when it never did.
    pub own: Option<Ballot>,
    /// Whether the server has counted.
    pub counted: bool,
    /// Day of the newest count.
    pub counted_day: Option<u32>,
    /// Answers that ten people or more gave; what fewer gave isn't told.
    pub counts: Vec<PollCount>,
}

/// One's own secret answer.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Ballot {
    /// What it says.
    pub voice: Voice,
    /// How far it got.
    pub progress: Progress,
}

/// How many gave one answer.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct PollCount {
    /// The answer.
    pub voice: Voice,
    /// How many people.
    pub people: u64,
}

#[uniffi::export]
impl Wijk {
    /// Answers a question, which is a contribution, in secret. The last answer counts; `Withdrawn` takes it back.
    pub async fn ballot(&self, id: String, voice: Voice) -> Result<(), WijkError> {
        let command = PollCommand::Ballot { question: subject(&id)?, choice: voice.into() };
        self.command(command.into()).await.map(drop)
    }

    /// Has the server count the secret answers to a question and publish what ten people or more gave (staff).
    pub async fn ask_count(&self, id: String) -> Result<(), WijkError> {
        self.command(PollCommand::AskCount { question: subject(&id)? }.into()).await.map(drop)
    }

    /// One's own secret answer to a question, and the newest count.
    pub async fn poll(&self, id: String) -> Result<Poll, WijkError> {
        self.look(move |app| {
            let (joined, question) = (joined(app)?, subject(&id)?);
            let own = joined.own_answer(question)?;
            let own = own.map(|own| Ballot { voice: own.choice.into(), progress: own.state.into() });
            let tally = joined.tally(question);
            Ok(Poll {
                own,
                counted: tally.is_some(),
                counted_day: tally.as_ref().and_then(|tally| tally.day),
                counts: tally
                    .map(|tally| tally.counts)
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(choice, people)| PollCount { voice: choice.into(), people })
                    .collect(),
            })
        })
        .await
    }
}
