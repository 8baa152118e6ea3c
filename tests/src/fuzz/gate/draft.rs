//! Entries in the making: first as an honest app writes them, then changed part by part, and at last hashed and signed as if
//! nothing had happened.

use samenspraak_core::cbor::{Fields, Writer as Cbor};
use samenspraak_core::entry::codec::{self, CHANGE_BYTES_MAX, DocumentChange, Record};
use samenspraak_core::entry::header::Extra;
use samenspraak_core::entry::sign::Key;
use samenspraak_core::entry::subject::{body_hash, subject_id};
use samenspraak_core::entry::{Header, Kind, Payload, RunEntry, Salt, Signature};
use samenspraak_core::gate::change::preflight;
use samenspraak_core::model::*;

use super::scene::{Scene, Subject};
use crate::fuzz::change::edit_part;
use crate::fuzz::choices::Choices;
use crate::fuzz::hostile::ChangeBody;

/// How the body travels.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Creating,
    Following,
    FollowingWithHash,
    Stub,
}

/// See the module.
#[derive(Clone)]
pub struct Draft {
    /// Whose chain it is in.
    pub by: usize,
    pub space: SpaceId,
    pub kind: Kind,
    subject: SubjectId,
    salt: Salt,
    body: Vec<u8>,
    form: Form,
    extra: Vec<Extra>,
    /// Something else than the hash of the body.
    hash: Option<[u8; 32]>,
    /// Somebody else's key, or nobody's.
    signer: Option<Key>,
}

/// Where a chain stands while a run is made.
#[derive(Clone, Copy)]
pub struct End {
    pub seq: u64,
    pub prev: EntryId,
}

impl Draft {
    pub fn create(subject: &Subject, record: &Record) -> Self {
        let body = codec::encode(Some(&subject.opening()), record);
        Self::new(subject, subject.kind, body, Form::Creating)
    }

    pub fn follow(by: usize, subject: &Subject, kind: Kind, record: &Record) -> Self {
        let body = codec::encode(None, record);
        Self { by, ..Self::new(subject, kind, body, Form::FollowingWithHash) }
    }

    fn new(subject: &Subject, kind: Kind, body: Vec<u8>, form: Form) -> Self {
        let Subject { id, space, by, .. } = *subject;
        let salt = subject.salt(kind);
        Self { by, space, kind, subject: id, salt, body, form, extra: vec![], hash: None, signer: None }
    }

    /// One change of a document, made by a process with this session.
    pub fn change(by: usize, subject: &Subject, session: [u8; 8], change: Vec<u8>, creates: bool) -> Self {
        let record = Record::Change(DocumentChange { session, change, replaces: None });
        if creates { Self::create(subject, &record) } else { Self::follow(by, subject, subject.kind, &record) }
    }

    /// Finishes the entry: its link, hash, id and signature are right, unless a change says otherwise.
    pub fn sign(&self, scene: &Scene, end: End) -> (RunEntry, EntryId, Signature) {
        let (wijk, own) = (scene.wijk(), scene.key(self.by, self.space));
        let device = own.id();
        let (mut subject, mut salt) = (self.subject, self.salt);
        if let (Form::Creating, Ok(Some(opening))) = (self.form, codec::opening(&self.body)) {
            let nonce = opening.seed.nonce();
            subject = subject_id(wijk, self.space, device, self.kind, &nonce, &opening.commit);
            salt = opening.seed.salt();
        }
        let hash = self.hash.unwrap_or_else(|| body_hash(&salt, device, end.seq, &self.body));
        let header = Header {
            wijk,
            space: self.space,
            device,
            seq: end.seq,
            prev: end.prev,
            subject,
            kind: self.kind,
            body_hash: hash,
            extra: self.extra.clone(),
        };
        let id = header.id();
        let key = self.signer.as_ref().unwrap_or(&own);
        let body = self.body.clone();
        let payload = match self.form {
            Form::Creating => Payload::Creating { body },
            Form::Following => Payload::Following { subject, body, hash: None },
            Form::FollowingWithHash => Payload::Following { subject, body, hash: Some(hash) },
            Form::Stub => Payload::Stub { subject, hash },
        };
        (RunEntry { kind: self.kind, payload, extra: self.extra.clone() }, id, key.sign_entry(id))
    }

    /// The subject this entry creates or follows.
    pub fn subject(&self) -> SubjectId {
        self.subject
    }

    /// Whether it creates its subject.
    pub fn creates(&self) -> bool {
        self.form == Form::Creating
    }

    /// Hash of the automerge change in it.
    pub fn change_hash(&self) -> Option<[u8; 32]> {
        match codec::decode(self.kind, &self.body) {
            Ok(Some(Record::Change(found))) => Some(preflight(&found.change).ok()?.hash),
            _ => None,
        }
    }

    /// One part of it, changed.
    pub fn change_a_part(&mut self, scene: &Scene, choices: &mut Choices<'_>) {
        match choices.below(16) {
            0..=3 => self.change_the_change(scene, choices),
            4..=6 => self.body = edit_fields(&self.body, scene, choices),
            7 => choices.edit(&mut self.body),
            8 => self.kind = Kind(if choices.once_in(2) { choices.number() } else { choices.below(32) as u64 }),
            9 => {
                let other = any(scene, choices);
                (self.subject, self.salt) = (other.id, other.salt(self.kind));
                self.form = Form::FollowingWithHash;
            }
            10 => self.subject = SubjectId::new(choices.array()),
            11 => self.form = *choices.one(&[Form::Following, Form::FollowingWithHash, Form::Stub, Form::Creating]),
            12 => {
                let value = item(scene, choices, 0);
                self.extra.push(Extra { key: 9 + choices.number() % 90, value });
            }
            13 => self.hash = Some(choices.array()),
            14 => self.signer = Some(choices.one(&scene.writers).key.clone()),
            _ => self.by = choices.below(scene.writers.len()),
        }
    }

    /// Parts of the automerge change in the body. Its checksum is right afterwards, and most of the time its actor.
    fn change_the_change(&mut self, scene: &Scene, choices: &mut Choices<'_>) {
        let Ok(Some(Record::Change(found))) = codec::decode(self.kind, &self.body) else {
            self.body = edit_fields(&self.body, scene, choices);
            return;
        };
        // Only what the preflight accepts has parts; what was changed beyond that stays as it is.
        if preflight(&found.change).is_err() || found.change.get(8) != Some(&1) {
            return;
        }
        let mut body = ChangeBody::read(&found.change);
        for _ in 0..=choices.below(3) {
            edit_part(&mut body, choices);
        }
        if !choices.once_in(8) {
            body.actor = codec::actor(scene.writers[self.by].key.id(), self.subject, &found.session).to_vec();
        }
        let change = body.chunk();
        if change.len() <= CHANGE_BYTES_MAX {
            let opening = codec::opening(&self.body).ok().flatten();
            self.body = codec::encode(opening.as_ref(), &Record::Change(DocumentChange { change, ..found }));
        }
    }
}

pub fn any(scene: &Scene, choices: &mut Choices<'_>) -> Subject {
    *choices.one(&scene.subjects)
}

/// A body whose fields are other ones, in whatever form; still a map that can be read most of the time.
fn edit_fields(body: &[u8], scene: &Scene, choices: &mut Choices<'_>) -> Vec<u8> {
    let Ok(parsed) = Fields::parse(body) else { return body.to_vec() };
    let mut fields: Vec<(u64, Vec<u8>)> = parsed.from(0).map(|(key, value)| (key, value.to_vec())).collect();
    let (at, other) = (choices.below(fields.len()), choices.below(fields.len()));
    if fields.is_empty() {
        return body.to_vec();
    }
    match choices.below(8) {
        0..=2 => fields[at].1 = item(scene, choices, 0),
        3 => drop(fields.remove(at)),
        4 => {
            let (value, key) = (item(scene, choices, 0), choices.number());
            fields.push((key, value));
        }
        5 => {
            let value = fields[other].1.clone();
            fields[at].1 = value;
        }
        6 => choices.edit(&mut fields[at].1),
        _ => fields[at].0 = choices.number() % 16,
    }
    if !choices.once_in(8) {
        fields.sort_by_key(|(key, _)| *key);
    }
    let mut w = Cbor::new();
    w.map(fields.len());
    for (key, value) in &fields {
        w.uint(*key).raw(value);
    }
    w.finish()
}

/// Something that could stand in a field: an id that means something here, or a value at which readers go wrong.
fn item(scene: &Scene, choices: &mut Choices<'_>, depth: usize) -> Vec<u8> {
    let mut w = Cbor::new();
    match choices.below(12) {
        0 => w.bytes(any(scene, choices).id.as_bytes()),
        1 => w.bytes(choices.one(&scene.entries).as_bytes()),
        2 => w.bytes(choices.one(&scene.writers).key.id().as_bytes()),
        3 => w.bytes(choices.one(&scene.writers).person.as_bytes()),
        4 => w.bytes(scene.card(choices.below(8)).1.as_bytes()),
        5 => w.bytes(&vec![choices.byte(); choices.number() as usize % 300]),
        6 => w.uint(choices.number()),
        7 => w.text(&"é".repeat(choices.number() as usize % 5_000)),
        8 => w.null(),
        9 => w.raw(&choices.bytes(12)),
        _ if depth > 12 => w.uint(0),
        _ => {
            let count = choices.below(4);
            w.array(count);
            (0..count).fold(&mut w, |w, _| w.raw(&item(scene, choices, depth + 1)))
        }
    };
    w.finish()
}
