//! Meetings with their notes, and who is there.

use samenspraak_core::app::{self, MeetingItem};
#[cfg(feature = "typescript")]
use serde::{Deserialize, Serialize};
#[cfg(feature = "typescript")]
use tsify::Tsify;

use super::Progress;

/// One point of an agenda and what was noted about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Record))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub struct AgendaItem {
    /// Its title.
    pub title: String,
    /// The notes.
    pub text: String,
}

/// A meeting and its notes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Record))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub struct Meeting {
    /// Its id.
    pub id: String,
    /// Its name.
    pub title: String,
    /// Its agenda, with the notes.
    pub agenda: Vec<AgendaItem>,
    /// What the notes are made of: equal on two devices when they have the same changes, whatever was merged in which order.
    pub heads: Vec<String>,
    /// How far own edits got, if there are any.
    pub own: Option<Progress>,
    /// The notes that took its place.
    pub replaced_by: Option<String>,
}

/// Others who look at the same thing at this moment: numbers, never who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Record))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub struct Present {
    /// How many other devices look at it.
    pub others: u32,
    /// How many of them write.
    pub writing: u32,
}

impl From<app::Present> for Present {
    fn from(present: app::Present) -> Self {
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self { others: count(present.others), writing: count(present.writing) }
    }
}

impl From<MeetingItem> for Meeting {
    fn from(item: MeetingItem) -> Self {
        let agenda = item.text.agenda.into_iter().map(|note| AgendaItem { title: note.title, text: note.text });
        Self {
            id: item.subject.to_string(),
            title: item.text.title,
            agenda: agenda.collect(),
            heads: item.heads.iter().map(ToString::to_string).collect(),
            own: item.own.map(Into::into),
            replaced_by: item.replaced_by.map(|subject| subject.to_string()),
        }
    }
}
