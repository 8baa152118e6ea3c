//! What came earlier in a segment: both sides remember the same, so that the packer can say "the one before" instead of a name.

use std::collections::HashMap;

use super::SegmentError;
use super::columns::{Col, Columns, ColumnsReader};
use super::shape::Last;
use crate::model::SubjectId;

/// A subject, and what came of it in this segment.
#[derive(Debug)]
pub struct SeenSubject {
    /// The subject.
    pub subject: SubjectId,
    /// Sessions with their actors and the sequence of their last change here, in the order in which they came.
    pub sessions: Vec<SeenSession>,
    /// Hashes of changes, in the order in which they came.
    pub changes: Vec<[u8; 32]>,
    /// Actors that were named, those of the sessions included.
    pub actors: Vec<[u8; 16]>,
    /// The operation behind those of the last change.
    pub end: u64,
    /// What its columns had to say.
    pub last: Last,
}

impl SeenSubject {
    fn new(subject: SubjectId) -> Self {
        let (sessions, changes, actors) = (Vec::new(), Vec::new(), Vec::new());
        Self { subject, sessions, changes, actors, end: 1, last: Last::default() }
    }

    /// A session that wasn't seen before; returns its place.
    pub fn begin(&mut self, session: SeenSession) -> usize {
        self.actors.push(session.actor);
        self.sessions.push(session);
        self.sessions.len() - 1
    }
}

/// A session of somebody in a document.
#[derive(Debug)]
pub struct SeenSession {
    /// Its number.
    pub session: [u8; 8],
    /// The actor that follows from it.
    pub actor: [u8; 16],
    /// Sequence of its last change.
    pub sequence: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Seen {
    subjects: Vec<SeenSubject>,
    by_id: HashMap<SubjectId, usize>,
    /// Places in `subjects`; who was named last stands last.
    recent: Vec<usize>,
}

impl Seen {
    /// A subject that is created here; one that was seen is the same again.
    pub fn create(&mut self, subject: SubjectId) -> usize {
        match self.by_id.get(&subject) {
            Some(at) => {
                let at = *at;
                self.touch(at);
                at
            }
            None => self.add(subject),
        }
    }

    fn add(&mut self, subject: SubjectId) -> usize {
        let at = self.subjects.len();
        self.subjects.push(SeenSubject::new(subject));
        self.by_id.insert(subject, at);
        self.recent.push(at);
        at
    }

    fn touch(&mut self, at: usize) {
        if let Some(place) = self.recent.iter().rposition(|known| *known == at) {
            self.recent[place..].rotate_left(1);
        }
    }

    /// A subject by its place.
    pub fn at(&mut self, at: usize) -> Option<&mut SeenSubject> {
        self.subjects.get_mut(at)
    }

    /// Says which subject is meant.
    pub fn name(&mut self, out: &mut Columns, subject: SubjectId) -> usize {
        match self.by_id.get(&subject) {
            Some(at) => {
                let at = *at;
                let since = self.recent.iter().rev().position(|known| *known == at).unwrap_or(0);
                out.number(Col::SubjectRefs, since as u64 + 1);
                self.touch(at);
                at
            }
            None => {
                out.number(Col::SubjectRefs, 0);
                out.put(Col::Subjects, subject.as_bytes());
                self.add(subject)
            }
        }
    }

    /// Reads which subject is meant.
    ///
    /// # Errors
    /// When none so far back was named.
    pub fn named(&mut self, columns: &mut ColumnsReader<'_>) -> Result<(usize, SubjectId), SegmentError> {
        let since = columns.number(Col::SubjectRefs)?;
        let at = match usize::try_from(since).unwrap_or(usize::MAX).checked_sub(1) {
            None => self.create(SubjectId::new(columns.exact(Col::Subjects)?)),
            Some(since) => {
                let at = self.recent.iter().rev().nth(since).copied();
                let at = at.ok_or(SegmentError::Missing { what: "a subject" })?;
                self.touch(at);
                at
            }
        };
        Ok((at, self.subjects[at].subject))
    }
}
