//! `samenspraak size`: its sums are those of the disk, and what was erased is seen as such.

use std::fs;
use std::path::Path;

use samenspraak_core::app::Command;
use serde_json::Value;

use crate::support::{Seeded, Wijk, arg, long_text, run, runtime, write};

fn bytes_of(path: &Path) -> u64 {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().map(|entry| bytes_of(&entry.unwrap().path())).sum();
    }
    fs::metadata(path).unwrap().len()
}

fn size(wijk: &Wijk) -> Value {
    serde_json::from_str(&run(&["size", arg(&wijk.folder()), "--json"]).ok()).unwrap()
}

#[test]
fn sizes_add_up_and_show_what_grew_and_what_was_erased() {
    let (wijk, runtime, mut random) = (Wijk::new(), runtime(), Seeded(11));
    let empty = size(&wijk);
    assert_eq!(empty["spaces"]["open"], Value::Null);
    let server = wijk.serve();
    let mut phone = wijk.join(&wijk.cards("resident", 1)[0]);
    let written: Vec<_> = (0..10).map(|_| write(&mut phone, "Lang", &long_text(&mut random)).0).collect();
    runtime.block_on(phone.sync_once(&wijk.address())).unwrap();
    phone.command(Command::Erase(written[0])).unwrap();
    runtime.block_on(phone.sync_once(&wijk.address())).unwrap();
    let busy = run(&["size", arg(&wijk.folder())]);
    assert!(busy.refused(3).contains("in use by another process"), "{busy:?}");
    assert!(server.stop().0.success());

    let found = size(&wijk);
    let open = &found["spaces"]["open"];
    assert_eq!((&open["entries"], &open["erased"]), (&Value::from(11), &Value::from(1)), "{found}");
    assert!(open["body_bytes"].as_u64().unwrap() > 9 * 5_000, "{found}");
    let months = open["months"].as_object().unwrap();
    let rows: u64 = months.values().map(|month| month["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, 11, "{found}");
    assert!(!months.contains_key("unknown"), "{found}");
    let files: u64 = found["files"].as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(files, bytes_of(&wijk.folder()), "{found}");
    assert!(found["files"]["journal"].as_u64() >= found["live_bytes"].as_u64(), "{found}");
    let tables: u64 = found["tables"].as_object().unwrap().values().map(|table| table["bytes"].as_u64().unwrap()).sum();
    assert_eq!(Value::from(tables), found["live_bytes"]);
    assert!(found["live_bytes"].as_u64() > empty["live_bytes"].as_u64());
    assert_eq!(found["retention_frees"], 0, "words are never trimmed");
    let identity = phone.app().joined().unwrap().identity();
    let report = run(&["size", arg(&wijk.folder())]).ok();
    assert!(report.contains("open: 11 entries (9 % erased)"), "{report}");
    for id in [identity.person.to_string(), identity.key().id().to_string()] {
        assert!(!report.contains(&id[..8]) && !found.to_string().contains(&id[..8]), "{id}");
    }
}
