//! What people get wrong: one clear line that says what to do, the right exit code, and nothing damaged.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::{Wijk, arg, program, run};

const ARGUMENT: i32 = 2;
const DATA: i32 = 3;
const NETWORK: i32 = 4;

/// All files of a folder but the index, whose loss costs nothing, and the empty lock.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with("index-") {
            found.extend(contents(&path));
        } else if path.is_file() && name != "lock" {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Checks one line: what it must name and what it must tell to do.
#[track_caller]
pub fn says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is missing in: {line}");
    }
    println!("{line}");
}

#[test]
fn arguments_that_are_wrong_are_named_and_nothing_is_made() {
    let wijk = Wijk::new();
    let folder = wijk.path("nieuw");
    let new = |code: &str, buurt: &str| {
        let names = ["--name", "A", "--municipality", "B", "--year", "2025", "--code", code, "--buurt", buurt];
        run(&[&["wijk", "new", arg(&folder)], names.as_slice()].concat())
    };
    says(new("0363", "BU99990101=Hoek").refused(ARGUMENT), &["\"0363\"", "WK and 6 characters"]);
    says(new("WK999901", "BU9999=Hoek").refused(ARGUMENT), &["\"BU9999\"", "BU and 8"]);
    says(new("WK999901", "Hoek").refused(ARGUMENT), &["\"Hoek\"", "write its CBS code, = and its name"]);
    assert!(!folder.exists());

    let address = wijk.address();
    let names = ["--name", "A", "--municipality", "B", "--year", "2025", "--code", "WK999901", "--address", "wijk.nl"];
    let before = contents(&wijk.folder());
    for place in [&folder, &wijk.folder()] {
        let ran = run(&[&["wijk", "new", arg(place)], names.as_slice()].concat());
        says(ran.refused(ARGUMENT), &["wijk.nl", "begins with https:// or http://"]);
    }
    assert!(!folder.exists());
    assert_eq!(contents(&wijk.folder()), before, "a wijk that is there stays whole");

    for (card, parts) in [
        ("ABCD-EFGH", ["16 letters", "this has 8"]),
        ("ABCD-EFGH-JKMN-PQR!", ["'!'", "does not occur on a card"]),
        ("ABCD-EFGH-JKMN-PQRS-TVWX", ["16 letters", "this has 20"]),
    ] {
        let ran = wijk.phone("fout", &["join", card, "--server", &address]);
        says(ran.refused(ARGUMENT), &parts);
    }
    says(wijk.phone("fout", &["join", "http://a/kaart"]).refused(ARGUMENT), &["no link of a card", "16 letters"]);
    // Letters need the server, which isn't there.
    let ran = wijk.phone("fout", &["join", "ABCD-EFGH-JKMN-PQRS", "--server", &address]);
    says(ran.refused(NETWORK), &["no server answers", &address, "try again later"]);
    assert!(!wijk.path("fout").exists(), "a phone that never joined left a folder");

    wijk.phone("phone", &["join", &wijk.cards("resident", 1)[0]]).ok();
    let before = contents(&wijk.path("phone"));
    let long = "a".repeat(10_001);
    let ran = wijk.phone("phone", &["write", "--title", "T", "--text", &long]);
    says(ran.refused(ARGUMENT), &["10001 characters", "1 to 10000"]);
    says(wijk.phone("phone", &["show", "abc"]).refused(ARGUMENT), &["no contribution abc", "`list` shows"]);
    let ran = wijk.phone("phone", &["join", &wijk.cards("resident", 1)[0]]);
    says(ran.refused(ARGUMENT), &["belongs to wijk", "another data folder"]);
    let kept: BTreeMap<_, _> = contents(&wijk.path("phone")).into_iter().filter(|(path, _)| is_journal(path)).collect();
    assert!(kept.iter().all(|(path, bytes)| before[path] == *bytes), "nothing was written");
    run(&["verify", arg(&wijk.path("phone"))]).ok();
}

fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "seg")
}

#[test]
fn folders_that_are_not_there_or_not_empty_are_named_and_left_alone() {
    let wijk = Wijk::new();
    let nowhere = wijk.path("nergens");
    for args in [&["serve"][..], &["invite"], &["verify"]] {
        let ran = run(&[args, &[arg(&nowhere)]].concat());
        says(
            ran.refused(DATA),
            &[arg(&nowhere), "here;", if args == ["verify"] { "name the folder" } else { "wijk new" }],
        );
    }
    says(wijk.phone("nergens", &["list"]).refused(DATA), &[arg(&nowhere), "no phone here", "join first"]);
    assert!(!nowhere.exists());

    let before = contents(&wijk.folder());
    says(wijk.found(&wijk.folder()).refused(ARGUMENT), &[arg(&wijk.folder()), "not empty", "choose a new folder"]);
    let file = wijk.path("bestand");
    fs::write(&file, "iets").unwrap();
    says(wijk.found(&file).refused(DATA), &[arg(&file), "see that this folder can be"]);
    assert_eq!(fs::read(&file).unwrap(), b"iets");
    assert_eq!(contents(&wijk.folder()), before);
    run(&["verify", arg(&wijk.folder())]).ok();
}

#[test]
fn a_wrong_configuration_starts_nothing_and_everything_wrong_in_it_is_named() {
    let wijk = Wijk::new();
    let before = contents(&wijk.folder());
    let file = wijk.path("samenspraak.toml");
    fs::write(&file, "lisen = \"127.0.0.1:0\"\n[limits]\nconnections = \"many\"\n").unwrap();
    let folder = wijk.folder();
    let ran = run(&["serve", arg(&folder), "--config", arg(&file), "--listen", "here", "--set", "tls.key=k.pem"]);
    says(ran.refused(ARGUMENT), &["lisen in", arg(&file), "is listen meant?", "nothing was started"]);
    fs::write(&file, "[limits]\nconnections = \"many\"\n").unwrap();
    let ran = run(&["serve", arg(&folder), "--config", arg(&file), "--listen", "here", "--set", "tls.key=k.pem"]);
    says(
        ran.refused(ARGUMENT),
        &["listen from --listen is \"here\"", "limits.connections from", arg(&file), "tls.key from --set"],
    );
    let nowhere = wijk.path("nergens.toml");
    says(run(&["serve", arg(&folder), "--config", arg(&nowhere)]).refused(ARGUMENT), &[arg(&nowhere)]);
    assert_eq!(contents(&folder), before, "nothing was opened");
}

#[test]
fn a_port_in_use_and_a_folder_in_use_are_named_and_the_one_that_runs_goes_on() {
    let wijk = Wijk::new();
    let before = contents(&wijk.folder());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(&["serve", arg(&wijk.folder()), "--listen", &address]);
    says(ran.refused(NETWORK), &[&address, "in use", "choose another with --listen"]);
    assert_eq!(contents(&wijk.folder()), before, "nothing was opened");

    let server = wijk.serve();
    let ran = run(&["serve", arg(&wijk.folder()), "--listen", "127.0.0.1:0"]);
    says(ran.refused(DATA), &[arg(&wijk.folder()), "in use by another process", "stop the other program first"]);
    let ran = run(&["verify", arg(&wijk.folder())]);
    says(ran.refused(DATA), &["in use by another process", "stop the other program first"]);
    assert_eq!(server.get("/healthz", "").0, 200);
    wijk.phone("phone", &["join", &wijk.cards("resident", 1)[0]]).ok();
    wijk.phone("phone", &["write", "--title", "T", "--text", "Tekst"]).ok();
    assert!(wijk.phone("phone", &["sync"]).ok().contains("aangekomen op"));
    assert!(server.stop().0.success());
    run(&["verify", arg(&wijk.folder())]).ok();
}

#[test]
fn a_card_of_another_wijk_and_a_card_that_nobody_made_keep_the_words_and_say_what_to_do() {
    let (ours, theirs) = (Wijk::new(), Wijk::new());
    let server = ours.serve();
    let card = theirs.cards("resident", 1)[0].replace(&theirs.address(), &ours.address());
    ours.phone("phone", &["join", &card]).ok();
    ours.phone("phone", &["write", "--title", "Lamp", "--text", "Stuk"]).ok();
    let ran = ours.phone("phone", &["sync"]);
    says(ran.refused(NETWORK), &["another wijk answers", "safe here", "address on this wijk's card"]);
    assert!(ours.phone("phone", &["list"]).ok().contains("Lamp  [bewaard op dit toestel]"));

    // Right wijk, letters that no card has.
    let real = ours.cards("resident", 1)[0].clone();
    let invented = format!("{}.ABCD-EFGH-JKMN-PQRS", real.rsplit_once('.').unwrap().0);
    ours.phone("tweede", &["join", &invented]).ok();
    ours.phone("tweede", &["write", "--title", "Bank", "--text", "Kapot"]).ok();
    let ran = ours.phone("tweede", &["sync"]);
    says(ran.refused(NETWORK), &["card isn't known in this wijk", "ask for a new card"]);
    assert!(ours.phone("tweede", &["list"]).ok().contains("Bank  [bewaard op dit toestel]"));

    // A card that another phone used.
    for name in ["derde", "vierde"] {
        ours.phone(name, &["join", &real]).ok();
        ours.phone(name, &["write", "--title", "Stoep", "--text", "Scheef"]).ok();
    }
    ours.phone("derde", &["sync"]).ok();
    says(ours.phone("vierde", &["sync"]).refused(NETWORK), &["used by another device", "ask for a new card"]);
    assert!(ours.phone("vierde", &["list"]).ok().contains("Stoep  [bewaard op dit toestel]"));
    assert!(server.stop().0.success());
    run(&["verify", arg(&ours.folder())]).ok();
}

#[test]
fn a_command_whose_answer_nobody_reads_ends_well_and_one_whose_answer_fits_nowhere_says_so() {
    let wijk = Wijk::new();
    let folder = wijk.folder();
    let invite = ["invite", arg(&folder), "--count", "2", "--plain"];
    let with_output = |output: Stdio| {
        let ran = program(&invite).stdout(output).stderr(Stdio::piped()).output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(with_output(writer.into()), (Some(0), String::new()));

    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, said) = with_output(full.into());
    assert_eq!(code, Some(DATA), "{said}");
    says(&said, &["not all of the answer could be written", "No space left", "is done"]);

    // The cards were made all the same, and the folder is whole.
    assert!(run(&["verify", arg(&folder)]).ok().contains("everything fits"));
}
