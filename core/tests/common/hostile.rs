//! Hostile changes, built the same each time, and the honest document they are aimed at.
//!
//! Each fixture takes the actor it pretends to be, so that a test of the whole gate can sign an entry
//! around it. Automerge makes what it lets us make; the rest is edited into the bytes of a change
//! ([`ChangeBody`]) with a correct checksum. Nothing here is read from a file.
//! Use it with `#[path = "common/hostile.rs"] mod hostile;`.
#![allow(dead_code, reason = "each test file uses a part of the fixtures")]
#![allow(clippy::unwrap_used, reason = "fixtures are part of tests")]

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Automerge, ChangeHash, ObjType, ROOT, ReadDoc};
use sha2::{Digest, Sha256};

/// The numbers of the columns of a change that fixtures edit.
pub mod column {
    /// Actor of the object of each operation.
    pub const OBJECT_ACTOR: u64 = 1;
    /// Counter of the object of each operation.
    pub const OBJECT_COUNTER: u64 = 2;
    /// Map keys.
    pub const KEY_TEXT: u64 = 21;
    /// Whether an operation inserts.
    pub const INSERT: u64 = 52;
    /// What each operation does.
    pub const ACTION: u64 = 66;
    /// Kind and length of each value.
    pub const VALUE_META: u64 = 86;
    /// Number of predecessors of each operation.
    pub const PRED_COUNT: u64 = 112;
}

/// A seeded source of numbers (splitmix64), equal on every machine.
pub struct Seeded(pub u64);

impl Seeded {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Appends an unsigned LEB128 number.
pub fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed LEB128 number.
pub fn signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

fn read_unsigned(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count as usize);
    *bytes = rest;
    taken
}

/// A run of one value in a column.
pub fn run(count: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    signed(&mut out, count as i64);
    out.extend(value);
    out
}

/// A chunk of this kind with these bytes; the checksum is that of `body` as an uncompressed change.
pub fn chunk(kind: u8, content: &[u8], body: &[u8]) -> Vec<u8> {
    let mut hashed = vec![1];
    unsigned(&mut hashed, body.len() as u64);
    let hash = Sha256::new().chain_update(hashed).chain_update(body).finalize();
    let mut out = vec![0x85, 0x6f, 0x4a, 0x83];
    out.extend(&hash[..4]);
    out.push(kind);
    unsigned(&mut out, content.len() as u64);
    out.extend(content);
    out
}

/// The parts of a change, to be edited and written again.
#[derive(Clone)]
pub struct ChangeBody {
    /// Hashes of its dependencies.
    pub deps: Vec<[u8; 32]>,
    /// Its actor.
    pub actor: Vec<u8>,
    /// Its number among those of its actor.
    pub seq: u64,
    /// Counter of its first operation.
    pub start_op: u64,
    /// The other actors it refers to.
    pub others: Vec<Vec<u8>>,
    /// Its columns by number.
    pub columns: Vec<(u64, Vec<u8>)>,
}

impl ChangeBody {
    /// `ops` times the operation "put null under k in the root", as one run.
    pub fn nulls(actor: [u8; 16], ops: u64) -> Self {
        Self {
            deps: vec![],
            actor: actor.to_vec(),
            seq: 1,
            start_op: 1,
            others: vec![],
            columns: vec![
                (column::KEY_TEXT, run(ops, &[1, b'k'])),
                (column::INSERT, {
                    let mut falses = Vec::new();
                    unsigned(&mut falses, ops);
                    falses
                }),
                (column::ACTION, run(ops, &[1])),
                (column::VALUE_META, run(ops, &[0])),
                (column::PRED_COUNT, run(ops, &[0])),
            ],
        }
    }

    /// Takes an uncompressed change apart.
    pub fn read(chunk: &[u8]) -> Self {
        let mut bytes = &chunk[9..];
        let _length = read_unsigned(&mut bytes);
        let deps = (0..read_unsigned(&mut bytes)).map(|_| take(&mut bytes, 32).try_into().unwrap()).collect();
        let length = read_unsigned(&mut bytes);
        let actor = take(&mut bytes, length).to_vec();
        let (seq, start_op) = (read_unsigned(&mut bytes), read_unsigned(&mut bytes));
        assert_eq!(take(&mut bytes, 2), [0, 0], "no time, no message");
        let others = (0..read_unsigned(&mut bytes))
            .map(|_| {
                let length = read_unsigned(&mut bytes);
                take(&mut bytes, length).to_vec()
            })
            .collect();
        let table: Vec<_> =
            (0..read_unsigned(&mut bytes)).map(|_| (read_unsigned(&mut bytes), read_unsigned(&mut bytes))).collect();
        let columns = table.into_iter().map(|(spec, length)| (spec, take(&mut bytes, length).to_vec())).collect();
        assert!(bytes.is_empty());
        Self { deps, actor, seq, start_op, others, columns }
    }

    /// Replaces or adds a column.
    pub fn column(mut self, spec: u64, bytes: Vec<u8>) -> Self {
        self.columns.retain(|(known, _)| *known != spec);
        self.columns.push((spec, bytes));
        self.columns.sort();
        self
    }

    /// The body without the header of the chunk.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        unsigned(&mut body, self.deps.len() as u64);
        body.extend(self.deps.iter().flatten());
        unsigned(&mut body, self.actor.len() as u64);
        body.extend(&self.actor);
        unsigned(&mut body, self.seq);
        unsigned(&mut body, self.start_op);
        body.extend([0, 0]);
        unsigned(&mut body, self.others.len() as u64);
        for other in &self.others {
            unsigned(&mut body, other.len() as u64);
            body.extend(other);
        }
        unsigned(&mut body, self.columns.len() as u64);
        for (spec, bytes) in &self.columns {
            unsigned(&mut body, *spec);
            unsigned(&mut body, bytes.len() as u64);
        }
        body.extend(self.columns.iter().flat_map(|(_, bytes)| bytes));
        body
    }

    /// The uncompressed chunk with a correct checksum.
    pub fn chunk(&self) -> Vec<u8> {
        let body = self.body();
        chunk(1, &body, &body)
    }
}

/// Meeting notes as an honest app makes them: one change by `actor`.
pub fn base(actor: [u8; 16]) -> Automerge {
    let mut doc = AutoCommit::new().with_actor(ActorId::from(actor));
    let agenda = doc.put_object(&ROOT, "agenda", ObjType::List).unwrap();
    for (title, notes) in [("De oversteek", "Te donker, zegt Amina."), ("Het plein", "Meer banken.")] {
        let item = doc.insert_object(&agenda, 0, ObjType::Map).unwrap();
        let text = doc.put_object(&item, "title", ObjType::Text).unwrap();
        doc.splice_text(&text, 0, 0, title).unwrap();
        let text = doc.put_object(&item, "notes", ObjType::Text).unwrap();
        doc.splice_text(&text, 0, 0, notes).unwrap();
    }
    doc.commit();
    doc.document().clone()
}

/// An honest edit of [`base`] by `actor`: text typed and replaced, an item added, one field set.
pub fn honest_edit(base: &Automerge, actor: [u8; 16], words: &str) -> Vec<u8> {
    let mut doc = AutoCommit::load(&base.save()).unwrap().with_actor(ActorId::from(actor));
    let (_, agenda) = doc.get(&ROOT, "agenda").unwrap().unwrap();
    let (_, item) = doc.get(&agenda, 0).unwrap().unwrap();
    let (_, notes) = doc.get(&item, "notes").unwrap().unwrap();
    doc.splice_text(&notes, 2, 3, words).unwrap();
    let item = doc.insert_object(&agenda, 1, ObjType::Map).unwrap();
    let title = doc.put_object(&item, "title", ObjType::Text).unwrap();
    doc.splice_text(&title, 0, 0, words).unwrap();
    doc.put_object(&item, "notes", ObjType::Text).unwrap();
    doc.delete(&agenda, 2).unwrap();
    doc.put(&ROOT, "theme", words).unwrap();
    doc.commit();
    doc.get_last_local_change().unwrap().raw_bytes().to_vec()
}

/// An honest change of any document by `actor`: one field in its root.
pub fn honest_addition(doc: &Automerge, actor: [u8; 16]) -> Vec<u8> {
    let mut doc = AutoCommit::load(&doc.save()).unwrap().with_actor(ActorId::from(actor));
    doc.put(&ROOT, "buurt", "Noord").unwrap();
    doc.commit();
    doc.get_last_local_change().unwrap().raw_bytes().to_vec()
}

fn heads(base: &Automerge) -> Vec<[u8; 32]> {
    base.get_heads().iter().map(|head| head.0).collect()
}

fn edited(base: &Automerge, actor: [u8; 16], edit: impl FnOnce(&mut ChangeBody)) -> Vec<u8> {
    let mut body = ChangeBody::read(&honest_edit(base, actor, "hm"));
    edit(&mut body);
    body.chunk()
}

/// One run of `ops` operations in some seventy bytes.
pub fn null_bomb(actor: [u8; 16], ops: u64) -> Vec<u8> {
    ChangeBody::nulls(actor, ops).chunk()
}

/// One operation with a run of `values` in the column of its keys.
pub fn long_column(actor: [u8; 16], values: u64) -> Vec<u8> {
    ChangeBody::nulls(actor, 1).column(column::KEY_TEXT, run(values, &[1, b'k'])).chunk()
}

/// A run of a key of `key_bytes`, which automerge copies for each of `ops` operations.
pub fn key_bomb(actor: [u8; 16], ops: u64, key_bytes: usize) -> Vec<u8> {
    let mut key = Vec::new();
    unsigned(&mut key, key_bytes as u64);
    key.resize(key.len() + key_bytes, b'k');
    ChangeBody::nulls(actor, ops).column(column::KEY_TEXT, run(ops, &key)).chunk()
}

/// One operation that names `predecessors` predecessors, all the same one.
pub fn predecessor_bomb(actor: [u8; 16], predecessors: u64) -> Vec<u8> {
    let mut count = Vec::new();
    unsigned(&mut count, predecessors);
    ChangeBody::nulls(actor, 1)
        .column(column::PRED_COUNT, run(1, &count))
        .column(113, run(predecessors, &[0]))
        .column(115, run(predecessors, &[0]))
        .chunk()
}

/// A compressed change of some 97 KB that inflates to 100 MB, with a correct checksum.
pub fn inflate_bomb(actor: [u8; 16]) -> Vec<u8> {
    let mut body = ChangeBody::nulls(actor, 1).body();
    body.resize(100_000_000, 0);
    chunk(2, &miniz_oxide::deflate::compress_to_vec(&body, 6), &body)
}

/// Number 99 of an actor that never wrote before.
pub fn sequence_gap(base: &Automerge, actor: [u8; 16]) -> Vec<u8> {
    edited(base, actor, |body| body.seq = 99)
}

/// Operations that begin just before the end of 32 bits.
pub fn counter_near_end(base: &Automerge, actor: [u8; 16]) -> Vec<u8> {
    edited(base, actor, |body| body.start_op = u64::from(u32::MAX) - 1_000)
}

/// Operations that begin at `start_op`, far above those of the dependencies: nothing would be left for others.
pub fn counter_jump(base: &Automerge, actor: [u8; 16], start_op: u64) -> Vec<u8> {
    edited(base, actor, |body| body.start_op = start_op)
}

/// An operation on an object that does not exist.
pub fn missing_object(base: &Automerge, actor: [u8; 16]) -> Vec<u8> {
    let mut body = ChangeBody::nulls(actor, 1);
    body.deps = heads(base);
    body.start_op = last_op(base) + 1;
    body.column(column::OBJECT_ACTOR, run(1, &[0])).column(column::OBJECT_COUNTER, run(1, &[1])).chunk()
}

/// The ends of two marks that never began, as the first operations of a document. Where debug assertions are
/// on, automerge panics on them, and once more in a destructor while unwinding: nothing can catch that, the
/// process ends. Never give this to automerge in a test.
pub fn mark_that_aborts(actor: [u8; 16]) -> Vec<u8> {
    ChangeBody::nulls(actor, 2).column(column::ACTION, run(2, &[7])).chunk()
}

/// Refers to an actor that never wrote anything.
pub fn unknown_actor(base: &Automerge, actor: [u8; 16]) -> Vec<u8> {
    let mut body = ChangeBody::nulls(actor, 1);
    body.deps = heads(base);
    body.start_op = last_op(base) + 1;
    body.others = vec![vec![0xee; 16]];
    body.chunk()
}

/// Two changes with one sequence number and different content.
pub fn duplicate_sequence(base: &Automerge, actor: [u8; 16]) -> [Vec<u8>; 2] {
    [honest_edit(base, actor, "het ene"), honest_edit(base, actor, "het andere")]
}

/// `count` changes of one actor, each with a dependency that does not exist.
pub fn missing_dependencies(base: &Automerge, actor: [u8; 16], count: u64) -> Vec<Vec<u8>> {
    let mut body = ChangeBody::read(&honest_edit(base, actor, "los"));
    (1..=count)
        .map(|seq| {
            body.seq = seq;
            body.deps = vec![Sha256::digest(seq.to_le_bytes()).into()];
            body.chunk()
        })
        .collect()
}

/// Maps in maps, `depth` deep, in one change.
pub fn nested_maps(actor: [u8; 16], depth: u64) -> Vec<u8> {
    let inner = depth - 1;
    let (mut actors, mut counters) = (vec![0, 1], vec![0, 1]);
    actors.extend(run(inner, &[0]));
    signed(&mut counters, -(inner as i64));
    (1..=inner).for_each(|counter| unsigned(&mut counters, counter));
    ChangeBody::nulls(actor, depth)
        .column(column::ACTION, run(depth, &[0]))
        .column(column::OBJECT_ACTOR, actors)
        .column(column::OBJECT_COUNTER, counters)
        .chunk()
}

/// Maps in maps over as many changes as needed, each within the limits: `levels` per change.
pub fn nested_maps_in_steps(actor: [u8; 16], levels: u64, changes: u64) -> Vec<Vec<u8>> {
    let mut doc = AutoCommit::new().with_actor(ActorId::from(actor));
    let mut inner = ROOT;
    (0..changes)
        .map(|_| {
            for _ in 0..levels {
                inner = doc.put_object(&inner, "in", ObjType::Map).unwrap();
            }
            doc.commit();
            doc.get_last_local_change().unwrap().raw_bytes().to_vec()
        })
        .collect()
}

/// One to eight small edits in the body of an uncompressed change, with the checksum repaired. Half of the time
/// only within its columns, since most other edits are refused before an operation is read.
pub fn mutated(change: &[u8], seeded: &mut Seeded) -> Vec<u8> {
    let mut rest = &change[9..];
    let _length = read_unsigned(&mut rest);
    let mut body = rest.to_vec();
    let columns: usize = ChangeBody::read(change).columns.iter().map(|(_, bytes)| bytes.len()).sum();
    let from = [0, body.len() - columns][seeded.below(2)];
    for _ in 0..=seeded.below(8) {
        let at = from + seeded.below(body.len() - from);
        match seeded.below(6) {
            0 => body[at] = seeded.next() as u8,
            1 => body[at] ^= 1 << seeded.below(8),
            2 => body[at] = body[at].wrapping_add(1),
            3 => body[at] = body[at].wrapping_sub(1),
            4 => body[at] = [0, 1, 0x7f, 0x80, 0xff, 0x7e][seeded.below(6)],
            // A byte moves, so that the lengths of the columns still add up.
            _ => {
                let byte = body.remove(at);
                let to = from + seeded.below(body.len() + 1 - from);
                body.insert(to, byte);
            }
        }
    }
    chunk(1, &body, &body)
}

/// The last operation counter in a document.
pub fn last_op(doc: &Automerge) -> u64 {
    doc.get_changes_meta(&[]).iter().map(|change| change.max_op).max().unwrap_or(0)
}

/// Whether a document contains this change.
pub fn contains(doc: &Automerge, hash: [u8; 32]) -> bool {
    doc.get_change_meta_by_hash(&ChangeHash(hash)).is_some()
}
