//! Golden files: lines of a name and bytes as hexadecimal digits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use data_encoding::HEXLOWER;

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect()
}

fn read(name: &str) -> BTreeMap<String, Vec<u8>> {
    let text = std::fs::read_to_string(path(name)).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| {
        let (name, hex) = line.split_once(": ").expect("a name, a colon and digits");
        (name.to_owned(), HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal digits"))
    });
    pairs.collect()
}

/// What stands in the file. With `SAMENSPRAAK_BLESS=1` adds names that are missing.
pub fn known(file: &str, values: &[(&str, Vec<u8>)]) -> BTreeMap<String, Vec<u8>> {
    let mut known = read(file);
    let missing: Vec<_> = values.iter().filter(|(name, _)| !known.contains_key(*name)).collect();
    if !missing.is_empty() && std::env::var("SAMENSPRAAK_BLESS").is_ok_and(|value| value == "1") {
        let mut text = std::fs::read_to_string(path(file)).unwrap_or_default();
        if text.is_empty() {
            text.push_str("# Known bytes. Never change or remove a line: see core/tests/golden.rs.\n");
        }
        for (name, bytes) in &missing {
            text.push_str(&format!("{name}: {}\n", HEXLOWER.encode(bytes)));
        }
        std::fs::write(path(file), text).unwrap();
        known = read(file);
    }
    known
}

/// Compares with the file, and gives back what stands there.
pub fn check(file: &str, values: &[(&str, Vec<u8>)]) -> BTreeMap<String, Vec<u8>> {
    let known = known(file, values);
    for (name, bytes) in values {
        let golden = known.get(*name).unwrap_or_else(|| panic!("{file} has no {name}; SAMENSPRAAK_BLESS=1 adds it"));
        assert!(bytes == golden, "{file}: {name} is {}, not {}", HEXLOWER.encode(bytes), HEXLOWER.encode(golden));
    }
    for name in known.keys() {
        assert!(values.iter().any(|(made, _)| made == name), "{file}: nobody makes {name} any more");
    }
    known
}
