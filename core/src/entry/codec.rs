//! Bodies of records: from the model to bytes and back. Keys 1 and 2 open a subject, a record's own fields start at 3.
//!
//! Bodies are read leniently where a newer app may have added fields, and strictly in everything this version knows.

use super::{EraseCommit, Kind, Seed, Tombstone};
use crate::cbor::{CborError, Fields, Reader, Writer};
use crate::hash::{Hash, tagged};
use crate::model::decision::{ABOUT_MAX, ANSWER_BYTES_MAX, PARTY_BYTES_MAX, REPLACES_MAX};
use crate::model::directory::{BUURTEN_MAX, NAME_BYTES_MAX, THEMES_MAX};
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
    /// A voice.
    Voice(Voice),
    /// A decision.
    Decision(Decision),
    /// An erasure.
    Tombstone(Tombstone),
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

/// Writes a body. `opening` is given for the entry that creates its subject.
#[must_use]
pub fn encode(opening: Option<&Opening>, record: &Record) -> Vec<u8> {
    let open = |own: usize| {
        let mut w = Writer::new();
        w.map(own + if opening.is_some() { 2 } else { 0 });
        if let Some(o) = opening {
            w.uint(1).bytes(&o.seed.0).uint(2).bytes(&o.commit.0);
        }
        w
    };
    match record {
        Record::Genesis(root) => finish(open(1).uint(3).bytes(root.as_bytes())),
        Record::Grant(g) => finish(open(2).uint(3).bytes(g.person.as_bytes()).uint(4).uint(g.role.number())),
        Record::Invitation(i) => finish(open(2).uint(3).bytes(i.key.as_bytes()).uint(4).uint(i.role.number())),
        Record::Join(j) => finish(
            open(4)
                .uint(3)
                .bytes(j.invitation.as_bytes())
                .uint(4)
                .bytes(j.person.as_bytes())
                .uint(5)
                .bytes(&j.proof)
                .uint(6)
                .bytes(&j.encryption_key),
        ),
        Record::Server(s) => finish(open(1).uint(3).bytes(s.key.as_bytes())),
        Record::Directory(d) => encode_directory(open(7), d),
        Record::Change(c) => {
            let mut w = open(2 + usize::from(c.replaces.is_some()));
            w.uint(3).bytes(&c.session).uint(4).bytes(&c.change);
            if let Some(replaces) = c.replaces {
                w.uint(5).bytes(replaces.as_bytes());
            }
            w.finish()
        }
        Record::Voice(v) => {
            let mut w = open(3 + usize::from(v.replaces.is_some()));
            w.uint(3).bytes(v.question.as_bytes()).uint(4).uint(v.choice.number()).uint(5).uint(v.counter);
            if let Some(replaces) = v.replaces {
                w.uint(6).bytes(replaces.as_bytes());
            }
            w.finish()
        }
        Record::Decision(d) => encode_decision(open(6 + usize::from(d.due_day.is_some())), d),
        Record::Tombstone(t) => t.encode(),
    }
}

fn finish(w: &mut Writer) -> Vec<u8> {
    std::mem::take(w).finish()
}

fn encode_directory(mut w: Writer, d: &Directory) -> Vec<u8> {
    w.uint(3).text(&d.name).uint(4).text(&d.municipality).uint(5).text(d.code.as_str()).uint(6).uint(d.reference_year);
    w.uint(7).array(d.themes.len());
    for theme in &d.themes {
        w.array(2).uint(theme.number).text(&theme.name);
    }
    w.uint(8).array(d.buurten.len());
    for buurt in &d.buurten {
        w.array(2).text(buurt.code.as_str()).text(&buurt.name);
    }
    w.uint(9).uint(d.counter);
    w.finish()
}

fn encode_decision(mut w: Writer, d: &Decision) -> Vec<u8> {
    w.uint(3).array(d.about.len());
    for subject in &d.about {
        w.bytes(subject.as_bytes());
    }
    w.uint(4).uint(d.outcome.number()).uint(5).text(&d.reason).uint(6).text(&d.answer).uint(7).text(&d.party);
    if let Some(day) = d.due_day {
        w.uint(8).uint(u64::from(day));
    }
    w.uint(9).array(d.replaces.len());
    for id in &d.replaces {
        w.bytes(id.as_bytes());
    }
    w.finish()
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
        Kind::GRANT => Record::Grant(Grant { person: PersonId::new(exact(&f, 3)?), role: role(&f, 4)? }),
        Kind::INVITATION => {
            Record::Invitation(Invitation { key: InvitationKey::new(exact(&f, 3)?), role: role(&f, 4)? })
        }
        Kind::JOIN => Record::Join(Join {
            invitation: InvitationKey::new(exact(&f, 3)?),
            person: PersonId::new(exact(&f, 4)?),
            proof: exact(&f, 5)?,
            encryption_key: exact(&f, 6)?,
        }),
        Kind::SERVER => Record::Server(ServerIdentity { key: DeviceId::new(exact(&f, 3)?) }),
        Kind::DIRECTORY => Record::Directory(decode_directory(&f)?),
        Kind::CONTRIBUTION | Kind::MEETING => Record::Change(DocumentChange {
            session: exact(&f, 3)?,
            change: f.need(4)?.bytes(CHANGE_BYTES_MAX)?.to_vec(),
            replaces: f.get(5).map(|mut r| r.exact()).transpose()?.map(SubjectId::new),
        }),
        Kind::VOICE => Record::Voice(Voice {
            question: SubjectId::new(exact(&f, 3)?),
            choice: numbered(&f, 4, Choice::from_number, "a choice")?,
            counter: f.need(5)?.uint()?,
            replaces: f.get(6).map(|mut r| r.exact()).transpose()?.map(EntryId::new),
        }),
        Kind::DECISION => Record::Decision(decode_decision(&f)?),
        _ => return Ok(None),
    }))
}

fn role(f: &Fields<'_>, key: u64) -> Result<Role, CborError> {
    numbered(f, key, Role::from_number, "a role")
}

fn numbered<T>(f: &Fields<'_>, key: u64, from: fn(u64) -> Option<T>, what: &'static str) -> Result<T, CborError> {
    let mut r = f.need(key)?;
    from(r.uint()?).ok_or(CborError { at: 0, what })
}

fn text(f: &Fields<'_>, key: u64, max: usize) -> Result<String, CborError> {
    Ok(f.need(key)?.text(max)?.to_owned())
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

fn area(text: &str) -> Result<AreaCode, CborError> {
    AreaCode::parse(text).map_err(|_| CborError { at: 0, what: "a CBS code" })
}

fn decode_directory(f: &Fields<'_>) -> Result<Directory, CborError> {
    Ok(Directory {
        name: text(f, 3, NAME_BYTES_MAX)?,
        municipality: text(f, 4, NAME_BYTES_MAX)?,
        code: area(&text(f, 5, 16)?)?,
        reference_year: f.need(6)?.uint()?,
        themes: list(f, 7, THEMES_MAX, |r| {
            r.array_of(2)?;
            Ok(Theme { number: r.uint()?, name: r.text(NAME_BYTES_MAX)?.to_owned() })
        })?,
        buurten: list(f, 8, BUURTEN_MAX, |r| {
            r.array_of(2)?;
            Ok(Buurt { code: area(r.text(16)?)?, name: r.text(NAME_BYTES_MAX)?.to_owned() })
        })?,
        counter: f.need(9)?.uint()?,
    })
}

fn decode_decision(f: &Fields<'_>) -> Result<Decision, CborError> {
    let day = f.get(8).map(|mut r| r.uint()).transpose()?;
    let decision = Decision {
        about: list(f, 3, ABOUT_MAX, |r| r.exact().map(SubjectId::new))?,
        outcome: numbered(f, 4, Outcome::from_number, "an outcome")?,
        reason: text(f, 5, ANSWER_BYTES_MAX)?,
        answer: text(f, 6, ANSWER_BYTES_MAX)?,
        party: text(f, 7, PARTY_BYTES_MAX)?,
        due_day: day.map(u32::try_from).transpose().map_err(|_| CborError { at: 0, what: "a day" })?,
        replaces: list(f, 9, REPLACES_MAX, |r| r.exact().map(EntryId::new))?,
    };
    if decision.about.is_empty() || decision.reason.is_empty() || decision.answer.is_empty() {
        return Err(CborError { at: 0, what: "a decision with contributions, a reason and an answer" });
    }
    Ok(decision)
}
