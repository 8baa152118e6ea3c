//! Frames: CBOR arrays whose first item is the frame's number. Every frame is bounded, and reading one allocates no more
//! than the frame itself is long, times a small constant.

mod codec;
mod frontier;

use super::ServerCertificate;
use crate::entry::{Run, Signature};
use crate::gate::Verdict;
use crate::model::{DeviceId, EntryId, SpaceId, SubjectId, WijkId};
use crate::replica::RunBatch;
use crate::store::log::{Epoch, LogHead};

/// Version of the protocol in the handshake.
pub const PROTOCOL_VERSION: u64 = 1;
/// Runs of one batch: as many devices as can have written in one piece of a log.
pub const RUNS_MAX: usize = 4096;
/// Chains that one frame of a frontier names: 300 KB, a third of a frame. A wijk has some thousands of devices.
pub const FRONTIER_CHAINS_MAX: usize = 4096;
/// Missing bodies that are asked for at once. Holes are few: what is more than this is asked for on the next connection.
pub const HOLES_MAX: usize = 1024;

/// One line of a receipt: what the server says of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptLine {
    /// The entry.
    pub id: EntryId,
    /// Its number in the space's log.
    pub number: u64,
    /// Day it was received, as days since 1 January 1970.
    pub day: u32,
    /// Whether its body counts.
    pub verdict: Verdict,
}

/// The server's word that entries are flushed to its disk and numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which push it answers.
    pub push: u64,
    /// The space.
    pub space: SpaceId,
    /// The epoch of the numbers.
    pub epoch: Epoch,
    /// One line for each entry, in the order they were pushed.
    pub lines: Vec<ReceiptLine>,
    /// Head of the log behind them.
    pub head: LogHead,
    /// Signature of the epoch key.
    pub signature: Signature,
}

/// Why a server did not take a push or a request. A code, so that the phone says it in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// The frame or a run has another form.
    Form,
    /// A signature is not the device's.
    Signature,
    /// Entries in between are missing; the phone sends from the head it is told.
    Gap,
    /// This device exists twice.
    Fork,
    /// The device does not belong to the wijk.
    NotMember,
    /// Another device used the card.
    CardUsed,
    /// The card isn't known.
    CardUnknown,
    /// A hash was left out that the server can't compute; the phone sends it.
    UnknownSubject,
    /// A body isn't the one its header names.
    OtherBody,
    /// The server can't store anything now; the phone tries again later.
    NotNow,
    /// The phone may not read this space, or nobody may write there.
    NotReadable,
    /// The card was withdrawn before anybody used it.
    CardWithdrawn,
    /// This device, or its person, no longer belongs.
    Revoked,
    /// A reason of a newer server.
    Newer,
}

const REFUSALS: [RefusalCode; 13] = [
    RefusalCode::Form,
    RefusalCode::Signature,
    RefusalCode::Gap,
    RefusalCode::Fork,
    RefusalCode::NotMember,
    RefusalCode::CardUsed,
    RefusalCode::CardUnknown,
    RefusalCode::UnknownSubject,
    RefusalCode::OtherBody,
    RefusalCode::NotNow,
    RefusalCode::NotReadable,
    RefusalCode::CardWithdrawn,
    RefusalCode::Revoked,
];

impl RefusalCode {
    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> u64 {
        REFUSALS.iter().position(|code| *code == self).map_or(REFUSALS.len() as u64, |at| at as u64)
    }

    fn from_number(number: u64) -> Self {
        usize::try_from(number).ok().and_then(|at| REFUSALS.get(at).copied()).unwrap_or(Self::Newer)
    }
}

/// How one item of a log travels in a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceLine {
    /// The next entry of this run.
    Next(u32),
    /// An entry that came before and was judged anew.
    Again(EntryId),
}

/// A piece of a log: runs, and the items in log order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The space.
    pub space: SpaceId,
    /// The epoch.
    pub epoch: Epoch,
    /// Number of the first item.
    pub from: u64,
    /// The runs.
    pub runs: Vec<Run>,
    /// The items in log order.
    pub lines: Vec<PieceLine>,
    /// Day and verdict of the items: how many, day, verdict; the counts add up to the number of items.
    pub facts: Vec<(u64, u32, Verdict)>,
}

/// Where one device's chain stands: what a frontier is made of. Headers count, whatever became of the bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Whose chain.
    pub device: DeviceId,
    /// Sequence number of its last entry.
    pub seq: u64,
    /// That entry.
    pub id: EntryId,
}

/// How far an erasure reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Devices that may read the space now.
    pub devices: u64,
    /// Those of them that said that it is no longer on their disks.
    pub confirmed: u64,
}

/// Everything that is said on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Server: who it is, and a nonce to prove oneself against.
    Hello {
        /// The wijk.
        wijk: WijkId,
        /// Who it is.
        certificate: ServerCertificate,
        /// 32 random bytes of this connection.
        nonce: [u8; 32],
    },
    /// Phone: who it is.
    Prove {
        /// The device.
        device: DeviceId,
        /// Its signature over the nonce.
        signature: Signature,
    },
    /// Phone: send what comes after the cursor, and then whatever comes new.
    Subscribe {
        /// The space.
        space: SpaceId,
        /// Epoch of the cursor.
        epoch: Epoch,
        /// What was delivered so far.
        cursor: LogHead,
    },
    /// Phone: take these.
    Push {
        /// Number of this push on the connection; the answer names it.
        push: u64,
        /// The space.
        space: SpaceId,
        /// The runs.
        batch: RunBatch,
    },
    /// Server: taken, flushed, numbered.
    Receipt(Receipt),
    /// Server: not taken.
    Refused {
        /// Which push, or `None` for a subscription.
        push: Option<u64>,
        /// The space.
        space: SpaceId,
        /// Why.
        code: RefusalCode,
        /// For gaps and forks: where the chain of the device stands at the server. For "not now": after how many seconds it can
        /// help to try again, where that is known.
        expected_seq: Option<u64>,
    },
    /// Server: a piece of a log.
    Piece(Piece),
    /// Server: this is all there is for now.
    Current {
        /// The space.
        space: SpaceId,
        /// The epoch.
        epoch: Epoch,
        /// Head of the log.
        head: LogHead,
        /// Signature of the epoch key.
        signature: Signature,
    },
    /// Server: the cursor does not fit this log; begin again from nothing in this epoch.
    Restart {
        /// The space.
        space: SpaceId,
        /// The epoch that counts.
        epoch: Epoch,
    },
    /// Either: I stop now.
    Bye,
    /// Phone: an envelope for the server's own eyes, with something sealed in it that it appends without saying from whom.
    Drop {
        /// Number of this drop on the connection; the answer names it.
        drop: u64,
        /// The envelope.
        envelope: Vec<u8>,
    },
    /// Server: what was in the envelope is flushed; it will be appended with others.
    Dropped {
        /// Which.
        drop: u64,
        /// Hash of what was in it.
        digest: [u8; 32],
        /// Day it was received, as days since 1 January 1970.
        day: u32,
        /// Signature of the epoch key.
        signature: Signature,
    },
    /// Server: not taken.
    DropRefused {
        /// Which.
        drop: u64,
        /// Why.
        code: RefusalCode,
    },
    /// Phone: what was erased in this log before this number is no longer on my disk. Only said when something was.
    Confirm {
        /// The space.
        space: SpaceId,
        /// The epoch of the number.
        epoch: Epoch,
        /// Number of the next item.
        next: u64,
    },
    /// Server: that is kept.
    Confirmed {
        /// The space.
        space: SpaceId,
        /// As it was said.
        next: u64,
    },
    /// Phone: how many devices confirmed this erasure?
    AskErased {
        /// The space.
        space: SpaceId,
        /// What was erased.
        subject: SubjectId,
    },
    /// Server: so many. Never which.
    Erased {
        /// The space.
        space: SpaceId,
        /// What was erased.
        subject: SubjectId,
        /// How far; nothing when this server knows of no such erasure.
        reach: Option<Reach>,
    },
    /// Server: a long piece of a log, packed and compressed ([`super::segment`]). Stands for a [`Frame::Piece`].
    Segment {
        /// The space.
        space: SpaceId,
        /// The epoch.
        epoch: Epoch,
        /// Number of the first item.
        from: u64,
        /// The compressed bytes.
        packed: Vec<u8>,
    },
    /// Phone: where the chains of this space stand here, at most [`FRONTIER_CHAINS_MAX`] of them. Each is answered by one
    /// `Wanted`, in order.
    Frontier {
        /// The space.
        space: SpaceId,
        /// The chains, each device once.
        chains: Vec<ChainHead>,
        /// Whether these are the last ones of this space.
        last: bool,
    },
    /// Server: what it lacks of the chains that a phone named.
    Wanted {
        /// The space.
        space: SpaceId,
        /// Chains that end earlier here, and the first sequence number that is missing.
        chains: Vec<(DeviceId, u64)>,
        /// Entries whose bodies are missing here without having been erased, at most [`HOLES_MAX`]; in the answer to the last
        /// `Frontier` only.
        holes: Vec<EntryId>,
        /// Whether this answers the last one.
        last: bool,
    },
    /// Phone: you signed this head of your log once, and now you don't have it.
    Shown {
        /// The space.
        space: SpaceId,
        /// The epoch.
        epoch: Epoch,
        /// The head.
        head: LogHead,
        /// The signature that came with it.
        signature: Signature,
    },
    /// Phone: a person here looks at this in the space `open`, or no longer at anything. Holds for this connection, is stored
    /// nowhere and told to others as a number only.
    Attend {
        /// What; nothing when the person went on.
        subject: Option<SubjectId>,
        /// Whether the person writes.
        writes: bool,
    },
    /// Server: so many devices look at what this phone attends, itself included. Never which. Every `Attend` is answered by one at
    /// once, so that a phone knows that the line lives; others follow when the number changes.
    Attending {
        /// What; nothing when the phone attends nothing, or may not.
        subject: Option<SubjectId>,
        /// How many look at it.
        present: u64,
        /// How many of them write.
        writing: u64,
    },
}

impl Frame {
    /// A refusal that says when it can help to try again.
    #[must_use]
    pub fn not_now(push: Option<u64>, space: SpaceId, wait: std::time::Duration) -> Self {
        // A wait of less than a second is one: a phone's clock of tries has no smaller step.
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        Self::Refused { push, space, code: RefusalCode::NotNow, expected_seq: Some(seconds) }
    }
}

impl Piece {
    /// Day and verdict of each item, in order.
    pub fn items(&self) -> impl Iterator<Item = (PieceLine, u32, Verdict)> + '_ {
        let facts = self.facts.iter().flat_map(|(count, day, verdict)| {
            let count = usize::try_from(*count).unwrap_or(usize::MAX).min(self.lines.len());
            std::iter::repeat_n((*day, *verdict), count)
        });
        self.lines.iter().zip(facts).map(|(line, (day, verdict))| (*line, day, verdict))
    }

    /// The runs as a batch for the gate. They leave the piece: a segment's are some megabytes.
    #[must_use]
    pub fn take_batch(&mut self) -> RunBatch {
        let order = self.lines.iter().filter_map(|line| match line {
            PieceLine::Next(run) => Some(*run),
            PieceLine::Again(_) => None,
        });
        RunBatch { order: order.collect(), runs: std::mem::take(&mut self.runs) }
    }
}
