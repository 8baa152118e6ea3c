//! What an app brings of its platform: a place for the key, connections, and somebody to tell.
//!
//! All of it is called from threads of the library, never with a lock held, so it may call back into a [`Wijk`](crate::Wijk). What
//! it throws is an error here and nothing worse; what blocks holds up nobody but the connection or the opening that asked.

use crate::{SyncState, WijkError};

/// Keeps the key that opens a device's store: the Keystore of Android, the Keychain of iOS, a file of its owner alone.
///
/// It must never answer that there is no key when there is one that can't be read, and never keep another key in the place of one:
/// words would be lost.
#[uniffi::export(with_foreign)]
pub trait KeyVault: Send + Sync {
    /// The 32 bytes kept under a name; nothing if none were ever kept there.
    fn key(&self, name: String) -> Result<Option<Vec<u8>>, KeyVaultError>;

    /// Keeps 32 bytes under a name, durably before this returns.
    fn keep(&self, name: String, key: Vec<u8>) -> Result<(), KeyVaultError>;
}

/// Why a vault can't give or keep a key. None of these means that there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum KeyVaultError {
    /// The device was not unlocked yet; later it may work.
    #[error("the key can't be had now")]
    Locked,
    /// Another key is kept under this name.
    #[error("another key is kept under this name")]
    Taken,
    /// The platform refused.
    #[error("{reason}")]
    Failed {
        /// In the platform's words.
        reason: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for KeyVaultError {
    fn from(thrown: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { reason: thrown.reason }
    }
}

/// Speaks with servers over the platform's WebSockets, with its certificates and its proxies. Every connection has a number, chosen
/// here and never used again.
#[uniffi::export(with_foreign)]
#[async_trait::async_trait]
pub trait Connector: Send + Sync {
    /// Opens a WebSocket to `url`, which begins with `wss://` or, on one's own network, with `ws://`. Messages of up to
    /// `message_bytes_max` bytes must be let through both ways. Should end by itself after some ten seconds.
    async fn connect(&self, connection: u64, url: String, message_bytes_max: u64) -> Result<(), ConnectionError>;

    /// Sends one binary message, in order.
    async fn send(&self, connection: u64, message: Vec<u8>) -> Result<(), ConnectionError>;

    /// The next binary message; nothing when the other side closed the connection. Waits while messages are being sent.
    async fn receive(&self, connection: u64) -> Result<Option<Vec<u8>>, ConnectionError>;

    /// Says goodbye and ends, also a connection that broke or that nobody waits for any more. Called once; what waits in
    /// [`Connector::receive`] ends with it.
    async fn close(&self, connection: u64);
}

/// Why a connection can't be had, or broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum ConnectionError {
    /// In the platform's words.
    #[error("{reason}")]
    Failed {
        /// Why.
        reason: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for ConnectionError {
    fn from(thrown: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { reason: thrown.reason }
    }
}

/// Has the platform open the app for a sync while nobody looks at it: WorkManager on Android, BGTaskScheduler on iOS. The app that
/// is woken opens the wijk, calls [`Wijk::sync_now`](crate::Wijk::sync_now) and ends it.
#[uniffi::export(with_foreign)]
pub trait BackgroundSync: Send + Sync {
    /// Wake the app once there is a network, not before this time, in milliseconds since 1970: soon when own words wait here, in
    /// some hours to hear what others answered. Takes the place of what was asked for before.
    fn wake(&self, not_before_ms: u64) -> Result<(), WijkError>;
}

/// Hears what changes. One call at a time, in order; while one lasts, further changes are collected.
#[uniffi::export(with_foreign)]
pub trait Listener: Send + Sync {
    /// What is about these contributions, meetings or sealed stories reads differently now: look again at what is on the screen.
    /// An empty list means that anything may.
    fn changed(&self, ids: Vec<String>) -> Result<(), WijkError>;

    /// How this device and its server are.
    fn sync_state(&self, state: SyncState) -> Result<(), WijkError>;
}
