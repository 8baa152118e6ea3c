//! The body question: does it count? Present, pending, refused or erased, from the body and what is known, and nothing else.
//!
//! Refuse only what can never become valid: whatever a grant or another entry could still make valid is pending, or
//! replicas that saw things in another order would differ.

use std::borrow::Cow;

use super::change::{self, Preflight};
use super::rules::{self, Erasable, Form, Rule, SpaceClass, Writers};
use super::{Dep, Reason};
use crate::entry::codec::{self, DocumentChange, Record};
use crate::entry::{Header, Kind, Tombstone};
use crate::membership::{Answer, Asked, Flip, Members};
use crate::model::closed::SEALED_STEPS;
use crate::model::{DeviceId, PersonId, Role, SpaceId, SubjectId};
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
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack, and nearly always the large one")]
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
    /// A join with a card that was withdrawn: it gets no place at all.
    CardWithdrawn,
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

/// Asks the body question. `creates` says whether the body opens its subject; `flips` receives records of who belongs that
/// count or cease to because of this one.
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
    flips: &mut Vec<Flip>,
) -> Result<Judgement, StoreError> {
    let subject = known.subject(header.space, header.subject)?;
    // Before anything else: no words of an erased subject are kept, whatever they claim to be.
    if header.kind != Kind::TOMBSTONE && subject.is_some_and(|facts| facts.state == SubjectState::Erased) {
        return Ok(Judgement::Erased);
    }
    let Some(rule) = rules::of(header.kind) else {
        let newer = Dep::Kind(header.kind.0);
        return Ok(if known.is_server() { Judgement::Refused(Reason::NewerKind) } else { Judgement::Pending(newer) });
    };
    if !rule.spaces.contains(&SpaceClass::from(header.space)) {
        return Ok(Judgement::Refused(Reason::Space));
    }
    if let Some(stop) = subject_allows(rule, subject, creates, header) {
        return Ok(stop);
    }
    let record = match codec::decode(header.kind, body) {
        Ok(Some(record)) => record,
        Ok(None) | Err(_) => return Ok(Judgement::Refused(Reason::Form)),
    };
    if rule.form == Form::Membership {
        let Header { device, seq, subject, .. } = *header;
        let asked = Asked { device, seq, id, subject, record: &record, body };
        let members = members.to_mut();
        let (answer, flipped) = match header.space {
            SpaceId::Members => members.admit(&asked, known.is_server()),
            space => members.admit_closed(space, &asked, known.is_server()),
        };
        flips.extend(flipped);
        return Ok(match answer {
            Answer::Counts => Judgement::Present(Counted { record, change: None }),
            Answer::Waits(dep) => Judgement::Pending(dep),
            Answer::Never(reason) => Judgement::Refused(reason),
            Answer::CardUsed => Judgement::CardUsed,
            Answer::CardWithdrawn => Judgement::CardWithdrawn,
        });
    }
    if let Record::Tombstone(tombstone) = record {
        return Ok(judge_tombstone(members, header, subject, tombstone));
    }
    if !members.stands_at(header.space, header.device, header.seq) {
        return Ok(Judgement::Pending(Dep::Readmission(header.device)));
    }
    let writers = if creates { rule.creates } else { rule.follows };
    let at = (header.space, header.device, header.seq);
    if let Some(stop) = writer_allows(writers, members, at, subject.and_then(|s| s.owner)) {
        return Ok(stop);
    }
    let counts = |record| Judgement::Present(Counted { record, change: None });
    match &record {
        Record::Change(_) => {}
        // Answers to a secret poll are about something that all can read.
        Record::Voice(voice) => {
            let waits = needs_contribution(known, SpaceId::Open, voice.question)?;
            return Ok(waits.unwrap_or(counts(record)));
        }
        Record::Decision(decision) => {
            for about in &decision.about {
                if let Some(stop) = needs_contribution(known, header.space, *about)? {
                    return Ok(stop);
                }
            }
            return Ok(counts(record));
        }
        Record::Count(question) => {
            let waits = needs_contribution(known, header.space, *question)?;
            return Ok(waits.unwrap_or(counts(record)));
        }
        Record::Tally(tally) => {
            let waits = needs_contribution(known, header.space, tally.question)?;
            return Ok(waits.unwrap_or(counts(record)));
        }
        Record::Ruling(ruling) => {
            let about = known.subject(header.space, ruling.about)?;
            let is_nowhere = about.is_none_or(|facts| facts.state == SubjectState::Refused);
            let waits = is_nowhere.then_some(Judgement::Pending(Dep::Subject(header.space, ruling.about)));
            return Ok(waits.unwrap_or(counts(record)));
        }
        // Whatever is inside, it has one of few sizes: others would tell what was said by its length.
        Record::Sealed(sealed) if SEALED_STEPS.contains(&sealed.bytes.len()) => return Ok(counts(record)),
        Record::Answer(answer) if SEALED_STEPS.contains(&answer.bytes.len()) => return Ok(counts(record)),
        Record::Sealed(_) | Record::Answer(_) => return Ok(Judgement::Refused(Reason::Form)),
        _ => return Ok(Judgement::Refused(Reason::Space)),
    }
    match record {
        Record::Change(change) => judge_change(known, members, header, change),
        _ => Ok(Judgement::Refused(Reason::Space)),
    }
}

fn subject_allows(rule: &Rule, subject: Option<SubjectFacts>, creates: bool, header: &Header) -> Option<Judgement> {
    if rule.kind == Kind::TOMBSTONE {
        return creates.then_some(Judgement::Refused(Reason::Form));
    }
    match (subject, creates) {
        (None, true) => (rule.creates == Writers::Nobody).then_some(Judgement::Refused(Reason::Form)),
        (Some(_), true) => Some(Judgement::Refused(Reason::SubjectTaken)),
        (None, false) if !rules::can_follow(rule.kind) => Some(Judgement::Refused(Reason::Final)),
        (None, false) => Some(Judgement::Pending(Dep::Subject(header.space, header.subject))),
        (Some(facts), false) => match facts.state {
            _ if facts.kind != header.kind => Some(Judgement::Refused(Reason::Form)),
            _ if !rules::can_follow(rule.kind) => Some(Judgement::Refused(Reason::Final)),
            SubjectState::Pending => Some(Judgement::Pending(Dep::Subject(header.space, header.subject))),
            SubjectState::Refused => Some(Judgement::Refused(Reason::SubjectRefused)),
            SubjectState::Live | SubjectState::Erased => None,
        },
    }
}

/// An entry that took its place, as far as its standing is asked about again.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Where, by whom and where in the chain.
    pub at: (SpaceId, DeviceId, u64),
    /// What.
    pub kind: Kind,
    /// Whether it creates its subject.
    pub creates: bool,
    /// Whose the subject is.
    pub owner: Option<PersonId>,
}

/// What an entry has to wait for by who belongs now, although it counted; nothing when it still may count. Asked of a
/// tombstone, staff's is meant.
#[must_use]
pub fn waits_for(members: &Members, written: &Written) -> Option<Dep> {
    let (space, device, seq) = written.at;
    if !members.stands_at(space, device, seq) {
        return Some(Dep::Readmission(device));
    }
    let writers = if written.kind == Kind::TOMBSTONE { ERASING_STAFF } else { writers(written)? };
    match writer_allows(writers, members, written.at, written.owner)? {
        Judgement::Pending(dep) => Some(dep),
        _ => Some(Dep::Device(device)),
    }
}

/// Whether an entry might count but for a cut: its author had the right once.
#[must_use]
pub fn had_right(members: &Members, written: &Written) -> bool {
    let (space, device, _) = written.at;
    match writers(written) {
        Some(Writers::Roles(roles)) => {
            let had = members.roles_ever(space, device);
            roles.iter().any(|role| had.contains(role))
        }
        Some(writers) => writer_allows(writers, members, written.at, written.owner).is_none(),
        None => false,
    }
}

fn writers(written: &Written) -> Option<Writers> {
    rules::of(written.kind).map(|rule| if written.creates { rule.creates } else { rule.follows })
}

fn writer_allows(
    writers: Writers,
    members: &Members,
    (space, device, seq): (SpaceId, DeviceId, u64),
    owner: Option<PersonId>,
) -> Option<Judgement> {
    let person = members.person_in(space, device);
    // The root founds, the server serves: neither will ever be a person.
    let never = members.root() == Some(device) || members.server_key(device).is_some();
    let stranger = |reason| match never {
        true => Judgement::Refused(reason),
        false => Judgement::Pending(Dep::Device(device)),
    };
    match (writers, person) {
        (Writers::Proof, _) => None,
        (Writers::Server, _) if members.server_key(device).is_some() => None,
        (Writers::Server, _) => Some(stranger(Reason::Rank)),
        (Writers::Enrolled, _) if members.device_behind(space, device).is_some() => None,
        (Writers::Enrolled, _) => Some(stranger(Reason::Rank)),
        (Writers::Members | Writers::Owner | Writers::Roles(_), None) => Some(stranger(Reason::Rank)),
        (Writers::Members, Some(_)) => None,
        (Writers::Owner, Some(person)) if Some(person) == owner => None,
        (Writers::Owner, Some(_)) => Some(Judgement::Refused(Reason::Owner)),
        (Writers::Roles(roles), Some(person)) => {
            let has = members.roles_at(space, device, seq);
            let allowed = roles.iter().any(|role| has.contains(role));
            // A grant may still come.
            (!allowed).then_some(Judgement::Pending(Dep::Role(person)))
        }
        (
            Writers::Root
            | Writers::ByRank
            | Writers::Card
            | Writers::Certificate
            | Writers::Founder
            | Writers::Keepers
            | Writers::Nobody,
            _,
        ) => Some(Judgement::Refused(Reason::Rank)),
    }
}

/// Who may want another's words erased.
const ERASING_STAFF: Writers = Writers::Roles(&[Role::Board, Role::Administrator]);

fn judge_tombstone(
    members: &Members,
    header: &Header,
    subject: Option<SubjectFacts>,
    tombstone: Tombstone,
) -> Judgement {
    if tombstone.subject() != header.subject {
        return Judgement::Refused(Reason::FalseTombstone);
    }
    let erasable = |kind: Kind| rules::of(kind).map(|rule| rule.erasable);
    match &tombstone {
        Tombstone::Administrator { .. } => {
            if !members.stands_at(header.space, header.device, header.seq) {
                return Judgement::Pending(Dep::Readmission(header.device));
            }
            let at = (header.space, header.device, header.seq);
            if let Some(stop) = writer_allows(ERASING_STAFF, members, at, None) {
                return stop;
            }
            // It shows no proof of what it is about, so that must be here; what was refused is nowhere (`needs_contribution`).
            match subject.filter(|facts| facts.state != SubjectState::Refused) {
                None => return Judgement::Pending(Dep::Subject(header.space, header.subject)),
                Some(facts) if erasable(facts.kind) == Some(Erasable::Never) => {
                    return Judgement::Refused(Reason::NotErasable);
                }
                Some(_) => {}
            }
        }
        Tombstone::Owner { kind, .. } => {
            if !tombstone.proves_itself(members.wijk(), header.space) {
                return Judgement::Refused(Reason::FalseTombstone);
            }
            if erasable(*kind).is_some_and(|erasable| erasable != Erasable::Owner) {
                return Judgement::Refused(Reason::NotErasable);
            }
        }
    }
    Judgement::Present(Counted { record: Record::Tombstone(tombstone), change: None })
}

/// Waits until it is known what is spoken of. Whether that counts, waits or was erased makes no difference: nothing is shown on
/// what isn't shown, and its own fate may change after this entry was judged. What was refused is nowhere but on its author's
/// phone, so what is about it waits everywhere alike.
fn needs_contribution(known: &dyn Known, space: SpaceId, subject: SubjectId) -> Result<Option<Judgement>, StoreError> {
    Ok(match known.subject(space, subject)? {
        None | Some(SubjectFacts { state: SubjectState::Refused, .. }) => {
            Some(Judgement::Pending(Dep::Subject(space, subject)))
        }
        Some(facts) => (facts.kind != Kind::CONTRIBUTION).then_some(Judgement::Refused(Reason::Form)),
    })
}

/// Asks of a change behind a cut whether it could count if it is needed, because others built on it who still stand.
///
/// # Errors
/// When the store fails.
pub fn judge_needed(
    known: &dyn Known,
    members: &Members,
    header: &Header,
    creates: bool,
    body: &[u8],
) -> Result<Judgement, StoreError> {
    let subject = known.subject(header.space, header.subject)?;
    let Some(rule) = rules::of(header.kind) else { return Ok(Judgement::Refused(Reason::NewerKind)) };
    if let Some(stop) = subject_allows(rule, subject, creates, header) {
        return Ok(stop);
    }
    let at = (header.space, header.device, header.seq);
    let written = Written { at, kind: header.kind, creates, owner: subject.and_then(|facts| facts.owner) };
    if !had_right(members, &written) {
        return Ok(Judgement::Pending(Dep::Readmission(header.device)));
    }
    match codec::decode(header.kind, body) {
        Ok(Some(Record::Change(change))) => judge_change(known, members, header, change),
        _ => Ok(Judgement::Refused(Reason::Form)),
    }
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
            Some(facts) => {
                let person = members.person_in(header.space, header.device);
                let is_own = facts.owner.is_some() && facts.owner == person;
                // Notes belong to the wijk: whoever may begin a meeting may write one anew, without words that must go.
                let are_notes = header.kind == Kind::MEETING && facts.kind == Kind::MEETING;
                // Only one's own words can be taken over: an answer to them comes along.
                if !is_own && !are_notes {
                    return Ok(Judgement::Refused(Reason::Owner));
                }
            }
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

/// Whether a kind says who belongs, and is folded as one set.
#[must_use]
pub fn is_membership(kind: Kind) -> bool {
    rules::of(kind).is_some_and(|rule| rule.form == Form::Membership)
}
