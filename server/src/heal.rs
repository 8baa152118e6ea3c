//! `heal`: a server's store whose files are damaged is rebuilt from what is left, and its phones bring the rest.
//!
//! Every whole frame of the journal is kept, and of the entries in them every whole chain. They go through the gate into a new
//! store; the old one is set aside under another name, for a person to look at and to take away. The next start begins a new epoch,
//! and phones compare what they have with it. Must never run by itself: who can restore the disk has everything back.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use samenspraak_core::replica::{Rebuilt, rebuild};
use samenspraak_core::store::Store;
use samenspraak_core::store::disk::{DiskOptions, DiskStore};

use crate::epoch::{self, Why};
use crate::error::ProgramError;
use crate::folder::{Folder, Which, io_error, make_folder};
use crate::verify::{Found, check_store};

/// The store that is being made.
pub(crate) const FRESH: &str = "server.new";
/// The damaged one.
const ASIDE: &str = "server.damaged";

/// Heals the server's store of a folder, and says what was lost.
///
/// # Errors
/// When the server runs, something can't be read or written, or the result doesn't fit; then the old store is where it was.
pub fn heal(path: &Path) -> Result<(), ProgramError> {
    let folder = Folder::open(path)?;
    let wijk = folder.wijk()?;
    let (here, fresh, aside) = (folder.store_path(Which::Server), path.join(FRESH), path.join(ASIDE));
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| io_error(&path, source)
    };
    if !here.exists() && fresh.exists() {
        // A kill between the two renames.
        fs::rename(&fresh, &here).map_err(fail(&here))?;
        epoch::ask(path, Why::Salvaged)?;
    }
    let (damaged, report) = DiskStore::open_salvaging(&here, DiskOptions::default())?;
    let Some(salvaged) = report.salvaged else {
        damaged.close()?;
        say!("nothing is damaged: nothing was changed");
        return Ok(());
    };
    if aside.exists() {
        let what = "is here from an earlier time; take it away first, nothing was changed".to_owned();
        return Err(ProgramError::File { path: aside, what });
    }
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(fail(&fresh))?;
    }
    make_folder(&fresh).map_err(fail(&fresh))?;
    let damaged = Arc::new(damaged);
    let made = Arc::new(DiskStore::open(&fresh, DiskOptions::default())?.0);
    let (from, to): (Arc<dyn Store>, Arc<dyn Store>) = (damaged.clone(), made.clone());
    let Rebuilt { entries, unproven, refused } = rebuild(wijk, &from, &to)?;
    let mut found = Found::default();
    check_store(to.as_ref(), wijk, &mut found)?;
    if let Some(problem) = found.problems.first() {
        return Err(ProgramError::Found { what: format!("heal: {problem}; the old store is where it was") });
    }
    drop((from, to));
    made.close()?;
    damaged.close()?;
    drop((made, damaged));
    epoch::ask(path, Why::Salvaged)?;
    fs::rename(&here, &aside).map_err(fail(&aside))?;
    fs::rename(&fresh, &here).map_err(fail(&here))?;
    File::open(path).and_then(|folder| folder.sync_all()).map_err(fail(path))?;
    for lost in &salvaged.lost {
        say!("lost: segment {}, bytes {:?}, frames {:?}: {}", lost.segment, lost.bytes, lost.frames, lost.what);
    }
    if salvaged.is_partial {
        say!("lost: more than is known, for the note of an earlier time was damaged too");
    }
    say!("{entries} entries are whole; {unproven} stand behind a gap, and {refused} runs lack what they depend on");
    say!("Phones bring back what is missing once the server runs again.");
    say!(
        "The damaged files are in {}: they may hold words that were erased. Take them away when all is back.",
        aside.display()
    );
    Ok(())
}
