//! A cursor over hostile bytes: never past the end, never a number in another than its shortest form.
//!
//! One form for each number keeps the bytes of a change unique: automerge writes the shortest form when it
//! saves, so a longer one would give the reloaded change another hash.

use super::ChangeRefusal;

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, count: u64) -> Result<&'a [u8], ChangeRefusal> {
        let truncated = ChangeRefusal::Truncated { at: self.at };
        let Some(end) = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count)) else {
            return Err(truncated);
        };
        let taken = self.bytes.get(self.at..end).ok_or(truncated)?;
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ChangeRefusal> {
        let at = self.at;
        self.take(N as u64)?.try_into().map_err(|_| ChangeRefusal::Truncated { at })
    }

    fn byte(&mut self) -> Result<u8, ChangeRefusal> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// An unsigned LEB128 number.
    pub(crate) fn unsigned(&mut self) -> Result<u64, ChangeRefusal> {
        let at = self.at;
        let (mut value, mut shift) = (0u64, 0u32);
        loop {
            let byte = self.byte()?;
            // The tenth byte holds the 64th bit and nothing else.
            if shift == 63 && byte > 1 {
                return Err(ChangeRefusal::Number { at });
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let overlong = byte == 0 && shift > 0;
                return if overlong { Err(ChangeRefusal::Number { at }) } else { Ok(value) };
            }
            shift += 7;
        }
    }

    /// A signed LEB128 number.
    pub(crate) fn signed(&mut self) -> Result<i64, ChangeRefusal> {
        let at = self.at;
        let (mut value, mut shift, mut before) = (0i64, 0u32, None::<u8>);
        loop {
            let byte = self.byte()?;
            // The tenth byte only repeats the sign.
            if shift == 63 && byte != 0 && byte != 0x7f {
                return Err(ChangeRefusal::Number { at });
            }
            value |= i64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                let negative = byte & 0x40 != 0;
                let overlong = before
                    .is_some_and(|before| (byte == 0 && before & 0x40 == 0) || (byte == 0x7f && before & 0x40 != 0));
                if overlong {
                    return Err(ChangeRefusal::Number { at });
                }
                if negative && shift < 64 {
                    value |= -1i64 << shift;
                }
                return Ok(value);
            }
            before = Some(byte);
        }
    }
}

/// Writes the shortest unsigned LEB128 form.
pub(crate) fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes the shortest signed LEB128 form.
pub(crate) fn write_signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_number_is_read_back(unsigned: u64, signed: i64) {
            let mut bytes = Vec::new();
            write_unsigned(&mut bytes, unsigned);
            write_signed(&mut bytes, signed);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.unsigned().unwrap(), unsigned);
            prop_assert_eq!(reader.signed().unwrap(), signed);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn a_number_that_is_accepted_has_only_one_form(bytes in prop::collection::vec(any::<u8>(), 1..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.unsigned() {
                let mut again = Vec::new();
                write_unsigned(&mut again, value);
                prop_assert_eq!(&bytes[..reader.at], &again[..]);
            }
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.signed() {
                let mut again = Vec::new();
                write_signed(&mut again, value);
                prop_assert_eq!(&bytes[..reader.at], &again[..]);
            }
        }
    }

    #[test]
    fn the_largest_numbers_fit_and_larger_ones_do_not() {
        for value in [0, 1, 127, 128, u64::MAX] {
            let mut bytes = Vec::new();
            write_unsigned(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).unsigned().unwrap(), value);
        }
        for value in [i64::MIN, -65, -64, 63, 64, i64::MAX] {
            let mut bytes = Vec::new();
            write_signed(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).signed().unwrap(), value);
        }
        let mut too_large = vec![0xff; 9];
        too_large.push(2);
        assert!(Reader::new(&too_large).unsigned().is_err());
        assert!(Reader::new(&[0x80, 0x00]).unsigned().is_err());
        assert!(Reader::new(&[0x80]).unsigned().is_err());
        assert!(Reader::new(&[0x80; 20]).signed().is_err());
    }
}
