//! The one writer: takes pushes of all connections, admits as many as wait, flushes once, and answers.
//!
//! Bounded: when the queue is full, connections wait, and with them the phones that send. A full disk refuses pushes with
//! "not now" and goes on when there is room; any other failure of the store stops the server, for what it can't flush it
//! must not promise. What a push erased is noted outside the store before it is answered, and its bytes leave the files later
//! (`scrub`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use samenspraak_core::membership::Members;
use samenspraak_core::model::{SpaceId, WijkId};
use samenspraak_core::replica::ReplicaError;
use samenspraak_core::store::StoreError;
use samenspraak_core::store::log::LogError;
use samenspraak_core::sync::server::{Confirmation, DropJob, PushJob, RELEASE_AT, Server, ServerError, ServerKeys};
use samenspraak_core::sync::wire::{Frame, RefusalCode};
use tokio::sync::{mpsc, oneshot, watch};

use crate::client::entropy;
use crate::date::today;
use crate::epoch::{Ready, note_heads};
use crate::error::ProgramError;
use crate::folder::Folder;
use crate::scrub::Scrubber;
use crate::segments::Packer;
use crate::serve::feed::Feed;
use crate::server_store::ServerStore;

use super::metrics::Metrics;

/// Pushes that may wait. A push is at most a frame (1 MiB), usually a few KiB.
const QUEUE_MAX: usize = 256;
/// Pushes that one flush serves at most, so that the first of them doesn't wait long.
const GROUP_MAX: usize = 64;
/// A group of pushes takes milliseconds, on a poor disk a second. A writer that is busy for longer hangs, or waits for the index
/// of a large store: no place to send phones to.
pub const BUSY_MAX: Duration = Duration::from_secs(30);
/// Building the index of the largest store takes minutes, and ending the process would begin it again. A writer that is busy for
/// longer than this only a new start can help.
pub const HANGS_AFTER: Duration = Duration::from_secs(15 * 60);
/// How long a stopping server waits for the last flush.
const LAST_FLUSH: Duration = Duration::from_secs(30);

struct Waiting {
    job: PushJob,
    answer: oneshot::Sender<Frame>,
}

/// What the writer is asked for.
enum Work {
    Push(Waiting),
    Drop {
        job: DropJob,
        answer: oneshot::Sender<Frame>,
    },
    /// A device confirms erasures.
    Confirm {
        said: Confirmation,
        answer: oneshot::Sender<Frame>,
    },
    /// Append what is held.
    Release,
}

/// See the module.
pub struct Writer {
    queue: Mutex<Option<mpsc::Sender<Work>>>,
    members: Arc<RwLock<Arc<Members>>>,
    grown: watch::Receiver<u64>,
    failed: watch::Receiver<bool>,
    is_open: watch::Receiver<bool>,
    flushes: Arc<AtomicU64>,
    busy_since: Arc<Mutex<Option<Instant>>>,
    ended: Mutex<Option<oneshot::Receiver<Option<ProgramError>>>>,
}

struct Thread {
    server: Server,
    wijk: WijkId,
    keys: ServerKeys,
    store: Arc<ServerStore>,
    scrubber: Scrubber,
    feed: Arc<Feed>,
    packer: Arc<Packer>,
    members: Arc<RwLock<Arc<Members>>>,
    grown: watch::Sender<u64>,
    flushes: Arc<AtomicU64>,
    busy_since: Arc<Mutex<Option<Instant>>>,
    metrics: Arc<Metrics>,
    /// Behind the highest number that was receipted in each space, to count what is new.
    counted: BTreeMap<SpaceId, u64>,
}

impl Writer {
    /// Starts the writer's thread, which opens the server first: until then pushes wait, and phones read.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(
        Ready { keys, members }: Ready,
        folder: &Folder,
        store: Arc<ServerStore>,
        (feed, packer, metrics): (Arc<Feed>, Arc<Packer>, Arc<Metrics>),
    ) -> Result<Self, ProgramError> {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let members = Arc::new(members);
        let shown = Arc::new(RwLock::new(Arc::clone(&members)));
        let (grown_sender, grown) = watch::channel(0);
        let (failed_sender, failed) = watch::channel(false);
        let (opening, is_open) = watch::channel(false);
        let (ended_sender, ended) = oneshot::channel();
        let (flushes, busy_since) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Some(Instant::now()))));
        let (root, path) = (folder.clone(), folder.path().to_owned());
        let scrubber = Scrubber::start(store.rows(), move || crate::wijk::erase_in_root(&root))?;
        let wijk = folder.wijk()?;
        let (flushed, busy, served) = (Arc::clone(&flushes), Arc::clone(&busy_since), Arc::clone(&shown));
        let open = move || -> Result<Thread, ProgramError> {
            let server = Server::open_around(Members::clone(&members), keys.clone(), store.rows())?;
            drop(members);
            match note_heads(&path, store.rows().as_ref(), &keys.epoch) {
                // Phones are told so when they push; the next start looks further back.
                Err(ProgramError::Store(StoreError::Full { .. })) => {
                    tracing::warn!("the disk is full: it is not noted where the logs stand");
                }
                noted => noted?,
            }
            Ok(Thread {
                server,
                wijk,
                keys,
                store,
                scrubber,
                feed,
                packer,
                members: served,
                grown: grown_sender,
                flushes: flushed,
                busy_since: busy,
                metrics,
                counted: BTreeMap::new(),
            })
        };
        let work = move || {
            let failure = open().and_then(|thread| {
                thread.busy(None);
                opening.send_replace(true);
                thread.run(waiting).map_or(Ok(()), |error| Err(error.into()))
            });
            failed_sender.send_replace(failure.is_err());
            // Nobody waits for it when the program ends at once.
            let _ = ended_sender.send(failure.err());
        };
        std::thread::Builder::new().name("writer".into()).spawn(work).map_err(|source| {
            ProgramError::Store(StoreError::Io { place: "a thread for the writer".into(), source })
        })?;
        let (queue, ended) = (Mutex::new(Some(queue)), Mutex::new(Some(ended)));
        Ok(Self { queue, members: shown, grown, failed, is_open, flushes, busy_since, ended })
    }

    /// Whether it takes pushes already.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.is_open.borrow()
    }

    /// Waits until it takes pushes; for ever if it never does.
    pub fn opened(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut is_open = self.is_open.clone();
        async move {
            if is_open.wait_for(|is_open| *is_open).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Who belongs, as of the last flush.
    #[must_use]
    pub fn members(&self) -> Arc<Members> {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes whenever a log grew.
    #[must_use]
    pub fn grown(&self) -> watch::Receiver<u64> {
        self.grown.clone()
    }

    /// Flushes so far.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// Pushes that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().map_or(0, |queue| QUEUE_MAX.saturating_sub(queue.capacity()))
    }

    /// Why it takes no pushes, if that is so: it failed, ended, or has been busy with one thing for longer than `busy_max`.
    #[must_use]
    pub fn trouble(&self, busy_max: Duration) -> Option<String> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.failed.borrow() || queue.as_ref().is_none_or(mpsc::Sender::is_closed) {
            return Some("the writer ended".into());
        }
        let since = *self.busy_since.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = since.map(|since| since.elapsed()).filter(|busy| *busy > busy_max)?;
        Some(format!("the writer has been busy for {} s", busy.as_secs()))
    }

    /// Waits until the store fails.
    pub async fn failed(&self) {
        let mut failed = self.failed.clone();
        if failed.wait_for(|failed| *failed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Has a push admitted and flushed; returns the answer, or `None` when the server is stopping.
    pub async fn admit(&self, job: PushJob) -> Option<Frame> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let (answer, answered) = oneshot::channel();
        queue.send(Work::Push(Waiting { job, answer })).await.ok()?;
        drop(queue);
        answered.await.ok()
    }

    /// Has a drop taken and flushed; returns the answer, or `None` when the server is stopping.
    pub async fn take_drop(&self, job: DropJob) -> Option<Frame> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let (answer, answered) = oneshot::channel();
        queue.send(Work::Drop { job, answer }).await.ok()?;
        drop(queue);
        answered.await.ok()
    }

    /// Has a confirmation kept; returns the answer, or `None` when the server is stopping or has no room: then it is said
    /// again on the next connection.
    pub async fn confirm(&self, said: Confirmation) -> Option<Frame> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let (answer, answered) = oneshot::channel();
        queue.send(Work::Confirm { said, answer }).await.ok()?;
        drop(queue);
        answered.await.ok()
    }

    /// Has what is held appended now.
    pub async fn release(&self) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(queue) = queue {
            // A server that is stopping keeps what it holds on disk.
            let _ = queue.send(Work::Release).await;
        }
    }

    /// Takes no more pushes, flushes those that wait, and ends. Returns why it had failed, if it had.
    pub async fn stop(&self) -> Option<ProgramError> {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        match tokio::time::timeout(LAST_FLUSH, ended).await {
            Ok(Ok(failure)) => failure,
            _ => None,
        }
    }
}

impl Thread {
    fn busy(&self, since: Option<Instant>) {
        *self.busy_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn run(mut self, mut waiting: mpsc::Receiver<Work>) -> Option<ServerError> {
        while let Some(first) = waiting.blocking_recv() {
            self.busy(Some(Instant::now()));
            let (mut group, mut others) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(work) = next {
                match work {
                    Work::Push(push) => group.push(push),
                    other => others.push(other),
                }
                next = if group.len() + others.len() < GROUP_MAX { waiting.try_recv().ok() } else { None };
            }
            let done = if group.is_empty() { Ok(()) } else { self.admit(group) };
            if let Err(error) = done.and_then(|()| others.into_iter().try_for_each(|work| self.other(work))) {
                return Some(error);
            }
            self.metrics.drops_held.set(i64::try_from(self.server.held()).unwrap_or(i64::MAX));
            self.busy(None);
        }
        None
    }

    /// Counts the entries that got a number now.
    fn count(&mut self, frame: &Frame) {
        let Frame::Receipt(receipt) = frame else { return };
        let counted = self.counted.entry(receipt.space).or_insert_with(|| {
            // At the first push since the start: those before it in the log were counted by another run.
            let fresh = receipt.lines.iter().map(|line| line.number).min().unwrap_or(receipt.head.next);
            fresh.min(receipt.head.next)
        });
        let (before, fresh) = (*counted, receipt.lines.iter().filter(|line| line.number >= *counted).count());
        *counted = receipt.lines.iter().map(|line| line.number + 1).max().unwrap_or(before).max(before);
        self.metrics.entries.inc_by(fresh as u64);
    }

    fn other(&mut self, work: Work) -> Result<(), ServerError> {
        match work {
            Work::Push(push) => self.admit(vec![push]),
            Work::Drop { job, answer } => {
                let frame = match self.server.take_drop(&job, today()) {
                    Ok(frame) => frame,
                    Err(error) if is_full(&error) => Frame::DropRefused { drop: job.drop, code: RefusalCode::NotNow },
                    Err(error) => return Err(error),
                };
                let _ = answer.send(frame);
                if self.server.held() >= RELEASE_AT { self.release() } else { Ok(()) }
            }
            Work::Confirm { said, answer } => match self.server.confirm(&[said]) {
                Ok(frames) => {
                    // A connection that is gone says it again when it comes back.
                    let _ = frames.into_iter().next().map(|frame| answer.send(frame));
                    Ok(())
                }
                // Nothing was begun in memory, so the server goes on; nobody is told that it is kept.
                Err(error) if is_full(&error) => Ok(()),
                Err(error) => Err(error),
            },
            Work::Release => self.release(),
        }
    }

    /// Wakes the connections that follow logs, and has them packed.
    fn tell(&self, grown: &[SpaceId]) -> Result<(), ServerError> {
        if !grown.is_empty() {
            self.feed.grew(grown)?;
            self.grown.send_modify(|count| *count += 1);
            self.packer.grew(grown.iter().copied());
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), ServerError> {
        if self.server.held() == 0 {
            return Ok(());
        }
        match self.server.release(entropy(), today()) {
            Ok(grown) => {
                // What takes sealed input back comes by a drop as well. And what was held still stands in the files, in the
                // order in which it came.
                if self.store.note_erased()? {
                    self.feed.erased()?;
                }
                self.scrubber.is_due();
                self.tell(&grown)?;
                Ok(())
            }
            Err(error) if is_full(&error) => {
                tracing::warn!("the disk is full: sealed input is held until there is room");
                self.server = Server::open(self.wijk, self.keys.clone(), self.store.rows())?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn admit(&mut self, group: Vec<Waiting>) -> Result<(), ServerError> {
        let begun = Instant::now();
        let (jobs, answers): (Vec<PushJob>, Vec<_>) = group.into_iter().map(|w| (w.job, w.answer)).unzip();
        match self.server.admit(&jobs, today()) {
            Ok((frames, grown)) => {
                self.flushes.fetch_add(1, Ordering::Relaxed);
                self.metrics.flushed(begun.elapsed());
                frames.iter().for_each(|frame| self.count(frame));
                // Before anybody is told that it arrived.
                if self.store.note_erased()? {
                    self.feed.erased()?;
                    self.scrubber.is_due();
                }
                // Closed spaces say themselves who is in.
                if grown.iter().any(|space| *space == SpaceId::Members || space.is_closed()) {
                    let members = Arc::new(self.server.members().clone());
                    *self.members.write().unwrap_or_else(PoisonError::into_inner) = members;
                }
                self.tell(&grown)?;
                for (frame, answer) in frames.into_iter().zip(answers) {
                    // A connection that is gone asks again when it comes back.
                    let _ = answer.send(frame);
                }
                Ok(())
            }
            Err(error) if is_full(&error) => {
                tracing::warn!("the disk is full: pushes are refused until there is room");
                for (job, answer) in jobs.iter().zip(answers) {
                    let (push, space) = (Some(job.push), job.space);
                    let refused = Frame::Refused { push, space, code: RefusalCode::NotNow, expected_seq: None };
                    let _ = answer.send(refused);
                }
                // What was admitted in memory isn't on the disk: begin again from what is.
                self.server = Server::open(self.wijk, self.keys.clone(), self.store.rows())?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn is_full(error: &ServerError) -> bool {
    matches!(
        error,
        ServerError::Replica(ReplicaError::Store(StoreError::Full { .. }))
            | ServerError::Log(LogError::Store(StoreError::Full { .. }))
    )
}
