//! The columns of a segment: bytes of one kind each, so that zstd finds what repeats.

use super::SegmentError;
use super::change::SPECS;
use crate::cbor::{CborError, Reader, Writer};
use crate::gate::change::reader::write_unsigned;

/// What a column holds. Numbers are unsigned LEB128. The order is the order on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Col {
    /// Number of the run of the next items; one more than the last run stands for items judged anew.
    Runs,
    /// How many items in a row are of that run.
    RunCounts,
    /// Ids of entries that were judged anew.
    EntryIds,
    /// Form of each entry.
    Forms,
    /// Kind of each entry.
    Kinds,
    /// Lengths of fields of newer apps.
    ExtraLengths,
    /// Fields of newer apps.
    Extras,
    /// Which subject: 0 for one that follows in [`Col::Subjects`], else how many others were named since, plus one.
    SubjectRefs,
    /// Subjects, and what else is 16 bytes long.
    Subjects,
    /// Body hashes.
    Hashes,
    /// How each body is packed.
    BodyForms,
    /// Lengths of bodies as they are.
    RawLengths,
    /// Bodies as they are.
    Raws,
    /// Seeds and erase commitments of changes.
    Openings,
    /// Which session of its subject: 0 for a new one, else how many came since, plus one.
    SessionRefs,
    /// Sessions.
    Sessions,
    /// How many changes each change depends on.
    DepCounts,
    /// Which change of the subject: 0 for one that follows in [`Col::Changes`], else how many came since, plus one.
    DepRefs,
    /// Hashes of changes that came before the segment.
    Changes,
    /// 0 where the sequence follows from the segment, else the sequence plus one.
    Sequences,
    /// First operation, as the difference from the end of the subject's change before it.
    Starts,
    /// How many operations, as the difference from the bytes of text.
    Operations,
    /// How many other actors each change refers to.
    OtherCounts,
    /// Which actor of the subject: 0 for one that follows in [`Col::Subjects`], else its place, plus one.
    OtherRefs,
    /// Which columns each change has, a bit each.
    SpecSets,
    /// How each of them is written ([`super::shape`]), the last one first.
    Shapes,
    /// From here on two columns for each of [`SPECS`]: lengths, and bytes.
    Spec,
}

/// Columns in all.
const COLUMNS: usize = Col::Spec as usize + 2 * SPECS.len();

/// Columns in the making.
#[derive(Debug)]
pub struct Columns(Vec<Vec<u8>>);

impl Default for Columns {
    fn default() -> Self {
        Self(vec![Vec::new(); COLUMNS])
    }
}

impl Columns {
    fn column(&mut self, at: usize) -> &mut Vec<u8> {
        &mut self.0[at]
    }

    /// Adds bytes whose length the reader knows.
    pub fn put(&mut self, col: Col, bytes: &[u8]) {
        self.column(col as usize).extend_from_slice(bytes);
    }

    /// Adds a number.
    pub fn number(&mut self, col: Col, value: u64) {
        write_unsigned(self.column(col as usize), value);
    }

    /// Adds what a change has in the column `SPECS[spec]`.
    pub fn spec(&mut self, spec: usize, bytes: &[u8]) {
        write_unsigned(self.column(Col::Spec as usize + 2 * spec), bytes.len() as u64);
        self.column(Col::Spec as usize + 2 * spec + 1).extend_from_slice(bytes);
    }

    /// Writes all.
    pub fn write(&self, w: &mut Writer) {
        w.array(COLUMNS);
        for column in &self.0 {
            w.bytes(column);
        }
    }
}

/// Columns that are read.
#[derive(Debug)]
pub struct ColumnsReader<'b>(Vec<&'b [u8]>);

impl<'b> ColumnsReader<'b> {
    /// Reads where all columns are.
    ///
    /// # Errors
    /// When there are not as many as this version knows.
    pub fn read(r: &mut Reader<'b>) -> Result<Self, CborError> {
        r.array_of(COLUMNS)?;
        Ok(Self((0..COLUMNS).map(|_| r.bytes(super::SEGMENT_PLAIN_BYTES_MAX)).collect::<Result<_, _>>()?))
    }

    fn take_at(&mut self, at: usize, length: u64) -> Result<&'b [u8], SegmentError> {
        let column = &mut self.0[at];
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (taken, rest) =
            column.split_at_checked(length).ok_or(SegmentError::Missing { what: "the end of a column" })?;
        *column = rest;
        Ok(taken)
    }

    fn number_at(&mut self, at: usize) -> Result<u64, SegmentError> {
        let (mut value, mut shift) = (0u64, 0u32);
        loop {
            let byte = self.take_at(at, 1)?[0];
            if shift > 63 || (shift == 63 && byte > 1) {
                return Err(SegmentError::Limit { what: "64 bits" });
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// The next bytes of a column.
    ///
    /// # Errors
    /// When it ends before.
    pub fn take(&mut self, col: Col, length: u64) -> Result<&'b [u8], SegmentError> {
        self.take_at(col as usize, length)
    }

    /// The next `N` bytes of a column.
    ///
    /// # Errors
    /// When it ends before.
    pub fn exact<const N: usize>(&mut self, col: Col) -> Result<[u8; N], SegmentError> {
        let taken = self.take_at(col as usize, N as u64)?;
        taken.try_into().map_err(|_| SegmentError::Missing { what: "the end of a column" })
    }

    /// The next number of a column.
    ///
    /// # Errors
    /// When it ends before.
    pub fn number(&mut self, col: Col) -> Result<u64, SegmentError> {
        self.number_at(col as usize)
    }

    /// What the next change has in the column `SPECS[spec]`.
    ///
    /// # Errors
    /// When it ends before.
    pub fn spec(&mut self, spec: usize) -> Result<&'b [u8], SegmentError> {
        let length = self.number_at(Col::Spec as usize + 2 * spec)?;
        self.take_at(Col::Spec as usize + 2 * spec + 1, length)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// When something is.
    pub fn end(&self) -> Result<(), SegmentError> {
        match self.0.iter().all(|column| column.is_empty()) {
            true => Ok(()),
            false => Err(SegmentError::Limit { what: "its columns are read for" }),
        }
    }
}

/// A difference as a number that is small when the difference is.
pub fn zigzag(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)) as u64
}

/// The other way.
pub fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}
