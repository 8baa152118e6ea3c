//! Secret polls in the terminal.

use clap::Subcommand;
use samenspraak_core::app::{Command, PollCommand};
use samenspraak_core::model::{Choice, SubjectId};

use super::{VoiceChoice, contribution, print};
use crate::client::{Driver, SyncError};
use crate::error::ProgramError;
use crate::messages;

/// What can be done with secret polls. A question is a contribution.
#[derive(Debug, Subcommand)]
pub enum PollAction {
    /// Answer in secret: nobody but the server reads it, and it publishes only counts of 10 and more.
    Ballot {
        /// The question's id, or the beginning of it.
        id: String,
        /// Your answer.
        choice: VoiceChoice,
    },
    /// Have the server count the secret answers (facilitators, board, administrators).
    Count {
        /// The question's id, or the beginning of it.
        id: String,
    },
    /// Your own secret answer, and the newest count.
    Poll {
        /// The question's id, or the beginning of it.
        id: String,
    },
}

/// Runs one action.
///
/// # Errors
/// When it can't be done.
pub(super) fn run(phone: &mut Driver, action: PollAction) -> Result<(), ProgramError> {
    let (command, question): (Command, SubjectId) = match action {
        PollAction::Ballot { id, choice } => {
            let question = contribution(phone, &id)?;
            (PollCommand::Ballot { question, choice: choice.into() }.into(), question)
        }
        PollAction::Count { id } => {
            let question = contribution(phone, &id)?;
            (PollCommand::AskCount { question }.into(), question)
        }
        PollAction::Poll { id } => {
            let question = contribution(phone, &id)?;
            return show(phone, question);
        }
    };
    phone.command(command)?;
    say!("{question}  {}", messages::text("state-saved"));
    Ok(())
}

fn choice_name(choice: Choice) -> String {
    match choice {
        Choice::Support => messages::text("choice-support"),
        Choice::Withdrawn => messages::text("choice-withdrawn"),
        Choice::Agree => messages::text("choice-agree"),
        Choice::Disagree => messages::text("choice-disagree"),
        Choice::Pass => messages::text("choice-pass"),
    }
}

fn show(phone: &Driver, question: SubjectId) -> Result<(), ProgramError> {
    let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
    match joined.own_answer(question)? {
        Some(own) => {
            let values = [("choice", choice_name(own.choice).into())];
            say!("{}  [{}]", messages::with("poll-own", &values), print::state(own.state));
        }
        None => say!("{}", messages::text("poll-no-own")),
    }
    let Some(tally) = joined.tally(question) else {
        say!("{}", messages::text("poll-not-counted"));
        return Ok(());
    };
    if let Some(day) = tally.day {
        say!("{}", messages::with("poll-counted-on", &[("day", messages::day(day).into())]));
    }
    for (choice, count) in &tally.counts {
        say!("- {}: {count}", choice_name(*choice));
    }
    say!("{}", messages::text("poll-too-few"));
    Ok(())
}
