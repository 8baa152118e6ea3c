//! One automerge change, taken apart and put together again, byte for byte.
//!
//! Works on bytes alone and never calls automerge. What comes out of [`Parts::join`] is hostile until the gate has seen it.

use sha2::{Digest, Sha256};

use crate::gate::change::reader::{Reader, write_unsigned};
use crate::gate::change::{ChangeRefusal, KIND_CHANGE, MAGIC};
use crate::gate::limits::{ACTOR_BYTES, DEPS_MAX, OP_COUNTER_MAX, OTHER_ACTORS_MAX, SEQ_MAX};

pub(super) use crate::gate::change::columns::SPECS;

/// A change in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<'b> {
    /// Hashes of the changes that it depends on.
    pub deps: Vec<[u8; 32]>,
    /// Its author's actor.
    pub actor: [u8; ACTOR_BYTES],
    /// Number among its actor's changes.
    pub seq: u64,
    /// First operation.
    pub start: u64,
    /// Other actors it refers to.
    pub others: Vec<[u8; ACTOR_BYTES]>,
    /// Its columns: place in [`SPECS`], and bytes.
    pub columns: Vec<(usize, &'b [u8])>,
}

/// Hash of a change's body, by which others depend on it.
fn hash(body: &[u8]) -> [u8; 32] {
    let mut head = vec![KIND_CHANGE];
    write_unsigned(&mut head, body.len() as u64);
    Sha256::new().chain_update(head).chain_update(body).finalize().into()
}

impl<'b> Parts<'b> {
    /// Takes an uncompressed change apart; `None` for whatever isn't written as our apps write it.
    #[must_use]
    pub fn split(chunk: &'b [u8]) -> Option<Self> {
        let parts = Self::read(chunk).ok()??;
        (parts.join().0 == chunk).then_some(parts)
    }

    fn read(chunk: &'b [u8]) -> Result<Option<Self>, ChangeRefusal> {
        let mut reader = Reader::new(chunk);
        let (magic, _checksum) = (reader.array::<4>()?, reader.array::<4>()?);
        if magic != MAGIC || reader.array::<1>()? != [KIND_CHANGE] {
            return Ok(None);
        }
        let length = reader.unsigned()?;
        let mut reader = Reader::new(reader.take(length)?);
        let (count, mut deps) = (reader.unsigned()?.min(DEPS_MAX + 1), Vec::new());
        for _ in 0..count {
            deps.push(reader.array()?);
        }
        let Some(actor) = actor(&mut reader)? else { return Ok(None) };
        let (seq, start) = (reader.unsigned()?, reader.unsigned()?);
        if seq > SEQ_MAX || start > OP_COUNTER_MAX || reader.signed()? != 0 || reader.unsigned()? != 0 {
            return Ok(None);
        }
        let (count, mut others) = (reader.unsigned()?.min(OTHER_ACTORS_MAX + 1), Vec::new());
        for _ in 0..count {
            let Some(other) = self::actor(&mut reader)? else { return Ok(None) };
            others.push(other);
        }
        let count = reader.unsigned()?.min(SPECS.len() as u64 + 1);
        let mut table = Vec::new();
        for _ in 0..count {
            let (spec, length) = (reader.unsigned()?, reader.unsigned()?);
            let Some(spec) = SPECS.iter().position(|known| u64::from(*known) == spec) else { return Ok(None) };
            table.push((spec, length));
        }
        let mut columns = Vec::with_capacity(table.len());
        for (spec, length) in table {
            columns.push((spec, reader.take(length)?));
        }
        Ok(reader.is_empty().then_some(Self { deps, actor, seq, start, others, columns }))
    }

    /// The change's bytes and its hash.
    #[must_use]
    pub fn join(&self) -> (Vec<u8>, [u8; 32]) {
        let column_bytes: usize = self.columns.iter().map(|(_, bytes)| bytes.len() + 6).sum();
        let mut body = Vec::with_capacity(64 + 32 * self.deps.len() + 17 * self.others.len() + column_bytes);
        write_unsigned(&mut body, self.deps.len() as u64);
        body.extend(self.deps.iter().flatten());
        write_unsigned(&mut body, ACTOR_BYTES as u64);
        body.extend(self.actor);
        write_unsigned(&mut body, self.seq);
        write_unsigned(&mut body, self.start);
        // Time and message: never set.
        body.extend([0, 0]);
        write_unsigned(&mut body, self.others.len() as u64);
        for other in &self.others {
            write_unsigned(&mut body, ACTOR_BYTES as u64);
            body.extend(other);
        }
        write_unsigned(&mut body, self.columns.len() as u64);
        for (spec, bytes) in &self.columns {
            write_unsigned(&mut body, u64::from(SPECS[*spec]));
            write_unsigned(&mut body, bytes.len() as u64);
        }
        for (_, bytes) in &self.columns {
            body.extend_from_slice(bytes);
        }
        let hash = hash(&body);
        let mut chunk = Vec::with_capacity(body.len() + 12);
        chunk.extend(MAGIC);
        chunk.extend(&hash[..4]);
        chunk.push(KIND_CHANGE);
        write_unsigned(&mut chunk, body.len() as u64);
        chunk.append(&mut body);
        (chunk, hash)
    }
}

fn actor(reader: &mut Reader<'_>) -> Result<Option<[u8; ACTOR_BYTES]>, ChangeRefusal> {
    if reader.unsigned()? == ACTOR_BYTES as u64 { reader.array().map(Some) } else { Ok(None) }
}
