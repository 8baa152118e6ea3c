//! Where the key that opens a device's store is kept: behind a trait, because every platform has a place of its own for it.
//!
//! A [`KeyVault`] gives and keeps 32 bytes under a name. Android and iOS keep them in their key stores, the programs of the
//! server in files, tests in memory. A vault must never give another key than the one it was given to keep, never take a
//! new one in place of an old one, and never answer "there is none" when it only can't be read: a store that is opened with
//! a wrong key is refused, and one that is thought to be new loses somebody's words. Not here: what is done with the key;
//! that is `store::sealed`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

/// Length of a master key.
pub const KEY_BYTES: usize = 32;
/// Longest name of a key in bytes: it may become the name of a file.
pub const NAME_BYTES_MAX: usize = 64;

/// 32 secret bytes that open one store. Wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl MasterKey {
    /// From 32 bytes of the system's randomness.
    #[must_use]
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for a vault to keep.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Why a vault can't give or keep a key. None of these means that there is no key.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The name can't be used: 1 to [`NAME_BYTES_MAX`] letters, digits or `-`.
    #[error("{name:?} is no name of a key")]
    Name {
        /// The name.
        name: String,
    },
    /// What stands there is no key, or not a whole one.
    #[error("the key in {place} is damaged: {what}")]
    Damaged {
        /// Where.
        place: String,
        /// What does not fit.
        what: String,
    },
    /// Others than its owner may read it.
    #[error("the key in {place} can be read by others than its owner")]
    Exposed {
        /// Where.
        place: String,
    },
    /// Another key is kept under this name; it was left as it is.
    #[error("{place} holds another key already")]
    Taken {
        /// Where.
        place: String,
    },
    /// No room to keep it; nothing was changed.
    #[error("no space left on the disk that holds {place}")]
    Full {
        /// Where.
        place: String,
    },
    /// The vault is locked now, as a phone's is before it was unlocked for the first time. Later it may work.
    #[error("the key in {place} can't be had now")]
    Locked {
        /// Where.
        place: String,
    },
    /// The system refused.
    #[error("cannot use the key in {place}")]
    Io {
        /// Where.
        place: String,
        /// Its reason.
        #[source]
        source: std::io::Error,
    },
}

/// Keeps keys by name. See the module for what it must never do.
pub trait KeyVault: Send + Sync {
    /// The key under `name`, or `None` when none was ever kept there.
    ///
    /// # Errors
    /// Whenever it can't be said for certain which of the two it is.
    fn key(&self, name: &str) -> Result<Option<MasterKey>, VaultError>;

    /// Keeps a key. When this returns `Ok` it survives a power cut: only then may anything be sealed with it. Keeping the
    /// same key again is no error.
    ///
    /// # Errors
    /// [`VaultError::Taken`] when another one stands under this name; else when it could not be made durable.
    fn keep(&self, name: &str, key: &MasterKey) -> Result<(), VaultError>;
}

/// Checks a name; vaults call it before anything else.
///
/// # Errors
/// [`VaultError::Name`].
pub fn check_name(name: &str) -> Result<(), VaultError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits { Ok(()) } else { Err(VaultError::Name { name: name.to_owned() }) }
}

/// Keys in memory: for tests, and for shells that get the key from somewhere else.
#[derive(Debug, Default)]
pub struct MemoryVault {
    keys: Mutex<BTreeMap<String, MasterKey>>,
}

impl MemoryVault {
    /// An empty vault.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl KeyVault for MemoryVault {
    fn key(&self, name: &str) -> Result<Option<MasterKey>, VaultError> {
        check_name(name)?;
        Ok(self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }

    fn keep(&self, name: &str, key: &MasterKey) -> Result<(), VaultError> {
        check_name(name)?;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.get(name) {
            Some(kept) if kept != key => Err(VaultError::Taken { place: format!("memory, under {name}") }),
            _ => {
                keys.insert(name.to_owned(), key.clone());
                Ok(())
            }
        }
    }
}

/// Puts a vault through what every vault promises; `reopen` gives it back as after a restart. For tests of vaults
/// elsewhere too.
///
/// # Panics
/// When a promise is not kept.
#[cfg(any(test, feature = "testing"))]
pub fn conformance(vault: Box<dyn KeyVault>, reopen: &mut dyn FnMut(Box<dyn KeyVault>) -> Box<dyn KeyVault>) {
    let bytes = |key: Option<MasterKey>| key.map(|key| *key.bytes());
    let vault = reopen(vault);
    assert_eq!(bytes(vault.key("phone").expect("an empty vault can be asked")), None);
    let (one, other) = (MasterKey::new([1; KEY_BYTES]), MasterKey::new([2; KEY_BYTES]));
    vault.keep("phone", &one).expect("a key is kept");
    vault.keep("board-2", &other).expect("another one under another name");
    let vault = reopen(vault);
    vault.keep("phone", &one).expect("the same key again");
    assert!(matches!(vault.keep("phone", &other), Err(VaultError::Taken { .. })), "a key was replaced");
    let vault = reopen(vault);
    assert_eq!(bytes(vault.key("phone").expect("it is read")), Some([1; KEY_BYTES]));
    assert_eq!(bytes(vault.key("board-2").expect("it is read")), Some([2; KEY_BYTES]));
    for name in ["", "../phone", "a/b", "phone.key", &"a".repeat(NAME_BYTES_MAX + 1)] {
        assert!(matches!(vault.key(name), Err(VaultError::Name { .. })), "{name:?}");
        assert!(matches!(vault.keep(name, &one), Err(VaultError::Name { .. })), "{name:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_vault_keeps_every_promise() {
        conformance(Box::new(MemoryVault::new()), &mut |vault| vault);
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = MasterKey::new([0xab; KEY_BYTES]);
        assert_eq!(format!("{key:?}"), "MasterKey(…)");
    }
}
