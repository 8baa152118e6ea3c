//! Which workloads are measured together, and how large each is.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::line::Workload;

/// How large everything is. The defaults are those of the peers' figures.
#[derive(Args, Clone, Debug)]
pub struct Sizes {
    /// Documents in the wijk
    #[arg(long, default_value_t = 1000)]
    pub docs: usize,
    /// Phones of a storm (W4)
    #[arg(long, default_value_t = 20)]
    pub phones: usize,
    /// Documents in the wijk of a storm (W4); at least one for each phone
    #[arg(long, default_value_t = 100)]
    pub storm_docs: usize,
    /// Phones of a live meeting (W5)
    #[arg(long, default_value_t = 40)]
    pub attending: usize,
    /// Those of them that write
    #[arg(long, default_value_t = 4)]
    pub writers: usize,
    /// Changes a second of each
    #[arg(long, default_value_t = 5)]
    pub hz: u32,
    /// How long they write, in seconds
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Writers whose acknowledgements are counted (W6)
    #[arg(long, default_value_t = 64)]
    pub lanes: usize,
    /// How long, in seconds
    #[arg(long, default_value_t = 5)]
    pub ack_seconds: u64,
    /// Starts of each kind (W7)
    #[arg(long, default_value_t = 20)]
    pub starts: usize,
    /// Phones of the live meeting beside readers that don't read (W8)
    #[arg(long, default_value_t = 20)]
    pub attending_hostile: usize,
    /// Readers that don't read
    #[arg(long, default_value_t = 50)]
    pub hostile: usize,
    /// Documents of the wijk whose server's memory is measured (W9)
    #[arg(long, default_value_t = 5000)]
    pub memory_docs: usize,
    /// Fresh phones that catch up there
    #[arg(long, default_value_t = 200)]
    pub catching_up: usize,
    /// Phones that are connected and quiet there
    #[arg(long, default_value_t = 2000)]
    pub idle: usize,
    /// Longest that one system may take for one group of workloads, in seconds
    #[arg(long, default_value_t = 900)]
    pub limit: u64,
}

impl Sizes {
    /// See `limit`.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.limit)
    }

    /// The same as words on a command line, for the programs of the peers.
    pub fn words(&self) -> Vec<String> {
        let pairs = [
            ("--docs", self.docs as u64),
            ("--phones", self.phones as u64),
            ("--storm-docs", self.storm_docs as u64),
            ("--attending", self.attending as u64),
            ("--writers", self.writers as u64),
            ("--hz", u64::from(self.hz)),
            ("--seconds", self.seconds),
            ("--lanes", self.lanes as u64),
            ("--ack-seconds", self.ack_seconds),
            ("--starts", self.starts as u64),
            ("--limit", self.limit),
        ];
        pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_string()]).collect()
    }

    /// A live meeting.
    pub fn meeting(&self) -> Size {
        Size { phones: self.attending, writers: self.writers, hz: self.hz, seconds: self.seconds }
    }
}

/// How large a meeting is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Phones in all.
    pub phones: usize,
    /// Those of them that write.
    pub writers: usize,
    /// Changes a second of each writer.
    pub hz: u32,
    /// How long they write.
    pub seconds: u64,
}

/// Workloads that share one life of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// W1, W2, W3.
    CatchUp,
    /// W7.
    Restart,
    /// W4.
    Storm,
    /// W5.
    Meeting,
    /// W6.
    Acknowledged,
    /// W8, ours only.
    Hostile,
    /// W9, ours only.
    Memory,
}

impl Group {
    /// All of them, in the order in which they are measured.
    pub const ALL: [Self; 7] =
        [Self::CatchUp, Self::Restart, Self::Storm, Self::Meeting, Self::Acknowledged, Self::Hostile, Self::Memory];

    /// Its name on a command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Its workloads.
    pub fn workloads(self) -> &'static [Workload] {
        match self {
            Self::CatchUp => &[Workload::W1, Workload::W2, Workload::W3],
            Self::Restart => &[Workload::W7],
            Self::Storm => &[Workload::W4],
            Self::Meeting => &[Workload::W5],
            Self::Acknowledged => &[Workload::W6],
            Self::Hostile => &[Workload::W8],
            Self::Memory => &[Workload::W9],
        }
    }

    /// Whether any of them is wanted.
    pub fn is_wanted(self, wanted: &[Workload]) -> bool {
        self.workloads().iter().any(|workload| wanted.contains(workload))
    }

    /// Phones in it.
    pub fn phones(self, sizes: &Sizes) -> usize {
        match self {
            Self::CatchUp | Self::Restart => 1,
            Self::Storm => sizes.phones,
            Self::Meeting => sizes.attending,
            Self::Acknowledged => sizes.lanes,
            Self::Hostile => sizes.attending_hostile,
            Self::Memory => sizes.idle,
        }
    }
}
