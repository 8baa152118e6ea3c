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
use crate::membership::{Answer, Asked, Changes, Members};
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
    /// Whether anything stands here that is about this subject and of this kind (of any, without one), whatever became of it:
    /// also a stub of what was refused or erased.
    ///
    /// # Errors
    /// When the store fails.
    fn is_spoken_of(&self, space: SpaceId, subject: SubjectId, kind: Option<Kind>) -> Result<bool, StoreError>;
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

impl From<Counted> for Judgement {
    fn from(counted: Counted) -> Self {
        Self::Present(counted)
    }
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

/// Asks the body question. `creates` says whether the body opens its subject; `changes` receives what
/// it changes for others when it says who belongs.
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
    changes: &mut Changes,
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
        let (answer, changed) = match header.space {
            SpaceId::Members => members.admit(&asked, known.is_server()),
            space => members.admit_closed(space, &asked, known.is_server()),
        };
        changes.append(changed);
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
    let found = match content(header, &record) {
        Ok(found) => found,
        Err(reason) => return Ok(Judgement::Refused(reason)),
    };
    let writers = if creates { rule.creates } else { rule.follows };
    let at = (header.space, header.device, header.seq);
    let waits_for_subject = || Judgement::Pending(Dep::Subject(header.space, header.subject));
    let stop = match (writers, subject.and_then(|subject| subject.owner)) {
        // Whose it is shows when its creation is here, and who made that belongs.
        (Writers::Owner, None) => {
            writer_allows(Writers::Members, members, at, None).or_else(|| Some(waits_for_subject()))
        }
        (writers, owner) => writer_allows(writers, members, at, owner),
    };
    // Each question needs what the ones before it needed, and is asked only when that is here: so it makes no difference to
    // the answer in which order things came.
    if let Some(stop @ (Judgement::Refused(_) | Judgement::Pending(Dep::Device(_)))) = stop {
        return Ok(stop);
    }
    match subject.filter(|_| !creates).map(|subject| subject.state) {
        Some(SubjectState::Refused) => return Ok(Judgement::Refused(Reason::SubjectRefused)),
        Some(SubjectState::Pending) => return Ok(waits_for_subject()),
        None | Some(SubjectState::Live | SubjectState::Erased) => {}
    }
    if !members.stands_at(header.space, header.device, header.seq) {
        return Ok(Judgement::Pending(Dep::Readmission(header.device)));
    }
    if let Some(stop) = stop {
        return Ok(stop);
    }
    let here = header.space;
    let waits = match &record {
        Record::Change(change) => {
            let Some(found) = found else { return Ok(Judgement::Refused(Reason::Form)) };
            let judged = judge_change(known, members, header, change, &found)?;
            return Ok(judged.map_or_else(|stop| stop, |facts| Counted { record, change: Some(facts) }.into()));
        }
        // Answers to a secret poll are about something that all can read.
        Record::Voice(voice) => needs(known, SpaceId::Open, voice.question, Some(Kind::CONTRIBUTION))?,
        Record::Decision(decision) => {
            let needs = |about: &SubjectId| needs(known, here, *about, Some(Kind::CONTRIBUTION)).transpose();
            decision.about.iter().find_map(needs).transpose()?
        }
        Record::Count(question) => needs(known, here, *question, Some(Kind::CONTRIBUTION))?,
        Record::Tally(tally) => needs(known, here, tally.question, Some(Kind::CONTRIBUTION))?,
        Record::Ruling(ruling) => needs(known, here, ruling.about, None)?,
        _ => None,
    };
    Ok(waits.unwrap_or(Judgement::Present(Counted { record, change: None })))
}

/// What can be said of a record by itself: the preflight of a change, or why it can never count.
fn content(header: &Header, record: &Record) -> Result<Option<Preflight>, Reason> {
    match record {
        Record::Change(change) => {
            let found = change::preflight(&change.change).map_err(|refusal| Reason::from(&refusal))?;
            if found.actor != codec::actor(header.device, header.subject, &change.session) {
                return Err(Reason::Actor);
            }
            Ok(Some(found))
        }
        // Whatever is inside, it has one of few sizes: others would tell what was said by its length.
        Record::Sealed(sealed) if !SEALED_STEPS.contains(&sealed.bytes.len()) => Err(Reason::Form),
        Record::Answer(answer) if !SEALED_STEPS.contains(&answer.bytes.len()) => Err(Reason::Form),
        Record::Voice(_)
        | Record::Decision(_)
        | Record::Count(_)
        | Record::Tally(_)
        | Record::Ruling(_)
        | Record::Sealed(_)
        | Record::Answer(_) => Ok(None),
        _ => Err(Reason::Space),
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
        (Some(facts), false) if facts.kind != header.kind => Some(Judgement::Refused(Reason::Form)),
        (Some(_), false) => (!rules::can_follow(rule.kind)).then_some(Judgement::Refused(Reason::Final)),
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
            // First what can never be, whoever asks: so the answer doesn't hang on which grant came before.
            if subject.is_some_and(|facts| erasable(facts.kind) == Some(Erasable::Never)) {
                return Judgement::Refused(Reason::NotErasable);
            }
            if !members.stands_at(header.space, header.device, header.seq) {
                return Judgement::Pending(Dep::Readmission(header.device));
            }
            let at = (header.space, header.device, header.seq);
            if let Some(stop) = writer_allows(ERASING_STAFF, members, at, None) {
                return stop;
            }
            // It shows no proof of what it is about, so that must be here; what was refused is nowhere (`needs`).
            if subject.is_none_or(|facts| facts.state == SubjectState::Refused) {
                return Judgement::Pending(Dep::Subject(header.space, header.subject));
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

/// Waits until anything stands here of what is spoken of. Whether that counts, waits, was refused or erased makes no
/// difference: nothing is shown on what isn't shown, it may be here in another state than elsewhere, and its fate may change
/// after this entry was judged.
fn needs(
    known: &dyn Known,
    space: SpaceId,
    subject: SubjectId,
    kind: Option<Kind>,
) -> Result<Option<Judgement>, StoreError> {
    let waits = || Judgement::Pending(Dep::Subject(space, subject));
    Ok((!known.is_spoken_of(space, subject, kind)?).then(waits))
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
    match subject.filter(|_| !creates).map(|subject| subject.state) {
        Some(SubjectState::Refused) => return Ok(Judgement::Refused(Reason::SubjectRefused)),
        Some(SubjectState::Pending) => return Ok(Judgement::Pending(Dep::Subject(header.space, header.subject))),
        None | Some(SubjectState::Live | SubjectState::Erased) => {}
    }
    let at = (header.space, header.device, header.seq);
    let written = Written { at, kind: header.kind, creates, owner: subject.and_then(|facts| facts.owner) };
    if !had_right(members, &written) {
        return Ok(Judgement::Pending(Dep::Readmission(header.device)));
    }
    match codec::decode(header.kind, body) {
        Ok(Some(Record::Change(change))) => {
            let record = Record::Change(change.clone());
            let found = match content(header, &record) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(Judgement::Refused(Reason::Form)),
                Err(reason) => return Ok(Judgement::Refused(reason)),
            };
            let judged = judge_change(known, members, header, &change, &found)?;
            Ok(judged.map_or_else(|stop| stop, |facts| Counted { record, change: Some(facts) }.into()))
        }
        _ => Ok(Judgement::Refused(Reason::Form)),
    }
}

fn judge_change(
    known: &dyn Known,
    members: &Members,
    header: &Header,
    change: &DocumentChange,
    found: &Preflight,
) -> Result<Result<ChangeFacts, Judgement>, StoreError> {
    let stop = |judgement| Ok(Err(judgement));
    if let Some(replaced) = change.replaces {
        match known.subject(header.space, replaced)? {
            None => return stop(Judgement::Pending(Dep::Subject(header.space, replaced))),
            Some(facts) => {
                let person = members.person_in(header.space, header.device);
                let is_own = facts.owner.is_some() && facts.owner == person;
                // Notes belong to the wijk: whoever may begin a meeting may write one anew, without words that must go.
                let are_notes = header.kind == Kind::MEETING && facts.kind == Kind::MEETING;
                // Only one's own words can be taken over: an answer to them comes along.
                if !is_own && !are_notes {
                    return stop(Judgement::Refused(Reason::Owner));
                }
            }
        }
    }
    let mut max_op = 0;
    for dep in &found.deps {
        match known.change_max_op(header.subject, dep)? {
            Some(op) => max_op = max_op.max(op),
            None => return stop(Judgement::Pending(Dep::Change(header.subject, *dep))),
        }
    }
    // With all dependencies here these two can't become right any more. A gap in either makes automerge panic.
    if found.start_op != max_op + 1 {
        return stop(Judgement::Refused(Reason::StartOp));
    }
    // Automerge names an actor's last change among the dependencies of its next one. One that leaves it out would be folded or
    // not depending on when the document was opened.
    let follows = match known.actor_last(header.subject, &found.actor)? {
        None => found.seq == 1,
        Some((seq, hash)) => found.seq == seq + 1 && found.deps.contains(&hash),
    };
    if !follows {
        return stop(Judgement::Refused(Reason::Sequence));
    }
    Ok(Ok(ChangeFacts { hash: found.hash, actor: found.actor, seq: found.seq, max_op: found.max_op }))
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
