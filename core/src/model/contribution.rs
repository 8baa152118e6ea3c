//! What people write: contributions and meeting notes, as plain values read from their documents.

/// Longest title in characters: one line on a small screen, twice.
pub const TITLE_CHARS_MAX: usize = 120;
/// Longest text of a contribution in characters: about four pages; more is a report, not input. In scripts of three bytes a
/// letter the one change it travels as stays below 60 KiB.
pub const TEXT_CHARS_MAX: usize = 10_000;
/// Characters written into notes by one edit, for the same reason. Longer texts are several edits.
pub const EDIT_CHARS_MAX: usize = 10_000;
/// Longest text of one agenda item in characters: about ten pages of notes.
pub const NOTES_CHARS_MAX: usize = 32_000;
/// Agenda items shown of one meeting: an evening has about ten.
pub const AGENDA_ITEMS_MAX: usize = 200;

/// A contribution as its author wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// One line.
    pub title: String,
    /// The words.
    pub text: String,
    /// Theme number (1-5 are the five principles, 0 is "don't know").
    pub theme: u64,
    /// CBS code of the buurt it is about, or empty.
    pub buurt: String,
}

/// One item of a meeting's agenda.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoteItem {
    /// What it is about.
    pub title: String,
    /// The notes on it, written by several people at once.
    pub text: String,
}

/// A meeting's notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeetingText {
    /// Name of the meeting.
    pub title: String,
    /// The agenda in order.
    pub agenda: Vec<NoteItem>,
}
