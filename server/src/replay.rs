//! `replay`: a whole conversation through phones and a server, with deaths on the way, compared voice by voice.
//!
//! Every participant gets a replica of the core and a card, joins offline, and writes and votes offline in batches as the
//! timestamps say; between batches it syncs over a WebSocket with a `serve` process of this same program. Phones with a disk
//! write in a process of their own that is killed (`worker`), and are dropped without closing; the server is killed at moments
//! counted in events. At the end every cell is compared on the server, on every phone, and once more from every disk.
//!
//! A seed repeats the schedule: who has a disk, where batches end, who dies when, and after how many events the server is
//! killed. It does not repeat the interleaving of threads, nor the ids of the wijk, which are random each time.
//!
//! Where to look: `input` reads, `schedule` orders, `play` performs with `phone`, `worker` and `process`, `compare` judges.

mod compare;
mod input;
mod phone;
mod play;
mod process;
mod schedule;
pub mod seeded;
mod server_copy;
mod show;
mod synthetic;
mod tamper;
mod temporary;
mod worker;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::error::ProgramError;
use input::Conversation;

/// `samenspraak replay …`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Which conversation.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A real conversation, in the export format of Polis.
    Polis {
        /// Folder with comments.csv, votes.csv and participants-votes.csv.
        folder: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// A smaller conversation, made up from the seed.
    Synthetic {
        #[command(flatten)]
        options: Options,
    },
    /// A phone that waits to be killed; the replay starts it.
    #[command(hide = true)]
    Worker {
        /// Its store.
        folder: PathBuf,
    },
}

/// How a conversation is replayed.
#[derive(Clone, Copy, Debug, Args)]
struct Options {
    /// The same seed gives the same schedule.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Change one voice on one phone after its last sync; the replay must notice.
    #[arg(long)]
    tamper: bool,
    /// How often the server is killed.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(..=100))]
    kills: u32,
    /// Keep the temporary folder with all stores and say where it is.
    #[arg(long)]
    keep: bool,
}

/// Runs a replay.
///
/// # Errors
/// [`ProgramError::Found`] when anything is lost or differs; others when the replay itself can't go on.
pub async fn run(args: ReplayArgs) -> Result<(), ProgramError> {
    let (conversation, options) = match args.what {
        What::Worker { folder } => return worker::run(&folder).await,
        What::Polis { folder, options } => (input::read(&folder)?, options),
        What::Synthetic { options } => (synthetic::generate(options.seed), options),
    };
    tokio::select! {
        result = whole(conversation, options) => result,
        _ = tokio::signal::ctrl_c() => Err(ProgramError::Stopped { what: "replay: interrupted".into() }),
    }
}

async fn whole(conversation: Conversation, options: Options) -> Result<(), ProgramError> {
    let summary = play::play(conversation, options).await?;
    summary.print();
    if summary.is_clean() { Ok(()) } else { Err(ProgramError::Found { what: summary.complaint() }) }
}
