//! What is asked for, as the core's commands: read and checked once, for the surface of every language.

use samenspraak_core::app::{App, Command, INVITE_COUNT_MAX, Reply, Sealing};
use samenspraak_core::document::Splice;
use samenspraak_core::document::meeting::MeetingEdit;
use samenspraak_core::membership::card::{CardLink, CardSecret};
use samenspraak_core::model::{Decision, EntryId, SpaceId, WijkId};

use crate::looks::subject;
use crate::{Content, Outcome, Role, Voice, WijkError};

/// A command, or why there can be none.
pub type Asked = Result<Command, WijkError>;

/// The id that a command gave.
///
/// # Errors
/// When it gave something else, which is a bug.
pub fn saved(reply: Reply) -> Result<String, WijkError> {
    match reply {
        Reply::Saved { subject, .. }
        | Reply::Unchanged { subject }
        | Reply::Sealed { subject, .. }
        | Reply::Erased { subject }
        | Reply::Asked { subject } => Ok(subject.to_string()),
        _ => Err(WijkError::unexpected("a command gave another reply than it should")),
    }
}

/// The links of cards that were made.
///
/// # Errors
/// When none were made, or this device hasn't joined.
pub fn links(app: &App, reply: Reply) -> Result<Vec<String>, WijkError> {
    let identity = app.joined().ok_or(WijkError::NotJoined)?.identity();
    let Reply::Cards { secrets, .. } = reply else {
        return Err(WijkError::unexpected("cards were asked for and not made"));
    };
    let (server, wijk) = (&identity.server, identity.wijk);
    let link = |secret| CardLink { server: server.clone(), wijk, secret, device_of: None }.to_string();
    Ok(secrets.into_iter().map(link).collect())
}

/// Reads what a card's QR code holds.
///
/// # Errors
/// [`WijkError::Card`] when it is no card.
pub fn card(text: &str) -> Result<CardLink, WijkError> {
    CardLink::parse(text).map_err(|error| WijkError::Card { detail: error.to_string() })
}

/// Turns the letters of a card into its link.
///
/// # Errors
/// When the letters are no card's, or `wijk` is no wijk.
pub fn card_link(letters: &str, wijk: &str, server: String) -> Result<String, WijkError> {
    let secret = CardSecret::parse(letters).map_err(|error| WijkError::Card { detail: error.to_string() })?;
    let wijk = WijkId::from_hex(wijk).ok_or_else(|| WijkError::invalid("a wijk has 64 hexadecimal digits"))?;
    Ok(CardLink { server, wijk, secret, device_of: None }.to_string())
}

/// Joining.
///
/// # Errors
/// When it is no card.
pub fn join(link: &str) -> Asked {
    Ok(Command::Join { card: card(link)? })
}

/// Sending something in.
#[must_use]
pub fn contribute(content: Content) -> Command {
    Command::Contribute(content.into())
}

/// Changing own input.
///
/// # Errors
/// When the id is none; so with everything below that takes one.
pub fn edit(id: &str, content: Content) -> Asked {
    Ok(Command::Edit { subject: subject(id)?, content: content.into() })
}

/// Supporting, or speaking on a question.
///
/// # Errors
/// See [`edit`].
pub fn speak(id: &str, voice: Voice) -> Asked {
    Ok(Command::Speak { question: subject(id)?, choice: voice.into() })
}

/// Taking back for good.
///
/// # Errors
/// See [`edit`].
pub fn erase(id: &str) -> Asked {
    Ok(Command::Erase(subject(id)?))
}

/// Asking how far an erasure reached.
///
/// # Errors
/// See [`edit`].
pub fn ask_erasure(id: &str) -> Asked {
    Ok(Command::ErasureReport(subject(id)?))
}

/// Beginning a meeting.
#[must_use]
pub fn new_meeting(title: String, agenda: Vec<String>) -> Command {
    Command::NewMeeting { title, agenda }
}

/// Adding a point to an agenda.
///
/// # Errors
/// See [`edit`].
pub fn add_agenda_item(id: &str, title: String) -> Asked {
    Ok(Command::EditMeeting { subject: subject(id)?, edit: MeetingEdit::AddItem { title } })
}

fn splice(id: &str, item: u32, splice: Splice) -> Asked {
    let edit = MeetingEdit::Splice { item: item as usize, splice };
    Ok(Command::EditMeeting { subject: subject(id)?, edit })
}

/// Changing notes at a place.
///
/// # Errors
/// See [`edit`].
pub fn edit_notes(id: &str, item: u32, at: u32, delete: u32, insert: String) -> Asked {
    splice(id, item, Splice { at: at as usize, delete: delete as usize, insert })
}

/// Making notes read like a text; nothing where they do.
///
/// # Errors
/// See [`edit`].
pub fn set_notes(id: &str, item: u32, before: &str, text: &str) -> Result<Option<Command>, WijkError> {
    Splice::between(before, text).map(|change| splice(id, item, change)).transpose()
}

/// Sending in what only the board can read.
#[must_use]
pub fn seal(content: Content) -> Command {
    Command::Seal { space: SpaceId::Inbox, sealing: Sealing::Story(content.into()) }
}

/// Answering it.
///
/// # Errors
/// See [`edit`].
pub fn answer_sealed(id: &str, answer: String) -> Asked {
    Ok(Command::AnswerSealed { space: SpaceId::Inbox, subject: subject(id)?, answer })
}

/// Deciding.
///
/// # Errors
/// When an id is none.
pub fn decide(
    about: &[String],
    outcome: Outcome,
    [reason, answer, party]: [String; 3],
    due_day: Option<u32>,
    replaces: &[String],
) -> Asked {
    let about = about.iter().map(|id| subject(id)).collect::<Result<_, _>>()?;
    let entry =
        |id: &String| EntryId::from_hex(id).ok_or_else(|| WijkError::invalid(format!("{id:?} is no id of a decision")));
    let replaces = replaces.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Command::Decide(Decision { about, outcome: outcome.into(), reason, answer, party, due_day, replaces }))
}

/// Making cards.
///
/// # Errors
/// When so many can't be made at once.
pub fn invite(role: Role, count: u32) -> Asked {
    Ok(Command::Invite { role: role.into(), count: card_count(count)? })
}

/// How many cards may be made at once.
pub(crate) fn card_count(count: u32) -> Result<usize, WijkError> {
    match count as usize {
        count if (1..=INVITE_COUNT_MAX).contains(&count) => Ok(count),
        count => Err(WijkError::invalid(format!("{count} cards; 1 to {INVITE_COUNT_MAX} are allowed"))),
    }
}
