//! The head: which pages and journal records there must be. Written with every change, in the same transaction.

use samenspraak_core::cbor::{CborError, Reader, Writer};

/// Version of what is written.
const VERSION: u64 = 1;
/// Most pages of a store: 16 GiB, more than a browser gives.
const PAGES_MAX: usize = 65_536;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the first journal record.
    pub journal_first: u64,
    /// Number that the next journal record gets.
    pub journal_next: u64,
    /// Number that the next page gets; numbers are never used again.
    pub page_next: u64,
    /// Numbers of all pages, in order.
    pub pages: Vec<u64>,
}

impl Head {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.array(5).uint(VERSION).uint(self.journal_first).uint(self.journal_next).uint(self.page_next);
        w.array(self.pages.len());
        for number in &self.pages {
            w.uint(*number);
        }
        w.finish()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are no head.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut r = Reader::new(bytes);
        r.array_of(5)?;
        if r.uint()? != VERSION {
            return Err(r.error("a version of the head that this program knows"));
        }
        let (journal_first, journal_next, page_next) = (r.uint()?, r.uint()?, r.uint()?);
        let count = r.array(PAGES_MAX)?;
        let pages = (0..count).map(|_| r.uint()).collect::<Result<Vec<u64>, _>>()?;
        r.end()?;
        Ok(Self { journal_first, journal_next, page_next, pages })
    }
}
