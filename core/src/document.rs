//! Documents: automerge CRDTs with a schema of ours, built up from the changes that entries carry.
//!
//! Reading never fails on odd data: what a field isn't is left out. Writing returns one change, made by an actor that is
//! never used again by another process. Not here: which changes count (`gate`), and that a hostile one breaks nothing
//! (`gate::fold`, through which every document is opened).

pub mod contribution;
pub mod meeting;

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{ActorId, Automerge, ObjId, ObjType, ReadDoc, Value};

use crate::gate::change;
use crate::gate::fold::{Folded, fold};
use crate::model::EntryId;

/// Builds a document from the changes of its entries, whatever order they are in. What can't be in it is set aside.
#[must_use]
pub fn open(bodies: Vec<(EntryId, Vec<u8>)>) -> Folded {
    update(&Automerge::new(), bodies)
}

/// Adds changes to a document; `doc` itself stays as it is.
#[must_use]
pub fn update(doc: &Automerge, bodies: Vec<(EntryId, Vec<u8>)>) -> Folded {
    let parsed = bodies.into_iter().filter_map(|(id, bytes)| {
        // The gate let it through, so it parses; should it not, the document is shown without it.
        let preflight = change::preflight(&bytes).ok()?;
        let change = change::parse(&preflight).ok()?;
        Some((preflight.start_op, *id.as_bytes(), change))
    });
    let mut changes: Vec<_> = parsed.collect();
    // A change begins behind the operations of all it depends on, so this order has dependencies first.
    changes.sort_by_key(|(start_op, id, _)| (*start_op, *id));
    fold(doc, changes.into_iter().map(|(_, id, change)| (id, change)).collect())
}

/// Makes one change: runs `edit` on a copy of `doc` as `actor`. Returns the change, or `None` when nothing was edited.
///
/// # Errors
/// What automerge says; on documents that came through the gate this is a bug of ours.
pub fn change(
    doc: &Automerge,
    actor: [u8; 16],
    edit: impl FnOnce(&mut Transaction<'_>) -> Result<(), automerge::AutomergeError>,
) -> Result<Option<Vec<u8>>, automerge::AutomergeError> {
    let mut copy = doc.clone();
    copy.set_actor(ActorId::from(actor.as_slice()));
    let mut transaction = copy.transaction();
    edit(&mut transaction)?;
    // Time 0 and no message: the rhythm of typing is nobody's business.
    let (hash, _) = transaction.commit_with(CommitOptions::default().with_time(0));
    Ok(hash.and_then(|hash| copy.get_change_by_hash(&hash)).map(|change| change.raw_bytes().to_vec()))
}

/// The text at `key`, at most `chars_max` characters of it; empty for anything else.
fn read_text(doc: &impl ReadDoc, obj: &ObjId, key: &str, chars_max: usize) -> String {
    match doc.get(obj, key) {
        Ok(Some((Value::Object(ObjType::Text), text))) => {
            doc.text(&text).map(|text| text.chars().take(chars_max).collect()).unwrap_or_default()
        }
        Ok(Some((Value::Scalar(value), _))) => {
            value.as_str().map(|text| text.chars().take(chars_max).collect()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn put_text(doc: &mut Transaction<'_>, obj: &ObjId, key: &str, text: &str) -> Result<(), automerge::AutomergeError> {
    let id = doc.put_object(obj, key, ObjType::Text)?;
    doc.splice_text(&id, 0, 0, text)
}

/// One edit of a text: at `at` take `delete` characters away and put `insert` there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Position in characters.
    pub at: usize,
    /// Characters that go.
    pub delete: usize,
    /// Characters that come.
    pub insert: String,
}

impl Splice {
    /// The one splice that turns `old` into `new`, or `None` when they are equal.
    #[must_use]
    pub fn between(old: &str, new: &str) -> Option<Self> {
        if old == new {
            return None;
        }
        let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
        let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let tail = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(a, b)| a == b).count();
        Some(Self {
            at: start,
            delete: old.len() - start - tail,
            insert: new[start..new.len() - tail].iter().collect(),
        })
    }

    /// Applies the splice, kept within the text as it is now.
    fn apply(&self, doc: &mut Transaction<'_>, text: &ObjId) -> Result<(), automerge::AutomergeError> {
        let len = doc.length(text);
        let at = self.at.min(len);
        let delete = isize::try_from(self.delete.min(len - at)).unwrap_or(0);
        doc.splice_text(text, at, delete, &self.insert)
    }
}

fn text_object(doc: &impl ReadDoc, obj: &ObjId, key: &str) -> Option<ObjId> {
    match doc.get(obj, key) {
        Ok(Some((Value::Object(ObjType::Text), id))) => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_splice_turns_any_text_into_any_other() {
        let texts = ["", "a", "schimmel", "schimmel in de muur", "schimmel op de muur", "é", "éé", "muur"];
        for old in texts {
            for new in texts {
                let Some(splice) = Splice::between(old, new) else {
                    assert_eq!(old, new);
                    continue;
                };
                let mut chars: Vec<char> = old.chars().collect();
                chars.splice(splice.at..splice.at + splice.delete, splice.insert.chars());
                assert_eq!(chars.into_iter().collect::<String>(), new);
            }
        }
        assert_eq!(Splice::between("in de muur", "hoog in de muur").map(|s| s.delete), Some(0));
    }
}
