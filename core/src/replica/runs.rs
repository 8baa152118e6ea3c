//! Packing entries of a replica into runs again, for another replica.

use super::rows::{EntryRow, Kept, Place};
use super::{Replica, ReplicaError};
use crate::entry::run::{Payload, Run, RunEntry};
use crate::model::{DeviceId, EntryId, SpaceId};

/// A run and what it takes.
#[derive(Clone, Debug)]
pub struct PackedRun {
    /// The run.
    pub run: Run,
    /// Bytes of its bodies.
    pub body_bytes: usize,
}

/// Whether hashes of following entries are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashes {
    /// The receiver knows the subjects: they came before.
    Omitted,
    /// The receiver may not know them.
    Given,
}

/// What travels of one entry.
#[must_use]
pub fn run_entry(row: &EntryRow, hashes: Hashes) -> RunEntry {
    let stub = || Payload::Stub { subject: row.subject, hash: row.body_hash };
    let payload = match &row.kept {
        Kept::Present(body) | Kept::Pending(body) | Kept::Refused(_, Some(body)) => {
            if row.creates {
                Payload::Creating { body: body.clone() }
            } else {
                let hash = (hashes == Hashes::Given).then_some(row.body_hash);
                Payload::Following { subject: row.subject, body: body.clone(), hash }
            }
        }
        Kept::Refused(_, None) | Kept::Erased | Kept::Absent => stub(),
    };
    RunEntry { kind: row.kind, payload, extra: row.extra.clone() }
}

impl Replica {
    /// Entries of one chain from `first_seq` on as a run: at most `entries_max` entries and about `bytes_max` bytes of
    /// bodies, ending where a signature is held. `None` when nothing is there.
    ///
    /// # Errors
    /// When rows can't be read.
    pub fn pack_chain(
        &self,
        space: SpaceId,
        device: DeviceId,
        first_seq: u64,
        entries_max: usize,
        bytes_max: usize,
        hashes: Hashes,
    ) -> Result<Option<PackedRun>, ReplicaError> {
        let Some(head) = self.head(space, device) else { return Ok(None) };
        let prev = match first_seq.checked_sub(1) {
            None => EntryId::ZERO,
            Some(seq) => match self.entry(Place { space, device, seq })? {
                Some(row) => row.id,
                None => return Ok(None),
            },
        };
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut signed = None;
        for seq in first_seq..=head.seq {
            let row = self
                .entry(Place { space, device, seq })?
                .ok_or(ReplicaError::Contradiction { what: "a chain has a gap" })?;
            bytes += row.kept.body().map_or(32, <[u8]>::len) + 24;
            if !entries.is_empty() && signed.is_some() && (entries.len() >= entries_max || bytes > bytes_max) {
                break;
            }
            entries.push(run_entry(&row, hashes));
            if let Some(signature) = row.signature {
                signed = Some((entries.len(), bytes, signature));
            }
        }
        let Some((len, body_bytes, signature)) = signed else { return Ok(None) };
        entries.truncate(len);
        Ok(Some(PackedRun { run: Run { device, first_seq, prev, entries, signature }, body_bytes }))
    }
}
