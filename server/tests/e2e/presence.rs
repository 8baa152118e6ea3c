//! Promise: people who look at the same thing hear how many they are, as it changes, and nobody is counted who left.

use samenspraak_core::app::{App, Present};
use samenspraak_core::model::SubjectId;
use samenspraak_server::client::{Driver, Request};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::support::{Wijk, runtime, until};

/// A phone that follows its server.
struct Staying {
    requests: mpsc::Sender<Request>,
}

impl Staying {
    fn new(runtime: &Runtime, phone: Driver, address: String) -> Self {
        let (requests, queue) = mpsc::channel(8);
        let (changed, _) = watch::channel(0);
        runtime.spawn(phone.stay(address, queue, changed));
        Self { requests }
    }

    fn attend(&self, subject: Option<SubjectId>, writes: bool) {
        self.requests.blocking_send(Request::Attend(subject, writes)).unwrap();
    }

    fn present(&self, subject: SubjectId) -> Option<Present> {
        let (answer, answered) = oneshot::channel();
        let look = move |app: &mut App| answer.send(app.present(subject)).unwrap();
        self.requests.blocking_send(Request::Glance(Box::new(look))).unwrap();
        answered.blocking_recv().unwrap()
    }

    fn hears(&self, subject: SubjectId, others: u64, writing: u64) {
        until("the number is heard", || (self.present(subject) == Some(Present { others, writing })).then_some(()));
    }
}

#[test]
fn people_at_the_same_notes_hear_how_many_they_are_and_who_left_is_not_counted() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let cards = wijk.cards("resident", 3);
    let server = wijk.serve();
    let notes = SubjectId::new([7; 16]);
    let mut phones: Vec<Staying> =
        cards.iter().map(|card| Staying::new(&runtime, wijk.join(card), wijk.address())).collect();
    phones[0].attend(Some(notes), false);
    phones[0].hears(notes, 0, 0);
    phones[1].attend(Some(notes), true);
    phones[2].attend(Some(SubjectId::new([8; 16])), true);
    phones[0].hears(notes, 1, 1);
    phones[1].hears(notes, 1, 0);
    phones[2].attend(Some(notes), true);
    phones[0].hears(notes, 2, 2);
    // One goes on to something else, one is gone.
    phones[1].attend(None, false);
    phones[0].hears(notes, 1, 1);
    assert_eq!(phones[1].present(notes), None);
    drop(phones.pop());
    phones[0].hears(notes, 0, 0);
    assert!(server.stop().0.success());
}
