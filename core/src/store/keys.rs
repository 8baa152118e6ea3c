//! How keys of rows are built. Numbers are big-endian, so that rows come in the order of their numbers; ids have fixed
//! lengths and spaces are never the beginning of another, so that no two keys of different things can be equal.

use super::Table;
use super::log::Epoch;
use crate::gate::Verdict;
use crate::model::{DeviceId, EntryId, PersonId, SpaceId, SubjectId};

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Row of an entry in `Table::Entry`.
#[must_use]
pub fn entry(space: SpaceId, device: DeviceId, seq: u64) -> Vec<u8> {
    join(&[&space.to_bytes(), device.as_bytes(), &seq.to_be_bytes()])
}

/// Reads a key of `Table::Entry` back.
#[must_use]
pub fn parse_entry(key: &[u8]) -> Option<(SpaceId, DeviceId, u64)> {
    let at = key.len().checked_sub(40)?;
    let device = DeviceId::new(key[at..at + 32].try_into().ok()?);
    let seq = u64::from_be_bytes(key[at + 32..].try_into().ok()?);
    Some((SpaceId::from_bytes(&key[..at])?, device, seq))
}

/// The beginning of all keys of a space in `Table::Entry`.
#[must_use]
pub fn space(space: SpaceId) -> Vec<u8> {
    space.to_bytes()
}

/// The first key behind all that begin with `prefix`.
#[must_use]
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if let Some(next) = last.checked_add(1) {
            *last = next;
            return end;
        }
        end.pop();
    }
    vec![0xff; super::KEY_BYTES_MAX]
}

/// The rows that replicas, servers and phones read when they open, as tables and beginnings of keys: small facts, what waits,
/// and the entries of all spaces but the large one. A store that opens in stages answers them first.
#[must_use]
pub fn first_rows() -> Vec<(Table, Vec<u8>)> {
    let whole = [Table::Meta, Table::Pending, Table::Held, Table::Own].map(|table| (table, Vec::new()));
    let spaces = [SpaceId::Members, SpaceId::Board, SpaceId::Inbox, SpaceId::Ballot].map(space);
    // Of spaces with an id, all: their keys begin with the number alone.
    let with_ids = [SpaceId::Circle([0; 16]), SpaceId::Own(PersonId::new([0; 16]))].map(|one| space(one)[..1].to_vec());
    whole.into_iter().chain(spaces.into_iter().chain(with_ids).map(|prefix| (Table::Entry, prefix))).collect()
}

/// Row of a subject in `Table::Subject`.
#[must_use]
pub fn subject(space: SpaceId, subject: SubjectId) -> Vec<u8> {
    join(&[&space.to_bytes(), subject.as_bytes(), &[0]])
}

/// Reads a key of [`subject`] back; nothing for the other rows of the table.
#[must_use]
pub fn parse_subject(key: &[u8]) -> Option<(SpaceId, SubjectId)> {
    // The others are longer by at least a place; a space's length follows from its first byte.
    let (rest, &[0]) = key.split_last_chunk::<1>()? else { return None };
    let (space, subject) = rest.split_last_chunk::<16>()?;
    Some((SpaceId::from_bytes(space)?, SubjectId::new(*subject)))
}

/// Row that says that an entry is about a subject, in `Table::Subject`: every one that doesn't create it and isn't a change that
/// counts, for the row of [`change`] says where that stands.
#[must_use]
pub fn subject_entry(space: SpaceId, subject: SubjectId, device: DeviceId, seq: u64) -> Vec<u8> {
    join(&[&space.to_bytes(), subject.as_bytes(), &[1], device.as_bytes(), &seq.to_be_bytes()])
}

/// Row that says that an entry of a kind is about a subject whose own row isn't there, in `Table::Subject`.
#[must_use]
pub fn subject_kind(space: SpaceId, subject: SubjectId, kind: u64) -> Vec<u8> {
    join(&[&subject_kinds(space, subject), &kind.to_be_bytes()])
}

/// The beginning of all rows of [`subject_kind`] of one subject.
#[must_use]
pub fn subject_kinds(space: SpaceId, subject: SubjectId) -> Vec<u8> {
    join(&[&space.to_bytes(), subject.as_bytes(), &[3]])
}

/// Row that says that a tombstone is about a subject, in `Table::Subject`: so that what was taken back is found without
/// reading everything that was written about it.
#[must_use]
pub fn subject_tombstone(space: SpaceId, subject: SubjectId, device: DeviceId, seq: u64) -> Vec<u8> {
    join(&[&space.to_bytes(), subject.as_bytes(), &[TOMBSTONE], device.as_bytes(), &seq.to_be_bytes()])
}

/// The byte behind a subject that rows of [`subject_tombstone`] have.
const TOMBSTONE: u8 = 4;

/// The subject of any row of `Table::Subject` in a space, and whether it is a row of [`subject_tombstone`].
#[must_use]
pub fn parse_any_subject(space: SpaceId, key: &[u8]) -> Option<(SubjectId, bool)> {
    let (subject, form) = key.strip_prefix(space.to_bytes().as_slice())?.split_first_chunk::<16>()?;
    Some((SubjectId::new(*subject), form.first() == Some(&TOMBSTONE)))
}

/// Where the rows of `Table::Subject` begin that are about a subject and say neither what it is nor what is about it.
#[must_use]
pub fn subject_rest(space: SpaceId, subject: SubjectId) -> Vec<u8> {
    join(&[&space.to_bytes(), subject.as_bytes(), &[2]])
}

/// The beginning of all rows of [`subject_entry`] of one subject.
#[must_use]
pub fn subject_entries(space: SpaceId, subject: SubjectId) -> Vec<u8> {
    join(&[&space.to_bytes(), subject.as_bytes(), &[1]])
}

/// Reads a key of [`subject_entry`] back.
#[must_use]
pub fn parse_subject_entry(key: &[u8]) -> Option<(DeviceId, u64)> {
    let at = key.len().checked_sub(40)?;
    Some((DeviceId::new(key[at..at + 32].try_into().ok()?), u64::from_be_bytes(key[at + 32..].try_into().ok()?)))
}

/// Row of a change in `Table::Change`.
#[must_use]
pub fn change(subject: SubjectId, hash: &[u8; 32]) -> Vec<u8> {
    join(&[subject.as_bytes(), &[0], hash])
}

/// Row of an actor's last change, its number and hash, in `Table::Change`.
#[must_use]
pub fn actor(subject: SubjectId, actor: &[u8; 16]) -> Vec<u8> {
    join(&[subject.as_bytes(), &[1], actor])
}

/// The beginning of all rows of [`change`] of one subject.
#[must_use]
pub fn changes_only(subject: SubjectId) -> Vec<u8> {
    join(&[subject.as_bytes(), &[0]])
}

/// The beginning of all rows of one subject in `Table::Change`.
#[must_use]
pub fn changes(subject: SubjectId) -> Vec<u8> {
    subject.as_bytes().to_vec()
}

/// Row of a log item in `Table::Log`.
#[must_use]
pub fn log_line(space: SpaceId, epoch: &Epoch, number: u64) -> Vec<u8> {
    join(&[&space.to_bytes(), epoch, &[0], &number.to_be_bytes()])
}

/// The first key behind all of [`log_line`].
#[must_use]
pub fn log_end(space: SpaceId, epoch: &Epoch) -> Vec<u8> {
    join(&[&space.to_bytes(), epoch, &[1]])
}

/// Row that says which number an entry has, in `Table::Log`. An entry whose body is admitted later has a second one.
#[must_use]
pub fn numbered(space: SpaceId, epoch: &Epoch, id: EntryId, verdict: Verdict) -> Vec<u8> {
    join(&[&space.to_bytes(), epoch, &[1], id.as_bytes(), &verdict.number().to_be_bytes()])
}

/// The beginning of all rows of [`numbered`] of one entry.
#[must_use]
pub fn numbers_of(space: SpaceId, epoch: &Epoch, id: EntryId) -> Vec<u8> {
    join(&[&space.to_bytes(), epoch, &[1], id.as_bytes()])
}

/// Row of a log head in `Table::Meta`.
#[must_use]
pub fn log_head(space: SpaceId, epoch: &Epoch) -> Vec<u8> {
    join(&[LOG_HEADS, &space.to_bytes(), epoch])
}

/// The beginning of all rows of [`log_head`].
pub const LOG_HEADS: &[u8] = b"log-head/";

/// Row that says up to where of a log a device confirmed erasures, in `Table::Meta`.
#[must_use]
pub fn confirmed(space: SpaceId, epoch: &Epoch, device: DeviceId) -> Vec<u8> {
    join(&[b"confirmed/", &space.to_bytes(), epoch, device.as_bytes()])
}

/// Row that says that the body of the entry at a place is missing without having been erased, in `Table::Meta`; its value is
/// the entry's id.
#[must_use]
pub fn hole(space: SpaceId, device: DeviceId, seq: u64) -> Vec<u8> {
    join(&[b"hole/", &entry(space, device, seq)])
}

/// The beginning of all rows of [`hole`] of one space.
#[must_use]
pub fn holes(space: SpaceId) -> Vec<u8> {
    join(&[b"hole/", &space.to_bytes()])
}

/// Row that says where an entry stands in the server's log, in a phone's `Table::Meta`: for entries whose day is shown.
#[must_use]
pub fn shown_number(id: EntryId) -> Vec<u8> {
    join(&[b"number/", id.as_bytes()])
}

/// Row of a chain's head in `Table::Meta`.
#[must_use]
pub fn chain_head(space: SpaceId, device: DeviceId) -> Vec<u8> {
    join(&[CHAIN_HEADS, &space.to_bytes(), device.as_bytes()])
}

/// The beginning of all rows of [`chain_head`].
pub const CHAIN_HEADS: &[u8] = b"chain-head/";

/// Reads a key of [`chain_head`] back.
#[must_use]
pub fn parse_chain_head(key: &[u8]) -> Option<(SpaceId, DeviceId)> {
    let rest = key.strip_prefix(CHAIN_HEADS)?;
    let at = rest.len().checked_sub(32)?;
    Some((SpaceId::from_bytes(&rest[..at])?, DeviceId::new(rest[at..].try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_behind_everything_that_begins_with_it() {
        assert_eq!(after(&[1, 2]), [1, 3]);
        assert_eq!(after(&[1, 255]), [2]);
        assert!(after(&[255, 255]) > vec![255, 255, 255]);
    }

    #[test]
    fn keys_of_entries_are_read_back() {
        for space in [SpaceId::Open, SpaceId::Circle([3; 16])] {
            let device = DeviceId::new([8; 32]);
            assert_eq!(parse_entry(&entry(space, device, 77)), Some((space, device, 77)));
            assert_eq!(parse_chain_head(&chain_head(space, device)), Some((space, device)));
            let about = SubjectId::new([0; 16]);
            assert_eq!(parse_subject(&subject(space, about)), Some((space, about)));
            // Ends with a zero as well, and with others before it.
            assert_eq!(parse_subject(&subject_entry(space, about, DeviceId::ZERO, 0)), None);
        }
        assert_eq!(parse_entry(&[1, 2, 3]), None);
    }
}
