//! A phone in a process of its own that is killed while it writes: `samenspraak replay worker DIR`.
//!
//! The replay sends one question a line and gets one answer a line. What was answered with "saved" must be there after the
//! kill; what was asked and not answered may be there or not, and is asked again of the next worker.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};

use samenspraak_core::app::{Command, Reply};
use samenspraak_core::membership::card::CardLink;
use samenspraak_core::model::{Choice, Content, EntryId, PersonId, SubjectId};
use samenspraak_core::store::StoreError;
use serde::{Deserialize, Serialize};

use super::phone::{Traffic, sync_patiently};
use super::process::own_program;
use super::seeded::Seeded;
use crate::client::{Driver, SyncError};
use crate::device::{DeviceStore, PHONE, phone_vault};
use crate::error::ProgramError;

/// What the replay asks.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Join.
    Join { entropy: [u8; 32], link: String },
    /// Have all these subjects, and sync if one is missing.
    Have { subjects: Vec<String>, address: String, seed: u64 },
    /// Write a contribution.
    Write { entropy: [u8; 32], title: String, text: String },
    /// Speak on a subject.
    Vote { entropy: [u8; 32], subject: String, choice: u64 },
}

/// What the worker answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Joined, as this person.
    Joined { person: String },
    /// Saved.
    Saved { subject: String, id: String },
    /// It read like that already.
    Unchanged,
    /// All there, after so much traffic.
    Has(Traffic),
    /// It can't.
    Failed(String),
}

/// What a command gave.
pub enum Given {
    /// An entry about a subject.
    Saved(SubjectId, EntryId),
    /// Nothing had to be written.
    Unchanged,
}

/// A statement as a contribution: its first line is the title, as far as a title goes.
pub fn content(text: &str) -> Content {
    let title = text.trim().lines().next().unwrap_or_default().trim();
    let title = title.chars().take(samenspraak_core::model::contribution::TITLE_CHARS_MAX).collect();
    Content { title, text: text.to_owned(), theme: 0, buurt: String::new() }
}

/// Opens the store of a phone, without lines in the log: here stores are mended on purpose.
pub fn open_store(path: &Path) -> Result<DeviceStore, ProgramError> {
    DeviceStore::open_quietly(path, &phone_vault(path), PHONE)
}

/// Runs the worker until its input ends or it is killed.
///
/// # Errors
/// When its store can't be opened, or nobody reads its answers.
pub async fn run(folder: &Path) -> Result<(), ProgramError> {
    let store = open_store(folder)?;
    let mut phone = Driver::open(store.rows())?;
    let io = |source| StoreError::Io { place: "the pipe to the replay".into(), source };
    for line in std::io::stdin().lines() {
        let ask = serde_json::from_str(&line.map_err(io)?);
        let answer = match ask {
            Ok(ask) => answer(&mut phone, ask).await.unwrap_or_else(|error| Answer::Failed(error.line())),
            Err(error) => Answer::Failed(error.to_string()),
        };
        let mut line = serde_json::to_vec(&answer).unwrap_or_default();
        line.push(b'\n');
        std::io::stdout().write_all(&line).map_err(io)?;
        std::io::stdout().flush().map_err(io)?;
    }
    drop(phone);
    store.close()
}

async fn answer(phone: &mut Driver, ask: Ask) -> Result<Answer, ProgramError> {
    let wrong = |what: &str| ProgramError::Argument(format!("the replay sent {what} that can't be read"));
    let subject_of = |text: &str| SubjectId::from_hex(text).ok_or_else(|| wrong("a subject"));
    match ask {
        Ask::Join { entropy, link } => {
            let card = CardLink::parse(&link).map_err(|_| wrong("a card"))?;
            match phone.command_with(entropy, Command::Join { card })? {
                Reply::Joined { person, .. } => Ok(Answer::Joined { person: person.to_string() }),
                _ => Err(SyncError::NotJoined.into()),
            }
        }
        Ask::Have { subjects, address, seed } => {
            let subjects = subjects.iter().map(|text| subject_of(text)).collect::<Result<Vec<_>, _>>()?;
            let mut traffic = Traffic::default();
            if !has_all(phone, &subjects) {
                traffic = sync_patiently(phone, &address, &mut Seeded::new(seed, "worker", 0)).await?;
            }
            Ok(Answer::Has(traffic))
        }
        Ask::Write { entropy, title, text } => {
            let content = Content { title, text, theme: 0, buurt: String::new() };
            said(phone.command_with(entropy, Command::Contribute(content))?)
        }
        Ask::Vote { entropy, subject, choice } => {
            let choice = Choice::from_number(choice).ok_or_else(|| wrong("a choice"))?;
            said(phone.command_with(entropy, Command::Speak { question: subject_of(&subject)?, choice })?)
        }
    }
}

fn said(reply: Reply) -> Result<Answer, ProgramError> {
    match reply {
        Reply::Saved { subject, id } => Ok(Answer::Saved { subject: subject.to_string(), id: id.to_string() }),
        Reply::Unchanged { .. } => Ok(Answer::Unchanged),
        _ => Err(SyncError::NotJoined.into()),
    }
}

/// Whether a phone has all these contributions.
pub fn has_all(phone: &Driver, subjects: &[SubjectId]) -> bool {
    let view = phone.app().joined().map(|joined| joined.view());
    view.is_some_and(|view| subjects.iter().all(|subject| view.document(*subject).is_some()))
}

/// The replay's side of a worker. All of it waits for the process; call it where waiting is allowed.
pub struct Worker {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

fn broken(what: impl std::fmt::Display) -> ProgramError {
    ProgramError::Stopped { what: format!("replay: a phone's process failed: {what}") }
}

impl Worker {
    /// Starts a process for the phone in `folder`.
    pub fn start(folder: &Path) -> Result<Self, ProgramError> {
        let mut process = Process::new(own_program()?);
        process.args(["replay", "worker"]).arg(folder).env("SAMENSPRAAK_LOG", "error");
        let mut child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(broken)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(questions), Some(answers)) => Ok(Self { child, questions, answers: BufReader::new(answers) }),
            _ => Err(broken("it has no pipes")),
        }
    }

    /// Asks without waiting for the answer.
    pub fn ask_only(&mut self, ask: &Ask) -> Result<(), ProgramError> {
        let mut line = serde_json::to_vec(ask).map_err(broken)?;
        line.push(b'\n');
        self.questions.write_all(&line).and_then(|()| self.questions.flush()).map_err(broken)
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, ProgramError> {
        self.ask_only(ask)?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(broken)?;
        match serde_json::from_str(&line) {
            Ok(Answer::Failed(what)) => Err(broken(what)),
            Ok(answer) => Ok(answer),
            Err(_) => Err(broken("it ended")),
        }
    }

    /// Joins; returns the person.
    pub fn join(&mut self, entropy: [u8; 32], card: &CardLink) -> Result<PersonId, ProgramError> {
        match self.ask(&Ask::Join { entropy, link: card.to_string() })? {
            Answer::Joined { person } => PersonId::from_hex(&person).ok_or_else(|| broken("a person")),
            other => Err(broken(format!("{other:?}"))),
        }
    }

    /// Makes it have these subjects.
    pub fn have(&mut self, subjects: &[SubjectId], address: &str, seed: u64) -> Result<Traffic, ProgramError> {
        let subjects = subjects.iter().map(SubjectId::to_string).collect();
        match self.ask(&Ask::Have { subjects, address: address.to_owned(), seed })? {
            Answer::Has(traffic) => Ok(traffic),
            other => Err(broken(format!("{other:?}"))),
        }
    }

    /// Writes or votes.
    pub fn act(&mut self, ask: &Ask) -> Result<Given, ProgramError> {
        match self.ask(ask)? {
            Answer::Saved { subject, id } => match (SubjectId::from_hex(&subject), EntryId::from_hex(&id)) {
                (Some(subject), Some(id)) => Ok(Given::Saved(subject, id)),
                _ => Err(broken("an id")),
            },
            Answer::Unchanged => Ok(Given::Unchanged),
            other => Err(broken(format!("{other:?}"))),
        }
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(mut self) -> Result<(), ProgramError> {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).map_err(broken)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
