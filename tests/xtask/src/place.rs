//! Where things are: the repository, its build folder, the program.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The top folder of the repository, whatever folder the task was called from.
pub fn root() -> Result<PathBuf, String> {
    let package =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = package.ancestors().nth(2).map(Path::to_path_buf);
    root.filter(|root| root.join("Cargo.toml").is_file())
        .ok_or_else(|| format!("{} does not stand in the repository; call this as `cargo xtask`", package.display()))
}

/// Where cargo builds.
pub fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// The program `samenspraak`, built in `profile` ("debug" or "release").
pub fn program(root: &Path, profile: &str) -> PathBuf {
    target(root).join(profile).join(format!("samenspraak{}", env::consts::EXE_SUFFIX))
}

/// The cargo that called us, so that a chosen toolchain stays chosen.
pub fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}
