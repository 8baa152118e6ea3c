//! Receipts: what the server signs for a push once it is flushed.
//!
//! Must only be asked for after the commit: a receipt is a promise.

use std::collections::BTreeMap;

use super::{PushJob, Server, ServerError};
use crate::entry::Signature;
use crate::model::{EntryId, SpaceId};
use crate::replica::Admitted;
use crate::store::log::{Append, LogItem};
use crate::store::{Table, keys};
use crate::sync::receipt_message;
use crate::sync::wire::{Frame, Receipt, ReceiptLine};

impl Server {
    /// The lines that these appends made, by entry; the newest of each. Nothing for a log that passed over items which it had:
    /// then they are looked up.
    pub(super) fn fresh_lines(&self, appends: &[Append]) -> Result<BTreeMap<EntryId, ReceiptLine>, ServerError> {
        let mut fresh = BTreeMap::new();
        for append in appends {
            let count: usize = append.pushes.iter().map(Vec::len).sum();
            if self.log.head(append.space)?.next != append.expected_next + count as u64 {
                continue;
            }
            for (number, item) in (append.expected_next..).zip(append.pushes.iter().flatten()) {
                let LogItem { id, day, verdict, .. } = *item;
                fresh.insert(id, ReceiptLine { id, number, day, verdict });
            }
        }
        Ok(fresh)
    }

    /// The signed answer to a push that was admitted.
    pub(super) fn receipt(
        &self,
        job: &PushJob,
        admitted: &Admitted,
        fresh: &BTreeMap<EntryId, ReceiptLine>,
    ) -> Result<Frame, ServerError> {
        let mut lines = Vec::with_capacity(admitted.entries.len());
        for outcome in &admitted.entries {
            match fresh.get(&outcome.id) {
                Some(line) => lines.push(line.clone()),
                None => lines.extend(self.line(job.space, outcome.id)?),
            }
        }
        let head = self.log.head(job.space)?;
        let mut receipt = Receipt {
            push: job.push,
            space: job.space,
            epoch: self.keys.epoch,
            lines,
            head,
            signature: Signature([0; 64]),
        };
        receipt.signature = self.keys.epoch_key.sign(&receipt_message(self.replica.wijk(), &receipt));
        Ok(Frame::Receipt(receipt))
    }

    /// The newest line of an entry in the log.
    fn line(&self, space: SpaceId, id: EntryId) -> Result<Option<ReceiptLine>, ServerError> {
        let prefix = keys::numbers_of(space, &self.keys.epoch, id);
        let rows = self.replica.store().scan(Table::Log, &prefix, Some(&keys::after(&prefix)), usize::MAX)?;
        let numbers = rows.iter().filter_map(|row| Some(u64::from_be_bytes(row.value.as_slice().try_into().ok()?)));
        let Some(number) = numbers.max() else { return Ok(None) };
        let lines = self.log.read(space, number, 1)?;
        Ok(lines.first().map(|line| ReceiptLine { id, number, day: line.item.day, verdict: line.item.verdict }))
    }
}
