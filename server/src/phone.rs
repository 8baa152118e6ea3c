//! The phone in the terminal: a person's own store, and the words a resident's app uses too.
//!
//! Its folder holds the store, sealed, and in `keys/` the key that opens it (`vault`).

mod closed;
pub(crate) mod moderate;
pub(crate) mod people;
mod poll;
pub(crate) mod print;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use samenspraak_core::app::{Command, Reply};
use samenspraak_core::document::Splice;
use samenspraak_core::document::meeting::MeetingEdit;
use samenspraak_core::membership::card::{CardLink, CardSecret};
use samenspraak_core::model::{Choice, Content, RevocationReason, SubjectId};
use samenspraak_core::sync::wire::RefusalCode;

use crate::client::{Driver, SyncError};
use crate::device::DeviceStore;
use crate::error::ProgramError;

/// `samenspraak phone --data DIR …`
#[derive(Debug, Args)]
pub struct PhoneArgs {
    /// Folder of this phone; made when it joins.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Trust the authorities in this file (PEM) for https, and no others.
    #[arg(long, value_name = "FILE", env = "SAMENSPRAAK_CA", global = true)]
    pub ca: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What somebody wants to say.
#[derive(Debug, Args)]
pub struct ContentArgs {
    /// One line.
    #[arg(long)]
    pub title: String,
    /// The words.
    #[arg(long)]
    pub text: String,
    /// Number of a theme; 0 is "don't know".
    #[arg(long, default_value_t = 0)]
    pub theme: u64,
    /// CBS code of a buurt.
    #[arg(long, default_value = "")]
    pub buurt: String,
}

impl From<ContentArgs> for Content {
    fn from(ContentArgs { title, text, theme, buurt }: ContentArgs) -> Self {
        Self { title, text, theme, buurt }
    }
}

/// What a phone can do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Join a wijk with the link on a card, or with its 16 letters and --server.
    Join {
        /// Link, or letters in groups of four.
        card: String,
        /// Address of the server, when letters are given.
        #[arg(long, value_name = "URL")]
        server: Option<String>,
    },
    /// Send in something. Works without a network.
    Write(ContentArgs),
    /// Change own input.
    Edit {
        /// Its id, or the beginning of it.
        id: String,
        /// New title.
        #[arg(long)]
        title: Option<String>,
        /// New text.
        #[arg(long)]
        text: Option<String>,
    },
    /// Support somebody's input, or say what you think of it.
    Voice {
        /// Its id, or the beginning of it.
        id: String,
        /// What you say.
        choice: VoiceChoice,
    },
    /// Take own input back for good.
    Erase {
        /// Its id, or the beginning of it.
        id: String,
        /// Sign for the erasure of somebody else's words, with this legal ground: a contribution or a meeting goes when two
        /// of staff signed, one of them an administrator (administrators and board).
        #[arg(long)]
        ground: Option<String>,
    },
    /// Meeting notes.
    Notes {
        /// What to do with them.
        #[command(subcommand)]
        action: NotesAction,
    },
    /// Send and receive everything.
    Sync {
        /// Another address than the one on the card.
        #[arg(long, value_name = "URL")]
        server: Option<String>,
    },
    /// What this phone has seen of the wijk's server.
    Server,
    /// All contributions.
    List,
    /// One contribution with its whole line.
    Show {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Sealed input and circles.
    #[command(flatten)]
    Closed(closed::ClosedAction),
    /// Who belongs.
    #[command(flatten)]
    People(people::PeopleAction),
    /// One's own place.
    #[command(flatten)]
    Own(people::OwnAction),
    /// Secret polls.
    #[command(flatten)]
    Poll(poll::PollAction),
    /// Rulings, erasures by staff, and how far erasures reached.
    #[command(flatten)]
    Moderate(moderate::ModerateAction),
}

/// What a voice says.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum VoiceChoice {
    /// I support this.
    Support,
    /// I take my voice back.
    Withdraw,
    /// I agree.
    Agree,
    /// I disagree.
    Disagree,
    /// No opinion.
    Pass,
}

impl From<VoiceChoice> for Choice {
    fn from(choice: VoiceChoice) -> Self {
        match choice {
            VoiceChoice::Support => Self::Support,
            VoiceChoice::Withdraw => Self::Withdrawn,
            VoiceChoice::Agree => Self::Agree,
            VoiceChoice::Disagree => Self::Disagree,
            VoiceChoice::Pass => Self::Pass,
        }
    }
}

/// What can be done with meeting notes.
#[derive(Debug, Subcommand)]
pub enum NotesAction {
    /// All meetings.
    List,
    /// Begin a meeting (facilitators and board).
    New {
        /// Its name.
        #[arg(long)]
        title: String,
        /// An item of the agenda; may be given several times.
        #[arg(long = "item")]
        items: Vec<String>,
    },
    /// One meeting.
    Show {
        /// Its id, or the beginning of it.
        id: String,
        /// The heads of its document too: equal on phones whose notes are made of the same changes.
        #[arg(long)]
        heads: bool,
    },
    /// Add an item to the agenda.
    AddItem {
        /// The meeting.
        id: String,
        /// Title of the item.
        title: String,
    },
    /// Write at the end of an item's notes.
    Append {
        /// The meeting.
        id: String,
        /// The item, from 1.
        item: usize,
        /// The words.
        text: String,
    },
    /// Write a meeting anew with other words in an item, because words must go; its old notes go when two of staff erase
    /// them (`erase ID --ground`).
    Rewrite {
        /// The meeting.
        id: String,
        /// The item, from 1.
        item: usize,
        /// The words.
        text: String,
        /// Another title for the meeting.
        #[arg(long)]
        title: Option<String>,
    },
    /// Replace an item's notes; what stays the same is left alone.
    Set {
        /// The meeting.
        id: String,
        /// The item, from 1.
        item: usize,
        /// The words.
        text: String,
    },
}

/// Runs one action.
///
/// # Errors
/// When it can't be done; nothing is lost then.
pub async fn run(args: PhoneArgs) -> Result<(), ProgramError> {
    if let Some(file) = &args.ca {
        crate::client::trust(file)?;
    }
    if !args.data.join("journal").exists() && !matches!(args.action, Action::Join { .. }) {
        let hint = "join first with `samenspraak phone --data DIR join LINK`";
        return Err(ProgramError::NoFolder { path: args.data, what: "phone", hint });
    }
    // First the card: a mistyped one must not leave a folder behind.
    let card = match &args.action {
        Action::Join { card, server } => Some(read_card(card, server.clone()).await?),
        _ => None,
    };
    let store = DeviceStore::open_phone(&args.data)?;
    let mut phone = Driver::open(store.rows())?;
    let result = match card {
        Some(card) => join(&mut phone, card),
        None => act(&mut phone, args.action).await,
    };
    drop(phone);
    store.close()?;
    result
}

async fn act(phone: &mut Driver, action: Action) -> Result<(), ProgramError> {
    match action {
        // Joining comes before a store is opened; see `run`.
        Action::Join { .. } => Ok(()),
        Action::Write(content) => {
            let reply = phone.command(Command::Contribute(content.into()))?;
            print::saved(phone, &reply)
        }
        Action::Edit { id, title, text } => {
            let subject = contribution(phone, &id)?;
            let old = line(phone, subject)?.item.content;
            let content = Content { title: title.unwrap_or(old.title), text: text.unwrap_or(old.text), ..old };
            let reply = phone.command(Command::Edit { subject, content })?;
            print::saved(phone, &reply)
        }
        Action::Voice { id, choice } => {
            let question = contribution(phone, &id)?;
            let reply = phone.command(Command::Speak { question, choice: choice.into() })?;
            print::saved(phone, &reply)
        }
        Action::Erase { id, ground: Some(ground) } => moderate::erase_by_ground(phone, &id, ground),
        Action::Erase { id, ground: None } => {
            let subject = match closed::own_subject(phone, &id) {
                Some(subject) => subject,
                None => contribution(phone, &id)?,
            };
            let reply = phone.command(Command::Erase(subject))?;
            print::saved(phone, &reply)
        }
        Action::Closed(action) => closed::run(phone, action),
        Action::People(action) => people::run(phone, action),
        Action::Own(action) => people::run_own(phone, action),
        Action::Poll(action) => poll::run(phone, action),
        Action::Moderate(action) => moderate::run(phone, action).await,
        Action::Notes { action } => notes(phone, action),
        Action::Server => {
            print::server(phone);
            Ok(())
        }
        Action::Sync { server } => {
            let address = own_address(phone, server)?;
            let before = print::ServerSeen::of(phone);
            let moved = match phone.sync_once(&address).await {
                // Who left by an own wish is told that it arrived, not that something failed.
                Err(SyncError::Refused(RefusalCode::Revoked)) if has_left(phone) => {
                    say!("{}", crate::messages::text("leave-arrived"));
                    return Ok(());
                }
                moved => moved?,
            };
            say!("{} bytes sent, {} bytes received", moved.bytes_up, moved.bytes_down);
            print::server_news(&before, phone);
            print::list(phone)
        }
        Action::List => print::list(phone),
        Action::Show { id } => {
            let subject = contribution(phone, &id)?;
            let line = line(phone, subject)?;
            print::line(&line);
            Ok(())
        }
    }
}

fn own_address(phone: &Driver, server: Option<String>) -> Result<String, ProgramError> {
    let own = || phone.app().joined().map(|joined| joined.identity().server.clone());
    Ok(server.or_else(own).ok_or(SyncError::NotJoined)?)
}

fn has_left(phone: &Driver) -> bool {
    let revoked = phone.app().joined().and_then(samenspraak_core::app::Joined::revoked);
    revoked == Some(RevocationReason::Left)
}

/// What a card says; letters alone don't name the wijk, so its server is asked.
async fn read_card(card: &str, server: Option<String>) -> Result<CardLink, ProgramError> {
    let Some(server) = server else {
        return CardLink::parse(card).map_err(|error| ProgramError::Argument(error.to_string()));
    };
    let secret = CardSecret::parse(card).map_err(|error| ProgramError::Argument(error.to_string()))?;
    let wijk = crate::client::ask_wijk(&server).await?;
    Ok(CardLink { server, wijk, secret, device_of: None })
}

fn join(phone: &mut Driver, card: CardLink) -> Result<(), ProgramError> {
    let wijk = card.wijk;
    phone.command(Command::Join { card })?;
    print::joined(wijk);
    Ok(())
}

fn notes(phone: &mut Driver, action: NotesAction) -> Result<(), ProgramError> {
    let (id, edit) = match action {
        NotesAction::List => return print::meetings(phone),
        NotesAction::New { title, items } => {
            let reply = phone.command(Command::NewMeeting { title, agenda: items })?;
            return print::saved(phone, &reply);
        }
        NotesAction::Show { id, heads } => {
            let subject = meeting(phone, &id)?;
            return print::meeting(phone, subject, heads);
        }
        NotesAction::Rewrite { id, item, text, title } => {
            let subject = meeting(phone, &id)?;
            return moderate::rewrite(phone, subject, (item, text), title);
        }
        NotesAction::AddItem { id, title } => (id, NotesEdit::AddItem(title)),
        NotesAction::Append { id, item, text } => (id, NotesEdit::Append(item, text)),
        NotesAction::Set { id, item, text } => (id, NotesEdit::Set(item, text)),
    };
    let subject = meeting(phone, &id)?;
    let Some(edit) = edit.on(phone, subject)? else {
        return print::saved(phone, &Reply::Unchanged { subject });
    };
    let reply = phone.command(Command::EditMeeting { subject, edit })?;
    print::saved(phone, &reply)
}

enum NotesEdit {
    AddItem(String),
    Append(usize, String),
    Set(usize, String),
}

impl NotesEdit {
    /// The edit as the core takes it; `None` when the notes read like that already.
    fn on(self, phone: &mut Driver, subject: SubjectId) -> Result<Option<MeetingEdit>, ProgramError> {
        let (item, text, append) = match self {
            Self::AddItem(title) => return Ok(Some(MeetingEdit::AddItem { title })),
            Self::Append(item, text) => (item, text, true),
            Self::Set(item, text) => (item, text, false),
        };
        let joined = phone.app_mut().joined_mut().ok_or(SyncError::NotJoined)?;
        let notes = joined.meeting(subject)?.map(|meeting| meeting.text.agenda).unwrap_or_default();
        let count = notes.len();
        let old = item.checked_sub(1).and_then(|at| notes.get(at));
        let Some(old) = old else {
            return Err(ProgramError::Argument(format!("the agenda has {count} items; there is no item {item}")));
        };
        let splice = if append {
            let insert = if old.text.is_empty() { text } else { format!("\n{text}") };
            Some(Splice { at: old.text.chars().count(), delete: 0, insert })
        } else {
            Splice::between(&old.text, &text)
        };
        Ok(splice.map(|splice| MeetingEdit::Splice { item: item - 1, splice }))
    }
}

/// The one contribution whose id begins like this.
fn contribution(phone: &Driver, id: &str) -> Result<SubjectId, ProgramError> {
    let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
    by_beginning("contribution", id, joined.view().contributions().map(|(subject, _)| subject))
}

fn meeting(phone: &Driver, id: &str) -> Result<SubjectId, ProgramError> {
    let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
    by_beginning("meeting", id, joined.view().meetings().map(|(subject, _)| subject))
}

/// The one of these whose id begins like this.
fn by_beginning<T: Copy + std::fmt::Display>(
    what: &'static str,
    id: &str,
    all: impl Iterator<Item = T>,
) -> Result<T, ProgramError> {
    let found: Vec<T> = all.filter(|known| known.to_string().starts_with(id)).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(ProgramError::Argument(format!("there is no {what} {id} on this phone; `list` shows what there is"))),
        several => Err(ProgramError::Argument(format!("{} {what}s begin with {id}; give more of it", several.len()))),
    }
}

fn line(phone: &mut Driver, subject: SubjectId) -> Result<samenspraak_core::app::Line, ProgramError> {
    let joined = phone.app_mut().joined_mut().ok_or(SyncError::NotJoined)?;
    joined.line(subject)?.ok_or_else(|| ProgramError::Argument(format!("contribution {subject} was erased")))
}
