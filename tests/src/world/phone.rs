//! One phone of a world.

use std::collections::VecDeque;
use std::sync::Arc;

use samenspraak_core::app::{App, Command, CommandError, Effect, Event, Joined, Present, Reply, Timestamp};
use samenspraak_core::model::{SpaceId, SubjectId};
use samenspraak_core::replica::{Replica, RunBatch, Side};
use samenspraak_core::store::erased::scrub_if_due;
use samenspraak_core::store::{Batch, Store, StoreError};
use samenspraak_core::sync::wire::{Frame, RefusalCode};

use super::copy_of;

/// One phone: an app and its store.
pub struct Phone {
    /// The store; it outlives the app, as a disk outlives a process.
    pub store: Arc<dyn Store>,
    /// Whether the store is scrubbed as soon as the app asks for it; otherwise a test does it, or dies before.
    pub scrubs: bool,
    pub(super) app: App,
    next_command: u64,
}

impl Phone {
    /// A phone over a store, new or used.
    ///
    /// # Panics
    /// When the store can't be read: a test must not go on.
    #[must_use]
    pub fn open(store: Arc<dyn Store>) -> Self {
        let app = App::open(Arc::clone(&store)).expect("the phone's store opens");
        Self { store, scrubs: true, app, next_command: 0 }
    }

    /// Another phone with the same identity over a copy of the store, for another world.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::open(copy_of(&*self.store))
    }

    /// Kills the app and opens it again from what its store holds.
    pub fn restart(&mut self) {
        let scrubs = self.scrubs;
        *self = Self { scrubs, ..Self::open(Arc::clone(&self.store)) };
    }

    /// What it knows of its wijk.
    ///
    /// # Panics
    /// When it hasn't joined.
    pub fn joined(&mut self) -> &mut Joined {
        self.app.joined_mut().expect("this phone has joined")
    }

    /// The person looks at this from now on; returns the frames that say so.
    pub fn attend(&mut self, subject: Option<SubjectId>, writes: bool) -> Vec<Vec<u8>> {
        let effects = self.app.handle(Timestamp(0), Event::Attend { subject, writes });
        self.perform(effects).frames
    }

    /// One more frame comes on the connection that there is.
    pub fn take(&mut self, frame: &Frame) {
        let effects = self.app.handle(Timestamp(0), Event::Frame(frame.encode()));
        self.perform(effects);
    }

    /// Others who look at it now, as far as this phone knows.
    #[must_use]
    pub fn present(&self, subject: SubjectId) -> Option<Present> {
        self.app.present(subject)
    }

    /// Connects this phone to whoever says exactly these frames, and disconnects.
    pub fn hear(&mut self, frames: &[Vec<u8>]) -> Heard {
        let effects = self.app.handle(Timestamp(0), Event::Connected);
        let mut heard = Heard { said: self.perform(effects).frames, ended: None };
        for frame in frames {
            let effects = self.app.handle(Timestamp(0), Event::Frame(frame.clone()));
            let performed = self.perform(effects);
            heard.said.extend(performed.frames);
            heard.ended = performed.disconnected;
            if heard.ended.is_some() {
                break;
            }
        }
        let effects = self.app.handle(Timestamp(0), Event::Disconnected);
        self.perform(effects);
        heard
    }

    /// As [`Phone::hear`], but every commit takes as long as the next frame needs to come; `fails` says which commits fail.
    /// Also says how many frames came ahead. It does not ask the app whether that saves time.
    pub fn hear_ahead(&mut self, frames: &[Vec<u8>], fails: impl Fn(usize) -> bool) -> (Heard, usize) {
        let (mut frames, mut commits, mut ahead) = (frames.iter(), 0, 0);
        let mut left = VecDeque::from(self.app.handle(Timestamp(0), Event::Connected));
        let mut done = Performed::default();
        loop {
            let Some(effect) = left.pop_front() else {
                let Some(frame) = frames.next().filter(|_| done.disconnected.is_none()) else { break };
                left.extend(self.app.handle(Timestamp(0), Event::Frame(frame.clone())));
                continue;
            };
            let Effect::Commit { commit, batch } = effect else {
                left.extend(self.note(effect, &mut done));
                continue;
            };
            if let Some(frame) = frames.as_slice().first() {
                let effects = self.app.handle(Timestamp(0), Event::Frame(frame.clone()));
                assert!(effects.is_empty(), "a frame was taken before the one before it was stored: {effects:?}");
                frames.next();
                ahead += 1;
            }
            let event = match fails(commits) {
                true => Event::StoreFailed { commit, error: StoreError::Full { place: "a test".into() } },
                false => self.stored(commit, &batch),
            };
            commits += 1;
            left.extend(self.app.handle(Timestamp(0), event));
        }
        let effects = self.app.handle(Timestamp(0), Event::Disconnected);
        self.perform(effects);
        (Heard { said: done.frames, ended: done.disconnected }, ahead)
    }

    /// Takes entries that came by another way than the server, as from a file on a stick, and starts again.
    ///
    /// # Panics
    /// When they have no place here.
    pub fn takes(&mut self, space: SpaceId, batch: &RunBatch) {
        let (wijk, device) = (self.joined().identity().wijk, self.joined().identity().key().id());
        let side = Side::Phone { device };
        let mut replica = Replica::open(wijk, side, Arc::clone(&self.store)).expect("the phone's store opens");
        replica.admit(space, batch).expect("the entries have a place");
        self.store.commit(&replica.take_rows()).expect("the entries are stored");
        self.restart();
    }

    /// Scrubs the store, and says so to the app when it ended.
    fn scrub(&mut self) -> Vec<Effect> {
        match scrub_if_due(self.store.as_ref()) {
            Ok(_) => self.app.handle(Timestamp(0), Event::Scrubbed),
            Err(_) => Vec::new(),
        }
    }

    /// Performs effects that need no network; returns frames to send, whether it settled, and a reply.
    pub(super) fn perform(&mut self, effects: Vec<Effect>) -> Performed {
        let (mut done, mut left) = (Performed::default(), VecDeque::from(effects));
        while let Some(effect) = left.pop_front() {
            let more = match effect {
                Effect::Commit { commit, batch } => {
                    let event = self.stored(commit, &batch);
                    self.app.handle(Timestamp(0), event)
                }
                effect => self.note(effect, &mut done),
            };
            left.extend(more);
        }
        done
    }

    fn stored(&self, commit: u64, batch: &Batch) -> Event {
        match self.store.commit(batch) {
            Ok(()) => Event::Stored { commit },
            Err(error) => Event::StoreFailed { commit, error },
        }
    }

    /// Notes an effect that stores nothing.
    fn note(&mut self, effect: Effect, done: &mut Performed) -> Vec<Effect> {
        match effect {
            Effect::Send(bytes) => done.frames.push(bytes),
            Effect::Reply { result, .. } => done.reply = Some(result),
            Effect::Settled { refusal } => done.settled = Some(refusal),
            Effect::Disconnect(error) => done.disconnected = Some(error.to_string()),
            // What fails stays due; a store that fails says so at the next commit too.
            Effect::Scrub if self.scrubs => return self.scrub(),
            Effect::Commit { .. } | Effect::Changed(_) | Effect::ConnectAt(_) | Effect::Scrub => {}
        }
        Vec::new()
    }

    /// Asks for something and waits until it is stored.
    ///
    /// # Errors
    /// What the app says.
    ///
    /// # Panics
    /// When the app gives no reply.
    pub fn ask(&mut self, entropy: [u8; 32], command: Command) -> Result<Reply, CommandError> {
        let id = self.next_command;
        self.next_command += 1;
        let effects = self.app.handle(Timestamp(0), Event::Command { id, entropy, command });
        self.perform(effects).reply.expect("every command is answered")
    }
}

#[derive(Debug, Default)]
pub(super) struct Performed {
    pub(super) frames: Vec<Vec<u8>>,
    pub(super) reply: Option<Result<Reply, CommandError>>,
    pub(super) settled: Option<Option<RefusalCode>>,
    pub(super) disconnected: Option<String>,
}

/// What a phone did with what it heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it said.
    pub said: Vec<Vec<u8>>,
    /// Why it ended the connection before everything was said, if it did.
    pub ended: Option<String>,
}
