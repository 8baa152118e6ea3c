//! A contribution: root map with `title` and `text` (texts), `theme` (number) and `buurt` (CBS code).

use automerge::transaction::{Transactable, Transaction};
use automerge::{Automerge, ROOT, ReadDoc};

use super::{Splice, put_text, read_text, text_object};
use crate::model::Content;
use crate::model::contribution::{TEXT_CHARS_MAX, TITLE_CHARS_MAX};

/// Longest code shown of a buurt, in characters.
const BUURT_CHARS_MAX: usize = 16;

/// Reads a contribution; what isn't there is empty.
#[must_use]
pub fn read(doc: &Automerge) -> Content {
    let theme = match doc.get(ROOT, "theme") {
        Ok(Some((value, _))) => value.as_u64().unwrap_or(0),
        _ => 0,
    };
    Content {
        title: read_text(doc, &ROOT, "title", TITLE_CHARS_MAX),
        text: read_text(doc, &ROOT, "text", TEXT_CHARS_MAX),
        theme,
        buurt: read_text(doc, &ROOT, "buurt", BUURT_CHARS_MAX),
    }
}

/// The one change that a new contribution is.
///
/// # Errors
/// What automerge says.
pub fn create(actor: [u8; 16], content: &Content) -> Result<Option<Vec<u8>>, automerge::AutomergeError> {
    super::change(&Automerge::new(), actor, |doc| {
        put_text(doc, &ROOT, "title", &content.title)?;
        put_text(doc, &ROOT, "text", &content.text)?;
        doc.put(ROOT, "theme", content.theme)?;
        doc.put(ROOT, "buurt", content.buurt.as_str())
    })
}

/// Whether turning `old` into `new` takes words away. Then the words must go for real, with a new subject.
#[must_use]
pub fn takes_words_away(old: &Content, new: &Content) -> bool {
    let takes = |a: &str, b: &str| Splice::between(a, b).is_some_and(|splice| splice.delete > 0);
    takes(&old.title, &new.title) || takes(&old.text, &new.text)
}

/// The change that adds words or sets theme and buurt: one splice a text.
///
/// # Errors
/// What automerge says.
pub fn edit(doc: &Automerge, actor: [u8; 16], new: &Content) -> Result<Option<Vec<u8>>, automerge::AutomergeError> {
    let old = read(doc);
    super::change(doc, actor, |doc| {
        splice_field(doc, "title", &old.title, &new.title)?;
        splice_field(doc, "text", &old.text, &new.text)?;
        if old.theme != new.theme {
            doc.put(ROOT, "theme", new.theme)?;
        }
        if old.buurt != new.buurt {
            doc.put(ROOT, "buurt", new.buurt.as_str())?;
        }
        Ok(())
    })
}

fn splice_field(doc: &mut Transaction<'_>, key: &str, old: &str, new: &str) -> Result<(), automerge::AutomergeError> {
    let Some(splice) = Splice::between(old, new) else { return Ok(()) };
    match text_object(doc, &ROOT, key) {
        Some(text) => splice.apply(doc, &text),
        None => put_text(doc, &ROOT, key, new),
    }
}
