//! Promise: whoever carries entries to a phone (a relay, a hub, a server, somebody on the line) can't change them. What was
//! altered by as little as one bit is refused whole, or is not part of an entry; no phone keeps or shows anything that its
//! author didn't write.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use samenspraak_core::entry::Kind;
use samenspraak_core::model::{DeviceId, Role, SpaceId};
use samenspraak_core::replica::{EntryRow, Place, Replica, Side};
use samenspraak_core::store::{Batch, Row, Store, StoreError, Table};
use samenspraak_core::sync::wire::{Frame, Piece};
use samenspraak_tests::conversation::Conversation;
use samenspraak_tests::world::{Phone, copy_of};

/// Another bit in each byte, so that all eight are altered many times.
fn altered(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut other = bytes.to_vec();
    other[at] ^= 1 << (at % 8);
    other
}

fn entries(rows: impl IntoIterator<Item = Row>) -> BTreeMap<Place, EntryRow> {
    let rows =
        rows.into_iter().map(|Row { key, value }| (Place::decode(&key).unwrap(), EntryRow::decode(&value).unwrap()));
    rows.collect()
}

fn all_entries(store: &dyn Store) -> BTreeMap<Place, EntryRow> {
    entries(store.scan(Table::Entry, &[], None, usize::MAX).unwrap())
}

/// What is kept is what its author wrote: the same ids, bodies and signatures, at the same places.
fn assert_honest(kept: &BTreeMap<Place, EntryRow>, honest: &BTreeMap<Place, EntryRow>, what: &str) {
    for (place, row) in kept {
        let written = honest.get(place).unwrap_or_else(|| panic!("{what}: {place:?} was never written"));
        assert_eq!((row.id, row.kind, row.subject), (written.id, written.kind, written.subject), "{what}: {place:?}");
        assert_eq!(row.body_hash, written.body_hash, "{what}: {place:?}");
        if let (Some(kept), Some(written)) = (row.kept.body(), written.kept.body()) {
            assert_eq!(kept, written, "{what}: the body at {place:?}");
        }
    }
}

/// A phone that hears of the wijk for the first time.
fn stranger(evening: &Conversation, store: Arc<dyn Store>) -> Replica {
    Replica::open(evening.world.wijk, Side::Phone { device: DeviceId::ZERO }, store).unwrap()
}

fn keep(replica: &mut Replica) {
    let rows = replica.take_rows();
    replica.store().commit(&rows).unwrap();
    replica.committed();
}

/// The whole log of a space, as pieces.
fn pieces(evening: &Conversation, space: SpaceId) -> Vec<Piece> {
    let (reader, mut from, mut pieces) = (evening.world.server().reader(), 0, Vec::new());
    while let Some(read) = reader.read(space, from).unwrap() {
        from = read.head.next;
        pieces.push(read.piece);
    }
    pieces
}

#[test]
fn a_relay_that_alters_any_byte_of_any_relayed_entry_is_refused() {
    let evening = Conversation::new();
    let server = evening.world.server().replica();
    let honest = all_entries(&**server.store());
    let base: Arc<dyn Store> = Arc::new(samenspraak_core::store::MemoryStore::new());
    let (mut kinds, mut bytes) = (BTreeSet::new(), 0);
    let (mut unread, mut refused, mut harmless) = (0, 0, 0);
    let mut phone = stranger(&evening, Arc::clone(&base));
    for piece in server.spaces().into_iter().flat_map(|space| pieces(&evening, space)) {
        kinds.extend(piece.runs.iter().flat_map(|run| &run.entries).map(|entry| entry.kind));
        let frame = Frame::Piece(piece.clone()).encode();
        bytes += frame.len();
        let before = copy_of(&**phone.store());
        for at in 0..frame.len() {
            let Ok(Frame::Piece(other)) = Frame::decode(&altered(&frame, at)) else {
                unread += 1;
                continue;
            };
            match phone.admit(other.space, &other.clone().take_batch()) {
                Err(_) => refused += 1,
                Ok(_) => {
                    // Not part of an entry: the day and the verdict that stand beside it, which the signed head proves.
                    harmless += 1;
                    assert_eq!(other.runs, piece.runs, "byte {at} of a piece of {}", piece.space);
                    keep(&mut phone);
                    assert_honest(&all_entries(&**phone.store()), &honest, &format!("byte {at} in {}", piece.space));
                    phone = stranger(&evening, copy_of(&*before));
                }
            }
            assert!(!phone.has_uncommitted(), "byte {at}: something of a refused piece is left");
        }
        phone.admit(piece.space, &piece.clone().take_batch()).unwrap();
        keep(&mut phone);
    }
    println!("{bytes} bytes: {unread} can't be read, {refused} are refused, {harmless} are no part of an entry");
    assert_eq!(kinds, Kind::ALL.into_iter().collect(), "the sample has entries of every kind");
    assert_eq!(unread + refused + harmless, bytes);
    assert!(refused > bytes / 2 && harmless < bytes / 20);
    assert_eq!(all_entries(&**phone.store()).len(), honest.len(), "unaltered, everything comes");
}

/// Counts what a phone keeps.
struct Counting {
    inner: Arc<dyn Store>,
    commits: AtomicU64,
}

impl Store for Counting {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.inner.scan(table, from, to, limit)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.inner.commit(batch)
    }

    fn scrub(&self) -> Result<(), StoreError> {
        self.inner.scrub()
    }
}

fn opened(store: &Arc<dyn Store>) -> (Phone, Arc<Counting>) {
    let counting = Arc::new(Counting { inner: copy_of(&**store), commits: AtomicU64::new(0) });
    (Phone::open(Arc::clone(&counting) as Arc<dyn Store>), counting)
}

/// What a phone shows of what others wrote.
fn shown(phone: &mut Phone) -> String {
    let joined = phone.joined();
    let contributions = joined.contributions().unwrap();
    let lines: Vec<_> = contributions.iter().map(|item| joined.line(item.subject).unwrap()).collect();
    format!("{contributions:?} {lines:?} {:?}", joined.meetings().unwrap())
}

#[test]
fn a_new_phone_on_a_line_that_alters_any_byte_keeps_and_shows_only_what_was_written() {
    let mut evening = Conversation::new();
    let phone = evening.world.join(Role::Resident);
    let (mut world, mut played) = (evening.world.copy(5), phone.copy());
    assert_eq!(world.sync(&mut played).settled, Some(None));
    let heard = world.said.1.clone();
    let honest = all_entries(&**world.server().replica().store());
    let (expected, mut accepted, mut kept) = (shown(&mut played), 0, 0);
    for (number, frame) in heard.iter().enumerate() {
        // A phone that heard everything before this frame, on a connection that broke there.
        let before = phone.copy();
        let mut before = Phone::open(Arc::clone(&before.store));
        before.hear(&heard[..number]);
        let (mut victim, mut counting) = opened(&before.store);
        for at in 0..frame.len() {
            let other = altered(frame, at);
            let frames = if number == 0 { vec![other] } else { vec![heard[0].clone(), other] };
            victim.hear(&frames);
            if counting.commits.load(Ordering::Relaxed) == 0 {
                continue;
            }
            // Something was taken: the day or verdict beside an entry, or a receipt or head that means the same.
            accepted += 1;
            let what = format!("byte {at} of frame {number}");
            assert_honest(&all_entries(&*victim.store), &honest, &what);
            victim.restart();
            assert_honest(&all_entries(&*victim.store), &honest, &what);
            let mut world = world.copy(6);
            let synced = world.sync(&mut victim);
            assert_eq!(synced.settled, Some(None), "{what}: {synced:?}");
            assert_eq!(shown(&mut victim), expected, "{what}: after an honest sync");
            (victim, counting) = opened(&before.store);
        }
        // Unaltered it is taken, or the test would show nothing.
        victim.hear(&[heard[0].clone(), frame.clone()]);
        kept += u64::from(counting.commits.load(Ordering::Relaxed) > 0);
    }
    println!("{} frames, {accepted} altered ones had something to take", heard.len());
    assert!(kept >= 4, "pieces, receipts and heads are taken when nobody alters them");
}
