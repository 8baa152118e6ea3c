//! Disasters, with the real program: a server that is lost, put back from an old copy, or copied is the same again in the end,
//! entry by entry, because its phones bring back what is missing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use samenspraak_core::model::{EntryId, SubjectId};
use samenspraak_core::replica::{EntryRow, Kept, Place};
use samenspraak_core::store::disk::DiskStore;
use samenspraak_core::store::{Store, Table};
use samenspraak_server::client::Driver;
use tokio::runtime::Runtime;

use crate::support::{Wijk, arg, has_arrived, run, runtime, write};

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
