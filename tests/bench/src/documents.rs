//! What people wrote: documents of about 600 bytes of text, made by 20 changes in 3 sessions, the same for every system.
//!
//! The words follow from a seed, so every system and every run carries the same ones. Not here: who wrote them and how they
//! are signed; see `author`.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, AutomergeError, ObjId, ObjType, ROOT, ReadDoc};
use samenspraak_server::replay::seeded::Seeded;

use crate::problem::Problem;

/// Changes of one document: what a person does until a text stands.
pub const CHANGES: usize = 20;
/// A person comes back to a text this often, each time after so many changes; each time is another actor.
pub const SESSION_BEGINS: [usize; 3] = [0, 7, 14];
/// Of ten changes one sets a field and nine add words.
const FIELD_EVERY: usize = 10;
const TITLE_BYTES: usize = 30;
const FIRST_BYTES: usize = 70;
const MORE_BYTES: usize = 28;
/// Themes of the wijk.
const THEMES: u64 = 5;

const WORDS: [&str; 56] = [
    "de",
    "het",
    "een",
    "van",
    "wij",
    "buurt",
    "straat",
    "plein",
    "bewoners",
    "gemeente",
    "speeltuin",
    "verkeer",
    "fietspad",
    "groen",
    "bankje",
    "overlast",
    "voorstel",
    "vergadering",
    "avond",
    "samen",
    "graag",
    "zouden",
    "willen",
    "omdat",
    "kinderen",
    "ouderen",
    "veilig",
    "parkeren",
    "bomen",
    "aanleg",
    "subsidie",
    "wijkteam",
    "besluit",
    "notulen",
    "actie",
    "volgende",
    "week",
    "iedereen",
    "mening",
    "oversteek",
    "drempel",
    "verlichting",
    "afval",
    "container",
    "moestuin",
    "initiatief",
    "stemmen",
    "tegen",
    "voor",
    "misschien",
    "niet",
    "wel",
    "altijd",
    "hoek",
    "school",
    "winkel",
];

/// Words of about so many bytes.
pub fn words(random: &mut Seeded, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 12);
    while text.len() < bytes {
        text.push_str(WORDS[random.below(WORDS.len() as u64) as usize]);
        text.push(' ');
    }
    text
}

/// One document with its history.
pub struct History {
    /// The changes in order, as bytes.
    pub changes: Vec<Vec<u8>>,
    /// Its title.
    pub title: String,
    /// Its heads behind the last change, as hexadecimal digits.
    pub heads: String,
}

/// Makes document `number` of a seed; `actors` are those of its sessions.
///
/// # Errors
/// What automerge says.
pub fn history(seed: u64, number: usize, actors: &[[u8; 16]; 3]) -> Result<History, Problem> {
    let mut random = Seeded::new(seed, "document", number);
    let mut doc = AutoCommit::new();
    let mut changes = Vec::with_capacity(CHANGES);
    let title = words(&mut random, TITLE_BYTES).trim_end().to_owned();
    for at in 0..CHANGES {
        if let Some(session) = SESSION_BEGINS.iter().position(|begin| *begin == at) {
            doc.set_actor(ActorId::from(actors[session].as_slice()));
        }
        if at == 0 {
            let text = words(&mut random, FIRST_BYTES);
            put_text(&mut doc, "title", &title)?;
            put_text(&mut doc, "text", &text)?;
            doc.put(ROOT, "theme", 1 + random.below(THEMES))?;
            doc.put(ROOT, "buurt", "")?;
        } else if at % FIELD_EVERY == FIELD_EVERY - 1 {
            let now = doc.get(ROOT, "theme")?.and_then(|(value, _)| value.as_u64()).unwrap_or(0);
            doc.put(ROOT, "theme", now % THEMES + 1)?;
        } else {
            let more = words(&mut random, MORE_BYTES);
            append(&mut doc, &more)?;
        }
        changes.push(commit(&mut doc)?);
    }
    Ok(History { changes, title, heads: heads(&doc.get_heads()) })
}

fn put_text(doc: &mut AutoCommit, key: &str, text: &str) -> Result<(), AutomergeError> {
    let id = doc.put_object(ROOT, key, ObjType::Text)?;
    doc.splice_text(&id, 0, 0, text)
}

fn text_of(doc: &AutoCommit) -> Result<ObjId, Problem> {
    let found = doc.get(ROOT, "text")?.ok_or("a document without text")?;
    Ok(found.1)
}

/// Adds words at the end of a document's text.
///
/// # Errors
/// When it has none.
pub fn append(doc: &mut AutoCommit, words: &str) -> Result<(), Problem> {
    let text = text_of(doc)?;
    let end = doc.length(&text);
    Ok(doc.splice_text(&text, end, 0, words)?)
}

/// Commits what was edited as one change, without a time, and gives its bytes.
///
/// # Errors
/// When nothing was edited.
pub fn commit(doc: &mut AutoCommit) -> Result<Vec<u8>, Problem> {
    doc.commit_with(CommitOptions::default().with_time(0)).ok_or("nothing was edited")?;
    let change = doc.get_last_local_change().ok_or("a change that is not there")?;
    Ok(change.raw_bytes().to_vec())
}

/// Heads as text, in one order.
pub fn heads(heads: &[automerge::ChangeHash]) -> String {
    let mut texts: Vec<String> = heads.iter().map(ToString::to_string).collect();
    texts.sort();
    texts.join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_twenty_changes_about_six_hundred_bytes_and_one_head() {
        let actors = [[1; 16], [2; 16], [3; 16]];
        let made = history(1, 7, &actors).unwrap();
        assert_eq!(made.changes.len(), CHANGES);
        assert_eq!(made.heads.len(), 64);
        let mut doc = AutoCommit::new();
        for bytes in &made.changes {
            doc.load_incremental(bytes).unwrap();
        }
        assert_eq!(heads(&doc.get_heads()), made.heads);
        let text = doc.text(text_of(&doc).unwrap()).unwrap();
        assert!((500..800).contains(&text.len()), "{} bytes", text.len());
        assert_eq!(history(1, 7, &actors).unwrap().heads, made.heads);
        assert_ne!(history(2, 7, &actors).unwrap().heads, made.heads);
    }
}
