//! Opening a sealed store: a new one gets its keys, one of before is sealed row by row, and one whose key is missing or wrong
//! is refused.
//!
//! ```text
//! row `seal` of Table::Meta   [1, state, data key sealed under the master key, table, key]
//! state                       0 sealed | 1 being sealed, rows from (table, key) on are plain | 2 sealed, to be scrubbed
//! ```
//! Sealing a store of before is one pass: each batch writes rows sealed and, with them, how far it got. After a kill or a
//! power cut it goes on from there. When all rows are sealed, the store is scrubbed, so that the plain ones leave its files
//! too; only then is it called sealed. It needs room for a second copy of the values meanwhile. Must never keep a master key
//! later than the first row sealed under it.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::cipher::Cipher;
use super::{SEAL_ROW, SealedStore, is_seal};
use crate::cbor::{CborError, Reader, Writer};
use crate::hash::{Hash, tagged};
use crate::store::{Batch, KEY_BYTES_MAX, Store, StoreError, Table};
use crate::vault::{KeyVault, MasterKey, VaultError};

/// Version of what is written: since 2 values may be sealed without a checksum of Poly1305, which a program of before would
/// take for damage. A seal of version 1 becomes one of 2 when its store is opened for writing.
const VERSION: u64 = 2;
const VERSION_BEFORE: u64 = 1;
/// What the data key is sealed for: no table has this number.
const DATA_KEY_TABLE: u8 = 0;
const DATA_KEY: &[u8] = b"samenspraak/seal/data-key/v1";
/// Longest sealed data key we read.
const WRAPPED_BYTES_MAX: usize = 256;

/// Rows read at once while sealing a store of before.
const CONVERT_ROWS: usize = 256;
/// Bytes sealed in one batch, 4 MiB: far below what a store takes at once, and few enough flushes for 100,000 rows.
const CONVERT_BYTES: usize = 4 * 1024 * 1024;

/// Why a sealed store can't be opened. Nothing was lost; except with [`SealError::Store`] nothing was changed either.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The store is sealed and the vault has no key of this name.
    #[error("{place} is sealed, and the key {name:?} that opens it is not there")]
    KeyMissing {
        /// The store.
        place: String,
        /// Name of the key.
        name: String,
    },
    /// The vault can't give or keep the key.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store; [`StoreError::WrongKey`] when the key belongs to another one.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// An empty store, which is a sealed one now.
    New,
    /// A sealed store.
    Sealed,
    /// A plain store of before, or one of which a part was plain yet; it is sealed now, and scrubbed.
    Converted {
        /// Rows that were sealed now.
        rows: u64,
    },
}

/// A place among the rows of all tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    table: Table,
    key: Vec<u8>,
}

impl Position {
    const fn start() -> Self {
        Self { table: Table::Entry, key: Vec::new() }
    }

    /// Whether a row is at or behind this place.
    pub fn is_at_or_before(&self, table: Table, key: &[u8]) -> bool {
        (self.table as u8, self.key.as_slice()) <= (table as u8, key)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Sealed,
    Converting(Position),
    ToScrub,
}

/// What the row `seal` says.
struct Seal {
    state: State,
    wrapped: Vec<u8>,
    is_of_before: bool,
}

impl Seal {
    fn encode(&self) -> Vec<u8> {
        let (number, at) = match &self.state {
            State::Sealed => (0, None),
            State::Converting(at) => (1, Some(at)),
            State::ToScrub => (2, None),
        };
        let mut w = Writer::new();
        w.array(5).uint(VERSION).uint(number).bytes(&self.wrapped);
        w.uint(at.map_or(0, |at| at.table as u64)).bytes(at.map_or(&[], |at| &at.key));
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut r = Reader::new(bytes);
        r.array_of(5)?;
        let version = r.uint()?;
        if version != VERSION && version != VERSION_BEFORE {
            return Err(r.error("a version of the seal that this program knows"));
        }
        let state = r.uint()?;
        let wrapped = r.bytes(WRAPPED_BYTES_MAX)?.to_vec();
        let table = u8::try_from(r.uint()?).ok().and_then(Table::from_number);
        let key = r.bytes(KEY_BYTES_MAX + 1)?.to_vec();
        r.end()?;
        let state = match (state, table) {
            (0, None) => State::Sealed,
            (1, Some(table)) => State::Converting(Position { table, key }),
            (2, None) => State::ToScrub,
            _ => return Err(r.error("a state of the seal")),
        };
        Ok(Self { state, wrapped, is_of_before: version == VERSION_BEFORE })
    }

    fn read(below: &dyn Store, place: &str) -> Result<Option<Self>, StoreError> {
        let row = below.get(Table::Meta, SEAL_ROW)?;
        let damaged =
            |error: CborError| StoreError::Damaged { place: place.to_owned(), what: format!("seal: {error}") };
        row.map(|row| Self::decode(&row).map_err(damaged)).transpose()
    }

    fn write(&self, below: &dyn Store, mut batch: Batch) -> Result<(), StoreError> {
        batch.put(Table::Meta, SEAL_ROW, self.encode());
        below.commit(&batch)
    }

    fn unwrap(&self, place: &str, master: &MasterKey) -> Result<Cipher, StoreError> {
        let opened = Cipher::new(master.bytes()).open(DATA_KEY_TABLE, DATA_KEY, self.wrapped.clone());
        let opened = opened.map(Zeroizing::new);
        let key = opened.as_ref().and_then(|bytes| <&[u8; 32]>::try_from(bytes.as_slice()).ok());
        key.map(Cipher::new).ok_or_else(|| StoreError::WrongKey { place: place.to_owned() })
    }
}

/// One of the new keys that a caller's 32 random bytes give.
fn drawn(tag: &str, entropy: &[u8; 32]) -> Hash {
    tagged(tag, 1, |w| {
        w.bytes(entropy);
    })
}

/// Whether a store is a sealed one, also one of which only a part is sealed yet. An empty store is not.
///
/// # Errors
/// When it can't be read.
pub fn is_sealed(below: &dyn Store) -> Result<bool, StoreError> {
    Ok(below.get(Table::Meta, SEAL_ROW)?.is_some())
}

fn is_empty(below: &dyn Store) -> Result<bool, StoreError> {
    for table in Table::ALL {
        if !below.scan(table, &[], None, 1)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

impl SealedStore {
    /// Opens `below` with the key `name` of the vault. A new store gets a key, which the vault keeps before anything is
    /// sealed; a plain store of before is sealed, which can take some seconds, and nobody else may use it meanwhile.
    /// `entropy` is 32 fresh bytes of the system's randomness, `place` names the store in errors.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn open(
        below: Arc<dyn Store>,
        place: impl Into<String>,
        vault: &dyn KeyVault,
        name: &str,
        entropy: [u8; 32],
    ) -> Result<(Self, Begun), SealError> {
        let place = place.into();
        let kept = vault.key(name)?;
        if let Some(seal) = Seal::read(below.as_ref(), &place)? {
            let master = kept.ok_or_else(|| SealError::KeyMissing { place: place.clone(), name: name.to_owned() })?;
            let cipher = seal.unwrap(&place, &master)?;
            let begun = finish(below.as_ref(), &cipher, seal)?;
            return Ok((Self { below, place, cipher, plain_from: None }, begun));
        }
        let fresh = MasterKey::new(drawn("samenspraak/seal/new-master-key/v1", &entropy));
        let master = match kept {
            Some(master) => master,
            None => {
                vault.keep(name, &fresh)?;
                fresh
            }
        };
        let data_key = Zeroizing::new(drawn("samenspraak/seal/new-data-key/v1", &entropy));
        let wrapped = Cipher::new(master.bytes()).seal(DATA_KEY_TABLE, DATA_KEY, &*data_key);
        let cipher = Cipher::new(&data_key);
        let begun = if is_empty(below.as_ref())? {
            Seal { state: State::Sealed, wrapped, is_of_before: false }.write(below.as_ref(), Batch::new())?;
            Begun::New
        } else {
            finish(
                below.as_ref(),
                &cipher,
                Seal { state: State::Converting(Position::start()), wrapped, is_of_before: false },
            )?
        };
        Ok((Self { below, place, cipher, plain_from: None }, begun))
    }

    /// Opens a sealed store and changes nothing, also where its sealing was interrupted.
    ///
    /// # Errors
    /// As [`SealedStore::open`]; [`StoreError::Damaged`] when it isn't sealed at all (see [`is_sealed`]).
    pub fn open_read_only(
        below: Arc<dyn Store>,
        place: impl Into<String>,
        vault: &dyn KeyVault,
        name: &str,
    ) -> Result<Self, SealError> {
        let place = place.into();
        let not_sealed = || StoreError::Damaged { place: place.clone(), what: "it is not sealed".into() };
        let seal = Seal::read(below.as_ref(), &place)?.ok_or_else(not_sealed)?;
        let kept = vault.key(name)?;
        let master = kept.ok_or_else(|| SealError::KeyMissing { place: place.clone(), name: name.to_owned() })?;
        let cipher = seal.unwrap(&place, &master)?;
        let plain_from = match seal.state {
            State::Converting(from) => Some(from),
            State::Sealed | State::ToScrub => None,
        };
        Ok(Self { below, place, cipher, plain_from })
    }
}

/// Brings a store to its sealed state, from wherever it was left.
fn finish(below: &dyn Store, cipher: &Cipher, mut seal: Seal) -> Result<Begun, StoreError> {
    let mut rows = 0;
    match seal.state.clone() {
        State::Sealed => {
            if seal.is_of_before {
                seal.write(below, Batch::new())?;
            }
            return Ok(Begun::Sealed);
        }
        State::Converting(from) => {
            rows = convert(below, cipher, &mut seal, from)?;
            seal.state = State::ToScrub;
            seal.write(below, Batch::new())?;
        }
        State::ToScrub => {}
    }
    below.scrub()?;
    seal.state = State::Sealed;
    seal.write(below, Batch::new())?;
    Ok(Begun::Converted { rows })
}

/// Seals every plain row from `from` on; returns how many there were.
fn convert(below: &dyn Store, cipher: &Cipher, seal: &mut Seal, from: Position) -> Result<u64, StoreError> {
    let mut count = 0;
    for table in Table::ALL.into_iter().filter(|table| *table as u8 >= from.table as u8) {
        let mut next = if table == from.table { from.key.clone() } else { Vec::new() };
        loop {
            let rows = below.scan(table, &next, None, CONVERT_ROWS)?;
            if rows.is_empty() {
                break;
            }
            let (mut batch, mut bytes) = (Batch::new(), 0);
            for row in rows {
                if bytes > CONVERT_BYTES {
                    break;
                }
                bytes += row.value.len();
                if !is_seal(table, &row.key) {
                    batch.put(table, row.key.as_slice(), cipher.seal(table as u8, &row.key, &row.value));
                    count += 1;
                }
                next = row.key;
                next.push(0);
            }
            seal.state = State::Converting(Position { table, key: next.clone() });
            seal.write(below, batch)?;
        }
    }
    Ok(count)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use crate::vault::MemoryVault;

    #[test]
    fn a_store_sealed_by_a_program_of_before_is_read_written_on_and_marked_for_programs_of_now() {
        let (below, data_key) = (Arc::new(MemoryStore::new()), [7; 32]);
        let (vault, master) = (MemoryVault::new(), MasterKey::new([5; 32]));
        vault.keep("phone", &master).unwrap();
        let before = |key, table, row, value| Cipher::new(key).seal_before(table, row, value, [3; 24]);
        let wrapped = before(master.bytes(), DATA_KEY_TABLE, DATA_KEY, &data_key);
        let mut seal = Seal { state: State::Sealed, wrapped, is_of_before: true }.encode();
        seal[1] = u8::try_from(VERSION_BEFORE).unwrap();
        let mut batch = Batch::new();
        batch.put(Table::Meta, SEAL_ROW, seal);
        batch.put(Table::Entry, b"one".as_slice(), before(&data_key, Table::Entry as u8, b"one", b"words of before"));
        below.commit(&batch).unwrap();

        let read_only = SealedStore::open_read_only(below.clone(), "a test", &vault, "phone").unwrap();
        assert_eq!(read_only.get(Table::Entry, b"one").unwrap().as_deref(), Some(&b"words of before"[..]));
        assert!(Seal::read(below.as_ref(), "a test").unwrap().unwrap().is_of_before, "reading only wrote");

        let (store, begun) = SealedStore::open(below.clone(), "a test", &vault, "phone", [9; 32]).unwrap();
        assert_eq!(begun, Begun::Sealed);
        let mut batch = Batch::new();
        batch.put(Table::Entry, b"two".as_slice(), b"words of now".as_slice());
        store.commit(&batch).unwrap();
        assert!(!Seal::read(below.as_ref(), "a test").unwrap().unwrap().is_of_before);
        let (store, _) = SealedStore::open(below, "a test", &vault, "phone", [9; 32]).unwrap();
        let words: Vec<Vec<u8>> =
            store.scan(Table::Entry, b"", None, 9).unwrap().into_iter().map(|row| row.value).collect();
        assert_eq!(words, [b"words of before".to_vec(), b"words of now".to_vec()]);
    }
}
