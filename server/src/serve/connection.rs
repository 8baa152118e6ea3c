//! One connection: frames in, answers out, and pieces of the logs it follows.
//!
//! There is no queue per connection: what a slow phone hasn't read stays in the log, and the next piece is read when the
//! last one is on the line. So a slow reader costs little memory, whatever it is behind (`socket` says how little).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use samenspraak_core::model::SpaceId;
use samenspraak_core::replica::RunBatch;
use samenspraak_core::store::log::LogHead;
use samenspraak_core::sync::ServerCertificate;
use samenspraak_core::sync::server::{PushJob, ServerEffect, Session};
use samenspraak_core::sync::wire::{Frame, RefusalCode};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout};

use super::Shared;
use super::feed::Next;
use super::guests::{AddressPlace, Guest};
use super::limits::PROOF_BYTES_MAX;
use super::metrics::Metrics;
use super::opened::Opened;
use super::presence::Seat;
use super::quota::{Reserved, Stranger};
use super::socket::{Message, Socket};
use crate::client::entropy;

/// How long one frame may take to leave: a phone slower than this is told to come back.
const SEND_MAX: Duration = Duration::from_secs(60);
/// A quiet connection is asked for a sign of life this often.
const PING_EVERY: Duration = Duration::from_secs(30);
/// And is given up when nothing came for this long.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// How long after a log grew its head is sent signed, to those who have followed it for a while. One signature then stands for
/// a whole second of a meeting; who leaves before asks for it with the next connection.
const SIGN_AFTER: Duration = Duration::from_secs(1);
/// A frame of so many bytes is read in well under a tenth of a millisecond.
const SMALL_FRAME: usize = 4 * 1024;
/// How long a phone that was greeted waits for the store: after a kill in the middle of a wijk of 20,000 documents that takes a
/// third of a second, an index that is built anew takes minutes. Shorter than phones are patient with a silent server.
const OPEN_MAX: Duration = Duration::from_secs(30);
/// A phone is told how many look at the same thing at most this often: somebody who comes and goes without end costs the others
/// one small frame a second.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// A connection that hasn't proved itself by then is a stranger.
const PROVE_MAX: Duration = Duration::from_secs(15);

struct Followed {
    head: LogHead,
    /// The head that was last sent signed.
    signed: Option<LogHead>,
}

/// What a connection holds beside its socket: its places, and its quota while its device is no member.
pub(super) struct Visit {
    _guest: Arc<Guest>,
    _address: Option<AddressPlace>,
    /// Given back when the device has proved itself.
    unproven: Option<OwnedSemaphorePermit>,
    stranger: Stranger,
}

impl Visit {
    pub(super) fn new(guest: Arc<Guest>, address: Option<AddressPlace>, unproven: OwnedSemaphorePermit) -> Self {
        Self { _guest: guest, _address: address, unproven: Some(unproven), stranger: Stranger::default() }
    }
}

/// Counts a connection for as long as it is open, however it ends.
struct Open<'m>(&'m Metrics);

impl<'m> Open<'m> {
    fn count(metrics: &'m Metrics) -> Self {
        metrics.connected.inc();
        metrics.connections.inc();
        Self(metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

/// The line to a phone; what is said on it is counted.
struct Speaking<'s> {
    metrics: &'s Metrics,
    socket: Socket,
}

impl Speaking<'_> {
    async fn send(&mut self, frame: &Frame) -> Result<(), End> {
        self.metrics.answered(frame);
        self.send_message(Message::Binary(frame.encode().into())).await
    }

    async fn send_message(&mut self, message: Message) -> Result<(), End> {
        if let Message::Binary(bytes) = &message {
            self.metrics.bytes_out(bytes.len());
        }
        match timeout(SEND_MAX, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the line broke"),
            Err(_) => Err("too slow; catch up by cursor"),
        }
    }
}

struct Connection<'s> {
    shared: &'s Shared,
    opened: &'s Opened,
    line: Speaking<'s>,
    visit: Visit,
    session: Session,
    followed: BTreeMap<SpaceId, Followed>,
    /// When heads are to be signed that grew.
    sign_at: Option<Instant>,
    /// What the person at the phone looks at, and when it was last told how many do.
    seat: Option<Seat>,
    counted_at: Option<Instant>,
}

/// When the head of a log is sent signed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signing {
    /// At once: the phone asked for the log, and waits until it knows that this is all.
    Now,
    /// A moment later: the phone follows a log that grows, and each signed head costs it a signature and a flush.
    Soon,
}

/// Waits until then, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits until there is a number to be told, or for ever.
async fn count_changed(seat: &mut Option<Seat>, last: Option<Instant>) {
    match seat {
        Some(seat) => {
            if let Some(last) = last {
                tokio::time::sleep_until(last + COUNT_EVERY).await;
            }
            seat.changed().await;
        }
        None => std::future::pending().await,
    }
}

/// Why a connection ends. For the log, without personal data.
type End = &'static str;

/// Waits until the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server; should it be gone, the server has stopped.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Serves one connection until it ends.
pub(super) async fn run(shared: &Shared, socket: Socket, visit: Visit) {
    let _open = Open::count(&shared.metrics);
    let certificate = shared.opening.get().map_or(&shared.expected, |opened| &opened.certificate);
    let (session, hello) = Session::begin(shared.wijk, certificate.clone(), entropy());
    let mut line = Speaking { metrics: &shared.metrics, socket };
    let reason = match greet(shared, certificate, &mut line, &hello).await {
        Ok((opened, said)) => {
            let (followed, sign_at) = (BTreeMap::new(), None);
            let (seat, counted_at) = (None, None);
            let mut connection =
                Connection { shared, opened, line, visit, session, followed, sign_at, seat, counted_at };
            let reason = connection.serve(said).await;
            line = connection.line;
            reason
        }
        Err(reason) => reason,
    };
    tracing::debug!(reason, "connection ended");
    // The other side may be gone already.
    let _ = timeout(Duration::from_secs(1), line.socket.close(reason)).await;
}

/// Greets a phone, and waits until there is something to answer it from. Also returns what it said meanwhile, at most one
/// message: who is greeted has one thing to say.
async fn greet<'s>(
    shared: &'s Shared,
    certificate: &ServerCertificate,
    line: &mut Speaking<'_>,
    hello: &Frame,
) -> Result<(&'s Opened, Option<Message>), End> {
    line.send(hello).await?;
    let (mut stopping, mut said) = (shared.stopping.clone(), None);
    let opening = timeout(OPEN_MAX, shared.opening.wait());
    let mut opening = std::pin::pin!(opening);
    loop {
        let opened = tokio::select! {
            biased;
            opened = &mut opening => opened,
            () = stopped(&mut stopping) => return Err("the server stops"),
            message = line.socket.recv(), if said.is_none() => match message {
                Some(Ok(Message::Close(_))) | None => return Err("closed by the phone"),
                Some(Err(_)) => return Err("the line broke"),
                Some(Ok(message)) => {
                    said = matches!(message, Message::Binary(_)).then_some(message);
                    continue;
                }
            },
        };
        return match opened {
            // What the keys said when it was greeted; the store knew better.
            Ok(opened) if opened.certificate.epoch != certificate.epoch => Err("this server begins a new epoch"),
            Ok(opened) => Ok((opened, said)),
            Err(_) => {
                line.send(&Frame::Bye).await?;
                Err("the store is not open yet")
            }
        };
    }
}

impl Connection<'_> {
    async fn serve(&mut self, said: Option<Message>) -> End {
        let mut grown = self.opened.writer.grown();
        let mut stopping = self.shared.stopping.clone();
        let mut heard = Instant::now();
        let begun = Instant::now();
        // The first one later: a phone that only looks in must not pay for a ping and its answer.
        let mut ping = tokio::time::interval_at(begun + PING_EVERY, PING_EVERY);
        if let Some(Message::Binary(bytes)) = said
            && let Err(reason) = self.receive(&bytes).await
        {
            return reason;
        }
        loop {
            let step = tokio::select! {
                message = self.line.socket.recv() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Binary(bytes))) => self.receive(&bytes).await,
                        Some(Ok(Message::Close(_))) | None => Err("closed by the phone"),
                        Some(Ok(_)) => Ok(()),
                        Some(Err(_)) => Err("the line broke"),
                    }
                }
                changed = grown.changed() => match changed {
                    Ok(()) => self.pump(Signing::Soon).await,
                    Err(_) => Err("the server stops"),
                },
                () = stopped(&mut stopping) => {
                    let _ = self.line.send(&Frame::Bye).await;
                    Err("the server stops")
                }
                () = until(self.sign_at) => self.sign_all().await,
                () = count_changed(&mut self.seat, self.counted_at) => self.tell_count().await,
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        Err("silent for too long")
                    } else {
                        self.line.send_message(Message::Ping(Vec::new().into())).await
                    }
                }
                () = tokio::time::sleep_until(begun + PROVE_MAX), if self.session.device().is_none() => {
                    Err("did not prove who it is")
                }
            };
            if let Err(reason) = step {
                return reason;
            }
        }
    }

    async fn receive(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.shared.metrics.bytes_in(bytes.len());
        if self.session.device().is_none() && bytes.len() > PROOF_BYTES_MAX {
            return Err("too much before it proved who it is");
        }
        let members = self.opened.writer.members();
        let session = &mut self.session;
        let mut receive = || session.receive(bytes, &members, self.opened.feed.reader());
        // Making room for others takes longer than reading one change.
        let effects = if bytes.len() <= SMALL_FRAME { receive() } else { tokio::task::block_in_place(receive) };
        if self.session.device().is_some() {
            self.visit.unproven = None;
        }
        for effect in effects {
            match effect {
                ServerEffect::Send(frame) => self.line.send(&frame).await?,
                ServerEffect::Admit(job) => self.push(job, bytes.len()).await?,
                ServerEffect::Drop(job) => {
                    let frame = match self.may_push(bytes.len(), &RunBatch::default()).await {
                        Ok(_) => self.opened.writer.take_drop(job).await,
                        Err(_) => Some(Frame::DropRefused { drop: job.drop, code: RefusalCode::NotNow }),
                    };
                    self.line.send(&frame.ok_or("the server stops")?).await?;
                }
                ServerEffect::Confirm(said) => match self.opened.writer.confirm(said).await {
                    Some(frame) => self.line.send(&frame).await?,
                    None => return Err("nothing can be kept now"),
                },
                ServerEffect::Follow(space, head) => {
                    self.followed.insert(space, Followed { head, signed: None });
                    self.pump(Signing::Now).await?;
                }
                ServerEffect::WentBack(space, head) => {
                    tracing::error!(%space, next = head.next, "a phone shows a head that this server signed and doesn't have");
                    self.shared.showing_older.send_replace(true);
                    return Err("this server begins a new epoch");
                }
                ServerEffect::Attend { subject, writes } => {
                    // The old seat first: nobody is counted twice.
                    (self.seat, self.counted_at) = (None, None);
                    self.seat = subject.map(|subject| self.shared.presence.enter(subject, writes));
                }
                ServerEffect::Close(reason) => return Err(reason),
            }
        }
        Ok(())
    }

    /// Takes a push from the quota of whoever carries it; otherwise says when there is room.
    async fn may_push(&mut self, bytes: usize, batch: &RunBatch) -> Result<Option<Reserved>, Duration> {
        match self.session.device() {
            Some(device) if self.opened.writer.members().is_active(device) => {
                self.shared.quotas.push_patiently(device, bytes, batch).await.map(Some)
            }
            _ => self.visit.stranger.push(bytes).map(|()| None),
        }
    }

    async fn push(&mut self, job: PushJob, bytes: usize) -> Result<(), End> {
        self.shared.metrics.pushes.inc();
        let reserved = match self.may_push(bytes, &job.batch).await {
            Ok(reserved) => reserved.filter(|reserved| !reserved.is_empty()),
            Err(wait) => return self.line.send(&Frame::not_now(Some(job.push), job.space, wait)).await,
        };
        // Where the log ended: what stands behind it afterwards is new.
        let known = match &reserved {
            Some(_) => self.opened.feed.reader().head(job.space).map_or(0, |head| head.next),
            None => 0,
        };
        let frame = self.opened.writer.admit(job).await.ok_or("the server stops")?;
        if let Some(reserved) = reserved {
            reserved.settle(&frame, known);
        }
        self.line.send(&frame).await
    }

    /// Sends what the followed logs have and this phone hasn't, then their signed heads.
    async fn pump(&mut self, signing: Signing) -> Result<(), End> {
        // Who no longer belongs somewhere is sent nothing more of it, on this connection either.
        let members = self.opened.writer.members();
        if let Some(device) = self.session.device() {
            self.followed.retain(|space, _| members.may_read(device, *space));
        }
        let spaces: Vec<SpaceId> = self.followed.keys().copied().collect();
        for space in spaces {
            let before = self.followed.get(&space).map(|followed| followed.head);
            while let Some(read) = self.read(space)? {
                // What stands in another log depends on who belongs: members first, as far as they are by now.
                if space != SpaceId::Members && self.followed.contains_key(&SpaceId::Members) {
                    while let Some(members) = self.read(SpaceId::Members)? {
                        self.send_piece(SpaceId::Members, members).await?;
                    }
                    self.sign(SpaceId::Members).await?;
                }
                self.send_piece(space, read).await?;
            }
            match signing {
                Signing::Now => self.sign(space).await?,
                Signing::Soon if self.followed.get(&space).map(|followed| followed.head) != before => {
                    self.sign_at.get_or_insert_with(|| Instant::now() + SIGN_AFTER);
                }
                Signing::Soon => {}
            }
        }
        Ok(())
    }

    /// Says how many look at the same thing.
    async fn tell_count(&mut self) -> Result<(), End> {
        self.counted_at = Some(Instant::now());
        match self.seat.as_mut().and_then(Seat::news) {
            Some(frame) => self.line.send(&frame).await,
            None => Ok(()),
        }
    }

    /// Sends the signed heads of all logs that grew since theirs were sent.
    async fn sign_all(&mut self) -> Result<(), End> {
        self.sign_at = None;
        let spaces: Vec<SpaceId> = self.followed.keys().copied().collect();
        for space in spaces {
            self.sign(space).await?;
        }
        Ok(())
    }

    fn read(&self, space: SpaceId) -> Result<Option<Next>, End> {
        let Some(followed) = self.followed.get(&space) else { return Ok(None) };
        let from = followed.head.next;
        if let Some(next) = self.opened.feed.at_hand(space, from) {
            return Ok(next);
        }
        tokio::task::block_in_place(|| self.opened.feed.next(space, from)).map_err(|error| {
            self.shared.metrics.damage.inc();
            tracing::error!(%space, from, %error, "the log can't be read");
            "the log can't be read"
        })
    }

    async fn send_piece(&mut self, space: SpaceId, next: Next) -> Result<(), End> {
        self.line.send_message(Message::Binary(next.bytes)).await?;
        if let Some(followed) = self.followed.get_mut(&space) {
            followed.head = next.head;
        }
        Ok(())
    }

    async fn sign(&mut self, space: SpaceId) -> Result<(), End> {
        let Some(followed) = self.followed.get_mut(&space) else { return Ok(()) };
        let head = followed.head;
        if followed.signed == Some(head) {
            return Ok(());
        }
        followed.signed = Some(head);
        let bytes = self.opened.feed.signed(space, head);
        self.line.send_message(Message::Binary(bytes)).await
    }
}
