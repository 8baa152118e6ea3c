//! What a phone holds of its wijk while it runs: identity, replica, view, receipts, and documents that were looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use automerge::Automerge;

use super::Identity;
use crate::cbor::{Reader, Writer};
use crate::document;
use crate::entry::codec::{self, Record};
use crate::entry::sign::Key;
use crate::entry::{Kind, codec::DocumentChange};
use crate::gate::Verdict;
use crate::model::{Content, EntryId, PersonId, SpaceId, SubjectId};
use crate::replica::{EntryRow, Kept, Outcome, Place, Replica, ReplicaError, Side};
use crate::store::log::{LogHead, decode_line};
use crate::store::{Store, Table, keys};
use crate::sync::phone::{Remembered, SPACES, Session};
use crate::sync::wire::ReceiptLine;
use crate::view::{Numbered, View};

/// Documents kept open: what a person looks at in a minute. One costs about 22 KiB of memory.
const DOCUMENTS_OPEN_MAX: usize = 64;

pub(super) const IDENTITY_KEY: &[u8] = b"identity";

pub(super) fn sync_key(space: SpaceId) -> Vec<u8> {
    [b"sync/".as_slice(), &space.to_bytes()].concat()
}

struct OpenDocument {
    doc: Automerge,
    folded: BTreeSet<Place>,
    set_aside: usize,
}

/// See the module.
pub struct Joined {
    pub(super) identity: Identity,
    pub(super) key: Key,
    pub(super) replica: Replica,
    pub(super) view: View,
    pub(super) receipts: BTreeMap<EntryId, ReceiptLine>,
    pub(super) remembered: BTreeMap<SpaceId, Remembered>,
    pub(super) session: Option<Session>,
    /// One session a process and document; never one that was used before.
    pub(super) sessions: BTreeMap<SubjectId, [u8; 8]>,
    documents: BTreeMap<SubjectId, OpenDocument>,
    documents_opened: u64,
    /// Words of contributions as of so many entries, so that a list doesn't open every document again.
    words: BTreeMap<SubjectId, (usize, Content)>,
}

impl Joined {
    /// A phone that has just made its identity.
    pub(super) fn new(identity: Identity, store: &Arc<dyn Store>) -> Result<Self, ReplicaError> {
        let key = identity.key();
        let mut replica = Replica::open(identity.wijk, Side::Phone { device: key.id() }, Arc::clone(store))?;
        replica.set_provisional(key.id(), identity.person);
        Ok(Self {
            identity,
            key,
            replica,
            view: View::default(),
            receipts: BTreeMap::new(),
            remembered: BTreeMap::new(),
            session: None,
            sessions: BTreeMap::new(),
            documents: BTreeMap::new(),
            documents_opened: 0,
            words: BTreeMap::new(),
        })
    }

    /// Reads everything back from a store; `None` when nobody joined with it.
    pub(super) fn load(store: &Arc<dyn Store>) -> Result<Option<Self>, ReplicaError> {
        let Some(identity) = store.get(Table::Meta, IDENTITY_KEY)? else { return Ok(None) };
        let identity = Identity::decode(&identity).map_err(|cause| ReplicaError::Row { table: Table::Meta, cause })?;
        let mut joined = Self::new(identity, store)?;
        let mut wanted = BTreeSet::new();
        joined.read_entries(&mut wanted)?;
        joined.read_numbers(&wanted)?;
        joined.read_receipts()?;
        joined.read_sync()?;
        Ok(Some(joined))
    }

    fn read_entries(&mut self, wanted: &mut BTreeSet<EntryId>) -> Result<(), ReplicaError> {
        let (view, device) = (&mut self.view, self.key.id());
        self.replica.walk(Table::Entry, &keys::space(SpaceId::Open), |replica, row| {
            let entry =
                EntryRow::decode(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Entry, cause })?;
            let Some(place) = Place::decode(&row.key) else { return Ok(()) };
            if is_numbered(entry.kind) || place.device == device {
                wanted.insert(entry.id);
            }
            if let Kept::Present(body) = &entry.kept
                && let Ok(Some(record)) = codec::decode(entry.kind, body)
            {
                let person = replica.members().person(place.device);
                view.counts(place, entry.id, entry.kind, entry.subject, person, entry.creates, &record);
            }
            Ok(())
        })
    }

    fn read_numbers(&mut self, wanted: &BTreeSet<EntryId>) -> Result<(), ReplicaError> {
        for space in SPACES {
            let mut numbers: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
            let view = &mut self.view;
            self.replica.walk(Table::Log, &keys::space(space), |_, row| {
                let (item, _) =
                    decode_line(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Log, cause })?;
                let epoch = row.key.get(..row.key.len().saturating_sub(8)).unwrap_or_default().to_vec();
                let number = numbers.entry(epoch).or_insert(0);
                if wanted.contains(&item.id) {
                    view.numbered(item.id, Numbered { number: *number, day: item.day, verdict: item.verdict });
                }
                *number += 1;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn read_receipts(&mut self) -> Result<(), ReplicaError> {
        let receipts = &mut self.receipts;
        self.replica.walk(Table::Receipt, &[], |_, row| {
            let wrong = |cause| ReplicaError::Row { table: Table::Receipt, cause };
            // Rows under an entry's id say where it stands; the signed receipts themselves have longer keys.
            if let Ok(id) = row.key.as_slice().try_into().map(EntryId::new) {
                let line = decode_receipt_line(id, &row.value).map_err(wrong)?;
                receipts.insert(id, line);
            }
            Ok(())
        })
    }

    fn read_sync(&mut self) -> Result<(), ReplicaError> {
        for space in SPACES {
            if let Some(row) = self.replica.store().get(Table::Meta, &sync_key(space))? {
                let remembered = decode_sync(&row).map_err(|cause| ReplicaError::Row { table: Table::Meta, cause })?;
                self.remembered.insert(space, remembered);
            }
        }
        Ok(())
    }

    /// Who this phone is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The person of this phone.
    #[must_use]
    pub fn person(&self) -> PersonId {
        self.identity.person
    }

    /// The replica below.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// What screens show.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// How many documents were opened since the app started.
    #[must_use]
    pub fn documents_opened(&self) -> u64 {
        self.documents_opened
    }

    /// Takes outcomes that are stored into the view; returns the subjects that read differently now.
    pub(super) fn show(&mut self, outcomes: &[Outcome]) -> BTreeSet<SubjectId> {
        let mut changed = BTreeSet::new();
        for outcome in outcomes {
            if outcome.verdict != Verdict::Present {
                self.sessions.remove(&outcome.subject);
                continue;
            }
            let Some(record) = &outcome.record else { continue };
            let person = self.replica.members().person(outcome.place.device);
            // Of no other record does the view ask it, and it costs a row.
            let creates = matches!(record, Record::Change(_)) && outcome_creates(self, outcome);
            self.view.counts(outcome.place, outcome.id, outcome.kind, outcome.subject, person, creates, record);
            match record {
                Record::Voice(voice) => drop(changed.insert(voice.question)),
                Record::Decision(decision) => changed.extend(decision.about.iter().copied()),
                Record::Tombstone(_) => {
                    self.documents.remove(&outcome.subject);
                    self.words.remove(&outcome.subject);
                    changed.insert(outcome.subject);
                }
                _ => drop(changed.insert(outcome.subject)),
            }
        }
        changed
    }

    /// The document of a contribution or meeting, opened if it wasn't, with all changes that count; `None` when there is
    /// no such subject.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn document(&mut self, subject: SubjectId) -> Result<Option<&Automerge>, ReplicaError> {
        let Some((_, facts)) = self.view.document(subject) else { return Ok(None) };
        let known = self.documents.get(&subject);
        let missing: Vec<Place> = facts
            .entries
            .iter()
            .filter(|place| known.is_none_or(|open| !open.folded.contains(place)))
            .copied()
            .collect();
        if known.is_none() || !missing.is_empty() {
            let mut bodies = Vec::with_capacity(missing.len());
            for place in &missing {
                if let Some(entry) = self.replica.entry(*place)?
                    && let Kept::Present(body) = &entry.kept
                    && let Ok(Some(Record::Change(DocumentChange { change, .. }))) = codec::decode(entry.kind, body)
                {
                    bodies.push((entry.id, change));
                }
            }
            self.documents_opened += u64::from(known.is_none());
            let folded = match known {
                Some(open) => document::update(&open.doc, bodies),
                None => document::open(bodies),
            };
            if known.is_none() && self.documents.len() >= DOCUMENTS_OPEN_MAX {
                self.documents.pop_first();
            }
            let entry = self.documents.entry(subject).or_insert_with(|| OpenDocument {
                doc: Automerge::new(),
                folded: BTreeSet::new(),
                set_aside: 0,
            });
            entry.doc = folded.doc;
            entry.folded.extend(missing);
            entry.set_aside += folded.set_aside.len();
        }
        Ok(self.documents.get(&subject).map(|open| &open.doc))
    }

    /// The words of a contribution.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn words(&mut self, subject: SubjectId) -> Result<Option<Content>, ReplicaError> {
        let Some((Kind::CONTRIBUTION, facts)) = self.view.document(subject) else { return Ok(None) };
        let entries = facts.entries.len();
        if let Some((known, content)) = self.words.get(&subject)
            && *known == entries
        {
            return Ok(Some(content.clone()));
        }
        let Some(doc) = self.document(subject)? else { return Ok(None) };
        let content = document::contribution::read(doc);
        self.words.insert(subject, (entries, content.clone()));
        Ok(Some(content))
    }

    /// How many changes of a document were set aside because it can't be opened with them.
    #[must_use]
    pub fn set_aside(&self, subject: SubjectId) -> usize {
        self.documents.get(&subject).map_or(0, |open| open.set_aside)
    }
}

/// Kinds whose number and day in the server's log are shown.
pub(super) fn is_numbered(kind: Kind) -> bool {
    matches!(kind, Kind::CONTRIBUTION | Kind::MEETING | Kind::DECISION)
}

fn outcome_creates(joined: &Joined, outcome: &Outcome) -> bool {
    let row = joined.replica.subject(outcome.place.space, outcome.subject).ok().flatten();
    row.and_then(|row| row.creator) == Some((outcome.place.device, outcome.place.seq))
}

pub(super) fn encode_receipt_line(line: &ReceiptLine) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(3).uint(line.number).uint(u64::from(line.day)).uint(line.verdict.number());
    w.finish()
}

fn decode_receipt_line(id: EntryId, bytes: &[u8]) -> Result<ReceiptLine, crate::cbor::CborError> {
    let mut r = Reader::new(bytes);
    r.array_of(3)?;
    let number = r.uint()?;
    let day = u32::try_from(r.uint()?).map_err(|_| r.error("a day"))?;
    let verdict = Verdict::from_number(r.uint()?);
    Ok(ReceiptLine { id, number, day, verdict })
}

pub(super) fn encode_sync(remembered: &Remembered) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(4).bytes(&remembered.epoch).uint(remembered.cursor.next).bytes(&remembered.cursor.hash);
    w.uint(remembered.acked_seq);
    w.finish()
}

fn decode_sync(bytes: &[u8]) -> Result<Remembered, crate::cbor::CborError> {
    let mut r = Reader::new(bytes);
    r.array_of(4)?;
    let epoch = r.exact()?;
    let cursor = LogHead { next: r.uint()?, hash: r.exact()? };
    Ok(Remembered { epoch, cursor, acked_seq: r.uint()? })
}
