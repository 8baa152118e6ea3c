//! Commands: what a person asks for. When one returns, it is flushed on this device; none of them waits for the network.

use crate::asks::{self, saved};
use crate::{Content, Outcome, Role, Voice, Wijk, WijkError};

/// Turns the sixteen letters of a card into the link that its QR code holds. `wijk` and `server` say which wijk the letters are of:
/// [`Wijk::ask_wijk`] asks the server.
#[uniffi::export]
pub fn card_link(letters: String, wijk: String, server: String) -> Result<String, WijkError> {
    asks::card_link(&letters, &wijk, server)
}

/// Checks a scanned card without joining: whether it is one at all.
#[uniffi::export]
pub fn check_card(link: String) -> Result<(), WijkError> {
    asks::card(&link).map(drop)
}

#[uniffi::export]
impl Wijk {
    /// Joins with a card: what its QR code holds. Works without a network; the server's word comes with the first sync.
    pub async fn join(&self, link: String) -> Result<(), WijkError> {
        self.command(asks::join(&link)?).await.map(drop)
    }

    /// Sends something in, for all of the wijk to read. Returns its id.
    pub async fn contribute(&self, content: Content) -> Result<String, WijkError> {
        saved(self.command(asks::contribute(content)).await?)
    }

    /// Changes own input. Where words go away it becomes a new one and the old one is erased: the id that is returned counts from
    /// then on.
    pub async fn edit(&self, id: String, content: Content) -> Result<String, WijkError> {
        saved(self.command(asks::edit(&id, content)?).await?)
    }

    /// Supports a contribution, or speaks on a question. The last word counts.
    pub async fn speak(&self, id: String, voice: Voice) -> Result<(), WijkError> {
        self.command(asks::speak(&id, voice)?).await.map(drop)
    }

    /// Takes own input or an own voice back for good, everywhere. [`Wijk::erasure`] says how far that reached.
    pub async fn erase(&self, id: String) -> Result<(), WijkError> {
        self.command(asks::erase(&id)?).await.map(drop)
    }

    /// Asks the server how far an erasure reached; with the next connection, where there is none.
    pub async fn ask_erasure(&self, id: String) -> Result<(), WijkError> {
        self.command(asks::ask_erasure(&id)?).await.map(drop)
    }

    /// Begins a meeting with its agenda (facilitators). Returns its id.
    pub async fn new_meeting(&self, title: String, agenda: Vec<String>) -> Result<String, WijkError> {
        saved(self.command(asks::new_meeting(title, agenda)).await?)
    }

    /// Adds a point to an agenda.
    pub async fn add_agenda_item(&self, id: String, title: String) -> Result<(), WijkError> {
        self.command(asks::add_agenda_item(&id, title)?).await.map(drop)
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
        self.command(asks::edit_notes(&id, item, at, delete, insert)?).await.map(drop)
    }

    /// Makes the notes of a point read like `text`, with the smallest change that does it: for editors that only know the whole
    /// text. `before` is what the editor showed, so that what came meanwhile isn't undone.
    pub async fn set_notes(&self, id: String, item: u32, before: String, text: String) -> Result<(), WijkError> {
        match asks::set_notes(&id, item, &before, &text)? {
            Some(command) => self.command(command).await.map(drop),
            None => Ok(()),
        }
    }

    /// Sends in something that only the board can read; the server isn't told from whom. Returns its id; its receipt stands in
    /// [`Wijk::own_sealed`].
    pub async fn seal(&self, content: Content) -> Result<String, WijkError> {
        saved(self.command(asks::seal(content)).await?)
    }

    /// Answers a sealed story (board); only the holder of its receipt can read it.
    pub async fn answer_sealed(&self, id: String, answer: String) -> Result<(), WijkError> {
        self.command(asks::answer_sealed(&id, answer)?).await.map(drop)
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
        self.command(asks::decide(&about, outcome, [reason, answer, party], due_day, &replaces)?).await.map(drop)
    }

    /// Makes cards for people to join with (facilitators and up), at most 1,000: the links that QR codes hold.
    pub async fn invite(&self, role: Role, count: u32) -> Result<Vec<String>, WijkError> {
        let reply = self.command(asks::invite(role, count)?).await?;
        self.glance(|app| asks::links(app, reply)).await
    }
}
