//! The inputs of all golden bytes. Changing one would make every file worthless.

use samenspraak_core::entry::codec::{DocumentChange, Opening, Record, encode};
use samenspraak_core::entry::header::Extra;
use samenspraak_core::entry::sign::Key;
use samenspraak_core::entry::subject::{body_hash, subject_id};
use samenspraak_core::entry::{EraseSecret, Header, Kind, Payload, Run, RunEntry, Seed};
use samenspraak_core::model::*;

pub const WIJK: WijkId = WijkId::new([0xa1; 32]);
pub const PERSON: PersonId = PersonId::new([0xb2; 16]);
pub const SUBJECT: SubjectId = SubjectId::new([0xc3; 16]);
pub const ENTRY: EntryId = EntryId::new([0xd4; 32]);
pub const SECRET: [u8; 32] = [0x11; 32];
pub const SEED: Seed = Seed([0x5e; 16]);
pub const ERASE: EraseSecret = EraseSecret([0xe5; 32]);
pub const SESSION: [u8; 8] = [0x77; 8];
pub const EPOCH: [u8; 16] = [0xee; 16];

pub fn key() -> Key {
    Key::from_secret(&SECRET)
}

pub fn device() -> DeviceId {
    key().id()
}

pub fn opening() -> Opening {
    Opening { seed: SEED, commit: ERASE.commit() }
}

pub fn subject(kind: Kind) -> SubjectId {
    subject_id(WIJK, SpaceId::Open, device(), kind, &SEED.nonce(), &ERASE.commit())
}

pub fn extra() -> Vec<Extra> {
    // 70 000 as a number, and a text.
    vec![Extra { key: 9, value: vec![0x1a, 0x00, 0x01, 0x11, 0x70] }, Extra { key: 300, value: vec![0x62, b'j', b'a'] }]
}

pub fn header(extra: Vec<Extra>) -> Header {
    Header {
        wijk: WIJK,
        space: SpaceId::Open,
        device: device(),
        seq: 41_207,
        prev: ENTRY,
        subject: SUBJECT,
        kind: Kind::VOICE,
        body_hash: [0x0b; 32],
        extra,
    }
}

pub fn voice(replaces: Option<EntryId>) -> Voice {
    Voice { question: SUBJECT, choice: Choice::Disagree, counter: 3, replaces }
}

pub fn change(replaces: Option<SubjectId>) -> DocumentChange {
    DocumentChange { session: SESSION, change: b"a change chunk".to_vec(), replaces }
}

/// A chain in one run with each form of payload: a voice is created, replaced with and without its hash, followed by a
/// stub, and by a voice with fields of a newer app.
pub fn run() -> Run {
    let first = encode(Some(&opening()), &Record::Voice(voice(None)));
    let again = encode(None, &Record::Voice(voice(Some(ENTRY))));
    let (device, subject) = (device(), subject(Kind::VOICE));
    let payloads = [
        (Payload::Creating { body: first }, vec![]),
        (Payload::Following { subject, body: again.clone(), hash: None }, vec![]),
        (
            Payload::Following { subject, body: again.clone(), hash: Some(body_hash(&SEED.salt(), device, 2, &again)) },
            vec![],
        ),
        (Payload::Stub { subject, hash: [0x0b; 32] }, vec![]),
        (Payload::Following { subject, body: again, hash: None }, extra()),
    ];
    let entries = payloads.into_iter().map(|(payload, extra)| RunEntry { kind: Kind::VOICE, payload, extra });
    let mut run = Run {
        device,
        first_seq: 0,
        prev: EntryId::ZERO,
        entries: entries.collect(),
        signature: samenspraak_core::entry::Signature([0; 64]),
    };
    run.signature = key().sign_entry(rebuild(&run).last().unwrap().id);
    run
}

/// What a receiver makes of a run.
pub fn rebuild(run: &Run) -> Vec<samenspraak_core::entry::run::Rebuilt> {
    let mut cursor = samenspraak_core::entry::run::Cursor::new(run);
    let mut rebuilt = Vec::new();
    while let Some(entry) = cursor.next(WIJK, SpaceId::Open, &mut |_| Some(SEED.salt())) {
        rebuilt.push(entry.unwrap());
    }
    rebuilt
}
