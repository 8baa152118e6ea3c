//! Promise: whatever a member pushes, every piece of the log fits a frame and passes the gate of a phone that begins anew.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use samenspraak_core::entry::Kind;
use samenspraak_core::gate::limits;
use samenspraak_core::model::*;
use samenspraak_core::replica::{Replica, RunBatch, Side};
use samenspraak_core::store::MemoryStore;
use samenspraak_core::sync::server::{PushJob, Server, ServerKeys};
use samenspraak_core::sync::wire::{Frame, RefusalCode};

#[path = "common/wijk.rs"]
mod wijk;
use wijk::*;

const OPEN: SpaceId = SpaceId::Open;

fn server(wijk: &Wijk) -> Server {
    let keys = ServerKeys { identity: key(210), epoch_key: key(211), epoch: [1; 16] };
    let mut server = Server::open(wijk.id, keys, Arc::new(MemoryStore::new())).unwrap();
    for made in &wijk.members {
        assert!(matches!(push(&mut server, made.space, made.batch()), Frame::Receipt(_)));
    }
    server
}

fn push(server: &mut Server, space: SpaceId, batch: RunBatch) -> Frame {
    let (mut answers, _) = server.admit(&[PushJob { push: 1, space, batch }], 20_000).unwrap();
    answers.pop().unwrap()
}

/// What a new phone does with the whole log: read each piece as a frame, and admit it.
fn new_phone(wijk: &Wijk, server: &Server) -> (Replica, usize) {
    let mut phone = wijk.empty(Side::Phone { device: key(99).id() });
    let (reader, mut pieces) = (server.reader(), 0);
    for space in [SpaceId::Members, OPEN] {
        let mut next = 0;
        while let Some(read) = reader.read(space, next).unwrap() {
            let bytes = Frame::Piece(read.piece).encode();
            assert!(bytes.len() <= limits::FRAME_BYTES_MAX, "a piece of {} bytes", bytes.len());
            let Ok(Frame::Piece(piece)) = Frame::decode(&bytes) else { panic!("a piece can't be read") };
            take_all(&mut phone, space, &piece.clone().take_batch());
            assert!(read.head.next > next);
            next = read.head.next;
            pieces += 1;
        }
        assert_eq!(next, reader.head(space).unwrap().next, "the whole log was read");
    }
    (phone, pieces)
}

/// Small entries of a newer app: the server refuses their bodies and keeps their places.
fn small_entries(author: &mut Author, count: usize) -> Vec<Made> {
    (0..count)
        .map(|_| {
            let subject = author.subject(Kind(99));
            let record = samenspraak_core::entry::codec::Record::Voice(Voice {
                question: subject.id,
                choice: Choice::Agree,
                counter: 1,
                replaces: None,
            });
            let body = samenspraak_core::entry::codec::encode(Some(&subject.opening()), &record);
            author.raw(OPEN, Kind(99), subject.id, &subject.seed.salt(), body, true)
        })
        .collect()
}

#[test]
fn a_push_of_as_many_entries_as_a_batch_may_have_does_not_stop_those_who_read() {
    let mut wijk = Wijk::new();
    let mut mallory = wijk.member(1, Role::Resident);
    let mut server = server(&wijk);
    let small = small_entries(&mut mallory, limits::PUSH_ENTRIES_MAX - 1);
    let large = small_entries(&mut mallory, limits::PUSH_ENTRIES_MAX);
    assert!(matches!(push(&mut server, OPEN, joined(&small)), Frame::Receipt(_)));
    assert!(matches!(push(&mut server, OPEN, joined(&large)), Frame::Receipt(_)));
    let more = small_entries(&mut mallory, limits::PUSH_ENTRIES_MAX + 1);
    let answer = push(&mut server, OPEN, joined(&more));
    assert!(matches!(answer, Frame::Refused { code: RefusalCode::Form, .. }), "{answer:?}");
    for one in more.chunks(limits::PUSH_ENTRIES_MAX) {
        assert!(matches!(push(&mut server, OPEN, joined(one)), Frame::Receipt(_)));
    }
    let (phone, pieces) = new_phone(&wijk, &server);
    assert_eq!(phone.head(OPEN, mallory.device()), server.replica().head(OPEN, mallory.device()));
    assert!(pieces >= 3);
}

fn pages(author: &mut Author, count: usize, chars: usize) -> Vec<Made> {
    (0..count)
        .map(|_| {
            let subject = author.subject(Kind::CONTRIBUTION);
            let content =
                Content { title: "Vol".into(), text: "x".repeat(chars), theme: 0, buurt: "BU99990101".into() };
            let actor = author.actor(subject.id, 1);
            let change = samenspraak_core::document::contribution::create(actor, &content).unwrap().unwrap();
            author.change(&subject, 1, change, true)
        })
        .collect()
}

#[test]
fn a_push_as_large_as_a_frame_does_not_stop_those_who_read() {
    let mut wijk = Wijk::new();
    let mut mallory = wijk.member(1, Role::Resident);
    let mut server = server(&wijk);
    let before = pages(&mut mallory, 4, 32_000);
    assert!(matches!(push(&mut server, OPEN, joined(&before)), Frame::Receipt(_)));
    let large = pages(&mut mallory, 17, 59_000);
    let frame = Frame::Push { push: 2, space: OPEN, batch: joined(&large) }.encode();
    assert!((900_000..limits::FRAME_BYTES_MAX).contains(&frame.len()), "{}", frame.len());
    let answer = push(&mut server, OPEN, joined(&large));
    assert!(matches!(answer, Frame::Refused { code: RefusalCode::Form, .. }), "{answer:?}");
    for part in large.chunks(4) {
        assert!(matches!(push(&mut server, OPEN, joined(part)), Frame::Receipt(_)));
    }
    let (phone, pieces) = new_phone(&wijk, &server);
    assert_eq!(phone.head(OPEN, mallory.device()), server.replica().head(OPEN, mallory.device()));
    assert!(pieces >= 5);
}

#[test]
fn an_entry_that_came_before_its_subject_reaches_new_phones() {
    let mut wijk = Wijk::new();
    let (mut amina, mut bas) = (wijk.member(1, Role::Facilitator), wijk.member(2, Role::Facilitator));
    let mut server = server(&wijk);
    let notes = amina.subject(Kind::MEETING);
    let first = samenspraak_core::document::meeting::create(amina.actor(notes.id, 1), "Wijkavond", &["Licht".into()]);
    let first = first.unwrap().unwrap();
    let begun = amina.change(&notes, 1, first.clone(), true);
    let doc = samenspraak_core::document::open(vec![(begun.id, first)]).doc;
    let edit = samenspraak_core::document::meeting::MeetingEdit::AddItem { title: "Rondvraag".into() };
    let edit = samenspraak_core::document::meeting::edit(&doc, bas.actor(notes.id, 1), &edit).unwrap().unwrap();
    let edited = bas.change(&notes, 1, edit, false);
    assert!(matches!(push(&mut server, OPEN, edited.batch()), Frame::Receipt(_)));
    assert!(matches!(push(&mut server, OPEN, begun.batch()), Frame::Receipt(_)));
    let (phone, _) = new_phone(&wijk, &server);
    for made in [&edited, &begun] {
        assert_eq!(verdict(server.replica(), made), samenspraak_core::gate::Verdict::Present);
        assert_eq!(verdict(&phone, made), samenspraak_core::gate::Verdict::Present);
    }
}
