//! What every log promises, as checks that any implementation can be put through: compare-and-set, idempotent by entry id,
//! numbers without gaps, heads that anybody can compute again, and lines and rows together or not at all.
//!
//! Must never test how a log does it. A failed promise panics with its name: this is for tests.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::Arc;
use std::thread;

use super::{Append, Epoch, Log, LogError, LogHead, LogItem, LogLine};
use crate::gate::{Reason, Verdict};
use crate::model::{EntryId, SpaceId, WijkId};
use crate::store::{Batch, KEY_BYTES_MAX, Store, Table};

const WIJK: WijkId = WijkId::new([7; 32]);
const EPOCH: Epoch = [1; 16];
const OPEN: SpaceId = SpaceId::Open;
/// Threads that append at once, and how many items each.
const THREADS: u8 = 6;
const ITEMS_PER_THREAD: u8 = 10;

/// Opens the log of an epoch over a store.
pub type OpenLog<'a> = &'a dyn Fn(Arc<dyn Store>, WijkId, Epoch) -> Box<dyn Log>;
type Reopen<'a> = &'a mut dyn FnMut(Arc<dyn Store>) -> Arc<dyn Store>;

/// A log and the store that its rows come into.
struct Bench<'a> {
    store: Option<Arc<dyn Store>>,
    log: Option<Box<dyn Log>>,
    open: OpenLog<'a>,
    reopen: Reopen<'a>,
}

/// Puts logs through every promise. `make` gives a new empty store, `reopen` closes one and opens it again (in memory it
/// gives the same back), `open` opens a log.
///
/// # Panics
/// When a promise is not kept.
pub fn run(make: &mut dyn FnMut() -> Arc<dyn Store>, reopen: Reopen<'_>, open: OpenLog<'_>) {
    for promise in PROMISES {
        let store = make();
        let log = open(Arc::clone(&store), WIJK, EPOCH);
        promise(Bench { store: Some(store), log: Some(log), open, reopen: &mut *reopen });
    }
}

const PROMISES: [fn(Bench<'_>); 9] = [
    an_empty_log_has_the_head_of_nothing,
    numbers_follow_without_gaps_and_heads_from_lines,
    an_append_elsewhere_than_expected_changes_nothing,
    a_retry_numbers_nothing_twice,
    readers_may_cut_only_where_pushes_end,
    lines_of_several_spaces_and_rows_come_together,
    epochs_do_not_touch,
    a_read_gives_its_range,
    many_threads_share_one_log,
];

impl Bench<'_> {
    fn log(&self) -> &dyn Log {
        self.log.as_deref().unwrap()
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.log = None;
        let store = (self.reopen)(self.store.take().unwrap());
        self.log = Some((self.open)(Arc::clone(&store), WIJK, EPOCH));
        self.store = Some(store);
    }

    fn append(&self, expected_next: u64, pushes: &[&[LogItem]]) -> Result<(), LogError> {
        self.log().append(&[append(OPEN, expected_next, pushes)], Batch::new())
    }

    /// All lines, after checking that their numbers have no gaps and their hashes lead to the head.
    fn lines(&self) -> Vec<LogLine> {
        let lines = self.log().read(OPEN, 0, usize::MAX).unwrap();
        let mut head = LogHead::empty(WIJK, OPEN, &EPOCH);
        for line in &lines {
            assert_eq!(line.number, head.next, "numbers follow without gaps");
            head = head.after(&line.item);
            assert!(line.closes.is_none_or(|hash| hash == head.hash), "the hash behind {} is its head's", line.number);
        }
        assert_eq!(self.log().head(OPEN).unwrap(), head, "the head follows from the lines");
        assert!(lines.last().is_none_or(|line| line.closes.is_some()), "the last line closes a push");
        lines
    }

    fn ids(&self) -> Vec<u8> {
        self.lines().iter().map(|line| line.item.id.as_bytes()[0]).collect()
    }
}

fn append(space: SpaceId, expected_next: u64, pushes: &[&[LogItem]]) -> Append {
    Append { space, expected_next, pushes: pushes.iter().map(|push| push.to_vec()).collect() }
}

fn item(number: u8) -> LogItem {
    judged(number, Verdict::Present)
}

fn judged(number: u8, verdict: Verdict) -> LogItem {
    LogItem { id: EntryId::new([number; 32]), day: 20_000, verdict, again: false }
}

fn an_empty_log_has_the_head_of_nothing(mut bench: Bench<'_>) {
    for space in [OPEN, SpaceId::Members, SpaceId::Circle([3; 16])] {
        assert_eq!(bench.log().head(space).unwrap(), LogHead::empty(WIJK, space, &EPOCH));
        assert_eq!(bench.log().read(space, 0, 9).unwrap(), []);
    }
    bench.append(0, &[]).unwrap();
    bench.append(0, &[&[]]).unwrap();
    bench.reopen();
    assert!(bench.ids().is_empty());
}

fn numbers_follow_without_gaps_and_heads_from_lines(mut bench: Bench<'_>) {
    bench.append(0, &[&[item(1), item(2)]]).unwrap();
    bench.append(2, &[&[item(3)], &[judged(4, Verdict::Refused(Reason::Owner)), item(5)]]).unwrap();
    let before = bench.lines();
    assert_eq!(bench.ids(), [1, 2, 3, 4, 5]);
    assert_eq!(before[3].item, judged(4, Verdict::Refused(Reason::Owner)));
    bench.reopen();
    assert_eq!(bench.lines(), before, "after opening again");
    bench.append(5, &[&[LogItem { again: true, ..judged(4, Verdict::Present) }]]).unwrap();
    bench.reopen();
    assert!(bench.lines()[5].item.again, "that an item was judged anew is kept");
}

fn an_append_elsewhere_than_expected_changes_nothing(mut bench: Bench<'_>) {
    bench.append(0, &[&[item(1)]]).unwrap();
    let before = bench.lines();
    for wrong in [0, 2, u64::MAX] {
        let mut rows = Batch::new();
        rows.put(Table::Meta, b"a row".as_slice(), b"x".as_slice());
        let refused = bench.log().append(&[append(OPEN, wrong, &[&[item(2)]])], rows);
        assert!(
            matches!(refused, Err(LogError::Moved { space: OPEN, expected, next: 1 }) if expected == wrong),
            "{refused:?}"
        );
    }
    bench.reopen();
    assert_eq!(bench.lines(), before);
    assert_eq!(bench.store().get(Table::Meta, b"a row").unwrap(), None, "rows of a refused append");
}

fn a_retry_numbers_nothing_twice(mut bench: Bench<'_>) {
    bench.append(0, &[&[item(1), item(2)]]).unwrap();
    bench.append(2, &[&[item(1), item(2)]]).unwrap();
    assert_eq!(bench.ids(), [1, 2]);
    bench.reopen();
    bench.append(2, &[&[item(2), item(3)], &[item(3), item(4)], &[item(4), item(4)]]).unwrap();
    assert_eq!(bench.ids(), [1, 2, 3, 4], "known in the log, in the same append, in the same push");
    bench.append(4, &[&[judged(1, Verdict::Erased)]]).unwrap();
    assert_eq!(bench.ids(), [1, 2, 3, 4, 1], "another verdict is another item");
    let again = LogItem { day: 20_009, ..judged(1, Verdict::Erased) };
    bench.append(5, &[&[again]]).unwrap();
    assert_eq!(bench.ids(), [1, 2, 3, 4, 1], "another day is not");
}

fn readers_may_cut_only_where_pushes_end(mut bench: Bench<'_>) {
    bench.append(0, &[&[item(1), item(2)], &[item(3), item(4), item(5)]]).unwrap();
    // Of this push the last item is known already: it ends at the one before.
    bench.append(5, &[&[item(6), item(7), item(5)], &[item(1)]]).unwrap();
    bench.reopen();
    let closes: Vec<u64> = bench.lines().iter().filter(|line| line.closes.is_some()).map(|line| line.number).collect();
    assert_eq!(closes, [1, 4, 6]);
}

fn lines_of_several_spaces_and_rows_come_together(mut bench: Bench<'_>) {
    let row = |key: &[u8]| {
        let mut rows = Batch::new();
        rows.put(Table::Meta, key, b"x".as_slice());
        rows
    };
    let both = [append(SpaceId::Members, 0, &[&[item(1)]]), append(OPEN, 0, &[&[item(2)]])];
    bench.log().append(&both, row(b"taken")).unwrap();
    // The second of two spaces stands elsewhere.
    let one_moved = [append(SpaceId::Members, 1, &[&[item(3)]]), append(OPEN, 0, &[&[item(4)]])];
    assert!(matches!(bench.log().append(&one_moved, row(b"moved")), Err(LogError::Moved { space: OPEN, .. })));
    // The store refuses a row.
    let good = [append(SpaceId::Members, 1, &[&[item(5)]])];
    assert!(matches!(bench.log().append(&good, row(&[1; KEY_BYTES_MAX + 1])), Err(LogError::Store(_))));
    bench.reopen();
    assert_eq!(bench.ids(), [2]);
    assert_eq!(bench.log().head(SpaceId::Members).unwrap().next, 1);
    let rows = bench.store().scan(Table::Meta, b"", None, 99).unwrap();
    let own = |key: &[u8]| rows.iter().any(|row| row.key == key);
    assert!(own(b"taken") && !own(b"moved"));
    // What was refused can be appended after all.
    bench.append(1, &[&[item(3), item(4)]]).unwrap();
    assert_eq!(bench.ids(), [2, 3, 4]);
}

fn epochs_do_not_touch(mut bench: Bench<'_>) {
    bench.append(0, &[&[item(1)]]).unwrap();
    {
        let other = (bench.open)(Arc::clone(bench.store()), WIJK, [2; 16]);
        assert_eq!(other.head(OPEN).unwrap(), LogHead::empty(WIJK, OPEN, &[2; 16]));
        other.append(&[append(OPEN, 0, &[&[item(1), item(9)]])], Batch::new()).unwrap();
        assert_eq!(other.read(OPEN, 0, 9).unwrap().len(), 2);
    }
    bench.reopen();
    assert_eq!(bench.ids(), [1]);
}

fn a_read_gives_its_range(bench: Bench<'_>) {
    let items: Vec<LogItem> = (0..20).map(item).collect();
    bench.append(0, &[&items]).unwrap();
    let numbers = |from, limit| -> Vec<u64> {
        bench.log().read(OPEN, from, limit).unwrap().iter().map(|line| line.number).collect()
    };
    assert_eq!(numbers(0, 3), [0, 1, 2]);
    assert_eq!(numbers(18, 9), [18, 19]);
    assert_eq!(numbers(19, 1), [19]);
    for (from, limit) in [(20, 9), (u64::MAX, 9), (0, 0)] {
        assert_eq!(numbers(from, limit), [0; 0]);
    }
}

fn many_threads_share_one_log(mut bench: Bench<'_>) {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = bench.log();
            scope.spawn(move || {
                for number in 0..ITEMS_PER_THREAD {
                    let mine = item(thread * ITEMS_PER_THREAD + number);
                    loop {
                        let next = log.head(OPEN).unwrap().next;
                        match log.append(&[append(OPEN, next, &[std::slice::from_ref(&mine)])], Batch::new()) {
                            Ok(()) => break,
                            Err(LogError::Moved { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    bench.reopen();
    let mut ids = bench.ids();
    ids.sort_unstable();
    assert_eq!(ids, (0..THREADS * ITEMS_PER_THREAD).collect::<Vec<_>>(), "each item has exactly one number");
}
