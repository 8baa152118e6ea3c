//! What the program says when it can't go on: one line that names what is wrong and what to do, and an exit code.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;

use samenspraak_core::app::CommandError;
use samenspraak_core::replica::ReplicaError;
use samenspraak_core::store::StoreError;
use samenspraak_core::store::log::LogError;
use samenspraak_core::store::sealed::SealError;
use samenspraak_core::sync::phone::SessionError;
use samenspraak_core::sync::pieces::PieceError;
use samenspraak_core::sync::server::ServerError;
use samenspraak_core::vault::VaultError;

use crate::client::SyncError;

/// See the module. Exit code 2 is the command line's own (`clap`).
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// A check found differences or damage; it was printed already.
    #[error("{what}")]
    Found {
        /// A summary.
        what: String,
    },
    /// A check could not be finished, so nothing is known.
    #[error("{what}")]
    Stopped {
        /// What stopped it.
        what: String,
    },
    /// The folder holds no wijk, or no phone.
    #[error("{}: no {what} here; {hint}", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The folder isn't empty.
    #[error("{}: not empty; choose a new folder, nothing was changed", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A file can't be read or has another form.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The address is taken, or isn't ours.
    #[error(
        "cannot listen on {address}: {reason}; choose another with --listen, SAMENSPRAAK_LISTEN or `listen` in the configuration"
    )]
    Listen {
        /// The address.
        address: String,
        /// Why.
        reason: std::io::Error,
    },
    /// The configuration; everything that is wrong in it.
    #[error("{}; nothing was started: see server/docs/samenspraak.toml for what each setting means", problems.join("; "))]
    Config {
        /// What is wrong, each with where it came from.
        problems: Vec<String>,
    },
    /// The certificate, or its key.
    #[error("{}: {what}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sealed store of a device, or its key.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A replica.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The server below.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The server's log, read beside it.
    #[error(transparent)]
    Piece(#[from] PieceError),
    /// A command of the app.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The network.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// What was asked is done, and the answer could not be written.
    #[error("not all of the answer could be written: {0}; what was asked is done")]
    Unsaid(&'static std::io::Error),
    /// Phones are bringing back what the server lost, and root and board must not write yet.
    #[error("{}: phones are refilling this wijk; when enough of them came, say `samenspraak wijk refilled`", path.display())]
    Refilling {
        /// The folder.
        path: PathBuf,
    },
    /// An argument that only the data can judge.
    #[error("{0}")]
    Argument(String),
}

impl ProgramError {
    /// The program's exit code: 1 a check failed, 2 an argument, 3 data or disk, 4 network.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Found { .. } => 1,
            Self::Command(CommandError::NotSaved { .. } | CommandError::Replica(_)) => 3,
            Self::Argument(_)
            | Self::Config { .. }
            | Self::Tls { .. }
            | Self::Command(_)
            | Self::NotEmpty { .. }
            | Self::Refilling { .. }
            | Self::Sync(SyncError::Address { .. } | SyncError::Trust { .. } | SyncError::NotJoined) => 2,
            Self::Stopped { .. }
            | Self::Unsaid(_)
            | Self::NoFolder { .. }
            | Self::File { .. }
            | Self::Store(_)
            | Self::Seal(_)
            | Self::Replica(_)
            | Self::Server(_)
            | Self::Piece(_) => 3,
            Self::Listen { .. } | Self::Sync(_) => 4,
        }
    }

    /// What to do, where the message doesn't say so itself and no store is the cause.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File { .. } => Some("; nothing was changed: restore this file from a copy"),
            Self::Seal(SealError::KeyMissing { .. }) => {
                Some("; nothing was changed: put back the key file that belongs to this folder, nothing else opens it")
            }
            Self::Seal(SealError::Vault(error)) => vault_hint(error),
            Self::Sync(SyncError::Unreachable { .. } | SyncError::Broken { .. }) => {
                Some("; what was written is safe here: try again later, or see that the address is right")
            }
            Self::Sync(SyncError::NotJoined) => Some("; use `phone join` first"),
            Self::Sync(SyncError::Session(SessionError::OtherWijk)) => {
                Some("; what was written is safe here: sync with the address on this wijk's card")
            }
            _ => None,
        }
    }

    /// One line: what is wrong, its causes, and what to do about it.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause: Option<&dyn Error> = self.source();
        let mut store = store_error(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.contains(&text) {
                // Writing to a string can't fail.
                let _ = write!(line, ": {text}");
            }
            store = store.or_else(|| error.downcast_ref());
            cause = error.source();
        }
        line += store.and_then(store_hint).or_else(|| self.hint()).unwrap_or_default();
        line.replace('\n', " ")
    }
}

/// What to do about a key.
fn vault_hint(error: &VaultError) -> Option<&'static str> {
    match error {
        VaultError::Damaged { .. } | VaultError::Taken { .. } => {
            Some("; nothing was changed: restore this key file from a copy, nothing else opens the store")
        }
        VaultError::Exposed { .. } => {
            Some("; make it its owner's alone with `chmod 600`, on a disk that can tell users apart")
        }
        VaultError::Full { .. } => Some("; nothing was damaged: make room and try again"),
        VaultError::Locked { .. } => Some("; unlock it and try again"),
        VaultError::Io { .. } => Some("; see that this folder can be read and written, and try again"),
        VaultError::Name { .. } => None,
    }
}

/// What to do about a disk that is full, busy, damaged or locked.
fn store_hint(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::Full { .. } => Some("; nothing was damaged: make room and try again"),
        StoreError::Busy { .. } => Some("; stop the other program first"),
        StoreError::Damaged { .. } => {
            Some("; nothing was changed: run `samenspraak verify` on this folder, and restore a copy")
        }
        StoreError::Io { .. } => Some("; see that this folder can be read and written, and try again"),
        StoreError::WrongKey { .. } => Some("; nothing was changed: put back the key file that belongs to this folder"),
        StoreError::Closed { .. } | StoreError::Limit { .. } => None,
    }
}

fn store_error(error: &ProgramError) -> Option<&StoreError> {
    match error {
        ProgramError::Store(error)
        | ProgramError::Seal(SealError::Store(error))
        | ProgramError::Replica(ReplicaError::Store(error)) => Some(error),
        ProgramError::Server(
            ServerError::Replica(ReplicaError::Store(error)) | ServerError::Log(LogError::Store(error)),
        )
        | ProgramError::Piece(
            PieceError::Replica(ReplicaError::Store(error)) | PieceError::Log(LogError::Store(error)),
        )
        | ProgramError::Command(CommandError::Replica(ReplicaError::Store(error))) => Some(error),
        ProgramError::Command(CommandError::NotSaved { cause }) => Some(cause),
        _ => None,
    }
}
