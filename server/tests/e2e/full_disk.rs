//! A disk that is full, and one that can only be read: said in one line, nothing damaged, and it goes on when there is room.
//!
//! On small file systems in memory of their own. Making one needs rights; without them these tests say that they were skipped.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use samenspraak_core::app::OwnState;
use samenspraak_core::sync::phone::SessionError;
use samenspraak_server::client::SyncError;
use tempfile::TempDir;

use crate::mistakes::{contents, says};
use crate::support::{Seeded, Serve, Wijk, arg, has_arrived, long_text, own_state, run, runtime, write};

const DATA: i32 = 3;

/// A file system of its own, unmounted when dropped.
struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    fn new(mebibytes: usize) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs", arg(dir.path())]).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { dir });
        }
        println!("skipped: no rights to mount a small file system here");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.path("ballast")).unwrap();
        for bytes in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; bytes]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.path("ballast")).unwrap();
    }

    fn remount(&self, mode: &str) {
        let how = format!("remount,{mode}");
        assert!(Command::new("mount").args(["-o", &how, arg(self.dir.path())]).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is being killed may still have it open.
        let _ = Command::new("umount").args(["-l", arg(self.dir.path())]).status();
    }
}

fn phone(folder: &Path, args: &[&str]) -> crate::support::Ran {
    run(&[&["phone", "--data", arg(folder)], args].concat())
}

#[test]
fn a_phone_on_a_full_disk_says_not_saved_and_keeps_what_it_had() {
    let Some(disk) = SmallDisk::new(6) else { return };
    let (wijk, folder) = (Wijk::new(), disk.path("phone"));
    let card = &wijk.cards("resident", 1)[0];
    phone(&folder, &["join", card]).ok();
    phone(&folder, &["write", "--title", "Eerder", "--text", "Dit stond er al."]).ok();
    // Longer than the room that a last page may still have.
    let text = long_text(&mut Seeded(9));
    let later = ["write", "--title", "Later", "--text", &text];
    let mut kept = 1;
    for again in 0..5 {
        let mut tries = 0;
        let ran = loop {
            disk.fill();
            let ran = phone(&folder, &later);
            if ran.code != Some(0) {
                break ran;
            }
            // On a full disk the index makes way for words: that is room again, so this too is filled.
            assert!(ran.out.contains("bewaard op dit toestel"), "{ran:?}");
            (kept, tries) = (kept + 1, tries + 1);
            assert!(tries < 5, "there is no end to the room: {ran:?}");
        };
        says(ran.refused(DATA), &["not saved", "no space left", "nothing was damaged", "make room and try again"]);
        assert!(!ran.out.contains("bewaard"), "{ran:?}");
        let list = phone(&folder, &["list"]).ok();
        assert!(list.contains("Eerder  [bewaard op dit toestel]"), "{again}: {list}");
        assert_eq!(list.lines().count(), kept, "{again}: {list}");
        run(&["verify", arg(&folder)]).ok();
        disk.fill();
        // A phone whose folder there is no room for.
        let ran = phone(&disk.path("nieuw"), &["join", card]);
        says(ran.refused(DATA), &["no space left", "make room and try again"]);
        disk.make_room();
    }
    assert_eq!(phone(&folder, &["list"]).ok().lines().count(), kept);
    phone(&folder, &later).ok();
    assert_eq!(phone(&folder, &["list"]).ok().lines().count(), kept + 1);
    phone(&disk.path("nieuw"), &["join", card]).ok();
    run(&["verify", arg(&folder)]).ok();
}

#[test]
fn a_wijk_for_which_there_is_no_room_leaves_nothing_and_can_be_made_later() {
    let Some(disk) = SmallDisk::new(4) else { return };
    let (wijk, folder) = (Wijk::new(), disk.path("wijk"));
    disk.fill();
    says(wijk.found(&folder).refused(DATA), &["no space left", "make room and try again"]);
    disk.make_room();
    assert!(contents(&folder).is_empty(), "{:?}", contents(&folder).keys());
    wijk.found(&folder).ok();
    run(&["verify", arg(&folder)]).ok();
}

#[test]
fn a_server_on_a_full_disk_says_not_now_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::new(12) else { return };
    let (wijk, runtime, folder) = (Wijk::new(), runtime(), disk.path("wijk"));
    wijk.found(&folder).ok();
    let log = wijk.path("serve.log");
    let invite = || run(&["invite", arg(&folder), "--plain"]).ok().trim().to_owned();
    let mut server = Serve::start(&folder, wijk.port, &log, &[]);
    let (mut writer, mut reader) = (wijk.join(&invite()), wijk.join(&invite()));
    let (first, _) = write(&mut writer, "Eerst", "Toen was er nog plaats.");
    for phone in [&mut writer, &mut reader] {
        runtime.block_on(phone.sync_once(&wijk.address())).unwrap();
    }
    let mut all = vec![first];
    for round in 0..3 {
        disk.fill();
        let (next, _) = write(&mut writer, &format!("Vol {round}"), &long_text(&mut Seeded(round)));
        all.push(next);
        let refused = runtime.block_on(writer.sync_once(&wijk.address()));
        assert!(matches!(refused, Err(SyncError::Session(SessionError::NotNow))), "{refused:?}");
        assert_eq!(own_state(&mut writer, next), Some(OwnState::Saved), "round {round}");
        assert_eq!(server.get("/healthz", "").0, 200);
        // Who only reads isn't bothered.
        runtime.block_on(reader.sync_once(&wijk.address())).unwrap();
        assert!(server.log().contains("the disk is full: pushes are refused until there is room"), "{}", server.log());
        if round == 1 {
            server.kill();
            // The old index makes way, so it starts without any room too.
            server = Serve::start(&folder, wijk.port, &log, &[]);
        }
        disk.make_room();
        runtime.block_on(writer.sync_once(&wijk.address())).unwrap();
        assert!(has_arrived(&mut writer, next), "round {round}");
    }
    runtime.block_on(reader.sync_once(&wijk.address())).unwrap();
    let seen = reader.app_mut().joined_mut().unwrap().contributions().unwrap();
    assert_eq!(seen.iter().map(|item| item.subject).collect::<Vec<_>>(), all);
    let (status, _) = server.stop();
    assert!(status.success(), "{status}");
    run(&["verify", arg(&folder)]).ok();
}

#[test]
fn a_folder_that_can_only_be_read_is_said_to_be_so_and_works_again_later() {
    let Some(disk) = SmallDisk::new(12) else { return };
    let (wijk, folder, mine) = (Wijk::new(), disk.path("wijk"), disk.path("phone"));
    wijk.found(&folder).ok();
    let card = run(&["invite", arg(&folder), "--plain"]).ok();
    phone(&mine, &["join", card.trim()]).ok();
    phone(&mine, &["write", "--title", "Eerder", "--text", "Dit stond er al."]).ok();
    disk.remount("ro");
    let before = contents(disk.dir.path());
    let hint = "see that this folder can be read and written";
    let ran = run(&["serve", arg(&folder), "--listen", "127.0.0.1:0"]);
    says(ran.refused(DATA), &[arg(&folder), "Read-only file system", hint]);
    let write = ["write", "--title", "Nu", "--text", "Kan niet."];
    says(phone(&mine, &write).refused(DATA), &[arg(&mine), "Read-only file system", hint]);
    says(run(&["invite", arg(&folder)]).refused(DATA), &[arg(&folder), "Read-only file system", hint]);
    run(&["verify", arg(&folder)]).ok();
    run(&["verify", arg(&mine)]).ok();
    assert_eq!(contents(disk.dir.path()), before);
    disk.remount("rw");
    assert_eq!(phone(&mine, &["list"]).ok().lines().count(), 1);
    phone(&mine, &write).ok();
    let server = Serve::start(&folder, wijk.port, &wijk.path("serve.log"), &[]);
    assert!(phone(&mine, &["sync"]).ok().contains("aangekomen op"));
    assert!(server.stop().0.success());
}
