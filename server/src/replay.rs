//! `replay`: a real conversation through phones and a server, compared voice by voice.

use std::path::PathBuf;

use clap::Args;

use crate::error::ProgramError;

/// `samenspraak replay …`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// What kind of conversation.
    pub kind: String,
    /// Its folder.
    pub folder: PathBuf,
}

/// Runs a replay.
///
/// # Errors
/// When anything differs.
pub async fn run(args: ReplayArgs) -> Result<(), ProgramError> {
    Err(ProgramError::Argument(format!("{} is not known", args.kind)))
}
