//! The server's side: one [`Server`] that admits and numbers, and one [`Session`] a connection.
//!
//! Both are state machines. The shell gives pushes of many connections to [`Server::admit`] in groups, so that one flush
//! serves all of them, and sends nothing that [`Server`] has not committed.

mod drops;
mod epoch;
mod erasure;
mod receipt;
mod refill;
mod word;

pub use drops::{DROPS_PER_DEVICE_MAX, DropJob, HELD_MAX, RELEASE_AT};
pub use epoch::was_begun;
pub use erasure::Confirmation;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pieces::{PieceError, PieceReader};
use super::wire::{Frame, RefusalCode};
use super::{ServerCertificate, epoch_message, head_message, prove_message};
use crate::entry::run::RunError;
use crate::entry::sign::{self, Key};
use crate::entry::{Payload, Signature};
use crate::gate::limits::{
    BATCH_ENTRIES_MAX, ENTRY_ENVELOPE_BYTES, PUSH_BYTES_MAX, PUSH_ENTRIES_MAX, RELAYED_BYTES_MAX,
};
use crate::membership::Members;
use crate::model::{DeviceId, SpaceId, SubjectId, WijkId};
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

/// What the shell of a connection does next.
#[derive(Debug)]
pub enum ServerEffect {
    /// Send this.
    Send(Frame),
    /// Give this to [`Server::admit`], and send its answer.
    Admit(PushJob),
    /// Give this to [`Server::take_drop`], and send its answer.
    Drop(DropJob),
    /// Give this to [`Server::confirm`], and send its answer.
    Confirm(Confirmation),
    /// A phone showed a head of this epoch's log that this server signed and doesn't have: its folder is an old copy, or another
    /// server runs on a copy of it. Begin a new epoch before writing anything more.
    WentBack(SpaceId, LogHead),
    /// This device looks at something, or at nothing any more: count it among those that do, and send it the number whenever
    /// that changes ([`Frame::Attending`]). Without this effect nobody is counted.
    Attend {
        /// What.
        subject: Option<SubjectId>,
        /// Whether a person writes there.
        writes: bool,
    },
    /// From now on send pieces of this space, beginning at this head, and a signed head whenever its end is reached.
    Follow(SpaceId, LogHead),
    /// End the connection; the text is for the server's own log and holds no personal data.
    Close(&'static str),
}

/// One connection at the server.
#[derive(Debug)]
pub struct Session {
    wijk: WijkId,
    certificate: ServerCertificate,
    nonce: [u8; 32],
    device: Option<DeviceId>,
    /// Frames of frontiers so far.
    frontiers: usize,
}

impl Session {
    /// Begins a connection: send the frame first. `nonce` is 32 fresh random bytes.
    #[must_use]
    pub fn begin(wijk: WijkId, certificate: ServerCertificate, nonce: [u8; 32]) -> (Self, Frame) {
        let hello = Frame::Hello { wijk, certificate: certificate.clone(), nonce };
        (Self { wijk, certificate, nonce, device: None, frontiers: 0 }, hello)
    }

    /// The device at the other end, once it proved itself.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// Takes the bytes of one frame.
    pub fn receive(&mut self, bytes: &[u8], members: &Members, reader: &PieceReader) -> Vec<ServerEffect> {
        match Frame::decode(bytes) {
            Err(_) => vec![ServerEffect::Close("a frame that can't be read")],
            Ok(frame) => self.frame(frame, members, reader),
        }
    }

    fn frame(&mut self, frame: Frame, members: &Members, reader: &PieceReader) -> Vec<ServerEffect> {
        let Some(device) = self.device else {
            let Frame::Prove { device, signature } = frame else {
                return vec![ServerEffect::Close("spoke before it proved who it is")];
            };
            let message = prove_message(self.wijk, self.certificate.epoch_key, &self.nonce);
            if !sign::verify(device, &message, &signature) {
                return vec![ServerEffect::Close("a proof that isn't the device's")];
            }
            self.device = Some(device);
            return Vec::new();
        };
        match frame {
            Frame::Push { push, space, batch } => {
                if batch.runs.iter().any(|run| run.entries.is_empty()) {
                    return vec![ServerEffect::Close("a run without entries")];
                }
                vec![ServerEffect::Admit(PushJob { push, space, batch })]
            }
            Frame::Subscribe { space, epoch, cursor } => self.subscribe(device, space, epoch, cursor, members, reader),
            Frame::Confirm { space, epoch, next } => self.confirm(Confirmation { device, space, next }, epoch, members),
            Frame::AskErased { space, subject } => {
                let may_ask = members.is_active(device);
                match may_ask.then(|| erasure::reach(members, reader, space, subject)).transpose().map(Option::flatten)
                {
                    Ok(reach) => vec![ServerEffect::Send(Frame::Erased { space, subject, reach })],
                    Err(_) => vec![ServerEffect::Close("the log can't be read")],
                }
            }
            Frame::Drop { drop, envelope } => vec![ServerEffect::Drop(DropJob { drop, envelope })],
            Frame::Frontier { space, chains, last } => self.frontier(device, space, &chains, last, members, reader),
            Frame::Shown { space, epoch, head, signature } => self.shown(space, epoch, head, &signature, reader),
            // Who may not read what it names learns nothing of who does.
            Frame::Attend { subject, writes } => match members.may_read(device, SpaceId::Open) {
                true => vec![ServerEffect::Attend { subject, writes }],
                false => Vec::new(),
            },
            Frame::Bye => vec![ServerEffect::Close("said goodbye")],
            _ => vec![ServerEffect::Close("a frame that only servers send")],
        }
    }

    fn confirm(&self, said: Confirmation, epoch: Epoch, members: &Members) -> Vec<ServerEffect> {
        if epoch != self.certificate.epoch {
            return vec![ServerEffect::Close("confirms another epoch")];
        }
        match members.may_read(said.device, said.space) {
            true => vec![ServerEffect::Confirm(said)],
            false => vec![refused_space(members, said.device, said.space)],
        }
    }

    fn frontier(
        &mut self,
        device: DeviceId,
        space: SpaceId,
        chains: &[super::wire::ChainHead],
        last: bool,
        members: &Members,
        reader: &PieceReader,
    ) -> Vec<ServerEffect> {
        self.frontiers += 1;
        if self.frontiers > refill::FRONTIERS_MAX {
            return vec![ServerEffect::Close("compares without end")];
        }
        match refill::wanted(members, reader, device, space, chains, last) {
            Ok(Some(frame)) => vec![ServerEffect::Send(frame)],
            Ok(None) => vec![refused_space(members, device, space)],
            Err(_) => vec![ServerEffect::Close("its own chains can't be read")],
        }
    }

    /// Only this server's own signature is believed: a phone can't make one up.
    fn shown(
        &self,
        space: SpaceId,
        epoch: Epoch,
        head: LogHead,
        signature: &Signature,
        reader: &PieceReader,
    ) -> Vec<ServerEffect> {
        let message = head_message(self.wijk, space, &epoch, &head);
        if epoch != self.certificate.epoch || !sign::verify(self.certificate.epoch_key, &message, signature) {
            return Vec::new();
        }
        let empty = LogHead::empty(self.wijk, space, &epoch);
        match reader.had_head(space, &empty, &head) {
            Ok(true) => Vec::new(),
            Ok(false) => vec![ServerEffect::WentBack(space, head)],
            Err(_) => vec![ServerEffect::Close("the log can't be read")],
        }
    }

    fn subscribe(
        &self,
        device: DeviceId,
        space: SpaceId,
        epoch: Epoch,
        cursor: LogHead,
        members: &Members,
        reader: &PieceReader,
    ) -> Vec<ServerEffect> {
        if !members.may_read(device, space) {
            return vec![refused_space(members, device, space)];
        }
        let empty = LogHead::empty(self.wijk, space, &self.certificate.epoch);
        let fits = || -> Result<bool, PieceError> {
            Ok(epoch == self.certificate.epoch && reader.had_head(space, &empty, &cursor)?)
        };
        match fits() {
            Ok(true) => vec![ServerEffect::Follow(space, cursor)],
            Ok(false) => {
                let restart = Frame::Restart { space, epoch: self.certificate.epoch };
                vec![ServerEffect::Send(restart), ServerEffect::Follow(space, empty)]
            }
            Err(_) => vec![ServerEffect::Close("the log can't be read")],
        }
    }
}

/// A space that a device may not read, or no longer.
fn refused_space(members: &Members, device: DeviceId, space: SpaceId) -> ServerEffect {
    let code = if members.is_revoked(device) { RefusalCode::Revoked } else { RefusalCode::NotReadable };
    ServerEffect::Send(Frame::Refused { push: None, space, code, expected_seq: None })
}
