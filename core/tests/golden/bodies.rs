//! Bodies of every kind of record, both forms of tombstone, and documents.

use automerge::Automerge;
use samenspraak_core::document::meeting::MeetingEdit;
use samenspraak_core::document::{self, Splice, contribution, meeting};
use samenspraak_core::entry::codec::{Record, actor, decode, encode, opening as read_opening};
use samenspraak_core::entry::{Kind, Tombstone};
use samenspraak_core::model::*;

use super::file::{check, known};
use super::fixed::*;

fn directory() -> Directory {
    Directory {
        name: "De Lindehoek".into(),
        municipality: "Waterlo".into(),
        code: AreaCode::parse("WK999901").unwrap(),
        reference_year: 2025,
        themes: vec![Theme { number: 1, name: "Wonen".into() }, Theme { number: 2, name: "Gezond én veilig".into() }],
        buurten: vec![Buurt { code: AreaCode::parse("BU9999AA01").unwrap(), name: "De Es".into() }],
        counter: 7,
    }
}

fn decision(due_day: Option<u32>, replaces: Vec<EntryId>) -> Decision {
    Decision {
        about: vec![SUBJECT, SubjectId::new([0xc4; 16])],
        outcome: Outcome::Partly,
        reason: "Er is geld voor één kant.".into(),
        answer: "We maken één kant licht.".into(),
        party: "gemeente".into(),
        due_day,
        replaces,
    }
}

fn records() -> Vec<(&'static str, Kind, bool, Record)> {
    let key = InvitationKey::new([0x1e; 32]);
    let owner = Tombstone::Owner {
        subject: subject(Kind::CONTRIBUTION),
        device: device(),
        kind: Kind::CONTRIBUTION,
        nonce: SEED.nonce(),
        erase_secret: ERASE,
    };
    let administrator = Tombstone::Administrator { subject: SUBJECT, ground: "AVG artikel 17".into() };
    let join = Join { invitation: key, person: PERSON, proof: [0x3f; 64], encryption_key: [0x66; 32] };
    vec![
        ("genesis", Kind::GENESIS, true, Record::Genesis(device())),
        ("grant", Kind::GRANT, true, Record::Grant(Grant::of(PERSON, Role::Board))),
        ("invitation", Kind::INVITATION, true, Record::Invitation(Invitation::to_role(key, Role::Facilitator))),
        ("join", Kind::JOIN, true, Record::Join(join)),
        ("server", Kind::SERVER, true, Record::Server(ServerIdentity { key: DeviceId::new([0x5a; 32]) })),
        ("directory", Kind::DIRECTORY, true, Record::Directory(directory())),
        ("contribution begins", Kind::CONTRIBUTION, true, Record::Change(change(None))),
        ("contribution replaces", Kind::CONTRIBUTION, true, Record::Change(change(Some(SUBJECT)))),
        ("contribution goes on", Kind::CONTRIBUTION, false, Record::Change(change(None))),
        ("meeting begins", Kind::MEETING, true, Record::Change(change(None))),
        ("meeting goes on", Kind::MEETING, false, Record::Change(change(None))),
        ("voice", Kind::VOICE, true, Record::Voice(voice(None))),
        ("voice that replaces", Kind::VOICE, false, Record::Voice(voice(Some(ENTRY)))),
        ("decision", Kind::DECISION, true, Record::Decision(decision(None, vec![]))),
        ("decision that replaces", Kind::DECISION, true, Record::Decision(decision(Some(20_100), vec![ENTRY]))),
        ("tombstone of the owner", Kind::TOMBSTONE, false, Record::Tombstone(owner)),
        ("tombstone of an administrator", Kind::TOMBSTONE, false, Record::Tombstone(administrator)),
    ]
}

#[test]
fn every_body_keeps_its_bytes_and_is_read_back() {
    let records = records();
    let bodies: Vec<_> = records
        .iter()
        .map(|(name, _, creates, record)| (*name, encode(creates.then(opening).as_ref(), record)))
        .collect();
    let known = check("bodies.hex", &bodies);
    for (name, kind, creates, record) in records {
        assert_eq!(decode(kind, &known[name]), Ok(Some(record)), "{name}");
        assert_eq!(read_opening(&known[name]), Ok(creates.then(opening)), "{name}");
    }
}

/// Automerge may write the same edit in other bytes one day, so these are only read.
#[test]
fn documents_that_were_written_once_read_the_same_for_ever() {
    let content = Content {
        title: "Donkere oversteek".into(),
        text: "’s Avonds zie je niets. Één lamp helpt al. 🙂".into(),
        theme: 2,
        buurt: "BU9999AA01".into(),
    };
    let longer = Content { text: format!("{} Ook bij school.", content.text), theme: 3, ..content.clone() };
    let by = |session: u8| actor(device(), SUBJECT, &[session; 8]);
    let entry = |number: u8| EntryId::new([number; 32]);
    let written = contribution::create(by(1), &content).unwrap().unwrap();
    let doc = document::open(vec![(entry(1), written.clone())]).doc;
    let edited = contribution::edit(&doc, by(2), &longer).unwrap().unwrap();
    let notes = meeting::create(by(3), "Wijkavond", &["Licht".into(), "Groen".into()]).unwrap().unwrap();
    let doc: Automerge = document::open(vec![(entry(3), notes.clone())]).doc;
    let splice = Splice { at: 0, delete: 0, insert: "Amina: te donker.".into() };
    let spliced = meeting::edit(&doc, by(4), &MeetingEdit::Splice { item: 1, splice }).unwrap().unwrap();
    let added = meeting::edit(&doc, by(5), &MeetingEdit::AddItem { title: "Rondvraag".into() }).unwrap().unwrap();

    let known = known(
        "changes.hex",
        &[
            ("contribution", written),
            ("contribution edited", edited),
            ("meeting", notes),
            ("meeting spliced", spliced),
            ("meeting with one more item", added),
        ],
    );
    let doc = document::open(vec![
        (entry(2), known["contribution edited"].clone()),
        (entry(1), known["contribution"].clone()),
    ]);
    assert!(doc.set_aside.is_empty());
    assert_eq!(contribution::read(&doc.doc), longer);
    let names = ["meeting with one more item", "meeting spliced", "meeting"];
    let doc = document::open(names.iter().map(|name| (entry(name.len() as u8), known[*name].clone())).collect());
    assert!(doc.set_aside.is_empty());
    let item = |title: &str, text: &str| NoteItem { title: title.into(), text: text.into() };
    let agenda = vec![item("Licht", ""), item("Groen", "Amina: te donker."), item("Rondvraag", "")];
    assert_eq!(meeting::read(&doc.doc), MeetingText { title: "Wijkavond".into(), agenda });
}
