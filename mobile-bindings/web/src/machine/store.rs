//! The one write under way: commits of the core, and folds, which are how storage stays small and how erased words leave it.

use samenspraak_core::app::{Event, Timestamp};
use samenspraak_core::store::erased::scrub_if_due;
use samenspraak_core::store::{Batch, Row, Store, StoreError, Table, check_limits};
use std::sync::{Mutex, PoisonError};

use super::{Machine, Out};
use crate::rows::{Fold, Head, Rows, encode_batch};

/// Bytes on top of the pages before a fold, at least: some fifty contributions.
const FOLD_BYTES_MIN: usize = 1024 * 1024;
/// Records in the journal before a fold: each costs opening a read of its own.
const JOURNAL_RECORDS_MAX: u64 = 512;
/// How long a fold that failed isn't tried again, in milliseconds: a full disk stays full for a while.
const FOLD_AGAIN_AFTER_MS: u64 = 60_000;

/// What goes into one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// The head from then on.
    pub head: Vec<u8>,
    /// A record for the journal.
    pub journal: Option<(u64, Vec<u8>)>,
    /// Pages to write.
    pub pages: Vec<(u64, Vec<u8>)>,
    /// Pages to forget.
    pub gone: Vec<u64>,
    /// All journal records before this number are forgotten.
    pub journal_first: u64,
}

#[derive(Debug)]
pub struct Writing {
    head: Head,
    what: What,
}

#[derive(Debug)]
enum What {
    Commit { commit: u64, batch: Batch },
    Fold { fold: Fold, scrubs: bool },
}

/// Rows of which a scrub is only noted: it is done by a fold, together with what was noted.
struct Noting<'r> {
    rows: &'r Rows,
    noted: Mutex<Batch>,
}

impl Store for Noting<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.rows.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.rows.scan(table, from, to, limit)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).append(batch.clone());
        Ok(())
    }

    fn scrub(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Machine {
    pub(super) fn fold_is_due(&self) -> bool {
        let many = self.head.journal_next - self.head.journal_first >= JOURNAL_RECORDS_MAX;
        // Half of the pages: so a row is written anew a few times in all, however large the store gets.
        many || self.rows.top_bytes() > FOLD_BYTES_MIN.max(self.rows.page_bytes() / 2)
    }

    /// Gives out the next thing to write, if nothing is under way.
    pub(super) fn begin_to_write(&mut self, now: Timestamp) {
        if self.writing.is_some() {
            return;
        }
        while let Some((commit, batch)) = self.waiting.take() {
            // Before it is written: a record that is not to be read again would keep this device from opening for ever.
            if let Err(error) = check_limits(&batch) {
                self.tell_app(now, Event::StoreFailed { commit, error });
                self.perform(now);
                continue;
            }
            let number = self.head.journal_next;
            let head = Head { journal_next: number + 1, ..self.head.clone() };
            let write = Write {
                head: head.encode(),
                journal: Some((number, encode_batch(&batch))),
                journal_first: head.journal_first,
                ..Write::default()
            };
            self.writing = Some(Writing { head, what: What::Commit { commit, batch } });
            return self.out.push(Out::Write(write));
        }
        let scrubs = self.scrub_at.is_some_and(|at| at <= now);
        if scrubs || (self.fold_is_due() && self.fold_after <= now) {
            self.fold(now, scrubs);
        }
    }

    fn fold(&mut self, now: Timestamp, scrubs: bool) {
        let noting = Noting { rows: &self.rows, noted: Mutex::default() };
        if scrubs && scrub_if_due(&noting).is_err() {
            // Rows in memory can always be read, so this is damage; it is told where they are looked at.
            self.scrub_at = None;
            return;
        }
        let noted = noting.noted.into_inner().unwrap_or_else(PoisonError::into_inner);
        let fold = self.rows.fold(&noted, self.head.page_next);
        let next = self.head.journal_next;
        let head = Head { journal_first: next, journal_next: next, page_next: fold.next, pages: fold.pages.clone() };
        let write = Write {
            head: head.encode(),
            journal: None,
            pages: fold.written.clone(),
            gone: fold.gone.clone(),
            journal_first: next,
        };
        self.writing = Some(Writing { head, what: What::Fold { fold, scrubs } });
        self.scrub_at = self.scrub_at.filter(|at| *at > now);
        self.out.push(Out::Write(write));
    }

    /// What was given out is durable, or nothing of it is there.
    pub(super) fn written(&mut self, now: Timestamp, result: Result<(), StoreError>) {
        let Some(Writing { head, what }) = self.writing.take() else { return };
        if result.is_ok() {
            self.head = head;
        }
        match (what, result) {
            (What::Commit { commit, batch }, Ok(())) => {
                let event = match self.rows.commit(&batch) {
                    Ok(()) => Event::Stored { commit },
                    Err(error) => Event::StoreFailed { commit, error },
                };
                self.tell_app(now, event);
            }
            (What::Commit { commit, .. }, Err(error)) => self.tell_app(now, Event::StoreFailed { commit, error }),
            (What::Fold { fold, scrubs }, Ok(())) => {
                // Pages that were just made can be read.
                let _ = self.rows.folded(fold);
                if scrubs {
                    self.tell_app(now, Event::Scrubbed);
                }
            }
            (What::Fold { scrubs, .. }, Err(_)) => {
                let again = Timestamp(now.0 + FOLD_AGAIN_AFTER_MS);
                self.fold_after = again;
                if scrubs {
                    self.scrub_at = Some(again);
                }
            }
        }
    }
}
