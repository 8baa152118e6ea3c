//! One connection as the driver sees it: frames go out, frames come in, whatever carries them.
//!
//! Sending never waits for receiving, so two sides that both have much to say can't block each other. A platform gives two
//! queues and the tasks that carry them. Receiving can be given up and begun again without losing a frame. Must never hold more of
//! what came than [`FRAMES_AHEAD`]: a server may not fill a phone's memory.

use std::time::Duration;

use futures_util::future::BoxFuture;
use samenspraak_core::model::WijkId;
use samenspraak_core::sync::phone::SessionError;
use samenspraak_core::sync::wire::Frame;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};

use crate::{SILENCE_MAX, SyncError};

/// How long a goodbye may take.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// Frames that may wait to be taken: one is checked while the one before it is stored, one is on its way meanwhile.
pub const FRAMES_AHEAD: usize = 2;

/// What a sync moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes of frames sent.
    pub bytes_up: u64,
    /// Bytes of frames received.
    pub bytes_down: u64,
    /// Frames sent.
    pub frames_up: u64,
    /// Frames received.
    pub frames_down: u64,
    /// Times this side spoke: frames that left together count once, so one flight is one round trip.
    pub flights_up: u64,
}

/// How a platform connects to a server.
pub trait Connect: Send + Sync {
    /// Connects to the server at an address, as it stands on a card: `https://…` or `http://…`. Ends by itself after a while when
    /// nobody answers.
    fn connect(&self, address: String) -> BoxFuture<'static, Result<Line, SyncError>>;
}

/// See the module.
#[derive(Debug)]
pub struct Line {
    address: String,
    outgoing: Option<mpsc::UnboundedSender<Vec<u8>>>,
    incoming: mpsc::Receiver<Result<Vec<u8>, String>>,
    sender: JoinHandle<()>,
    receiver: AbortHandle,
    moved: Moved,
}

impl Line {
    /// A line of two queues and the tasks behind them. `sender` ends when `outgoing` has ended and all of it was sent; `receiver` is
    /// stopped with the line. What came wrong is the last that comes.
    #[must_use]
    pub fn new(
        address: &str,
        outgoing: mpsc::UnboundedSender<Vec<u8>>,
        incoming: mpsc::Receiver<Result<Vec<u8>, String>>,
        sender: JoinHandle<()>,
        receiver: AbortHandle,
    ) -> Self {
        let outgoing = Some(outgoing);
        Self { address: address.to_owned(), outgoing, incoming, sender, receiver, moved: Moved::default() }
    }

    /// What was moved so far.
    #[must_use]
    pub fn moved(&self) -> Moved {
        self.moved
    }

    fn broken(&self, reason: impl Into<String>) -> SyncError {
        SyncError::Broken { address: self.address.clone(), reason: reason.into() }
    }

    /// Sends frames, in one flight. Unbounded in form only: the core has at most a few pushes under way at once.
    ///
    /// # Errors
    /// When the line is closed.
    pub fn send(&mut self, frames: Vec<Vec<u8>>) -> Result<(), SyncError> {
        self.moved.flights_up += u64::from(!frames.is_empty());
        for frame in frames {
            let bytes = frame.len() as u64;
            let sent = self.outgoing.as_ref().is_some_and(|outgoing| outgoing.send(frame).is_ok());
            if !sent {
                return Err(self.broken("the line is closed"));
            }
            self.moved.bytes_up += bytes;
            self.moved.frames_up += 1;
        }
        Ok(())
    }

    /// The next frame.
    ///
    /// # Errors
    /// When the line broke, or the server is silent for a minute.
    pub async fn receive(&mut self) -> Result<Vec<u8>, SyncError> {
        match tokio::time::timeout(SILENCE_MAX, self.receive_patiently()).await {
            Ok(received) => received,
            Err(_) => Err(self.silent()),
        }
    }

    /// What a line is called over which nothing comes.
    pub(crate) fn silent(&self) -> SyncError {
        self.broken("the server is silent")
    }

    /// The next frame, however long it takes.
    ///
    /// # Errors
    /// When the line broke.
    pub async fn receive_patiently(&mut self) -> Result<Vec<u8>, SyncError> {
        match self.incoming.recv().await {
            Some(Ok(frame)) => {
                self.moved.bytes_down += frame.len() as u64;
                self.moved.frames_down += 1;
                Ok(frame)
            }
            Some(Err(reason)) => Err(self.broken(reason)),
            None => Err(self.broken("the server closed it")),
        }
    }

    /// Sends what waits, and ends.
    pub async fn close(mut self) {
        drop(self.outgoing.take());
        let _ = tokio::time::timeout(CLOSE_MAX, &mut self.sender).await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

/// Asks a server which wijk it serves: for people who type letters instead of scanning a code.
///
/// # Errors
/// When no server answers.
pub async fn ask_wijk(connect: &dyn Connect, address: &str) -> Result<WijkId, SyncError> {
    let mut line = connect.connect(address.to_owned()).await?;
    let bytes = line.receive().await?;
    line.close().await;
    match Frame::decode(&bytes) {
        Ok(Frame::Hello { wijk, .. }) => Ok(wijk),
        _ => Err(SyncError::Session(SessionError::Frame)),
    }
}
