//! Disasters, with the real program: a server that is lost, put back from an old copy, or copied is the same again in the end,
//! entry by entry, because its phones bring back what is missing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use samenspraak_core::app::Command as Ask;
use samenspraak_core::model::{EntryId, SpaceId, SubjectId};
use samenspraak_core::replica::{EntryRow, Kept, Place};
use samenspraak_core::store::disk::DiskStore;
use samenspraak_core::store::{Store, Table};
use samenspraak_server::client::Driver;
use samenspraak_tests::scan::{Scanner, canary};
use samenspraak_tests::world::Seeded;
use tokio::runtime::Runtime;

use crate::server_kills::{Told, keep_writing};
use crate::support::{Wijk, arg, has_arrived, run, runtime, until, write};

/// Every entry of a server's store: its id, and its body if it is here.
pub fn entries(folder: &Path) -> BTreeMap<Place, (EntryId, Kept)> {
    let (store, found) = DiskStore::open_read_only(&folder.join("server")).unwrap();
    assert!(found.damage.is_empty(), "{found:?}");
    let rows = store.scan(Table::Entry, &[], None, usize::MAX).unwrap();
    let read = |row: &samenspraak_core::store::Row| {
        let entry = EntryRow::decode(&row.value).unwrap();
        (Place::decode(&row.key).unwrap(), (entry.id, entry.kept))
    };
    rows.iter().map(read).collect()
}

#[track_caller]
fn assert_all_there(folder: &Path, before: &BTreeMap<Place, (EntryId, Kept)>) {
    let now = entries(folder);
    let lost: Vec<&Place> = before.iter().filter(|(at, row)| now.get(at) != Some(row)).map(|(at, _)| at).collect();
    assert!(lost.is_empty(), "{} of {} entries are lost or differ: {lost:?}", lost.len(), before.len());
}

#[track_caller]
pub fn sync(runtime: &Runtime, wijk: &Wijk, phone: &mut Driver) {
    runtime.block_on(phone.sync_once(&wijk.address())).unwrap();
}

/// What `wijk root-key` printed: the wijk, and a file with the letters.
fn root_key(wijk: &Wijk) -> (String, std::path::PathBuf) {
    let paper = run(&["wijk", "root-key", arg(&wijk.folder())]).ok();
    let line = |name: &str| paper.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let file = wijk.path("paper");
    fs::write(&file, line("root key ")).unwrap();
    (line("wijk "), file)
}

pub fn arrived(phone: &mut Driver, subjects: &[SubjectId]) {
    for subject in subjects {
        assert!(has_arrived(phone, *subject), "{subject}");
    }
}

#[test]
fn a_server_that_is_lost_entirely_is_made_from_the_roots_key_and_refilled_by_its_phones() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let (id, paper) = root_key(&wijk);
    let cards = wijk.cards("resident", 4);
    let member_card = wijk.cards("board", 1).remove(0);
    let server = wijk.serve();
    let [mut amina, mut gone, mut offline] = [0, 1, 2].map(|at: usize| wijk.join(&cards[at]));
    // What is closed comes back from those who are in: a member of the board, for the board's own device goes with the folder.
    let mut member = wijk.join(&member_card);
    for phone in [&mut amina, &mut gone, &mut offline, &mut member] {
        sync(&runtime, &wijk, phone);
    }
    let mut subjects: Vec<SubjectId> = Vec::new();
    for round in 0..5 {
        for (name, phone) in [("amina", &mut amina), ("gone", &mut gone), ("offline", &mut offline)] {
            subjects.push(write(phone, &format!("{name} {round}"), "Er is hier geen licht.").0);
            sync(&runtime, &wijk, phone);
        }
    }
    sync(&runtime, &wijk, &mut amina);
    sync(&runtime, &wijk, &mut member);
    server.kill();
    let before = entries(&wijk.folder());
    // The machine is gone, and so is the phone of one who wrote; another one wrote without a network meanwhile.
    drop(gone);
    let unheard = write(&mut offline, "zonder net", "Niemand heeft dit nog.").0;
    fs::remove_dir_all(wijk.folder()).unwrap();
    let (folder, address) = (wijk.folder(), wijk.address());
    let recover = ["wijk", "recover", arg(&folder), "--wijk", &id, "--root-key", arg(&paper)];
    run(&[recover.as_slice(), &["--name", "De Lindehoek", "--address", &address]].concat()).ok();
    run(&["invite", arg(&wijk.folder())]).refused(2);
    assert!(run(&["wijk", "refilled", arg(&wijk.folder())]).refused(1).contains("no phone"));

    let server = wijk.serve();
    let (code, page) = server.get("/bestuur", "");
    assert_eq!(code, 503, "{page}");
    assert!(page.contains("weer gevuld"));
    sync(&runtime, &wijk, &mut offline);
    sync(&runtime, &wijk, &mut amina);
    sync(&runtime, &wijk, &mut member);
    let mut third = wijk.join(&cards[3]);
    sync(&runtime, &wijk, &mut third);
    for subject in subjects.iter().chain([&unheard]) {
        assert!(third.app_mut().joined_mut().unwrap().line(*subject).unwrap().is_some());
    }
    arrived(&mut offline, &[unheard]);
    assert!(server.stop().0.success());
    assert_all_there(&wijk.folder(), &before);

    // The root and a device of the board are back, and people can be let in again.
    run(&["wijk", "refilled", arg(&wijk.folder())]).ok();
    run(&["verify", arg(&wijk.folder())]).ok();
    let card = wijk.cards("resident", 1).remove(0);
    let server = wijk.serve();
    assert_eq!(server.get("/bestuur", "").0, 200);
    let mut fresh = wijk.join(&card);
    sync(&runtime, &wijk, &mut fresh);
    assert!(fresh.app_mut().joined_mut().unwrap().line(unheard).unwrap().is_some());
    // Those who knew the old server go on with the new one, and send nothing twice.
    let moved = runtime.block_on(amina.sync_once(&address)).unwrap();
    let again = runtime.block_on(amina.sync_once(&address)).unwrap();
    assert!(again.bytes_up < 1024 && again.bytes_up <= moved.bytes_up, "{moved:?} {again:?}");
    assert!(server.stop().0.success());
    assert_all_there(&wijk.folder(), &before);
}

fn copy_over(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_over(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn number_before(out: &str, words: &str) -> u64 {
    let at = out.find(words).unwrap_or_else(|| panic!("no {words:?} in {out}"));
    out[..at].rsplit(|sign: char| !sign.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn a_backup_made_while_people_write_is_restored_and_its_phones_bring_what_came_after_and_nothing_erased() {
    let (wijk, runtime, canary) = (Wijk::new(), runtime(), canary(&mut Seeded::new(4)));
    let (folder, dest, cards) = (wijk.folder(), wijk.path("backups"), wijk.cards("resident", 3));
    let server = wijk.serve();
    let mut amina = wijk.join(&cards[0]);
    sync(&runtime, &wijk, &mut amina);
    // Somebody writes without a pause while the first backup is made.
    let told = Arc::new(Told::default());
    let busy = wijk.join(&cards[1]);
    let busy = runtime.spawn(keep_writing(busy, wijk.address(), 1, Arc::clone(&told)));
    until("something has arrived", || (told.arrived.lock().unwrap().len() > 20).then_some(()));
    let (doomed, _) = write(&mut amina, "Weg hiermee", &canary);
    sync(&runtime, &wijk, &mut amina);
    let first = run(&["backup", arg(&folder), arg(&dest)]).ok();
    told.done.store(true, Ordering::SeqCst);
    let written = runtime.block_on(busy).unwrap();
    // A second one costs what is new, and can be the only one that is kept.
    let second = run(&["backup", arg(&folder), arg(&dest), "--keep", "2"]).ok();
    assert!(number_before(&second, " of them new") * 2 < number_before(&first, " of them new") + 2_000_000, "{second}");
    assert!(second.contains("older ones are kept"), "{second}");
    let (kept, _) = write(&mut amina, "Na de kopie", "Dit staat in geen enkele kopie.");
    amina.command(Ask::Erase(doomed)).unwrap();
    sync(&runtime, &wijk, &mut amina);
    let third = run(&["backup", arg(&folder), arg(&dest), "--keep", "2"]).ok();
    assert!(third.contains("backup 3"), "{third}");
    let (last, _) = write(&mut amina, "Het laatste", "Na de laatste kopie.");
    sync(&runtime, &wijk, &mut amina);
    server.kill();
    let before = entries(&folder);
    assert!(written > 20);

    // An older one, in which the erased words are still.
    fs::rename(&folder, wijk.path("burnt")).unwrap();
    assert!(run(&["restore", arg(&dest), arg(&wijk.path("burnt"))]).refused(2).contains("not empty"));
    let out = run(&["restore", arg(&dest), arg(&folder), "--backup", "2"]).ok();
    assert!(out.contains("backup 2"), "{out}");
    let scanner = Scanner::new(&[&canary]);
    assert!(!scanner.scan(&folder.join("server")).is_empty(), "an older backup has it still");
    let server = wijk.serve();
    sync(&runtime, &wijk, &mut amina);
    let mut fresh = wijk.join(&cards[2]);
    sync(&runtime, &wijk, &mut fresh);
    for subject in [kept, last] {
        assert!(fresh.app_mut().joined_mut().unwrap().line(subject).unwrap().is_some());
    }
    assert!(server.stop().0.success());
    assert_all_there(&folder, &before);
    assert!(scanner.scan(&folder.join("server")).is_empty(), "what was erased came back");
    run(&["wijk", "refilled", arg(&folder)]).ok();
    run(&["verify", arg(&folder)]).ok();
    wijk.cards("resident", 1);
    // Bytes that are not those that were copied are noticed before anything is made of them.
    // A folder whose chunks all went with the first backup stays behind, empty.
    let folders = fs::read_dir(dest.join("chunks")).unwrap().map(|folder| folder.unwrap().path());
    let chunk = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).next().unwrap().unwrap().path();
    let mut bytes = fs::read(&chunk).unwrap();
    bytes[0] ^= 1;
    fs::write(&chunk, bytes).unwrap();
    // One of the two backups needs it, or both do.
    let mut refused = 0;
    for number in ["2", "3"] {
        let made = wijk.path(&format!("from-{number}"));
        let code = run(&["restore", arg(&dest), arg(&made), "--backup", number]).code;
        assert!(code == Some(0) || code == Some(3), "backup {number}: {code:?}");
        assert_eq!(made.join("wijk.json").exists(), code == Some(0), "backup {number}: {code:?}");
        refused += usize::from(code == Some(3));
    }
    assert!(refused > 0, "bytes that were changed were restored");
}

#[test]
fn a_folder_that_is_put_back_from_an_old_copy_is_noticed_by_its_phones_and_begins_a_new_epoch() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let (folder, cards) = (wijk.folder(), wijk.cards("resident", 2));
    let server = wijk.serve();
    wijk.phone("amina", &["join", &cards[0]]).ok();
    wijk.phone("amina", &["write", "--title", "Eerst", "--text", "Voor de kopie."]).ok();
    wijk.phone("amina", &["sync"]).ok();
    assert!(server.stop().0.success());
    copy_over(&folder, &wijk.path("old"));
    let server = wijk.serve();
    wijk.phone("amina", &["write", "--title", "Daarna", "--text", "Na de kopie."]).ok();
    wijk.phone("amina", &["sync"]).ok();
    assert!(server.stop().0.success());
    let before = entries(&folder);
    // As a disk that goes back in time: the same files with what they held before.
    for part in ["server", "root", "board"] {
        fs::remove_dir_all(folder.join(part)).unwrap();
    }
    let here = fs::read(folder.join("keys/here")).unwrap();
    copy_over(&wijk.path("old"), &folder);
    assert_eq!(fs::read(folder.join("keys/here")).unwrap(), here);
    let server = wijk.serve();
    assert!(!server.log().contains("a new epoch begins"), "{}", server.log());
    assert_eq!(server.get("/bestuur", "").0, 200);
    // The first sync shows the server its own signature; it begins again, and then it is told everything.
    let out = until("the phone and the new epoch find each other", || {
        let ran = wijk.phone("amina", &["sync"]);
        (ran.code == Some(0) && ran.out.contains("opnieuw begonnen")).then_some(ran.out)
    });
    assert!(server.log().contains("a new epoch begins"), "{}", server.log());
    let (code, page) = server.get("/bestuur", "");
    assert_eq!((code, page.contains("weer gevuld")), (503, true), "{page}");
    let all = out + &wijk.phone("amina", &["list"]).ok();
    assert!(all.contains("Daarna"), "{all}");
    assert!(server.stop().0.success());
    assert_all_there(&folder, &before);
    let said = wijk.phone("amina", &["server"]).ok();
    assert!(said.contains("oude kopie"), "{said}");
    drop(runtime);
}

#[test]
fn a_store_older_than_what_was_noted_of_it_and_a_copied_folder_begin_a_new_epoch_by_themselves() {
    let wijk = Wijk::new();
    let (folder, cards) = (wijk.folder(), wijk.cards("resident", 1));
    assert!(wijk.serve().stop().0.success());
    copy_over(&folder.join("server"), &wijk.path("old"));
    let epoch = || samenspraak_server::folder::Folder::open(&folder).unwrap().keys().unwrap().epoch;
    let server = wijk.serve();
    wijk.phone("amina", &["join", &cards[0]]).ok();
    wijk.phone("amina", &["sync"]).ok();
    assert!(server.stop().0.success());
    let first = epoch();
    assert!(wijk.serve().stop().0.success());
    assert_eq!(epoch(), first, "a quiet restart changes nothing");
    fs::remove_dir_all(folder.join("server")).unwrap();
    copy_over(&wijk.path("old"), &folder.join("server"));
    assert!(wijk.serve().stop().0.success());
    let second = epoch();
    assert_ne!(second, first, "the store went back");
    copy_over(&folder, &wijk.path("copy"));
    fs::rename(&folder, wijk.path("first")).unwrap();
    fs::rename(wijk.path("copy"), &folder).unwrap();
    assert!(wijk.serve().stop().0.success());
    assert_ne!(epoch(), second, "the folder is a copy");
    run(&["wijk", "new-epoch", arg(&folder)]).ok();
    let third = epoch();
    let server = wijk.serve();
    assert_ne!(epoch(), third, "an administrator said so");
    wijk.phone("amina", &["sync"]).ok();
    assert!(server.stop().0.success());
    run(&["verify", arg(&folder)]).ok();
}

#[test]
fn a_store_whose_files_are_damaged_is_healed_from_what_is_left_and_from_its_phones() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let (folder, cards) = (wijk.folder(), wijk.cards("resident", 3));
    let server = wijk.serve();
    let [mut amina, mut ben] = [0, 1].map(|at: usize| wijk.join(&cards[at]));
    let mut subjects = Vec::new();
    for round in 0..12 {
        for phone in [&mut amina, &mut ben] {
            subjects.push(write(phone, &format!("Ronde {round}"), &"Er is hier geen licht. ".repeat(20)).0);
            sync(&runtime, &wijk, phone);
        }
    }
    sync(&runtime, &wijk, &mut amina);
    assert!(server.stop().0.success());
    let before = entries(&folder);
    assert!(run(&["heal", arg(&folder)]).ok().contains("nothing is damaged"));
    let segment = folder.join("server/journal/00000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    for part in [4, 5, 6] {
        let at = bytes.len() * part / 8;
        bytes[at..at + 3].iter_mut().for_each(|byte| *byte ^= 0x55);
    }
    fs::write(&segment, bytes).unwrap();
    run(&["verify", arg(&folder)]).refused(1);
    let healed = run(&["heal", arg(&folder)]).ok();
    assert!(healed.contains("lost: segment 1"), "{healed}");
    assert!(entries(&folder).len() < before.len(), "so this test shows nothing: {healed}");
    run(&["verify", arg(&folder)]).ok();
    // Killed between its last two steps: nobody begins with an empty store meanwhile.
    fs::rename(folder.join("server"), folder.join("server.new")).unwrap();
    let refused = run(&["serve", arg(&folder), "--listen", "127.0.0.1:0"]);
    assert!(refused.err.contains("samenspraak heal"), "{refused:?}");
    assert!(!folder.join("server").exists());
    run(&["heal", arg(&folder)]).ok();
    let server = wijk.serve();
    assert!(server.log().contains("a new epoch begins"), "{}", server.log());
    sync(&runtime, &wijk, &mut ben);
    sync(&runtime, &wijk, &mut amina);
    let mut fresh = wijk.join(&cards[2]);
    sync(&runtime, &wijk, &mut fresh);
    for subject in subjects {
        assert!(fresh.app_mut().joined_mut().unwrap().line(subject).unwrap().is_some());
    }
    // The board's own device holds what is closed, and brings it when the server starts.
    let items = |space: SpaceId| {
        let (_, answer) = server.get("/status", "");
        let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        usize::try_from(body["log_items"][space.to_string()].as_u64().unwrap()).unwrap()
    };
    for space in [SpaceId::Board, SpaceId::Inbox] {
        let count = before.keys().filter(|at| at.space == space).count();
        until("the board's device has brought what is closed", || (items(space) >= count).then_some(()));
    }
    assert!(server.stop().0.success());
    assert_all_there(&folder, &before);
    run(&["verify", arg(&folder)]).ok();
}
