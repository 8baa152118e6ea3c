//! Files that were damaged: refused, named with their place, and left as they are; an unfinished write is cut off.

use std::fs;
use std::path::{Path, PathBuf};

use crate::mistakes::{contents, says};
use crate::support::{Wijk, arg, run, runtime, write};

const CHECK: i32 = 1;
const DATA: i32 = 3;

fn segment(store: &Path) -> PathBuf {
    store.join("journal/00000001.seg")
}

/// Turns some bits in a file, in a row that is read at every start and well before its last flush (see `store::disk` for that
/// one): the wijk's directory, or somewhere in the middle where values are sealed. Says where.
fn flip(path: &Path) -> usize {
    let mut bytes = fs::read(path).unwrap();
    let name = b"De Lindehoek";
    let at = bytes.windows(name.len()).position(|seen| seen == name).unwrap_or(bytes.len() / 4);
    for byte in &mut bytes[at..at + 3] {
        *byte ^= 0x55;
    }
    fs::write(path, bytes).unwrap();
    at
}

/// A wijk with a phone that wrote and synced; both were closed.
fn used() -> Wijk {
    let wijk = Wijk::new();
    let server = wijk.serve();
    wijk.phone("phone", &["join", &wijk.cards("resident", 1)[0]]).ok();
    for number in 0..6 {
        wijk.phone("phone", &["write", "--title", &format!("Nummer {number}"), "--text", &"Te donker. ".repeat(40)])
            .ok();
    }
    wijk.phone("phone", &["sync"]).ok();
    assert!(server.stop().0.success());
    wijk
}

/// The byte at which `verify` says that something is wrong, in the file at `path`.
#[track_caller]
fn named_offset(out: &str, path: &Path) -> usize {
    let line = out
        .lines()
        .find(|line| line.contains(arg(path)))
        .unwrap_or_else(|| panic!("{} isn't named:\n{out}", path.display()));
    println!("{line}");
    let digits: String = line
        .split("byte ")
        .nth(1)
        .unwrap_or_else(|| panic!("{line}"))
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

fn try_serve(folder: &Path) -> crate::support::Ran {
    run(&["serve", arg(folder), "--listen", "127.0.0.1:0"])
}

#[test]
fn flipped_bytes_are_refused_and_named_and_nothing_is_changed() {
    for clean in [true, false] {
        let wijk = used();
        for (store, folder) in [(wijk.folder().join("server"), wijk.folder()), (wijk.path("phone"), wijk.path("phone"))]
        {
            if !clean {
                // As after a kill: nothing says that the store was closed.
                fs::remove_file(store.join("manifest")).unwrap();
            }
            let at = flip(&segment(&store));
            let before = contents(&folder);
            let ran = run(&["verify", arg(&folder)]);
            says(ran.refused(CHECK), &["problems found", "nothing was changed"]);
            let named = named_offset(&ran.out, &segment(&store));
            assert!(named <= at && at < named + 8000, "{named} is named, {at} is damaged");
            assert_eq!(contents(&folder), before, "verify changed something");
        }
        let (folder, phone) = (wijk.folder(), wijk.path("phone"));
        let (wijk_before, phone_before) = (contents(&folder), contents(&phone));
        for args in [&["list"][..], &["write", "--title", "T", "--text", "Tekst"], &["sync"]] {
            says(wijk.phone("phone", args).refused(DATA), &["damaged data in", "samenspraak verify", "restore a copy"]);
            assert_eq!(
                journals(&contents(&phone)),
                journals(&phone_before),
                "clean {clean}: the phone changed something"
            );
        }
        says(try_serve(&folder).refused(DATA), &["damaged data in", "samenspraak verify", "restore a copy"]);
        assert_eq!(journals(&contents(&folder)), journals(&wijk_before), "clean {clean}: the server changed something");
        if !clean {
            assert_eq!(contents(&phone), phone_before);
            assert_eq!(contents(&folder), wijk_before);
        }
    }
}

fn journals(files: &std::collections::BTreeMap<PathBuf, Vec<u8>>) -> Vec<(&PathBuf, &Vec<u8>)> {
    files.iter().filter(|(path, _)| path.extension().is_some_and(|ending| ending == "seg")).collect()
}

#[test]
fn an_unfinished_write_at_the_end_is_cut_off_and_reported_and_what_was_saved_stays() {
    let wijk = used();
    let server = wijk.serve();
    server.kill();
    let store = wijk.folder().join("server");
    let whole = fs::read(segment(&store)).unwrap();
    // Half of a frame, as a power cut leaves it.
    let torn = whole[whole.len() - 700..whole.len() - 300].to_vec();
    fs::write(segment(&store), [whole.clone(), torn.clone()].concat()).unwrap();
    let ran = run(&["verify", arg(&wijk.folder())]);
    assert!(ran.out.contains("400 bytes of an unfinished write"), "{ran:?}");
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let server = wijk.serve();
    assert!(server.log().contains("cut back an unfinished write at the end"), "{}", server.log());
    assert!(server.log().contains("\"bytes\":400"), "{}", server.log());
    let mut other = wijk.join(&wijk.cards("resident", 1)[0]);
    runtime().block_on(other.sync_once(&wijk.address())).unwrap();
    assert_eq!(other.app_mut().joined_mut().unwrap().contributions().unwrap().len(), 6);
    write(&mut other, "Daarna", "Gaat het verder.");
    runtime().block_on(other.sync_once(&wijk.address())).unwrap();
    assert!(server.stop().0.success());

    // The phone too.
    let phone = wijk.path("phone");
    fs::remove_file(phone.join("manifest")).unwrap();
    let whole = fs::read(segment(&phone)).unwrap();
    fs::write(segment(&phone), [whole, torn].concat()).unwrap();
    let ran = wijk.phone("phone", &["list"]);
    assert!(ran.err.contains("cut back an unfinished write at the end"), "{ran:?}");
    assert_eq!(ran.ok().lines().filter(|line| line.contains("aangekomen op")).count(), 6);
    run(&["verify", arg(&wijk.folder())]).ok();
    run(&["verify", arg(&phone)]).ok();
}

#[test]
fn a_journal_that_lost_its_end_after_it_was_closed_is_refused() {
    let wijk = used();
    let phone = wijk.path("phone");
    let whole = fs::read(segment(&phone)).unwrap();
    fs::write(segment(&phone), &whole[..whole.len() - 100]).unwrap();
    let before = contents(&phone);
    says(wijk.phone("phone", &["list"]).refused(DATA), &["damaged data in", "restore a copy"]);
    assert_eq!(contents(&phone), before);
    fs::write(segment(&phone), whole).unwrap();
    assert_eq!(wijk.phone("phone", &["list"]).ok().lines().count(), 6);
}

#[test]
fn files_of_the_folder_that_hold_garbage_are_named_and_left_alone() {
    let wijk = used();
    let folder = wijk.folder();
    for (name, garbage) in [
        ("wijk.json", &b"{ \"layout\": "[..]),
        ("wijk.json", b""),
        ("wijk.json", &[0xff, 0x00, 0x80]),
        ("wijk.json", br#"{"layout":1,"wijk":"12","name":"A","address":"http://a"}"#),
        ("wijk.json", br#"{"layout":7,"wijk":"12","name":"A","address":"http://a"}"#),
        ("keys/server.json", b"niets"),
        ("keys/server.json", br#"{"identity_secret":"zz","epoch":"00","epoch_secret":"00"}"#),
    ] {
        let path = folder.join(name);
        let good = fs::read(&path).unwrap();
        fs::write(&path, garbage).unwrap();
        let before = contents(&folder);
        says(try_serve(&folder).refused(DATA), &[arg(&path), "nothing was changed: restore this file from a copy"]);
        assert_eq!(journals(&contents(&folder)), journals(&before), "{name}");
        fs::write(&path, good).unwrap();
    }
    let keys = folder.join("keys/server.json");
    let good = fs::read(&keys).unwrap();
    fs::remove_file(&keys).unwrap();
    says(try_serve(&folder).refused(DATA), &[arg(&keys)]);
    fs::write(&keys, good).unwrap();
    let server = wijk.serve();
    assert!(server.stop().0.success());
    run(&["verify", arg(&folder)]).ok();
}
