//! Keys of device stores in files: the vault of the terminal phone, the root's device and the board's.
//!
//! ```text
//! DIR/phone.key     {"vault": 1, "name": "phone", "key": 64 hexadecimal digits, "check": 16 of them}   (0600)
//! ```
//! A key file beside the store it opens protects a copy of the store that leaves without it (a backup, a disk that is thrown
//! away in parts, somebody who gets at the journal only). It does not protect a folder that is taken as a whole: for that,
//! let `keys` be a link to a stick that is kept apart. Phones get the platform's own vault through the bindings.
//!
//! Must never make a key in place of one that is there but can't be read, and never use one that others can read.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use samenspraak_core::hash::tagged;
use samenspraak_core::vault::{KeyVault, MasterKey, VaultError, check_name};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::folder::{hex, is_private, make_folder, write_whole};

const VERSION: u32 = 1;
/// A key file has some 200 bytes; what is much longer is none.
const FILE_BYTES_MAX: u64 = 4096;

#[derive(Serialize, Deserialize)]
struct KeyFile {
    vault: u32,
    name: String,
    key: String,
    /// Tells a damaged key from a wrong one.
    check: String,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct FileVault {
    dir: PathBuf,
}

fn check_of(name: &str, key: &MasterKey) -> String {
    let hash = tagged("samenspraak/vault/check/v1", 2, |w| {
        w.text(name).bytes(key.bytes());
    });
    hex(&hash[..8])
}

impl FileVault {
    /// The vault in a folder, which is made when the first key is kept.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Where a key lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Ok(found) if found.len() > FILE_BYTES_MAX => return Ok(Some(Zeroizing::new(Vec::new()))),
            found => found?,
        };
        fs::read(path).map(|bytes| Some(Zeroizing::new(bytes)))
    }
}

fn parse(name: &str, bytes: &[u8]) -> Result<MasterKey, &'static str> {
    let file: KeyFile = serde_json::from_slice(bytes).map_err(|_| "it has another form")?;
    if file.vault != VERSION {
        return Err("it is of another version of this program");
    }
    if file.name != name {
        return Err("it is the key of another store");
    }
    let digits = Zeroizing::new(file.key);
    let mut key = Zeroizing::new([0; 32]);
    if digits.len() != 64 || !digits.is_ascii() {
        return Err("it has another length");
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| "it has another form")?;
    }
    let key = MasterKey::new(*key);
    if check_of(name, &key) == file.check { Ok(key) } else { Err("it fails its check") }
}

impl KeyVault for FileVault {
    fn key(&self, name: &str) -> Result<Option<MasterKey>, VaultError> {
        check_name(name)?;
        let path = self.path(name);
        let place = || path.display().to_string();
        let Some(bytes) = Self::read(&path).map_err(|source| VaultError::Io { place: place(), source })? else {
            return Ok(None);
        };
        if !is_private(&path).map_err(|source| VaultError::Io { place: place(), source })? {
            return Err(VaultError::Exposed { place: place() });
        }
        let key = parse(name, &bytes);
        key.map(Some).map_err(|what| VaultError::Damaged { place: place(), what: what.into() })
    }

    fn keep(&self, name: &str, key: &MasterKey) -> Result<(), VaultError> {
        let path = self.path(name);
        let place = || path.display().to_string();
        match self.key(name)? {
            Some(kept) if kept == *key => return Ok(()),
            Some(_) => return Err(VaultError::Taken { place: place() }),
            None => {}
        }
        let digits = Zeroizing::new(hex(key.bytes()));
        let file = KeyFile { vault: VERSION, name: name.into(), key: digits.to_string(), check: check_of(name, key) };
        let write = || {
            make_folder(&self.dir)?;
            let bytes = serde_json::to_vec_pretty(&file).map(Zeroizing::new)?;
            write_whole(&path, &bytes, true)
        };
        write().map_err(|source| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => VaultError::Full { place: place() },
            _ => VaultError::Io { place: place(), source },
        })?;
        // Some file systems know no owners; a key there would be everybody's.
        match self.key(name)? {
            Some(kept) if kept == *key => Ok(()),
            _ => Err(VaultError::Damaged { place: place(), what: "it was not kept as it was given".into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MasterKey {
        MasterKey::new([0x4d; 32])
    }

    #[test]
    fn the_file_vault_keeps_every_promise() {
        let root = tempfile::tempdir().unwrap();
        let open = || Box::new(FileVault::new(&root.path().join("keys"))) as Box<dyn KeyVault>;
        samenspraak_core::vault::conformance(open(), &mut |_| open());
    }

    #[test]
    fn a_key_file_of_before_is_read_for_ever() {
        let root = tempfile::tempdir().unwrap();
        let vault = FileVault::new(root.path());
        let text = format!(
            r#"{{"vault": 1, "name": "phone", "key": "{}", "check": "{}"}}"#,
            "4d".repeat(32),
            "893e7de9758f7a21"
        );
        write_whole(&vault.path("phone"), text.as_bytes(), true).unwrap();
        assert_eq!(vault.key("phone").unwrap(), Some(key()));
    }

    #[test]
    fn a_key_file_that_is_damaged_is_never_taken_for_none_and_never_gives_another_key() {
        let root = tempfile::tempdir().unwrap();
        let vault = FileVault::new(root.path());
        vault.keep("phone", &key()).unwrap();
        let whole = fs::read(vault.path("phone")).unwrap();
        for cut in 0..whole.len() {
            fs::write(vault.path("phone"), &whole[..cut]).unwrap();
            assert!(matches!(vault.key("phone"), Err(VaultError::Damaged { .. })), "cut at {cut}");
            assert!(matches!(vault.keep("phone", &key()), Err(VaultError::Damaged { .. })), "cut at {cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(vault.path("phone"), &flipped).unwrap();
            match vault.key("phone") {
                // White space, or a digit in capitals.
                Ok(found) => assert_eq!(found, Some(key()), "bit {bit}"),
                Err(error) => assert!(matches!(error, VaultError::Damaged { .. }), "bit {bit}: {error:?}"),
            }
        }
        fs::write(vault.path("phone"), vec![b' '; 10_000]).unwrap();
        assert!(matches!(vault.key("phone"), Err(VaultError::Damaged { .. })));
        fs::write(vault.path("phone"), &whole).unwrap();
        fs::rename(vault.path("phone"), vault.path("board")).unwrap();
        assert!(matches!(vault.key("board"), Err(VaultError::Damaged { .. })), "the key of another store");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_is_its_owners_alone_or_refused() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let vault = FileVault::new(&root.path().join("keys"));
        // As a kill in the middle of keeping a key leaves it.
        fs::create_dir(root.path().join("keys")).unwrap();
        fs::write(root.path().join("keys/phone.new"), b"half of a key").unwrap();
        vault.keep("phone", &key()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&vault.path("phone")), 0o600);
        for shared in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(vault.path("phone"), fs::Permissions::from_mode(shared)).unwrap();
            assert!(matches!(vault.key("phone"), Err(VaultError::Exposed { .. })), "{shared:o}");
        }
        fs::set_permissions(vault.path("phone"), fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(vault.key("phone").unwrap(), Some(key()));
    }
}
