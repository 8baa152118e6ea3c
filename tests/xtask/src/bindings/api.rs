//! Snapshots of the surfaces: what an app maker can name, one line each, as the language itself shows it.

use std::fs;
use std::path::Path;

use super::{Built, swift};

/// Where they stand.
const FOLDER: &str = "mobile-bindings/api";

/// A surface with fewer declarations was not read.
const LINES_MIN: usize = 100;

/// What was written for each language, and its snapshot.
const SURFACES: [(&str, &str); 4] = [
    ("written/python/samenspraak.py", "python.txt"),
    ("written/kotlin/uniffi/samenspraak/samenspraak.kt", "kotlin.txt"),
    ("written/swift/samenspraak.swift", SWIFT),
    (super::browser::SURFACE, "typescript.txt"),
];
/// The one whose declarations aren't one a line: it is read by what checks Swift.
const SWIFT: &str = "swift.txt";

/// Compares the snapshots with what was written.
pub fn check(root: &Path, built: &Built) -> Result<(), String> {
    for (written, snapshot) in SURFACES {
        let now = now(root, built, written, snapshot)?;
        let known = read(&root.join(FOLDER).join(snapshot)).unwrap_or_default();
        if let Some(line) = first_difference(&known, &now) {
            return Err(format!(
                "the surface in {FOLDER}/{snapshot} differs at `{line}`; when that is meant: cargo xtask bindings --write-api"
            ));
        }
    }
    Ok(())
}

/// Writes the snapshots anew.
pub fn write(root: &Path, built: &Built) -> Result<(), String> {
    for (written, snapshot) in SURFACES {
        let now = now(root, built, written, snapshot)?;
        let file = root.join(FOLDER).join(snapshot);
        fs::create_dir_all(root.join(FOLDER)).map_err(|problem| problem.to_string())?;
        fs::write(&file, now).map_err(|problem| format!("cannot write {}: {problem}", file.display()))?;
    }
    Ok(())
}

fn now(root: &Path, built: &Built, written: &str, snapshot: &str) -> Result<String, String> {
    let file = built.folder.join(written);
    let now = if snapshot == SWIFT { swift::surface(root, built, &file)? } else { surface(&read(&file)?, snapshot) };
    // An empty surface would be equal to an empty snapshot for ever.
    if now.lines().count() < LINES_MIN { Err(format!("{snapshot} can't be: `{now}`")) } else { Ok(now) }
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|problem| format!("cannot read {}: {problem}", file.display()))
}

/// The declarations in a written file that an app can name: those in a top-level declaration that isn't UniFFI's own.
fn surface(text: &str, snapshot: &str) -> String {
    if snapshot == "typescript.txt" {
        return text.to_owned();
    }
    let words = if snapshot == "python.txt" { PYTHON } else { KOTLIN };
    let (mut is_ours, mut lines) = (false, String::new());
    for line in text.lines() {
        let trimmed = line.trim_start().trim_start_matches("public ");
        let (depth, declares) =
            (line.len() - line.trim_start().len(), words.iter().any(|word| trimmed.starts_with(word)));
        if depth == 0 && declares {
            is_ours = !INNER.iter().any(|word| line.contains(word));
        }
        let is_ours = is_ours && !INNER_MEMBERS.iter().any(|word| trimmed.contains(word));
        if declares && is_ours && depth <= 8 {
            // Indented as it was, so that members stand under what they belong to.
            lines.push_str(line.trim_end().trim_end_matches(['{', ':', '(', ',']).trim_end());
            lines.push('\n');
        }
    }
    lines
}

/// How declarations begin.
const PYTHON: &[&str] = &["class ", "def ", "async def "];
const KOTLIN: &[&str] = &[
    "fun ",
    "suspend fun ",
    "interface ",
    "data class ",
    "sealed class ",
    "enum class ",
    "open class ",
    "class ",
    "object ",
    "data object ",
    "var `",
    "val `",
];
/// What top-level declarations of UniFFI's own are called.
const INNER: &[&str] = &[
    "Uniffi",
    "uniffi",
    "_Uniffi",
    "Ffi",
    "RustBuffer",
    "Disposable",
    "Cleanable",
    "Impl",
    "ForeignBytes",
    "NoHandle",
    "InternalError",
    "InternalException",
    "Protocol(typing",
    "CallStatus",
    "JavaLang",
    "NoPointer",
];
/// Members that come with every declaration.
const INNER_MEMBERS: &[&str] = &[
    "def __str__",
    "def __eq__",
    "def __repr__",
    "def __del__",
    "def _uniffi",
    "uniffi",
    "def is_",
    "override fun",
    "ErrorHandler",
    "fun destroy",
    "def __hash__",
    "def __contains__",
    "def __getitem__",
    "fun callWithHandle",
    "object None",
    "fun lift(",
];

/// The first line in which two texts differ.
fn first_difference(known: &str, now: &str) -> Option<String> {
    if known == now {
        return None;
    }
    let (mut known, mut now) = (known.lines(), now.lines());
    loop {
        match (known.next(), now.next()) {
            (None, None) => return Some("line ends".into()),
            (was, is) if was != is => return is.or(was).map(|line| line.trim().to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_declaration_is_seen_and_one_of_the_inside_is_not() {
        let before = "class Wijk:\n    def join(self, link: str) -> None:\n        x = 1\nclass _UniffiLift:\n    def lift(self):\n";
        let inside = before.replace("x = 1", "x = 2");
        let changed = before.replace("link: str", "link: bytes");
        let of = |text: &str| surface(text, "python.txt");
        assert!(of(before).contains("join(self, link: str)"));
        assert_eq!(first_difference(&of(before), &of(&inside)), None);
        assert!(first_difference(&of(before), &of(&changed)).is_some_and(|line| line.contains("bytes")));
        assert!(!of(before).contains("lift"));
    }
}
