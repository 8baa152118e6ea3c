//! What a device's folder shows to somebody who has it and not its key, and what is said when the key isn't right.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use samenspraak_core::app::Command as Ask;
use samenspraak_core::membership::card::CardLink;
use samenspraak_core::store::disk::{DiskOptions, DiskStore};
use samenspraak_core::store::{Batch, Store, Table};
use samenspraak_server::client::Driver;
use samenspraak_server::device::read_device;
use samenspraak_server::folder::Folder;

use crate::mistakes::{contents, says};
use crate::support::{Wijk, arg, run, write};

const DATA: i32 = 3;
const TITLE: &str = "Zwerfvuil bij het viaduct";
const TEXT: &str = "Elke maandag ligt er weer een nieuwe berg karton.";

/// Whether eight bytes of these words in a row are in any file of a folder, the index included.
fn holds(folder: &Path, words: &str) -> bool {
    let mut found = false;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found |= if path.is_dir() {
            holds(&path, words)
        } else {
            let bytes = fs::read(&path).unwrap();
            words.as_bytes().windows(8).any(|window| bytes.windows(8).any(|seen| seen == window))
        };
    }
    found
}

fn disk(path: &Path) -> Arc<DiskStore> {
    Arc::new(DiskStore::open(path, DiskOptions::default()).unwrap().0)
}

/// A phone's folder as programs of before made it: rows as they are.
fn plain_phone(wijk: &Wijk, name: &str, card: &str) {
    fs::create_dir(wijk.path(name)).unwrap();
    let store = disk(&wijk.path(name));
    let mut phone = Driver::open(store.clone() as Arc<dyn Store>).unwrap();
    phone.command(Ask::Join { card: CardLink::parse(card).unwrap() }).unwrap();
    write(&mut phone, TITLE, TEXT);
    drop(phone);
    store.close().unwrap();
}

/// Makes the store of a device in a wijk's folder what programs of before made of it.
fn make_plain(wijk: &Wijk, name: &str) {
    let (path, aside) = (wijk.folder().join(name), wijk.path("aside"));
    {
        let folder = Folder::open(&wijk.folder()).unwrap();
        let (rows, _) = read_device(&path, &folder.vault(), name).unwrap();
        fs::create_dir(&aside).unwrap();
        let store = disk(&aside);
        let mut batch = Batch::new();
        for table in Table::ALL {
            for row in rows.scan(table, &[], None, usize::MAX).unwrap() {
                batch.put(table, row.key, row.value);
            }
        }
        store.commit(&batch).unwrap();
        store.close().unwrap();
    }
    fs::remove_dir_all(&path).unwrap();
    fs::rename(aside, path).unwrap();
    fs::remove_file(wijk.folder().join(format!("keys/{name}.key"))).unwrap();
}

#[test]
fn words_are_in_no_file_of_a_phone_and_all_of_them_on_its_screen() {
    let wijk = Wijk::new();
    wijk.phone("phone", &["join", &wijk.cards("resident", 1)[0]]).ok();
    let said = wijk.phone("phone", &["write", "--title", TITLE, "--text", TEXT]).ok();
    assert!(!holds(&wijk.path("phone"), TITLE) && !holds(&wijk.path("phone"), TEXT));
    let id = said.split_whitespace().next().unwrap();
    assert!(wijk.phone("phone", &["show", id]).ok().contains(TEXT));
    run(&["verify", arg(&wijk.path("phone"))]).ok();
}

#[test]
fn a_phone_of_before_opens_and_its_plain_words_leave_its_files() {
    let wijk = Wijk::new();
    let cards = wijk.cards("resident", 2);
    plain_phone(&wijk, "phone", &cards[0]);
    // What this program's own `change chunk` may deflate is short here, so words stand in the files as they are.
    assert!(holds(&wijk.path("phone"), TITLE), "this test can fail");
    // Looking changes nothing, also at a store of before.
    let before = contents(&wijk.path("phone"));
    run(&["verify", arg(&wijk.path("phone"))]).ok();
    assert_eq!(contents(&wijk.path("phone")), before);

    let ran = wijk.phone("phone", &["list"]);
    assert!(ran.err.contains("sealed the rows of a store of before"), "{ran:?}");
    assert!(ran.ok().contains(TITLE));
    assert!(!holds(&wijk.path("phone"), TITLE) && !holds(&wijk.path("phone"), TEXT));
    let ran = wijk.phone("phone", &["list"]);
    assert!(!ran.err.contains("sealed the rows"), "{ran:?}");
    run(&["verify", arg(&wijk.path("phone"))]).ok();

    let server = wijk.serve();
    assert!(wijk.phone("phone", &["sync"]).ok().contains("aangekomen op"));
    assert!(server.stop().0.success());
}

#[test]
fn a_wijk_of_before_is_served_and_invites_and_its_devices_are_sealed() {
    let wijk = Wijk::new();
    for name in ["root", "board"] {
        make_plain(&wijk, name);
    }
    assert!(holds(&wijk.folder().join("board"), "De Lindehoek"), "this test can fail");
    run(&["verify", arg(&wijk.folder())]).ok();
    let cards = wijk.cards("resident", 1);
    let server = wijk.serve();
    wijk.phone("phone", &["join", &cards[0]]).ok();
    wijk.phone("phone", &["write", "--title", TITLE, "--text", TEXT]).ok();
    assert!(wijk.phone("phone", &["sync"]).ok().contains("aangekomen op"));
    assert!(server.stop().0.success());
    for name in ["root", "board"] {
        assert!(!holds(&wijk.folder().join(name), "De Lindehoek"), "{name}");
    }
    run(&["verify", arg(&wijk.folder())]).ok();
}

#[test]
fn a_key_that_is_missing_wrong_damaged_or_open_to_others_is_named_and_nothing_is_changed() {
    let wijk = Wijk::new();
    let cards = wijk.cards("resident", 2);
    for (name, card) in ["phone", "other"].into_iter().zip(&cards) {
        wijk.phone(name, &["join", card]).ok();
        wijk.phone(name, &["write", "--title", TITLE, "--text", TEXT]).ok();
    }
    let (key, aside) = (wijk.path("phone").join("keys/phone.key"), wijk.path("aside.key"));
    let whole = fs::read(&key).unwrap();
    let journal = wijk.path("phone").join("journal");
    let before = contents(&journal);
    let refused = |parts: &[&str]| {
        for args in [&["list"][..], &["write", "--title", "T", "--text", "Tekst"]] {
            says(wijk.phone("phone", args).refused(DATA), parts);
        }
        says(run(&["verify", arg(&wijk.path("phone"))]).refused(DATA), parts);
        assert_eq!(contents(&journal), before);
    };

    fs::rename(&key, &aside).unwrap();
    refused(&["is sealed", "\"phone\"", "put back the key file"]);
    assert!(!key.exists(), "a new key was made over an old store");
    fs::rename(&aside, &key).unwrap();

    fs::copy(wijk.path("other").join("keys/phone.key"), &key).unwrap();
    refused(&[arg(&wijk.path("phone")), "sealed with another one", "put back the key file"]);

    fs::write(&key, &whole[..whole.len() / 2]).unwrap();
    refused(&[arg(&key), "damaged", "restore this key file"]);

    fs::write(&key, &whole).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused(&[arg(&key), "read by others", "chmod 600"]);

    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(wijk.phone("phone", &["list"]).ok().contains(TITLE));
}

#[test]
fn secrets_of_a_wijk_are_their_owners_alone_and_a_careless_copy_is_mended() {
    let wijk = Wijk::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let keys = wijk.folder().join("keys");
    let server = wijk.serve_with(&[]);
    assert!(server.stop().0.success());
    let secrets = || {
        let entries = fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path());
        entries.collect::<Vec<_>>()
    };
    assert!(secrets().len() >= 3, "{:?}", secrets());
    for path in secrets() {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    for folder in [wijk.folder(), keys.clone(), wijk.folder().join("server"), wijk.folder().join("board")] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    wijk.phone("phone", &["join", &wijk.cards("resident", 1)[0]]).ok();
    assert_eq!(mode(&wijk.path("phone")), 0o700);

    // As `cp -r` under another umask leaves it.
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(keys.join("server.json"), fs::Permissions::from_mode(0o644)).unwrap();
    let server = wijk.serve();
    assert_eq!((mode(&keys), mode(&keys.join("server.json"))), (0o700, 0o600));
    assert!(server.log().contains("others on this machine could read this"), "{}", server.log());
    assert!(server.stop().0.success());
}

#[test]
fn a_wijk_whose_root_is_kept_apart_is_served_and_no_other_root_is_made() {
    let wijk = Wijk::new();
    let cards = wijk.cards("resident", 1);
    fs::rename(wijk.folder().join("root"), wijk.path("safe-root")).unwrap();
    fs::rename(wijk.folder().join("keys/root.key"), wijk.path("root.key")).unwrap();
    let server = wijk.serve();
    wijk.phone("phone", &["join", &cards[0]]).ok();
    wijk.phone("phone", &["write", "--title", TITLE, "--text", TEXT]).ok();
    assert!(wijk.phone("phone", &["sync"]).ok().contains("aangekomen op"));
    let ran = run(&["invite", arg(&wijk.folder()), "--plain"]);
    says(ran.refused(DATA), &[arg(&wijk.folder().join("root")), "no store of this device here", "put its folder back"]);
    assert!(server.stop().0.success());
    assert!(!wijk.folder().join("root").exists() && !wijk.folder().join("keys/root.key").exists());
    fs::rename(wijk.path("safe-root"), wijk.folder().join("root")).unwrap();
    fs::rename(wijk.path("root.key"), wijk.folder().join("keys/root.key")).unwrap();
    assert_eq!(wijk.cards("resident", 2).len(), 2);
    run(&["verify", arg(&wijk.folder())]).ok();
}
