//! The phone's machine: events and the time go in, effects come out. Android, iOS, the browser, the terminal and the board's
//! own device at the server drive the same one.
//!
//! Only one commit is under way at a time; events that arrive meanwhile wait. So nothing is shown as saved, sent or arrived
//! before the store has flushed it, whatever the shell is doing. A shell that stores on another thread may bring the next frame
//! meanwhile: the next piece of a log is unpacked and its signatures are checked then, and it is taken when its turn comes.

mod closed;
mod command;
mod delivered;
mod duties;
pub mod entropy;
pub mod erasure;
mod error;
pub mod history;
pub mod identity;
mod joined;
mod loading;
pub mod moderate;
pub mod own;
pub mod people;
pub mod poll;
mod presence;
mod read;
mod rewrite;
mod sync;
mod write;

use std::collections::VecDeque;
use std::sync::Arc;

pub use closed::{AnswerItem, OwnSealedItem, SealedItem};
pub use command::{Command, INVITE_COUNT_MAX, Reply, Sealing};
pub use erasure::ErasureReport;
pub use error::CommandError;
pub use history::BrokenHistory;
pub use identity::Identity;
pub use joined::Joined;
pub use moderate::ModerateCommand;
pub use people::PeopleCommand;
pub use poll::PollCommand;
pub use presence::Present;
pub use read::{ContributionItem, DecisionItem, Line, LineEvent, MeetingItem, OwnState};

use crate::model::{SpaceId, SubjectId};
use crate::ordered::Set;
use crate::replica::{ReplicaError, Side};
use crate::store::erased::{self, Erasure};
use crate::store::{Batch, Store, StoreError};
use crate::sync::phone::SessionError;
use crate::sync::wire::RefusalCode;

/// Milliseconds since 1 January 1970, as the shell's clock has it. Used for nothing but waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

/// What happens to the machine.
#[derive(Debug)]
pub enum Event {
    /// Somebody asks for something. `entropy` is 32 fresh bytes of the system's randomness.
    Command {
        /// Chosen by the shell; the reply names it.
        id: u64,
        /// Randomness.
        entropy: [u8; 32],
        /// What.
        command: Command,
    },
    /// A connection to the server is there.
    Connected,
    /// Bytes of one frame came.
    Frame(Vec<u8>),
    /// The connection is gone.
    Disconnected,
    /// The person at this device looks at something in the space `open`, such as the notes of a meeting, or at nothing any more.
    /// Others there hear how many look and write, never who; it is stored nowhere.
    Attend {
        /// What.
        subject: Option<SubjectId>,
        /// Whether the person writes there.
        writes: bool,
    },
    /// A scrub of the store ended: what this phone had erased is in none of its files now.
    Scrubbed,
    /// A commit is flushed.
    Stored {
        /// Which.
        commit: u64,
    },
    /// A commit failed; nothing of it is there.
    StoreFailed {
        /// Which.
        commit: u64,
        /// Why.
        error: StoreError,
    },
}

/// What the shell is to do.
#[derive(Debug)]
pub enum Effect {
    /// Store this and report back.
    Commit {
        /// Names it.
        commit: u64,
        /// What.
        batch: Batch,
    },
    /// Send this frame.
    Send(Vec<u8>),
    /// End the connection.
    Disconnect(SessionError),
    /// Connect (again) at this time.
    ConnectAt(Timestamp),
    /// The answer to a command.
    Reply {
        /// The command.
        id: u64,
        /// What became of it.
        result: Result<Reply, CommandError>,
    },
    /// What is about these subjects reads differently now.
    Changed(Set<SubjectId>),
    /// Words were erased and their bytes still stand in the store's files: call
    /// [`scrub_if_due`](crate::store::erased::scrub_if_due) soon, once for several of these, and before a clean end at the
    /// latest. Whoever opens a store asks it too, for what a kill left undone. When it fails it stays due.
    Scrub,
    /// Everything is sent, receipted and received.
    Settled {
        /// Why the server refuses this phone, if it does.
        refusal: Option<RefusalCode>,
    },
}

/// See the module.
pub struct App {
    store: Arc<dyn Store>,
    joined: Option<Joined>,
    next_commit: u64,
    storing: Option<Storing>,
    waiting: VecDeque<(Timestamp, Event)>,
    /// The frame that waits first, as far as it could be prepared.
    prepared: Option<delivered::Prepared>,
    failed_connects: u32,
    /// How long the server asked to wait before the next connection; zero if it didn't.
    asked_to_wait_ms: u64,
    /// The store could not be read again after an error.
    unreadable: bool,
    /// Nothing is written unasked.
    holds_duties: bool,
    presence: presence::Presence,
}

/// What is done when a commit is flushed.
struct Storing {
    commit: u64,
    then: Then,
    /// Whether something is erased with it.
    erases: bool,
}

enum Then {
    /// Take over a new identity, then go on as after any command.
    Joined { id: u64, joined: Box<Joined>, reply: Reply },
    /// A command wrote entries.
    Wrote { id: u64, outcomes: Vec<crate::replica::Outcome>, reply: Reply },
    /// A piece of a log.
    Took(Box<delivered::Taken>),
    /// A branch of a chain was set aside.
    GaveWay,
    /// Something was done in closed spaces.
    DidDuties(Vec<crate::replica::Outcome>),
    /// The server has what was dropped.
    Dropped(SubjectId),
    /// The server keeps what was confirmed of a space.
    Confirmed(SpaceId),
    /// Comparisons of frontiers ended.
    Compared,
    /// A server showed less than it had signed, and both are kept.
    Noted,
    /// Receipts; none when only evidence had to be kept.
    Receipted(Vec<crate::sync::wire::Receipt>),
}

impl App {
    /// Opens what a store holds; a new store gives an app that hasn't joined.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, ReplicaError> {
        let joined = Joined::load(&store)?;
        Ok(Self {
            store,
            joined,
            next_commit: 0,
            storing: None,
            waiting: VecDeque::new(),
            prepared: None,
            failed_connects: 0,
            asked_to_wait_ms: 0,
            unreadable: false,
            holds_duties: false,
            presence: presence::Presence::default(),
        })
    }

    /// Erases in a device's store what a list from elsewhere says was erased: before it is opened, for an old copy of it may
    /// have been put back. Returns how many it didn't know; nothing happens where nobody joined yet.
    ///
    /// # Errors
    /// When the store can't be read or written; then it must not be opened.
    pub fn erase_again(store: &Arc<dyn Store>, erasures: &[Erasure]) -> Result<usize, ReplicaError> {
        match Identity::read(store.as_ref())? {
            Some(identity) => {
                let side = Side::Phone { device: identity.key().id() };
                let own = own::erase_again(store.as_ref(), erasures)?;
                Ok(own.max(crate::replica::erase_again(store, identity.wijk, side, erasures)?))
            }
            None => Ok(0),
        }
    }

    /// Whether this device writes nothing unasked. A store that was put back from an old copy must hear first what it wrote
    /// since, or its chains fork.
    pub fn hold_duties(&mut self, hold: bool) {
        self.holds_duties = hold;
    }

    /// What this phone knows of its wijk, once it has joined.
    #[must_use]
    pub fn joined(&self) -> Option<&Joined> {
        self.joined.as_ref()
    }

    /// The same, for reading documents, which are opened when they are first looked at.
    #[must_use]
    pub fn joined_mut(&mut self) -> Option<&mut Joined> {
        self.joined.as_mut()
    }

    /// Whether bringing a frame now saves time: a long commit is under way and no frame waits. Behind a short one, which is the
    /// first that a fresh phone can show, its end would wait for the check of a long piece.
    #[must_use]
    pub fn may_look_ahead(&self) -> bool {
        self.waiting.is_empty()
            && self.storing.as_ref().is_some_and(|storing| match &storing.then {
                Then::Took(taken) => taken.is_long(),
                _ => false,
            })
    }

    /// Takes one event and says what to do.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        // Any event may bring, hide or number a contribution.
        if let Some(joined) = &mut self.joined {
            joined.order = None;
        }
        let was_storing = self.storing.is_some();
        match event {
            Event::Stored { commit } => self.stored(now, commit, &mut effects),
            Event::StoreFailed { commit, error } => self.store_failed(commit, error, &mut effects),
            event => self.waiting.push_back((now, event)),
        }
        while self.storing.is_none()
            && let Some((now, event)) = self.waiting.pop_front()
        {
            self.step(now, event, &mut effects);
        }
        // What this very event began to store must be given out first.
        if was_storing && self.storing.is_some() && effects.is_empty() {
            self.prepare();
        }
        if self.storing.is_none() {
            self.note_compared(&mut effects);
        }
        if self.storing.is_none() {
            self.do_duties(&mut effects);
        }
        effects
    }

    fn step(&mut self, now: Timestamp, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Command { id, entropy, command } => {
                if self.unreadable {
                    self.reload();
                }
                if let Err(error) = self.command(id, entropy, command, effects) {
                    self.forget_uncommitted();
                    effects.push(Effect::Reply { id, result: Err(error) });
                }
            }
            Event::Connected => {}
            Event::Frame(bytes) => self.frame(&bytes, effects),
            Event::Disconnected => self.disconnected(now, effects),
            Event::Attend { subject, writes } => self.attend(subject, writes, effects),
            Event::Scrubbed => self.settle(effects),
            Event::Stored { .. } | Event::StoreFailed { .. } => {}
        }
    }

    fn commit(&mut self, batch: Batch, then: Then, effects: &mut Vec<Effect>) {
        let commit = self.next_commit;
        self.next_commit += 1;
        self.storing = Some(Storing { commit, then, erases: erased::is_noted(&batch) });
        effects.push(Effect::Commit { commit, batch });
    }

    fn stored(&mut self, _now: Timestamp, commit: u64, effects: &mut Vec<Effect>) {
        let Some(storing) = self.storing.take_if(|storing| storing.commit == commit) else { return };
        if let Some(joined) = &mut self.joined {
            joined.replica.committed();
        }
        if storing.erases {
            effects.push(Effect::Scrub);
        }
        match storing.then {
            Then::Joined { id, mut joined, reply } => {
                joined.replica.committed();
                self.joined = Some(*joined);
                effects.push(Effect::Reply { id, result: Ok(reply) });
            }
            Then::Wrote { id, outcomes, reply } => self.wrote(id, &outcomes, reply, effects),
            Then::GaveWay => self.gave_way(effects),
            Then::DidDuties(outcomes) => self.did_duties(&outcomes, effects),
            Then::Dropped(subject) => {
                effects.push(Effect::Changed(Set::from([subject])));
                self.push_more(effects);
            }
            Then::Took(taken) => self.took(*taken, effects),
            Then::Receipted(receipts) => self.receipted(&receipts, effects),
            Then::Compared => {}
            Then::Noted => self.push_more(effects),
            Then::Confirmed(space) => self.stored_confirmed(space),
        }
        self.settle(effects);
    }

    fn store_failed(&mut self, commit: u64, error: StoreError, effects: &mut Vec<Effect>) {
        let Some(storing) = self.storing.take_if(|storing| storing.commit == commit) else { return };
        self.reload();
        match storing.then {
            Then::Joined { id, .. } | Then::Wrote { id, .. } => {
                let cause = Arc::new(error);
                effects.push(Effect::Reply { id, result: Err(CommandError::NotSaved { cause }) });
            }
            // They are still due, and done with the next event.
            Then::DidDuties(_) => {}
            // It is said again, and no harm done.
            Then::Confirmed(_) | Then::Compared => {}
            // What the server sent is asked for again later: the cursor stands where it stood.
            Then::Took(_) | Then::Receipted(_) | Then::Dropped(_) | Then::GaveWay | Then::Noted => {
                // Frames that came over this line already would not fit what is here.
                self.waiting.retain(|(_, event)| !matches!(event, Event::Frame(_)));
                effects.push(Effect::Disconnect(SessionError::NotNow));
            }
        }
    }

    /// What was begun in memory and not stored must not be seen or built on. Where nothing was begun, nothing happens: a
    /// command that was refused costs neither the connection nor open documents.
    fn forget_uncommitted(&mut self) {
        if self.joined.as_ref().is_some_and(|joined| joined.replica.has_uncommitted()) {
            self.reload();
        }
    }

    /// Takes what is stored into the view. Should the store not be readable, everything is opened again.
    fn show(&mut self, outcomes: &[crate::replica::Outcome]) -> Set<SubjectId> {
        match self.joined.as_mut().map(|joined| joined.show(outcomes)) {
            Some(Ok(changed)) => changed,
            Some(Err(_)) => {
                self.reload();
                Set::new()
            }
            None => Set::new(),
        }
    }

    /// Opens everything again from the store, and keeps the connection that is there.
    fn reload(&mut self) {
        self.prepared = None;
        let before = self.joined.take().map(|joined| (joined.session, joined.erasing));
        match Joined::load(&self.store) {
            Ok(joined) => {
                self.joined = joined;
                if let (Some(joined), Some((session, erasing))) = (&mut self.joined, before) {
                    joined.session = session;
                    joined.erasing.keep(erasing);
                }
                self.unreadable = false;
            }
            // The next command tries again; until then there is nothing to show and nothing to write on.
            Err(_) => self.unreadable = true,
        }
    }
}
