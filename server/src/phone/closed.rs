//! Sealed input, its answers, and circles in the terminal.

use clap::Subcommand;
use samenspraak_core::app::own::Stage;
use samenspraak_core::app::{Command, OwnSealedItem, OwnState, Reply, Sealing};
use samenspraak_core::membership::circle::CircleLink;
use samenspraak_core::model::{DeviceId, EntryId, SealedWords, SpaceId, SubjectId};
use samenspraak_core::seal::ReceiptSecret;

use super::{ContentArgs, by_beginning, contribution, print};
use crate::client::{Driver, SyncError};
use crate::error::ProgramError;
use crate::messages;

/// What a phone can do in closed spaces.
#[derive(Debug, Subcommand)]
pub enum ClosedAction {
    /// Send in something that only the board can read, or only a circle. Works without a network.
    Seal {
        #[command(flatten)]
        content: ContentArgs,
        /// A circle instead of the board: its id, or the beginning of it.
        #[arg(long)]
        circle: Option<String>,
    },
    /// Tell the board that something is illegal or harmful.
    Notice {
        /// Id of the contribution, or the beginning of it.
        id: String,
        /// Why.
        #[arg(long)]
        text: String,
    },
    /// Tell the board that a ruling isn't right.
    Appeal {
        /// Id of the ruling's entry, in full.
        ruling: String,
        /// Why.
        #[arg(long)]
        text: String,
    },
    /// Own sealed input: how far it got, its receipt, and what was answered.
    Sealed,
    /// What was answered to the holder of a receipt, on any phone of the wijk.
    Receipt {
        /// Its letters.
        letters: String,
    },
    /// What was sealed for the board (board).
    Inbox,
    /// Answer sealed input, so that only its author can read it (board).
    Answer {
        /// Its id, or the beginning of it.
        id: String,
        /// The answer.
        #[arg(long)]
        text: String,
    },
    /// Closed circles.
    Circle {
        /// What to do.
        #[command(subcommand)]
        action: CircleAction,
    },
}

/// What can be done in circles.
#[derive(Debug, Subcommand)]
pub enum CircleAction {
    /// Begin one (facilitators).
    New,
    /// Make cards for one (its facilitator).
    Invite {
        /// Its id, or the beginning of it.
        id: String,
        /// How many.
        #[arg(long, default_value_t = 1)]
        count: usize,
    },
    /// Come into one with the text on a card.
    Join {
        /// The text, from `kring#`.
        card: String,
    },
    /// The circles of this phone.
    List,
    /// Write a note that only the circle can read.
    Write {
        /// Its id, or the beginning of it.
        id: String,
        /// The note.
        text: String,
    },
    /// What was written in one, and the keys of who is in it.
    Read {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Take somebody out (its facilitator).
    Remove {
        /// Its id, or the beginning of it.
        id: String,
        /// The member's key there, in full; `read` shows it.
        key: String,
    },
}

/// Runs one action.
///
/// # Errors
/// When it can't be done; nothing is lost then.
pub fn run(phone: &mut Driver, action: ClosedAction) -> Result<(), ProgramError> {
    match action {
        ClosedAction::Seal { content, circle } => {
            let space = match circle {
                Some(id) => self::circle(phone, &id)?,
                None => SpaceId::Inbox,
            };
            seal(phone, space, Sealing::Story(content.into()))
        }
        ClosedAction::Notice { id, text } => {
            let about = contribution(phone, &id)?;
            seal(phone, SpaceId::Inbox, Sealing::Notice { about, text })
        }
        ClosedAction::Appeal { ruling, text } => {
            let ruling = EntryId::from_hex(&ruling);
            let ruling = ruling.ok_or_else(|| ProgramError::Argument("a ruling's id has 64 digits".into()))?;
            seal(phone, SpaceId::Inbox, Sealing::Appeal { ruling, text })
        }
        ClosedAction::Sealed => own(phone),
        ClosedAction::Receipt { letters } => {
            let receipt = ReceiptSecret::parse(&letters).map_err(|error| ProgramError::Argument(error.to_string()))?;
            let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
            let answers = joined.answers_for(&receipt)?;
            if answers.is_empty() {
                say!("{}", messages::text("sealed-no-answer"));
            }
            answers.iter().for_each(answer);
            Ok(())
        }
        ClosedAction::Inbox => read(phone, SpaceId::Inbox),
        ClosedAction::Answer { id, text } => {
            let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
            let all = joined.view().sealed_in(SpaceId::Inbox).keys().copied();
            let subject = by_beginning("sealed input", &id, all)?;
            let reply = phone.command(Command::AnswerSealed { space: SpaceId::Inbox, subject, answer: text })?;
            print::saved(phone, &reply)
        }
        ClosedAction::Circle { action } => circles(phone, action),
    }
}

fn seal(phone: &mut Driver, space: SpaceId, sealing: Sealing) -> Result<(), ProgramError> {
    let reply = phone.command(Command::Seal { space, sealing })?;
    if let Reply::Sealed { subject, receipt } = reply {
        say!("{subject}  {}", messages::text("state-saved"));
        say!("{}", messages::with("sealed-receipt", &[("letters", receipt.letters().into())]));
    }
    Ok(())
}

/// The own sealed input whose id begins like this, if there is one.
pub(super) fn own_subject(phone: &Driver, id: &str) -> Option<SubjectId> {
    let own = phone.app().joined()?.own_sealed().ok()?;
    let mut found = own.into_iter().map(|item| item.subject).filter(|subject| subject.to_string().starts_with(id));
    found.next().filter(|_| found.next().is_none())
}

fn own(phone: &Driver) -> Result<(), ProgramError> {
    let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
    let items = joined.own_sealed()?;
    if items.is_empty() {
        say!("{}", messages::text("sealed-nothing-own"));
    }
    for item in items {
        let shown = match item.words.as_ref() {
            Some(words) => title(Some(words)),
            None => messages::text("sealed-gone"),
        };
        say!("{}  {shown}  [{}]", print::short(item.subject), stage(&item));
        if item.words.is_some() {
            say!("  {}", messages::with("sealed-receipt", &[("letters", item.receipt.letters().into())]));
        }
        item.answers.iter().for_each(answer);
    }
    Ok(())
}

fn stage(item: &OwnSealedItem) -> String {
    match (item.stage, item.state) {
        (Stage::Erased, _) => messages::text("sealed-erased"),
        (Stage::Erasing, OwnState::OnTheWay) => messages::text("sealed-erasing-on-the-way"),
        (Stage::Erasing, _) => messages::text("sealed-erasing"),
        (Stage::Saved | Stage::Arrived { .. }, state) => print::state(state),
    }
}

fn title(words: Option<&SealedWords>) -> String {
    match words {
        Some(SealedWords::Story { content, .. }) => print::one_line(&content.title),
        Some(SealedWords::Notice { about, .. }) => {
            messages::with("sealed-notice-about", &[("id", print::short(*about).into())])
        }
        Some(SealedWords::Appeal { ruling, .. }) => {
            messages::with("sealed-appeal-against", &[("id", ruling.to_string().into())])
        }
        Some(SealedWords::Note { text }) => print::one_line(text),
        Some(SealedWords::PersonSecret(_)) | None => messages::text("sealed-closed"),
    }
}

fn answer(item: &samenspraak_core::app::AnswerItem) {
    let text = print::one_line(&item.answer);
    match item.day {
        Some(day) => {
            let values = [("day", messages::day(day).into()), ("answer", text.into())];
            say!("  {}", messages::with("sealed-answer-on", &values));
        }
        None => say!("  {}", messages::with("phone-answer", &[("answer", text.into())])),
    }
}

fn read(phone: &mut Driver, space: SpaceId) -> Result<(), ProgramError> {
    let joined = phone.app_mut().joined_mut().ok_or(SyncError::NotJoined)?;
    let items = joined.sealed_items(space)?;
    if items.is_empty() {
        say!("{}", messages::text("sealed-nothing"));
    }
    for item in items {
        let day = item.day.map(|day| format!("  [{}]", messages::day(day))).unwrap_or_default();
        say!("{}  {}{day}", print::short(item.subject), title(item.words.as_ref()));
        match &item.words {
            Some(SealedWords::Story { content, .. }) => say!("  {}", print::lines(&content.text)),
            Some(SealedWords::Notice { text, .. } | SealedWords::Appeal { text, .. }) => {
                say!("  {}", print::lines(text));
            }
            _ => {}
        }
        if item.answers > 0 {
            say!("  {}", messages::with("sealed-answers", &[("count", item.answers.into())]));
        }
    }
    Ok(())
}

fn circle(phone: &Driver, id: &str) -> Result<SpaceId, ProgramError> {
    let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
    let id = id.strip_prefix("circle/").unwrap_or(id);
    let begins = |space: &SpaceId| space.to_string().strip_prefix("circle/").is_some_and(|hex| hex.starts_with(id));
    let mut found = joined.circles().into_iter().filter(begins);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => {
            let text = format!("there is no circle {id} on this phone; `circle list` shows those there are");
            Err(ProgramError::Argument(text))
        }
        (Some(_), Some(_)) => Err(ProgramError::Argument(format!("several circles begin with {id}; give more of it"))),
    }
}

fn circles(phone: &mut Driver, action: CircleAction) -> Result<(), ProgramError> {
    match action {
        CircleAction::New => entered(phone.command(Command::FoundCircle)?),
        CircleAction::Join { card } => {
            let card = CircleLink::parse(&card).map_err(|error| ProgramError::Argument(error.to_string()))?;
            entered(phone.command(Command::JoinCircle { card })?)
        }
        CircleAction::Invite { id, count } => {
            let circle = circle(phone, &id)?;
            let wijk = phone.app().joined().ok_or(SyncError::NotJoined)?.identity().wijk;
            if let Reply::CircleCards { circle, secrets } = phone.command(Command::InviteToCircle { circle, count })? {
                for secret in secrets {
                    say!("{}", CircleLink { wijk, circle, secret });
                }
            }
            Ok(())
        }
        CircleAction::List => {
            let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
            let circles = joined.circles();
            if circles.is_empty() {
                say!("{}", messages::text("circle-none"));
            }
            circles.iter().for_each(|circle| say!("{circle}"));
            Ok(())
        }
        CircleAction::Write { id, text } => {
            let space = circle(phone, &id)?;
            let reply = phone.command(Command::WriteNote { space, text })?;
            print::saved(phone, &reply)
        }
        CircleAction::Read { id } => {
            let space = circle(phone, &id)?;
            read(phone, space)?;
            let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
            let members = joined.replica().members();
            let own = joined.key_in(space).id();
            if let Some(closed) = members.closed(space) {
                say!("{}", messages::text("circle-keys"));
                for (key, _) in closed.present(members, space) {
                    let mine = if key == own { messages::text("circle-own-key") } else { String::new() };
                    say!("  {key} {mine}");
                }
            }
            Ok(())
        }
        CircleAction::Remove { id, key } => {
            let circle = circle(phone, &id)?;
            let key = DeviceId::from_hex(&key);
            let key = key.ok_or_else(|| ProgramError::Argument("a key has 64 digits".into()))?;
            let reply = phone.command(Command::RemoveFromCircle { circle, key })?;
            print::saved(phone, &reply)
        }
    }
}

fn entered(reply: Reply) -> Result<(), ProgramError> {
    if let Reply::Circle(space) = reply {
        say!("{space}  {}", messages::text("state-saved"));
    }
    Ok(())
}
