//! The layout of the repository: what stands at the top, how long a file may be, and that nothing names somebody's machine.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::none;
use crate::child;

/// What may stand at the top beside dot-files. A newcomer sees the whole house in one look.
const TOP_LEVEL: [&str; 11] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "core",
    "mobile-bindings",
    "publiccode.yml",
    "server",
];
/// The folder with all tests between packages; apart from the list only to keep that in one line per name.
const TESTS: &str = "tests";

/// One idea per file; a longer file holds two.
const SOURCE_LINES_MAX: usize = 600;
const SOURCE_ENDINGS: [&str; 10] = ["css", "html", "js", "kt", "mjs", "py", "rs", "sh", "swift", "ts"];

/// Folders under which people have their homes. A path into one of them works on one machine only.
const HOMES: [&str; 2] = ["home", "Users"];
/// Folders that any machine has; naming them says nothing about the one this was written on.
const COMMON: [&str; 14] =
    ["app", "bin", "build", "dev", "etc", "home", "lib", "mnt", "opt", "proc", "src", "tmp", "usr", "var"];

/// Checks all files that are in Git or would be added to it.
pub fn check(root: &Path) -> Result<(), String> {
    let mut list = Command::new("git");
    list.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = child::read(&mut list)?;
    let private = private_folders(root, env::var("HOME").ok().as_deref());
    let mut problems = Vec::new();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        problems.extend(misplaced(name));
        // A file may be deleted and not yet committed; a file that isn't text holds no words.
        if let Ok(text) = fs::read_to_string(root.join(name)) {
            problems.extend(too_long(name, &text));
            problems.extend(names_a_machine(name, &text, &private));
        }
    }
    problems.sort();
    problems.dedup();
    none(&problems)
}

fn misplaced(name: &str) -> Option<String> {
    let top = name.split('/').next().unwrap_or(name);
    let allowed = top.starts_with('.') || top == TESTS || TOP_LEVEL.contains(&top);
    (!allowed).then(|| format!("`{top}` may not stand at the top of the repository; see the map in README.md"))
}

fn too_long(name: &str, text: &str) -> Option<String> {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let lines = text.lines().count();
    (SOURCE_ENDINGS.contains(&ending) && lines > SOURCE_LINES_MAX).then(|| {
        format!("{name} has {lines} lines; at most {SOURCE_LINES_MAX}: give its second idea a file of its own")
    })
}

fn names_a_machine(name: &str, text: &str, private: &[String]) -> Vec<String> {
    text.lines()
        .zip(1..)
        .filter_map(|(line, number): (&str, usize)| {
            let found = private.iter().find(|folder| is_named(line, folder)).cloned().or_else(|| home(line))?;
            Some(format!("{name}:{number} names `{found}`, a folder of somebody's machine"))
        })
        .collect()
}

/// The folders of this machine that lead to the repository or are its user's, each ending in `/`.
fn private_folders(root: &Path, home: Option<&str>) -> Vec<String> {
    let superuser = Path::new("/").join("root");
    let candidates = root.ancestors().chain(home.map(Path::new)).chain([superuser.as_path()]);
    let mut folders: Vec<String> = candidates
        .filter_map(|folder| folder.to_str())
        .filter(|folder| folder.starts_with('/') && !COMMON.contains(&folder.trim_matches('/')) && folder.len() > 1)
        .map(|folder| format!("{folder}/"))
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

/// Whether the line has the folder as an absolute path, not as the end of another path or of an address.
fn is_named(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(within_a_path))
}

/// A path such as that of somebody's home folder, wherever it is.
fn home(line: &str) -> Option<String> {
    HOMES.iter().find_map(|homes| {
        let start = format!("/{homes}/");
        line.match_indices(&start).find_map(|(at, _)| {
            let user: String = line[at + start.len()..].chars().take_while(|&letter| within_a_path(letter)).collect();
            (!user.is_empty() && !line[..at].ends_with(within_a_path)).then(|| format!("{start}{user}"))
        })
    })
}

fn within_a_path(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_' | '~' | '$' | '}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agreed_names_stand_at_the_top() {
        for good in ["Cargo.toml", "core/src/lib.rs", "tests/xtask/Cargo.toml", ".ci/run", "LICENSE"] {
            assert_eq!(misplaced(good), None);
        }
        for bad in ["docs/plan.md", "deny.toml", "Makefile", "server.rs"] {
            assert!(misplaced(bad).is_some(), "{bad} was let in");
        }
    }

    #[test]
    fn a_source_of_601_lines_is_too_long() {
        let lines = "x\n".repeat(SOURCE_LINES_MAX);
        assert_eq!(too_long("core/src/lib.rs", &lines), None);
        assert!(too_long("core/src/lib.rs", &(lines.clone() + "x\n")).is_some());
        assert_eq!(too_long("Cargo.lock", &(lines + "x\n")), None);
    }

    #[test]
    fn a_path_into_a_home_is_found() {
        let sample = |folder: &str| format!("first\nsee {folder}amina/notes\n");
        for homes in HOMES {
            let problems = names_a_machine("a.md", &sample(&format!("/{homes}/")), &[]);
            assert_eq!(problems.len(), 1, "/{homes}/ was not found");
            assert!(problems[0].starts_with("a.md:2 "), "{problems:?}");
        }
    }

    #[test]
    fn the_place_of_this_checkout_is_found_and_common_places_are_not() {
        let private = private_folders(Path::new("/attic/samenspraak"), Some("/tmp"));
        assert!(private.contains(&"/attic/".to_owned()) && private.contains(&"/attic/samenspraak/".to_owned()));
        assert_eq!(names_a_machine("a.md", "in /attic/samenspraak/core", &private).len(), 1);
        for fine in
            ["/tmp/x", "https://example.org/attic/x", "../attic/x", "the /atticus/", "${HOME}/attic/x", "/usr/bin/env"]
        {
            assert!(names_a_machine("a.md", fine, &private).is_empty(), "{fine} was refused");
        }
    }
}
