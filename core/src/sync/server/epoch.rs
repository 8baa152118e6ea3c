//! Beginning an epoch: everything that stands in a store gets a number in the logs of the present epoch, before anybody is
//! served from it.
//!
//! The order and the days are those of the logs of before, so no entry comes before what it depends on, and what arrived on a
//! day arrived on that day still. What stands in no log (a damaged store may have lost lines) follows its chain. It is done in
//! bounded steps, each durable, and goes on where a kill left it. Must never serve a log that was numbered halfway.

use std::collections::{BTreeMap, BTreeSet};

use super::{Server, ServerError};
use crate::gate::limits::PUSH_ENTRIES_MAX;
use crate::model::{DeviceId, SpaceId};
use crate::replica::{EntryRow, Place, Replica, ReplicaError};
use crate::store::log::{Append, Epoch, Log, LogError, LogItem, decode_line};
use crate::store::{Batch, Store, StoreError, Table, keys};

/// Items numbered with one flush: a few MB of rows at most, and 100,000 entries take some 25 flushes.
const ITEMS_AT_ONCE: usize = 4096;
/// Rows of logs read at a time.
const LINES_AT_ONCE: usize = 512;
/// The row that says how far an epoch's beginning got has this in front of the epoch.
const BEGUN: &[u8] = b"epoch-begun/";
const HALFWAY: &[u8] = &[0];
const DONE: &[u8] = &[1];

fn begun_key(epoch: &Epoch) -> Vec<u8> {
    [BEGUN, epoch.as_slice()].concat()
}

/// Pushes that wait to be numbered in one space.
struct Numbering<'s> {
    replica: &'s Replica,
    log: &'s dyn Log,
    space: SpaceId,
    /// The next entry of each chain that has no number yet.
    next: BTreeMap<DeviceId, u64>,
    pushes: Vec<Vec<LogItem>>,
    push: Vec<LogItem>,
    /// Devices whose last entry in `push` carries no signature: there no reader may cut.
    open: BTreeSet<DeviceId>,
    waiting: usize,
    numbered: u64,
}

impl Numbering<'_> {
    fn row(&self, at: Place) -> Result<EntryRow, ReplicaError> {
        self.replica.entry(at)?.ok_or(ReplicaError::Contradiction { what: "a chain has a gap" })
    }

    fn first(&mut self, at: Place, item: LogItem) -> Result<(), ReplicaError> {
        let signed = self.row(at)?.signature.is_some();
        if signed {
            self.open.remove(&at.device)
        } else {
            self.open.insert(at.device)
        };
        self.next.insert(at.device, at.seq + 1);
        self.push.push(item);
        Ok(())
    }

    /// Entries of a chain before `end` that no line named, as received on this day.
    fn fill(&mut self, device: DeviceId, end: u64, day: u32) -> Result<(), ReplicaError> {
        for seq in self.next.get(&device).copied().unwrap_or(0)..end {
            let at = Place { space: self.space, device, seq };
            let row = self.row(at)?;
            self.first(at, LogItem { id: row.id, day, verdict: row.kept.verdict(), again: false })?;
        }
        Ok(())
    }

    /// Takes a line of an old log; one whose entry isn't here any more is left out.
    fn line(&mut self, item: LogItem) -> Result<(), ReplicaError> {
        let Some(at) = self.replica.place_of(item.id)?.filter(|at| at.space == self.space) else { return Ok(()) };
        if self.replica.head(at.space, at.device).is_none_or(|head| at.seq > head.seq) {
            return Ok(());
        }
        if at.seq < self.next.get(&at.device).copied().unwrap_or(0) {
            // Judged anew, or named in several old logs: the log passes over what it has.
            self.push.push(LogItem { again: true, ..item });
            return Ok(());
        }
        self.fill(at.device, at.seq, item.day)?;
        self.first(at, LogItem { again: false, ..item })
    }

    fn close(&mut self) -> Result<(), LogError> {
        if self.push.is_empty() || !self.open.is_empty() {
            return Ok(());
        }
        self.waiting += self.push.len();
        self.pushes.push(std::mem::take(&mut self.push));
        if self.waiting >= ITEMS_AT_ONCE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.numbered += self.waiting as u64;
        self.waiting = 0;
        let pushes = std::mem::take(&mut self.pushes);
        if pushes.is_empty() {
            return Ok(());
        }
        let expected_next = self.log.head(self.space)?.next;
        self.log.append(&[Append { space: self.space, expected_next, pushes }], Batch::new())
    }
}

/// Whether a row says that everything in this store has its number in this epoch. Stores of before these rows have none: then only
/// [`Server::begin_epoch`] can tell.
///
/// # Errors
/// When the store can't be read.
pub fn was_begun(store: &dyn Store, epoch: &Epoch) -> Result<bool, StoreError> {
    Ok(store.get(Table::Meta, &begun_key(epoch))?.is_some_and(|row| row == DONE))
}

impl Server {
    /// Whether everything in the store has its number in this epoch.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn is_begun(&self) -> Result<bool, ServerError> {
        let store = self.replica.store();
        match store.get(Table::Meta, &begun_key(&self.keys.epoch))? {
            Some(row) => Ok(row == DONE),
            // A store of before these rows has one epoch, or nothing at all.
            None => {
                let mut spaces = self.replica.spaces().into_iter();
                let has_log =
                    |space| store.get(Table::Meta, &keys::log_head(space, &self.keys.epoch)).map(|row| row.is_some());
                spaces.try_fold(true, |all, space| Ok(all && has_log(space)?))
            }
        }
    }

    /// Numbers everything anew that stands in this store, and presents the key of the epoch. `told` hears after each space how
    /// many items there were. Does nothing where that was done. Returns whether it did anything.
    ///
    /// # Errors
    /// When the store fails; begun again it goes on.
    pub fn begin_epoch(&mut self, day: u32, told: &mut dyn FnMut(SpaceId, u64)) -> Result<bool, ServerError> {
        let key = begun_key(&self.keys.epoch);
        let mark = |store: &dyn Store, how: &[u8]| {
            let mut batch = Batch::new();
            batch.put(Table::Meta, key.clone(), how);
            store.commit(&batch)
        };
        if self.is_begun()? {
            let store = self.replica.store().as_ref();
            // A store that was always in this epoch: the next start reads this instead of all chains.
            if !was_begun(store, &self.keys.epoch)? && !self.replica.spaces().is_empty() {
                mark(store, DONE)?;
            }
            return Ok(false);
        }
        mark(self.replica.store().as_ref(), HALFWAY)?;
        for space in self.replica.spaces() {
            let numbered = self.renumber(space, day)?;
            told(space, numbered);
        }
        mark(self.replica.store().as_ref(), DONE)?;
        self.admit(&[], day)?;
        Ok(true)
    }

    fn renumber(&self, space: SpaceId, day: u32) -> Result<u64, ServerError> {
        let mut numbering = Numbering {
            replica: &self.replica,
            log: self.log.as_ref(),
            space,
            next: BTreeMap::new(),
            pushes: Vec::new(),
            push: Vec::new(),
            open: BTreeSet::new(),
            waiting: 0,
            numbered: 0,
        };
        let (mut from, end) = (keys::space(space), keys::after(&keys::space(space)));
        let own = [keys::space(space).as_slice(), self.keys.epoch.as_slice()].concat();
        loop {
            let rows = self.replica.store().scan(Table::Log, &from, Some(&end), LINES_AT_ONCE)?;
            let full = rows.len() == LINES_AT_ONCE;
            for row in rows {
                from.clone_from(&row.key);
                if row.key.starts_with(&own) {
                    continue;
                }
                // The table also says which number an entry has, in rows of another form.
                let Ok((item, closes)) = decode_line(&row.value) else { continue };
                numbering.line(item)?;
                if closes.is_some() {
                    numbering.close()?;
                }
            }
            if !full {
                break;
            }
            from.push(0);
        }
        let ends: Vec<(DeviceId, u64)> =
            self.replica.frontier(space).map(|(device, head)| (device, head.seq + 1)).collect();
        for (device, end) in ends {
            while numbering.next.get(&device).copied().unwrap_or(0) < end {
                let some = numbering.next.get(&device).copied().unwrap_or(0) + PUSH_ENTRIES_MAX as u64;
                numbering.fill(device, some.min(end), day)?;
                numbering.close()?;
            }
        }
        numbering.close()?;
        numbering.flush()?;
        Ok(numbering.numbered)
    }
}
