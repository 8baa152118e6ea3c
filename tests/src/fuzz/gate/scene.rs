//! Where hostile entries arrive: the server after an honest evening, the keys of everybody who was there, and a phone that
//! will hear of it all.

use automerge::Automerge;
use samenspraak_core::app::Identity;
use samenspraak_core::document;
use samenspraak_core::entry::codec::{self, Opening, Record};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::entry::subject::{subject_id, tombstone_salt};
use samenspraak_core::entry::{EraseSecret, Kind, Salt, Seed};
use samenspraak_core::gate::fold::Folded;
use samenspraak_core::model::{DeviceId, EntryId, InvitationKey, PersonId, Role, SpaceId, SubjectId, WijkId};
use samenspraak_core::replica::{EntryRow, Kept, Place, Replica, RunBatch};
use samenspraak_core::store::Table;

use crate::conversation::Conversation;
use crate::world::{Phone, World};

/// Spaces that every phone follows.
pub const EVERYBODY: [SpaceId; 2] = [SpaceId::Members, SpaceId::Open];

/// Somebody whose device signs whatever it is told to.
#[derive(Clone)]
pub struct Writer {
    pub key: Key,
    pub person: PersonId,
    /// Erase secrets follow from it.
    pub person_secret: [u8; 32],
}

impl Writer {
    fn of(identity: &Identity) -> Self {
        Self { key: identity.key(), person: identity.person, person_secret: identity.person_secret }
    }

    /// A device that hasn't joined.
    pub fn stranger(wijk: WijkId, number: u8) -> Self {
        let key = Key::from_secret(&[number; 32]);
        let person = codec::person_of(wijk, key.id());
        Self { key, person, person_secret: [number; 32] }
    }
}

/// Places of the writers in their list.
pub const FACILITATOR: usize = 0;
pub const BOARD: usize = 1;
pub const ADMINISTRATOR: usize = 2;
pub const RESIDENT: usize = 3;
pub const NEIGHBOUR: usize = 4;
const WRITERS: usize = 5;

/// A subject with everything its author knows of it.
#[derive(Clone, Copy)]
pub struct Subject {
    pub id: SubjectId,
    pub space: SpaceId,
    pub kind: Kind,
    pub by: usize,
    pub seed: Seed,
    pub erase_secret: EraseSecret,
}

impl Subject {
    pub fn opening(&self) -> Opening {
        Opening { seed: self.seed, commit: self.erase_secret.commit() }
    }

    /// The salt of an entry of this kind about it.
    pub fn salt(&self, kind: Kind) -> Salt {
        if kind == Kind::TOMBSTONE { tombstone_salt() } else { self.seed.salt() }
    }
}

/// The state from which every input starts.
pub struct Base {
    evening: Conversation,
    victim: Phone,
    victim_device: DeviceId,
    writers: Vec<Writer>,
    cards: Vec<Key>,
    subjects: Vec<Subject>,
    entries: Vec<EntryId>,
}

impl Base {
    pub fn new() -> Self {
        let mut evening = Conversation::new();
        let mut victim = evening.world.join(Role::Resident);
        let wijk = evening.world.wijk;
        let cards = [Role::Resident, Role::Facilitator].map(|role| evening.world.card(role).secret.key(wijk)).into();
        assert_eq!(evening.world.sync(&mut victim).settled, Some(None));
        let writers: Vec<Writer> = evening.phones().map(|phone| Writer::of(phone.joined().identity())).into();
        let victim_device = victim.joined().identity().key().id();
        let (subjects, entries) = (Vec::new(), Vec::new());
        let mut base = Self { evening, victim, victim_device, writers, cards, subjects, entries };
        let replica = base.evening.world.server().replica();
        for (place, row) in all_entries(replica) {
            base.entries.push(row.id);
            let writes = |writer: &Writer| writer.key.in_space(wijk, place.space).id() == place.device;
            let by = base.writers.iter().position(writes);
            if let (true, Some(by), Some(body)) = (row.creates, by, row.kept.body())
                && let Ok(Some(opening)) = codec::opening(body)
            {
                let seed = opening.seed;
                let erase_secret = EraseSecret::derive(&base.writers[by].person_secret, &seed);
                let Place { space, .. } = place;
                base.subjects.push(Subject { id: row.subject, space, kind: row.kind, by, seed, erase_secret });
            }
        }
        assert!(base.subjects.len() > WRITERS, "an evening has subjects");
        base
    }

    /// The server after the evening.
    pub fn replica(&self) -> &Replica {
        self.evening.world.server().replica()
    }
}

/// One input's world.
pub struct Scene {
    pub world: World,
    pub victim: Phone,
    pub victim_device: DeviceId,
    pub writers: Vec<Writer>,
    pub cards: Vec<Key>,
    pub subjects: Vec<Subject>,
    /// Entries that records can name.
    pub entries: Vec<EntryId>,
    pub meeting: SubjectId,
    pub circle: SpaceId,
    /// Batches that the server took.
    pub pushed: Vec<(SpaceId, RunBatch)>,
    seeds: u8,
}

impl Scene {
    pub fn begin(base: &Base) -> Self {
        Self {
            world: base.evening.world.copy(1),
            victim: base.victim.copy(),
            victim_device: base.victim_device,
            writers: base.writers.clone(),
            cards: base.cards.clone(),
            subjects: base.subjects.clone(),
            entries: base.entries.clone(),
            meeting: base.evening.meeting,
            circle: base.evening.circle,
            pushed: Vec::new(),
            seeds: 0,
        }
    }

    pub fn wijk(&self) -> WijkId {
        self.world.wijk
    }

    /// The key somebody writes with in a space.
    pub fn key(&self, by: usize, space: SpaceId) -> Key {
        self.writers[by].key.in_space(self.wijk(), space)
    }

    pub fn replica(&self) -> &Replica {
        self.world.server().replica()
    }

    /// A new subject of a writer, not written yet.
    pub fn subject(&mut self, by: usize, space: SpaceId, kind: Kind) -> Subject {
        self.seeds = self.seeds.wrapping_add(1);
        let seed = Seed([self.seeds; 16]);
        let erase_secret = EraseSecret::derive(&self.writers[by].person_secret, &seed);
        let (device, nonce) = (self.key(by, space).id(), seed.nonce());
        let id = subject_id(self.wijk(), space, device, kind, &nonce, &erase_secret.commit());
        let subject = Subject { id, space, kind, by, seed, erase_secret };
        self.subjects.push(subject);
        subject
    }

    /// The key of a card that nobody used yet, and its public half.
    pub fn card(&self, at: usize) -> (&Key, InvitationKey) {
        let key = &self.cards[at % self.cards.len()];
        (key, InvitationKey::new(*key.id().as_bytes()))
    }
}

/// A document as everybody opens it who has what this replica has.
pub fn open(replica: &Replica, subject: SubjectId) -> Folded {
    let places = replica.entries_of(SpaceId::Open, subject).expect("entries are read");
    let bodies = places.into_iter().filter_map(|place| {
        let row = replica.entry(place).expect("an entry is read")?;
        let Kept::Present(body) = row.kept else { return None };
        match codec::decode(row.kind, &body) {
            Ok(Some(Record::Change(change))) => Some((row.id, change.change)),
            _ => None,
        }
    });
    document::open(bodies.collect())
}

/// The document alone, to write on.
pub fn document(replica: &Replica, subject: SubjectId) -> Automerge {
    open(replica, subject).doc
}

/// Everything a replica has, chain by chain.
pub fn all_entries(replica: &Replica) -> Vec<(Place, EntryRow)> {
    let rows = replica.store().scan(Table::Entry, &[], None, usize::MAX).expect("memory is read");
    let entry = |key: &[u8], value: &[u8]| Some((Place::decode(key)?, EntryRow::decode(value).ok()?));
    let all: Vec<_> = rows.iter().filter_map(|row| entry(&row.key, &row.value)).collect();
    assert_eq!(all.len(), rows.len(), "a row of an entry can't be read");
    all
}
