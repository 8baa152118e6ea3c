//! The npm package: the core compiled for browsers, the worker and the page's side around it, and its tests in a real browser.
//!
//! What compiles is chosen by `setup`: rustup's target, or Debian's compiler with the library's source. Either may be asked for
//! smaller code than the stable language offers, so this one command is allowed unstable flags; nothing else is. The steps behind
//! the compiler stand in `mobile-bindings/web/pack.mjs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Built, clear, must};
use crate::report::{Outcome, Tally};
use crate::setup::{DEBIAN_CARGO, DEBIAN_LINKER, DEBIAN_RUSTC, WebCompiler, web_compiler};
use crate::{child, place};

/// Ours, in the repository.
const PACKAGE: &str = "mobile-bindings/web";
/// What an app maker can name, as one text.
pub const SURFACE: &str = "web/surface.txt";
/// What the package is built from beside the compiled core.
const PARTS: [&str; 5] = ["ts", "test", "package.json", "tsconfig.json", "pack.mjs"];
/// Texts of panics, and what `Debug` prints, are a fifth of what a browser would download. Hashes in a loop instead of written out
/// are 3 kB. Randomness is the browser's.
const FLAGS: &str = "--cfg getrandom_backend=\"wasm_js\" --cfg sha2_backend_soft=\"compact\" -Zfmt-debug=shallow -Zlocation-detail=none";
/// A panic is a trap, and nothing before it: only where the library is compiled too.
const NO_PANIC_FLAGS: &str = "-Zunstable-options -Cpanic=immediate-abort";

/// Builds the package.
pub fn package(root: &Path, built: &Built) -> Result<(), String> {
    let folder = built.folder.join("web");
    fs::create_dir_all(&folder).map_err(|problem| problem.to_string())?;
    for part in PARTS {
        copy(&root.join(PACKAGE).join(part), &folder.join(part))?;
    }
    install(&folder)?;
    let module = compile(root)?;
    must(place::cargo(root).args(["build", "--package", "samenspraak-web-bindgen"]))?;
    let bindgen = format!("samenspraak-web-bindgen{}", std::env::consts::EXE_SUFFIX);
    must(
        Command::new(place::target(root).join("debug").join(bindgen)).arg(&module).arg(folder.join("ts")).arg("core"),
    )?;
    must(Command::new("node").current_dir(&folder).arg("pack.mjs"))
}

/// What npm brings, kept as long as nothing else is asked for. No package of it runs a script when it is installed.
fn install(folder: &Path) -> Result<(), String> {
    let wanted = fs::read_to_string(folder.join("package.json")).map_err(|problem| problem.to_string())?;
    let noted = folder.join("node_modules/.installed.json");
    if fs::read_to_string(&noted).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]);
    must(&mut npm)?;
    fs::write(&noted, wanted).map_err(|problem| problem.to_string())
}

/// Compiles the core, in a build folder of its own: its compiler may be another one.
fn compile(root: &Path) -> Result<PathBuf, String> {
    let target = place::target(root).join("web");
    let (mut cargo, flags) = match web_compiler().ok_or("nothing here compiles for browsers")? {
        WebCompiler::Rustup => (place::cargo(root), FLAGS.to_owned()),
        WebCompiler::Debian => {
            let mut cargo = Command::new(DEBIAN_CARGO);
            cargo.current_dir(root).env("RUSTC", DEBIAN_RUSTC).env_remove("RUSTUP_TOOLCHAIN");
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
            (cargo, format!("{FLAGS} {NO_PANIC_FLAGS}"))
        }
    };
    cargo.args(["build", "--profile", "web", "--target", "wasm32-unknown-unknown", "--package", "samenspraak-web"]);
    if web_compiler() == Some(WebCompiler::Debian) {
        cargo.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
    }
    cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", &target);
    must(cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags))?;
    Ok(target.join("wasm32-unknown-unknown/web/samenspraak_web.wasm"))
}

/// Copies a file, or a folder of files; what the folder held before is gone.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let problem = |problem: std::io::Error| format!("cannot copy {}: {problem}", from.display());
    if from.is_file() {
        return fs::copy(from, to).map(drop).map_err(problem);
    }
    clear(to)?;
    for file in fs::read_dir(from).map_err(problem)? {
        let file = file.map_err(problem)?;
        fs::copy(file.path(), to.join(file.file_name())).map_err(problem)?;
    }
    Ok(())
}

/// Runs the tests in a browser, one after another: each has browsers of its own.
pub fn test(root: &Path, built: &Built) -> Outcome {
    let folder = built.folder.join("web");
    let mut node = Command::new("node");
    node.current_dir(&folder).args(["--test", "--test-reporter=tap", "test/browser.test.mjs"]);
    node.env("SAMENSPRAAK_PACKAGE", &folder).env("SAMENSPRAAK_PROGRAM", place::program(root, "debug"));
    node.env("SAMENSPRAAK_DOCS", root.join("mobile-bindings/docs"));
    match child::show_and_keep(&mut node) {
        Ok(finished) => Outcome::Counted(counted(&finished.text, finished.status.success())),
        Err(problem) => Outcome::Failed(problem),
    }
}

/// Says to a test how a phone in a browser is started, without its folder.
pub fn phone(built: &Built, test: &mut Command) {
    let folder = built.folder.join("web");
    let program = folder.join("test/phone.mjs");
    let command = serde_json::json!(["node", program.to_string_lossy()]);
    test.env("SAMENSPRAAK_BROWSER_PHONE", command.to_string());
    test.env("SAMENSPRAAK_PACKAGE", &folder);
}

/// `# pass 6`, `# fail 0`: the last lines of Node's own runner.
fn counted(printed: &str, ended_well: bool) -> Tally {
    let number = |word: &str| {
        let line = printed.lines().rev().find_map(|line| line.trim().strip_prefix("# ")?.strip_prefix(word));
        line.and_then(|number| number.trim().parse::<u64>().ok())
    };
    match (number("pass "), number("fail ")) {
        (Some(passed), Some(failed)) if passed + failed > 0 => {
            let skipped = number("skipped ").unwrap_or(0);
            Tally { passed, failed: if ended_well { failed } else { failed.max(1) }, skipped }
        }
        _ => Tally::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_counts_or_with_a_bad_end_has_failed() {
        let printed = "TAP version 13\nok 1 - x\n# tests 7\n# pass 6\n# fail 0\n# cancelled 0\n# skipped 1\n";
        assert_eq!(counted(printed, true), Tally { passed: 6, failed: 0, skipped: 1 });
        assert_eq!(counted(printed, false), Tally { passed: 6, failed: 1, skipped: 1 });
        assert_eq!(counted("# pass 0\n# fail 0\n", true), Tally::FAILED);
        assert_eq!(counted("", true), Tally::FAILED);
    }
}
