//! Deterministic CBOR (RFC 8949, section 4.2): the only byte form of everything that is hashed, signed or sent.
//!
//! Writing is deterministic by construction as long as map keys are written in ascending order. Reading never recurses,
//! never allocates more than what it returns, and accepts neither indefinite lengths, tags nor floats.
//! Not here: what the bytes mean; see `entry` and `sync::wire`.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// What is wrong with some CBOR, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {what}")]
pub struct CborError {
    /// Offset in bytes.
    pub at: usize,
    /// What was expected or breaks a limit.
    pub what: &'static str,
}

/// Writes CBOR into memory.
#[derive(Debug)]
pub struct Writer(Encoder<Vec<u8>>);

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

/// Writing to a vector cannot fail; the result only exists because the encoder also writes elsewhere.
fn sure<T, E>(_: Result<T, E>) {}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self(Encoder::new(Vec::with_capacity(128)))
    }

    /// Begins an array of `len` items.
    pub fn array(&mut self, len: usize) -> &mut Self {
        sure(self.0.array(len as u64).map(drop));
        self
    }

    /// Begins a map of `len` pairs; the caller writes the keys in ascending order.
    pub fn map(&mut self, len: usize) -> &mut Self {
        sure(self.0.map(len as u64).map(drop));
        self
    }

    /// An unsigned integer.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        sure(self.0.u64(value).map(drop));
        self
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        sure(self.0.bytes(value).map(drop));
        self
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        sure(self.0.str(value).map(drop));
        self
    }

    /// Nothing.
    pub fn null(&mut self) -> &mut Self {
        sure(self.0.null().map(drop));
        self
    }

    /// True or false.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        sure(self.0.bool(value).map(drop));
        self
    }

    /// One item that is CBOR already.
    pub fn raw(&mut self, item: &[u8]) -> &mut Self {
        self.0.writer_mut().extend_from_slice(item);
        self
    }

    /// The bytes written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0.into_writer()
    }
}

/// Reads CBOR item by item.
#[derive(Debug)]
pub struct Reader<'b>(Decoder<'b>);

impl<'b> Reader<'b> {
    /// Reads from the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(Decoder::new(bytes))
    }

    /// An error at the present place.
    #[must_use]
    pub fn error(&self, what: &'static str) -> CborError {
        CborError { at: self.0.position(), what }
    }

    fn need<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Decoder<'b>) -> Option<T>,
    ) -> Result<T, CborError> {
        let at = self.0.position();
        read(&mut self.0).ok_or(CborError { at, what })
    }

    /// The number of items of an array that has at most `max`.
    ///
    /// # Errors
    /// When there is no such array here.
    pub fn array(&mut self, max: usize) -> Result<usize, CborError> {
        let len = self.need("an array", |d| d.array().ok().flatten())?;
        usize::try_from(len).ok().filter(|len| *len <= max).ok_or_else(|| self.error("an array within its limit"))
    }

    /// Like [`Reader::array`], for exactly `len` items.
    ///
    /// # Errors
    /// When there is no such array here.
    pub fn array_of(&mut self, len: usize) -> Result<(), CborError> {
        if self.array(len)? == len { Ok(()) } else { Err(self.error("an array of another length")) }
    }

    /// The number of pairs of a map that has at most `max`.
    ///
    /// # Errors
    /// When there is no such map here.
    pub fn map(&mut self, max: usize) -> Result<usize, CborError> {
        let len = self.need("a map", |d| d.map().ok().flatten())?;
        usize::try_from(len).ok().filter(|len| *len <= max).ok_or_else(|| self.error("a map within its limit"))
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// When there is none here.
    pub fn uint(&mut self) -> Result<u64, CborError> {
        self.need("an unsigned integer", |d| d.u64().ok())
    }

    /// A byte string of at most `max` bytes.
    ///
    /// # Errors
    /// When there is none here.
    pub fn bytes(&mut self, max: usize) -> Result<&'b [u8], CborError> {
        let bytes = self.need("a byte string", |d| d.bytes().ok())?;
        if bytes.len() > max { Err(self.error("a byte string within its limit")) } else { Ok(bytes) }
    }

    /// A byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// When there is none here.
    pub fn exact<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| self.error("a byte string of another length"))
    }

    /// A text of at most `max` bytes.
    ///
    /// # Errors
    /// When there is none here.
    pub fn text(&mut self, max: usize) -> Result<&'b str, CborError> {
        let text = self.need("a text", |d| d.str().ok())?;
        if text.len() > max { Err(self.error("a text within its limit")) } else { Ok(text) }
    }

    /// True or false.
    ///
    /// # Errors
    /// When there is neither.
    pub fn bool(&mut self) -> Result<bool, CborError> {
        self.need("true or false", |d| d.bool().ok())
    }

    /// Whether the next item is a null; takes it if so.
    ///
    /// # Errors
    /// When there is no item here at all.
    pub fn null(&mut self) -> Result<bool, CborError> {
        let is = self.need("an item", |d| d.datatype().ok())? == Type::Null;
        if is {
            self.need("null", |d| d.null().ok())?;
        }
        Ok(is)
    }

    /// Whether the next item is a byte string.
    #[must_use]
    pub fn at_bytes(&self) -> bool {
        matches!(self.0.datatype(), Ok(Type::Bytes))
    }

    /// The next item as it stands, whatever it is, not nested deeper than `depth_max`.
    ///
    /// # Errors
    /// When it is no definite item of integers, bytes, texts, arrays, maps, booleans and nulls.
    pub fn raw(&mut self, depth_max: usize) -> Result<&'b [u8], CborError> {
        let start = self.0.position();
        // Items still to come at each level that is open.
        let mut open: Vec<u64> = vec![1];
        while let Some(left) = open.last_mut() {
            if *left == 0 {
                open.pop();
                continue;
            }
            *left -= 1;
            let at = self.0.position();
            let wrong = |what| CborError { at, what };
            let more = match self.0.datatype().map_err(|_| wrong("an item"))? {
                Type::U8 | Type::U16 | Type::U32 | Type::U64 => self.0.u64().map(|_| 0).ok(),
                Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => self.0.int().map(|_| 0).ok(),
                Type::Bytes => self.0.bytes().map(|_| 0).ok(),
                Type::String => self.0.str().map(|_| 0).ok(),
                Type::Bool => self.0.bool().map(|_| 0).ok(),
                Type::Null => self.0.null().map(|()| 0).ok(),
                Type::Array => self.0.array().ok().flatten(),
                Type::Map => self.0.map().ok().flatten().and_then(|pairs| pairs.checked_mul(2)),
                _ => None,
            };
            let more = more.ok_or_else(|| wrong("an item of an allowed type"))?;
            if more > 0 {
                if open.len() >= depth_max {
                    return Err(wrong("less nesting"));
                }
                open.push(more);
            }
        }
        Ok(&self.0.input()[start..self.0.position()])
    }

    /// Says that nothing may follow.
    ///
    /// # Errors
    /// When something does.
    pub fn end(&self) -> Result<(), CborError> {
        if self.0.position() == self.0.input().len() { Ok(()) } else { Err(self.error("the end")) }
    }
}

/// The fields of a map with unsigned integer keys in strictly ascending order, each value as it stands.
///
/// Unknown keys are no error: a newer app may have written them.
#[derive(Debug)]
pub struct Fields<'b>(Vec<(u64, &'b [u8])>);

/// Fields of one map: twice what the largest record of ours has.
pub const FIELDS_MAX: usize = 64;
/// Nesting of anything we read: records have at most three levels, the rest is for newer apps.
pub const DEPTH_MAX: usize = 8;

impl<'b> Fields<'b> {
    /// Splits one map; nothing may follow it.
    ///
    /// # Errors
    /// When it is no such map, or breaks a limit.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(bytes);
        let fields = Self::read(&mut reader)?;
        reader.end()?;
        Ok(fields)
    }

    /// Splits the map that comes next.
    ///
    /// # Errors
    /// As for [`Fields::parse`].
    pub fn read(reader: &mut Reader<'b>) -> Result<Self, CborError> {
        let len = reader.map(FIELDS_MAX)?;
        let mut fields: Vec<(u64, &'b [u8])> = Vec::with_capacity(len);
        for _ in 0..len {
            let key = reader.uint()?;
            if fields.last().is_some_and(|(last, _)| *last >= key) {
                return Err(reader.error("keys in ascending order"));
            }
            fields.push((key, reader.raw(DEPTH_MAX)?));
        }
        Ok(Self(fields))
    }

    /// A reader at the value of `key`, if it is there.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<Reader<'b>> {
        self.0.iter().find(|(k, _)| *k == key).map(|(_, value)| Reader::new(value))
    }

    /// A reader at the value of `key`.
    ///
    /// # Errors
    /// When the key is not there.
    pub fn need(&self, key: u64) -> Result<Reader<'b>, CborError> {
        self.get(key).ok_or(CborError { at: 0, what: "a field that is missing" })
    }

    /// The pairs from `key` on, as they stand.
    pub fn from(&self, key: u64) -> impl Iterator<Item = (u64, &'b [u8])> + '_ {
        self.0.iter().copied().filter(move |(k, _)| *k >= key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deeply_nested_item_is_refused_without_recursion() {
        let bytes = vec![0x81; 100_000];
        assert_eq!(Reader::new(&bytes).raw(DEPTH_MAX).unwrap_err().what, "less nesting");
    }

    #[test]
    fn a_length_that_is_not_there_is_refused() {
        for bytes in [&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0x5b, 0, 0, 0, 1, 0, 0, 0, 0]] {
            assert!(Reader::new(bytes).raw(DEPTH_MAX).is_err());
        }
    }

    #[test]
    fn fields_keep_unknown_keys_and_refuse_disorder() {
        let mut w = Writer::new();
        w.map(2).uint(1).text("a").uint(99).array(1).uint(7);
        let bytes = w.finish();
        let fields = Fields::parse(&bytes).unwrap();
        assert_eq!(fields.from(50).map(|(k, _)| k).collect::<Vec<_>>(), [99]);
        let mut w = Writer::new();
        w.map(2).uint(2).uint(0).uint(1).uint(0);
        assert!(Fields::parse(&w.finish()).is_err());
    }
}
