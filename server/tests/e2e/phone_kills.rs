//! Whatever a phone said is saved is there after it was killed, and says *aangekomen* only when it is.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use samenspraak_core::app::OwnState;
use samenspraak_core::model::SubjectId;
use samenspraak_server::client::Driver;
use samenspraak_server::device::DeviceStore;

use crate::support::{Seeded, Wijk, arg, kills, pause, program};

/// A command of the phone takes some 15 to 60 ms; kills are spread over this.
const MOMENTS: Duration = Duration::from_millis(70);
/// What it does after it said "saved" (closing its store) takes some 10 ms.
const MOMENTS_AFTER: Duration = Duration::from_millis(12);

/// Runs a command of the phone and kills it; returns what it had said until then.
pub fn killed(wijk: &Wijk, args: &[&str], after_saying: Option<&str>, delay: Duration) -> String {
    let folder = wijk.path("phone");
    let mut command = program(&[&["phone", "--data", arg(&folder)], args].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut said = String::new();
    if let Some(words) = after_saying {
        let mut byte = [0];
        let mut bytes = Vec::new();
        while !said.contains(words) && out.read(&mut byte).unwrap() == 1 {
            bytes.extend(byte);
            said = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    pause(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    said + &String::from_utf8_lossy(&rest)
}

fn open(wijk: &Wijk) -> (DeviceStore, Driver) {
    let store = DeviceStore::open_phone(&wijk.path("phone")).unwrap();
    let phone = Driver::open(store.rows()).unwrap();
    (store, phone)
}

fn text(at: usize) -> String {
    format!("Woorden nummer {at}. ").repeat(1 + at % 40).trim_end().to_owned()
}

#[test]
fn what_a_phone_said_is_saved_is_there_after_a_kill_and_arrives_once() {
    let (wijk, mut random, kills) = (Wijk::new(), Seeded(1), kills());
    wijk.phone("phone", &["join", &wijk.cards("resident", 1)[0]]).ok();
    let mut saved: Vec<(String, usize)> = Vec::new();
    let mut silent = 0;
    for at in 0..kills {
        let (title, text) = (format!("titel {at}"), text(at));
        let args = ["write", "--title", &title, "--text", &text];
        let said = if at % 2 == 0 {
            killed(&wijk, &args, Some("bewaard op dit toestel"), random.time(MOMENTS_AFTER))
        } else {
            killed(&wijk, &args, None, random.time(MOMENTS))
        };
        if said.contains("bewaard op dit toestel") {
            saved.push((said.split_whitespace().next().unwrap().to_owned(), at));
        } else {
            silent += 1;
        }
        if at % 10 == 9 {
            let list = wijk.phone("phone", &["list"]).ok();
            for (id, at) in &saved {
                assert!(list.contains(&format!("{}  titel {at} ", &id[..12])), "seed 1: {id}, {at} is lost:\n{list}");
            }
        }
    }
    assert!(saved.len() >= kills / 2 && silent > 0, "kills came at all moments: {} saved, {silent} not", saved.len());
    let list = wijk.phone("phone", &["list"]).ok();
    assert!(!list.contains("aangekomen") && !list.contains("onderweg"), "{list}");
    for (id, at) in &saved {
        let shown = wijk.phone("phone", &["show", id]).ok();
        assert!(shown.contains(&text(*at)), "seed 1: the words of {id} are not whole:\n{shown}");
    }

    let server = wijk.serve();
    sync_kills(&wijk, &mut random, kills);
    wijk.phone("phone", &["sync"]).ok();
    let (store, mut phone) = open(&wijk);
    let items = phone.app_mut().joined_mut().unwrap().contributions().unwrap();
    for (id, at) in &saved {
        let mine: Vec<_> = items.iter().filter(|item| item.subject.to_string() == *id).collect();
        assert_eq!(mine.len(), 1, "seed 1: {id} arrived once");
        assert_eq!(mine[0].content.text, text(*at));
        assert!(matches!(mine[0].own, Some(OwnState::Arrived { .. })), "{:?}", mine[0]);
    }
    println!("{kills} kills while writing: {} saved, {silent} not yet; 0 lost", saved.len());
    store.close().unwrap();
    assert!(server.stop().0.success());
    crate::support::run(&["verify", arg(&wijk.folder())]).ok();
    crate::support::run(&["verify", arg(&wijk.path("phone"))]).ok();
}

/// Kills the phone while it syncs: whatever it then calls arrived is on the server.
fn sync_kills(wijk: &Wijk, random: &mut Seeded, kills: usize) {
    let (mut arrived, mut on_the_way) = (0, 0);
    for at in 0..kills {
        wijk.phone("phone", &["write", "--title", &format!("daarna {at}"), "--text", "Nog iets."]).ok();
        killed(wijk, &["sync"], None, random.time(MOMENTS));
        let (store, mut phone) = open(wijk);
        let items = phone.app_mut().joined_mut().unwrap().contributions().unwrap();
        let (mut there, mut here): (Vec<SubjectId>, usize) = (Vec::new(), 0);
        for item in &items {
            match item.own {
                Some(OwnState::Arrived { .. }) => there.push(item.subject),
                Some(OwnState::Saved) => here += 1,
                other => panic!("seed 1, kill {at}: {other:?}"),
            }
        }
        arrived = there.len();
        on_the_way += here;
        let ids: Vec<_> = there.iter().map(|subject| first_entry(&phone, *subject)).collect();
        store.close().unwrap();
        // The server keeps its store locked, so it is asked: what isn't there would come back as missing.
        if at % 20 == 19 {
            let mut other = wijk.join(&wijk.cards("resident", 1)[0]);
            crate::support::runtime().block_on(other.sync_once(&wijk.address())).unwrap();
            let replica = other.app().joined().unwrap().replica();
            for id in ids {
                assert!(replica.place_of(id).unwrap().is_some(), "seed 1, kill {at}: {id:?} isn't on the server");
            }
        }
    }
    println!("{kills} kills while syncing: {arrived} arrived at the last, {on_the_way} times something hadn't; 0 lost");
}

fn first_entry(phone: &Driver, subject: SubjectId) -> samenspraak_core::model::EntryId {
    phone.app().joined().unwrap().view().document(subject).unwrap().1.first
}
