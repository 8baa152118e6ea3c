//! The server packs its logs into files. A fresh phone is sent those; erased words leave them before the erasure is answered;
//! and a file that is damaged or gone costs nobody anything.

use std::fs;
use std::path::PathBuf;

use samenspraak_server::client::Driver;
use samenspraak_tests::scan::{Scanner, canary};
use samenspraak_tests::world::Seeded;

use crate::support::{Wijk, runtime, until, write};

/// More than the server leaves unpacked at the end of a log.
const DOCUMENTS: usize = 200;

fn packed(wijk: &Wijk) -> Vec<PathBuf> {
    let Ok(files) = fs::read_dir(wijk.folder().join("segments")) else { return Vec::new() };
    let files = files.map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "seg")).collect()
}

fn holds(wijk: &Wijk, canary: &str) -> bool {
    let folder = wijk.folder().join("segments");
    folder.exists() && !Scanner::new(&[canary]).scan(&folder).is_empty()
}

fn fresh(wijk: &Wijk) -> (Driver, u64) {
    let mut phone = wijk.join(&wijk.cards("resident", 1)[0]);
    let moved = runtime().block_on(phone.sync_once(&wijk.address())).unwrap();
    (phone, moved.bytes_down)
}

fn count(phone: &Driver) -> usize {
    phone.app().joined().unwrap().view().contributions().count()
}

#[test]
fn a_fresh_phone_is_sent_what_was_packed_and_erased_words_are_in_no_packed_file() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let canary = canary(&mut Seeded::new(5));
    let server = wijk.serve();
    let mut author = wijk.join(&wijk.cards("resident", 1)[0]);
    let mut secret = None;
    for number in 0..DOCUMENTS {
        let word = if number == DOCUMENTS / 2 { canary.as_str() } else { "Bij het plein is het donker." };
        let (subject, _) = write(&mut author, &format!("Nummer {number}"), word);
        if number == DOCUMENTS / 2 {
            secret = Some(subject);
        }
    }
    let pushed = runtime.block_on(author.sync_once(&wijk.address())).unwrap().bytes_up;
    until("the log is packed with the words in it", || holds(&wijk, &canary).then_some(()));
    let (phone, by_segments) = fresh(&wijk);
    assert_eq!(count(&phone), DOCUMENTS);
    assert!(by_segments < pushed, "{by_segments} bytes packed, {pushed} as they were pushed");

    author.command(samenspraak_core::app::Command::Erase(secret.unwrap())).unwrap();
    runtime.block_on(author.sync_once(&wijk.address())).unwrap();
    assert!(!holds(&wijk, &canary), "the receipt is here, and a packed file has the words");
    until("the log is packed again", || (!packed(&wijk).is_empty()).then_some(()));
    assert!(!holds(&wijk, &canary));
    assert_eq!(count(&fresh(&wijk).0), DOCUMENTS - 1);

    // Killed, with files that rot and files that are gone: it serves on, from its store.
    server.kill();
    for (at, path) in packed(&wijk).into_iter().enumerate() {
        let mut bytes = fs::read(&path).unwrap();
        if at % 2 == 0 {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, &bytes).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
    }
    let server = wijk.serve();
    assert_eq!(count(&fresh(&wijk).0), DOCUMENTS - 1);
    assert!(server.stop().0.success());
}
