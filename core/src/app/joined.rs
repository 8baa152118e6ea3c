//! What a phone holds of its wijk while it runs: identity, replica, view, receipts, and documents that were looked at.

use std::sync::Arc;

use automerge::Automerge;

use super::Identity;
use super::erasure::Erasing;
use super::history::{self, BrokenHistory};
use super::own::OwnSealed;
use crate::cbor::{Reader, Writer};
use crate::document;
use crate::entry::codec::{self, Record};
use crate::entry::sign::Key;
use crate::entry::{Kind, codec::DocumentChange};
use crate::gate::Verdict;
use crate::gate::body::{SubjectState, is_membership};
use crate::model::{Content, EntryId, PersonId, SealedWords, SpaceId, SubjectId};
use crate::ordered::{Map, Set};
use crate::replica::{Kept, News, Outcome, Place, Replica, ReplicaError, Side};
use crate::store::log::LogHead;
use crate::store::{Store, Table};
use crate::sync::phone::{Remembered, Session};
use crate::sync::wire::ReceiptLine;
use crate::view::View;

/// Documents kept open: what a person looks at in a minute. One costs about 22 KiB of memory.
const DOCUMENTS_OPEN_MAX: usize = 64;

const SYNC_PREFIX: &[u8] = b"sync/";

pub(super) fn sync_key(space: SpaceId) -> Vec<u8> {
    [SYNC_PREFIX, &space.to_bytes()].concat()
}

struct OpenDocument {
    doc: Automerge,
    folded: Set<Place>,
    /// [`DocumentFacts::changes`](crate::view::DocumentFacts) when it was folded.
    changes: u32,
    set_aside: usize,
}

/// See the module.
pub struct Joined {
    pub(super) identity: Identity,
    pub(super) key: Key,
    pub(super) replica: Replica,
    pub(super) view: View,
    pub(super) receipts: Map<EntryId, ReceiptLine>,
    pub(super) remembered: Map<SpaceId, Remembered>,
    pub(super) session: Option<Session>,
    /// One session a process and document; never one that was used before.
    pub(super) sessions: Map<SubjectId, [u8; 8]>,
    pub(super) erasing: Erasing,
    documents: Map<SubjectId, OpenDocument>,
    documents_opened: u64,
    /// Own sealed input, by subject.
    pub(super) own: Map<SubjectId, OwnSealed>,
    /// What was opened of closed spaces.
    pub(super) opened: Map<SubjectId, SealedWords>,
    /// Whether something changed that may leave this device something to do in closed spaces.
    pub(super) duties_due: bool,
    /// Heads of logs that the server signed and could not show later.
    pub(super) broken: Vec<BrokenHistory>,
    /// Words of contributions as of so many changes, so that a list doesn't open every document again.
    words: Map<SubjectId, (u32, Content)>,
    /// The order of contributions, until the next event: a screen that scrolls asks for it with each page.
    pub(super) order: Option<Arc<[SubjectId]>>,
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
            receipts: Map::new(),
            remembered: Map::new(),
            session: None,
            sessions: Map::new(),
            erasing: Erasing::default(),
            documents: Map::new(),
            documents_opened: 0,
            own: Map::new(),
            opened: Map::new(),
            duties_due: true,
            broken: Vec::new(),
            words: Map::new(),
            order: None,
        })
    }

    /// Reads everything back from a store; `None` when nobody joined with it.
    pub(super) fn load(store: &Arc<dyn Store>) -> Result<Option<Self>, ReplicaError> {
        let Some(identity) = Identity::read(store.as_ref())? else { return Ok(None) };
        let mut joined = Self::new(identity, store)?;
        joined.derive()?;
        joined.read_receipts()?;
        joined.read_sync()?;
        joined.read_own()?;
        joined.read_unconfirmed()?;
        joined.broken = history::read(store.as_ref())?;
        Ok(Some(joined))
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
        let remembered = &mut self.remembered;
        self.replica.walk(Table::Meta, SYNC_PREFIX, |_, row| {
            let space = row.key.strip_prefix(SYNC_PREFIX).and_then(SpaceId::from_bytes);
            let space = space.ok_or(ReplicaError::Contradiction { what: "the key of a cursor has another form" })?;
            let known = decode_sync(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Meta, cause })?;
            remembered.insert(space, known);
            Ok(())
        })
    }

    fn read_own(&mut self) -> Result<(), ReplicaError> {
        let own = &mut self.own;
        self.replica.walk(Table::Own, &[], |_, row| {
            let subject = row.key.as_slice().try_into().map(SubjectId::new);
            let subject = subject.map_err(|_| ReplicaError::Contradiction { what: "the key of own sealed input" })?;
            let item = OwnSealed::decode(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Own, cause })?;
            own.insert(subject, item);
            Ok(())
        })
    }

    /// Whether something was put into an envelope on this connection and not refused.
    pub(super) fn dropped_now(&self, digest: &crate::hash::Hash) -> bool {
        let drops = self.session.as_ref().map(Session::drops);
        drops.is_some_and(|drops| drops.was_sent(digest) && drops.refusal(digest).is_none())
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
    ///
    /// # Errors
    /// When the store can't be read; then the view is not what the store holds.
    pub(super) fn show(&mut self, outcomes: &[Outcome]) -> Result<Set<SubjectId>, ReplicaError> {
        let mut changed = Set::new();
        let mut ceased = false;
        for outcome in outcomes {
            if is_membership(outcome.kind) {
                self.duties_due = true;
            }
            if outcome.verdict != Verdict::Present {
                self.sessions.remove(&outcome.subject);
                if outcome.verdict == Verdict::Pending && outcome.news == News::Again {
                    ceased = true;
                    changed.insert(outcome.subject);
                }
                continue;
            }
            let Some(record) = &outcome.record else { continue };
            let person = self.replica.members().person_in(outcome.place.space, outcome.place.device);
            let Outcome { place, id, kind, subject, creates, .. } = *outcome;
            self.view.counts(place, id, kind, subject, person, creates, record);
            match record {
                Record::Voice(voice) => drop(changed.insert(voice.question)),
                Record::Tally(tally) => drop(changed.insert(tally.question)),
                Record::Decision(decision) => changed.extend(decision.about.iter().copied()),
                Record::Ruling(ruling) => drop(changed.insert(ruling.about)),
                Record::Tombstone(_) => {
                    let state = self.replica.subject_state(outcome.place.space, outcome.subject)?;
                    if state == Some(SubjectState::Erased) {
                        self.view.erase(outcome.subject);
                    }
                    self.documents.remove(&outcome.subject);
                    self.words.remove(&outcome.subject);
                    self.opened.remove(&outcome.subject);
                    changed.insert(outcome.subject);
                }
                _ => drop(changed.insert(outcome.subject)),
            }
        }
        // What counted and no longer does is behind the end of a revoked chain. That happens a few times in the life of a
        // phone, so everything is derived again rather than taken out piece by piece.
        if ceased {
            self.derive_again()?;
        }
        Ok(changed)
    }

    fn derive_again(&mut self) -> Result<(), ReplicaError> {
        self.view = View::default();
        self.documents.clear();
        self.words.clear();
        self.derive()
    }

    /// The document of a contribution or meeting, opened if it wasn't, with all changes that count; `None` when there is
    /// no such subject.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn document(&mut self, subject: SubjectId) -> Result<Option<&Automerge>, ReplicaError> {
        let Some((_, facts)) = self.view.document(subject) else { return Ok(None) };
        let (known, changes) = (self.documents.get(&subject), facts.changes);
        if known.is_none_or(|open| open.changes != changes) {
            let (mut missing, mut bodies) = (Vec::new(), Vec::new());
            for place in self.replica.entries_of(SpaceId::Open, subject)? {
                if known.is_none_or(|open| !open.folded.contains(&place))
                    && let Some(entry) = self.replica.entry(place)?
                    && let Kept::Present(body) = &entry.kept
                    && let Ok(Some(Record::Change(DocumentChange { change, .. }))) = codec::decode(entry.kind, body)
                {
                    missing.push(place);
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
                folded: Set::new(),
                changes,
                set_aside: 0,
            });
            entry.doc = folded.doc;
            entry.folded.extend(missing);
            entry.changes = changes;
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
        let changes = facts.changes;
        if let Some((known, content)) = self.words.get(&subject)
            && *known == changes
        {
            return Ok(Some(content.clone()));
        }
        let Some(doc) = self.document(subject)? else { return Ok(None) };
        let content = document::contribution::read(doc);
        self.words.insert(subject, (changes, content.clone()));
        Ok(Some(content))
    }

    /// How many changes of a document were set aside because it can't be opened with them.
    #[must_use]
    pub fn set_aside(&self, subject: SubjectId) -> usize {
        self.documents.get(&subject).map_or(0, |open| open.set_aside)
    }
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
    w.array(4 + usize::from(!remembered.compared)).bytes(&remembered.epoch);
    w.uint(remembered.cursor.next).bytes(&remembered.cursor.hash).uint(remembered.acked_seq);
    // Only while a comparison is owed is there a fifth item.
    if !remembered.compared {
        w.bool(false);
    }
    w.finish()
}

fn decode_sync(bytes: &[u8]) -> Result<Remembered, crate::cbor::CborError> {
    let mut r = Reader::new(bytes);
    let owes = r.array(5)? == 5;
    let epoch = r.exact()?;
    let cursor = LogHead { next: r.uint()?, hash: r.exact()? };
    let acked_seq = r.uint()?;
    let compared = if owes { r.bool()? } else { true };
    Ok(Remembered { epoch, cursor, acked_seq, compared })
}
