//! A wijk made of entries alone: authors with chains, who can write anything at all, and replicas that take it.
//!
//! Cards are plain keys here, so nothing waits for Argon2. Use it with `#[path = "common/wijk.rs"] mod wijk;`.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "part of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use samenspraak_core::entry::codec::{self, DocumentChange, Opening, Record};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::entry::subject::{body_hash, creator, subject_id, tombstone_salt};
use samenspraak_core::entry::{EraseSecret, Header, Kind, Payload, Run, RunEntry, Salt, Seed, Tombstone};
use samenspraak_core::gate::Verdict;
use samenspraak_core::model::*;
use samenspraak_core::replica::{Admitted, Replica, RunBatch, Side};
use samenspraak_core::store::MemoryStore;

/// Key of author number `n`.
pub fn key(n: u8) -> Key {
    Key::from_secret(&[n; 32])
}

/// A subject with everything its author knows of it.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    pub id: SubjectId,
    pub kind: Kind,
    pub device: DeviceId,
    pub seed: Seed,
    pub erase_secret: EraseSecret,
}

impl Subject {
    pub fn opening(&self) -> Opening {
        Opening { seed: self.seed, commit: self.erase_secret.commit() }
    }

    /// The owner's tombstone.
    pub fn tombstone(&self) -> Tombstone {
        let Self { id: subject, kind, device, seed, erase_secret } = *self;
        Tombstone::Owner { subject, device, kind, nonce: seed.nonce(), erase_secret }
    }
}

/// One entry as a run of its own.
#[derive(Clone, Debug)]
pub struct Made {
    pub run: Run,
    pub id: EntryId,
    pub space: SpaceId,
}

impl Made {
    pub fn batch(&self) -> RunBatch {
        RunBatch { runs: vec![self.run.clone()], order: vec![] }
    }
}

/// Consecutive entries of one author as one run.
pub fn joined(entries: &[Made]) -> RunBatch {
    let mut run = entries[0].run.clone();
    for next in &entries[1..] {
        run.entries.extend(next.run.entries.clone());
        run.signature = next.run.signature;
    }
    RunBatch { runs: vec![run], order: vec![] }
}

/// A device with its chains. It signs whatever it is told to.
#[derive(Clone)]
pub struct Author {
    pub key: Key,
    pub person: PersonId,
    pub wijk: WijkId,
    heads: BTreeMap<SpaceId, (u64, EntryId)>,
    seeds: u16,
}

impl Author {
    pub fn new(number: u8, wijk: WijkId) -> Self {
        Self::with_key(key(number), wijk)
    }

    pub fn with_key(key: Key, wijk: WijkId) -> Self {
        let person = codec::person_of(wijk, key.id());
        Self { key, person, wijk, heads: BTreeMap::new(), seeds: 0 }
    }

    pub fn device(&self) -> DeviceId {
        self.key.id()
    }

    /// The next subject of this author in the space `open`.
    pub fn subject(&mut self, kind: Kind) -> Subject {
        self.subject_in(SpaceId::Open, kind)
    }

    pub fn subject_in(&mut self, space: SpaceId, kind: Kind) -> Subject {
        self.seeds += 1;
        let number = self.seeds.to_be_bytes();
        let mut seed: [u8; 16] = std::array::from_fn(|at| number[at % 2]);
        seed[0] = self.device().as_bytes()[0];
        let (seed, erase_secret) = (Seed(seed), EraseSecret(std::array::from_fn(|at| number[at % 2])));
        // What was dropped names nobody.
        let device = creator(kind, self.device());
        let id = subject_id(self.wijk, space, device, kind, &seed.nonce(), &erase_secret.commit());
        Subject { id, kind, device, seed, erase_secret }
    }

    pub fn actor(&self, subject: SubjectId, session: u8) -> [u8; 16] {
        codec::actor(self.device(), subject, &[session; 8])
    }

    /// The entry that creates a subject.
    pub fn create(&mut self, space: SpaceId, subject: &Subject, record: &Record) -> Made {
        let body = codec::encode(Some(&subject.opening()), record);
        self.raw(space, subject.kind, subject.id, &subject.seed.salt(), body, true)
    }

    /// An entry about a subject that exists, anybody's.
    pub fn follow(&mut self, space: SpaceId, subject: &Subject, record: &Record) -> Made {
        let body = codec::encode(None, record);
        self.raw(space, subject.kind, subject.id, &subject.seed.salt(), body, false)
    }

    pub fn tombstone(&mut self, space: SpaceId, subject: SubjectId, tombstone: Tombstone) -> Made {
        self.raw(space, Kind::TOMBSTONE, subject, &tombstone_salt(), tombstone.encode(), false)
    }

    /// An entry with any body, signed as the next of its chain. Its hash travels along unless it creates its subject.
    pub fn raw(&mut self, space: SpaceId, kind: Kind, about: SubjectId, salt: &Salt, body: Vec<u8>, new: bool) -> Made {
        let device = self.device();
        let (seq, prev) = self.heads.get(&space).copied().unwrap_or((0, EntryId::ZERO));
        let hash = body_hash(salt, device, seq, &body);
        let header =
            Header { wijk: self.wijk, space, device, seq, prev, subject: about, kind, body_hash: hash, extra: vec![] };
        let id = header.id();
        self.heads.insert(space, (seq + 1, id));
        let payload = match new {
            true => Payload::Creating { body },
            false => Payload::Following { subject: about, body, hash: Some(hash) },
        };
        let entries = vec![RunEntry { kind, payload, extra: vec![] }];
        let run = Run { device, first_seq: seq, prev, entries, signature: self.key.sign_entry(id) };
        Made { run, id, space }
    }

    pub fn change(&mut self, subject: &Subject, session: u8, change: Vec<u8>, creates: bool) -> Made {
        let record = Record::Change(DocumentChange { session: [session; 8], change, replaces: None });
        match creates {
            true => self.create(SpaceId::Open, subject, &record),
            false => self.follow(SpaceId::Open, subject, &record),
        }
    }

    /// A contribution of some words.
    pub fn contribute(&mut self, words: &str) -> (Subject, Made) {
        let subject = self.subject(Kind::CONTRIBUTION);
        let content = Content { title: words.into(), text: words.into(), theme: 1, buurt: String::new() };
        let actor = self.actor(subject.id, 1);
        let change = samenspraak_core::document::contribution::create(actor, &content).unwrap().unwrap();
        (subject, self.change(&subject, 1, change, true))
    }

    /// A voice in a subject of its own.
    pub fn speak(&mut self, question: SubjectId, choice: Choice, counter: u64) -> (Subject, Made) {
        let subject = self.subject(Kind::VOICE);
        let voice = Record::Voice(Voice { question, choice, counter, replaces: None });
        (subject, self.create(SpaceId::Open, &subject, &voice))
    }

    pub fn decide(&mut self, about: SubjectId, answer: &str) -> (Subject, Made) {
        let subject = self.subject(Kind::DECISION);
        let decision = Record::Decision(Decision {
            about: vec![about],
            outcome: Outcome::Yes,
            reason: "Daarom.".into(),
            answer: answer.into(),
            party: String::new(),
            due_day: None,
            replaces: vec![],
        });
        (subject, self.create(SpaceId::Open, &subject, &decision))
    }
}

/// A wijk: its root, and everything in the space `members` in the order it was written.
pub struct Wijk {
    pub id: WijkId,
    pub root: Author,
    pub members: Vec<Made>,
    cards: u8,
}

impl Wijk {
    pub fn new() -> Self {
        let mut root = Author::new(200, WijkId::ZERO);
        let mut genesis = root.subject_in(SpaceId::Members, Kind::GENESIS);
        let record = Record::Genesis(root.device());
        let id = codec::wijk_id(&codec::encode(Some(&genesis.opening()), &record));
        root.wijk = id;
        let (nonce, commit) = (genesis.seed.nonce(), genesis.erase_secret.commit());
        genesis.id = subject_id(id, SpaceId::Members, root.device(), Kind::GENESIS, &nonce, &commit);
        let first = root.create(SpaceId::Members, &genesis, &record);
        Self { id, root, members: vec![first], cards: 0 }
    }

    /// A record of the root's. Returns its subject.
    pub fn member_record(&mut self, kind: Kind, record: &Record) -> Subject {
        let subject = self.root.subject_in(SpaceId::Members, kind);
        let made = self.root.create(SpaceId::Members, &subject, record);
        self.members.push(made);
        subject
    }

    /// A card for a role, known in the wijk.
    pub fn card(&mut self, role: Role) -> Key {
        self.cards += 1;
        let card = Key::from_secret(&[
            self.cards, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 9,
        ]);
        let key = InvitationKey::new(*card.id().as_bytes());
        self.member_record(Kind::INVITATION, &Record::Invitation(Invitation::to_role(key, role)));
        card
    }

    /// The join of a device with a card, not taken by anybody yet.
    pub fn join_entry(&self, author: &mut Author, card: &Key) -> Made {
        let encryption_key = [3; 32];
        let message = codec::join_message(self.id, author.device(), author.person, &encryption_key);
        let record = Record::Join(Join {
            invitation: InvitationKey::new(*card.id().as_bytes()),
            person: author.person,
            proof: card.sign(&message).0,
            encryption_key,
        });
        let subject = author.subject_in(SpaceId::Members, Kind::JOIN);
        author.create(SpaceId::Members, &subject, &record)
    }

    /// A member in a role, number below 200.
    pub fn member(&mut self, number: u8, role: Role) -> Author {
        let card = self.card(role);
        let mut author = Author::new(number, self.id);
        let made = self.join_entry(&mut author, &card);
        self.members.push(made);
        author
    }

    pub fn grant(&mut self, person: PersonId, role: Role) -> Made {
        self.member_record(Kind::GRANT, &Record::Grant(Grant::of(person, role)));
        self.members.last().unwrap().clone()
    }

    /// An empty replica over memory.
    pub fn empty(&self, side: Side) -> Replica {
        Replica::open(self.id, side, Arc::new(MemoryStore::new())).unwrap()
    }

    /// A replica that knows everybody.
    pub fn replica(&self, side: Side) -> Replica {
        let mut replica = self.empty(side);
        for made in &self.members {
            take(&mut replica, made);
        }
        replica
    }

    pub fn server(&self) -> Replica {
        self.replica(Side::Server)
    }
}

/// Commits what a replica collected, as a caller does.
pub fn commit(replica: &mut Replica) {
    let rows = replica.take_rows();
    replica.store().commit(&rows).unwrap();
    replica.committed();
}

/// Admits and commits one entry that must be placed.
pub fn take(replica: &mut Replica, made: &Made) -> Verdict {
    let admitted = replica.admit(made.space, &made.batch()).unwrap();
    commit(replica);
    admitted.entries[0].verdict
}

/// Admits and commits a batch that must be placed.
pub fn take_all(replica: &mut Replica, space: SpaceId, batch: &RunBatch) -> Admitted {
    let admitted = replica.admit(space, batch).unwrap();
    commit(replica);
    admitted
}

/// What is said of an entry now.
pub fn verdict(replica: &Replica, made: &Made) -> Verdict {
    let place = replica.place_of(made.id).unwrap().unwrap();
    replica.entry(place).unwrap().unwrap().kept.verdict()
}
