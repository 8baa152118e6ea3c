//! Meeting notes: root map with `title` (text) and `agenda`, a list of maps with `title` and `text` (texts) that several
//! people write at once.

use automerge::transaction::{Transactable, Transaction};
use automerge::{Automerge, ObjId, ObjType, ROOT, ReadDoc, Value};

use super::{Splice, put_text, read_text, text_object};
use crate::model::contribution::{AGENDA_ITEMS_MAX, NOTES_CHARS_MAX, TITLE_CHARS_MAX};
use crate::model::{MeetingText, NoteItem};

/// One edit of the notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeetingEdit {
    /// Adds an item at the end of the agenda.
    AddItem {
        /// Its title.
        title: String,
    },
    /// Edits the text of an item.
    Splice {
        /// Its place in the agenda, from 0.
        item: usize,
        /// The edit.
        splice: Splice,
    },
}

/// An edit that names something that isn't there.
#[derive(Debug, thiserror::Error)]
pub enum MeetingEditError {
    /// The agenda is shorter.
    #[error("the agenda has {count} items; there is no item {item}")]
    NoItem {
        /// What was asked for, from 1.
        item: usize,
        /// How many there are.
        count: usize,
    },
    /// What automerge says.
    #[error(transparent)]
    Automerge(#[from] automerge::AutomergeError),
}

fn agenda(doc: &impl ReadDoc) -> Option<ObjId> {
    match doc.get(ROOT, "agenda") {
        Ok(Some((Value::Object(ObjType::List), id))) => Some(id),
        _ => None,
    }
}

/// The agenda's items that are maps, in order.
fn items(doc: &impl ReadDoc) -> Vec<ObjId> {
    let Some(agenda) = agenda(doc) else { return Vec::new() };
    let count = doc.length(&agenda).min(AGENDA_ITEMS_MAX);
    let items = (0..count).filter_map(|at| match doc.get(&agenda, at) {
        Ok(Some((Value::Object(ObjType::Map), id))) => Some(id),
        _ => None,
    });
    items.collect()
}

/// Reads the notes; what isn't there is empty.
#[must_use]
pub fn read(doc: &Automerge) -> MeetingText {
    let items = items(doc).into_iter().map(|item| NoteItem {
        title: read_text(doc, &item, "title", TITLE_CHARS_MAX),
        text: read_text(doc, &item, "text", NOTES_CHARS_MAX),
    });
    MeetingText { title: read_text(doc, &ROOT, "title", TITLE_CHARS_MAX), agenda: items.collect() }
}

/// The change that a new meeting is: its title and agenda.
///
/// # Errors
/// What automerge says.
pub fn create(actor: [u8; 16], title: &str, agenda: &[String]) -> Result<Option<Vec<u8>>, automerge::AutomergeError> {
    super::change(&Automerge::new(), actor, |doc| {
        put_text(doc, &ROOT, "title", title)?;
        let list = doc.put_object(ROOT, "agenda", ObjType::List)?;
        for (at, title) in agenda.iter().enumerate() {
            add_item(doc, &list, at, title)?;
        }
        Ok(())
    })
}

fn add_item(doc: &mut Transaction<'_>, list: &ObjId, at: usize, title: &str) -> Result<(), automerge::AutomergeError> {
    let item = doc.insert_object(list, at, ObjType::Map)?;
    put_text(doc, &item, "title", title)?;
    put_text(doc, &item, "text", "")
}

/// The change that an edit is; `None` when it changes nothing.
///
/// # Errors
/// When the edit names an item that isn't there.
pub fn edit(doc: &Automerge, actor: [u8; 16], edit: &MeetingEdit) -> Result<Option<Vec<u8>>, MeetingEditError> {
    match edit {
        MeetingEdit::AddItem { title } => Ok(super::change(doc, actor, |doc| {
            let list = match agenda(doc) {
                Some(list) => list,
                None => doc.put_object(ROOT, "agenda", ObjType::List)?,
            };
            let at = doc.length(&list);
            add_item(doc, &list, at, title)
        })?),
        MeetingEdit::Splice { item, splice } => {
            let items = items(doc);
            let count = items.len();
            let target = items.get(*item).ok_or(MeetingEditError::NoItem { item: item + 1, count })?.clone();
            Ok(super::change(doc, actor, |doc| match text_object(doc, &target, "text") {
                Some(text) => splice.apply(doc, &text),
                None => put_text(doc, &target, "text", &splice.insert),
            })?)
        }
    }
}
