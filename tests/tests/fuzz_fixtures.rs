//! Promise: what broke once stays mended, and every fuzz function takes what an honest program makes for what it is.
//!
//! Fixtures are lines of hexadecimal digits in `tests/tests/fuzz/`, a folder for each function; lines that begin with `#`
//! say what the input did. How they are found: `fuzz.rs` beside this file.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use samenspraak_tests::fuzz::{ALL, Target};

fn inputs(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|hex| (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

#[test]
fn whatever_broke_a_fuzz_function_once_does_so_no_more() {
    let (mut problems, mut count) = (Vec::new(), 0);
    for named in fs::read_dir(folder()).unwrap().map(|item| item.unwrap().path()) {
        let name = named.file_name().unwrap().to_str().unwrap();
        let target = Target::named(name).unwrap_or_else(|| panic!("{name} is no fuzz function"));
        for file in fs::read_dir(&named).unwrap().map(|item| item.unwrap().path()) {
            for input in inputs(&fs::read_to_string(&file).unwrap()) {
                count += 1;
                if let Err(problem) = target.run(&input) {
                    problems.push(format!("{}: {problem}", file.display()));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count > 0, "there are no fixtures at all in {}", folder().display());
}

#[test]
fn every_fuzz_function_accepts_what_an_honest_program_makes() {
    for target in ALL {
        let seeds = target.seeds();
        assert!(!seeds.is_empty());
        for seed in seeds {
            target.accepts(&seed).unwrap_or_else(|problem| panic!("{}: {problem}", target.name));
        }
    }
}

#[test]
fn every_fuzz_function_has_a_libfuzzer_target_and_a_test_of_its_own() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/fuzz/fuzz_targets");
    let mut files: Vec<String> =
        fs::read_dir(targets).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let mut names: Vec<&str> = ALL.iter().map(|target| target.name).collect();
    names.sort();
    assert_eq!(files, names.iter().map(|name| format!("{name}.rs")).collect::<Vec<_>>());
    let tests = include_str!("fuzz.rs");
    let called: Vec<&str> = names.iter().copied().filter(|name| tests.contains(&format!("hold(\"{name}\")"))).collect();
    assert_eq!(called, names);
}
