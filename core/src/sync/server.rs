//! The server's side: one [`Server`] that admits and numbers, and one [`Session`] a connection.
//!
//! Both are state machines. The shell gives pushes of many connections to [`Server::admit`] in groups, so that one flush
//! serves all of them, and sends nothing that [`Server`] has not committed.

mod drops;
mod epoch;
mod erasure;
mod receipt;
mod refill;
mod session;
mod word;

pub use drops::{DROPS_PER_DEVICE_MAX, DropJob, HELD_MAX, RELEASE_AT};
pub use epoch::was_begun;
pub use erasure::Confirmation;
pub use session::{ServerEffect, Session};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pieces::{PieceError, PieceReader};
use super::wire::{Frame, RefusalCode};
use super::{ServerCertificate, epoch_message, head_message};
use crate::entry::Payload;
use crate::entry::run::RunError;
use crate::entry::sign::Key;
use crate::gate::limits::{
    BATCH_ENTRIES_MAX, ENTRY_ENVELOPE_BYTES, PUSH_BYTES_MAX, PUSH_ENTRIES_MAX, RELAYED_BYTES_MAX,
};
use crate::membership::Members;
use crate::model::{DeviceId, SpaceId, WijkId};
use crate::replica::{Admitted, BatchRefusal, News, Replica, ReplicaError, RunBatch, Side};
use crate::store::Store;
use crate::store::log::{Append, Epoch, Log, LogError, LogHead, LogItem, StoreLog};

/// Why a server stops.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its replica.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// Its log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What it sends of its logs.
    #[error(transparent)]
    Piece(#[from] PieceError),
}

impl From<crate::store::StoreError> for ServerError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Replica(error.into())
    }
}

/// The keys of a server: its identity, and the key of the present epoch.
#[derive(Clone, Debug)]
pub struct ServerKeys {
    /// Named by the root.
    pub identity: Key,
    /// Certified by the identity.
    pub epoch_key: Key,
    /// The epoch.
    pub epoch: Epoch,
}

impl ServerKeys {
    /// What a `Hello` says of them.
    #[must_use]
    pub fn certificate(&self, wijk: WijkId) -> ServerCertificate {
        let epoch_key = self.epoch_key.id();
        let signature = self.identity.sign(&epoch_message(wijk, &self.epoch, epoch_key));
        ServerCertificate { identity: self.identity.id(), epoch: self.epoch, epoch_key, signature }
    }

    /// Reads pieces of the logs of their epoch in a server's store, before or beside the server.
    #[must_use]
    pub fn reader(&self, wijk: WijkId, store: Arc<dyn Store>) -> PieceReader {
        let log = StoreLog::new(Arc::clone(&store), wijk, self.epoch);
        PieceReader::new(store, Arc::new(log), self.epoch)
    }

    /// Signs heads, before or beside the server.
    #[must_use]
    pub fn signer(&self, wijk: WijkId) -> HeadSigner {
        HeadSigner { wijk, keys: self.clone() }
    }
}

/// Signs heads of logs.
#[derive(Clone, Debug)]
pub struct HeadSigner {
    wijk: WijkId,
    keys: ServerKeys,
}

impl HeadSigner {
    /// A signed head of a log.
    #[must_use]
    pub fn current(&self, space: SpaceId, head: LogHead) -> Frame {
        let message = head_message(self.wijk, space, &self.keys.epoch, &head);
        Frame::Current { space, epoch: self.keys.epoch, head, signature: self.keys.epoch_key.sign(&message) }
    }
}

/// A push that waits to be admitted.
#[derive(Debug)]
pub struct PushJob {
    /// Number of the push on its connection.
    pub push: u64,
    /// The space.
    pub space: SpaceId,
    /// The runs.
    pub batch: RunBatch,
}

/// See the module.
pub struct Server {
    replica: Replica,
    log: Arc<dyn Log>,
    keys: ServerKeys,
    /// Drops that are held, and how many each device brought since the last release. In memory only: on disk nothing says who.
    held: usize,
    dropped_by: BTreeMap<DeviceId, usize>,
}

impl Server {
    /// Opens a server over its store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn open(wijk: WijkId, keys: ServerKeys, store: Arc<dyn Store>) -> Result<Self, ServerError> {
        Self::over(Replica::open(wijk, Side::Server, store)?, keys)
    }

    /// Opens a server around the members that were read from its store before ([`Replica::members_in`]); nobody may have written
    /// to it since.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn open_around(members: Members, keys: ServerKeys, store: Arc<dyn Store>) -> Result<Self, ServerError> {
        Self::over(Replica::open_around(members, Side::Server, store)?, keys)
    }

    fn over(replica: Replica, keys: ServerKeys) -> Result<Self, ServerError> {
        let log = Arc::new(StoreLog::new(Arc::clone(replica.store()), replica.wijk(), keys.epoch));
        let mut server = Self { replica, log, keys, held: 0, dropped_by: BTreeMap::new() };
        server.count_held()?;
        Ok(server)
    }

    /// Who belongs.
    #[must_use]
    pub fn members(&self) -> &Members {
        self.replica.members()
    }

    /// The replica below.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Reads pieces beside the server, without holding it up.
    #[must_use]
    pub fn reader(&self) -> PieceReader {
        PieceReader::new(Arc::clone(self.replica.store()), Arc::clone(&self.log), self.keys.epoch)
    }

    /// What it says of itself.
    #[must_use]
    pub fn certificate(&self) -> ServerCertificate {
        self.keys.certificate(self.replica.wijk())
    }

    /// Signs heads beside the server, without holding it up.
    #[must_use]
    pub fn signer(&self) -> HeadSigner {
        self.keys.signer(self.replica.wijk())
    }

    /// A signed head of a log.
    #[must_use]
    pub fn current(&self, space: SpaceId, head: LogHead) -> Frame {
        self.signer().current(space, head)
    }

    /// Admits pushes and commits them together. One answer for each, in order; answers may be sent, for what they say is
    /// durable. Also returns the spaces whose log grew.
    ///
    /// # Errors
    /// When the commit failed. Then nothing was acknowledged, and the server must be opened again before it goes on.
    pub fn admit(&mut self, jobs: &[PushJob], day: u32) -> Result<(Vec<Frame>, Vec<SpaceId>), ServerError> {
        let mut results = Vec::with_capacity(jobs.len());
        let mut appends: BTreeMap<SpaceId, Append> = BTreeMap::new();
        for job in jobs {
            let result = match fits_a_piece(&job.batch) {
                true => self.replica.admit(job.space, &job.batch),
                false => Err(BatchRefusal::Form),
            };
            if let Err(BatchRefusal::Replica(error)) = result {
                return Err(error.into());
            }
            if let Ok(admitted) = &result {
                self.number(admitted, day, &mut appends)?;
            }
            for said in self.answer_to(job, &result)? {
                self.number(&said, day, &mut appends)?;
            }
            results.push(result);
        }
        if let Some(said) = self.present_itself()? {
            self.number(&said, day, &mut appends)?;
        }
        let rows = self.replica.take_rows();
        let appends: Vec<Append> = appends.into_values().collect();
        if !rows.is_empty() || !appends.is_empty() {
            self.log.append(&appends, rows)?;
        }
        self.replica.committed();
        let fresh = self.fresh_lines(&appends)?;
        let answers = jobs.iter().zip(results).map(|(job, result)| match result {
            Ok(admitted) => self.receipt(job, &admitted, &fresh),
            Err(refusal) => Ok(refused(job, &refusal)),
        });
        Ok((answers.collect::<Result<_, _>>()?, appends.iter().map(|append| append.space).collect()))
    }

    /// What the server itself has to say about a push.
    fn answer_to(
        &mut self,
        job: &PushJob,
        result: &Result<Admitted, BatchRefusal>,
    ) -> Result<Vec<Admitted>, ServerError> {
        match result {
            Ok(admitted) => self.follow_up(admitted),
            Err(BatchRefusal::CardUsed | BatchRefusal::CardWithdrawn) => {
                let cards: Vec<_> = word::cards_of(&job.batch).collect();
                let said = cards.into_iter().map(|card| self.settle(job.space, card));
                said.filter_map(Result::transpose).collect()
            }
            Err(BatchRefusal::Fork { device, seq }) => {
                Ok(self.settle_fork(job.space, *device, *seq)?.into_iter().collect())
            }
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Gives what was admitted its numbers in the logs.
    fn number(
        &self,
        admitted: &Admitted,
        day: u32,
        appends: &mut BTreeMap<SpaceId, Append>,
    ) -> Result<(), ServerError> {
        for (space, items) in items_of(admitted, day) {
            let append = match appends.entry(space) {
                std::collections::btree_map::Entry::Occupied(slot) => slot.into_mut(),
                std::collections::btree_map::Entry::Vacant(slot) => {
                    let expected_next = self.log.head(space)?.next;
                    slot.insert(Append { space, expected_next, pushes: Vec::new() })
                }
            };
            append.pushes.push(items);
        }
        Ok(())
    }
}

/// Whether a push stays within what can be read again as a part of one piece. Honest phones stay far below with what they
/// wrote; a push with an order carries what others wrote, and can be cut in fewer places.
fn fits_a_piece(batch: &RunBatch) -> bool {
    let entries = || batch.runs.iter().flat_map(|run| &run.entries);
    let bytes = entries().map(|entry| {
        let body = match &entry.payload {
            Payload::Creating { body } | Payload::Following { body, .. } => body.len(),
            Payload::Stub { .. } => 0,
        };
        body + entry.extra.iter().map(|extra| extra.value.len()).sum::<usize>()
    });
    let (count, bytes) = (entries().count(), bytes.sum::<usize>());
    match batch.order.is_empty() {
        true => count <= PUSH_ENTRIES_MAX && bytes <= PUSH_BYTES_MAX,
        false => count <= BATCH_ENTRIES_MAX && bytes + count * ENTRY_ENVELOPE_BYTES <= RELAYED_BYTES_MAX,
    }
}

/// The log items of one push, by space: what was placed, and what was judged anew because of it. Readers may cut behind each
/// of the lists, so none is longer than a push. What was placed is one list: only at its end every run is signed.
fn items_of(admitted: &Admitted, day: u32) -> Vec<(SpaceId, Vec<LogItem>)> {
    let mut lists: Vec<(SpaceId, Vec<LogItem>)> = Vec::new();
    for (outcomes, longest) in [(&admitted.entries, BATCH_ENTRIES_MAX), (&admitted.woken, PUSH_ENTRIES_MAX)] {
        let mut by_space: BTreeMap<SpaceId, Vec<LogItem>> = BTreeMap::new();
        for outcome in outcomes.iter().filter(|outcome| outcome.news != News::Known) {
            let again = outcome.news == News::Again;
            let item = LogItem { id: outcome.id, day, verdict: outcome.verdict, again };
            by_space.entry(outcome.place.space).or_default().push(item);
        }
        for (space, items) in by_space {
            lists.extend(items.chunks(longest).map(|items| (space, items.to_vec())));
        }
    }
    lists
}

fn refused(job: &PushJob, refusal: &BatchRefusal) -> Frame {
    let (code, expected_seq) = match refusal {
        BatchRefusal::Form | BatchRefusal::Run(RunError::Body { .. }) => (RefusalCode::Form, None),
        BatchRefusal::Run(RunError::UnknownSubject(_)) => (RefusalCode::UnknownSubject, None),
        BatchRefusal::Run(RunError::OtherBody { .. }) => (RefusalCode::OtherBody, None),
        BatchRefusal::Signature { .. } => (RefusalCode::Signature, None),
        BatchRefusal::Gap { expected, .. } => (RefusalCode::Gap, Some(*expected)),
        BatchRefusal::Fork { seq, .. } => (RefusalCode::Fork, Some(*seq)),
        BatchRefusal::NotMember { .. } => (RefusalCode::NotMember, None),
        BatchRefusal::CardUsed => (RefusalCode::CardUsed, None),
        BatchRefusal::CardUnknown => (RefusalCode::CardUnknown, None),
        BatchRefusal::CardWithdrawn => (RefusalCode::CardWithdrawn, None),
        BatchRefusal::Revoked { .. } => (RefusalCode::Revoked, None),
        BatchRefusal::Quota { .. } | BatchRefusal::Replica(_) => (RefusalCode::NotNow, None),
    };
    Frame::Refused { push: Some(job.push), space: job.space, code, expected_seq }
}
