//! The header of an entry: everything that is hashed and signed. Its id is its hash.

use super::{Kind, VERSION};
use crate::cbor::{CborError, DEPTH_MAX, Reader, Writer};
use crate::hash::{Hash, tagged};
use crate::model::{DeviceId, EntryId, SpaceId, SubjectId, WijkId};

/// Fields a newer app may add to a header.
pub const EXTRA_FIELDS_MAX: usize = 8;
/// Bytes of those fields together.
pub const EXTRA_BYTES_MAX: usize = 256;
/// First key that this version does not know.
const FIRST_UNKNOWN_KEY: u64 = 9;
/// Longest encoded header: nine known fields take at most 220 bytes.
pub const HEADER_BYTES_MAX: usize = 256 + EXTRA_BYTES_MAX;

/// A field of a newer app, kept as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Key, at least 9.
    pub key: u64,
    /// The value, one CBOR item.
    pub value: Vec<u8>,
}

/// See the module. Field by field as in the design, section 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The wijk.
    pub wijk: WijkId,
    /// The space.
    pub space: SpaceId,
    /// Who wrote it.
    pub device: DeviceId,
    /// Position in the device's chain in this space, from 0.
    pub seq: u64,
    /// The entry before it in that chain; zero for seq 0.
    pub prev: EntryId,
    /// What it is about.
    pub subject: SubjectId,
    /// What it is.
    pub kind: Kind,
    /// Hash of its body under the subject's salt.
    pub body_hash: Hash,
    /// Fields of a newer app, by ascending key.
    pub extra: Vec<Extra>,
}

impl Header {
    /// The one byte form of this header.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.map(9 + self.extra.len());
        w.uint(0).uint(VERSION);
        w.uint(1).bytes(self.wijk.as_bytes());
        w.uint(2).bytes(&self.space.to_bytes());
        w.uint(3).bytes(self.device.as_bytes());
        w.uint(4).uint(self.seq);
        w.uint(5).bytes(self.prev.as_bytes());
        w.uint(6).bytes(self.subject.as_bytes());
        w.uint(7).uint(self.kind.0);
        w.uint(8).bytes(&self.body_hash);
        for extra in &self.extra {
            w.uint(extra.key).raw(&extra.value);
        }
        w.finish()
    }

    /// Reads a header; anything but its own deterministic encoding is refused.
    ///
    /// # Errors
    /// When a field is missing, has another form, or breaks a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(CborError { at: 0, what: "a header within its limit" });
        }
        let mut r = Reader::new(bytes);
        let len = r.map(9 + EXTRA_FIELDS_MAX)?;
        let key = |r: &mut Reader<'_>, key: u64| {
            if r.uint()? == key { Ok(()) } else { Err(r.error("the header's keys in order")) }
        };
        key(&mut r, 0)?;
        if r.uint()? != VERSION {
            return Err(r.error("version 1"));
        }
        key(&mut r, 1)?;
        let wijk = WijkId::new(r.exact()?);
        key(&mut r, 2)?;
        let space = SpaceId::from_bytes(r.bytes(17)?).ok_or_else(|| r.error("a space"))?;
        key(&mut r, 3)?;
        let device = DeviceId::new(r.exact()?);
        key(&mut r, 4)?;
        let seq = r.uint()?;
        key(&mut r, 5)?;
        let prev = EntryId::new(r.exact()?);
        key(&mut r, 6)?;
        let subject = SubjectId::new(r.exact()?);
        key(&mut r, 7)?;
        let kind = Kind(r.uint()?);
        key(&mut r, 8)?;
        let body_hash = r.exact()?;
        let unknown = len.checked_sub(9).ok_or_else(|| r.error("nine fields"))?;
        let extra = read_extra(&mut r, unknown)?;
        r.end()?;
        let header = Self { wijk, space, device, seq, prev, subject, kind, body_hash, extra };
        if header.encode() == bytes { Ok(header) } else { Err(CborError { at: 0, what: "the deterministic form" }) }
    }

    /// The entry's id: hash of the header.
    #[must_use]
    pub fn id(&self) -> EntryId {
        EntryId::new(tagged("samenspraak/entry/v1", 1, |w| {
            w.raw(&self.encode());
        }))
    }
}

/// Reads `len` unknown header fields: ascending keys, capped, deterministic.
pub(super) fn read_extra(r: &mut Reader<'_>, len: usize) -> Result<Vec<Extra>, CborError> {
    let mut extra: Vec<Extra> = Vec::new();
    let mut bytes_left = EXTRA_BYTES_MAX;
    for _ in 0..len.min(EXTRA_FIELDS_MAX + 1) {
        let key = r.uint()?;
        if key < FIRST_UNKNOWN_KEY || extra.last().is_some_and(|last| last.key >= key) {
            return Err(r.error("unknown keys in ascending order"));
        }
        let value = r.raw(DEPTH_MAX)?;
        // Nine bytes for the longest key.
        bytes_left = bytes_left.checked_sub(value.len() + 9).ok_or_else(|| r.error("fewer bytes of unknown fields"))?;
        if !is_deterministic(value) {
            return Err(r.error("unknown fields in deterministic form"));
        }
        extra.push(Extra { key, value: value.to_vec() });
    }
    if extra.len() > EXTRA_FIELDS_MAX {
        return Err(r.error("fewer unknown fields"));
    }
    Ok(extra)
}

/// Writes unknown header fields as one map.
pub(crate) fn write_extra(w: &mut Writer, extra: &[Extra]) {
    w.map(extra.len());
    for extra in extra {
        w.uint(extra.key).raw(&extra.value);
    }
}

/// Reads unknown header fields that were written as one map, which is never empty.
pub(crate) fn decode_extra(bytes: &[u8]) -> Result<Vec<Extra>, CborError> {
    let mut r = Reader::new(bytes);
    let count = r.map(EXTRA_FIELDS_MAX)?;
    if count == 0 {
        return Err(r.error("unknown fields, or no map for them"));
    }
    let extra = read_extra(&mut r, count)?;
    r.end()?;
    Ok(extra)
}

/// Whether one item is written the shortest way. Unknown fields are few and small, so only flat items are allowed in them:
/// unsigned integers, bytes and texts, whose shortest form is known without looking inside.
fn is_deterministic(item: &[u8]) -> bool {
    let mut w = Writer::new();
    let mut r = Reader::new(item);
    if let Ok(value) = r.uint() {
        w.uint(value);
    } else if let Ok(value) = Reader::new(item).bytes(EXTRA_BYTES_MAX) {
        w.bytes(value);
    } else if let Ok(value) = Reader::new(item).text(EXTRA_BYTES_MAX) {
        w.text(value);
    } else {
        return false;
    }
    w.finish() == item
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            wijk: WijkId::new([1; 32]),
            space: SpaceId::Open,
            device: DeviceId::new([2; 32]),
            seq: 300,
            prev: EntryId::new([3; 32]),
            subject: SubjectId::new([4; 16]),
            kind: Kind::VOICE,
            body_hash: [5; 32],
            extra: vec![Extra { key: 12, value: vec![0x18, 0x20] }],
        }
    }

    #[test]
    fn a_header_survives_its_bytes_with_unknown_fields() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn another_byte_form_of_the_same_header_is_refused() {
        let bytes = header().encode();
        // 300 as a 32-bit integer, and the unknown field with a longer integer.
        let at = bytes.windows(3).position(|w| w == [0x19, 0x01, 0x2c]).unwrap();
        let mut longer = bytes.clone();
        longer.splice(at..at + 3, [0x1a, 0, 0, 1, 0x2c]);
        assert!(Header::decode(&longer).is_err());
        let mut extra = header();
        extra.extra[0].value = vec![0x19, 0, 0x20];
        assert!(Header::decode(&extra.encode()).is_err());
        let mut twice = header();
        twice.extra.push(twice.extra[0].clone());
        assert!(Header::decode(&twice.encode()).is_err());
    }

    #[test]
    fn every_changed_byte_gives_another_id_or_is_refused() {
        let bytes = header().encode();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(Header::decode(&other).map_or(true, |h| h.id() != header().id()), "byte {at}");
        }
    }
}
