//! Meeting notes written anew without words that must go: a new document that takes the place of the old one.
//!
//! In a document with many writers deleted words would stay readable in its history, and no single person's secret erases
//! it. So staff writes the notes anew, agenda in its order, and then two of staff erase the old document.

use automerge::Automerge;

use super::entropy::Entropy;
use super::write::{Written, check_change, check_chars, document_error, saved};
use super::{CommandError, Joined, Reply};
use crate::document::{self, Splice, meeting};
use crate::entry::Kind;
use crate::entry::codec::{DocumentChange, Record, actor};
use crate::model::contribution::{AGENDA_ITEMS_MAX, EDIT_CHARS_MAX, NOTES_CHARS_MAX, TITLE_CHARS_MAX};
use crate::model::{MeetingText, SpaceId, SubjectId};
use crate::replica::About;

impl Joined {
    pub(super) fn rewrite_meeting(
        &mut self,
        subject: SubjectId,
        text: &MeetingText,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        if !self.is_staff() {
            return Err(CommandError::Role { needs: "facilitator or board" });
        }
        check_meeting(text)?;
        let unknown = CommandError::Unknown { what: "meeting", subject };
        if !matches!(self.view().document(subject), Some((Kind::MEETING, _))) {
            return Err(unknown);
        }
        self.needs_newest(subject)?;
        if meeting::read(self.document(subject)?.ok_or(unknown)?) == *text {
            return Ok(Written::nothing(Reply::Unchanged { subject }));
        }
        let titles: Vec<String> = text.agenda.iter().map(|item| item.title.clone()).collect();
        let mut first = Vec::new();
        let mut made = self.begin_document(Kind::MEETING, Some(subject), entropy, |actor| {
            let change = meeting::create(actor, &text.title, &titles).map_err(document_error)?;
            first.extend(change.iter().flatten());
            Ok(change)
        })?;
        let Some((new, id)) = made.entries.first().map(|outcome| (outcome.subject, outcome.id)) else {
            return saved(made);
        };
        let mut doc = document::open(vec![(id, first)]).doc;
        for (item, notes) in text.agenda.iter().enumerate() {
            for splice in pieces(&notes.text) {
                let written = self.splice_new(new, &mut doc, meeting::MeetingEdit::Splice { item, splice })?;
                made.entries.extend(written.entries);
            }
        }
        saved(made)
    }

    /// Writes one more change of a document that isn't stored yet.
    fn splice_new(
        &mut self,
        subject: SubjectId,
        doc: &mut Automerge,
        edit: meeting::MeetingEdit,
    ) -> Result<crate::replica::Admitted, CommandError> {
        let session = self.sessions.get(&subject).copied().unwrap_or_default();
        let actor = actor(self.key.id(), subject, &session);
        let change = check_change(meeting::edit(doc, actor, &edit)?)?.unwrap_or_default();
        let record = Record::Change(DocumentChange { session, change: change.clone(), replaces: None });
        let about = About::Existing(subject);
        let written = self.replica.write(&self.key, SpaceId::Open, Kind::MEETING, about, &record)?;
        if let Some(outcome) = written.entries.first() {
            *doc = document::update(doc, vec![(outcome.id, change)]).doc;
        }
        Ok(written)
    }

    /// Notes that were written anew are left alone: what is added to them would go with them.
    pub(super) fn needs_newest(&self, subject: SubjectId) -> Result<(), CommandError> {
        match self.view.replaced_by(subject) {
            Some(by) => Err(CommandError::Replaced { subject, by }),
            None => Ok(()),
        }
    }
}

/// Edits that write a text from nothing, each within what one change may hold.
fn pieces(text: &str) -> Vec<Splice> {
    let chars: Vec<char> = text.chars().collect();
    let pieces = chars.chunks(EDIT_CHARS_MAX).enumerate();
    pieces.map(|(at, piece)| Splice { at: at * EDIT_CHARS_MAX, delete: 0, insert: piece.iter().collect() }).collect()
}

fn check_meeting(text: &MeetingText) -> Result<(), CommandError> {
    check_chars("title", &text.title, TITLE_CHARS_MAX)?;
    if text.agenda.len() > AGENDA_ITEMS_MAX {
        let (value, max) = (text.agenda.len(), AGENDA_ITEMS_MAX);
        return Err(CommandError::Range { what: "agenda items", value, min: 0, max });
    }
    for item in &text.agenda {
        check_chars("title of an agenda item", &item.title, TITLE_CHARS_MAX)?;
        if !item.text.is_empty() {
            check_chars("notes of an agenda item", &item.text, NOTES_CHARS_MAX)?;
        }
    }
    Ok(())
}
