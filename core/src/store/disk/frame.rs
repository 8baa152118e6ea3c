//! How the journal's bytes are built: the header of a segment, frames, and the ops in them. All numbers little-endian.
//!
//! ```text
//! segment  magic 8 | version 4 | store id 16 | segment 8 | first frame 8 | crc 4 | frames
//! frame    length of payload 4 | crc 4 | payload: number 8, group 8, count of ops 4, ops
//! op       kind 1 | table 1 | key length 2 | value length 4 | crc 4 | key | value
//! ```
//! `group` is the number of the first frame that was flushed together with this one: every frame before it was durable
//! when this one was written. That tells an ordinary torn tail from damage.
//!
//! Frame and op checksums start from the store's id, which nobody outside knows, so that a value which imitates a frame
//! is never taken for one. Must never panic on any bytes. Not here: what a fault means; that is `replay`.

use crate::store::{Batch, KEY_BYTES_MAX, Op, STORED_BYTES_MAX, StoreError, Table, check_limits};

/// Identifies one store; part of every checksum in it.
pub type StoreId = [u8; 16];

const MAGIC: [u8; 8] = *b"smnsprkJ";
/// Version of the format described above.
const VERSION: u32 = 1;
/// Length of a segment's header.
pub const HEADER_BYTES: usize = 48;
/// Length and checksum in front of a payload.
const FRAME_LEAD_BYTES: usize = 8;
/// Number, group and count in front of the ops.
const PAYLOAD_LEAD_BYTES: usize = 20;
/// The smallest frame: one whose ops were all scrubbed.
pub const FRAME_BYTES_MIN: usize = FRAME_LEAD_BYTES + PAYLOAD_LEAD_BYTES;
/// The largest payload, 32 MiB: sixty values of the largest kind in one batch. A larger batch is our own bug, and a
/// limit keeps offsets within 32 bits and a wild length from asking for all memory.
pub const PAYLOAD_BYTES_MAX: usize = 32 * 1024 * 1024;
const OP_LEAD_BYTES: usize = 12;
/// The longest op there can be.
pub const OP_BYTES_MAX: usize = OP_LEAD_BYTES + KEY_BYTES_MAX + STORED_BYTES_MAX;
const KIND_PUT: u8 = 1;
const KIND_DELETE: u8 = 2;

/// What is wrong with some bytes, for a person.
pub type Fault = &'static str;

/// The start of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The store it belongs to.
    pub store_id: StoreId,
    /// Its number; the first is 1, without gaps.
    pub segment: u64,
    /// Number of the first frame that is or will be in it.
    pub first_frame: u64,
}

impl SegmentHeader {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.store_id);
        bytes[28..36].copy_from_slice(&self.segment.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.first_frame.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads it from the start of a segment.
    ///
    /// # Errors
    /// What does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut cursor = Cursor(bytes);
        let magic: [u8; 8] = cursor.take().ok_or("segment header is incomplete")?;
        let version = cursor.u32().ok_or("segment header is incomplete")?;
        let store_id = cursor.take().ok_or("segment header is incomplete")?;
        let segment = cursor.u64().ok_or("segment header is incomplete")?;
        let first_frame = cursor.u64().ok_or("segment header is incomplete")?;
        let crc = cursor.u32().ok_or("segment header is incomplete")?;
        if magic != MAGIC {
            return Err("not a journal segment");
        }
        if bytes.get(..44).map(crc32c::crc32c) != Some(crc) {
            return Err("segment header fails its checksum");
        }
        if version != VERSION {
            return Err("journal format is of another version of this program");
        }
        Ok(Self { store_id, segment, first_frame })
    }
}

/// Where one op stands in the journal, and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Number of the segment.
    pub segment: u64,
    /// Where the op starts in it.
    pub offset: u32,
    /// Length of the op, key and value included.
    pub length: u32,
    /// The op's checksum.
    pub crc: u32,
}

impl Location {
    /// Length of its bytes.
    pub const BYTES: usize = 20;

    /// Its bytes, for the index.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.segment.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.offset.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// Reads it back.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let location =
            Self { segment: cursor.u64()?, offset: cursor.u32()?, length: cursor.u32()?, crc: cursor.u32()? };
        cursor.0.is_empty().then_some(location)
    }
}

/// One op as it stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpView<'a> {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: &'a [u8],
    /// The value, or `None` when the op forgets the row.
    pub value: Option<&'a [u8]>,
    /// Its checksum.
    pub crc: u32,
    /// All its bytes.
    pub bytes: &'a [u8],
}

/// The key under which the index keeps a row: the table's number, then the key.
#[must_use]
pub fn index_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.push(table as u8);
    bytes.extend_from_slice(key);
    bytes
}

/// Where the checksums of this store start.
fn seed(store_id: &StoreId) -> u32 {
    crc32c::crc32c(store_id)
}

/// Reads the op at the start of `bytes` and checks it.
///
/// # Errors
/// What does not fit.
pub fn decode_op<'a>(store_id: &StoreId, bytes: &'a [u8]) -> Result<OpView<'a>, Fault> {
    let op = parse_op(bytes)?;
    let lead = bytes.first_chunk().ok_or("row is incomplete")?;
    if op_crc(store_id, *lead, op.key, op.value.unwrap_or_default()) == op.crc {
        Ok(op)
    } else {
        Err("row fails its checksum")
    }
}

/// Reads the op at the start of bytes whose checksum was seen to fit, as part of their frame.
fn parse_op(bytes: &[u8]) -> Result<OpView<'_>, Fault> {
    let mut cursor = Cursor(bytes);
    let lead: [u8; 8] = cursor.take().ok_or("row is incomplete")?;
    let [kind, table, key_low, key_high, value_length @ ..] = lead;
    let key_length = usize::from(u16::from_le_bytes([key_low, key_high]));
    let value_length = usize::try_from(u32::from_le_bytes(value_length)).map_err(|_| "row has a wild length")?;
    if key_length == 0 || key_length > KEY_BYTES_MAX || value_length > STORED_BYTES_MAX {
        return Err("row has a wild length");
    }
    let crc = cursor.u32().ok_or("row is incomplete")?;
    let key = cursor.slice(key_length).ok_or("row is incomplete")?;
    let value = cursor.slice(value_length).ok_or("row is incomplete")?;
    let table = Table::from_number(table).ok_or("row is of an unknown table")?;
    let value = match kind {
        KIND_PUT => Some(value),
        KIND_DELETE if value.is_empty() => None,
        _ => return Err("row is of an unknown kind"),
    };
    let length = OP_LEAD_BYTES + key_length + value_length;
    Ok(OpView { table, key, value, crc, bytes: bytes.get(..length).ok_or("row is incomplete")? })
}

fn op_crc(store_id: &StoreId, lead: [u8; 8], key: &[u8], value: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(seed(store_id), &lead);
    crc32c::crc32c_append(crc32c::crc32c_append(crc, key), value)
}

/// What a row of the index becomes when a batch is in: the key, and where its op stands within the batch's bytes.
#[derive(Clone, Debug)]
pub struct Step {
    /// Key in the index.
    pub index_key: Vec<u8>,
    /// Start, length and checksum of the op, or `None` when the row is forgotten.
    pub op: Option<(usize, u32, u32)>,
}

/// A batch as bytes, waiting for its number.
#[derive(Clone, Debug)]
pub struct EncodedBatch {
    ops: Vec<u8>,
    /// What it does to the index, in order.
    pub steps: Vec<Step>,
}

impl EncodedBatch {
    /// Encodes a batch for one store.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when a row or the whole is too long.
    pub fn new(store_id: &StoreId, batch: &Batch) -> Result<Self, StoreError> {
        check_limits(batch)?;
        let mut encoded = Self { ops: Vec::new(), steps: Vec::with_capacity(batch.ops().len()) };
        for op in batch.ops() {
            let (kind, table, key, value) = match op {
                Op::Put { table, key, value } => (KIND_PUT, *table, key, value.as_slice()),
                Op::Delete { table, key } => (KIND_DELETE, *table, key, &[][..]),
            };
            let too_long = |_| StoreError::Limit { table, what: "row length" };
            let mut lead = [kind, table as u8, 0, 0, 0, 0, 0, 0];
            lead[2..4].copy_from_slice(&u16::try_from(key.len()).map_err(too_long)?.to_le_bytes());
            lead[4..].copy_from_slice(&u32::try_from(value.len()).map_err(too_long)?.to_le_bytes());
            let crc = op_crc(store_id, lead, key, value);
            let start = encoded.ops.len();
            encoded.ops.extend_from_slice(&lead);
            encoded.ops.extend_from_slice(&crc.to_le_bytes());
            encoded.ops.extend_from_slice(key);
            encoded.ops.extend_from_slice(value);
            let length = u32::try_from(encoded.ops.len() - start).map_err(too_long)?;
            let op = (kind == KIND_PUT).then_some((start, length, crc));
            encoded.steps.push(Step { index_key: index_key(table, key), op });
            if encoded.ops.len() > PAYLOAD_BYTES_MAX - PAYLOAD_LEAD_BYTES {
                return Err(StoreError::Limit { table, what: "batch length" });
            }
        }
        Ok(encoded)
    }

    /// Length of its frame.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        FRAME_BYTES_MIN + self.ops.len()
    }

    /// Adds its frame to `out`; returns where its ops start there.
    pub fn write_frame(&self, store_id: &StoreId, number: u64, group: u64, out: &mut Vec<u8>) -> usize {
        write_frame(store_id, number, group, self.steps.len(), &self.ops, out)
    }
}

/// Adds a frame with these ops to `out`; returns where the ops start there.
pub fn write_frame(store_id: &StoreId, number: u64, group: u64, count: usize, ops: &[u8], out: &mut Vec<u8>) -> usize {
    let start = out.len();
    // Both fit: the payload is at most `PAYLOAD_BYTES_MAX`, and every op has bytes.
    let length = u32::try_from(PAYLOAD_LEAD_BYTES + ops.len()).unwrap_or(u32::MAX);
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&group.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    let ops_start = out.len();
    out.extend_from_slice(ops);
    let crc = frame_crc(store_id, length, &out[start + FRAME_LEAD_BYTES..]);
    out[start + 4..start + FRAME_LEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
    ops_start
}

fn frame_crc(store_id: &StoreId, length: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed(store_id), &length.to_le_bytes()), payload)
}

/// One frame as it stands in a segment; its checksum fits.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// Its number.
    pub number: u64,
    /// Number of the first frame flushed with it.
    pub group: u64,
    /// How many ops it says to hold.
    pub count: u32,
    /// Where its ops start in the segment.
    pub ops_offset: usize,
    /// The ops.
    pub ops: &'a [u8],
    /// Where the next frame starts in the segment.
    pub end: usize,
}

impl<'a> FrameView<'a> {
    /// Reads the frame at `offset` of a segment.
    ///
    /// # Errors
    /// What does not fit.
    pub fn decode(store_id: &StoreId, segment: &'a [u8], offset: usize) -> Result<Self, Fault> {
        let mut cursor = Cursor(segment.get(offset..).ok_or("frame is incomplete")?);
        let length = cursor.u32().ok_or("frame is incomplete")?;
        let crc = cursor.u32().ok_or("frame is incomplete")?;
        let payload_bytes = usize::try_from(length).map_err(|_| "frame has a wild length")?;
        if !(PAYLOAD_LEAD_BYTES..=PAYLOAD_BYTES_MAX).contains(&payload_bytes) {
            return Err("frame has a wild length");
        }
        let payload = cursor.slice(payload_bytes).ok_or("frame is incomplete")?;
        if frame_crc(store_id, length, payload) != crc {
            return Err("frame fails its checksum");
        }
        let mut cursor = Cursor(payload);
        let number = cursor.u64().ok_or("frame is incomplete")?;
        let group = cursor.u64().ok_or("frame is incomplete")?;
        let count = cursor.u32().ok_or("frame is incomplete")?;
        let ops_offset = offset + FRAME_BYTES_MIN;
        Ok(Self { number, group, count, ops_offset, ops: cursor.0, end: ops_offset + cursor.0.len() })
    }

    /// The number that a frame at `offset` would have, without checking anything: to look for frames quickly.
    #[must_use]
    pub fn peek_number(segment: &[u8], offset: usize) -> Option<u64> {
        Cursor(segment.get(offset.checked_add(FRAME_LEAD_BYTES)?..)?).u64()
    }

    /// Gives every op with its place to `each`.
    ///
    /// # Errors
    /// What does not fit; `each` has then seen the ops before it.
    pub fn each_op(
        &self,
        store_id: &StoreId,
        segment: u64,
        each: impl FnMut(OpView<'a>, Location),
    ) -> Result<(), Fault> {
        self.ops_with(segment, |rest| decode_op(store_id, rest), each)
    }

    /// As [`FrameView::each_op`], in half the time: the checksum of the frame covers its ops, and theirs are checked whenever one
    /// is read.
    ///
    /// # Errors
    /// As there.
    pub fn each_op_quickly(&self, segment: u64, each: impl FnMut(OpView<'a>, Location)) -> Result<(), Fault> {
        self.ops_with(segment, parse_op, each)
    }

    fn ops_with(
        &self,
        segment: u64,
        read: impl Fn(&'a [u8]) -> Result<OpView<'a>, Fault>,
        mut each: impl FnMut(OpView<'a>, Location),
    ) -> Result<(), Fault> {
        let mut rest = self.ops;
        for _ in 0..self.count {
            let op = read(rest)?;
            let offset = self.ops_offset + (self.ops.len() - rest.len());
            let wild = |_| "row is beyond the limits of a segment";
            let offset = u32::try_from(offset).map_err(wild)?;
            let length = u32::try_from(op.bytes.len()).map_err(wild)?;
            rest = &rest[op.bytes.len()..];
            each(op, Location { segment, offset, length, crc: op.crc });
        }
        if rest.is_empty() { Ok(()) } else { Err("frame holds more than it says") }
    }
}

/// Bytes yet to be read.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn slice(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.slice(N)?.try_into().ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use super::*;

    const ID: StoreId = [7; 16];

    #[test]
    fn a_frame_comes_back_with_every_row_in_place() {
        let mut batch = Batch::new();
        batch.put(Table::Entry, b"a".to_vec(), b"first".to_vec());
        batch.delete(Table::Log, b"b".to_vec());
        let encoded = EncodedBatch::new(&ID, &batch).unwrap();
        let mut bytes = vec![9; 5];
        encoded.write_frame(&ID, 3, 2, &mut bytes);
        let frame = FrameView::decode(&ID, &bytes, 5).unwrap();
        assert_eq!((frame.number, frame.group, frame.end), (3, 2, bytes.len()));
        let mut seen = Vec::new();
        frame.each_op(&ID, 1, |op, at| seen.push((op.table, op.value.map(<[u8]>::to_vec), at))).unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].1.as_deref(), Some(&b"first"[..]));
        let at = seen[0].2;
        let alone = &bytes[at.offset as usize..][..at.length as usize];
        assert_eq!(decode_op(&ID, alone).unwrap().key, b"a");
        assert_eq!(Location::decode(&at.encode()), Some(at));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_an_error_and_never_a_panic() {
        let mut batch = Batch::new();
        batch.put(Table::Entry, b"key".to_vec(), b"a resident's words".to_vec());
        let mut bytes = Vec::new();
        EncodedBatch::new(&ID, &batch).unwrap().write_frame(&ID, 0, 0, &mut bytes);
        for cut in 0..bytes.len() {
            assert!(FrameView::decode(&ID, &bytes[..cut], 0).is_err());
            assert!(decode_op(&ID, &bytes[FRAME_BYTES_MIN..cut.max(FRAME_BYTES_MIN)]).is_err());
        }
        let header = SegmentHeader { store_id: ID, segment: 1, first_frame: 0 }.encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameView::decode(&ID, &flipped, 0).is_err());
            if bit < header.len() * 8 {
                let mut flipped = header;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(SegmentHeader::decode(&flipped).is_err());
            }
        }
    }

    #[test]
    fn a_frame_of_another_store_is_not_taken_for_one_of_ours() {
        let mut bytes = Vec::new();
        EncodedBatch::new(&[8; 16], &Batch::new()).unwrap().write_frame(&[8; 16], 0, 0, &mut bytes);
        assert!(FrameView::decode(&ID, &bytes, 0).is_err());
    }
}
