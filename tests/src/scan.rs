//! Looks for a string in everything that lies on a disk: raw, decrypted, and unpacked.
//!
//! A [`Scanner`] reads every file under a folder byte by byte. Where a journal is, it reads every value that stands in it
//! through the journal's own reader, those included that were deleted or replaced; values of a sealed store are opened with a
//! key it was given. Wherever the bytes of a document's change begin, raw or in a value, the core's own reader unpacks it,
//! for there text is deflated or stands in columns; what zstd compressed is decompressed. It says where it found eight bytes in a row of what it looks for.
//!
//! Must never pass over what it can't read: a sealed store without its key is a panic. That it can find must be shown, in
//! every test, before it is believed that nothing is there.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ruzstd::decoding::StreamingDecoder;
use samenspraak_core::gate::change::preflight;
use samenspraak_core::store::disk::every_value;
use samenspraak_core::store::sealed::SEAL_ROW;
use samenspraak_core::store::{Batch, MemoryStore, SealedStore, Store, Table};
use samenspraak_core::vault::KeyVault;

use crate::world::Seeded;

/// Bytes in a row that count as found.
pub const WINDOW: usize = 8;
/// How often a scan of a store in use begins again because a file went away meanwhile.
const AGAIN_MAX: u32 = 200;
/// How a chunk of automerge begins, whatever it holds.
const CHUNK: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
/// How something compressed with zstd begins.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Magic, checksum and kind in front of a chunk's length.
const CHUNK_LEAD: usize = 9;

/// A random string that is no word of any language: 40 letters and digits.
#[must_use]
pub fn canary(random: &mut Seeded) -> String {
    const LETTERS: &[u8; 32] = b"0123456789bcdfghjklmnpqrstvwxzQZ";
    (0..40).map(|_| char::from(LETTERS[random.below(LETTERS.len())])).collect()
}

/// What a scan found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Files that hold it as they are.
    pub raw: BTreeSet<String>,
    /// Journals that hold it in a value, or in a change that was unpacked; with what had to be done.
    pub inside: BTreeSet<String>,
    /// The sealed bytes of values that hold it.
    pub sealed: Vec<Vec<u8>>,
}

impl Found {
    /// Whether it was found nowhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.inside.is_empty()
    }
}

/// See the module.
#[derive(Clone, Default)]
pub struct Scanner {
    windows: HashSet<[u8; WINDOW]>,
    /// Whether any window begins with these two bytes: rules out most places without hashing.
    begins: HashSet<[u8; 2]>,
    first: Vec<bool>,
    keys: Vec<(Arc<dyn KeyVault>, String)>,
}

impl Scanner {
    /// Looks for these strings.
    #[must_use]
    pub fn new(strings: &[&str]) -> Self {
        let mut scanner = Self { first: vec![false; 256], ..Self::default() };
        for string in strings {
            scanner.add(string.as_bytes());
        }
        scanner
    }

    /// Also looks for these bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for window in bytes.windows(WINDOW) {
            let window: [u8; WINDOW] = window.try_into().expect("windows have this length");
            self.windows.insert(window);
            self.begins.insert([window[0], window[1]]);
            self.first[usize::from(window[0])] = true;
        }
    }

    /// Opens sealed stores with this key too.
    #[must_use]
    pub fn with_key(mut self, vault: Arc<dyn KeyVault>, name: &str) -> Self {
        self.keys.push((vault, name.to_owned()));
        self
    }

    /// Also looks for the sealed bytes of values that held what is looked for: no piece of those may be left either.
    pub fn learn(&mut self, found: &Found) {
        for sealed in &found.sealed {
            self.add(sealed);
        }
    }

    /// Whether any window of what is looked for is in these bytes.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(WINDOW).any(|window| {
            self.first[usize::from(window[0])]
                && self.begins.contains(&[window[0], window[1]])
                && <&[u8; WINDOW]>::try_from(window).is_ok_and(|window| self.windows.contains(window))
        })
    }

    /// Whether it is in a change that these bytes hold somewhere.
    fn is_in_changes(&self, bytes: &[u8]) -> bool {
        let starts = bytes.windows(CHUNK.len()).enumerate().filter(|(_, window)| *window == CHUNK);
        starts.map(|(at, _)| at).any(|at| {
            let chunk = chunk_at(&bytes[at..]).and_then(|chunk| preflight(chunk).ok());
            chunk.is_some_and(|unpacked| self.is_in(&unpacked.chunk))
        })
    }

    /// Whether it is in something that zstd compressed: a packed stretch of a log.
    fn is_in_compressed(&self, bytes: &[u8]) -> bool {
        let starts = bytes.windows(ZSTD.len()).enumerate().filter(|(_, window)| *window == ZSTD);
        starts.map(|(at, _)| at).any(|at| {
            let mut plain = Vec::new();
            // What begins like it and isn't ends in an error.
            let read = StreamingDecoder::new(&bytes[at..]).map(|mut decoder| decoder.read_to_end(&mut plain));
            read.is_ok() && self.is_in(&plain)
        })
    }

    /// Looks through every file under a folder.
    ///
    /// # Panics
    /// When something can't be read, or a sealed store is there that no key opens: nothing would be known then.
    #[must_use]
    pub fn scan(&self, root: &Path) -> Found {
        for _ in 0..AGAIN_MAX {
            if let Some(found) = self.scan_once(root) {
                return found;
            }
        }
        panic!("{}: files come and go too quickly to look into all of them", root.display())
    }

    /// `None` when a file went away meanwhile: what was in it may be under another name now.
    fn scan_once(&self, root: &Path) -> Option<Found> {
        let mut found = Found::default();
        for path in files(root)? {
            let bytes = unless_gone(&path, fs::read(&path))?;
            if self.is_in(&bytes) || self.is_in(path.as_os_str().as_encoded_bytes()) {
                found.raw.insert(path.display().to_string());
            }
            if self.is_in_changes(&bytes) {
                found.inside.insert(format!("{}: unpacked", path.display()));
            }
            if self.is_in_compressed(&bytes) {
                found.inside.insert(format!("{}: decompressed", path.display()));
            }
            if path.file_name().is_some_and(|name| name == "00000001.seg") {
                let store = path.parent().and_then(Path::parent).expect("a journal is in a store");
                self.scan_journal(store, &mut found);
            }
        }
        Some(found)
    }

    fn scan_journal(&self, store: &Path, found: &mut Found) {
        let mut values = Vec::new();
        every_value(store, &mut |table, key, value| values.push((table, key.to_vec(), value.to_vec())))
            .unwrap_or_else(|error| panic!("{}: {error}", store.display()));
        let seal = values.iter().rev().find(|(table, key, _)| *table == Table::Meta && key == SEAL_ROW);
        let seal = seal.map(|(_, _, row)| self.open(store, row));
        for (table, key, stored) in &values {
            let place = format!("{}: {table:?}", store.display());
            // A store of before that was sealed and is not scrubbed yet has plain values too.
            let opened = seal.as_ref().and_then(|seal| seal.unseal(*table, key, stored).ok());
            let value = opened.as_ref().unwrap_or(stored);
            let (is_plain, is_packed) = (self.is_in(value) || self.is_in(key), self.is_in_changes(value));
            if is_plain {
                found.inside.insert(format!("{place}, {}", if opened.is_some() { "opened" } else { "plain" }));
            }
            if is_packed {
                found.inside.insert(format!("{place}, unpacked"));
            }
            if (is_plain || is_packed) && opened.is_some() {
                found.sealed.push(stored.clone());
            }
        }
    }

    fn open(&self, store: &Path, seal: &[u8]) -> SealedStore {
        let rows = Arc::new(MemoryStore::new());
        let mut batch = Batch::new();
        batch.put(Table::Meta, SEAL_ROW, seal);
        rows.commit(&batch).expect("memory takes a row");
        let opened = self
            .keys
            .iter()
            .find_map(|(vault, name)| SealedStore::open_read_only(rows.clone(), "a scan", vault.as_ref(), name).ok());
        opened.unwrap_or_else(|| panic!("{}: no key opens this store", store.display()))
    }
}

/// The chunk at the start of these bytes, if they are long enough.
fn chunk_at(bytes: &[u8]) -> Option<&[u8]> {
    let (mut length, mut shift, mut at) = (0_u64, 0, CHUNK_LEAD);
    loop {
        let byte = *bytes.get(at)?;
        length |= u64::from(byte & 0x7f).checked_shl(shift)?;
        (shift, at) = (shift + 7, at + 1);
        if byte & 0x80 == 0 {
            return bytes.get(..at.checked_add(usize::try_from(length).ok()?)?);
        }
    }
}

/// Every file under a folder, in order of names; `None` when one went away meanwhile.
fn files(dir: &Path) -> Option<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in unless_gone(dir, fs::read_dir(dir))? {
        let path = unless_gone(dir, entry)?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Some(found)
}

fn unless_gone<T>(path: &Path, result: io::Result<T>) -> Option<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        result => Some(result.unwrap_or_else(|error| panic!("{}: {error}", path.display()))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use samenspraak_core::document::contribution;
    use samenspraak_core::model::Content;
    use samenspraak_core::store::disk::{DiskOptions, DiskStore};
    use samenspraak_core::vault::{MasterKey, MemoryVault};

    use super::*;

    const CANARY: &str = "x7Qk2m9vZp4r";

    /// A change with the canary in the middle of a text, deflated as automerge does it with long ones.
    fn deflated() -> Vec<u8> {
        let filler = "De lamp bij de oversteek is stuk. ".repeat(30);
        let content = Content { title: "T".into(), text: format!("{filler}{CANARY}{filler}"), ..Content::default() };
        let plain = contribution::create([1; 16], &content).unwrap().unwrap();
        let mut at = CHUNK_LEAD;
        while plain[at] & 0x80 != 0 {
            at += 1;
        }
        let packed = miniz_oxide::deflate::compress_to_vec(&plain[at + 1..], 6);
        let mut chunk = [&plain[..CHUNK_LEAD - 1], &[2]].concat();
        let mut length = packed.len();
        while length >= 0x80 {
            chunk.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        chunk.push(u8::try_from(length).unwrap());
        [chunk, packed].concat()
    }

    fn put(store: &dyn Store, key: &[u8], value: &[u8]) {
        let mut batch = Batch::new();
        batch.put(Table::Entry, key, value);
        store.commit(&batch).unwrap();
    }

    #[test]
    fn eight_bytes_in_a_row_are_found_and_seven_are_not() {
        let scanner = Scanner::new(&[CANARY]);
        for at in 0..=CANARY.len() - WINDOW {
            assert!(scanner.is_in(format!("..{}..", &CANARY[at..at + WINDOW]).as_bytes()));
            assert!(!scanner.is_in(format!("..{}..", &CANARY[at..at + WINDOW - 1]).as_bytes()));
        }
    }

    #[test]
    fn what_is_deflated_sealed_replaced_or_deleted_is_found_until_it_is_scrubbed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a log"), deflated()).unwrap();
        let found = Scanner::new(&[CANARY]).scan(root.path());
        assert!(found.raw.is_empty() && !found.inside.is_empty(), "a deflated change in a file: {found:?}");
        fs::remove_file(root.path().join("a log")).unwrap();

        let vault = Arc::new(MemoryVault::new());
        vault.keep("phone", &MasterKey::new([1; 32])).unwrap();
        let mut scanner = Scanner::new(&[CANARY]).with_key(vault.clone(), "phone");
        let disk = Arc::new(DiskStore::open(root.path(), DiskOptions::default()).unwrap().0);
        let store = SealedStore::open(disk.clone(), "a test", vault.as_ref(), "phone", [2; 32]).unwrap().0;
        put(&store, b"key", &deflated());
        put(&store, b"other", format!("words {CANARY}").as_bytes());
        let found = scanner.scan(root.path());
        assert!(found.raw.is_empty(), "{found:?}");
        assert_eq!(found.sealed.len(), 2, "{found:?}");
        put(&store, b"key", b"replaced");
        let mut batch = Batch::new();
        batch.delete(Table::Entry, b"other".as_slice());
        store.commit(&batch).unwrap();
        scanner.learn(&found);
        let left = scanner.scan(root.path());
        assert!(!left.raw.is_empty() && left.inside.len() == 2, "both stand in the journal yet: {left:?}");
        store.scrub().unwrap();
        assert!(scanner.scan(root.path()).is_empty());
    }

    #[test]
    #[should_panic(expected = "no key opens this store")]
    fn a_sealed_store_without_its_key_is_never_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let disk = Arc::new(DiskStore::open(root.path(), DiskOptions::default()).unwrap().0);
        let _store = SealedStore::open(disk, "a test", &MemoryVault::new(), "phone", [2; 32]).unwrap();
        let _ = Scanner::new(&[CANARY]).scan(root.path());
    }
}
