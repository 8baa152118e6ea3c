//! A device that writes: its key, its chain, and what of it nobody was given yet.
//!
//! It writes with the core's own [`Replica`], without an app around it: thousands of authors must fit into one process. It
//! never reads what others wrote.

use std::sync::Arc;

use automerge::{ActorId, AutoCommit};
use samenspraak_core::app::Identity;
use samenspraak_core::document;
use samenspraak_core::entry::codec::{self, DocumentChange, Record, actor};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::entry::subject::subject_id;
use samenspraak_core::entry::{EraseSecret, Kind, Seed};
use samenspraak_core::gate::limits::{BATCH_BYTES_TARGET, PUSH_ENTRIES_MAX};
use samenspraak_core::model::{DeviceId, EntryId, SpaceId, SubjectId};
use samenspraak_core::replica::{About, Hashes, Kept, Replica, RunBatch, Side};
use samenspraak_core::store::Store;
use samenspraak_server::client::entropy;
use samenspraak_server::replay::seeded::Seeded;

use crate::documents::{self, History, SESSION_BEGINS};
use crate::problem::Problem;

/// See the module.
pub struct Author {
    identity: Identity,
    key: Key,
    replica: Replica,
    store: Arc<dyn Store>,
    random: Seeded,
}

/// A document that its author goes on writing, in a session of its own.
pub struct Writing {
    /// Which.
    pub subject: SubjectId,
    session: [u8; 8],
    doc: AutoCommit,
}

/// A document whose changes are made and not yet written.
pub struct Planned {
    /// Its subject, known before its first entry.
    pub subject: SubjectId,
    /// Its changes.
    pub history: History,
    seed: Seed,
    sessions: [[u8; 8]; 3],
}

impl Author {
    /// The author whose device a store belongs to; it must have joined.
    ///
    /// # Errors
    /// When it has not, or the store can't be read.
    pub fn open(store: Arc<dyn Store>, random: Seeded) -> Result<Self, Problem> {
        let identity = Identity::read(store.as_ref())?.ok_or("nobody joined with this store")?;
        let key = identity.key();
        let mut replica = Replica::open(identity.wijk, Side::Phone { device: key.id() }, Arc::clone(&store))?;
        replica.set_provisional(key.id(), identity.person);
        Ok(Self { identity, key, replica, store, random })
    }

    /// The device.
    pub fn device(&self) -> DeviceId {
        self.key.id()
    }

    /// The device's key, to prove itself with.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Entries of its chain so far.
    pub fn written(&self, space: SpaceId) -> u64 {
        self.replica.head(space, self.device()).map_or(0, |head| head.seq + 1)
    }

    fn short(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.random.bytes()[..16]);
        bytes
    }

    fn session(&mut self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.random.bytes()[..8]);
        bytes
    }

    fn erase_secret(&self, seed: &Seed) -> EraseSecret {
        EraseSecret::derive(&self.identity.person_secret, seed)
    }

    /// Makes document `number` of a seed, without writing it yet.
    ///
    /// # Errors
    /// What automerge says.
    pub fn plan(&mut self, documents_seed: u64, number: usize) -> Result<Planned, Problem> {
        let seed = Seed(self.short());
        let commit = self.erase_secret(&seed).commit();
        let (wijk, device) = (self.identity.wijk, self.device());
        let subject = subject_id(wijk, SpaceId::Open, device, Kind::CONTRIBUTION, &seed.nonce(), &commit);
        let sessions = [self.session(), self.session(), self.session()];
        let actors = sessions.map(|session| actor(device, subject, &session));
        let history = documents::history(documents_seed, number, &actors)?;
        Ok(Planned { subject, history, seed, sessions })
    }

    /// Writes the changes of one session of a planned document.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write_session(&mut self, planned: &Planned, session: usize) -> Result<(), Problem> {
        let begin = SESSION_BEGINS[session];
        let end = SESSION_BEGINS.get(session + 1).copied().unwrap_or(planned.history.changes.len());
        for at in begin..end {
            let about = if at == 0 {
                About::New { seed: planned.seed, erase_secret: self.erase_secret(&planned.seed) }
            } else {
                About::Existing(planned.subject)
            };
            self.write(about, planned.sessions[session], planned.history.changes[at].clone())?;
        }
        Ok(())
    }

    /// Writes a whole planned document.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write_all(&mut self, planned: &Planned) -> Result<(), Problem> {
        (0..SESSION_BEGINS.len()).try_for_each(|session| self.write_session(planned, session))
    }

    fn write(&mut self, about: About, session: [u8; 8], change: Vec<u8>) -> Result<EntryId, Problem> {
        let record = Record::Change(DocumentChange { session, change, replaces: None });
        let admitted = self.replica.write(&self.key, SpaceId::Open, Kind::CONTRIBUTION, about, &record)?;
        self.store.commit(&self.replica.take_rows())?;
        self.replica.committed();
        Ok(admitted.entries.first().ok_or("an entry that was not written")?.id)
    }

    /// Opens one of its documents to go on writing it.
    ///
    /// # Errors
    /// When it isn't here.
    pub fn go_on(&mut self, subject: SubjectId) -> Result<Writing, Problem> {
        let mut bodies = Vec::new();
        for place in self.replica.entries_of(SpaceId::Open, subject)? {
            let entry = self.replica.entry(place)?.ok_or("an entry that is not there")?;
            let (Kept::Present(body) | Kept::Pending(body)) = &entry.kept else { continue };
            if let Ok(Some(Record::Change(change))) = codec::decode(entry.kind, body) {
                bodies.push((entry.id, change.change));
            }
        }
        let opened = document::open(bodies).doc;
        let session = {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&entropy()[..8]);
            bytes
        };
        let mut doc = AutoCommit::load(&opened.save_nocompress())?;
        doc.set_actor(ActorId::from(actor(self.device(), subject, &session).as_slice()));
        Ok(Writing { subject, session, doc })
    }

    /// The entries of one of its documents, in order.
    #[cfg(test)]
    pub fn entry_ids(&self, subject: SubjectId) -> Result<Vec<EntryId>, Problem> {
        let places = self.replica.entries_of(SpaceId::Open, subject)?;
        let id = |place| Ok(self.replica.entry(place)?.ok_or("an entry that is not there")?.id);
        places.into_iter().map(id).collect()
    }

    /// Adds words to a document: one change, one signed entry.
    ///
    /// # Errors
    /// When the store fails.
    pub fn append(&mut self, writing: &mut Writing, words: &str) -> Result<EntryId, Problem> {
        documents::append(&mut writing.doc, words)?;
        let change = documents::commit(&mut writing.doc)?;
        self.write(About::Existing(writing.subject), writing.session, change)
    }

    /// Its entries from `first_seq` on, packed as a phone packs them, and the sequence number behind them. `None` when there
    /// are none.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn runs(&self, space: SpaceId, first_seq: u64) -> Result<Option<(RunBatch, u64)>, Problem> {
        let device = self.device();
        let packed =
            self.replica.pack_chain(space, device, first_seq, PUSH_ENTRIES_MAX, BATCH_BYTES_TARGET, Hashes::Omitted)?;
        Ok(packed.map(|packed| {
            let end = first_seq + packed.run.entries.len() as u64;
            (RunBatch { runs: vec![packed.run], order: Vec::new() }, end)
        }))
    }
}

impl Writing {
    /// The heads of the document as it is now.
    pub fn heads(&mut self) -> String {
        documents::heads(&self.doc.get_heads())
    }
}
