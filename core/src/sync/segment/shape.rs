//! What most changes have in common: somebody types on in the same text. Such a change says its length in seven columns, and
//! names the same object as the change before it; here that is said once.
//!
//! A shape is a way to write one column shorter, with a number for the reader. Whatever fits none is written as it is, so
//! nothing depends on how automerge chooses to encode, only how small it gets.

use super::SegmentError;
use super::change::SPECS;
use crate::gate::change::reader::{Reader, write_signed, write_unsigned};

/// The column as it is.
const PLAIN: u8 = 0;
/// One run of as many values as the change has operations: what follows is the value.
const ONE_RUN: u8 = 1;
/// One run whose value is that of the subject's change before.
const SAME_RUN: u8 = 2;
/// The keys of text that is typed behind the operation before the change's first.
const TYPED_ON: u8 = 3;
/// The keys of text that is typed elsewhere: what follows is behind which operation.
const TYPED_AT: u8 = 4;
/// Every operation inserts.
const ALL_TRUE: u8 = 5;

const KEY_COUNTER: u32 = 19;
const INSERT: u32 = 52;
const ACTION: u32 = 66;

/// Values of runs in a subject's last change, by column.
pub type Last = [Vec<u8>; SPECS.len()];

/// How many operations a change has, if its column of actions is one run; else 0.
pub fn operations(columns: &[(usize, &[u8])]) -> u64 {
    let actions = columns.iter().find(|(spec, _)| SPECS[*spec] == ACTION);
    let counted = actions.and_then(|(_, bytes)| {
        let (count, rest) = read_signed(bytes)?;
        // The value is one number, so that nothing stands behind it.
        let ends = rest.iter().position(|byte| byte & 0x80 == 0)? + 1 == rest.len();
        u64::try_from(count).ok().filter(|_| ends)
    });
    counted.unwrap_or(0)
}

/// Writes a column shorter: the number of the shape, and what is left to say.
pub fn shorten(spec: usize, bytes: &[u8], operations: u64, start: u64, last: &mut Last) -> (u8, Vec<u8>) {
    if operations == 0 || operations > i64::MAX as u64 {
        return (PLAIN, bytes.to_vec());
    }
    match SPECS[spec] {
        INSERT if bytes == all_true(operations) => return (ALL_TRUE, Vec::new()),
        KEY_COUNTER => {
            let behind = key_of(bytes);
            if let Some(behind) = behind.filter(|behind| typed(*behind, operations, start) == bytes) {
                let on = behind == start as i64 - 1;
                let mut rest = Vec::new();
                write_signed(&mut rest, behind);
                return if on { (TYPED_ON, Vec::new()) } else { (TYPED_AT, rest) };
            }
        }
        _ => {}
    }
    let Some(value) = bytes.strip_prefix(run_of(operations).as_slice()) else { return (PLAIN, bytes.to_vec()) };
    if last[spec] == value {
        return (SAME_RUN, Vec::new());
    }
    last[spec] = value.to_vec();
    (ONE_RUN, value.to_vec())
}

/// Whether something is left to say of a column with this shape.
pub fn has_rest(shape: u8) -> bool {
    matches!(shape, PLAIN | ONE_RUN | TYPED_AT)
}

/// The other way.
///
/// # Errors
/// When the shape isn't known, or what is left isn't of it.
pub fn lengthen(
    (spec, shape): (usize, u8),
    rest: &[u8],
    operations: u64,
    start: u64,
    last: &mut Last,
) -> Result<Vec<u8>, SegmentError> {
    let run = |value: &[u8]| [run_of(operations).as_slice(), value].concat();
    Ok(match shape {
        PLAIN => rest.to_vec(),
        ONE_RUN => {
            last[spec] = rest.to_vec();
            run(rest)
        }
        SAME_RUN => run(&last[spec]),
        TYPED_ON => typed((start as i64).wrapping_sub(1), operations, start),
        TYPED_AT => {
            let (behind, _) = read_signed(rest).ok_or(SegmentError::Missing { what: "a key" })?;
            typed(behind, operations, start)
        }
        ALL_TRUE => all_true(operations),
        _ => return Err(SegmentError::Missing { what: "a shape of column" }),
    })
}

/// The head of a run of so many equal values.
fn run_of(count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_signed(&mut out, count as i64);
    out
}

/// A column of truths: how many are false, how many are true.
fn all_true(count: u64) -> Vec<u8> {
    let mut out = vec![0];
    write_unsigned(&mut out, count);
    out
}

/// The first key that a column of keys names.
fn key_of(bytes: &[u8]) -> Option<i64> {
    let (_, rest) = read_signed(bytes)?;
    Some(read_signed(rest)?.0)
}

/// Keys of operations that each stand behind the one before, the first behind `behind`: as differences, in runs.
fn typed(behind: i64, operations: u64, start: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let jump = (start as i64).wrapping_sub(behind);
    let (singles, ones): (&[i64], u64) = match (operations, jump) {
        (1, _) => (&[behind], 0),
        (2, 1) => (&[behind, 1], 0),
        (_, 1) => (&[behind], operations.saturating_sub(1)),
        (2, _) => (&[behind, jump], 0),
        (3, _) => (&[behind, jump, 1], 0),
        _ => (&[behind, jump], operations.saturating_sub(2)),
    };
    write_signed(&mut out, -(singles.len() as i64));
    singles.iter().for_each(|single| write_signed(&mut out, *single));
    if ones > 0 {
        write_signed(&mut out, ones as i64);
        write_signed(&mut out, 1);
    }
    out
}

/// Reads a signed LEB128 number; what follows it.
fn read_signed(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut reader = Reader::new(bytes);
    let value = reader.signed().ok()?;
    Some((value, reader.rest()))
}
