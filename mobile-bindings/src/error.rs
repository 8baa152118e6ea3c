//! Why something can't be done, for somebody who writes an app: one case for each thing an app can do something about.
//!
//! The core has a reason for each rule; here they are gathered by what an app does with them. `detail` and `reason` are English, for
//! logs and for whoever writes the app; words for people stand in the app's own message files, by case.

use samenspraak_core::app::CommandError;
use samenspraak_core::replica::ReplicaError;
use samenspraak_core::store::StoreError;
use samenspraak_core::store::sealed::SealError as SealedStoreError;
use samenspraak_core::sync::wire::RefusalCode;
use samenspraak_core::vault::VaultError;
use samenspraak_driver::SyncError;

/// Why something can't be done. Nothing was written then, and nothing that was written is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "native", derive(uniffi::Error))]
#[cfg_attr(
    feature = "typescript",
    derive(serde::Serialize, serde::Deserialize, tsify::Tsify),
    serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum WijkError {
    /// This device hasn't joined a wijk yet.
    #[error("this device hasn't joined a wijk yet")]
    NotJoined,
    /// This folder belongs to a wijk already; another wijk needs a folder of its own.
    #[error("this folder belongs to a wijk already")]
    AlreadyJoined,
    /// What was typed or scanned is no card, or was used, withdrawn, or is of another wijk.
    #[error("the card can't be used: {detail}")]
    Card {
        /// What is wrong.
        detail: String,
    },
    /// What was given can't be: a text that is empty or too long, a number out of range, an id that is none.
    #[error("{detail}")]
    Invalid {
        /// What is wrong, and what is allowed.
        detail: String,
    },
    /// There is nothing with this id here (any more).
    #[error("{detail}")]
    NotFound {
        /// What was looked for.
        detail: String,
    },
    /// This person may not do this: it is somebody else's, or needs another role.
    #[error("{detail}")]
    NotAllowed {
        /// Why.
        detail: String,
    },
    /// It can't be sealed yet: the key of that space comes with a later sync.
    #[error("{detail}")]
    NoKeyYet {
        /// Which.
        detail: String,
    },
    /// This device, or its person, no longer belongs to the wijk.
    #[error("this device no longer belongs to the wijk")]
    Revoked,
    /// This device exists twice, perhaps from a copied folder: a new card is needed.
    #[error("this device exists twice")]
    Cloned,
    /// No room on the device. What was there stays, and the same may be tried again later.
    #[error("no space left on this device")]
    NoSpace,
    /// Another app, or another opening of this one, holds the folder.
    #[error("the folder is in use")]
    InUse,
    /// The key that opens the folder is missing, wrong, or can't be had now.
    #[error("the key of this folder: {detail}")]
    Key {
        /// Why.
        detail: String,
    },
    /// What stands in the folder is damaged or can't be read. It was left as it is.
    #[error("the folder can't be read: {detail}")]
    Damaged {
        /// What and where.
        detail: String,
    },
    /// There is no network, or the server can't be reached. Everything is kept and goes later.
    #[error("the server can't be reached: {detail}")]
    Offline {
        /// Why.
        detail: String,
    },
    /// The server refuses this device.
    #[error("the server refuses: {detail}")]
    Refused {
        /// Why.
        detail: String,
    },
    /// The server isn't the one of this wijk, or says what can't be true. Nothing of it was believed.
    #[error("the server can't be trusted: {detail}")]
    Untrusted {
        /// Why.
        detail: String,
    },
    /// The wijk was closed.
    #[error("this wijk was closed")]
    Closed,
    /// A bug, or the app's own code threw.
    #[error("{detail}")]
    Unexpected {
        /// What happened.
        detail: String,
    },
}

impl WijkError {
    /// A bug.
    pub fn unexpected(detail: impl Into<String>) -> Self {
        Self::Unexpected { detail: detail.into() }
    }

    /// What was given can't be.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid { detail: detail.into() }
    }
}

#[cfg(feature = "native")]
impl From<uniffi::UnexpectedUniFFICallbackError> for WijkError {
    fn from(thrown: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::unexpected(thrown.reason)
    }
}

impl From<StoreError> for WijkError {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Full { .. } => Self::NoSpace,
            StoreError::Busy { .. } => Self::InUse,
            StoreError::WrongKey { .. } => Self::Key { detail },
            StoreError::Damaged { .. } => Self::Damaged { detail },
            StoreError::Closed { .. } => Self::Closed,
            StoreError::Io { source, .. } => Self::Damaged { detail: format!("{detail}: {source}") },
            StoreError::Limit { .. } => Self::Unexpected { detail },
        }
    }
}

impl From<ReplicaError> for WijkError {
    fn from(error: ReplicaError) -> Self {
        match error {
            ReplicaError::Store(error) => error.into(),
            ReplicaError::Row { .. } | ReplicaError::Contradiction { .. } => {
                Self::Damaged { detail: error.to_string() }
            }
        }
    }
}

impl From<VaultError> for WijkError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Full { .. } => Self::NoSpace,
            VaultError::Io { ref source, .. } => Self::Key { detail: format!("{error}: {source}") },
            VaultError::Name { .. }
            | VaultError::Damaged { .. }
            | VaultError::Exposed { .. }
            | VaultError::Taken { .. }
            | VaultError::Locked { .. } => Self::Key { detail: error.to_string() },
        }
    }
}

impl From<SealedStoreError> for WijkError {
    fn from(error: SealedStoreError) -> Self {
        match error {
            SealedStoreError::KeyMissing { .. } => Self::Key { detail: error.to_string() },
            SealedStoreError::Vault(error) => error.into(),
            SealedStoreError::Store(error) => error.into(),
        }
    }
}

impl From<SyncError> for WijkError {
    fn from(error: SyncError) -> Self {
        let detail = error.to_string();
        match error {
            SyncError::NotJoined => Self::NotJoined,
            SyncError::Address { .. } => Self::Invalid { detail },
            SyncError::Trust { .. } => Self::Untrusted { detail },
            SyncError::Unreachable { .. } | SyncError::Broken { .. } | SyncError::NoNetwork => Self::Offline { detail },
            SyncError::Session(error) => session(error, detail),
            SyncError::Refused(code) => refused(code, detail),
        }
    }
}

fn session(error: samenspraak_core::sync::phone::SessionError, detail: String) -> WijkError {
    use samenspraak_core::sync::phone::SessionError;
    match error {
        SessionError::NotNow | SessionError::Goodbye => WijkError::Offline { detail },
        SessionError::Frame
        | SessionError::OtherWijk
        | SessionError::FalseServer
        | SessionError::FalseSignature
        | SessionError::LogDiffers
        | SessionError::BadEntries => WijkError::Untrusted { detail },
    }
}

fn refused(code: RefusalCode, detail: String) -> WijkError {
    match code {
        RefusalCode::CardUsed | RefusalCode::CardUnknown | RefusalCode::CardWithdrawn => WijkError::Card { detail },
        RefusalCode::Revoked => WijkError::Revoked,
        RefusalCode::Fork => WijkError::Cloned,
        RefusalCode::NotNow => WijkError::Offline { detail },
        RefusalCode::NotMember
        | RefusalCode::NotReadable
        | RefusalCode::Gap
        | RefusalCode::UnknownSubject
        | RefusalCode::Form
        | RefusalCode::Signature
        | RefusalCode::OtherBody
        | RefusalCode::Newer => WijkError::Refused { detail },
    }
}

impl From<CommandError> for WijkError {
    fn from(error: CommandError) -> Self {
        let detail = error.to_string();
        match error {
            CommandError::NotJoined => Self::NotJoined,
            CommandError::AlreadyJoined { .. } => Self::AlreadyJoined,
            CommandError::OtherWijk { .. } => Self::Card { detail },
            CommandError::Unknown { .. }
            | CommandError::UnknownDevice { .. }
            | CommandError::NotFound { .. }
            | CommandError::Replaced { .. }
            | CommandError::AlreadyRevoked => Self::NotFound { detail },
            CommandError::NotOwn { .. }
            | CommandError::OtherDevice { .. }
            | CommandError::Role { .. }
            | CommandError::Refused { .. } => Self::NotAllowed { detail },
            CommandError::Length { .. }
            | CommandError::Range { .. }
            | CommandError::NotSealable { .. }
            | CommandError::Organisation
            | CommandError::Meeting(_) => Self::Invalid { detail },
            CommandError::NoKey { .. } => Self::NoKeyYet { detail },
            CommandError::Revoked => Self::Revoked,
            CommandError::Cloned => Self::Cloned,
            CommandError::NotSaved { cause } => store_again(&cause),
            CommandError::Replica(error) => error.into(),
            CommandError::Seal { .. } | CommandError::Document { .. } => Self::Unexpected { detail },
        }
    }
}

/// An error of the store that others hold too.
fn store_again(error: &StoreError) -> WijkError {
    match error {
        StoreError::Full { .. } => WijkError::NoSpace,
        StoreError::Busy { .. } => WijkError::InUse,
        StoreError::Closed { .. } => WijkError::Closed,
        StoreError::WrongKey { .. } => WijkError::Key { detail: error.to_string() },
        StoreError::Damaged { .. } | StoreError::Io { .. } => WijkError::Damaged { detail: error.to_string() },
        StoreError::Limit { .. } => WijkError::Unexpected { detail: error.to_string() },
    }
}
