//! One phone of automerge-repo: its documents, its sync states, one connection.
//!
//! It keeps documents, encoded sync states and its storage id between sessions, and takes a new name each time, as
//! automerge-repo's own clients do.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use automerge::sync::{Message, State, SyncDoc};
use automerge::{AutoCommit, ChangeHash};

use crate::connection::Connection;
use crate::documents::Stored;
use crate::line::ms;
use crate::problem::Problem;
use crate::wire;

/// Documents whose first message may be unanswered at once.
const WINDOW: usize = 256;
/// Acknowledgements that come after the last document still count as bytes.
const LATE: Duration = Duration::from_millis(250);

/// One document on a phone.
pub struct Slot {
    /// Its id.
    pub id: String,
    /// The document.
    pub doc: AutoCommit,
    /// How far the server is.
    pub state: State,
    /// Heads at which this phone is satisfied; without them whatever the server has.
    pub target: Option<Vec<ChangeHash>>,
    /// Whether the server has what this phone has.
    pub acked: bool,
    /// Whether this phone is satisfied.
    pub done: bool,
    trips: u64,
}

impl Slot {
    /// A document that isn't synced yet.
    pub fn new(id: &str, doc: AutoCommit) -> Self {
        Self { id: id.to_owned(), doc, state: State::new(), target: None, acked: false, done: false, trips: 0 }
    }
}

/// What a session cost.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Until the last document was in its final state.
    pub wall_ms: f64,
    /// Until the first twenty were.
    pub first_screen_ms: f64,
    /// Until the last own change was acknowledged.
    pub acked_ms: f64,
    /// Bytes of payload up.
    pub bytes_up: u64,
    /// Bytes of payload down.
    pub bytes_down: u64,
    /// The longest chain of messages for one document.
    pub trips: u64,
    /// Documents that are in their final state.
    pub done: usize,
}

/// See the module.
pub struct Phone {
    /// Its name on this connection.
    pub name: String,
    storage: String,
    lives: u32,
    /// Its documents.
    pub slots: Vec<Slot>,
    by_id: HashMap<String, usize>,
}

impl Phone {
    /// A phone with these documents.
    pub fn new(name: &str, slots: Vec<Slot>) -> Self {
        let by_id = slots.iter().enumerate().map(|(at, slot)| (slot.id.clone(), at)).collect();
        Self { name: name.to_owned(), storage: format!("store-{name}"), lives: 0, slots, by_id }
    }

    /// A phone that has nothing yet and knows what there is.
    pub fn fresh(name: &str, wijk: &[Stored]) -> Self {
        Self::new(name, wijk.iter().map(|stored| Slot::new(&stored.id, AutoCommit::new())).collect())
    }

    /// Its storage id.
    pub fn storage(&self) -> &str {
        &self.storage
    }

    /// What survives between two sessions.
    pub fn offline(&mut self) -> Result<(), Problem> {
        self.lives += 1;
        let base = self.name.split('~').next().unwrap_or_default().to_owned();
        self.name = format!("{base}~{}", self.lives);
        for slot in &mut self.slots {
            slot.state = State::decode(&slot.state.encode())?;
            (slot.done, slot.acked, slot.trips) = (false, false, 0);
        }
        Ok(())
    }

    /// Begins or goes on with a document.
    pub fn kick(&mut self, at: usize, line: &mut Connection) {
        let slot = &mut self.slots[at];
        let kind = if slot.doc.get_heads().is_empty() { "request" } else { "sync" };
        if let Some(message) = slot.doc.sync().generate_sync_message(&mut slot.state) {
            slot.trips += 1;
            line.send(wire::sync(kind, &slot.id, &self.name, &line.server, &message.encode()));
        }
    }

    /// Which document a message is about.
    fn slot_of(&self, document: &str) -> Option<usize> {
        self.by_id.get(document).copied()
    }

    /// Takes one message in, answers it, and says which document it touched.
    pub fn take(&mut self, bytes: &[u8], line: &mut Connection) -> Result<Option<usize>, Problem> {
        let message = wire::decode(bytes)?;
        match message.kind {
            "sync" | "request" => {}
            "error" => return Err("the server answers with an error".into()),
            _ => return Ok(None),
        }
        let Some(at) = self.slot_of(message.document) else { return Ok(None) };
        let slot = &mut self.slots[at];
        slot.doc.sync().receive_sync_message(&mut slot.state, Message::decode(message.data)?)?;
        if let Some(reply) = slot.doc.sync().generate_sync_message(&mut slot.state) {
            slot.trips += 1;
            line.send(wire::sync("sync", &slot.id, &self.name, &line.server, &reply.encode()));
        }
        let heads = slot.doc.get_heads();
        if let Some(theirs) = &slot.state.their_heads {
            slot.acked = slot.acked || *theirs == heads || slot.doc.has_our_changes(&slot.state);
            slot.done = !heads.is_empty()
                && match &slot.target {
                    Some(wanted) => *wanted == heads,
                    None => *theirs == heads,
                };
        }
        Ok(Some(at))
    }

    /// Syncs these documents, of which the first `own` carry changes of this phone.
    pub async fn session(&mut self, url: &str, order: &[usize], limit: Duration, own: usize) -> Result<Session, Problem> {
        let begun = Instant::now();
        let mut told = Session::default();
        let mut line = Connection::open(url, &self.name, &self.storage).await?;
        let (mut next, mut waiting) = (0, BTreeSet::new());
        let (mut done, mut unacked) = (0, order[..own].iter().copied().collect::<BTreeSet<_>>());
        let screen = 20.min(order.len());
        while done < order.len() {
            while next < order.len() && waiting.len() < WINDOW {
                self.kick(order[next], &mut line);
                waiting.insert(order[next]);
                next += 1;
            }
            let left = limit.checked_sub(begun.elapsed()).ok_or("a session took too long")?;
            let bytes = tokio::time::timeout(left, line.receive()).await.map_err(|_| "a session took too long")??;
            let message = wire::decode(&bytes)?;
            let Some(at) = self.slot_of(message.document) else { continue };
            if message.kind == "doc-unavailable" {
                // Somebody else brings it: not yet.
                waiting.remove(&at);
                continue;
            }
            let was_done = self.slots[at].done;
            self.take(&bytes, &mut line)?;
            match (was_done, self.slots[at].done) {
                (false, true) => done += 1,
                (true, false) => done -= 1,
                _ => {}
            }
            if done >= screen && told.first_screen_ms == 0.0 {
                told.first_screen_ms = ms(begun.elapsed());
            }
            if self.slots[at].acked && unacked.remove(&at) && unacked.is_empty() {
                told.acked_ms = ms(begun.elapsed());
            }
            if self.slots[at].done || self.slots[at].target.is_some() {
                waiting.remove(&at);
            }
        }
        told.wall_ms = ms(begun.elapsed());
        while let Ok(Ok(bytes)) = tokio::time::timeout(LATE, line.receive()).await {
            self.take(&bytes, &mut line)?;
        }
        (told.bytes_up, told.bytes_down, told.done) = (line.bytes_up, line.bytes_down, done);
        told.trips = order.iter().map(|at| self.slots[*at].trips).max().unwrap_or(0);
        Ok(told)
    }
}
