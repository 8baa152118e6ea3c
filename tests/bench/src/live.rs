//! A phone that stays connected: the core's real app, driven frame by frame, so that every arrival can be timed.

use std::collections::VecDeque;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use samenspraak_core::app::{Command, Effect, Event, Joined, Reply};
use samenspraak_server::client::{Driver, entropy, now};
use tokio_tungstenite::tungstenite::Message;

use crate::lean::{Socket, connect};
use crate::problem::Problem;

/// See the module.
pub struct Live {
    driver: Driver,
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    commands: u64,
    /// Whether everything was said and heard at some moment of this connection.
    pub settled: bool,
    /// Bytes of frames sent.
    pub bytes_up: u64,
    /// Bytes of frames received.
    pub bytes_down: u64,
    /// Times it spoke.
    pub flights_up: u64,
}

/// What effects left to be done.
#[derive(Default)]
struct Left {
    frames: Vec<Vec<u8>>,
    reply: Option<Reply>,
    settled: bool,
}

impl Live {
    /// Connects a phone.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn open(driver: Driver, address: &str) -> Result<Self, Problem> {
        let (sink, stream) = connect(address).await?.split();
        let mut live =
            Self { driver, sink, stream, commands: 0, settled: false, bytes_up: 0, bytes_down: 0, flights_up: 0 };
        let effects = live.driver.app_mut().handle(now(), Event::Connected);
        let left = live.perform(effects)?;
        live.send(left.frames).await?;
        Ok(live)
    }

    /// What the phone knows.
    ///
    /// # Errors
    /// When it hasn't joined.
    pub fn joined(&mut self) -> Result<&mut Joined, Problem> {
        self.driver.app_mut().joined_mut().ok_or_else(|| "a phone that has not joined".into())
    }

    fn perform(&mut self, effects: Vec<Effect>) -> Result<Left, Problem> {
        let (mut left, mut queue) = (Left::default(), VecDeque::from(effects));
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Commit { commit, batch } => {
                    let event = match self.driver.store().commit(&batch) {
                        Ok(()) => Event::Stored { commit },
                        Err(error) => Event::StoreFailed { commit, error },
                    };
                    queue.extend(self.driver.app_mut().handle(now(), event));
                }
                Effect::Send(bytes) => left.frames.push(bytes),
                Effect::Reply { result, .. } => left.reply = Some(result?),
                Effect::Settled { refusal: Some(code) } => return Err(format!("the server refuses: {code:?}").into()),
                Effect::Settled { refusal: None } => left.settled = true,
                Effect::Disconnect(error) => return Err(error.into()),
                // A list on screen is not drawn here, and nothing is erased.
                _ => {}
            }
        }
        Ok(left)
    }

    async fn send(&mut self, frames: Vec<Vec<u8>>) -> Result<(), Problem> {
        if frames.is_empty() {
            return Ok(());
        }
        self.flights_up += 1;
        for frame in frames {
            self.bytes_up += frame.len() as u64;
            self.sink.feed(Message::Binary(frame.into())).await?;
        }
        Ok(self.sink.flush().await?)
    }

    /// Does something and sends what follows from it; `written` runs in between, when it is stored here.
    ///
    /// # Errors
    /// What the app says, or when the line broke.
    pub async fn ask(
        &mut self,
        command: Command,
        written: impl FnOnce(&mut Joined, &Reply) -> Result<(), Problem>,
    ) -> Result<Reply, Problem> {
        let id = self.commands;
        self.commands += 1;
        let effects = self.driver.app_mut().handle(now(), Event::Command { id, entropy: entropy(), command });
        let left = self.perform(effects)?;
        let reply = left.reply.ok_or("a command that was not answered")?;
        written(self.joined()?, &reply)?;
        self.send(left.frames).await?;
        Ok(reply)
    }

    /// The next frame, as bytes. May be dropped while it waits.
    ///
    /// # Errors
    /// When the line broke.
    pub async fn next(&mut self) -> Result<Vec<u8>, Problem> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes.into()),
                Some(Ok(Message::Close(_))) | None => return Err("the server closed the line".into()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// Takes a frame: stores what it brings and answers.
    ///
    /// # Errors
    /// When the phone ends the connection, or the line broke.
    pub async fn take(&mut self, bytes: Vec<u8>) -> Result<(), Problem> {
        self.bytes_down += bytes.len() as u64;
        let effects = self.driver.app_mut().handle(now(), Event::Frame(bytes));
        let left = self.perform(effects)?;
        self.settled |= left.settled;
        self.send(left.frames).await
    }

    /// Listens until everything was said and heard.
    ///
    /// # Errors
    /// When the line broke.
    pub async fn until_settled(&mut self) -> Result<(), Problem> {
        while !self.settled {
            let bytes = self.next().await?;
            self.take(bytes).await?;
        }
        Ok(())
    }

    /// Ends the connection and gives the phone back.
    pub async fn close(mut self) -> Driver {
        // The other side may be gone already.
        let _ = self.sink.close().await;
        self.driver.disconnected();
        self.driver
    }
}
