//! Commands: what a person asks for. When one returns, it is flushed on this device; none of them waits for the network.

use samenspraak_core::app::{Command, INVITE_COUNT_MAX, Reply, Sealing};
use samenspraak_core::document::Splice;
use samenspraak_core::document::meeting::MeetingEdit;
use samenspraak_core::membership::card::{CardLink, CardSecret};
use samenspraak_core::model::{Decision, EntryId, SpaceId, WijkId};

use crate::views::subject;
use crate::{Content, Outcome, Role, Voice, Wijk, WijkError};

/// The id that a command gave.
pub(crate) fn saved(reply: Reply) -> Result<String, WijkError> {
    match reply {
        Reply::Saved { subject, .. }
        | Reply::Unchanged { subject }
        | Reply::Sealed { subject, .. }
        | Reply::Erased { subject }
        | Reply::Asked { subject } => Ok(subject.to_string()),
        _ => Err(WijkError::unexpected("a command gave another reply than it should")),
    }
}

fn card(text: &str) -> Result<CardLink, WijkError> {
    CardLink::parse(text).map_err(|error| WijkError::Card { detail: error.to_string() })
}

/// Turns the sixteen letters of a card into the link that its QR code holds. `wijk` and `server` say which wijk the letters are of:
/// [`Wijk::ask_wijk`] asks the server.
#[uniffi::export]
pub fn card_link(letters: String, wijk: String, server: String) -> Result<String, WijkError> {
    let secret = CardSecret::parse(&letters).map_err(|error| WijkError::Card { detail: error.to_string() })?;
    let wijk = WijkId::from_hex(&wijk).ok_or_else(|| WijkError::invalid("a wijk has 64 hexadecimal digits"))?;
    Ok(CardLink { server, wijk, secret, device_of: None }.to_string())
}

/// Checks a scanned card without joining: whether it is one at all.
#[uniffi::export]
pub fn check_card(link: String) -> Result<(), WijkError> {
    card(&link).map(drop)
}

#[uniffi::export]
impl Wijk {
    /// Joins with a card: what its QR code holds. Works without a network; the server's word comes with the first sync.
    pub async fn join(&self, link: String) -> Result<(), WijkError> {
        let card = card(&link)?;
        self.command(Command::Join { card }).await.map(drop)
    }

    /// Sends something in, for all of the wijk to read. Returns its id.
    pub async fn contribute(&self, content: Content) -> Result<String, WijkError> {
        saved(self.command(Command::Contribute(content.into())).await?)
    }

    /// Changes own input. Where words go away it becomes a new one and the old one is erased: the id that is returned counts from
    /// then on.
    pub async fn edit(&self, id: String, content: Content) -> Result<String, WijkError> {
        saved(self.command(Command::Edit { subject: subject(&id)?, content: content.into() }).await?)
    }

    /// Supports a contribution, or speaks on a question. The last word counts.
    pub async fn speak(&self, id: String, voice: Voice) -> Result<(), WijkError> {
        self.command(Command::Speak { question: subject(&id)?, choice: voice.into() }).await.map(drop)
    }

    /// Takes own input or an own voice back for good, everywhere. [`Wijk::erasure`] says how far that reached.
    pub async fn erase(&self, id: String) -> Result<(), WijkError> {
        self.command(Command::Erase(subject(&id)?)).await.map(drop)
    }

    /// Asks the server how far an erasure reached; with the next connection, where there is none.
    pub async fn ask_erasure(&self, id: String) -> Result<(), WijkError> {
        self.command(Command::ErasureReport(subject(&id)?)).await.map(drop)
    }

    /// Begins a meeting with its agenda (facilitators). Returns its id.
    pub async fn new_meeting(&self, title: String, agenda: Vec<String>) -> Result<String, WijkError> {
        saved(self.command(Command::NewMeeting { title, agenda }).await?)
    }

    /// Adds a point to an agenda.
    pub async fn add_agenda_item(&self, id: String, title: String) -> Result<(), WijkError> {
        let edit = MeetingEdit::AddItem { title };
        self.command(Command::EditMeeting { subject: subject(&id)?, edit }).await.map(drop)
    }

    /// Changes the notes of a point of the agenda (from 0): at character `at`, `delete` characters go and `insert` comes. What
    /// others write at the same time stays, wherever it stands.
    pub async fn edit_notes(
        &self,
        id: String,
        item: u32,
        at: u32,
        delete: u32,
        insert: String,
    ) -> Result<(), WijkError> {
        let splice = Splice { at: at as usize, delete: delete as usize, insert };
        let edit = MeetingEdit::Splice { item: item as usize, splice };
        self.command(Command::EditMeeting { subject: subject(&id)?, edit }).await.map(drop)
    }

    /// Makes the notes of a point read like `text`, with the smallest change that does it: for editors that only know the whole
    /// text. `before` is what the editor showed, so that what came meanwhile isn't undone.
    pub async fn set_notes(&self, id: String, item: u32, before: String, text: String) -> Result<(), WijkError> {
        match Splice::between(&before, &text) {
            Some(splice) => {
                let edit = MeetingEdit::Splice { item: item as usize, splice };
                self.command(Command::EditMeeting { subject: subject(&id)?, edit }).await.map(drop)
            }
            None => Ok(()),
        }
    }

    /// Sends in something that only the board can read; the server isn't told from whom. Returns its id; its receipt stands in
    /// [`Wijk::own_sealed`].
    pub async fn seal(&self, content: Content) -> Result<String, WijkError> {
        let sealing = Sealing::Story(content.into());
        saved(self.command(Command::Seal { space: SpaceId::Inbox, sealing }).await?)
    }

    /// Answers a sealed story (board); only the holder of its receipt can read it.
    pub async fn answer_sealed(&self, id: String, answer: String) -> Result<(), WijkError> {
        let command = Command::AnswerSealed { space: SpaceId::Inbox, subject: subject(&id)?, answer };
        self.command(command).await.map(drop)
    }

    /// Decides on contributions and answers them (board). `replaces` names decisions that this one takes the place of.
    #[expect(clippy::too_many_arguments, reason = "what a decision is made of; a record would only move them")]
    pub async fn decide(
        &self,
        about: Vec<String>,
        outcome: Outcome,
        reason: String,
        answer: String,
        party: String,
        due_day: Option<u32>,
        replaces: Vec<String>,
    ) -> Result<(), WijkError> {
        let about = about.iter().map(|id| subject(id)).collect::<Result<_, _>>()?;
        let entry = |id: &String| {
            EntryId::from_hex(id).ok_or_else(|| WijkError::invalid(format!("{id:?} is no id of a decision")))
        };
        let replaces = replaces.iter().map(entry).collect::<Result<_, _>>()?;
        let decision = Decision { about, outcome: outcome.into(), reason, answer, party, due_day, replaces };
        self.command(Command::Decide(decision)).await.map(drop)
    }

    /// Makes cards for people to join with (facilitators and up), at most 1,000: the links that QR codes hold.
    pub async fn invite(&self, role: Role, count: u32) -> Result<Vec<String>, WijkError> {
        let count = count as usize;
        if count == 0 || count > INVITE_COUNT_MAX {
            return Err(WijkError::invalid(format!("{count} cards; 1 to {INVITE_COUNT_MAX} are allowed")));
        }
        let me = self.me().await?.ok_or(WijkError::NotJoined)?;
        let wijk = WijkId::from_hex(&me.wijk).ok_or_else(|| WijkError::unexpected("this wijk has no id"))?;
        let Reply::Cards { secrets, .. } = self.command(Command::Invite { role: role.into(), count }).await? else {
            return Err(WijkError::unexpected("cards were asked for and not made"));
        };
        let link = |secret| CardLink { server: me.server.clone(), wijk, secret, device_of: None }.to_string();
        Ok(secrets.into_iter().map(link).collect())
    }
}
