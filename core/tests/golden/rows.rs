//! Rows in stores: keys and values that an app of next year finds on the disk of this year.

use samenspraak_core::app::Identity;
use samenspraak_core::entry::{Kind, Signature};
use samenspraak_core::gate::body::SubjectState;
use samenspraak_core::gate::{Dep, Reason, Verdict};
use samenspraak_core::model::*;
use samenspraak_core::replica::rows::{decode_dep, encode_dep};
use samenspraak_core::replica::{EntryRow, Head, Kept, Place, SubjectRow};
use samenspraak_core::store::keys;
use samenspraak_core::store::log::{
    LogHead, LogItem, decode_head, decode_line, decode_run, encode_head, encode_line, encode_run,
};

use super::file::check;
use super::fixed::*;

fn entry_rows() -> Vec<(&'static str, EntryRow)> {
    let row = |kept, creates, signature, extra| EntryRow {
        id: ENTRY,
        kind: Kind::CONTRIBUTION,
        subject: SUBJECT,
        body_hash: [0x0b; 32],
        creates,
        kept,
        signature,
        extra,
    };
    let body = || b"a body".to_vec();
    let refused = Verdict::Refused(Reason::Owner);
    vec![
        ("entry present", row(Kept::Present(body()), true, Some(Signature([0x3f; 64])), vec![])),
        ("entry pending", row(Kept::Pending(body()), false, None, extra())),
        ("entry refused", row(Kept::Refused(refused, None), false, None, vec![])),
        ("entry refused here", row(Kept::Refused(refused, Some(body())), false, None, vec![])),
        ("entry erased", row(Kept::Erased, true, None, vec![])),
        ("entry absent", row(Kept::Absent, false, None, vec![])),
    ]
}

fn subject_rows() -> Vec<(&'static str, SubjectRow)> {
    let row = |state| SubjectRow {
        state,
        kind: Kind::VOICE,
        creator: Some((device(), 12)),
        owner: Some(PERSON),
        opening: Some((SEED, ERASE.commit())),
    };
    let unknown = SubjectRow { creator: None, owner: None, opening: None, ..row(SubjectState::Erased) };
    vec![
        ("subject live", row(SubjectState::Live)),
        ("subject pending", row(SubjectState::Pending)),
        ("subject refused", row(SubjectState::Refused)),
        ("subject erased", SubjectRow { opening: None, ..row(SubjectState::Erased) }),
        ("subject of which only the tombstone is known", unknown),
    ]
}

fn deps() -> Vec<(&'static str, Dep)> {
    vec![
        ("waits for the root", Dep::Root),
        ("waits for a role", Dep::Role(PERSON)),
        ("waits for a device", Dep::Device(device())),
        ("waits for a card", Dep::Card(InvitationKey::new([0x1e; 32]))),
        ("waits for a subject", Dep::Subject(SpaceId::Open, SUBJECT)),
        ("waits for a change", Dep::Change(SUBJECT, [0x4c; 32])),
        ("waits for a newer app", Dep::Kind(99)),
        ("waits for the log", Dep::Log(device())),
    ]
}

fn lines() -> Vec<(&'static str, LogItem, Option<[u8; 32]>)> {
    let item = |verdict, again| LogItem { id: ENTRY, day: 20_000, verdict, again };
    vec![
        ("log line", item(Verdict::Pending, false), None),
        ("log line that closes a push", item(Verdict::Present, true), Some([0x4e; 32])),
    ]
}

fn identity() -> Identity {
    Identity {
        wijk: WIJK,
        signing_secret: SECRET,
        encryption_secret: [0x22; 32],
        person: PERSON,
        person_secret: [0x99; 32],
        server: "https://wijk.example".into(),
        other_secrets: vec![],
    }
}

#[test]
fn every_row_keeps_its_bytes_and_is_read_back() {
    let head = Head { seq: 41_207, id: ENTRY };
    let log_head = LogHead { next: 41_207, hash: [0x4e; 32] };
    let mut values: Vec<(&str, Vec<u8>)> = vec![
        ("head of a chain", head.encode()),
        ("head of a log", encode_head(&log_head)),
        ("identity", identity().encode()),
        ("encryption key", identity().encryption_key().to_vec()),
    ];
    values.extend(entry_rows().iter().map(|(name, row)| (*name, row.encode())));
    values.extend(subject_rows().iter().map(|(name, row)| (*name, row.encode())));
    values.extend(deps().iter().map(|(name, dep)| (*name, encode_dep(dep))));
    values.extend(lines().iter().map(|(name, item, closes)| (*name, encode_line(item, closes.as_ref()))));
    let run: Vec<LogItem> = lines().into_iter().map(|(_, item, _)| item).collect();
    values.push(("run of a log", encode_run(&run, Some(&[0x4e; 32]))));
    let known = check("rows.hex", &values);
    assert_eq!(decode_run(&known["run of a log"]), Ok((run, Some([0x4e; 32]))));
    assert_eq!(Head::decode(&known["head of a chain"]), Ok(head));
    assert_eq!(decode_head(&known["head of a log"]), Ok(log_head));
    assert_eq!(Identity::decode(&known["identity"]).unwrap().encode(), known["identity"]);
    for (name, row) in entry_rows() {
        assert_eq!(EntryRow::decode(&known[name]), Ok(row), "{name}");
    }
    for (name, row) in subject_rows() {
        assert_eq!(SubjectRow::decode(&known[name]), Ok(row), "{name}");
    }
    for (name, dep) in deps() {
        assert_eq!(decode_dep(&known[name]), Ok(dep), "{name}");
    }
    for (name, item, closes) in lines() {
        assert_eq!(decode_line(&known[name]), Ok((item.clone(), closes)), "{name}");
        assert_eq!(decode_run(&known[name]), Ok((vec![item], closes)), "{name}: a row of one line is read as a run");
    }
}

#[test]
fn every_key_keeps_its_bytes() {
    let (open, circle) = (SpaceId::Open, SpaceId::Circle([0x0c; 16]));
    let known = check(
        "keys.hex",
        &[
            ("entry", keys::entry(open, device(), 41_207)),
            ("entry in a circle", keys::entry(circle, device(), 41_207)),
            ("subject", keys::subject(open, SUBJECT)),
            ("entry about a subject", keys::subject_entry(open, SUBJECT, device(), 41_207)),
            ("change", keys::change(SUBJECT, &[0x4c; 32])),
            ("actor", keys::actor(SUBJECT, &[0xac; 16])),
            ("log line", keys::log_line(open, &EPOCH, 41_207)),
            ("number of an entry", keys::numbered(open, &EPOCH, ENTRY, Verdict::Refused(Reason::Owner))),
            ("head of a log", keys::log_head(open, &EPOCH)),
            ("head of a chain", keys::chain_head(open, device())),
        ],
    );
    for (name, space) in [("entry", open), ("entry in a circle", circle)] {
        assert_eq!(Place::decode(&known[name]), Some(Place { space, device: device(), seq: 41_207 }), "{name}");
    }
    assert_eq!(keys::parse_subject_entry(&known["entry about a subject"]), Some((device(), 41_207)));
    assert_eq!(keys::parse_chain_head(&known["head of a chain"]), Some((open, device())));
}
