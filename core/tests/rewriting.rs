//! Who may put a document in the place of another: its owner, and of meeting notes whoever may begin a meeting.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "common/wijk.rs"]
mod wijk;

use samenspraak_core::document::meeting;
use samenspraak_core::entry::Kind;
use samenspraak_core::entry::codec::{DocumentChange, Record};
use samenspraak_core::gate::{Reason, Verdict};
use samenspraak_core::model::{Content, Role, SpaceId, SubjectId};
use samenspraak_core::replica::Side;
use wijk::{Author, Made, Subject, Wijk, take};

fn document(author: &mut Author, kind: Kind, replaces: Option<SubjectId>) -> (Subject, Made) {
    let subject = author.subject(kind);
    let actor = author.actor(subject.id, 1);
    let change = match kind {
        Kind::MEETING => meeting::create(actor, "Avond", &[]),
        _ => samenspraak_core::document::contribution::create(
            actor,
            &Content { title: "Plein".into(), text: "Donker.".into(), theme: 1, buurt: String::new() },
        ),
    };
    let change = change.unwrap().unwrap();
    let record = Record::Change(DocumentChange { session: [1; 8], change, replaces });
    (subject, author.create(SpaceId::Open, &subject, &record))
}

#[test]
fn staff_may_write_a_meeting_anew_that_others_began_and_nobody_elses_words() {
    let mut wijk = Wijk::new();
    let (mut facilitator, mut board) = (wijk.member(1, Role::Facilitator), wijk.member(2, Role::Board));
    let resident = wijk.member(3, Role::Resident);
    for side in [Side::Server, Side::Phone { device: resident.device() }] {
        let mut replica = wijk.replica(side);
        let (mut facilitator, mut board, mut resident) = (facilitator.clone(), board.clone(), resident.clone());
        let (old, first) = document(&mut facilitator, Kind::MEETING, None);
        let (words, second) = document(&mut resident, Kind::CONTRIBUTION, None);
        assert_eq!([take(&mut replica, &first), take(&mut replica, &second)], [Verdict::Present; 2]);
        let judged = [
            (document(&mut board, Kind::MEETING, Some(old.id)).1, Verdict::Present),
            (document(&mut board, Kind::CONTRIBUTION, Some(words.id)).1, Verdict::Refused(Reason::Owner)),
            // One kind never takes the place of another.
            (document(&mut board, Kind::MEETING, Some(words.id)).1, Verdict::Refused(Reason::Owner)),
            (document(&mut board, Kind::CONTRIBUTION, Some(old.id)).1, Verdict::Refused(Reason::Owner)),
            (document(&mut resident, Kind::MEETING, Some(old.id)).1, Verdict::Pending),
            (document(&mut resident, Kind::CONTRIBUTION, Some(words.id)).1, Verdict::Present),
        ];
        for (at, (made, verdict)) in judged.into_iter().enumerate() {
            assert_eq!(take(&mut replica, &made), verdict, "{side:?}: {at}");
        }
    }
    // What comes before the meeting it replaces waits for it.
    let mut replica = wijk.server();
    let (old, first) = document(&mut facilitator, Kind::MEETING, None);
    let (_, new) = document(&mut board, Kind::MEETING, Some(old.id));
    assert_eq!(take(&mut replica, &new), Verdict::Pending);
    assert_eq!(take(&mut replica, &first), Verdict::Present);
    assert_eq!(wijk::verdict(&replica, &new), Verdict::Present);
}
