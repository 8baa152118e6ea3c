//! Promise: an app that opens quickly shows what one shows that reads everything its store holds, and reads no more of a document
//! than that it is there.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use samenspraak_core::app::{Command, Reply};
use samenspraak_core::cbor::{Reader, Writer};
use samenspraak_core::model::{Content, Role, SubjectId};
use samenspraak_core::replica::EntryRow;
use samenspraak_core::store::log::{decode_run, encode_line};
use samenspraak_core::store::{Batch, Row, Store, StoreError, Table, keys};
use samenspraak_tests::conversation::{Conversation, words};
use samenspraak_tests::world::{Phone, World, copy_of};

/// Everything that screens show, as text.
fn shown(phone: &mut Phone) -> String {
    let joined = phone.joined();
    let contributions = joined.contributions().unwrap();
    let lines: Vec<_> = contributions.iter().map(|item| joined.line(item.subject).unwrap()).collect();
    let tallies: Vec<_> = contributions.iter().map(|item| joined.tally(item.subject)).collect();
    let meetings = joined.meetings().unwrap();
    let sealed: Vec<_> =
        joined.replica().spaces().into_iter().map(|space| joined.sealed_items(space).unwrap()).collect();
    let refused = joined.refused().unwrap();
    let ruled: Vec<_> =
        joined.view().ruled().map(|about| joined.view().rulings_on(about).collect::<Vec<_>>()).collect();
    let signed: Vec<_> = joined.view().signed_for_erasure().collect();
    format!("{contributions:#?}{lines:#?}{tallies:#?}{meetings:#?}{sealed:#?}{refused:#?}{ruled:#?}{signed:#?}")
}

/// The same store as programs before made it: it lacks what says that everything can be found quickly, every line of a log has a
/// row, and so has every entry about a subject, beside a change that doesn't say where it stands.
fn of_before(store: &dyn Store) -> Arc<dyn Store> {
    let copy = copy_of(store);
    let mut batch = Batch::new();
    batch.delete(Table::Meta, b"quick-opening".as_slice());
    let (mut changes, mut lines) = (0, 0);
    for Row { key, value } in copy.scan(Table::Change, &[], None, usize::MAX).unwrap() {
        let mut reader = Reader::new(&value);
        if key[SubjectId::LEN] == 0 && reader.array(2).is_ok_and(|length| length == 2) {
            let mut bare = Writer::new();
            bare.uint(reader.uint().unwrap());
            batch.put(Table::Change, key.as_slice(), bare.finish());
            changes += 1;
        }
    }
    for Row { key, value } in copy.scan(Table::Entry, &[], None, usize::MAX).unwrap() {
        let (entry, (space, device, seq)) = (EntryRow::decode(&value).unwrap(), keys::parse_entry(&key).unwrap());
        if !entry.creates {
            batch.put(Table::Subject, keys::subject_entry(space, entry.subject, device, seq), []);
        }
    }
    for Row { key, value } in copy.scan(Table::Log, &[], None, usize::MAX).unwrap() {
        let (items, closes) = decode_run(&value).unwrap();
        let (before, first) = key.split_last_chunk::<8>().unwrap();
        let last = items.len() - 1;
        for (at, item) in items.iter().enumerate() {
            let number = u64::from_be_bytes(*first) + at as u64;
            let closes = closes.as_ref().filter(|_| at == last);
            batch.put(Table::Log, [before, &number.to_be_bytes()].concat(), encode_line(item, closes));
            lines += 1;
        }
    }
    assert!(changes > 0 && lines > 0, "nothing of before was made: {changes} changes, {lines} lines");
    copy.commit(&batch).unwrap();
    copy
}

#[test]
fn a_store_of_before_is_written_on_synced_and_erased_like_any_other() {
    let mut evening = Conversation::new();
    let mine = evening.contribution;
    let rows = of_before(evening.resident.store.as_ref());
    let mut resident = Phone::open(Arc::clone(&rows));
    let content = Content { text: format!("{} Nu ook overdag.", words().text), ..words() };
    resident.ask([71; 32], Command::Edit { subject: mine, content }).unwrap();
    assert_eq!(evening.world.sync(&mut resident).settled, Some(None));
    let mut board = Phone::open(of_before(evening.board.store.as_ref()));
    assert_eq!(evening.world.sync(&mut board).settled, Some(None));
    assert!(board.joined().contribution(mine).unwrap().unwrap().content.text.ends_with("Nu ook overdag."));
    resident.ask([72; 32], Command::Erase(mine)).unwrap();
    for phone in [&mut resident, &mut board] {
        assert_eq!(evening.world.sync(phone).settled, Some(None));
        assert!(phone.joined().contribution(mine).unwrap().is_none());
        for (table, key, value) in Table::ALL.into_iter().flat_map(|table| {
            let rows = phone.store.scan(table, &[], None, usize::MAX).unwrap();
            rows.into_iter().map(move |row| (table, row.key, row.value))
        }) {
            let holds = value.windows(20).any(|part| part == &words().text.as_bytes()[..20]);
            assert!(!holds, "{table:?} {key:?} still holds the words");
        }
    }
}

#[test]
fn what_is_opened_quickly_is_what_was_shown_before_and_what_every_entry_says() {
    let mut evening = Conversation::new();
    let mut compared = 0;
    let phones = [
        &mut evening.facilitator,
        &mut evening.board,
        &mut evening.administrator,
        &mut evening.resident,
        &mut evening.neighbour,
    ];
    for phone in phones {
        let before = shown(phone);
        let (mut quick, mut whole) = (phone.copy(), Phone::open(of_before(phone.store.as_ref())));
        assert_eq!(shown(&mut quick), before, "opened again");
        assert_eq!(shown(&mut whole), before, "with every entry read");
        compared += before.len();
    }
    assert!(compared > 20_000, "only {compared} letters were compared");
}

/// Counts what is read of entries.
struct Counting {
    below: Arc<dyn Store>,
    entries: AtomicUsize,
}

impl Store for Counting {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.entries.fetch_add(usize::from(table == Table::Entry), Ordering::Relaxed);
        self.below.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let rows = self.below.scan(table, from, to, limit)?;
        self.entries.fetch_add(if table == Table::Entry { rows.len() } else { 0 }, Ordering::Relaxed);
        Ok(rows)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.below.commit(batch)
    }

    fn scrub(&self) -> Result<(), StoreError> {
        self.below.scrub()
    }
}

#[test]
fn opening_reads_as_many_entries_of_a_document_with_a_hundred_changes_as_of_one_with_one() {
    let mut world = World::with_seed(8);
    let mut author = world.join(Role::Resident);
    let mut reads = Vec::new();
    let mut content = Content { title: "Stoep".into(), text: "Los.".into(), ..Content::default() };
    let Reply::Saved { subject, .. } = world.ask(&mut author, Command::Contribute(content.clone())).unwrap() else {
        panic!()
    };
    for changes in [0, 100] {
        for _ in 0..changes {
            content.text.push_str(" Nog steeds.");
            world.ask(&mut author, Command::Edit { subject, content: content.clone() }).unwrap();
        }
        world.sync(&mut author);
        let counting = Arc::new(Counting { below: copy_of(author.store.as_ref()), entries: AtomicUsize::new(0) });
        let mut opened = Phone::open(Arc::clone(&counting) as Arc<dyn Store>);
        reads.push(counting.entries.load(Ordering::Relaxed));
        assert_eq!(opened.joined().contributions().unwrap()[0].content, content);
    }
    assert_eq!(reads[0], reads[1], "{reads:?}");
}
