//! Bodies of records: from the model to bytes and back. Keys 1 and 2 open a subject, a record's own fields start at 3.
//!
//! Bodies are read leniently where a newer app may have added fields, and strictly in everything this version knows.

mod closed;
mod members;
mod open;

pub use closed::{decode_answer, decode_words, encode_answer, encode_words};

use super::{EraseCommit, Kind, Seed, Tombstone};
use crate::cbor::{CborError, Fields, Reader, Writer};
use crate::hash::{Hash, tagged};
use crate::model::*;

/// What a creating body says in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Random; nonce and salt follow from it.
    pub seed: Seed,
    /// Hash of the erase secret.
    pub commit: EraseCommit,
}

/// One change of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentChange {
    /// Random per process and document; the change's actor follows from it.
    pub session: [u8; 8],
    /// One automerge change chunk.
    pub change: Vec<u8>,
    /// The subject that this one takes the place of, because words were taken away; only where a subject is created.
    pub replaces: Option<SubjectId>,
}

/// Longest change in a body, in bytes: four pages pasted at once fit in any script.
pub const CHANGE_BYTES_MAX: usize = 60 * 1024;

/// A body that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// First entry of the wijk: names the root key.
    Genesis(DeviceId),
    /// A role for a person.
    Grant(Grant),
    /// A card.
    Invitation(Invitation),
    /// A device joins.
    Join(Join),
    /// The server.
    Server(ServerIdentity),
    /// The directory.
    Directory(Directory),
    /// A change of a contribution or of meeting notes.
    Change(DocumentChange),
    /// A voice, in the open or in a secret poll.
    Voice(Voice),
    /// A decision.
    Decision(Decision),
    /// An erasure.
    Tombstone(Tombstone),
    /// A device, a person or a role taken away.
    Revocation(Revocation),
    /// Where a revoked chain ends.
    Cut(Cut),
    /// The key of a server's epoch.
    Epoch(EpochKey),
    /// What stands of something that happened twice.
    Settlement(Settlement),
    /// Cards withdrawn.
    Withdrawal(Withdrawal),
    /// An organisation.
    Organisation(Organisation),
    /// A device's key for a closed space.
    Enrolment(Enrolment),
    /// A key pair of a closed space.
    Generation(Generation),
    /// Its private half for one member.
    Wrap(Wrap),
    /// A card of a circle.
    CircleCard(InvitationKey),
    /// A sealed body, written by a member of the space or dropped.
    Sealed(Sealed),
    /// A sealed answer.
    Answer(SealedAnswer),
    /// A secret poll is to be counted: its question.
    Count(SubjectId),
    /// The count of a secret poll.
    Tally(Tally),
    /// A ruling on a notice.
    Ruling(Ruling),
}

/// The wijk's id: hash of its genesis body.
#[must_use]
pub fn wijk_id(genesis_body: &[u8]) -> WijkId {
    WijkId::new(tagged("samenspraak/genesis/v1", 1, |w| {
        w.raw(genesis_body);
    }))
}

/// What a card's key signs when a device joins.
#[must_use]
pub fn join_message(wijk: WijkId, device: DeviceId, person: PersonId, encryption_key: &[u8; 32]) -> Hash {
    tagged("samenspraak/join/v1", 4, |w| {
        w.bytes(wijk.as_bytes()).bytes(device.as_bytes()).bytes(person.as_bytes()).bytes(encryption_key);
    })
}

/// The person that a join brings: follows from the device that joins, so that no card lets anybody join as somebody else.
/// More devices of a person come by a record of that person's own.
#[must_use]
pub fn person_of(wijk: WijkId, device: DeviceId) -> PersonId {
    PersonId::new(crate::hash::short(tagged("samenspraak/person/v1", 2, |w| {
        w.bytes(wijk.as_bytes()).bytes(device.as_bytes());
    })))
}

/// What a device signs to bring its key of a closed space in.
#[must_use]
pub fn enrolment_message(wijk: WijkId, space: SpaceId, key: DeviceId, encryption_key: &[u8; 32]) -> Hash {
    tagged("samenspraak/enrolment/v1", 4, |w| {
        w.bytes(wijk.as_bytes()).bytes(&space.to_bytes()).bytes(key.as_bytes()).bytes(encryption_key);
    })
}

/// The id of the circle that a facilitator's device founds with these random bytes.
#[must_use]
pub fn circle_id(wijk: WijkId, device: DeviceId, nonce: &[u8; 16]) -> SpaceId {
    SpaceId::Circle(crate::hash::short(tagged("samenspraak/circle/v1", 3, |w| {
        w.bytes(wijk.as_bytes()).bytes(device.as_bytes()).bytes(nonce);
    })))
}

/// The id of a generation: hash of its public half.
#[must_use]
pub fn generation_id(public: &[u8; 32]) -> GenerationId {
    GenerationId::new(crate::hash::short(tagged("samenspraak/generation/v1", 1, |w| {
        w.bytes(public);
    })))
}

/// The subject that a dropped body creates, whoever appends it.
#[must_use]
pub fn dropped_subject(wijk: WijkId, space: SpaceId, body: &[u8]) -> Option<SubjectId> {
    let opening = opening(body).ok().flatten()?;
    let nonce = opening.seed.nonce();
    Some(super::subject::subject_id(wijk, space, DeviceId::ZERO, Kind::DROPPED, &nonce, &opening.commit))
}

/// The actor id of a device's session in a document.
#[must_use]
pub fn actor(device: DeviceId, subject: SubjectId, session: &[u8; 8]) -> [u8; 16] {
    crate::hash::short(tagged("samenspraak/actor/v1", 3, |w| {
        w.bytes(device.as_bytes()).bytes(subject.as_bytes()).bytes(session);
    }))
}

/// Reads exactly `N` bytes at `key`.
pub(super) fn exact<const N: usize>(fields: &Fields<'_>, key: u64) -> Result<[u8; N], CborError> {
    fields.need(key)?.exact()
}

/// The opening of a body, or `None` for one that follows.
///
/// # Errors
/// When the body is no map, or has one half of an opening only.
pub fn opening(body: &[u8]) -> Result<Option<Opening>, CborError> {
    let f = Fields::parse(body)?;
    match (f.get(1), f.get(2)) {
        (None, None) => Ok(None),
        _ => Ok(Some(Opening { seed: Seed(exact(&f, 1)?), commit: EraseCommit(exact(&f, 2)?) })),
    }
}

/// A body in the making: a map whose first keys may open its subject.
struct Body<'o>(Option<&'o Opening>);

impl Body<'_> {
    /// A map of the opening and `own` fields.
    fn map(&self, own: usize) -> Writer {
        let mut w = Writer::new();
        w.map(own + if self.0.is_some() { 2 } else { 0 });
        if let Some(o) = self.0 {
            w.uint(1).bytes(&o.seed.0).uint(2).bytes(&o.commit.0);
        }
        w
    }
}

/// Writes a body. `opening` is given for the entry that creates its subject.
#[must_use]
pub fn encode(opening: Option<&Opening>, record: &Record) -> Vec<u8> {
    let body = Body(opening);
    match record {
        Record::Genesis(root) => finish(body.map(1).uint(3).bytes(root.as_bytes())),
        Record::Grant(grant) => members::grant(&body, grant),
        Record::Invitation(invitation) => members::invitation(&body, invitation),
        Record::Join(join) => members::join(&body, join),
        Record::Server(server) => finish(body.map(1).uint(3).bytes(server.key.as_bytes())),
        Record::Directory(directory) => open::directory(&body, directory),
        Record::Change(change) => open::change(&body, change),
        Record::Voice(voice) => open::voice(&body, voice),
        Record::Decision(decision) => open::decision(&body, decision),
        Record::Tombstone(tombstone) => tombstone.encode(),
        Record::Revocation(revocation) => members::revocation(&body, revocation),
        Record::Cut(cut) => members::cut(&body, cut),
        Record::Epoch(epoch) => members::epoch(&body, epoch),
        Record::Settlement(settlement) => members::settlement(&body, settlement),
        Record::Withdrawal(withdrawal) => finish(body.map(1).uint(3).bytes(withdrawal.batch.as_bytes())),
        Record::Organisation(organisation) => finish(body.map(1).uint(3).text(&organisation.name)),
        Record::Enrolment(enrolment) => closed::enrolment(&body, enrolment),
        Record::Generation(generation) => closed::generation(&body, generation),
        Record::Wrap(wrap) => closed::wrap(&body, wrap),
        Record::CircleCard(card) => finish(body.map(1).uint(3).bytes(card.as_bytes())),
        Record::Sealed(sealed) => closed::sealed(&body, sealed),
        Record::Answer(answer) => closed::answer(&body, answer),
        Record::Count(question) => finish(body.map(1).uint(3).bytes(question.as_bytes())),
        Record::Tally(tally) => open::tally(&body, tally),
        Record::Ruling(ruling) => open::ruling(&body, ruling),
    }
}

fn finish(w: &mut Writer) -> Vec<u8> {
    std::mem::take(w).finish()
}

/// Reads the body of a kind this version knows; `None` for other kinds.
///
/// # Errors
/// When the body has not the form of its kind.
pub fn decode(kind: Kind, body: &[u8]) -> Result<Option<Record>, CborError> {
    if kind == Kind::TOMBSTONE {
        return Tombstone::decode(body).map(|t| Some(Record::Tombstone(t)));
    }
    let f = Fields::parse(body)?;
    Ok(Some(match kind {
        Kind::GENESIS => Record::Genesis(DeviceId::new(exact(&f, 3)?)),
        Kind::GRANT => Record::Grant(members::read_grant(&f)?),
        Kind::INVITATION => Record::Invitation(members::read_invitation(&f)?),
        Kind::JOIN => Record::Join(members::read_join(&f)?),
        Kind::SERVER => Record::Server(ServerIdentity { key: DeviceId::new(exact(&f, 3)?) }),
        Kind::DIRECTORY => Record::Directory(open::read_directory(&f)?),
        Kind::CONTRIBUTION | Kind::MEETING => Record::Change(open::read_change(&f)?),
        Kind::VOICE | Kind::BALLOT => Record::Voice(open::read_voice(&f)?),
        Kind::DECISION => Record::Decision(open::read_decision(&f)?),
        Kind::REVOCATION => Record::Revocation(members::read_revocation(&f)?),
        Kind::CUT => Record::Cut(members::read_cut(&f)?),
        Kind::EPOCH => Record::Epoch(members::read_epoch(&f)?),
        Kind::SETTLEMENT => Record::Settlement(members::read_settlement(&f)?),
        Kind::WITHDRAWAL => Record::Withdrawal(Withdrawal { batch: BatchId::new(exact(&f, 3)?) }),
        Kind::ORGANISATION => Record::Organisation(members::read_organisation(&f)?),
        Kind::ENROLMENT => Record::Enrolment(closed::read_enrolment(&f)?),
        Kind::GENERATION => Record::Generation(closed::read_generation(&f)?),
        Kind::WRAP => Record::Wrap(closed::read_wrap(&f)?),
        Kind::CIRCLE_CARD => Record::CircleCard(InvitationKey::new(exact(&f, 3)?)),
        Kind::SEALED | Kind::DROPPED => Record::Sealed(closed::read_sealed(&f)?),
        Kind::ANSWER => Record::Answer(closed::read_answer(&f)?),
        Kind::COUNT => Record::Count(SubjectId::new(exact(&f, 3)?)),
        Kind::TALLY => Record::Tally(open::read_tally(&f)?),
        Kind::RULING => Record::Ruling(open::read_ruling(&f)?),
        _ => return Ok(None),
    }))
}

fn numbered<T>(f: &Fields<'_>, key: u64, from: fn(u64) -> Option<T>, what: &'static str) -> Result<T, CborError> {
    let mut r = f.need(key)?;
    from(r.uint()?).ok_or(CborError { at: 0, what })
}

fn text(f: &Fields<'_>, key: u64, max: usize) -> Result<String, CborError> {
    Ok(f.need(key)?.text(max)?.to_owned())
}

/// Reads exactly `N` bytes at `key`, where it is there.
fn optional<const N: usize>(f: &Fields<'_>, key: u64) -> Result<Option<[u8; N]>, CborError> {
    f.get(key).map(|mut r| r.exact()).transpose()
}

fn read_space(r: &mut Reader<'_>) -> Result<SpaceId, CborError> {
    SpaceId::from_bytes(r.bytes(17)?).ok_or_else(|| r.error("a space"))
}

fn list<T>(
    f: &Fields<'_>,
    key: u64,
    max: usize,
    item: impl Fn(&mut Reader<'_>) -> Result<T, CborError>,
) -> Result<Vec<T>, CborError> {
    let mut r = f.need(key)?;
    let len = r.array(max)?;
    (0..len).map(|_| item(&mut r)).collect()
}
