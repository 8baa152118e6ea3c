//! Preflight of one automerge change: what it claims and what it would cost, before automerge sees it.
//!
//! Automerge works for seconds on 69 hostile bytes, inflates without a limit and panics in many places. So
//! [`preflight`] reads the change format itself. It must never call automerge, expand a run, recurse, or
//! allocate more than a small multiple of [`limits::CHANGE_INFLATED_BYTES_MAX`]; its work is linear in
//! the bytes. It refuses only what can never become valid, so it looks at nothing but these bytes.
//! What depends on other changes (sequence, dependencies) is for the caller and for [`super::fold`].
//! Next: [`parse`] hands a change that passed to automerge; `columns` counts, `refusal` says why not.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::Change;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use sha2::{Digest, Sha256};

use super::limits;
use reader::{Reader, write_unsigned};
pub use refusal::ChangeRefusal;

pub(crate) mod columns;
pub(crate) mod reader;
mod refusal;

pub(crate) const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
pub(crate) const KIND_CHANGE: u8 = 1;
const KIND_COMPRESSED_CHANGE: u8 = 2;

/// What a change says about itself, with every count checked against its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preflight {
    /// The whole chunk in its uncompressed form.
    pub chunk: Vec<u8>,
    /// Its hash, by which other changes depend on it.
    pub hash: [u8; 32],
    /// The changes its author had seen last.
    pub deps: Vec<[u8; 32]>,
    /// Its author's actor in this document.
    pub actor: [u8; limits::ACTOR_BYTES],
    /// The number of this change among those of its actor, from one.
    pub seq: u64,
    /// The counter of its first operation, from one.
    pub start_op: u64,
    /// The counter of its last operation; `start_op - 1` if it has none.
    pub max_op: u64,
    /// Always zero, anything else is refused.
    pub time: i64,
    /// Always zero, anything else is refused.
    pub message_bytes: usize,
    /// How many actors beside its author it refers to.
    pub other_actors: usize,
    /// How many operations it has.
    pub ops: u64,
    /// How many of them make an object.
    pub objects_made: u64,
    /// What the preflight itself cost.
    pub work: Work,
}

/// The work of a preflight in countable steps: the same on every machine, so tests can hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Bytes that came out of the compressed form; zero if it was not compressed.
    pub bytes_inflated: usize,
    /// Runs, and values written one by one, that were read in the columns.
    pub runs_read: u64,
}

/// Reads one change from hostile bytes without automerge.
pub fn preflight(bytes: &[u8]) -> Result<Preflight, ChangeRefusal> {
    preflight_counted(bytes, &mut Work::default())
}

/// Like [`preflight`], and adds its work to `work` also when it refuses, so that it can be charged to the sender.
pub fn preflight_counted(bytes: &[u8], work: &mut Work) -> Result<Preflight, ChangeRefusal> {
    let mut own = Work::default();
    let result = read(bytes, &mut own);
    work.bytes_inflated = work.bytes_inflated.saturating_add(own.bytes_inflated);
    work.runs_read = work.runs_read.saturating_add(own.runs_read);
    result
}

fn read(bytes: &[u8], work: &mut Work) -> Result<Preflight, ChangeRefusal> {
    let max = limits::CHANGE_INFLATED_BYTES_MAX + limits::CHANGE_HEADER_BYTES_MAX;
    if bytes.len() > max {
        return Err(ChangeRefusal::TooLarge { bytes: bytes.len(), max });
    }
    let mut reader = Reader::new(bytes);
    if reader.array::<4>().map_err(|_| ChangeRefusal::NotAChunk)? != MAGIC {
        return Err(ChangeRefusal::NotAChunk);
    }
    let checksum: [u8; 4] = reader.array()?;
    let [kind] = reader.array()?;
    if kind != KIND_CHANGE && kind != KIND_COMPRESSED_CHANGE {
        return Err(ChangeRefusal::ChunkKind { kind });
    }
    let length = reader.unsigned()?;
    let content = reader.take(length)?;
    if !reader.is_empty() {
        return Err(ChangeRefusal::TrailingBytes { bytes: reader.rest().len() });
    }
    let (chunk, body_bytes) =
        if kind == KIND_CHANGE { (bytes.to_vec(), content.len()) } else { inflate(content, checksum, work)? };
    let body = chunk.get(chunk.len() - body_bytes..).unwrap_or_default();
    let hash = hash(body);
    if !hash.starts_with(&checksum) {
        return Err(ChangeRefusal::Checksum);
    }
    let claims = claims(body, work)?;
    Ok(Preflight {
        hash,
        deps: claims.deps,
        actor: claims.actor,
        seq: claims.seq,
        start_op: claims.start_op,
        max_op: claims.counted.max_op,
        time: 0,
        message_bytes: 0,
        other_actors: claims.other_actors,
        ops: claims.counted.ops,
        objects_made: claims.counted.objects_made,
        work: *work,
        chunk,
    })
}

/// Gives a change that passed [`preflight`] to automerge, which expands its operations.
///
/// A panic of automerge becomes a refusal where panics unwind. In the browser it ends the instance.
pub fn parse(preflight: &Preflight) -> Result<Change, ChangeRefusal> {
    let read = catch_unwind(AssertUnwindSafe(|| Change::try_from(preflight.chunk.as_slice())));
    let change = match read {
        Err(_panic) => return Err(ChangeRefusal::ReadPanics),
        Ok(Err(source)) => return Err(ChangeRefusal::Unreadable { source }),
        Ok(Ok(change)) => change,
    };
    let same = change.hash().0 == preflight.hash
        && change.actor_id().to_bytes() == preflight.actor
        && change.seq() == preflight.seq
        && change.start_op().get() == preflight.start_op
        && change.len() as u64 == preflight.ops
        && change.deps().iter().map(|dep| dep.0).eq(preflight.deps.iter().copied());
    if same { Ok(change) } else { Err(ChangeRefusal::ReadDiffers) }
}

/// Inflates the body of a compressed change behind the header of its uncompressed form.
fn inflate(deflated: &[u8], checksum: [u8; 4], work: &mut Work) -> Result<(Vec<u8>, usize), ChangeRefusal> {
    const AT: usize = limits::CHANGE_HEADER_BYTES_MAX;
    // One byte above the limit tells "too large" from "just fits".
    const END: usize = AT + limits::CHANGE_INFLATED_BYTES_MAX + 1;
    let mut chunk = vec![0; (AT + deflated.len().saturating_mul(2)).min(END)];
    let mut state = Box::<DecompressorOxide>::default();
    let (mut read, mut written) = (0, 0);
    loop {
        let rest = deflated.get(read..).unwrap_or_default();
        let out = chunk.get_mut(AT..).unwrap_or_default();
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, consumed, produced) = decompress(&mut state, rest, out, written, flags);
        read += consumed;
        written += produced;
        work.bytes_inflated = written;
        if written > limits::CHANGE_INFLATED_BYTES_MAX {
            return Err(ChangeRefusal::InflatesTooLarge { max: limits::CHANGE_INFLATED_BYTES_MAX });
        }
        match status {
            TINFLStatus::Done if read == deflated.len() => break,
            TINFLStatus::HasMoreOutput if chunk.len() < END => {
                // The exact size, so that the buffer never takes more than the limit.
                let grown = (chunk.len() * 2).min(END);
                chunk.reserve_exact(grown - chunk.len());
                chunk.resize(grown, 0);
            }
            _ => return Err(ChangeRefusal::NotInflatable),
        }
    }
    let mut header = Vec::with_capacity(AT);
    header.extend(MAGIC);
    header.extend(checksum);
    header.push(KIND_CHANGE);
    write_unsigned(&mut header, written as u64);
    let unused = AT - header.len();
    chunk.truncate(AT + written);
    if let Some(place) = chunk.get_mut(unused..AT) {
        place.copy_from_slice(&header);
    }
    chunk.drain(..unused);
    Ok((chunk, written))
}

fn hash(body: &[u8]) -> [u8; 32] {
    let mut head = vec![KIND_CHANGE];
    write_unsigned(&mut head, body.len() as u64);
    Sha256::new().chain_update(head).chain_update(body).finalize().into()
}

/// The body of a change before its columns.
struct Claims {
    deps: Vec<[u8; 32]>,
    actor: [u8; limits::ACTOR_BYTES],
    seq: u64,
    start_op: u64,
    other_actors: usize,
    counted: columns::Counted,
}

fn claims(body: &[u8], work: &mut Work) -> Result<Claims, ChangeRefusal> {
    let mut reader = Reader::new(body);
    let deps = deps(&mut reader)?;
    let actor = actor(&mut reader)?;
    let seq = reader.unsigned()?;
    if !(1..=limits::SEQ_MAX).contains(&seq) {
        return Err(ChangeRefusal::Seq { found: seq, max: limits::SEQ_MAX });
    }
    let start_op = reader.unsigned()?;
    if !(1..=limits::OP_COUNTER_MAX).contains(&start_op) {
        return Err(ChangeRefusal::OpCounter { start_op, max: limits::OP_COUNTER_MAX });
    }
    if reader.signed()? != 0 {
        return Err(ChangeRefusal::TimeSet);
    }
    match reader.unsigned()? {
        0 => {}
        bytes => return Err(ChangeRefusal::MessageSet { bytes }),
    }
    let other_actors = other_actors(&mut reader, &actor)?;
    let counted = columns::count(&mut reader, other_actors + 1, start_op, work)?;
    let other_actors = other_actors as usize;
    Ok(Claims { deps, actor, seq, start_op, other_actors, counted })
}

fn deps(reader: &mut Reader<'_>) -> Result<Vec<[u8; 32]>, ChangeRefusal> {
    let found = reader.unsigned()?;
    if found > limits::DEPS_MAX {
        return Err(ChangeRefusal::TooManyDeps { found, max: limits::DEPS_MAX });
    }
    let mut deps: Vec<[u8; 32]> = Vec::with_capacity(found as usize);
    for _ in 0..found {
        let dep = reader.array()?;
        if deps.contains(&dep) {
            return Err(ChangeRefusal::DuplicateDep);
        }
        deps.push(dep);
    }
    Ok(deps)
}

fn actor(reader: &mut Reader<'_>) -> Result<[u8; limits::ACTOR_BYTES], ChangeRefusal> {
    let found = reader.unsigned()?;
    if found != limits::ACTOR_BYTES as u64 {
        return Err(ChangeRefusal::ActorLength { found });
    }
    reader.array()
}

/// Automerge writes them sorted, so a change with another order would have another hash after a reload.
fn other_actors(reader: &mut Reader<'_>, author: &[u8; limits::ACTOR_BYTES]) -> Result<u64, ChangeRefusal> {
    let found = reader.unsigned()?;
    if found > limits::OTHER_ACTORS_MAX {
        return Err(ChangeRefusal::TooManyActors { found, max: limits::OTHER_ACTORS_MAX });
    }
    let mut before = None;
    for _ in 0..found {
        let other = actor(reader)?;
        if other == *author || before.is_some_and(|before| before >= other) {
            return Err(ChangeRefusal::ActorOrder);
        }
        before = Some(other);
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
