//! Rulings and erasures by staff, and how far an erasure reached, in the terminal.

use clap::{Subcommand, ValueEnum};
use samenspraak_core::app::moderate::{ErasureItem, Hidden, Judged, RulingItem};
use samenspraak_core::app::{Command, ErasureReport, ModerateCommand};
use samenspraak_core::model::{Measure, MeetingText, SubjectId};

use super::print::{self, one_line};
use super::{by_beginning, own_address};
use crate::client::{Driver, SyncError};
use crate::error::ProgramError;
use crate::messages;

/// What staff does about other people's words, and what their authors may ask. Ids may be given by their beginnings.
#[derive(Debug, Subcommand)]
pub enum ModerateAction {
    /// Rule on a contribution or a meeting, with ground and reason (facilitators and board).
    Rule {
        /// Its id.
        id: String,
        /// What is ruled.
        measure: MeasureName,
        /// The law or the rule of the house it rests on.
        #[arg(long)]
        ground: String,
        /// Why, in simple words, for the author.
        #[arg(long)]
        reason: String,
        /// The sealed notice or appeal it answers: its id, in full.
        #[arg(long)]
        answers: Option<String>,
    },
    /// What was ruled on, hidden words included (facilitators and board).
    Rulings,
    /// Erasures with a legal ground: those that wait for a signature, and those done.
    Erasures,
    /// On how many devices something you erased is gone. Needs the server.
    EraseReport {
        /// Its id.
        id: String,
        /// Another address than the one on the card.
        #[arg(long, value_name = "URL")]
        server: Option<String>,
    },
}

/// What can be ruled, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum MeasureName {
    /// It may be seen.
    Keep,
    /// It is hidden for everybody but its author.
    Hide,
}

/// Runs one action.
///
/// # Errors
/// When it can't be done.
pub(super) async fn run(phone: &mut Driver, action: ModerateAction) -> Result<(), ProgramError> {
    match action {
        ModerateAction::Rule { id, measure, ground, reason, answers } => {
            let about = document(phone, &id)?;
            let measure = match measure {
                MeasureName::Keep => Measure::Keep,
                MeasureName::Hide => Measure::Hide,
            };
            let answers = answers.map(|id| SubjectId::from_hex(&id).ok_or_else(|| wrong_id(&id))).transpose()?;
            let reply = phone.command(ModerateCommand::Rule { about, measure, ground, reason, answers }.into())?;
            print::saved(phone, &reply)
        }
        ModerateAction::Rulings => rulings(phone),
        ModerateAction::Erasures => erasures(phone),
        ModerateAction::EraseReport { id, server } => report(phone, &id, server).await,
    }
}

fn wrong_id(id: &str) -> ProgramError {
    ProgramError::Argument(format!("{id} is no id: 32 digits are expected"))
}

/// The one contribution or meeting whose id begins like this, hidden ones included.
fn document(phone: &Driver, id: &str) -> Result<SubjectId, ProgramError> {
    let view = phone.app().joined().ok_or(SyncError::NotJoined)?.view();
    let all = view.contributions().chain(view.meetings()).map(|(subject, _)| subject);
    by_beginning("contribution or meeting", id, all)
}

/// Signs for the erasure of somebody else's words.
pub(super) fn erase_by_ground(phone: &mut Driver, id: &str, ground: String) -> Result<(), ProgramError> {
    let subject = document(phone, id)?;
    let reply = phone.command(ModerateCommand::EraseByGround { subject, ground }.into())?;
    print::saved(phone, &reply)
}

/// Writes a meeting anew, with other words in one item and perhaps another title.
pub(super) fn rewrite(
    phone: &mut Driver,
    subject: SubjectId,
    (item, text): (usize, String),
    title: Option<String>,
) -> Result<(), ProgramError> {
    let joined = phone.app_mut().joined_mut().ok_or(SyncError::NotJoined)?;
    let mut anew: MeetingText = joined.meeting(subject)?.map(|meeting| meeting.text).unwrap_or_default();
    let count = anew.agenda.len();
    let Some(place) = item.checked_sub(1).and_then(|at| anew.agenda.get_mut(at)) else {
        return Err(ProgramError::Argument(format!("the agenda has {count} items; there is no item {item}")));
    };
    place.text = text;
    anew.title = title.unwrap_or(anew.title);
    let reply = phone.command(ModerateCommand::RewriteMeeting { subject, text: anew }.into())?;
    print::saved(phone, &reply)?;
    say!("{}", messages::with("rewrite-erase-old", &[("id", print::short(subject).into())]));
    Ok(())
}

/// What something says, for whoever judges it; nothing when it is gone or none of this person's business.
fn title(phone: &mut Driver, subject: SubjectId) -> Result<String, ProgramError> {
    let joined = phone.app_mut().joined_mut().ok_or(SyncError::NotJoined)?;
    Ok(match joined.judged(subject)? {
        Some(Judged::Contribution(content)) => format!("{}: {}", one_line(&content.title), one_line(&content.text)),
        Some(Judged::Meeting(meeting)) => one_line(&meeting.title),
        None => String::new(),
    })
}

fn rulings(phone: &mut Driver) -> Result<(), ProgramError> {
    let items = phone.app().joined().ok_or(SyncError::NotJoined)?.ruled();
    if items.is_empty() {
        say!("{}", messages::text("rulings-none"));
    }
    for item in items {
        say!("{}  {}", print::short(item.subject), title(phone, item.subject)?);
        item.rulings.iter().for_each(|ruling| print_ruling(ruling, None));
    }
    Ok(())
}

fn erasures(phone: &mut Driver) -> Result<(), ProgramError> {
    let items = phone.app().joined().ok_or(SyncError::NotJoined)?.erasures()?;
    if items.is_empty() {
        say!("{}", messages::text("erasures-none"));
    }
    for item in items {
        say!("{}  [{}]  {}", print::short(item.subject), standing(&item), title(phone, item.subject)?);
        for signed in &item.signatures {
            let day = signed.day.map_or_else(|| messages::text("state-saved"), messages::day);
            let person: String = signed.person.to_string().chars().take(print::ID_CHARS).collect();
            let values = [("person", person.into()), ("day", day.into())];
            say!("- {}", messages::with("erasure-signature", &values));
            say!("  {}", ground(&signed.ground));
        }
    }
    Ok(())
}

fn standing(item: &ErasureItem) -> String {
    match (item.done, item.needs_administrator()) {
        (true, _) => messages::text("erasure-done"),
        (false, true) => messages::text("erasure-waits-administrator"),
        (false, false) => messages::text("erasure-waits-second"),
    }
}

/// Syncs, so that what this phone has to say of erasures is said, asks, and hears the answer.
async fn report(phone: &mut Driver, id: &str, server: Option<String>) -> Result<(), ProgramError> {
    let address = own_address(phone, server)?;
    phone.sync_once(&address).await?;
    let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
    let staff = joined.erasures()?.into_iter().filter(|item| item.done).map(|item| item.subject);
    let known: std::collections::BTreeSet<SubjectId> = joined.own_erased()?.into_iter().chain(staff).collect();
    let subject = by_beginning("erased contribution", id, known.into_iter())?;
    phone.command(Command::ErasureReport(subject))?;
    phone.sync_once(&address).await?;
    let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
    match joined.erasure_report(subject) {
        None | Some(ErasureReport::NotThere) => say!("{}", messages::text("erase-report-unknown")),
        Some(ErasureReport::Reached(reach)) => {
            let values = [("confirmed", reach.confirmed.into()), ("devices", reach.devices.into())];
            say!("{}", messages::with("erase-report", &values));
            let left = reach.devices - reach.confirmed;
            if left > 0 {
                say!("{}", messages::with("erase-report-left", &[("left", left.into())]));
            }
        }
    }
    say!("{}", messages::text("erase-report-limits"));
    Ok(())
}

/// What was ruled, in words, with its day when there is one.
#[must_use]
pub(crate) fn ruled(item: &RulingItem) -> String {
    match (item.facts.ruling.measure, item.day) {
        (Measure::Hide, Some(day)) => messages::with("ruling-hide-on", &[("day", messages::day(day).into())]),
        (Measure::Hide, None) => messages::text("ruling-hide"),
        (Measure::Keep, Some(day)) => messages::with("ruling-keep-on", &[("day", messages::day(day).into())]),
        (Measure::Keep, None) => messages::text("ruling-keep"),
    }
}

/// That an administrator signed for an erasure.
#[must_use]
pub(crate) fn erasure_signed(day: Option<u32>) -> String {
    match day {
        Some(day) => messages::with("erasure-signed-on", &[("day", messages::day(day).into())]),
        None => messages::text("erasure-signed"),
    }
}

/// The ground of a ruling or an erasure.
#[must_use]
pub(crate) fn ground(ground: &str) -> String {
    messages::with("ruling-ground", &[("ground", one_line(ground).into())])
}

/// Prints a ruling; whom it hides words of, as `hidden` says, reads how to appeal.
pub(super) fn print_ruling(item: &RulingItem, hidden: Option<&Hidden>) {
    let ruling = &item.facts.ruling;
    say!("- {}", ruled(item));
    say!("  {}", ground(&ruling.ground));
    say!("  {}", messages::with("phone-reason", &[("reason", one_line(&ruling.reason).into())]));
    if hidden.is_some_and(|hidden| matches!(hidden, Hidden::Ruling(now) if now.facts.id == item.facts.id)) {
        say!("  {}", messages::with("ruling-appeal", &[("ruling", item.facts.id.to_string().into())]));
    }
}
