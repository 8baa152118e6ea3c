//! What a server answers while it is still starting, and what it must have done before that.
//!
//! A file that is read to open a store is a pipe here that nobody has written to, so opening it takes as long as a test wants.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Serve, Wijk, arg, has_arrived, run, runtime, until, write};

/// A file of a wijk's folder, kept back: the key of a device, or what a store needs to be opened.
struct KeptBack {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl KeptBack {
    fn of(wijk: &Wijk, device: &str) -> Self {
        Self::file(wijk.folder().join(format!("keys/{device}.key")))
    }

    fn file(path: PathBuf) -> Self {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").args(["-m", "600", arg(&path)]).status().unwrap().success());
        Self { path, bytes }
    }

    /// Waits until the server asks for it.
    fn asked_for(&self) -> File {
        // Without waiting, a pipe can be written to only when somebody reads it.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        until("the server opens this device", || {
            fs::OpenOptions::new().write(true).custom_flags(flags).open(&self.path).ok()
        })
    }

    /// Gives it to the server that asked for it, and puts it back for later.
    fn give(self, mut to: File) {
        to.write_all(&self.bytes).unwrap();
        let whole = self.path.with_extension("whole");
        fs::write(&whole, &self.bytes).unwrap();
        fs::set_permissions(&whole, fs::metadata(&self.path).unwrap().permissions()).unwrap();
        fs::rename(&whole, &self.path).unwrap();
    }
}

fn begin(wijk: &Wijk) -> Serve {
    Serve::begin(&wijk.folder(), wijk.port, &wijk.path("serve.log"), &[])
}

#[test]
fn phones_are_served_before_the_board_and_the_root_are_open_and_the_link_is_said_when_it_can_be_used() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let cards = wijk.cards("resident", 2);
    let (board, root) = (KeptBack::of(&wijk, "board"), KeptBack::of(&wijk, "root"));
    let mut server = begin(&wijk);
    server.wait_for("is served at");
    let (mut writer, mut reader) = (wijk.join(&cards[0]), wijk.join(&cards[1]));
    let (subject, _) = write(&mut writer, "Vroeg", "Het bestuur slaapt nog.");
    runtime.block_on(writer.sync_once(&wijk.address())).unwrap();
    assert!(has_arrived(&mut writer, subject));
    runtime.block_on(reader.sync_once(&wijk.address())).unwrap();
    let seen = reader.app_mut().joined_mut().unwrap().contributions().unwrap();
    assert_eq!(seen.iter().map(|item| item.subject).collect::<Vec<_>>(), [subject]);
    assert_eq!(server.get("/readyz", "").0, 200, "what phones send is taken");
    assert!(!server.has_said("board page"), "{:?}", server.begun);
    let asked = board.asked_for();
    board.give(asked);
    server.wait_for("board page");
    let asked = root.asked_for();
    root.give(asked);
    assert!(server.stop().0.success());
    run(&["verify", arg(&wijk.folder())]).ok();
}

#[test]
fn phones_are_greeted_before_the_store_is_open_and_answered_when_it_is() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let cards = wijk.cards("resident", 1);
    let list = KeptBack::file(wijk.folder().join("erased.log"));
    let mut server = begin(&wijk);
    let asked = list.asked_for();
    let greeted = runtime.block_on(samenspraak_server::client::ask_wijk(&wijk.address())).unwrap();
    let (status, why) = server.get("/readyz", "");
    assert!(status == 503 && why.contains("it opens its store"), "{status} {why}");
    assert_eq!(server.get("/healthz", "").0, 200);
    assert_eq!(server.get("/metrics", "").0, 200);
    assert!(!server.has_said("is served at"));
    let mut phone = wijk.join(&cards[0]);
    assert_eq!(phone.app().joined().unwrap().identity().wijk, greeted);
    let (subject, _) = write(&mut phone, "Vroeg", "De winkel is nog niet open.");
    let address = wijk.address();
    let syncing = runtime.spawn(async move {
        phone.sync_once(&address).await.unwrap();
        phone
    });
    until("the phone is greeted", || server.get("/metrics", "").1.contains("_connections 1\n").then_some(()));
    assert!(!syncing.is_finished());
    list.give(asked);
    let mut phone = runtime.block_on(syncing).unwrap();
    assert!(has_arrived(&mut phone, subject));
    server.wait_for("is served at");
    assert!(server.stop().0.success());
    run(&["verify", arg(&wijk.folder())]).ok();
}

/// Stops a server while it opens the store of a device, and starts it again.
fn stopped_while_opening(device: &str) {
    let wijk = Wijk::new();
    assert!(wijk.serve().stop().0.success());
    let kept = KeptBack::of(&wijk, device);
    let mut server = begin(&wijk);
    server.wait_for(if device == "board" { "is served at" } else { "board page" });
    let asked = kept.asked_for();
    server.ask_to_stop();
    until("it is stopping", || server.log().contains("\"stopping\"").then_some(()));
    kept.give(asked);
    let (status, _) = server.ended();
    assert!(status.success(), "{status}");
    assert!(!wijk.folder().join("serve.json").exists());
    let server = wijk.serve();
    assert!(!server.log().contains("rebuilt the index"), "{device}: a store was left open: {}", server.log());
    assert!(server.stop().0.success());
    run(&["verify", arg(&wijk.folder())]).ok();
}

#[test]
fn a_server_that_is_stopped_while_it_opens_the_board_closes_every_store() {
    stopped_while_opening("board");
}

#[test]
fn a_server_that_is_stopped_while_it_opens_the_root_closes_every_store() {
    stopped_while_opening("root");
}

#[test]
fn a_device_whose_store_can_not_be_opened_behind_a_start_ends_the_server_with_its_reason() {
    for device in ["board", "root"] {
        let wijk = Wijk::new();
        let key = wijk.folder().join(format!("keys/{device}.key"));
        let aside = wijk.path("aside.key");
        fs::rename(&key, &aside).unwrap();
        let ran = run(&["serve", arg(&wijk.folder()), "--listen", "127.0.0.1:0"]);
        assert!(ran.refused(3).contains(&format!("the key \"{device}\" that opens it is not there")), "{ran:?}");
        fs::rename(&aside, &key).unwrap();
        assert!(wijk.serve().stop().0.success());
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args(["-a", arg(from), arg(to)]).status().unwrap().success());
}

#[test]
fn what_was_erased_is_erased_again_in_an_old_copy_before_the_first_phone_is_served() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let cards = wijk.cards("resident", 2);
    let mut writer = wijk.join(&cards[0]);
    let server = wijk.serve();
    let (subject, _) = write(&mut writer, "Weg", "Dit had ik niet moeten zeggen.");
    runtime.block_on(writer.sync_once(&wijk.address())).unwrap();
    assert!(server.stop().0.success());
    let (store, old) = (wijk.folder().join("server"), wijk.path("old"));
    copy(&store, &old);
    let server = wijk.serve();
    writer.command(samenspraak_core::app::Command::Erase(subject)).unwrap();
    runtime.block_on(writer.sync_once(&wijk.address())).unwrap();
    assert!(server.stop().0.success());
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&old, &store).unwrap();
    // Nothing says that the log went back, so no epoch begins and the start is the short one.
    fs::remove_file(wijk.folder().join("heads.json")).unwrap();
    let kept = KeptBack::of(&wijk, "board");
    let mut server = begin(&wijk);
    server.wait_for("is served at");
    let mut reader = wijk.join(&cards[1]);
    runtime.block_on(reader.sync_once(&wijk.address())).unwrap();
    assert!(server.log().contains("erased again") && !server.log().contains("numbered anew"), "{}", server.log());
    assert!(reader.app_mut().joined_mut().unwrap().contributions().unwrap().is_empty());
    let asked = kept.asked_for();
    kept.give(asked);
    assert!(server.stop().0.success());
}
