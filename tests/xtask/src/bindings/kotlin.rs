//! The Kotlin library: compiled with the compiler as npm has it, and tested on the JVM with JNA.
//!
//! The Gradle files beside it are for app makers; no Gradle runs here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Built, must};
use crate::report::{Outcome, Tally};
use crate::{child, place};

/// Ours, in the repository.
const FOLDER: &str = "mobile-bindings/kotlin";
/// What is compiled of it, in one go: starting the compiler costs more than any of them.
const SOURCES: [&str; 5] =
    ["src/main/kotlin", "src/jvm/kotlin", "src/test/kotlin", "src/bench/kotlin", "terminal/src/main/kotlin"];
/// The whole compiler with coroutines, as npm has it.
const COMPILER: &str = "kotlin-compiler@2.4.20";
/// The page for app makers, whose code is compiled and run, and how many blocks of it there are at least.
const DOCUMENT: &str = "mobile-bindings/docs/kotlin.md";
const DOCUMENT_BLOCKS_MIN: usize = 7;
/// The terminal phone.
pub const PHONE: &str = "samenspraak.terminal.MainKt";
/// Where Debian puts JNA, and its native half.
const JNA: &str = "/usr/share/java/jna.jar";
const JNA_NATIVE: &str = "/usr/lib/x86_64-linux-gnu/jni";
/// Memory of the compiler: it takes some 600 MiB.
const COMPILER_MEMORY: &str = "-Xmx1g";

/// The library, its tests and the terminal phone, compiled; and how a JVM is told to run them.
pub struct Compiled {
    /// Everything that Java is told before the name of a class.
    words: Vec<String>,
}

impl Compiled {
    /// A JVM that runs a class of ours.
    fn run(&self, class: &str) -> Command {
        let mut java = Command::new("java");
        java.args(&self.words).arg(class);
        java
    }

    /// How a class of ours is run, as a list in JSON; its arguments come behind it.
    pub fn command(&self, class: &str) -> String {
        let command = self.run(class);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        serde_json::Value::from_iter(words.map(|word| word.to_string_lossy().into_owned())).to_string()
    }

    /// Runs the tests of the library.
    pub fn test(&self, root: &Path) -> Outcome {
        let mut tests = self.run("samenspraak.TestsKt");
        tests.env("SAMENSPRAAK_PROGRAM", place::program(root, "debug"));
        match child::show_and_keep(&mut tests) {
            Ok(finished) => Outcome::Counted(counted(&finished.text, finished.status.success())),
            Err(problem) => Outcome::Failed(problem),
        }
    }
}

/// Compiles everything in Kotlin.
pub fn compile(root: &Path, built: &Built) -> Result<Compiled, String> {
    let tools = built.folder.join("kotlin-tools");
    let lib = tools.join("node_modules/kotlin-compiler/lib");
    if !lib.join("kotlin-compiler.jar").is_file() {
        fs::create_dir_all(&tools).map_err(|problem| problem.to_string())?;
        let mut npm = Command::new("npm");
        npm.current_dir(&tools).args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", "."]);
        must(npm.arg(COMPILER))?;
    }
    let at = |jar: &str| lib.join(jar).display().to_string();
    let compiler = ["kotlin-compiler", "kotlin-stdlib", "kotlin-reflect", "kotlin-script-runtime"];
    let compiler: Vec<String> = compiler.iter().map(|jar| at(&format!("{jar}.jar"))).collect();
    let compiler = [compiler.join(":"), at("kotlinx-coroutines-core-jvm.jar"), at("annotations-13.0.jar")].join(":");
    let classes = [at("kotlin-stdlib.jar"), at("kotlinx-coroutines-core-jvm.jar"), JNA.to_owned()].join(":");
    let jar = built.folder.join("kotlin/samenspraak-tests.jar");
    let mut compile = Command::new("java");
    compile.args([COMPILER_MEMORY, "-cp", &compiler, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-reflect"]);
    compile.arg("-kotlin-home").arg(tools.join("node_modules/kotlin-compiler"));
    compile.args(["-jvm-target", "17", "-nowarn", "-cp", &classes, "-d"]).arg(&jar);
    compile.args(SOURCES.map(|part| root.join(FOLDER).join(part)));
    must(compile.arg(document(root, built)?).arg(built.folder.join("written/kotlin")))?;
    let messages = root.join(FOLDER).join("terminal/src/main/resources");
    let words = vec![
        format!("-Djna.boot.library.path={JNA_NATIVE}"),
        format!("-Duniffi.component.samenspraak.libraryOverride={}", built.library.display()),
        // What a process keeps is looked at by the tests, so the JVM's own share is kept small and still.
        "-XX:+UseSerialGC".into(),
        "-Xmx64m".into(),
        "-cp".into(),
        format!("{}:{}:{classes}", jar.display(), messages.display()),
    ];
    Ok(Compiled { words })
}

/// The code of the page for app makers, as a function that the tests call.
fn document(root: &Path, built: &Built) -> Result<PathBuf, String> {
    let page = root.join(DOCUMENT);
    let text = fs::read_to_string(&page).map_err(|problem| format!("cannot read {}: {problem}", page.display()))?;
    let code = as_function(&text).ok_or_else(|| format!("{DOCUMENT} has less code than it should"))?;
    let file = built.folder.join("written/AppInADay.kt");
    fs::write(&file, code).map_err(|problem| format!("cannot write {}: {problem}", file.display()))?;
    Ok(file)
}

/// All blocks of code in order, their imports first; nothing when there are fewer than there should be.
fn as_function(page: &str) -> Option<String> {
    let blocks: Vec<&str> = page.split("```kotlin\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let (imports, body): (Vec<&str>, Vec<&str>) =
        blocks.iter().flat_map(|block| block.lines()).partition(|line| line.starts_with("import "));
    let (imports, body) = (imports.join("\n"), body.join("\n"));
    (blocks.len() >= DOCUMENT_BLOCKS_MIN).then(|| {
        format!("package samenspraak.docs\n\n{imports}\n\nsuspend fun appInADay(folder: String, card: String) {{\n{body}\n}}\n")
    })
}

/// `7 passed, 0 failed`, the last line of our tests.
fn counted(printed: &str, ended_well: bool) -> Tally {
    let numbers = printed.lines().rev().find_map(|line| {
        let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
        Some((passed.parse::<u64>().ok()?, failed.parse::<u64>().ok()?))
    });
    match numbers {
        Some((passed, failed)) if passed > 0 => {
            Tally { passed, failed: if ended_well { failed } else { failed.max(1) }, skipped: 0 }
        }
        _ => Tally::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_page_becomes_one_function_and_a_page_without_it_is_a_failure() {
        let page = "Words\n```kotlin\nimport a.B\n\nval b = B()\n```\nmore\n".repeat(DOCUMENT_BLOCKS_MIN);
        let code = as_function(&page).unwrap();
        assert!(code.starts_with("package samenspraak.docs\n\nimport a.B\n"), "{code}");
        assert_eq!(code.matches("val b = B()").count(), DOCUMENT_BLOCKS_MIN);
        assert!(code.find("import a.B") < code.find("suspend fun") && !code.contains("more"));
        assert_eq!(as_function("```kotlin\nval b = 1\n```\n"), None);
    }

    #[test]
    fn a_run_that_says_nothing_or_ends_badly_has_failed() {
        assert_eq!(counted("ok one\n7 passed, 0 failed\n", true), Tally { passed: 7, failed: 0, skipped: 0 });
        assert_eq!(counted("7 passed, 0 failed\n", false), Tally { passed: 7, failed: 1, skipped: 0 });
        assert_eq!(counted("Exception in thread main\n", false), Tally::FAILED);
        assert_eq!(counted("0 passed, 0 failed\n", true), Tally::FAILED);
    }
}
