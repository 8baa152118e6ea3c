//! One copy of a wijk: chains, subjects, members and what waits, over a [`Store`].
//!
//! [`Replica::admit`] asks the gate's header and body questions for runs from elsewhere; [`Replica::write`] makes entries of
//! this device. Both only collect rows: the caller commits them ([`Replica::take_rows`]) and then says
//! [`Replica::committed`]. Until then nothing may be shown as saved, sent or receipted. When a commit fails the replica is
//! dropped and opened again from its store.
//!
//! Not here: numbers and receipts (`sync::server`), what screens show (`view`), documents (`document`).

mod about;
mod admit;
mod again;
mod batch;
mod built_on;
mod erase;
mod fork;
mod rebuild;
mod recent;
mod relay;
pub mod rows;
mod runs;
mod standing;
mod txn;
mod wake;

use std::sync::Arc;

pub use about::places_about;
pub use again::{erase_again, erased_subjects};
pub use batch::{Admitted, BatchRefusal, Checked, News, Outcome, RunBatch};
pub use rebuild::{Rebuilt, rebuild};
pub use relay::{Lacking, Relayed};
pub use rows::{EntryRow, Head, Kept, Place, SubjectRow};
pub use runs::{Hashes, PackedRun, run_entry};

use crate::cbor::CborError;
use crate::entry::codec::{self, Opening, Record};
use crate::entry::sign::Key;
use crate::entry::subject::{body_hash, creator, subject_id, tombstone_salt};
use crate::entry::{EraseSecret, Header, Kind, Salt, Seed};
use crate::gate::Dep;
use crate::gate::body::{SubjectState, is_membership};
use crate::membership::{Asked, Members};
use crate::model::{DeviceId, EntryId, PersonId, SpaceId, SubjectId, WijkId};
use crate::ordered::{Map, Set};
use crate::store::{Batch, Row, Store, StoreError, Table, keys, walk};

/// How the keys of entries in closed spaces begin: the first byte of [`SpaceId::to_bytes`].
const CLOSED_PREFIXES: [&[u8]; 4] = [&[2], &[3], &[5], &[6]];

/// Rows read at a time when a table is walked.
const SCAN_ROWS: usize = 512;

/// Why a replica can't go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row has another form than this program writes.
    #[error("a row of {table:?} can't be read")]
    Row {
        /// The table.
        table: Table,
        /// What is wrong.
        #[source]
        cause: CborError,
    },
    /// Two rows contradict each other.
    #[error("rows contradict each other: {what}")]
    Contradiction {
        /// What doesn't fit.
        what: &'static str,
    },
}

/// Which side of the wijk this copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A server refuses kinds newer than itself.
    Server,
    /// A phone keeps and relays them, and keeps its own refused words.
    Phone {
        /// The phone's own device.
        device: DeviceId,
    },
}

/// See the module.
pub struct Replica {
    wijk: WijkId,
    side: Side,
    store: Arc<dyn Store>,
    members: Members,
    heads: Map<(SpaceId, DeviceId), Head>,
    waiting: Map<Dep, Set<Place>>,
    waiting_by_device: Map<DeviceId, usize>,
    /// Rows admitted and not yet committed.
    uncommitted: Map<(Table, Vec<u8>), Option<Vec<u8>>>,
    recent: recent::Recent,
    /// Grows with everything that is admitted.
    admissions: u64,
}

impl Replica {
    /// Opens what `store` holds of `wijk`; an empty store gives an empty replica.
    ///
    /// # Errors
    /// When rows can't be read.
    pub fn open(wijk: WijkId, side: Side, store: Arc<dyn Store>) -> Result<Self, ReplicaError> {
        let mut replica = Self::open_around(Members::new(wijk), side, store)?;
        // This phone's own join waits for the server's log, so nobody belongs by it yet.
        let unlogged = replica.waiting.iter().filter(|(dep, _)| matches!(dep, Dep::Log(_)));
        let unlogged = unlogged.flat_map(|(_, at)| at.clone()).collect();
        replica.members = fold_members(wijk, replica.store.as_ref(), &unlogged)?;
        Ok(replica)
    }

    /// Opens what `store` holds around the members that were read from it before ([`Replica::members_in`]); nobody may have
    /// written to it since.
    ///
    /// # Errors
    /// When rows can't be read.
    pub fn open_around(members: Members, side: Side, store: Arc<dyn Store>) -> Result<Self, ReplicaError> {
        let mut replica = Self {
            wijk: members.wijk(),
            side,
            store,
            members,
            heads: Map::new(),
            waiting: Map::new(),
            waiting_by_device: Map::new(),
            uncommitted: Map::new(),
            recent: recent::Recent::default(),
            admissions: 0,
        };
        replica.walk(Table::Meta, keys::CHAIN_HEADS, |replica, row| {
            let (space, device) = keys::parse_chain_head(&row.key)
                .ok_or(ReplicaError::Contradiction { what: "the key of a chain head has another form" })?;
            let head = Head::decode(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Meta, cause })?;
            replica.heads.insert((space, device), head);
            Ok(())
        })?;
        replica.walk(Table::Pending, &[], |replica, row| {
            let place = Place::decode(&row.key)
                .ok_or(ReplicaError::Contradiction { what: "the key of a pending entry has another form" })?;
            let dep =
                rows::decode_dep(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Pending, cause })?;
            replica.waits(dep, place);
            Ok(())
        })?;
        Ok(replica)
    }

    /// Who belongs by what a server's store holds: enough to let phones in, in a fraction of the time that opening all of the
    /// replica takes.
    ///
    /// # Errors
    /// When rows can't be read.
    pub fn members_in(wijk: WijkId, store: &dyn Store) -> Result<Members, ReplicaError> {
        fold_members(wijk, store, &Set::new())
    }

    /// Calls `each` for every committed row whose key begins with `prefix`.
    pub(crate) fn walk(
        &mut self,
        table: Table,
        prefix: &[u8],
        mut each: impl FnMut(&mut Self, Row) -> Result<(), ReplicaError>,
    ) -> Result<(), ReplicaError> {
        let store = Arc::clone(&self.store);
        walk(store.as_ref(), table, prefix, |row| each(self, row))
    }

    /// The wijk.
    #[must_use]
    pub fn wijk(&self) -> WijkId {
        self.wijk
    }

    /// Who belongs.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Says which device and person this phone writes as before its join is confirmed.
    pub fn set_provisional(&mut self, device: DeviceId, person: PersonId) {
        self.members.set_provisional(device, person);
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Last entry of a device's chain in a space.
    #[must_use]
    pub fn head(&self, space: SpaceId, device: DeviceId) -> Option<Head> {
        self.heads.get(&(space, device)).copied()
    }

    /// Spaces in which anybody wrote.
    #[must_use]
    pub fn spaces(&self) -> Set<SpaceId> {
        self.heads.keys().map(|(space, _)| *space).collect()
    }

    /// All chains of a space: the frontier.
    pub fn frontier(&self, space: SpaceId) -> impl Iterator<Item = (DeviceId, Head)> + '_ {
        let (first, last) = ((space, DeviceId::ZERO), (space, DeviceId::new([0xff; 32])));
        self.heads.range(first..=last).map(|((_, device), head)| (*device, *head))
    }

    /// Number of entries whose bodies wait.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.waiting.values().map(Set::len).sum()
    }

    fn waits(&mut self, dep: Dep, place: Place) {
        if self.waiting.entry(dep).or_default().insert(place) {
            *self.waiting_by_device.entry(place.device).or_insert(0) += 1;
        }
    }

    /// Whether something was admitted or written that isn't committed.
    #[must_use]
    pub fn has_uncommitted(&self) -> bool {
        !self.uncommitted.is_empty()
    }

    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.uncommitted.is_empty()
            && let Some(value) = self.uncommitted.get(&(table, key.to_vec()))
        {
            return Ok(value.clone());
        }
        if let Some(value) = self.recent.get(table, key) {
            return Ok(value.clone());
        }
        self.store.get(table, key)
    }

    /// An entry by its place.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn entry(&self, place: Place) -> Result<Option<EntryRow>, ReplicaError> {
        let row = self.row(Table::Entry, &place.encode())?;
        row.map(|row| EntryRow::decode(&row).map_err(|cause| ReplicaError::Row { table: Table::Entry, cause }))
            .transpose()
    }

    /// Where an entry stands.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn place_of(&self, id: EntryId) -> Result<Option<Place>, ReplicaError> {
        let row = self.row(Table::EntryId, id.as_bytes())?;
        row.map(|row| {
            Place::decode(&row).ok_or(ReplicaError::Contradiction { what: "the place of an entry has another form" })
        })
        .transpose()
    }

    /// A subject.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn subject(&self, space: SpaceId, subject: SubjectId) -> Result<Option<SubjectRow>, ReplicaError> {
        let row = self.row(Table::Subject, &keys::subject(space, subject))?;
        row.map(|row| SubjectRow::decode(&row).map_err(|cause| ReplicaError::Row { table: Table::Subject, cause }))
            .transpose()
    }

    /// The places of all committed entries about a subject, the creating one first.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn entries_of(&self, space: SpaceId, subject: SubjectId) -> Result<Vec<Place>, ReplicaError> {
        let creator = self.subject(space, subject)?.and_then(|row| row.creator);
        let creator = creator.map(|(device, seq)| Place { space, device, seq });
        let wrong = |cause| ReplicaError::Row { table: Table::Change, cause };
        places_about(self.store.as_ref(), (space, subject), creator, wrong)
    }

    /// Writes an entry that creates its subject and whose body somebody else made, sealed: it opens its subject itself.
    ///
    /// # Errors
    /// When the body opens no subject, the store fails or the chain is full.
    pub fn write_body(
        &mut self,
        key: &Key,
        space: SpaceId,
        kind: Kind,
        body: Vec<u8>,
    ) -> Result<Admitted, ReplicaError> {
        let none = ReplicaError::Contradiction { what: "a body that opens no subject" };
        let Ok(Some(opening)) = codec::opening(&body) else { return Err(none) };
        let nonce = opening.seed.nonce();
        let subject = subject_id(self.wijk, space, creator(kind, key.id()), kind, &nonce, &opening.commit);
        self.append(key, space, kind, subject, Some(opening), &opening.seed.salt(), body)
    }

    /// Writes an entry of this device: the next of its chain, signed. `opening` is given when it creates its subject.
    ///
    /// The entry passes the same body question as any other; what this device may not (yet) do is pending or refused on
    /// the phone already.
    ///
    /// # Errors
    /// When the store fails or the chain is full.
    pub fn write(
        &mut self,
        key: &Key,
        space: SpaceId,
        kind: Kind,
        about: About,
        record: &Record,
    ) -> Result<Admitted, ReplicaError> {
        let device = key.id();
        let (subject, opening, salt) = match about {
            About::New { seed, erase_secret } => {
                let opening = Opening { seed, commit: erase_secret.commit() };
                let subject = subject_id(self.wijk, space, creator(kind, device), kind, &seed.nonce(), &opening.commit);
                (subject, Some(opening), seed.salt())
            }
            About::Existing(subject) if kind == Kind::TOMBSTONE => (subject, None, tombstone_salt()),
            About::Existing(subject) => {
                let row = self.subject(space, subject)?;
                let seed = row.and_then(|row| row.opening).map(|(seed, _)| seed);
                let seed =
                    seed.ok_or(ReplicaError::Contradiction { what: "an entry about a subject that isn't here" })?;
                (subject, None, seed.salt())
            }
        };
        let body = codec::encode(opening.as_ref(), record);
        self.append(key, space, kind, subject, opening, &salt, body)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one entry, each of another type")]
    fn append(
        &mut self,
        key: &Key,
        space: SpaceId,
        kind: Kind,
        subject: SubjectId,
        opening: Option<Opening>,
        salt: &Salt,
        body: Vec<u8>,
    ) -> Result<Admitted, ReplicaError> {
        let device = key.id();
        let head = self.head(space, device);
        let (seq, prev) = head.map_or((0, EntryId::ZERO), |head| (head.seq + 1, head.id));
        let header = Header {
            wijk: self.wijk,
            space,
            device,
            seq,
            prev,
            subject,
            kind,
            body_hash: body_hash(salt, device, seq, &body),
            extra: Vec::new(),
        };
        let id = header.id();
        self.place_own(header, id, opening, body, key.sign_entry(id))
    }

    /// The state of a subject, for callers that only need this.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn subject_state(&self, space: SpaceId, subject: SubjectId) -> Result<Option<SubjectState>, ReplicaError> {
        Ok(self.subject(space, subject)?.map(|row| row.state))
    }

    /// Takes the rows that wait to be committed. They stay visible to this replica until [`Replica::committed`].
    #[must_use]
    pub fn take_rows(&mut self) -> Batch {
        let mut batch = Batch::new();
        for ((table, key), value) in &self.uncommitted {
            match value {
                Some(value) => batch.put(*table, key.as_slice(), value.as_slice()),
                None => batch.delete(*table, key.as_slice()),
            }
        }
        batch
    }

    /// The rows that were taken are durable now.
    pub fn committed(&mut self) {
        self.recent.take(std::mem::take(&mut self.uncommitted));
    }
}

/// Folds the stored members: all records that have a place, whether they count or wait, but for those at `unlogged`. No
/// signature is checked again: each was when its row was written, and rows of the journal have checksums.
fn fold_members(wijk: WijkId, store: &dyn Store, unlogged: &Set<Place>) -> Result<Members, ReplicaError> {
    let mut said = Vec::new();
    let prefixes = [keys::space(SpaceId::Members)].into_iter().chain(CLOSED_PREFIXES.map(<[u8]>::to_vec));
    for prefix in prefixes {
        walk(store, Table::Entry, &prefix, |row| {
            said.extend(membership_row(&row)?.filter(|said| !unlogged.contains(&said.place)));
            Ok::<_, ReplicaError>(())
        })?;
    }
    let mut members = Members::new(wijk);
    members.take_all(said.iter().map(|Said { place, id, subject, record, body }| {
        let Place { space, device, seq } = *place;
        (space, Asked { device, seq, id: *id, subject: *subject, record, body })
    }));
    Ok(members)
}

/// A stored record about who belongs.
struct Said {
    place: Place,
    id: EntryId,
    subject: SubjectId,
    record: Record,
    body: Vec<u8>,
}

/// A stored record about who belongs that counts or waits; nothing for other rows.
fn membership_row(row: &Row) -> Result<Option<Said>, ReplicaError> {
    let entry = EntryRow::decode(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Entry, cause })?;
    let (Some(place), Kept::Present(body) | Kept::Pending(body)) = (Place::decode(&row.key), entry.kept) else {
        return Ok(None);
    };
    if !is_membership(entry.kind) {
        return Ok(None);
    }
    let record = codec::decode(entry.kind, &body).ok().flatten();
    Ok(record.map(|record| Said { place, id: entry.id, subject: entry.subject, record, body }))
}

/// What a new entry is about.
#[derive(Clone, Copy, Debug)]
pub enum About {
    /// A subject that this entry creates.
    New {
        /// Random.
        seed: Seed,
        /// Whoever knows it can erase the subject.
        erase_secret: EraseSecret,
    },
    /// A subject that exists.
    Existing(SubjectId),
}
