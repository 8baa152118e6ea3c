//! The app's vault as the core knows one.

use std::sync::Arc;

use samenspraak_core::vault::{KEY_BYTES, KeyVault as CoreVault, MasterKey, VaultError, check_name};
use zeroize::Zeroizing;

use crate::{KeyVault, KeyVaultError};

pub(crate) struct AppVault(pub Arc<dyn KeyVault>);

fn refused(name: &str, error: KeyVaultError) -> VaultError {
    let place = format!("the app's vault, {name}");
    match error {
        KeyVaultError::Locked => VaultError::Locked { place },
        KeyVaultError::Taken => VaultError::Taken { place },
        KeyVaultError::Failed { reason } => VaultError::Io { place, source: std::io::Error::other(reason) },
    }
}

impl CoreVault for AppVault {
    fn key(&self, name: &str) -> Result<Option<MasterKey>, VaultError> {
        check_name(name)?;
        let Some(bytes) = self.0.key(name.to_owned()).map_err(|error| refused(name, error))? else { return Ok(None) };
        let bytes = Zeroizing::new(bytes);
        let key: Result<[u8; KEY_BYTES], _> = bytes.as_slice().try_into();
        let wrong = |_| VaultError::Damaged {
            place: format!("the app's vault, {name}"),
            what: format!("{} bytes instead of {KEY_BYTES}", bytes.len()),
        };
        key.map(|key| Some(MasterKey::new(key))).map_err(wrong)
    }

    fn keep(&self, name: &str, key: &MasterKey) -> Result<(), VaultError> {
        check_name(name)?;
        self.0.keep(name.to_owned(), key.bytes().to_vec()).map_err(|error| refused(name, error))
    }
}
