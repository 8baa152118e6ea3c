//! `--tamper`: changes one voice on one phone, as somebody with access to its storage could.

use samenspraak_core::entry::codec::{self, Record};
use samenspraak_core::model::Choice;
use samenspraak_core::replica::{EntryRow, Kept};
use samenspraak_core::store::{Batch, Table};

use super::compare::AnswerKey;
use super::phone::Phone;
use super::seeded::Seeded;
use crate::client::SyncError;
use crate::error::ProgramError;

/// Whose voice on what is changed, and on whose phone (all indexes).
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// The phone.
    pub phone: usize,
    /// The participant.
    pub person: usize,
    /// The statement.
    pub statement: usize,
}

/// Chooses a phone and a cell that isn't empty; `None` when all are.
pub fn choose(key: &AnswerKey, seed: u64) -> Option<Cell> {
    let mut seeded = Seeded::new(seed, "tamper", 0);
    let voices: Vec<(usize, usize)> = key.voices().collect();
    let phone = seeded.below(key.people() as u64) as usize;
    let (person, statement) = *voices.get(seeded.below(voices.len() as u64) as usize)?;
    Some(Cell { phone, person, statement })
}

/// Changes the number of the choice in the stored body of the entry.
pub fn change(phone: &mut Phone, key: &AnswerKey, cell: Cell) -> Result<(), ProgramError> {
    let driver = phone.driver()?;
    let joined = driver.app().joined().ok_or(SyncError::NotJoined)?;
    let (question, person) = (key.subject(cell.statement), key.person(cell.person));
    let failed = |what: &str| ProgramError::Stopped { what: format!("replay: --tamper found {what}") };
    let voice = joined.view().voice_of(question, person).ok_or_else(|| failed("no voice"))?;
    let place = joined.replica().place_of(voice.id)?.ok_or_else(|| failed("no place"))?;
    let row = joined.replica().entry(place)?.ok_or_else(|| failed("no entry"))?;
    let Kept::Present(body) = &row.kept else { return Err(failed("no body")) };
    let (Ok(opening), Ok(Some(Record::Voice(mut spoken)))) = (codec::opening(body), codec::decode(row.kind, body))
    else {
        return Err(failed("another record"));
    };
    spoken.choice = if spoken.choice == Choice::Agree { Choice::Disagree } else { Choice::Agree };
    let body = codec::encode(opening.as_ref(), &Record::Voice(spoken));
    let mut batch = Batch::new();
    batch.put(Table::Entry, place.encode(), EntryRow { kept: Kept::Present(body), ..row }.encode());
    Ok(driver.store().commit(&batch)?)
}
