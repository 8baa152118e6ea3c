#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use samenspraak::Content;
use samenspraak_core::membership::card::{CardLink, CardSecret};
use samenspraak_core::model::WijkId;
use samenspraak_core::store::{STORED_BYTES_MAX, Table};

use super::*;

/// A browser's storage.
#[derive(Clone, Default)]
struct Disk {
    head: Option<Vec<u8>>,
    pages: BTreeMap<u64, Vec<u8>>,
    journal: BTreeMap<u64, Vec<u8>>,
}

impl Disk {
    fn write(&mut self, write: Write) {
        self.head = Some(write.head);
        self.pages.extend(write.pages);
        self.pages.retain(|number, _| !write.gone.contains(number));
        self.journal.extend(write.journal);
        self.journal.retain(|number, _| *number >= write.journal_first);
    }

    fn open(&self, now: u64) -> Machine {
        let journal: Vec<_> = self.journal.clone().into_iter().collect();
        Machine::open(Timestamp(now), self.head.as_deref(), self.pages.clone().into_iter().collect(), &journal).unwrap()
    }
}

fn card() -> String {
    let secret = CardSecret::parse("abcd-efgh-jkmn-pqrs").or_else(|_| CardSecret::parse("ABCDEFGHJKMNPQRS")).unwrap();
    let wijk = WijkId::from_hex(&"ab".repeat(32)).unwrap();
    CardLink { server: "http://127.0.0.1:1".into(), wijk, secret, device_of: None }.to_string()
}

fn ask(request: u32, ask: Ask) -> Input {
    Input::Ask { request, entropy: [request.to_le_bytes()[0] + 1; 32], ask }
}

fn words(text: &str) -> Ask {
    Ask::Contribute { content: Content { title: "Titel".into(), text: text.into(), ..Content::default() } }
}

/// Hands inputs to a machine, and what it writes to a disk.
fn settle(machine: &mut Machine, disk: &mut Disk, now: u64, input: Input) -> Vec<Out> {
    let (mut told, mut inputs) = (Vec::new(), vec![input]);
    while let Some(input) = inputs.pop() {
        for out in machine.handle(Timestamp(now), input) {
            match out {
                Out::Write(write) => {
                    disk.write(write);
                    inputs.push(Input::Written(Ok(())));
                }
                out => told.push(out),
            }
        }
    }
    told
}

fn joined(disk: &mut Disk) -> Machine {
    let mut machine = disk.open(0);
    settle(&mut machine, disk, 0, ask(0, Ask::Join { link: card() }));
    machine
}

fn answers(outs: &[Out]) -> Vec<&Result<Vec<u8>, WijkError>> {
    outs.iter().filter_map(|out| if let Out::Answer { result, .. } = out { Some(result) } else { None }).collect()
}

fn count(machine: &mut Machine) -> String {
    let outs = machine.handle(Timestamp(0), Input::Look { request: 9, look: Look::ContributionCount });
    String::from_utf8(answers(&outs)[0].clone().unwrap()).unwrap()
}

#[test]
fn nothing_is_answered_or_shown_before_the_browser_says_that_it_is_stored() {
    let mut disk = Disk::default();
    let mut machine = joined(&mut disk);
    let outs = machine.handle(Timestamp(1), ask(1, words("een")));
    assert_eq!(outs.iter().filter(|out| matches!(out, Out::Write(_))).count(), 1);
    assert!(answers(&outs).is_empty());
    assert_eq!(count(&mut machine), "0");
    // A second one waits: one write at a time.
    let outs = machine.handle(Timestamp(1), ask(2, words("twee")));
    assert!(outs.iter().all(|out| !matches!(out, Out::Write(_) | Out::Answer { .. })));
    let outs = machine.handle(Timestamp(1), Input::Written(Ok(())));
    assert!(answers(&outs)[0].is_ok());
    assert_eq!(count(&mut machine), "1");
    assert_eq!(outs.iter().filter(|out| matches!(out, Out::Write(_))).count(), 1);
}

#[test]
fn what_does_not_fit_is_refused_and_everything_else_stays_and_opens_again() {
    let mut disk = Disk::default();
    let mut machine = joined(&mut disk);
    settle(&mut machine, &mut disk, 1, ask(1, words("een")));
    machine.handle(Timestamp(1), ask(2, words("twee")));
    let full = StoreError::Full { place: "a test".into() };
    let outs = machine.handle(Timestamp(1), Input::Written(Err(full)));
    assert_eq!(answers(&outs), [&Err(WijkError::NoSpace)]);
    assert_eq!(count(&mut machine), "1");
    let outs = settle(&mut machine, &mut disk, 2, ask(3, words("drie")));
    assert!(answers(&outs)[0].is_ok());
    assert_eq!(count(&mut disk.open(3)), "2");
}

#[test]
fn what_could_not_be_read_again_is_never_written() {
    let mut disk = Disk::default();
    let mut machine = joined(&mut disk);
    settle(&mut machine, &mut disk, 1, ask(1, words("een")));
    let mut batch = Batch::new();
    batch.put(Table::Meta, b"too long".as_slice(), vec![0; STORED_BYTES_MAX + 1]);
    machine.waiting = Some((99, batch));
    settle(&mut machine, &mut disk, 2, Input::Tick);
    let outs = settle(&mut machine, &mut disk, 2, ask(2, words("twee")));
    assert!(answers(&outs)[0].is_ok());
    assert_eq!(count(&mut disk.open(3)), "2");
}

#[test]
fn a_long_journal_is_folded_into_pages_and_a_fold_that_fails_costs_nothing() {
    let mut disk = Disk::default();
    let mut machine = joined(&mut disk);
    // Words that don't pack: signs that look random, some 18 kB a contribution.
    let sign =
        |number: u64| char::from_u32(0x4e00 + (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32 % 20_000);
    let long = |from: u64| (0..9_900).filter_map(|at| sign(from * 10_000 + at)).collect::<String>();
    let mut failed = false;
    for number in 1..=90 {
        for out in machine.handle(Timestamp(number), ask(u32::try_from(number).unwrap(), words(&long(number)))) {
            let Out::Write(write) = out else { continue };
            disk.write(write);
            for out in machine.handle(Timestamp(number), Input::Written(Ok(()))) {
                let Out::Write(fold) = out else { continue };
                assert!(fold.journal.is_none());
                let result = if failed { Ok(()) } else { Err(StoreError::Full { place: "a test".into() }) };
                if result.is_ok() {
                    disk.write(fold);
                }
                failed = true;
                machine.handle(Timestamp(number), Input::Written(result));
            }
        }
    }
    assert!(failed, "nothing was folded");
    // A minute later it is tried again.
    settle(&mut machine, &mut disk, 120_000, Input::Tick);
    assert!(disk.journal.len() < 80, "{} records in the journal", disk.journal.len());
    assert_eq!(count(&mut disk.open(0)), "90");
}

#[test]
fn a_server_that_is_silent_is_given_up_and_tried_again_later() {
    let mut disk = Disk::default();
    let mut machine = joined(&mut disk);
    let outs = settle(&mut machine, &mut disk, 10, Input::Tick);
    let line =
        outs.iter().find_map(|out| if let Out::Connect { line, .. } = out { Some(*line) } else { None }).unwrap();
    assert!(outs.iter().any(|out| matches!(out, Out::Connect { url, .. } if url == "ws://127.0.0.1:1/sync")));
    settle(&mut machine, &mut disk, 20, Input::Opened { line });
    assert_eq!(machine.state(), &SyncState::Syncing);
    assert!(settle(&mut machine, &mut disk, 60_000, Input::Tick).is_empty(), "it has a minute");
    let outs = settle(&mut machine, &mut disk, 60_020, Input::Tick);
    assert!(outs.contains(&Out::Close { line }));
    let SyncState::Offline { next_try_ms, refused: false, detail: Some(_) } = machine.state() else {
        panic!("{:?}", machine.state())
    };
    assert!(*next_try_ms > 60_020);
    // What comes over it afterwards isn't heard.
    assert!(settle(&mut machine, &mut disk, 60_030, Input::Frame { line, bytes: vec![1] }).is_empty());
}

#[test]
fn without_a_network_nothing_is_tried_and_with_a_new_one_at_once() {
    let mut disk = Disk::default();
    let mut machine = joined(&mut disk);
    settle(&mut machine, &mut disk, 1, Input::Network(false));
    let outs = settle(&mut machine, &mut disk, 100_000, Input::Tick);
    assert!(outs.iter().all(|out| !matches!(out, Out::Connect { .. })));
    let outs = settle(&mut machine, &mut disk, 100_001, Input::CatchUp { request: 5 });
    assert!(matches!(answers(&outs)[..], [Err(WijkError::Offline { .. })]));
    let outs = settle(&mut machine, &mut disk, 100_002, Input::Network(true));
    assert!(outs.contains(&Out::WakeAt(Timestamp(100_002))));
    let outs = settle(&mut machine, &mut disk, 100_002, Input::Tick);
    assert!(outs.iter().any(|out| matches!(out, Out::Connect { .. })));
}

#[test]
fn erased_words_leave_the_storage_soon() {
    let mut disk = Disk::default();
    let mut machine = joined(&mut disk);
    let outs = settle(&mut machine, &mut disk, 1, ask(1, words("weg ermee")));
    let id: String = serde_json::from_slice(answers(&outs)[0].as_ref().unwrap()).unwrap();
    let before = disk.clone();
    let holds = |disk: &Disk| {
        disk.pages.values().chain(disk.journal.values()).any(|bytes| bytes.windows(9).any(|part| part == b"weg ermee"))
    };
    assert!(holds(&before), "the words stand somewhere as they are");
    settle(&mut machine, &mut disk, 2, ask(2, Ask::Erase { id }));
    assert!(holds(&disk));
    settle(&mut machine, &mut disk, 2 + SCRUB_AFTER_MS, Input::Tick);
    assert!(!holds(&disk));
    assert!(!is_scrub_due(machine.rows.as_ref()).unwrap());
}
