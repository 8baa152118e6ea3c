//! What one device may ask of all others: pushes and bytes in a minute, operations in a day.
//!
//! Buckets that fill by themselves and may go into debt: a push larger than what is left goes through when the bucket is
//! full, and is paid back after. So a quota says "not now" and when, never "no". Pushes and bytes are charged to the device
//! that carries them, operations to the device that wrote them (a change of 64 bytes can hold 70,000, decision 0007), and
//! given back for entries that were here already: a phone that brings the words of others uses up nobody's day.
//!
//! In memory only: a server that was restarted begins anew. Kept for members alone; who isn't one has a small quota for each
//! connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use samenspraak_core::entry::codec::{self, Record};
use samenspraak_core::entry::{Kind, Payload, Run, RunEntry};
use samenspraak_core::gate::change;
use samenspraak_core::model::DeviceId;
use samenspraak_core::replica::RunBatch;
use samenspraak_core::sync::wire::{Frame, Receipt};

use super::limits::{Limits, QUOTA_WAIT_MAX};

/// Devices whose buckets are kept at once; beyond, those that are full again are forgotten. More than the members that are
/// awake in a large wijk.
const KEPT: usize = 8192;
/// Pushes of a connection whose device is no member (yet): its join, and some attempts with other cards.
const STRANGER_PUSHES_PER_MINUTE: f64 = 30.0;
/// Bytes of the same: a join is below 1 KiB.
const STRANGER_BYTES_PER_MINUTE: f64 = 256.0 * 1024.0;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug)]
struct Bucket {
    capacity: f64,
    per_second: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(capacity: f64, fills_in: Duration, now: Instant) -> Self {
        Self { capacity, per_second: capacity / fills_in.as_secs_f64(), level: capacity, at: now }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.per_second).min(self.capacity);
        self.at = now;
    }

    /// How long until this much may be taken.
    fn wait(&mut self, cost: f64, now: Instant) -> Duration {
        self.fill(now);
        let lacks = cost.min(self.capacity) - self.level;
        if lacks <= 0.0 { Duration::ZERO } else { Duration::try_from_secs_f64(lacks / self.per_second).unwrap_or(DAY) }
    }

    fn take(&mut self, cost: f64) {
        self.level -= cost;
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level >= self.capacity
    }
}

#[derive(Debug)]
struct Device {
    pushes: Bucket,
    bytes: Bucket,
    operations: Bucket,
}

/// See the module.
pub struct Quotas {
    limits: Limits,
    devices: Mutex<BTreeMap<DeviceId, Device>>,
}

/// The quota of a connection whose device is no member.
#[derive(Debug)]
pub struct Stranger {
    pushes: Bucket,
    bytes: Bucket,
}

impl Default for Stranger {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            pushes: Bucket::new(STRANGER_PUSHES_PER_MINUTE, MINUTE, now),
            bytes: Bucket::new(STRANGER_BYTES_PER_MINUTE, MINUTE, now),
        }
    }
}

impl Stranger {
    /// Takes a push; otherwise says when there is room.
    ///
    /// # Errors
    /// How long to wait.
    pub fn push(&mut self, bytes: usize) -> Result<(), Duration> {
        let (now, bytes) = (Instant::now(), as_cost(bytes as u64));
        let wait = self.pushes.wait(1.0, now).max(self.bytes.wait(bytes, now));
        if wait > Duration::ZERO {
            return Err(wait);
        }
        self.pushes.take(1.0);
        self.bytes.take(bytes);
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a quota may be off by a few units above 2^53")]
fn as_cost(number: u64) -> f64 {
    number as f64
}

/// Operations that were taken from their writers' days, by entry in the order of the push. Given back when dropped, for all
/// that [`Reserved::settle`] didn't keep: whatever becomes of the push.
pub struct Reserved {
    quotas: Arc<Quotas>,
    by_entry: Vec<(DeviceId, u64)>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.by_entry.is_empty() {
            return;
        }
        let mut devices = self.quotas.devices();
        for (writer, operations) in self.by_entry.drain(..) {
            if let Some(device) = devices.get_mut(&writer) {
                device.operations.take(-as_cost(operations));
            }
        }
    }
}

impl Reserved {
    /// Keeps what is new: the entries whose number in the log isn't below `known`, the log's end before the push.
    pub fn settle(mut self, answer: &Frame, known: u64) {
        if let Frame::Receipt(Receipt { lines, .. }) = answer {
            let mut at = 0;
            self.by_entry.retain(|_| {
                let is_new = lines.get(at).is_some_and(|line| line.number >= known);
                at += 1;
                !is_new
            });
        }
    }

    /// Whether nothing was taken, so that nothing is to be settled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_entry.iter().all(|(_, operations)| *operations == 0)
    }
}

/// Operations of each entry, in the order of the push, with who wrote them. What the gate will refuse counts nothing: nobody
/// folds it.
fn operations(batch: &RunBatch) -> Vec<(DeviceId, u64)> {
    let counted = |run: &Run, entry: &RunEntry| {
        let operations = match &entry.payload {
            Payload::Creating { body } | Payload::Following { body, .. } => operations_of(entry.kind, body),
            Payload::Stub { .. } => 0,
        };
        (run.device, operations)
    };
    if batch.order.is_empty() {
        return batch.runs.iter().flat_map(|run| run.entries.iter().map(move |entry| counted(run, entry))).collect();
    }
    let mut next = vec![0; batch.runs.len()];
    let entry = |at: &u32| {
        let at = usize::try_from(*at).ok()?;
        let run = batch.runs.get(at)?;
        let entry = run.entries.get(next[at])?;
        next[at] += 1;
        Some(counted(run, entry))
    };
    batch.order.iter().filter_map(entry).collect()
}

fn operations_of(kind: Kind, body: &[u8]) -> u64 {
    match codec::decode(kind, body) {
        Ok(Some(Record::Change(change))) => change::preflight(&change.change).map_or(0, |found| found.ops),
        _ => 0,
    }
}

impl Quotas {
    /// Quotas as the limits say.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, devices: Mutex::default() }
    }

    fn devices(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Device>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self, now: Instant) -> Device {
        Device {
            pushes: Bucket::new(as_cost(self.limits.pushes_per_minute), MINUTE, now),
            bytes: Bucket::new(as_cost(self.limits.push_bytes_per_minute), MINUTE, now),
            operations: Bucket::new(as_cost(self.limits.operations_per_day), DAY, now),
        }
    }

    fn push_at(
        self: &Arc<Self>,
        now: Instant,
        carrier: DeviceId,
        bytes: usize,
        by_entry: Vec<(DeviceId, u64)>,
    ) -> Result<Reserved, Duration> {
        let bytes = as_cost(bytes as u64);
        let mut by_writer: BTreeMap<DeviceId, u64> = BTreeMap::new();
        for (writer, operations) in &by_entry {
            *by_writer.entry(*writer).or_default() += operations;
        }
        let mut devices = self.devices();
        if devices.len() >= KEPT {
            devices.retain(|_, device| {
                !(device.pushes.is_full(now) && device.bytes.is_full(now) && device.operations.is_full(now))
            });
        }
        let device = devices.entry(carrier).or_insert_with(|| self.fresh(now));
        let mut wait = device.pushes.wait(1.0, now).max(device.bytes.wait(bytes, now));
        for (writer, operations) in &by_writer {
            let device = devices.entry(*writer).or_insert_with(|| self.fresh(now));
            wait = wait.max(device.operations.wait(as_cost(*operations), now));
        }
        if wait > Duration::ZERO {
            return Err(wait);
        }
        if let Some(device) = devices.get_mut(&carrier) {
            device.pushes.take(1.0);
            device.bytes.take(bytes);
        }
        for (writer, operations) in &by_writer {
            if let Some(device) = devices.get_mut(writer) {
                device.operations.take(as_cost(*operations));
            }
        }
        Ok(Reserved { quotas: Arc::clone(self), by_entry })
    }

    /// Takes a push of a member, with its operations from the days of their writers. Waits where there is room soon.
    ///
    /// # Errors
    /// How long until there is room, when that isn't soon.
    pub async fn push_patiently(
        self: &Arc<Self>,
        carrier: DeviceId,
        bytes: usize,
        batch: &RunBatch,
    ) -> Result<Reserved, Duration> {
        let by_entry = operations(batch);
        // The second time others may have been quicker: then it waits again, but not for ever.
        let end = Instant::now() + QUOTA_WAIT_MAX;
        loop {
            match self.push_at(Instant::now(), carrier, bytes, by_entry.clone()) {
                Err(wait) if Instant::now() + wait <= end => tokio::time::sleep(wait).await,
                other => return other,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::config::{Flags, Settings};
    use samenspraak_core::entry::Signature;
    use samenspraak_core::gate::Verdict;
    use samenspraak_core::model::{EntryId, SpaceId};
    use samenspraak_core::store::log::LogHead;
    use samenspraak_core::sync::wire::ReceiptLine;

    const ME: DeviceId = DeviceId::new([1; 32]);
    const OTHER: DeviceId = DeviceId::new([2; 32]);

    fn quotas(pushes: u64, bytes: u64, operations: u64) -> Arc<Quotas> {
        let settings = Settings::load(std::path::Path::new("/nowhere"), &Flags::default()).unwrap();
        Arc::new(Quotas::new(Limits {
            pushes_per_minute: pushes,
            push_bytes_per_minute: bytes,
            operations_per_day: operations,
            ..settings.limits
        }))
    }

    fn receipt(numbers: &[u64]) -> Frame {
        let line = |number: &u64| ReceiptLine { id: EntryId::ZERO, number: *number, day: 0, verdict: Verdict::Present };
        let head = LogHead { next: 0, hash: [0; 32] };
        let lines = numbers.iter().map(line).collect();
        Frame::Receipt(Receipt {
            push: 0,
            space: SpaceId::Open,
            epoch: [0; 16],
            lines,
            head,
            signature: Signature([0; 64]),
        })
    }

    #[test]
    fn a_device_that_pushes_too_much_hears_when_to_come_back_and_is_let_in_then() {
        let (quotas, now) = (quotas(60, 1000, 9), Instant::now());
        for _ in 0..60 {
            drop(quotas.push_at(now, ME, 1, Vec::new()).unwrap());
        }
        let wait = quotas.push_at(now, ME, 1, Vec::new()).err().unwrap();
        assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(quotas.push_at(now, OTHER, 1, Vec::new()).is_ok(), "others are not held up");
        assert!(quotas.push_at(now + wait, ME, 1, Vec::new()).is_ok());
        let wait = quotas.push_at(now + DAY, ME, 1000, Vec::new()).err();
        assert_eq!(wait, None);
        let wait = quotas.push_at(now + DAY, ME, 500, Vec::new()).err().unwrap();
        assert!(wait > Duration::from_secs(29) && wait < Duration::from_secs(31), "{wait:?}");
    }

    #[test]
    fn a_push_larger_than_the_quota_goes_through_once_and_is_paid_back() {
        let (quotas, now) = (quotas(60, 1000, 100), Instant::now());
        quotas.push_at(now, ME, 5000, vec![(ME, 250)]).unwrap().settle(&receipt(&[7]), 7);
        let wait = quotas.push_at(now, ME, 1, vec![(ME, 1)]).err().unwrap();
        assert!(wait > DAY && wait < DAY * 2, "{wait:?}: 151 operations at 100 a day");
        assert!(quotas.push_at(now + MINUTE * 5, ME, 1, Vec::new()).is_ok(), "without operations");
        assert!(quotas.push_at(now + wait, ME, 1, vec![(ME, 1)]).is_ok());
    }

    #[test]
    fn operations_are_the_writers_and_given_back_unless_they_are_new() {
        let (quotas, now) = (quotas(60, 1000, 100), Instant::now());
        let level = |device| quotas.devices().get(&device).unwrap().operations.level;
        let push = |by_entry: Vec<(DeviceId, u64)>| quotas.push_at(now, ME, 1, by_entry).unwrap();
        // Refused, or the connection broke.
        drop(push(vec![(OTHER, 60)]));
        assert_eq!(level(OTHER), 100.0);
        // The first was here before, the second is new.
        push(vec![(OTHER, 60), (OTHER, 30)]).settle(&receipt(&[4, 5]), 5);
        assert_eq!((level(OTHER), level(ME)), (70.0, 100.0));
        assert!(quotas.push_at(now, ME, 1, vec![(OTHER, 80)]).is_err(), "the writer's day is used up, whoever carries");
        assert!(quotas.push_at(now, OTHER, 1, vec![(ME, 80)]).is_ok());
    }

    #[test]
    fn devices_that_used_nothing_lately_are_forgotten() {
        let (quotas, now) = (quotas(60, 1000, 100), Instant::now());
        for number in 0..=KEPT {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            drop(quotas.push_at(now, DeviceId::new(id), 1, Vec::new()).unwrap());
        }
        drop(quotas.push_at(now + MINUTE * 2, ME, 1, Vec::new()).unwrap());
        assert_eq!(quotas.devices().len(), 1);
    }
}
