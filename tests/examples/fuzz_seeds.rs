//! Writes the honest inputs of every fuzz function, a folder each, for libFuzzer to begin from: `cargo xtask fuzz` calls it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use samenspraak_tests::fuzz::{ALL, Target};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("name the folder to write to");
        return ExitCode::from(2);
    };
    let written = ALL.into_iter().try_for_each(|target| write(target, folder.join(target.name)));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("cannot write to {}: {problem}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(target: &Target, folder: PathBuf) -> io::Result<()> {
    fs::create_dir_all(&folder)?;
    for (number, seed) in target.seeds().iter().enumerate() {
        fs::write(folder.join(format!("honest-{number}")), seed)?;
    }
    Ok(())
}
