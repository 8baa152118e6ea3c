//! `size`: what a wijk's data folder holds, by space, table, kind of file and month, and what could be freed.
//!
//! Reads only, and only where no server runs on the folder: numbers of a running one are in its metrics. Spaces of circles
//! and of single persons are added up, for this is printed and passed on. Not here: freeing anything.

mod print;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use samenspraak_core::gate::Verdict;
use samenspraak_core::model::{EntryId, SpaceId};
use samenspraak_core::replica::EntryRow;
use samenspraak_core::store::disk::{DiskStore, Verification};
use samenspraak_core::store::log::decode_run;
use samenspraak_core::store::{Row, Store, StoreError, Table, keys, walk};
use serde::Serialize;

use crate::error::ProgramError;
use crate::folder::{Folder, Which, io_error};

/// Tables of which old rows may go without anybody's words going: blobs and views. A server keeps neither yet; text and its
/// signatures are never among them.
const TRIMMABLE: [Table; 0] = [];

/// Rows and their bytes, keys included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes += bytes as u64;
    }
}

/// What a space has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpaceSize {
    /// Entries, with what belongs to them: subjects and log lines.
    pub stored: Amount,
    /// Entries.
    pub entries: u64,
    /// Those whose words were erased; their places stay.
    pub erased: u64,
    /// Bytes of bodies.
    pub body_bytes: u64,
    /// Entries and their bytes by month of receipt; `unknown` where no log of this folder has them.
    pub months: BTreeMap<String, Amount>,
}

/// Bytes of files, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Files {
    /// The server's journal, which is the truth.
    pub journal: u64,
    /// Its index; comes back when it is gone.
    pub index: u64,
    /// Segments for phones; come back when they are gone.
    pub segments: u64,
    /// Devices of root and board.
    pub devices: u64,
    /// All else.
    pub other: u64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// By kind of file.
    pub files: Files,
    /// By space.
    pub spaces: BTreeMap<&'static str, SpaceSize>,
    /// By table.
    pub tables: BTreeMap<String, Amount>,
    /// Live rows of all tables.
    pub live_bytes: u64,
    /// Values in the journal that were deleted or replaced, and go with the next scrub.
    pub dead_values: u64,
    /// Bytes that retention would free: old blobs and views.
    pub retention_frees: u64,
}

/// What a space is called where nobody may be named.
#[must_use]
pub fn space_name(space: SpaceId) -> &'static str {
    match space {
        SpaceId::Members => "members",
        SpaceId::Open => "open",
        SpaceId::Board => "board",
        SpaceId::Inbox => "inbox",
        SpaceId::Ballot => "ballot",
        SpaceId::Circle(_) => "circles",
        SpaceId::Own(_) => "own",
    }
}

/// The space at the beginning of a key.
pub(crate) fn space_of(key: &[u8]) -> Option<SpaceId> {
    // A space with an id has 16 bytes more; which one has is in its first byte.
    SpaceId::from_bytes(key.get(..1)?).or_else(|| SpaceId::from_bytes(key.get(..17)?))
}

/// Goes through a table, some rows at a time.
///
/// # Errors
/// When it can't be read.
pub fn each_row(store: &dyn Store, table: Table, mut look: impl FnMut(&Row)) -> Result<(), StoreError> {
    walk(store, table, &[], |row| {
        look(&row);
        Ok(())
    })
}

fn month(day: u32) -> String {
    let date = crate::date::date(day);
    format!("{}-{:02}", date.year(), u8::from(date.month()))
}

/// Day of receipt of each entry: the first that any log of this folder says.
fn days(store: &dyn Store) -> Result<BTreeMap<EntryId, u32>, StoreError> {
    let mut days = BTreeMap::new();
    each_row(store, Table::Log, |row| {
        for item in decode_run(&row.value).map(|(items, _)| items).unwrap_or_default() {
            days.entry(item.id).and_modify(|day: &mut u32| *day = (*day).min(item.day)).or_insert(item.day);
        }
    })?;
    Ok(days)
}

impl Size {
    fn count(&mut self, table: Table, row: &Row, days: &BTreeMap<EntryId, u32>) {
        let bytes = row.key.len() + row.value.len();
        self.tables.entry(format!("{table:?}").to_lowercase()).or_default().add(bytes);
        self.live_bytes += bytes as u64;
        let space = match table {
            Table::Entry => keys::parse_entry(&row.key).map(|(space, ..)| space),
            Table::Log | Table::Subject => space_of(&row.key),
            _ => None,
        };
        let Some(space) = space else { return };
        let found = self.spaces.entry(space_name(space)).or_default();
        found.stored.add(bytes);
        if table != Table::Entry {
            return;
        }
        found.entries += 1;
        // One that can't be read is `verify`'s to say.
        let Ok(entry) = EntryRow::decode(&row.value) else { return };
        found.erased += u64::from(entry.kept.verdict() == Verdict::Erased);
        found.body_bytes += entry.kept.body().map_or(0, <[u8]>::len) as u64;
        let month = days.get(&entry.id).map_or_else(|| "unknown".to_owned(), |day| month(*day));
        found.months.entry(month).or_default().add(bytes);
    }

    /// Counts the rows of a store.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn of_rows(store: &dyn Store) -> Result<Self, StoreError> {
        let (mut size, days) = (Self::default(), days(store)?);
        for table in Table::ALL {
            each_row(store, table, |row| size.count(table, row, &days))?;
            if TRIMMABLE.contains(&table) {
                size.retention_frees +=
                    size.tables.get(&format!("{table:?}").to_lowercase()).map_or(0, |all| all.bytes);
            }
        }
        Ok(size)
    }
}

/// Bytes of all files below a folder; a link is not followed.
fn bytes_below(path: &Path) -> Result<u64, ProgramError> {
    let mut sum = 0;
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let found = fs::symlink_metadata(&path).map_err(|source| io_error(&path, source))?;
        if found.is_dir() {
            for entry in fs::read_dir(&path).map_err(|source| io_error(&path, source))? {
                left.push(entry.map_err(|source| io_error(&path, source))?.path());
            }
        } else {
            sum += found.len();
        }
    }
    Ok(sum)
}

/// Names and bytes of what lies directly in a folder.
fn lies_in(path: &Path) -> Result<Vec<(String, u64)>, ProgramError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(|source| io_error(path, source))? {
        let entry = entry.map_err(|source| io_error(path, source))?;
        found.push((entry.file_name().to_string_lossy().into_owned(), bytes_below(&entry.path())?));
    }
    Ok(found)
}

fn count_files(folder: &Folder) -> Result<Files, ProgramError> {
    let mut files = Files::default();
    for (name, bytes) in lies_in(&folder.store_path(Which::Server))? {
        match name.as_str() {
            "journal" => files.journal += bytes,
            name if name.starts_with("index-") => files.index += bytes,
            _ => files.other += bytes,
        }
    }
    for (name, bytes) in lies_in(folder.path())? {
        match name.as_str() {
            crate::segments::NAME => files.segments += bytes,
            // Counted by its parts.
            name if name == Which::Server.name() => {}
            name if name == Which::Root.name() || name == Which::Board.name() => files.devices += bytes,
            _ => files.other += bytes,
        }
    }
    Ok(files)
}

/// Says how large a wijk's data folder is, and of what.
///
/// # Errors
/// When it can't be read, or a server runs on it.
pub fn run(path: &Path, as_json: bool) -> Result<(), ProgramError> {
    let folder = Folder::open(path)?;
    let (store, Verification { dead_values, damage, .. }) =
        DiskStore::open_read_only(&folder.store_path(Which::Server))?;
    if let Some(first) = damage.first() {
        remark!("samenspraak: {}: {}; numbers may be too low: run `samenspraak verify`", first.place, first.what);
    }
    let mut size = Size::of_rows(&store)?;
    size.files = count_files(&folder)?;
    size.dead_values = dead_values;
    if as_json {
        let text = serde_json::to_string(&size).map_err(|error| ProgramError::Argument(error.to_string()))?;
        say!("{text}");
    } else {
        print::print(&size);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use samenspraak_core::store::{Batch, MemoryStore, WALK_ROWS};

    #[test]
    fn every_row_is_looked_at_once_whatever_their_number() {
        let store = MemoryStore::new();
        for count in [0, 1, WALK_ROWS, WALK_ROWS + 1] {
            let mut batch = Batch::new();
            for number in 0..count {
                batch.put(Table::Meta, u32::try_from(number).unwrap().to_be_bytes(), [7]);
            }
            store.commit(&batch).unwrap();
            let mut seen = 0;
            each_row(&store, Table::Meta, |_| seen += 1).unwrap();
            assert_eq!(seen, count);
            assert_eq!(Size::of_rows(&store).unwrap().live_bytes, 5 * count as u64);
        }
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        assert_eq!(month(20_779), "2026-11");
        assert_eq!(month(0), "1970-01");
    }
}
