//! `demo`: a wijk full of made-up input, so that everything can be tried at once.
//!
//! Every resident is a phone of their own, joined by a card; everything goes through the commands of the core and through
//! sync. Nothing is written behind their back. Four weeks go by while it is made: the days of receipt are made up, like the
//! rest. What it holds stands in `server/demo/wijk.toml`; `content` reads and checks it.

mod content;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use samenspraak_core::app::{Command, Reply};
use samenspraak_core::document::Splice;
use samenspraak_core::document::meeting::MeetingEdit;
use samenspraak_core::membership::card::CardLink;
use samenspraak_core::model::{Content, Decision, EntryId, Role, SubjectId};
use samenspraak_core::store::MemoryStore;

use crate::client::{Driver, SyncError};
use crate::date::today;
use crate::error::ProgramError;
use crate::local;
use crate::wijk::Founding;
use content::{Demo, DemoContribution, RESIDENTS};

/// Days that go by while the demo is made.
const DAYS: u32 = 28;
/// Of these, the days on which contributions come in; then people read and speak, then the board decides.
const WRITING_DAYS: u32 = 21;
const SPEAKING_DAY: u32 = 24;
const MEETING_DAY: u32 = 25;

/// Makes the demo wijk in a new folder, and says what it made.
///
/// # Errors
/// When the folder is in use or can't be written.
pub fn make(path: &Path, address: &str) -> Result<(), ProgramError> {
    let demo = content::read()?;
    let made = Making::begin(path, address, &demo)?.make(&demo)?;
    say!("demo wijk {} made in {}: {made}", demo.wijk.name, path.display());
    say!("to serve it: samenspraak serve FOLDER --show-card");
    Ok(())
}

struct Making {
    wijk: Founding,
    first_day: u32,
    residents: Vec<Driver>,
    facilitator: Driver,
    /// Board members beside the first board device.
    members: Vec<Driver>,
    subjects: BTreeMap<String, SubjectId>,
    voices: usize,
}

/// A phone of somebody who just got a card.
fn join(card: CardLink) -> Result<Driver, ProgramError> {
    let mut phone = Driver::open(Arc::new(MemoryStore::new()))?;
    phone.command(Command::Join { card })?;
    Ok(phone)
}

fn saved(reply: &Reply) -> Result<(SubjectId, EntryId), ProgramError> {
    match reply {
        Reply::Saved { subject, id } => Ok((*subject, *id)),
        // Nothing of the demo reads like something before it; its content is checked for that.
        _ => Err(ProgramError::Sync(SyncError::NotJoined)),
    }
}

impl Making {
    fn begin(path: &Path, address: &str, demo: &Demo) -> Result<Self, ProgramError> {
        let first_day = today().saturating_sub(DAYS);
        let mut wijk = Founding::begin(path, demo.directory()?, address, first_day)?;
        let mut people = |role, count| -> Result<Vec<Driver>, ProgramError> {
            let cards = wijk.cards(role, count, first_day)?;
            let mut phones = cards.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
            phones.iter_mut().try_for_each(|phone| local::sync_on(phone, &mut wijk.server, first_day))?;
            Ok(phones)
        };
        let residents = people(Role::Resident, RESIDENTS)?;
        let facilitator = people(Role::Facilitator, 1)?.pop().ok_or(SyncError::NotJoined)?;
        let others = demo.board_members().saturating_sub(1);
        let members = if others == 0 { Vec::new() } else { people(Role::Board, others)? };
        Ok(Self { wijk, first_day, residents, facilitator, members, subjects: BTreeMap::new(), voices: 0 })
    }

    fn make(mut self, demo: &Demo) -> Result<String, ProgramError> {
        for (at, contribution) in demo.contributions.iter().enumerate() {
            let day = self.first_day + at as u32 * WRITING_DAYS / demo.contributions.len().max(1) as u32;
            self.contribute(contribution, day)?;
        }
        self.speak(demo, self.first_day + SPEAKING_DAY)?;
        self.meet(demo, self.first_day + MEETING_DAY)?;
        for (at, decision) in demo.decisions.iter().enumerate() {
            let after = at as u32 * (DAYS - MEETING_DAY) / demo.decisions.len().max(1) as u32;
            self.decide(decision, self.first_day + MEETING_DAY + after)?;
        }
        // The board's page shows all of it from the first moment.
        local::sync_on(&mut self.wijk.board, &mut self.wijk.server, self.first_day + DAYS)?;
        let Self { wijk, voices, .. } = self;
        wijk.finish()?;
        let count =
            |things: usize, one: &str, several: &str| format!("{things} {}", if things == 1 { one } else { several });
        Ok(format!(
            "{}, {}, {}, {}, {}",
            count(RESIDENTS, "resident", "residents"),
            count(demo.contributions.len(), "contribution", "contributions"),
            count(voices, "voice", "voices"),
            count(demo.meetings.len(), "meeting", "meetings"),
            count(demo.decisions.len(), "decision", "decisions"),
        ))
    }

    fn contribute(&mut self, contribution: &DemoContribution, day: u32) -> Result<(), ProgramError> {
        let author = resident(&mut self.residents, contribution.author)?;
        let reply = author.command(Command::Contribute(Content {
            title: contribution.title.clone(),
            text: contribution.text.clone(),
            theme: contribution.theme,
            buurt: contribution.buurt.clone(),
        }))?;
        self.subjects.insert(contribution.id.clone(), saved(&reply)?.0);
        local::sync_on(author, &mut self.wijk.server, day)
    }

    /// Everybody receives everything, says what they think, and sends it at once, as after an evening of reading.
    fn speak(&mut self, demo: &Demo, day: u32) -> Result<(), ProgramError> {
        for person in 1..=RESIDENTS {
            let phone = resident(&mut self.residents, person)?;
            local::sync_on(phone, &mut self.wijk.server, day)?;
            for contribution in &demo.contributions {
                for (people, choice) in contribution.voices() {
                    if people.contains(&person) {
                        let question = subject(&self.subjects, &contribution.id)?;
                        saved(&phone.command(Command::Speak { question, choice })?)?;
                        self.voices += 1;
                    }
                }
            }
            local::sync_on(phone, &mut self.wijk.server, day)?;
        }
        Ok(())
    }

    fn meet(&mut self, demo: &Demo, day: u32) -> Result<(), ProgramError> {
        local::sync_on(&mut self.facilitator, &mut self.wijk.server, day)?;
        for meeting in &demo.meetings {
            let agenda = meeting.items.iter().map(|item| item.title.clone()).collect();
            let reply = self.facilitator.command(Command::NewMeeting { title: meeting.title.clone(), agenda })?;
            let subject = saved(&reply)?.0;
            for (item, notes) in meeting.items.iter().enumerate().filter(|(_, item)| !item.notes.trim().is_empty()) {
                let splice = Splice { at: 0, delete: 0, insert: notes.notes.trim().to_owned() };
                let edit = MeetingEdit::Splice { item, splice };
                self.facilitator.command(Command::EditMeeting { subject, edit })?;
            }
        }
        local::sync_on(&mut self.facilitator, &mut self.wijk.server, day)
    }

    fn decide(&mut self, decision: &content::DemoDecision, day: u32) -> Result<(), ProgramError> {
        let about = decision.about.iter().map(|id| subject(&self.subjects, id)).collect::<Result<Vec<_>, _>>()?;
        let phone = match decision.member {
            1 => &mut self.wijk.board,
            other => self.members.get_mut(other - 2).ok_or(SyncError::NotJoined)?,
        };
        local::sync_on(phone, &mut self.wijk.server, day)?;
        phone.command(Command::Decide(Decision {
            about,
            outcome: decision.outcome(),
            reason: decision.reason.clone(),
            answer: decision.answer.clone(),
            party: decision.party.clone(),
            due_day: decision.due_day()?,
            replaces: Vec::new(),
        }))?;
        local::sync_on(phone, &mut self.wijk.server, day)
    }
}

fn resident(residents: &mut [Driver], number: usize) -> Result<&mut Driver, ProgramError> {
    // The content is checked: authors and speakers are 1 to RESIDENTS.
    Ok(number.checked_sub(1).and_then(|at| residents.get_mut(at)).ok_or(SyncError::NotJoined)?)
}

fn subject(subjects: &BTreeMap<String, SubjectId>, id: &str) -> Result<SubjectId, ProgramError> {
    Ok(*subjects.get(id).ok_or(SyncError::NotJoined)?)
}
