//! The core touches nothing: no file, socket, clock, thread or randomness of its own.
//!
//! Only so can a whole network of phones be simulated from a seed, and the same code run in a browser. The disk store,
//! behind the feature `disk`, is the one exception and stands in `core/src/store/disk.rs` and the folder beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::none;
use super::paths::{self, Named};
use crate::{child, place};

/// Packages that must not be in the tree of the core without its disk store, with the reason.
const PACKAGES: [(&str, &str); 17] = [
    ("async-std", "a runtime"),
    ("axum", "a server"),
    ("chrono", "a clock"),
    ("crc32c", "it belongs to the disk store"),
    ("hyper", "HTTP"),
    ("mio", "sockets"),
    ("parking_lot", "threads"),
    ("rayon", "threads"),
    ("reqwest", "HTTP"),
    ("rusqlite", "files"),
    ("sled", "it belongs to the disk store"),
    ("smol", "a runtime"),
    ("socket2", "sockets"),
    ("time", "a clock"),
    ("tokio", "a runtime"),
    ("uniffi", "bindings have a package of their own"),
    ("web-time", "a clock"),
];

/// Paths that the core's own code must not name, with what to do instead. A path is meant with all that is under it.
const PATHS: [(&str, &str); 18] = [
    ("std::env", "the shell reads the environment"),
    ("std::fs", "only the disk store touches files"),
    ("std::net", "the shell has the sockets"),
    ("std::os", "the core runs on every system"),
    ("std::process", "the shell runs processes"),
    ("std::io::stdin", "the shell reads and prints"),
    ("std::io::stdout", "the shell reads and prints"),
    ("std::io::stderr", "the shell reads and prints"),
    ("std::thread::Builder", "the core starts no threads"),
    ("std::thread::scope", "the core starts no threads"),
    ("std::thread::sleep", "the core does not wait"),
    ("std::thread::spawn", "the core starts no threads"),
    ("std::time::Instant", "the time is given with the event"),
    ("std::time::SystemTime", "the time is given with the event"),
    ("std::time::UNIX_EPOCH", "the time is given with the event"),
    ("getrandom", "entropy is given with the command"),
    ("rand", "entropy is given with the command"),
    ("tokio", "the shell has the runtime"),
];
/// Modules that may not be brought in whole, because their parts could then be used under a short name.
const WHOLE: [&str; 3] = ["std::io", "std::thread", "std::time"];
/// Names that draw randomness or print, wherever they come from.
const WORDS: [&str; 10] = [
    "OsRng",
    "RandomState",
    "ThreadRng",
    "dbg!",
    "eprint!",
    "eprintln!",
    "from_entropy",
    "from_os_rng",
    "print!",
    "println!",
];

/// Files of the disk store, as their paths begin.
const DISK_STORE: &str = "store/disk";

/// Checks the tree of packages that the core needs without its disk store.
pub fn check_dependencies(root: &Path) -> Result<(), String> {
    let mut tree = place::cargo(root);
    tree.args(["tree", "--package", "samenspraak-core", "--edges", "normal", "--no-default-features"]);
    tree.args(["--target", "all", "--prefix", "none", "--locked"]);
    none(&forbidden_packages(&child::read(&mut tree)?))
}

/// `listed` has a package per line, its name first.
fn forbidden_packages(listed: &str) -> Vec<String> {
    let present: BTreeSet<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let found = PACKAGES.iter().filter(|(name, _)| present.contains(name));
    found.map(|(name, reason)| format!("the core without `disk` depends on `{name}` ({reason})")).collect()
}

/// Checks all sources of the core.
pub fn check_sources(root: &Path) -> Result<(), String> {
    let top = root.join("core/src");
    let mut sources = Vec::new();
    collect(&top, &mut sources)?;
    let mut problems = Vec::new();
    let mut left_out = BTreeSet::new();
    for file in &sources {
        let source =
            fs::read_to_string(file).map_err(|problem| format!("cannot read {}: {problem}", file.display()))?;
        let name = file.strip_prefix(&top).unwrap_or(file).to_string_lossy().into_owned();
        let verdict = forbidden_names(&source).map_err(|problem| format!("core/src/{name}: {problem}"))?;
        left_out.extend(verdict.modules_left_out.iter().map(|module| submodule(&name, module)));
        problems.push((name, verdict.problems));
    }
    let counted = |name: &str| {
        !name.starts_with(DISK_STORE)
            && !left_out
                .iter()
                .any(|module: &String| name == format!("{module}.rs") || name.starts_with(&format!("{module}/")))
    };
    let counted = problems.iter().filter(|(name, _)| counted(name));
    let lines: Vec<String> = counted
        .flat_map(|(name, found)| found.iter().map(move |problem| format!("core/src/{name}:{problem}")))
        .collect();
    none(&lines)
}

/// The path without ending of a module that is declared in `file`: `sync.rs` and `outbox` make `sync/outbox`.
fn submodule(file: &str, module: &str) -> String {
    match file.strip_suffix(".rs") {
        Some("lib" | "main") | None => module.to_owned(),
        Some(folder) => format!("{folder}/{module}"),
    }
}

fn collect(folder: &Path, sources: &mut Vec<PathBuf>) -> Result<(), String> {
    let cannot = |problem: std::io::Error| format!("cannot read {}: {problem}", folder.display());
    for item in fs::read_dir(folder).map_err(cannot)? {
        let path = item.map_err(cannot)?.path();
        if path.is_dir() {
            collect(&path, sources)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(())
}

#[derive(Debug)]
struct Verdict {
    problems: Vec<String>,
    modules_left_out: Vec<String>,
}

fn forbidden_names(source: &str) -> Result<Verdict, String> {
    let names = paths::names(source, &is_for_tests_or_disk)?;
    let problems =
        names.paths.iter().filter_map(|named| Some(format!("{} {}", named.line, forbidden(named)?))).collect();
    Ok(Verdict { problems, modules_left_out: names.modules_left_out })
}

/// Of a `cfg` predicate: whether it holds in tests or with the disk store only.
fn is_for_tests_or_disk(predicate: &str) -> bool {
    let alone = |part: &str| matches!(part, "test" | "feature=\"testing\"" | "feature=\"disk\"");
    let inner = |word: &str| predicate.strip_prefix(word)?.strip_prefix('(')?.strip_suffix(')').map(str::to_owned);
    alone(predicate)
        || inner("any").is_some_and(|parts| parts.trim_end_matches(',').split(',').all(alone))
        || inner("all").is_some_and(|parts| parts.split(',').any(alone))
}

fn forbidden(named: &Named) -> Option<String> {
    let path = named.path.as_str();
    // A name alone, as in `let time = 4`, is somebody's variable.
    let leads_out = named.is_use || path.contains("::");
    let under =
        |forbidden: &str| path.strip_prefix(forbidden).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    if let Some((name, advice)) = PATHS.iter().find(|(name, _)| leads_out && under(name)) {
        return Some(format!("names `{name}`: {advice}"));
    }
    if let Some(module) = WHOLE.iter().find(|module| path == **module || path == format!("{module}::*")) {
        return Some(format!("brings in all of `{module}`; name what is used, as `{module}::…`"));
    }
    let word = path.split("::").find(|part| WORDS.contains(part))?;
    Some(format!("names `{word}`: the core draws no randomness and prints nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(source: &str) -> Vec<String> {
        forbidden_names(source).unwrap().problems
    }

    #[test]
    fn clocks_files_sockets_threads_and_randomness_are_found() {
        for bad in [
            "use std::time::SystemTime;",
            "use std::time::{Duration, Instant};",
            "fn f() { let t = std::time::Instant::now(); }",
            "use std::{collections::BTreeMap, fs};",
            "fn f() { ::std::fs::read(\"x\"); }",
            "use std::net::TcpStream;",
            "use std::thread; fn f() { thread::spawn(|| ()); }",
            "fn f() { std::thread::spawn(|| ()); }",
            "use std::time; fn f() { time::Instant::now(); }",
            "use std::io; fn f() { io::stdout(); }",
            "fn f() { getrandom::fill(&mut [0; 8]); }",
            "use rand::Rng;",
            "use rand as dice;",
            "use rand_core::OsRng;",
            "fn f() { println!(\"x\"); }",
            "#[cfg(not(test))] use std::fs;",
            "#[cfg(any(test, unix))] use std::fs;",
        ] {
            assert_eq!(problems(bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn what_the_core_needs_is_let_through() {
        for good in [
            "use std::time::Duration;",
            "use std::collections::{BTreeMap, BTreeSet};",
            "enum E { Io { source: std::io::Error } }",
            "use rand_core::{RngCore, SeedableRng}; use rand_chacha::ChaCha20Rng;",
            "fn f() { std::panic::catch_unwind(|| ()); }",
            "fn read(fs: &str, time: u64) { let rand = 4; print != rand; }",
            "#[cfg(test)] mod tests { use std::fs; fn f() { println!(\"x\"); } }",
            "#[cfg(any(test, feature = \"testing\"))] fn f() { std::thread::spawn(|| ()); }",
            "#[cfg(feature = \"disk\")] fn open() { std::fs::read(\"x\"); }",
            "#[cfg(all(test, unix))] use std::fs;",
        ] {
            assert_eq!(problems(good), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn a_problem_names_its_line() {
        assert!(problems("fn f() {\n    std::fs::read(\"x\");\n}")[0].starts_with("2 names `std::fs`"));
    }

    #[test]
    fn runtimes_and_stores_are_found_in_the_tree() {
        let good = "samenspraak-core v0.1.0\nautomerge v0.12.0\ntinyvec v1.13.3\ngetrandom v0.4.3\nsmol_str v0.3.7\ntracing v0.1.44\n";
        assert_eq!(forbidden_packages(good), Vec::<String>::new());
        for bad in ["tokio v1.48.0", "sled v0.34.7", "uniffi v0.30.0", "time v0.3.44 (*)"] {
            assert_eq!(forbidden_packages(&format!("{good}{bad}\n")).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_whole_folder_is_checked_except_the_disk_store_and_modules_of_tests() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join("core/src").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("lib.rs", "pub mod store; pub mod sync;");
        write("store.rs", "#[cfg(feature = \"disk\")] mod disk;");
        write("store/disk/journal.rs", "use std::fs;");
        write("sync.rs", "#[cfg(test)] mod tests;");
        write("sync/tests.rs", "use std::fs;");
        assert_eq!(check_sources(folder.path()), Ok(()));
        write("sync/outbox.rs", "\nuse std::fs;");
        let problem = check_sources(folder.path()).unwrap_err();
        assert!(problem.contains("core/src/sync/outbox.rs:2 names `std::fs`"), "{problem}");
    }
}
