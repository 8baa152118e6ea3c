//! What is about a subject: the places of its entries, and what is remembered of a document's changes.
//!
//! A change that counts has one row, by its hash, which says where it stands as well; every other entry about a subject has a
//! row of its own that says so and nothing else. A store of before has both for a change, so a place is named once here
//! however often it stands in rows.

use super::rows::Place;
use crate::cbor::{CborError, Reader, Writer};
use crate::gate::body::ChangeFacts;
use crate::model::{SpaceId, SubjectId};
use crate::ordered::Set;
use crate::store::{Row, Store, StoreError, Table, keys, walk};

/// The row of a change that counts.
#[must_use]
pub(super) fn encode_change(at: Place, max_op: u64) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(2).uint(max_op).bytes(&at.encode());
    w.finish()
}

/// Reads the row of a change: its largest operation, and where it stands if the row says so.
///
/// # Errors
/// When it has another form.
pub(super) fn decode_change(bytes: &[u8]) -> Result<(u64, Option<Place>), CborError> {
    let mut r = Reader::new(bytes);
    // A store of before has the number alone.
    if let Ok(max_op) = Reader::new(bytes).uint() {
        return Ok((max_op, None));
    }
    r.array_of(2)?;
    let max_op = r.uint()?;
    let at = Place::decode(r.bytes(bytes.len())?).ok_or_else(|| r.error("a place"))?;
    r.end()?;
    Ok((max_op, Some(at)))
}

/// The row of an actor's last change.
#[must_use]
pub(super) fn encode_actor(facts: (u64, &[u8; 32])) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(2).uint(facts.0).bytes(facts.1);
    w.finish()
}

/// The rows that remember a change which stands at a place.
pub(super) fn change_rows(at: Place, subject: SubjectId, facts: &ChangeFacts) -> [(Vec<u8>, Vec<u8>); 2] {
    [
        (keys::change(subject, &facts.hash), encode_change(at, facts.max_op)),
        (keys::actor(subject, &facts.actor), encode_actor((facts.seq, &facts.hash))),
    ]
}

/// The place that a row of `Table::Subject` or `Table::Change` names, of those that say what is about a subject.
///
/// # Errors
/// When the row of a change has another form.
pub(super) fn place_in(table: Table, space: SpaceId, key: &[u8], value: &[u8]) -> Result<Option<Place>, CborError> {
    match table {
        Table::Change => Ok(decode_change(value)?.1.filter(|at| at.space == space)),
        _ => Ok(keys::parse_subject_entry(key).map(|(device, seq)| Place { space, device, seq })),
    }
}

/// Which rows say what is about a subject, as tables and beginnings of keys.
pub(super) fn rows_about(space: SpaceId, subject: SubjectId) -> [(Table, Vec<u8>); 2] {
    [(Table::Subject, keys::subject_entries(space, subject)), (Table::Change, keys::changes_only(subject))]
}

/// Puts the place that creates a subject before all others about it.
pub(super) fn creator_first(creator: Option<Place>, mut about: Set<Place>) -> Vec<Place> {
    if let Some(creator) = &creator {
        about.remove(creator);
    }
    creator.into_iter().chain(about).collect()
}

/// The places of all entries about a subject in a store, the creating one first.
///
/// # Errors
/// When rows can't be read.
pub fn places_about<E: From<StoreError>>(
    store: &dyn Store,
    (space, subject): (SpaceId, SubjectId),
    creator: Option<Place>,
    wrong: impl Fn(CborError) -> E,
) -> Result<Vec<Place>, E> {
    let mut about = Set::new();
    for (table, prefix) in rows_about(space, subject) {
        walk::<E>(store, table, &prefix, |Row { key, value }| {
            about.extend(place_in(table, space, &key, &value).map_err(&wrong)?);
            Ok(())
        })?;
    }
    Ok(creator_first(creator, about))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeviceId;

    #[test]
    fn rows_of_changes_are_read_back_those_of_before_included_and_others_refused() {
        let at = Place { space: SpaceId::Open, device: DeviceId::new([5; 32]), seq: 70_000 };
        assert_eq!(decode_change(&encode_change(at, 9)).unwrap(), (9, Some(at)));
        let mut before = Writer::new();
        before.uint(300);
        assert_eq!(decode_change(&before.finish()).unwrap(), (300, None));
        let whole = encode_change(at, 9);
        for cut in 0..whole.len() {
            assert!(decode_change(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}
