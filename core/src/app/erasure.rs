//! How far an erasure reached: this phone confirms what has left its own disk, and asks the server how many did.
//!
//! A phone owes a confirmation from the moment it takes an erasure out of a log, in the same commit, until the server says
//! it keeps it: a kill in between forgets nothing. It is sent only once the store's files hold none of what was erased
//! (`store::erased`), so never before a scrub. A sync in which nothing was erased sends nothing.

use super::{App, CommandError, Effect, Joined, Reply, Then};
use crate::cbor::{CborError, Reader, Writer};
use crate::gate::body::SubjectState;
use crate::model::{SpaceId, SubjectId};
use crate::ordered::{Map, Set};
use crate::replica::ReplicaError;
use crate::store::erased::is_scrub_due;
use crate::store::log::Epoch;
use crate::store::{Batch, Table};
use crate::sync::phone::SessionError;
use crate::sync::wire::Reach;

/// How the keys of what is to be confirmed begin, in `Table::Meta`; behind it comes the space.
const UNCONFIRMED: &[u8] = b"unconfirmed/";

/// How far the erasure of one subject reached, as the server last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErasureReport {
    /// The server doesn't know of the erasure yet.
    NotThere,
    /// So many devices that belong now, of all of them, have it no longer on their disks.
    Reached(Reach),
}

/// What is owed and asked about erasures.
#[derive(Debug, Default)]
pub(super) struct Erasing {
    /// What this phone is to confirm: up to which number of which log.
    unconfirmed: Map<SpaceId, (Epoch, u64)>,
    asked: Set<(SpaceId, SubjectId)>,
    reports: Map<SubjectId, ErasureReport>,
}

fn row(space: SpaceId) -> Vec<u8> {
    [UNCONFIRMED, &space.to_bytes()].concat()
}

fn decode(bytes: &[u8]) -> Result<(Epoch, u64), CborError> {
    let mut r = Reader::new(bytes);
    r.array_of(2)?;
    let owed = (r.exact()?, r.uint()?);
    r.end()?;
    Ok(owed)
}

impl Erasing {
    /// The row by which a piece of a log with an erasure in it is to be confirmed.
    pub fn owe(batch: &mut Batch, space: SpaceId, epoch: Epoch, next: u64) {
        let mut w = Writer::new();
        w.array(2).bytes(&epoch).uint(next);
        batch.put(Table::Meta, row(space), w.finish());
    }

    /// The same, now that the row is stored.
    pub fn owes(&mut self, space: SpaceId, epoch: Epoch, next: u64) {
        self.unconfirmed.insert(space, (epoch, next));
    }

    /// What was asked and heard goes on when everything else is opened again.
    pub fn keep(&mut self, before: Self) {
        self.asked = before.asked;
        self.reports = before.reports;
    }
}

impl Joined {
    pub(super) fn read_unconfirmed(&mut self) -> Result<(), ReplicaError> {
        let unconfirmed = &mut self.erasing.unconfirmed;
        self.replica.walk(Table::Meta, UNCONFIRMED, |_, row| {
            let space = row.key.strip_prefix(UNCONFIRMED).and_then(SpaceId::from_bytes);
            let space = space.ok_or(ReplicaError::Contradiction { what: "the key of what is to be confirmed" })?;
            let owed = decode(&row.value).map_err(|cause| ReplicaError::Row { table: Table::Meta, cause })?;
            unconfirmed.insert(space, owed);
            Ok(())
        })
    }

    /// Whether the server is still to hear that erased words have left this phone's disk. It hears it on a connection, after
    /// a scrub.
    #[must_use]
    pub fn has_unconfirmed(&self) -> bool {
        !self.erasing.unconfirmed.is_empty()
    }

    /// How far the erasure of a subject reached, if this phone asked since it was started and the server answered.
    #[must_use]
    pub fn erasure_report(&self, subject: SubjectId) -> Option<ErasureReport> {
        self.erasing.reports.get(&subject).copied()
    }

    /// Where something erased was, if this person may ask how far that reached: its author, or staff.
    fn erased_in(&self, subject: SubjectId) -> Result<SpaceId, CommandError> {
        if let Some(own) = self.own.get(&subject).filter(|own| own.words.is_none()) {
            return Ok(own.space);
        }
        let row = self.replica.subject(SpaceId::Open, subject)?;
        let row = row.filter(|row| row.state == SubjectState::Erased);
        let row = row.ok_or(CommandError::Unknown { what: "erased input", subject })?;
        if row.owner != Some(self.identity.person) && !self.is_staff() {
            return Err(CommandError::NotOwn { subject });
        }
        Ok(SpaceId::Open)
    }

    /// Everything erased of the space `open` that this person owned, for asking how far it reached.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn own_erased(&self) -> Result<Vec<SubjectId>, ReplicaError> {
        let listed = crate::store::erased::since(self.replica.store().as_ref(), 0)?;
        let mut own = Set::new();
        for erased in listed.into_iter().filter(|erased| erased.space == SpaceId::Open) {
            let row = self.replica.subject(erased.space, erased.subject)?;
            if row.and_then(|row| row.owner) == Some(self.identity.person) {
                own.insert(erased.subject);
            }
        }
        own.extend(self.own.iter().filter(|(_, own)| own.words.is_none()).map(|(subject, _)| *subject));
        Ok(own.into_iter().collect())
    }
}

impl App {
    /// Asks how far an erasure reached: at once where a connection is there, else with the next.
    pub(super) fn ask_erased(
        &mut self,
        id: u64,
        subject: SubjectId,
        effects: &mut Vec<Effect>,
    ) -> Result<(), CommandError> {
        let joined = self.joined.as_mut().ok_or(CommandError::NotJoined)?;
        let space = joined.erased_in(subject)?;
        joined.erasing.asked.insert((space, subject));
        effects.push(Effect::Reply { id, result: Ok(Reply::Asked { subject }) });
        self.speak_of_erasures(effects);
        Ok(())
    }

    /// Confirms what may be confirmed, and asks what is to be asked. A finished scrub, a piece that was stored and a new
    /// connection come by here.
    pub(super) fn speak_of_erasures(&mut self, effects: &mut Vec<Effect>) {
        let Some(joined) = &mut self.joined else { return };
        if joined.erasing.unconfirmed.is_empty() && joined.erasing.asked.is_empty() {
            return;
        }
        let Some(session) = joined.session.as_mut().filter(|session| session.is_proven(&joined.replica)) else {
            return;
        };
        let epoch = session.certificate().epoch;
        // Should the store not say, it is due: later is early enough.
        let scrubbed = matches!(is_scrub_due(joined.replica.store().as_ref()), Ok(false));
        let mut frames = Vec::new();
        for (space, (of_epoch, next)) in joined.erasing.unconfirmed.iter().filter(|_| scrubbed) {
            let reached = session.space(*space).filter(|state| state.refused.is_none());
            if *of_epoch == epoch && reached.is_some_and(|state| state.cursor.next >= *next) {
                frames.extend(session.erasures_mut().confirm(*space, epoch, *next));
            }
        }
        for (space, subject) in &joined.erasing.asked {
            frames.extend(session.erasures_mut().ask(*space, *subject));
        }
        effects.extend(frames.into_iter().map(|frame| Effect::Send(frame.encode())));
    }

    /// The server keeps what this phone confirmed: it is owed no longer.
    pub(super) fn confirmed(
        &mut self,
        space: SpaceId,
        next: u64,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SessionError> {
        let joined = self.joined.as_mut().ok_or(SessionError::Frame)?;
        let session = joined.session.as_mut().ok_or(SessionError::Frame)?;
        session.erasures_mut().confirmed(space, next)?;
        if joined.erasing.unconfirmed.get(&space).is_some_and(|(_, owed)| *owed <= next) {
            let mut batch = Batch::new();
            batch.delete(Table::Meta, row(space));
            self.commit(batch, Then::Confirmed(space), effects);
        } else {
            self.settle(effects);
        }
        Ok(())
    }

    /// What was confirmed is stored as such.
    pub(super) fn stored_confirmed(&mut self, space: SpaceId) {
        if let Some(joined) = &mut self.joined {
            joined.erasing.unconfirmed.remove(&space);
        }
    }

    /// The server said how far an erasure reached.
    pub(super) fn reached(
        &mut self,
        space: SpaceId,
        subject: SubjectId,
        reach: Option<Reach>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SessionError> {
        let joined = self.joined.as_mut().ok_or(SessionError::Frame)?;
        let session = joined.session.as_mut().ok_or(SessionError::Frame)?;
        session.erasures_mut().answered(space, subject)?;
        joined.erasing.asked.remove(&(space, subject));
        let report = reach.map_or(ErasureReport::NotThere, ErasureReport::Reached);
        joined.erasing.reports.insert(subject, report);
        effects.push(Effect::Changed(Set::from([subject])));
        self.settle(effects);
        Ok(())
    }
}
