//! Runs: the only form in which entries travel.
//!
//! A run is a piece of one device's chain. Entries are hash-linked, so the signature over the last one proves all of them,
//! and whatever the receiver can compute is left out: version, wijk, space, device, sequence, links, subjects of creating
//! entries, and body hashes where the receiver knows the salt. A run ends at an entry whose signature the sender holds.

use super::header::{Extra, read_extra};
use super::subject::{Salt, body_hash, subject_id, tombstone_salt};
use super::{Header, Kind, Signature, codec};
use crate::cbor::{CborError, Reader, Writer};
use crate::hash::Hash;
use crate::model::{DeviceId, EntryId, SpaceId, SubjectId, WijkId};

/// Longest body in bytes: a change of [`codec::CHANGE_BYTES_MAX`] with its envelope.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Entries of one run. Together with the batch limits of `gate::limits` this bounds the work of one signature.
pub const RUN_ENTRIES_MAX: usize = 4096;

/// What travels of one entry beside what can be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Creates its subject: the body has seed and commitment, so nothing else is needed.
    Creating {
        /// The body.
        body: Vec<u8>,
    },
    /// About a subject that exists.
    Following {
        /// The subject.
        subject: SubjectId,
        /// The body.
        body: Vec<u8>,
        /// Given when the receiver may not know the subject's salt.
        hash: Option<Hash>,
    },
    /// The body is gone, refused, or not here.
    Stub {
        /// The subject.
        subject: SubjectId,
        /// Hash of the body.
        hash: Hash,
    },
}

/// One entry of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEntry {
    /// Its kind.
    pub kind: Kind,
    /// Body or stub.
    pub payload: Payload,
    /// Header fields of a newer app.
    pub extra: Vec<Extra>,
}

/// A piece of one device's chain in one space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Who wrote it.
    pub device: DeviceId,
    /// Sequence number of the first entry.
    pub first_seq: u64,
    /// The entry before it; zero for seq 0.
    pub prev: EntryId,
    /// The entries, at least one.
    pub entries: Vec<RunEntry>,
    /// Signature over the last one.
    pub signature: Signature,
}

/// An entry as the receiver computed it. Proven only when its run's signature was checked against the last one.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// The header.
    pub header: Header,
    /// Its id.
    pub id: EntryId,
    /// The body, unless it travelled as a stub.
    pub body: Option<Vec<u8>>,
    /// Whether the body couldn't be compared with its hash, because the subject's salt isn't known here yet.
    pub unchecked: bool,
    /// Salt of the subject, for entries that create one.
    pub opening: Option<codec::Opening>,
}

/// Why a run can't be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A hash was left out that only the subject's salt gives; the sender must add it.
    #[error("the hash of an entry about {0:?} was left out and its subject isn't known here")]
    UnknownSubject(SubjectId),
    /// A body can't be read far enough to place its entry.
    #[error("entry {seq} of {device:?} has a body that can't be placed: {cause}")]
    Body {
        /// Device.
        device: DeviceId,
        /// Sequence number.
        seq: u64,
        /// What is wrong.
        cause: CborError,
    },
    /// A body is not the one its header names: the carrier is at fault.
    #[error("entry {seq} of {device:?} came with another body than its header names")]
    OtherBody {
        /// Device.
        device: DeviceId,
        /// Sequence number.
        seq: u64,
    },
}

/// Where a run stands while it is rebuilt entry by entry.
#[derive(Debug)]
pub struct Cursor<'r> {
    run: &'r Run,
    at: usize,
    prev: EntryId,
}

impl<'r> Cursor<'r> {
    /// At the first entry.
    #[must_use]
    pub fn new(run: &'r Run) -> Self {
        Self { run, at: 0, prev: run.prev }
    }

    /// Whether all entries were rebuilt.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.at == self.run.entries.len()
    }

    /// The id of the entry that was rebuilt last; after the last one this is what the signature must be over.
    #[must_use]
    pub fn last_id(&self) -> EntryId {
        self.prev
    }

    /// The next entry, or `None` after the last. `salt_of` gives the salt of subjects known to the receiver.
    ///
    /// # Errors
    /// When it can't be rebuilt.
    pub fn next(
        &mut self,
        wijk: WijkId,
        space: SpaceId,
        salt_of: &mut dyn FnMut(SubjectId) -> Option<Salt>,
    ) -> Option<Result<Rebuilt, RunError>> {
        let entry = self.run.entries.get(self.at)?;
        let (device, seq) = (self.run.device, self.run.first_seq + self.at as u64);
        let rebuilt = rebuild(entry, wijk, space, device, seq, self.prev, salt_of);
        if let Ok(rebuilt) = &rebuilt {
            self.prev = rebuilt.id;
            self.at += 1;
        }
        Some(rebuilt)
    }
}

fn rebuild(
    entry: &RunEntry,
    wijk: WijkId,
    space: SpaceId,
    device: DeviceId,
    seq: u64,
    prev: EntryId,
    salt_of: &mut dyn FnMut(SubjectId) -> Option<Salt>,
) -> Result<Rebuilt, RunError> {
    let (mut opening, mut unchecked) = (None, false);
    let (subject, body_hash_, body) = match &entry.payload {
        Payload::Creating { body } => {
            let wrong = |cause| RunError::Body { device, seq, cause };
            let open = codec::opening(body).map_err(wrong)?;
            let open = open.ok_or_else(|| wrong(CborError { at: 0, what: "seed and erase commitment" }))?;
            opening = Some(open);
            let creator = super::subject::creator(entry.kind, device);
            let subject = subject_id(wijk, space, creator, entry.kind, &open.seed.nonce(), &open.commit);
            (subject, body_hash(&open.seed.salt(), device, seq, body), Some(body.clone()))
        }
        Payload::Following { subject, body, hash } => {
            let salt = if entry.kind == Kind::TOMBSTONE { Some(tombstone_salt()) } else { salt_of(*subject) };
            let computed = salt.map(|salt| body_hash(&salt, device, seq, body));
            match (computed, hash) {
                (Some(computed), Some(given)) if computed != *given => {
                    return Err(RunError::OtherBody { device, seq });
                }
                (Some(hash), _) => (*subject, hash, Some(body.clone())),
                // Without the salt nobody can tell yet whether this body belongs to its header.
                (None, Some(hash)) => {
                    unchecked = true;
                    (*subject, *hash, Some(body.clone()))
                }
                (None, None) => return Err(RunError::UnknownSubject(*subject)),
            }
        }
        Payload::Stub { subject, hash } => (*subject, *hash, None),
    };
    let header = Header {
        wijk,
        space,
        device,
        seq,
        prev,
        subject,
        kind: entry.kind,
        body_hash: body_hash_,
        extra: entry.extra.clone(),
    };
    let id = header.id();
    Ok(Rebuilt { header, id, body, unchecked, opening })
}

impl Run {
    /// Writes the run: `[device, first_seq, prev or null, [entries], signature]`.
    pub fn encode(&self, w: &mut Writer) {
        w.array(5).bytes(self.device.as_bytes()).uint(self.first_seq);
        if self.first_seq == 0 {
            w.null()
        } else {
            w.bytes(self.prev.as_bytes())
        };
        w.array(self.entries.len());
        for entry in &self.entries {
            encode_entry(entry, w);
        }
        w.bytes(&self.signature.0);
    }

    /// Reads a run.
    ///
    /// # Errors
    /// When it has another form or breaks a limit.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, CborError> {
        r.array_of(5)?;
        let device = DeviceId::new(r.exact()?);
        let first_seq = r.uint()?;
        let prev = if r.null()? { EntryId::ZERO } else { EntryId::new(r.exact()?) };
        if (first_seq == 0) != (prev == EntryId::ZERO) {
            return Err(r.error("a link for every entry but the first"));
        }
        let len = r.array(RUN_ENTRIES_MAX)?;
        if len == 0 || first_seq.checked_add(len as u64).is_none_or(|end| end > SEQ_MAX) {
            return Err(r.error("entries within the limits of a chain"));
        }
        let mut entries = Vec::with_capacity(len);
        for _ in 0..len {
            entries.push(decode_entry(r)?);
        }
        Ok(Self { device, first_seq, prev, entries, signature: Signature(r.exact()?) })
    }
}

/// Entries of one chain: a device that writes one a second for a century stays below.
pub const SEQ_MAX: u64 = 1 << 32;

fn encode_entry(entry: &RunEntry, w: &mut Writer) {
    let more = usize::from(!entry.extra.is_empty());
    match &entry.payload {
        Payload::Creating { body } => {
            w.array(3 + more).uint(0).uint(entry.kind.0).bytes(body);
        }
        Payload::Following { subject, body, hash: None } => {
            w.array(4 + more).uint(1).uint(entry.kind.0).bytes(subject.as_bytes()).bytes(body);
        }
        Payload::Following { subject, body, hash: Some(hash) } => {
            w.array(5 + more).uint(2).uint(entry.kind.0).bytes(subject.as_bytes()).bytes(body).bytes(hash);
        }
        Payload::Stub { subject, hash } => {
            w.array(4 + more).uint(3).uint(entry.kind.0).bytes(subject.as_bytes()).bytes(hash);
        }
    }
    if more == 1 {
        super::header::write_extra(w, &entry.extra);
    }
}

fn decode_entry(r: &mut Reader<'_>) -> Result<RunEntry, CborError> {
    let len = r.array(6)?;
    let form = r.uint()?;
    let kind = Kind(r.uint()?);
    let (payload, fields) = match form {
        0 => (Payload::Creating { body: r.bytes(BODY_BYTES_MAX)?.to_vec() }, 3),
        1 | 2 => {
            let subject = SubjectId::new(r.exact()?);
            let body = r.bytes(BODY_BYTES_MAX)?.to_vec();
            let hash = if form == 2 { Some(r.exact()?) } else { None };
            (Payload::Following { subject, body, hash }, if form == 2 { 5 } else { 4 })
        }
        3 => (Payload::Stub { subject: SubjectId::new(r.exact()?), hash: r.exact()? }, 4),
        _ => return Err(r.error("a form of entry between 0 and 3")),
    };
    let extra = match len.checked_sub(fields) {
        Some(0) => Vec::new(),
        Some(1) => {
            let count = r.map(super::header::EXTRA_FIELDS_MAX)?;
            if count == 0 {
                return Err(r.error("unknown fields, or no map for them"));
            }
            read_extra(r, count)?
        }
        _ => return Err(r.error("an entry of its form's length")),
    };
    Ok(RunEntry { kind, payload, extra })
}
