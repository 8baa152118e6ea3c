//! The body question: does it count? Present, pending, refused or erased, from the body and what is known, and nothing else.
//!
//! Refuse only what can never become valid: whatever a grant or another entry could still make valid is pending, or
//! replicas that saw things in another order would differ.

use std::borrow::Cow;

use super::change::{self, Preflight};
use super::rules::{self, Form, Rule, Writers};
use super::{Dep, Reason};
use crate::entry::codec::{self, DocumentChange, Record};
use crate::entry::{Header, Kind, Tombstone};
use crate::membership::{Answer, Members};
use crate::model::{DeviceId, PersonId, SpaceId, SubjectId};
use crate::store::StoreError;

/// What is known of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectState {
    /// Its creating body counts.
    Live,
    /// Its creating body waits.
    Pending,
    /// Its creating body was refused.
    Refused,
    /// A tombstone is here.
    Erased,
}

/// A subject as far as rules need it.
#[derive(Clone, Copy, Debug)]
pub struct SubjectFacts {
    /// State.
    pub state: SubjectState,
    /// Kind it was created with.
    pub kind: Kind,
    /// Person who created it; `None` for the root's subjects.
    pub owner: Option<PersonId>,
}

/// What the body question may look up.
pub trait Known {
    /// A subject, if anything is known of it.
    ///
    /// # Errors
    /// When the store fails.
    fn subject(&self, space: SpaceId, subject: SubjectId) -> Result<Option<SubjectFacts>, StoreError>;
    /// The largest operation counter after a present change of a document.
    ///
    /// # Errors
    /// When the store fails.
    fn change_max_op(&self, subject: SubjectId, hash: &[u8; 32]) -> Result<Option<u64>, StoreError>;
    /// Sequence number and hash of an actor's last present change in a document.
    ///
    /// # Errors
    /// When the store fails.
    fn actor_last(&self, subject: SubjectId, actor: &[u8; 16]) -> Result<Option<(u64, [u8; 32])>, StoreError>;
    /// Whether this is a server, which refuses kinds newer than itself; a phone keeps and relays them.
    fn is_server(&self) -> bool;
}

/// The answer.
#[derive(Debug)]
pub enum Judgement {
    /// It counts, and this is what it says.
    Present(Counted),
    /// It waits for this.
    Pending(Dep),
    /// It can never count.
    Refused(Reason),
    /// Its subject was erased.
    Erased,
    /// A join with a card that another device used: it gets no place at all.
    CardUsed,
}

/// A body that counts.
#[derive(Debug)]
pub struct Counted {
    /// What it says.
    pub record: Record,
    /// For changes of documents: what the preflight found.
    pub change: Option<ChangeFacts>,
}

/// What is kept of a change, so that later ones can be checked against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeFacts {
    /// Its hash.
    pub hash: [u8; 32],
    /// Its actor.
    pub actor: [u8; 16],
    /// Its number among the actor's changes.
    pub seq: u64,
    /// Largest operation counter after it.
    pub max_op: u64,
}

/// Asks the body question. `creates` says whether the body opens its subject.
///
/// # Errors
/// When the store fails; then nothing was decided.
pub fn judge(
    known: &dyn Known,
    members: &mut Cow<'_, Members>,
    header: &Header,
    id: crate::model::EntryId,
    creates: bool,
    body: &[u8],
) -> Result<Judgement, StoreError> {
    let Some(rule) = rules::of(header.kind) else {
        let newer = Dep::Kind(header.kind.0);
        return Ok(if known.is_server() { Judgement::Refused(Reason::NewerKind) } else { Judgement::Pending(newer) });
    };
    if rule.space.is_some_and(|space| space != header.space) {
        return Ok(Judgement::Refused(Reason::Space));
    }
    let subject = known.subject(header.space, header.subject)?;
    if let Some(stop) = subject_allows(rule, subject, creates, header) {
        return Ok(stop);
    }
    let record = match codec::decode(header.kind, body) {
        Ok(Some(record)) => record,
        Ok(None) | Err(_) => return Ok(Judgement::Refused(Reason::Form)),
    };
    if header.space == SpaceId::Members && header.kind != Kind::TOMBSTONE {
        return Ok(match members.to_mut().admit(header.device, id, &record, body) {
            Answer::Counts => Judgement::Present(Counted { record, change: None }),
            Answer::Waits(dep) => Judgement::Pending(dep),
            Answer::Never(reason) => Judgement::Refused(reason),
            Answer::CardUsed => Judgement::CardUsed,
        });
    }
    let writers = if creates { rule.creates } else { rule.follows };
    if let Some(stop) = writer_allows(writers, members, header.device, subject.and_then(|s| s.owner)) {
        return Ok(stop);
    }
    match record {
        Record::Tombstone(tombstone) => Ok(judge_tombstone(members, header, tombstone)),
        Record::Change(change) => judge_change(known, members, header, change),
        Record::Voice(voice) => {
            let waits = needs_contribution(known, header.space, voice.question)?;
            Ok(waits.unwrap_or(Judgement::Present(Counted { record: Record::Voice(voice), change: None })))
        }
        Record::Decision(decision) => {
            for about in &decision.about {
                if let Some(stop) = needs_contribution(known, header.space, *about)? {
                    return Ok(stop);
                }
            }
            Ok(Judgement::Present(Counted { record: Record::Decision(decision), change: None }))
        }
        _ => Ok(Judgement::Refused(Reason::Space)),
    }
}

fn subject_allows(rule: &Rule, subject: Option<SubjectFacts>, creates: bool, header: &Header) -> Option<Judgement> {
    if rule.kind == Kind::TOMBSTONE {
        return creates.then_some(Judgement::Refused(Reason::Form));
    }
    match (subject, creates) {
        (Some(SubjectFacts { state: SubjectState::Erased, .. }), _) => Some(Judgement::Erased),
        (None, true) => (rule.creates == Writers::Nobody).then_some(Judgement::Refused(Reason::Form)),
        (Some(_), true) => Some(Judgement::Refused(Reason::SubjectTaken)),
        (None, false) => Some(Judgement::Pending(Dep::Subject(header.space, header.subject))),
        (Some(facts), false) => match facts.state {
            _ if facts.kind != header.kind => Some(Judgement::Refused(Reason::Form)),
            SubjectState::Pending => Some(Judgement::Pending(Dep::Subject(header.space, header.subject))),
            SubjectState::Refused => Some(Judgement::Refused(Reason::SubjectRefused)),
            _ => (rule.follows == Writers::Nobody).then_some(Judgement::Refused(Reason::Final)),
        },
    }
}

fn writer_allows(writers: Writers, members: &Members, device: DeviceId, owner: Option<PersonId>) -> Option<Judgement> {
    let person = members.person(device);
    match writers {
        Writers::Proof => None,
        Writers::Members if person.is_some() => None,
        Writers::Owner if person.is_some() && person == owner => None,
        Writers::Owner => Some(Judgement::Refused(Reason::Owner)),
        Writers::Roles(roles) if roles.iter().any(|role| members.has_role(device, *role)) => None,
        Writers::Roles(_) => Some(match person {
            Some(person) => Judgement::Pending(Dep::Role(person)),
            None => Judgement::Refused(Reason::Rank),
        }),
        _ => Some(Judgement::Refused(Reason::Rank)),
    }
}

fn judge_tombstone(members: &Members, header: &Header, tombstone: Tombstone) -> Judgement {
    if tombstone.subject() != header.subject {
        return Judgement::Refused(Reason::FalseTombstone);
    }
    match &tombstone {
        // Two signatures and what they delete come with the trust work; until then it waits and nothing is lost.
        Tombstone::Administrator { .. } => Judgement::Pending(Dep::Kind(header.kind.0)),
        Tombstone::Owner { kind, .. } => {
            if !tombstone.proves_itself(members.wijk(), header.space) {
                Judgement::Refused(Reason::FalseTombstone)
            } else if rules::of(*kind).is_some_and(|rule| !rule.erasable) {
                Judgement::Refused(Reason::NotErasable)
            } else {
                Judgement::Present(Counted { record: Record::Tombstone(tombstone), change: None })
            }
        }
    }
}

/// Waits until the contribution is here. An erased or refused one is no hindrance: nothing hangs on it any more.
fn needs_contribution(known: &dyn Known, space: SpaceId, subject: SubjectId) -> Result<Option<Judgement>, StoreError> {
    Ok(match known.subject(space, subject)? {
        None | Some(SubjectFacts { state: SubjectState::Pending, .. }) => {
            Some(Judgement::Pending(Dep::Subject(space, subject)))
        }
        Some(facts) if facts.state == SubjectState::Live && facts.kind != Kind::CONTRIBUTION => {
            Some(Judgement::Refused(Reason::Form))
        }
        Some(_) => None,
    })
}

fn judge_change(
    known: &dyn Known,
    members: &Members,
    header: &Header,
    change: DocumentChange,
) -> Result<Judgement, StoreError> {
    if let Some(replaced) = change.replaces {
        match known.subject(header.space, replaced)? {
            None => return Ok(Judgement::Pending(Dep::Subject(header.space, replaced))),
            // Only one's own words can be taken over: an answer to them comes along.
            Some(facts) if facts.owner.is_none() || facts.owner != members.person(header.device) => {
                return Ok(Judgement::Refused(Reason::Owner));
            }
            Some(_) => {}
        }
    }

    let found: Preflight = match change::preflight(&change.change) {
        Ok(found) => found,
        Err(refusal) => return Ok(Judgement::Refused(Reason::from(&refusal))),
    };
    if found.actor != codec::actor(header.device, header.subject, &change.session) {
        return Ok(Judgement::Refused(Reason::Actor));
    }
    let mut max_op = 0;
    for dep in &found.deps {
        match known.change_max_op(header.subject, dep)? {
            Some(op) => max_op = max_op.max(op),
            None => return Ok(Judgement::Pending(Dep::Change(header.subject, *dep))),
        }
    }
    // With all dependencies here these two can't become right any more. A gap in either makes automerge panic.
    if found.start_op != max_op + 1 {
        return Ok(Judgement::Refused(Reason::StartOp));
    }
    // Automerge names an actor's last change among the dependencies of its next one. One that leaves it out would be folded or
    // not depending on when the document was opened.
    let follows = match known.actor_last(header.subject, &found.actor)? {
        None => found.seq == 1,
        Some((seq, hash)) => found.seq == seq + 1 && found.deps.contains(&hash),
    };
    if !follows {
        return Ok(Judgement::Refused(Reason::Sequence));
    }
    let facts = ChangeFacts { hash: found.hash, actor: found.actor, seq: found.seq, max_op: found.max_op };
    Ok(Judgement::Present(Counted { record: Record::Change(change), change: Some(facts) }))
}

/// Whether a kind is folded as a document.
#[must_use]
pub fn is_document(kind: Kind) -> bool {
    rules::of(kind).is_some_and(|rule| rule.form == Form::Document)
}
