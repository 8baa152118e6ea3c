//! Swift: what can be said of it where no Swift compiler is. Every file is read, every call of ours looked up with its labels in what UniFFI
//! wrote, and the C symbols of Swift, header and library compared. Whether types fit is not checked here.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Built, must, python};
use crate::child;
use crate::report::Outcome;

/// The checks, in the repository.
const CHECKS: &str = "mobile-bindings/swift/tests";
/// What reads Swift. Another version may know more of the language, or name its parts differently.
const READER: [&str; 3] = ["tree-sitter==0.26.1", "tree-sitter-swift==0.7.4", "pytest>=8"];

/// Runs the checks.
pub fn test(root: &Path, built: &Built) -> Outcome {
    match reader(built) {
        Ok(python) => {
            let mut checks = python::pytest(root, &python, &root.join(CHECKS));
            checks.env("SAMENSPRAAK_SWIFT", built.folder.join("written/swift"));
            checks.env("SAMENSPRAAK_LIBRARY", &built.library);
            python::run(checks)
        }
        Err(problem) => Outcome::Failed(problem),
    }
}

/// What an app maker can name in what UniFFI wrote.
pub fn surface(root: &Path, built: &Built, written: &Path) -> Result<String, String> {
    let mut print = Command::new(reader(built)?);
    print.arg(root.join(CHECKS).join("surface.py")).arg(written);
    child::read(print.env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// A Python that can read Swift.
fn reader(built: &Built) -> Result<PathBuf, String> {
    let python = python::environment(built)?;
    must(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(READER))?;
    Ok(python)
}
