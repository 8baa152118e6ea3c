//! Installs what building and testing need, where it is missing, on Debian and its relatives.
//!
//! Elsewhere it names what is missing and stops. It never changes what is there already.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::child;

/// Something that cargo does not bring along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A C compiler, which links every program.
    Compiler,
    /// Git, by which the layout of the repository is checked.
    Git,
    /// `cargo fmt`.
    Formatter,
    /// `cargo clippy`.
    Clippy,
    /// `cargo deny`: licences, bans, sources, advisories of dependencies.
    Deny,
    /// `cargo nextest`, a faster runner. Tests do without it too, so that only `setup` installs it.
    Nextest,
    /// A browser without a screen, for the pages.
    Chromium,
    /// Python with its environments, for the Python package.
    Python,
    /// A Java runtime, for the Kotlin library.
    Java,
    /// JNA, through which Kotlin calls the library.
    Jna,
    /// npm, which has the Kotlin compiler.
    Npm,
    /// Debian's Rust with the source of its standard library, for targets that rustup hasn't.
    DebianRust,
    /// A compiler for browsers: rustup's target where it is installed, else Debian's beside it.
    WebCompiler,
    /// A C++ compiler, for libFuzzer.
    Cxx,
    /// `cargo fuzz`. Only `cargo xtask fuzz` uses it, so only that installs it.
    Fuzzer,
}

/// The versions that these lints and reports were made with.
const DENY: &str = "cargo-deny@0.20.2";
const NEXTEST: &str = "cargo-nextest@0.9.151";
const FUZZER: &str = "cargo-fuzz@0.13.2";

/// Where Debian puts its own cargo and compiler. rustup's stay the first on the path.
pub const DEBIAN_CARGO: &str = "/usr/bin/cargo";
pub const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Asking a program for its version; a cold disk is slow, more than this is a hang.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

enum Way {
    Debian(&'static str),
    DebianAll(&'static [&'static str]),
    Rustup(&'static str),
    /// The package with its version, and about how long it takes on two cores.
    Cargo(&'static str, &'static str),
}

impl Need {
    /// Everything that building and testing need.
    pub const ALL: [Self; 12] = [
        Self::Compiler,
        Self::Git,
        Self::Formatter,
        Self::Clippy,
        Self::Deny,
        Self::Nextest,
        Self::Chromium,
        Self::Python,
        Self::Java,
        Self::Jna,
        Self::Npm,
        Self::WebCompiler,
    ];

    fn is_met(self) -> bool {
        match self {
            Self::Compiler => answers("cc"),
            Self::Git => answers("git"),
            Self::Formatter => cargo_answers("fmt"),
            Self::Clippy => cargo_answers("clippy"),
            Self::Deny => cargo_answers("deny"),
            Self::Nextest => cargo_answers("nextest"),
            Self::Chromium => answers("chromium"),
            Self::Python => {
                child::succeeds_within(Command::new("python3").args(["-c", "import venv, ensurepip"]), ANSWER_PATIENCE)
            }
            Self::Java => answers("java"),
            Self::Jna => Path::new("/usr/share/java/jna.jar").exists(),
            Self::Npm => answers("npm"),
            Self::DebianRust => has_debian_rust(),
            Self::WebCompiler => web_compiler().is_some(),
            Self::Cxx => answers("c++"),
            Self::Fuzzer => cargo_answers("fuzz"),
        }
    }

    fn way(self) -> Way {
        match self {
            Self::Compiler => Way::Debian("gcc"),
            Self::Git => Way::Debian("git"),
            Self::Formatter => Way::Rustup("rustfmt"),
            Self::Clippy => Way::Rustup("clippy"),
            Self::Deny => Way::Cargo(DENY, "6 minutes"),
            Self::Nextest => Way::Cargo(NEXTEST, "8 minutes"),
            Self::Chromium => Way::Debian("chromium"),
            Self::Python => Way::Debian("python3-venv"),
            Self::Java => Way::Debian("openjdk-17-jre-headless"),
            Self::Jna => Way::Debian("libjna-java"),
            Self::Npm => Way::Debian("npm"),
            Self::DebianRust => Way::DebianAll(&["rustc-web", "cargo-web", "rust-web-src"]),
            Self::WebCompiler => Way::DebianAll(&["rustc-web", "cargo-web", "rust-web-src", "lld-19"]),
            Self::Cxx => Way::Debian("g++"),
            Self::Fuzzer => Way::Cargo(FUZZER, "a minute"),
        }
    }
}

/// What compiles for browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebCompiler {
    /// The toolchain that is used anyway has the target.
    Rustup,
    /// Debian's, which compiles the library of the language as well.
    Debian,
}

/// Debian's linker of modules for browsers.
pub const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";

/// What compiles for browsers here, if anything does.
pub fn web_compiler() -> Option<WebCompiler> {
    let libraries = ["--print", "target-libdir", "--target", "wasm32-unknown-unknown"];
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    if child::read(Command::new(rustc).args(libraries)).is_ok_and(|folder| Path::new(folder.trim()).is_dir()) {
        return Some(WebCompiler::Rustup);
    }
    (has_debian_rust() && Path::new(DEBIAN_LINKER).exists()).then_some(WebCompiler::Debian)
}

/// Whether tests can be run by `cargo nextest`.
pub fn has_nextest() -> bool {
    Need::Nextest.is_met()
}

/// Installs those of `needs` that are missing.
pub fn ensure(needs: &[Need]) -> Result<(), String> {
    needs.iter().filter(|need| !need.is_met()).try_for_each(|need| install(*need))
}

fn install(need: Need) -> Result<(), String> {
    let mut commands = match need.way() {
        Way::Debian(package) => from_debian(&[package])?,
        Way::DebianAll(packages) => from_debian(packages)?,
        Way::Rustup(component) => {
            println!("{component} is missing; adding it with rustup.");
            let mut rustup = Command::new("rustup");
            rustup.args(["component", "add", component]);
            vec![rustup]
        }
        Way::Cargo(package, time) => {
            println!("{package} is missing; building it, once, which takes about {time}.");
            let mut cargo = cargo();
            cargo.args(["install", "--locked", package]);
            vec![cargo]
        }
    };
    for command in &mut commands {
        if !child::show(command)?.success() {
            return Err(format!("`{}` failed; {need:?} is needed", child::line(command)));
        }
    }
    if need.is_met() { Ok(()) } else { Err(format!("{need:?} was installed but does not answer; is it on the PATH?")) }
}

fn from_debian(packages: &[&str]) -> Result<Vec<Command>, String> {
    let names = packages.join(", ");
    println!("{names} is missing; installing it with apt-get.");
    if !Path::new("/etc/debian_version").exists() {
        return Err(format!("{names} is missing, and this is no Debian; please install it"));
    }
    let install = ["install", "--yes", "-qq", "--no-install-recommends"];
    Ok(vec![apt(&["update", "-qq"]), apt(&[&install, packages].concat())])
}

/// The compiler and the source must be of one version.
fn has_debian_rust() -> bool {
    let version = child::read(Command::new(DEBIAN_RUSTC).arg("--version")).unwrap_or_default();
    let source = version.split(' ').nth(1).map(|version| format!("/usr/src/rustc-{version}/library/std"));
    Path::new(DEBIAN_CARGO).exists() && source.is_some_and(|source| Path::new(&source).is_dir())
}

/// `apt-get` that asks no questions, as the superuser.
fn apt(arguments: &[&str]) -> Command {
    let is_superuser = child::read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut command = Command::new(if is_superuser { "apt-get" } else { "sudo" });
    if !is_superuser {
        command.arg("apt-get");
    }
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn answers(program: &str) -> bool {
    child::succeeds_within(Command::new(program).arg("--version"), ANSWER_PATIENCE)
}

fn cargo_answers(subcommand: &str) -> bool {
    child::succeeds_within(cargo().args([subcommand, "--version"]), ANSWER_PATIENCE)
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_does_not_answer() {
        assert!(!answers("no-program-has-this-name"));
        assert!(!cargo_answers("no-subcommand-has-this-name"));
        assert!(cargo_answers("tree"));
    }

    #[test]
    fn nothing_is_installed_when_nothing_is_missing() {
        assert_eq!(ensure(&[]), Ok(()));
    }
}
