//! The log of a space: the server gives each entry it admits the next number, and each number's head hashes all before it.
//!
//! The small server keeps its log in the same [`Store`] as everything else ([`StoreLog`]); a cluster can keep it in another
//! engine behind the same [`Log`] trait. An append is compare-and-set on the next number, so any number of writers can
//! share a log, and idempotent by entry id, so a retry can't number an entry twice.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;

use std::sync::{Arc, Mutex, PoisonError};

use super::{Batch, Store, StoreError, Table, keys};
use crate::cbor::{CborError, Reader, Writer};
use crate::gate::Verdict;
use crate::hash::{Hash, tagged};
use crate::model::{EntryId, SpaceId, WijkId};
use crate::ordered::{Map, Set};

/// Which history of a server a number belongs to: random, chosen when a server begins or is restored.
pub type Epoch = [u8; 16];

/// One numbered line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogItem {
    /// The entry.
    pub id: EntryId,
    /// Day the server received it, as days since 1 January 1970: the only time in the system.
    pub day: u32,
    /// Whether its body counts.
    pub verdict: Verdict,
    /// Whether the entry has an earlier number and its body was judged anew. Follows from the log, so it isn't hashed.
    pub again: bool,
}

/// Where a log stands: how many items it has, and the hash over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// Number of the next item; equals the count of items.
    pub next: u64,
    /// Hash over all items so far.
    pub hash: Hash,
}

impl LogHead {
    /// The head of an empty log.
    #[must_use]
    pub fn empty(wijk: WijkId, space: SpaceId, epoch: &Epoch) -> Self {
        let hash = tagged("samenspraak/log/v1", 3, |w| {
            w.bytes(wijk.as_bytes()).bytes(&space.to_bytes()).bytes(epoch);
        });
        Self { next: 0, hash }
    }

    /// The head after one more item.
    #[must_use]
    pub fn after(&self, item: &LogItem) -> Self {
        let hash = tagged("samenspraak/log-item/v1", 2, |w| {
            w.bytes(&self.hash)
                .array(3)
                .bytes(item.id.as_bytes())
                .uint(u64::from(item.day))
                .uint(item.verdict.number());
        });
        Self { next: self.next + 1, hash }
    }
}

/// Items to append to one space.
#[derive(Clone, Debug)]
pub struct Append {
    /// The space.
    pub space: SpaceId,
    /// Number the first item is to get; if the log stands elsewhere, nothing is appended.
    pub expected_next: u64,
    /// The items of each push. Behind the last item of a push every run is closed, and readers may cut there.
    pub pushes: Vec<Vec<LogItem>>,
}

/// One item as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its number.
    pub number: u64,
    /// The item.
    pub item: LogItem,
    /// Given where a push ended: only here may a reader cut runs. The hash of the log's head behind this item.
    pub closes: Option<Hash>,
}

/// Why an append didn't happen.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Somebody else appended first; read what is new and decide again.
    #[error("the log of {space} stands at {next}, not at {expected}")]
    Moved {
        /// The space.
        space: SpaceId,
        /// What the caller thought.
        expected: u64,
        /// Where it stands.
        next: u64,
    },
    /// A line on disk has another form.
    #[error("the log of {space} is damaged at {number}")]
    Line {
        /// The space.
        space: SpaceId,
        /// The number.
        number: u64,
        /// What is wrong.
        #[source]
        cause: CborError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The numbered history of every space in one epoch.
pub trait Log: Send + Sync {
    /// Where the log of a space stands.
    ///
    /// # Errors
    /// When it can't be read.
    fn head(&self, space: SpaceId) -> Result<LogHead, LogError>;

    /// Appends to several spaces and stores `rows` in the same commit: all of it or nothing. Items whose entry was numbered
    /// before with the same verdict are passed over.
    ///
    /// # Errors
    /// [`LogError::Moved`] when a log stands elsewhere than expected; else what the store says.
    fn append(&self, appends: &[Append], rows: Batch) -> Result<(), LogError>;

    /// Items from number `from`, at most `limit`.
    ///
    /// # Errors
    /// When they can't be read.
    fn read(&self, space: SpaceId, from: u64, limit: usize) -> Result<Vec<LogLine>, LogError>;
}

/// A log inside a [`Store`].
pub struct StoreLog {
    store: Arc<dyn Store>,
    wijk: WijkId,
    epoch: Epoch,
    /// Serialises compare and set.
    appending: Mutex<()>,
}

impl StoreLog {
    /// The log of `epoch` in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, wijk: WijkId, epoch: Epoch) -> Self {
        Self { store, wijk, epoch, appending: Mutex::new(()) }
    }
}

/// The row of a log head.
#[must_use]
pub fn encode_head(head: &LogHead) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(2).uint(head.next).bytes(&head.hash);
    w.finish()
}

/// Reads the row of a log head.
///
/// # Errors
/// When it has another form.
pub fn decode_head(bytes: &[u8]) -> Result<LogHead, CborError> {
    let mut r = Reader::new(bytes);
    r.array_of(2)?;
    Ok(LogHead { next: r.uint()?, hash: r.exact()? })
}

/// Items in one row of a device's copy of a log: some 20 kB. A server, which reads its log by number, has a row for each.
pub const RUN_ITEMS_MAX: usize = 512;

fn write_item(w: &mut Writer, item: &LogItem) {
    w.bytes(item.id.as_bytes()).uint(u64::from(item.day)).uint(item.verdict.number()).bool(item.again);
}

fn read_item(r: &mut Reader<'_>) -> Result<LogItem, CborError> {
    let id = EntryId::new(r.exact()?);
    let day = u32::try_from(r.uint()?).map_err(|_| r.error("a day"))?;
    let verdict = Verdict::from_number(r.uint()?);
    Ok(LogItem { id, day, verdict, again: r.bool()? })
}

fn write_closes(w: &mut Writer, closes: Option<&Hash>) {
    match closes {
        Some(hash) => w.bytes(hash),
        None => w.null(),
    };
}

fn read_closes(r: &mut Reader<'_>) -> Result<Option<Hash>, CborError> {
    if r.null()? { Ok(None) } else { Ok(Some(r.exact()?)) }
}

/// The row of a log line.
#[must_use]
pub fn encode_line(item: &LogItem, closes: Option<&Hash>) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(5);
    write_item(&mut w, item);
    write_closes(&mut w, closes);
    w.finish()
}

/// Reads the row of a log line.
///
/// # Errors
/// When it has another form.
pub fn decode_line(bytes: &[u8]) -> Result<(LogItem, Option<Hash>), CborError> {
    let mut r = Reader::new(bytes);
    r.array_of(5)?;
    let line = (read_item(&mut r)?, read_closes(&mut r)?);
    r.end()?;
    Ok(line)
}

/// A row of several lines that follow each other, under the key of the first: how a device keeps what it was delivered. At
/// most [`RUN_ITEMS_MAX`]; `closes` belongs to the last.
#[must_use]
pub fn encode_run(items: &[LogItem], closes: Option<&Hash>) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(2).array(items.len());
    for item in items {
        w.array(4);
        write_item(&mut w, item);
    }
    write_closes(&mut w, closes);
    w.finish()
}

/// Reads a row of a log, be it one line or several.
///
/// # Errors
/// When it has another form.
pub fn decode_run(bytes: &[u8]) -> Result<(Vec<LogItem>, Option<Hash>), CborError> {
    let mut r = Reader::new(bytes);
    if r.array(5)? == 5 {
        let (item, closes) = decode_line(bytes)?;
        return Ok((vec![item], closes));
    }
    let mut r = Reader::new(bytes);
    r.array_of(2)?;
    let count = r.array(RUN_ITEMS_MAX)?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        r.array_of(4)?;
        items.push(read_item(&mut r)?);
    }
    let closes = read_closes(&mut r)?;
    r.end()?;
    Ok((items, closes))
}

impl Log for StoreLog {
    fn head(&self, space: SpaceId) -> Result<LogHead, LogError> {
        match self.store.get(Table::Meta, &keys::log_head(space, &self.epoch))? {
            None => Ok(LogHead::empty(self.wijk, space, &self.epoch)),
            Some(bytes) => decode_head(&bytes).map_err(|cause| LogError::Line { space, number: u64::MAX, cause }),
        }
    }

    fn append(&self, appends: &[Append], mut rows: Batch) -> Result<(), LogError> {
        let _one = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        // What this very append numbered and where it stands: neither is in the store yet.
        let (mut heads, mut numbered) = (Map::new(), Set::new());
        for append in appends {
            let mut head = match heads.get(&append.space) {
                Some(head) => *head,
                None => self.head(append.space)?,
            };
            if head.next != append.expected_next {
                return Err(LogError::Moved { space: append.space, expected: append.expected_next, next: head.next });
            }
            for push in &append.pushes {
                let mut fresh = Vec::with_capacity(push.len());
                for item in push {
                    let key = keys::numbered(append.space, &self.epoch, item.id, item.verdict);
                    if !numbered.contains(&key) && self.store.get(Table::Log, &key)?.is_none() {
                        numbered.insert(key.clone());
                        rows.put(Table::Log, key, (head.next + fresh.len() as u64).to_be_bytes());
                        fresh.push(item);
                    }
                }
                for (at, item) in fresh.iter().enumerate() {
                    let line = keys::log_line(append.space, &self.epoch, head.next);
                    head = head.after(item);
                    let closes = (at + 1 == fresh.len()).then_some(&head.hash);
                    rows.put(Table::Log, line, encode_line(item, closes));
                }
            }
            rows.put(Table::Meta, keys::log_head(append.space, &self.epoch), encode_head(&head));
            heads.insert(append.space, head);
        }
        Ok(self.store.commit(&rows)?)
    }

    fn read(&self, space: SpaceId, from: u64, limit: usize) -> Result<Vec<LogLine>, LogError> {
        let (first, end) = (keys::log_line(space, &self.epoch, from), keys::log_end(space, &self.epoch));
        let rows = self.store.scan(Table::Log, &first, Some(&end), limit)?;
        let lines = rows.into_iter().zip(from..).map(|(row, number)| {
            let (item, closes) = decode_line(&row.value).map_err(|cause| LogError::Line { space, number, cause })?;
            if row.key == keys::log_line(space, &self.epoch, number) {
                Ok(LogLine { number, item, closes })
            } else {
                Err(LogError::Line { space, number, cause: CborError { at: 0, what: "a number that is missing" } })
            }
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_log_in_a_store_keeps_every_promise() {
        let open = |store: Arc<dyn Store>, wijk, epoch| -> Box<dyn Log> { Box::new(StoreLog::new(store, wijk, epoch)) };
        conformance::run(&mut || Arc::new(MemoryStore::new()), &mut |store| store, &open);
    }
}
