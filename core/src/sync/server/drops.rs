//! The drop: sealed input comes in an envelope to the server's own key, signed inside by a member's device.
//!
//! The server opens only the envelope, checks who may, holds what was in it, flushed and without saying from whom, and
//! appends what it holds in shuffled batches on its own chain. It knows who and not what; whoever reads the space knows what
//! and not who. Who sent what is never written anywhere: not in a row, not in a log line.

use std::collections::BTreeMap;

use super::{Append, Server, ServerError};
use crate::app::entropy::Entropy;
use crate::cbor::{CborError, Reader, Writer};
use crate::entry::codec::{self, Record};
use crate::entry::{Kind, Tombstone};
use crate::gate::Verdict;
use crate::model::closed::SEALED_STEPS;
use crate::model::{DeviceId, SpaceId};
use crate::replica::{About, ReplicaError};
use crate::seal::{DROP_BODY_BYTES_MAX, DropInner, open_drop};
use crate::store::{Batch, Row, StoreError, Table, erased};
use crate::sync::dropped_message;
use crate::sync::wire::{Frame, RefusalCode};

/// Drops that one device may bring between two releases: more than anybody writes in an evening. Counted in memory only, and
/// forgotten with each release.
pub const DROPS_PER_DEVICE_MAX: usize = 32;
/// Drops that are held at most: 64 MiB of the largest.
pub const HELD_MAX: usize = 4096;
/// Drops from which on a batch is released early: among this many, who came first says little.
pub const RELEASE_AT: usize = 8;
/// Drops appended in one commit, so that the piece of the log that they become stays a piece.
const RELEASE_MAX: usize = 12;

/// A drop that waits to be judged.
#[derive(Debug)]
pub struct DropJob {
    /// Number of the drop on its connection.
    pub drop: u64,
    /// The envelope.
    pub envelope: Vec<u8>,
}

fn encode(inner: &DropInner) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(3).bytes(&inner.space.to_bytes()).uint(inner.kind.0).bytes(&inner.body);
    w.finish()
}

fn decode(bytes: &[u8]) -> Result<DropInner, CborError> {
    let mut r = Reader::new(bytes);
    r.array_of(3)?;
    let space = SpaceId::from_bytes(r.bytes(17)?).ok_or_else(|| r.error("a space"))?;
    let inner = DropInner { space, kind: Kind(r.uint()?), body: r.bytes(DROP_BODY_BYTES_MAX)?.to_vec() };
    r.end()?;
    Ok(inner)
}

impl Server {
    /// Takes a drop and flushes it; the answer may be sent.
    ///
    /// # Errors
    /// When the store fails.
    pub fn take_drop(&mut self, job: &DropJob, day: u32) -> Result<Frame, ServerError> {
        let wijk = self.replica.wijk();
        let secret = self.keys.epoch_key.seal_secret();
        let refused = |code| Ok(Frame::DropRefused { drop: job.drop, code });
        let Ok((device, inner)) = open_drop(&secret, wijk, &job.envelope) else {
            return refused(RefusalCode::Form);
        };
        if let Some(code) = self.drop_refusal(device, &inner)? {
            return refused(code);
        }
        let digest = inner.digest();
        if self.replica.store().get(Table::Held, &digest)?.is_none() && !self.is_appended(&inner)? {
            let mut batch = Batch::new();
            batch.put(Table::Held, digest.as_slice(), encode(&inner));
            self.replica.store().commit(&batch)?;
            *self.dropped_by.entry(device).or_insert(0) += 1;
            self.held += 1;
        }
        let message = dropped_message(wijk, &self.keys.epoch, &digest, day);
        let signature = self.keys.epoch_key.sign(&message);
        Ok(Frame::Dropped { drop: job.drop, digest, day, signature })
    }

    /// Why this device may not drop this, if it may not.
    fn drop_refusal(&self, device: DeviceId, inner: &DropInner) -> Result<Option<RefusalCode>, ServerError> {
        let members = self.replica.members();
        if !members.is_active(device) || members.person(device).is_none() {
            return Ok(Some(if members.is_revoked(device) { RefusalCode::Revoked } else { RefusalCode::NotMember }));
        }
        let fits = match inner.space {
            SpaceId::Inbox => true,
            SpaceId::Circle(_) => members.may_read(device, inner.space),
            _ => false,
        };
        if !fits {
            return Ok(Some(RefusalCode::NotReadable));
        }
        let has_form = match (inner.kind, codec::decode(inner.kind, &inner.body)) {
            (Kind::DROPPED, Ok(Some(Record::Sealed(sealed)))) => {
                SEALED_STEPS.contains(&sealed.bytes.len()) && matches!(codec::opening(&inner.body), Ok(Some(_)))
            }
            (Kind::TOMBSTONE, Ok(Some(Record::Tombstone(tombstone)))) => {
                tombstone.proves_itself(members.wijk(), inner.space)
                    && matches!(tombstone, Tombstone::Owner { kind: Kind::DROPPED, .. })
            }
            _ => false,
        };
        if !has_form {
            return Ok(Some(RefusalCode::Form));
        }
        let full = self.held >= HELD_MAX || self.dropped_by.get(&device).is_some_and(|n| *n >= DROPS_PER_DEVICE_MAX);
        Ok(full.then_some(RefusalCode::NotNow))
    }

    fn is_appended(&self, inner: &DropInner) -> Result<bool, ServerError> {
        let subject = match codec::decode(inner.kind, &inner.body) {
            Ok(Some(Record::Tombstone(tombstone))) => {
                let state = self.replica.subject_state(inner.space, tombstone.subject())?;
                return Ok(state == Some(crate::gate::body::SubjectState::Erased));
            }
            _ => codec::dropped_subject(self.replica.wijk(), inner.space, &inner.body),
        };
        match subject {
            Some(subject) => Ok(self.replica.subject(inner.space, subject)?.is_some()),
            None => Ok(false),
        }
    }

    /// How many drops are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Appends what is held, in an order that says nothing about when each came. `entropy` is fresh. Returns the spaces whose
    /// logs grew.
    ///
    /// # Errors
    /// When the store fails; then everything is still held.
    pub fn release(&mut self, entropy: [u8; 32], day: u32) -> Result<Vec<SpaceId>, ServerError> {
        let mut held = self.replica.store().scan(Table::Held, &[], None, HELD_MAX)?;
        shuffle(&mut held, &mut Entropy::new(entropy));
        let mut grown = Vec::new();
        for batch in held.chunks(RELEASE_MAX) {
            grown.extend(self.release_batch(batch, day)?);
        }
        self.held = 0;
        self.dropped_by.clear();
        grown.sort_unstable();
        grown.dedup();
        Ok(grown)
    }

    fn release_batch(&mut self, held: &[Row], day: u32) -> Result<Vec<SpaceId>, ServerError> {
        let key = self.keys.epoch_key.clone();
        let mut appends: BTreeMap<SpaceId, Append> = BTreeMap::new();
        for row in held {
            let inner = decode(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Held, cause })?;
            if self.is_appended(&inner)? {
                continue;
            }
            let admitted = match codec::decode(inner.kind, &inner.body) {
                Ok(Some(Record::Tombstone(tombstone))) => {
                    let about = About::Existing(tombstone.subject());
                    let record = Record::Tombstone(tombstone);
                    self.replica.write(&key, inner.space, Kind::TOMBSTONE, about, &record)?
                }
                _ => self.replica.write_body(&key, inner.space, inner.kind, inner.body)?,
            };
            debug_assert!(admitted.entries.iter().all(|outcome| outcome.verdict != Verdict::Pending));
            self.number(&admitted, day, &mut appends)?;
        }
        let mut rows = self.replica.take_rows();
        for row in held {
            rows.delete(Table::Held, row.key.as_slice());
        }
        // Deleted rows stand in the files until a scrub, in the order in which they came.
        let (key, value) = erased::note_cleared(self.replica.store().as_ref())?;
        rows.put(Table::Meta, key, value);
        let appends: Vec<Append> = appends.into_values().collect();
        self.log.append(&appends, rows)?;
        self.replica.committed();
        Ok(appends.iter().map(|append| append.space).collect())
    }

    /// Counts what is held when a server is opened.
    pub(super) fn count_held(&mut self) -> Result<(), StoreError> {
        self.held = self.replica.store().scan(Table::Held, &[], None, HELD_MAX)?.len();
        Ok(())
    }
}

/// Fisher and Yates; a choice among fewer than 2^16 from 64 bits is fair beyond what anybody could see.
fn shuffle(rows: &mut [Row], entropy: &mut Entropy) {
    for at in (1..rows.len()).rev() {
        let random = u64::from_be_bytes(entropy.bytes());
        rows.swap(at, (random % (at as u64 + 1)) as usize);
    }
}
