//! What the page asks of the worker, as it travels: commands, and looks at what is here.
//!
//! These become TypeScript's types. What they mean stands at `samenspraak::asks` and `looks`, once for every language.

mod given;

use samenspraak::{Content, Outcome, Role, Voice, WijkError, asks, looks};
use samenspraak_core::app::{App, Command, Reply};
use serde::Serialize;
use tsify::Tsify;

/// A command. When it is answered, it is flushed on this device; none waits for the network.
#[derive(Clone, Debug, Tsify)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Ask {
    /// Join with a card.
    Join {
        /// What its QR code holds.
        link: String,
    },
    /// Send something in.
    Contribute {
        /// The words.
        content: Content,
    },
    /// Change own input.
    Edit {
        /// Which.
        id: String,
        /// The words from now on.
        content: Content,
    },
    /// Speak on a question.
    Speak {
        /// Which.
        id: String,
        /// What is said.
        voice: Voice,
    },
    /// Take own input or an own voice back for good.
    Erase {
        /// Which.
        id: String,
    },
    /// Ask the server how far an erasure reached.
    AskErasure {
        /// Of what.
        id: String,
    },
    /// Begin a meeting.
    NewMeeting {
        /// Its name.
        title: String,
        /// Its agenda.
        agenda: Vec<String>,
    },
    /// Add a point to an agenda.
    AddAgendaItem {
        /// Of which meeting.
        id: String,
        /// Its title.
        title: String,
    },
    /// Change notes at a place.
    EditNotes {
        /// Of which meeting.
        id: String,
        /// Which point, from 0.
        item: u32,
        /// At which character.
        at: u32,
        /// How many characters go.
        delete: u32,
        /// What comes.
        insert: String,
    },
    /// Make notes read like a text.
    SetNotes {
        /// Of which meeting.
        id: String,
        /// Which point, from 0.
        item: u32,
        /// What the editor showed.
        before: String,
        /// What it shows now.
        text: String,
    },
    /// Send in what only the board can read.
    Seal {
        /// The words.
        content: Content,
    },
    /// Answer what was sealed (board).
    AnswerSealed {
        /// Which.
        id: String,
        /// The answer.
        answer: String,
    },
    /// Decide on contributions and answer them (board).
    Decide {
        /// The contributions.
        about: Vec<String>,
        /// What was decided.
        outcome: Outcome,
        /// Why.
        reason: String,
        /// The answer to those who asked.
        answer: String,
        /// Who carries it out.
        party: String,
        /// When it is to be done.
        due_day: Option<u32>,
        /// Decisions that this one takes the place of.
        replaces: Vec<String>,
    },
    /// Make cards for people to join with.
    Invite {
        /// What they will be.
        role: Role,
        /// How many, at most 1,000.
        count: u32,
    },
    /// The person looks at this now: others who do hear how many, never who. Nothing is stored.
    Attend {
        /// What; nothing any more.
        id: Option<String>,
        /// Whether the person writes there.
        writes: bool,
    },
}

/// What a command's reply becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Nothing but that it is done.
    Done,
    /// An id.
    Id,
    /// Links of cards.
    Links,
}

impl Ask {
    /// The core's command, and what its reply becomes; no command where nothing changes.
    ///
    /// # Errors
    /// When something that was given can't be.
    pub fn command(self) -> Result<Option<(Command, Wants)>, WijkError> {
        let (command, wants) = match self {
            Self::Join { link } => (asks::join(&link)?, Wants::Done),
            Self::Contribute { content } => (asks::contribute(content), Wants::Id),
            Self::Edit { id, content } => (asks::edit(&id, content)?, Wants::Id),
            Self::Speak { id, voice } => (asks::speak(&id, voice)?, Wants::Done),
            Self::Erase { id } => (asks::erase(&id)?, Wants::Done),
            Self::AskErasure { id } => (asks::ask_erasure(&id)?, Wants::Done),
            Self::NewMeeting { title, agenda } => (asks::new_meeting(title, agenda), Wants::Id),
            Self::AddAgendaItem { id, title } => (asks::add_agenda_item(&id, title)?, Wants::Done),
            Self::EditNotes { id, item, at, delete, insert } => {
                (asks::edit_notes(&id, item, at, delete, insert)?, Wants::Done)
            }
            Self::SetNotes { id, item, before, text } => match asks::set_notes(&id, item, &before, &text)? {
                Some(command) => (command, Wants::Done),
                None => return Ok(None),
            },
            Self::Seal { content } => (asks::seal(content), Wants::Id),
            Self::AnswerSealed { id, answer } => (asks::answer_sealed(&id, answer)?, Wants::Done),
            Self::Decide { about, outcome, reason, answer, party, due_day, replaces } => {
                (asks::decide(&about, outcome, [reason, answer, party], due_day, &replaces)?, Wants::Done)
            }
            Self::Invite { role, count } => (asks::invite(role, count)?, Wants::Links),
            // An event of its own: there is nothing to be stored.
            Self::Attend { .. } => return Ok(None),
        };
        Ok(Some((command, wants)))
    }
}

impl Wants {
    /// What is answered, as JSON.
    ///
    /// # Errors
    /// When the reply is another one, which is a bug.
    pub fn answer(self, app: &App, reply: Reply) -> Result<Vec<u8>, WijkError> {
        match self {
            Self::Done => json(&()),
            Self::Id => json(&asks::saved(reply)?),
            Self::Links => json(&asks::links(app, reply)?),
        }
    }
}

/// A look at what is here now.
#[derive(Clone, Debug, Tsify)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Look {
    /// Who this device is: `Me | null`.
    Me,
    /// How many contributions there are to show: `number`.
    ContributionCount,
    /// Contributions in the order the server received them: `Contribution[]`.
    Contributions {
        /// From which on, counted from 0.
        first: u32,
        /// How many, at most 1,000.
        count: u32,
    },
    /// One contribution: `Contribution`.
    Contribution {
        /// Which.
        id: String,
    },
    /// One contribution with all that happened to it: `Timeline`.
    Timeline {
        /// Which.
        id: String,
    },
    /// All meetings: `Meeting[]`.
    Meetings,
    /// One meeting: `Meeting`.
    Meeting {
        /// Which.
        id: String,
    },
    /// Others who look at this now: `Present | null`.
    Present {
        /// At what.
        id: String,
    },
    /// Own sealed stories: `OwnSealed[]`.
    OwnSealed,
    /// What was sealed for the board: `SealedStory[]`.
    SealedStories,
    /// What was answered to the holder of a receipt: `string[]`.
    AnswersFor {
        /// Its 28 letters.
        receipt: String,
    },
    /// How far an erasure reached: `Erasure`.
    Erasure {
        /// Of what.
        id: String,
    },
}

impl Look {
    /// What is seen, as JSON.
    ///
    /// # Errors
    /// Why nothing is.
    pub fn see(self, app: &mut App) -> Result<Vec<u8>, WijkError> {
        match self {
            Self::Me => json(&looks::me(app)),
            Self::ContributionCount => json(&looks::contribution_count(app)?),
            Self::Contributions { first, count } => json(&looks::contributions(app, first, count)?),
            Self::Contribution { id } => json(&looks::contribution(app, &id)?),
            Self::Timeline { id } => json(&looks::timeline(app, &id)?),
            Self::Meetings => json(&looks::meetings(app)?),
            Self::Meeting { id } => json(&looks::meeting(app, &id)?),
            Self::Present { id } => json(&looks::present(app, &id)?),
            Self::OwnSealed => json(&looks::own_sealed(app)?),
            Self::SealedStories => json(&looks::sealed_stories(app)?),
            Self::AnswersFor { receipt } => json(&looks::answers_for(app, &receipt)?),
            Self::Erasure { id } => json(&looks::erasure(app, &id)?),
        }
    }
}

/// As JSON: a list of a thousand crosses to the page as one piece of bytes, which nothing copies.
pub(crate) fn json(value: &impl Serialize) -> Result<Vec<u8>, WijkError> {
    serde_json::to_vec(value).map_err(|error| WijkError::unexpected(error.to_string()))
}
