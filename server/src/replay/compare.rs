//! The verdict on one copy of the conversation: every cell, every text, and whether own words arrived.

use std::collections::BTreeMap;

use samenspraak_core::app::OwnState;
use samenspraak_core::model::{Choice, PersonId, SpaceId, SubjectId};
use samenspraak_core::view::View;
use tokio::sync::Mutex;
use tokio::task::block_in_place;

use super::input::Matrix;
use super::phone::Phone;
use super::play::World;
use crate::client::SyncError;
use crate::error::ProgramError;

/// What must come out, in the ids of this replay.
pub struct AnswerKey {
    names: Vec<u64>,
    people: Vec<PersonId>,
    person_at: BTreeMap<PersonId, usize>,
    statements: Vec<(u64, SubjectId, String)>,
    statement_at: BTreeMap<SubjectId, usize>,
    expected: Matrix,
}

/// What was found on phones.
#[derive(Debug, Default)]
pub struct Findings {
    /// One line for each difference, naming the cell.
    pub differences: Vec<String>,
    /// Phones that were compared.
    pub phones: usize,
    /// Entries that they had admitted.
    pub entries: u64,
}

impl Findings {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.differences.extend(other.differences);
        self.phones += other.phones;
        self.entries += other.entries;
    }
}

fn words(choice: Option<Choice>) -> &'static str {
    match choice {
        None => "nothing",
        Some(Choice::Support) => "support",
        Some(Choice::Withdrawn) => "withdrawn",
        Some(Choice::Agree) => "agree",
        Some(Choice::Disagree) => "disagree",
        Some(Choice::Pass) => "pass",
    }
}

impl AnswerKey {
    /// Of a world in which everybody has joined and everything is written.
    pub async fn new(world: &World, phones: &[Mutex<Phone>]) -> Result<Self, ProgramError> {
        let mut people = Vec::with_capacity(phones.len());
        for phone in phones {
            people.push(phone.lock().await.person.ok_or(SyncError::NotJoined)?);
        }
        let conversation = world.conversation();
        let mut statements = Vec::with_capacity(conversation.statements.len());
        for (at, statement) in conversation.statements.iter().enumerate() {
            statements.push((statement.name, world.subject(at)?, statement.text.clone()));
        }
        Ok(Self {
            names: conversation.people.clone(),
            person_at: people.iter().copied().zip(0..).collect(),
            people,
            statement_at: statements.iter().map(|(_, subject, _)| *subject).zip(0..).collect(),
            statements,
            expected: conversation.expected.clone(),
        })
    }

    /// How many people there are.
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// A person.
    pub fn person(&self, index: usize) -> PersonId {
        self.people[index]
    }

    /// The subject of a statement.
    pub fn subject(&self, index: usize) -> SubjectId {
        self.statements[index].1
    }

    /// All cells with a voice.
    pub fn voices(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let all = (0..self.people.len()).flat_map(|person| (0..self.statements.len()).map(move |at| (person, at)));
        all.filter(|(person, statement)| self.expected.get(*person, *statement).is_some())
    }

    /// Compares all voices of a view. Returns how many it has, and a line for each cell that differs.
    pub fn compare_voices(&self, who: &str, place: &str, view: &View) -> (usize, Vec<String>) {
        let mut found = Matrix::new(self.people.len(), self.statements.len());
        let (mut count, mut lines) = (0, Vec::new());
        for (question, person, voice) in view.voices() {
            count += 1;
            match (self.person_at.get(&person), self.statement_at.get(&question)) {
                (Some(person), Some(statement)) => found.set(*person, *statement, Some(voice.choice)),
                _ => lines.push(format!("a voice of nobody in the conversation{place}")),
            }
        }
        for (person, statement) in found.differing(&self.expected) {
            let says = match found.get(person, statement) {
                None => format!("{who} has nothing"),
                says => format!("{who} says {}", words(says)),
            };
            let (name, number) = (self.names[person], self.statements[statement].0);
            let expected = words(self.expected.get(person, statement));
            lines.push(format!("participant {name}, statement {number}: {says}, expected {expected}{place}"));
        }
        (count, lines)
    }

    /// Compares all texts, given by subject. Returns a line for each that differs.
    pub fn compare_texts(&self, who: &str, place: &str, texts: &BTreeMap<SubjectId, String>) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, subject, text) in &self.statements {
            match texts.get(subject) {
                Some(found) if found == text => {}
                Some(_) => lines.push(format!("statement {number}: {who} has another text{place}")),
                None => lines.push(format!("statement {number}: {who} doesn't have it{place}")),
            }
        }
        let strange = texts.keys().filter(|subject| !self.statement_at.contains_key(subject)).count();
        lines.extend((0..strange).map(|_| format!("a statement that nobody wrote, which {who} has{place}")));
        lines
    }
}

/// Compares everything on one phone; the words of statements only where `texts` says so.
pub fn check_phone(phone: &mut Phone, key: &AnswerKey, texts: bool) -> Result<Findings, ProgramError> {
    let (index, saved) = (phone.index, std::mem::take(&mut phone.saved));
    let place = format!(" (on the phone of participant {})", key.names[index]);
    let mut found = Findings { phones: 1, ..Findings::default() };
    let driver = phone.driver()?;
    let joined = driver.app_mut().joined_mut().ok_or(SyncError::NotJoined)?;
    block_in_place(|| {
        found.differences.extend(key.compare_voices("phone", &place, joined.view()).1);
        if texts {
            let texts = joined.contributions()?.into_iter().map(|item| (item.subject, item.content.text)).collect();
            found.differences.extend(key.compare_texts("phone", &place, &texts));
        }
        for id in &saved {
            if !matches!(joined.own_entry_state(*id)?, Some(OwnState::Arrived { .. })) {
                found.differences.push(format!("entry {id} isn't shown as arrived{place}"));
            }
        }
        for space in [SpaceId::Members, SpaceId::Open] {
            found.entries += joined.replica().frontier(space).map(|(_, head)| head.seq + 1).sum::<u64>();
        }
        Ok::<(), ProgramError>(())
    })?;
    phone.saved = saved;
    Ok(found)
}
