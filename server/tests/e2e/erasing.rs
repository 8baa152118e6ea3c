//! Words that are taken back leave every file of the real program: phones', the server's, the board's, its logs; after a
//! kill, in a running server, and when an old copy of a store is put back.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use samenspraak_core::app::Command as Ask;
use samenspraak_core::model::SubjectId;
use samenspraak_server::client::Driver;
use samenspraak_server::device::{DeviceStore, PHONE, phone_vault};
use samenspraak_server::scrub::SCRUB_COUNT;
use samenspraak_server::vault::FileVault;
use samenspraak_tests::scan::{Scanner, canary};
use samenspraak_tests::world::Seeded;

use crate::support::{Serve, Wijk, arg, run, runtime, until, write};

/// Looks for this in a wijk's folder, with the keys of its devices.
fn wijk_scanner(wijk: &Wijk, canary: &str) -> Scanner {
    let vault = Arc::new(FileVault::new(&wijk.folder().join("keys")));
    Scanner::new(&[canary]).with_key(vault.clone(), "root").with_key(vault, "board")
}

fn phone_scanner(folder: &Path, canary: &str) -> Scanner {
    Scanner::new(&[canary]).with_key(Arc::new(phone_vault(folder)), PHONE)
}

#[track_caller]
fn assert_phone(wijk: &Wijk, name: &str, canary: &str, holds: bool, when: &str) {
    let found = phone_scanner(&wijk.path(name), canary).scan(&wijk.path(name));
    assert_eq!(!found.is_empty(), holds, "{when}: {name}: {found:?}");
    assert!(found.raw.is_empty(), "{when}: {name} holds it unsealed: {found:?}");
}

/// Every file that a wijk has: its folder, and what its servers logged.
#[track_caller]
fn assert_wijk(wijk: &Wijk, canary: &str, parts: &[&str], holds: bool, when: &str) {
    for part in parts {
        let found = wijk_scanner(wijk, canary).scan(&wijk.folder().join(part));
        assert_eq!(!found.is_empty(), holds, "{when}: {part:?}: {:?} {:?}", found.raw, found.inside);
    }
    let log = fs::read(wijk.path("serve.log")).unwrap_or_default();
    assert!(!Scanner::new(&[canary]).is_in(&log), "{when}: the log has it");
}

/// Waits until the board's device has it too.
fn until_on_board(wijk: &Wijk, canary: &str) {
    until("the board's device receives it", || {
        (!wijk_scanner(wijk, canary).scan(&wijk.folder().join("board")).is_empty()).then_some(())
    });
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A wijk with a server and three phones that all have what the first of them wrote.
struct Told {
    wijk: Wijk,
    server: Serve,
    canary: String,
    /// What the author calls it.
    id: String,
}

fn told(seed: u64) -> Told {
    let (wijk, canary) = (Wijk::new(), canary(&mut Seeded::new(seed)));
    let cards = wijk.cards("resident", 3);
    let server = wijk.serve();
    for (name, card) in ["author", "near", "away"].into_iter().zip(&cards) {
        wijk.phone(name, &["join", card]).ok();
    }
    let text = format!("Wat ik zeg: {canary}.");
    let said = wijk.phone("author", &["write", "--title", "Iets", "--text", &text]).ok();
    let id = said.split_whitespace().next().unwrap().to_owned();
    for name in ["author", "near", "away"] {
        wijk.phone(name, &["sync"]).ok();
        assert_phone(&wijk, name, &canary, true, "before");
    }
    until_on_board(&wijk, &canary);
    assert_wijk(&wijk, &canary, &["server", "board"], true, "before");
    Told { wijk, server, canary, id }
}

#[test]
fn erased_words_leave_every_file_also_when_the_server_is_killed_in_between() {
    let Told { wijk, server, canary, id } = told(1);
    wijk.phone("author", &["erase", &id]).ok();
    assert_phone(&wijk, "author", &canary, false, "erased");
    wijk.phone("author", &["sync"]).ok();
    // The server knows, and would scrub a while later: this scanner can find.
    assert_wijk(&wijk, &canary, &["server"], true, "before the scrub");
    server.kill();
    assert_wijk(&wijk, &canary, &["server"], true, "killed");

    let server = wijk.serve();
    assert_wijk(&wijk, &canary, &["server"], false, "started again");
    wijk.phone("near", &["sync"]).ok();
    assert_phone(&wijk, "near", &canary, false, "synced");
    for round in 0..5 {
        wijk.phone("near", &["write", "--title", &format!("Later {round}"), "--text", "En verder."]).ok();
        wijk.phone("near", &["sync"]).ok();
    }
    // One that was away for long comes last.
    assert_phone(&wijk, "away", &canary, true, "away");
    wijk.phone("away", &["sync"]).ok();
    assert_phone(&wijk, "away", &canary, false, "back");
    assert!(!wijk.phone("away", &["list"]).ok().contains("Iets"));
    assert!(server.stop().0.success());
    assert_wijk(&wijk, &canary, &[""], false, "stopped");
    run(&["verify", arg(&wijk.folder())]).ok();

    let server = wijk.serve();
    for name in ["away", "near", "author"] {
        wijk.phone(name, &["sync"]).ok();
        assert_phone(&wijk, name, &canary, false, "at the end");
    }
    assert!(server.stop().0.success());
    assert_wijk(&wijk, &canary, &[""], false, "at the end");
}

#[test]
fn a_phone_that_dies_between_erasing_and_the_scrub_makes_it_good_when_it_is_opened() {
    let Told { wijk, server, canary, id } = told(2);
    {
        let store = DeviceStore::open_phone(&wijk.path("author")).unwrap();
        let mut phone = Driver::open(store.rows()).unwrap();
        phone.command(Ask::Erase(SubjectId::from_hex(&id).unwrap())).unwrap();
        // Dropped without being closed: a crash.
    }
    assert_phone(&wijk, "author", &canary, true, "before the scrub");
    wijk.phone("author", &["list"]).ok();
    assert_phone(&wijk, "author", &canary, false, "opened again");
    assert!(server.stop().0.success());
}

#[test]
fn a_running_server_scrubs_without_being_stopped() {
    let wijk = Wijk::new();
    let canary = canary(&mut Seeded::new(3));
    let mut author = wijk.join(&wijk.cards("resident", 1)[0]);
    let (server, runtime) = (wijk.serve(), runtime());
    let written: Vec<SubjectId> = (0..SCRUB_COUNT).map(|at| write(&mut author, &format!("{at}"), &canary).0).collect();
    runtime.block_on(author.sync_once(&wijk.address())).unwrap();
    assert_wijk(&wijk, &canary, &["server"], true, "before");
    for (at, subject) in written.into_iter().enumerate() {
        author.command(Ask::Erase(subject)).unwrap();
        runtime.block_on(author.sync_once(&wijk.address())).unwrap();
        if at == 0 {
            assert_wijk(&wijk, &canary, &["server"], true, "one scrub is for many");
        }
    }
    until("the running server scrubs", || {
        wijk_scanner(&wijk, &canary).scan(&wijk.folder().join("server")).is_empty().then_some(())
    });
    assert_eq!(server.get("/healthz", "").0, 200);
    assert!(server.stop().0.success());
    assert_wijk(&wijk, &canary, &[""], false, "stopped");
}

#[test]
fn an_old_copy_of_the_stores_that_is_put_back_brings_nothing_back() {
    let Told { wijk, server, canary, id } = told(4);
    assert!(server.stop().0.success());
    for part in ["server", "board"] {
        copy_folder(&wijk.folder().join(part), &wijk.path(&format!("old-{part}")));
    }
    let server = wijk.serve();
    wijk.phone("author", &["erase", &id]).ok();
    wijk.phone("author", &["sync"]).ok();
    assert!(server.stop().0.success());
    assert_wijk(&wijk, &canary, &[""], false, "erased");

    for part in ["server", "board"] {
        fs::remove_dir_all(wijk.folder().join(part)).unwrap();
        copy_folder(&wijk.path(&format!("old-{part}")), &wijk.folder().join(part));
    }
    assert_wijk(&wijk, &canary, &["server", "board"], true, "the old copies");
    let server = wijk.serve();
    // The server's files are scrubbed beside the first phones, which are served none of it.
    until("the server scrubs what it erased again", || {
        wijk_scanner(&wijk, &canary).scan(&wijk.folder().join("server")).is_empty().then_some(())
    });
    assert_wijk(&wijk, &canary, &["server", "board"], false, "started on the old copies");
    assert!(server.log().contains("erased again"), "{}", server.log());
    // Nobody is told of it: not one who was away, not one who is new.
    wijk.phone("fresh", &["join", &wijk.cards("resident", 1)[0]]).ok();
    wijk.phone("fresh", &["sync"]).ok();
    assert!(!wijk.phone("fresh", &["list"]).ok().contains("Iets"));
    assert_phone(&wijk, "fresh", &canary, false, "new");
    for name in ["author", "near", "away"] {
        wijk.phone(name, &["sync"]).ok();
        assert!(!wijk.phone(name, &["list"]).ok().contains("Iets"), "{name}");
        assert_phone(&wijk, name, &canary, false, "synced");
    }
    assert!(server.stop().0.success());
    assert_wijk(&wijk, &canary, &[""], false, "at the end");
    run(&["verify", arg(&wijk.folder())]).ok();
}

#[test]
fn without_the_list_an_old_copy_would_bring_it_back() {
    let Told { wijk, server, canary, id } = told(5);
    assert!(server.stop().0.success());
    copy_folder(&wijk.folder().join("server"), &wijk.path("old-server"));
    let server = wijk.serve();
    wijk.phone("author", &["erase", &id]).ok();
    wijk.phone("author", &["sync"]).ok();
    assert!(server.stop().0.success());
    fs::remove_dir_all(wijk.folder().join("server")).unwrap();
    copy_folder(&wijk.path("old-server"), &wijk.folder().join("server"));
    fs::remove_file(wijk.folder().join("erased.log")).unwrap();
    let server = wijk.serve();
    assert_wijk(&wijk, &canary, &["server"], true, "so the test of the list can fail");
    assert!(server.stop().0.success());
}
