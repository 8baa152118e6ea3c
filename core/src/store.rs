//! What a replica keeps, as rows in tables, behind one trait that every disk, browser or memory store fulfils.
//!
//! A [`Store`] promises three things, checked by [`conformance`] for every implementation:
//! a [`Batch`] is there completely or not at all; when [`Store::commit`] returns `Ok` it survives a killed process and a
//! power cut; and a value that comes back is the value that went in (checked on every read), or an error.
//!
//! Not here: what the rows mean. [`keys`] says how keys are built, `replica` what stands under them.

mod cached;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(feature = "disk")]
pub mod disk;
pub mod erased;
pub mod keys;
pub mod log;
mod memory;
pub mod sealed;

pub use cached::CachedStore;
pub use memory::MemoryStore;
pub use sealed::SealedStore;

/// The tables of a store. The numbers stand in journals on disk and never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Entries, by (space, device, seq).
    Entry = 1,
    /// Where an entry stands, by its id.
    EntryId = 2,
    /// Log items, by (space, epoch, number).
    Log = 3,
    /// Subjects: who created them, their seed, whether they were erased; by (space, subject).
    Subject = 4,
    /// Changes of documents, by (subject, change hash).
    Change = 5,
    /// What entries wait for, by their place.
    Pending = 6,
    /// Small facts about this replica: keys, cursors, log heads; by name.
    Meta = 7,
    /// Signed receipts of the server.
    Receipt = 8,
    /// At a server: what was dropped and isn't appended yet, by the hash of what it is; never by whom.
    Held = 9,
    /// On a phone: own sealed input with what its author needs to find answers and to erase it, by subject.
    Own = 10,
    /// Entries of a branch of a chain that gave way to the one in the server's log, by place and id.
    Aside = 11,
}

impl Table {
    /// All tables, in order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Entry,
        Self::EntryId,
        Self::Log,
        Self::Subject,
        Self::Change,
        Self::Pending,
        Self::Meta,
        Self::Receipt,
        Self::Held,
        Self::Own,
        Self::Aside,
    ];

    /// The table with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }
}

/// One row that a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The row's key.
    pub key: Vec<u8>,
    /// The row's value.
    pub value: Vec<u8>,
}

/// One step of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Write a row, replacing what stands under the key.
    Put {
        /// Where.
        table: Table,
        /// Key, 1 to [`KEY_BYTES_MAX`] bytes.
        key: Vec<u8>,
        /// Value, at most [`VALUE_BYTES_MAX`] bytes.
        value: Vec<u8>,
    },
    /// Forget a row. Forgetting what isn't there is no error.
    Delete {
        /// Where.
        table: Table,
        /// Key of the row.
        key: Vec<u8>,
    },
}

/// Longest key: a space with its id, a device and two numbers, with room to spare.
pub const KEY_BYTES_MAX: usize = 128;
/// Longest value: an entry body with its envelope, with room to spare; a longer value is our own bug.
pub const VALUE_BYTES_MAX: usize = 512 * 1024;
/// Longest value that a store takes from what stands above it: the longest value with its seal. See [`sealed`].
pub const STORED_BYTES_MAX: usize = VALUE_BYTES_MAX + sealed::SEAL_BYTES_MAX;

/// Changes that are stored together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    ops: Vec<Op>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: write `value` under `key`.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.ops.push(Op::Put { table, key: key.into(), value: value.into() });
    }

    /// Adds: forget `key`.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.ops.push(Op::Delete { table, key: key.into() });
    }

    /// The steps, in order; a later step on the same key wins.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Moves all steps of `other` behind those of this batch.
    pub fn append(&mut self, other: Self) {
        self.ops.extend(other.ops);
    }
}

/// What a caller can do something about.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room left; what was there before is untouched, and the same commit may be tried again later.
    #[error("no space left on the disk that holds {place}")]
    Full {
        /// The folder or file.
        place: String,
    },
    /// Another process holds the store.
    #[error("{place} is in use by another process")]
    Busy {
        /// The folder.
        place: String,
    },
    /// Bytes that came back are not those that went in.
    #[error("damaged data in {place}: {what}")]
    Damaged {
        /// The file and the place in it.
        place: String,
        /// What does not fit.
        what: String,
    },
    /// The system refused for another reason.
    #[error("cannot use {place}")]
    Io {
        /// The folder or file.
        place: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The store stopped after an earlier error and must be opened again.
    #[error("{place} stopped after an earlier error; open it again")]
    Closed {
        /// The folder.
        place: String,
    },
    /// The key does not open this store: it belongs to another one. Nothing was changed.
    #[error("the key does not open {place}: it was sealed with another one")]
    WrongKey {
        /// The folder.
        place: String,
    },
    /// A key or value is longer than allowed: a bug of the caller.
    #[error("a row of {table:?} breaks a limit of the store: {what}")]
    Limit {
        /// The table.
        table: Table,
        /// Which limit.
        what: &'static str,
    },
}

/// One replica's rows. See the module for what an implementation promises.
pub trait Store: Send + Sync {
    /// The value under `key`, or `None`.
    ///
    /// # Errors
    /// When the value cannot be read or is not what was written.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The rows with `from <= key`, and `key < to` where `to` is given, in order of keys, at most `limit`.
    ///
    /// # Errors
    /// As for [`Store::get`].
    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError>;

    /// Stores the batch. When this returns `Ok`, all of it survives whatever happens next; when it returns an error, none of
    /// it is visible, and after reopening either none or (only if the system failed while flushing) all of it is there.
    ///
    /// # Errors
    /// When the batch could not be made durable, or a row breaks a limit.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Removes the bytes of values that were deleted or replaced, so that no file of the store holds them any more.
    ///
    /// # Errors
    /// When files could not be rewritten; nothing live is lost, and it may be called again.
    fn scrub(&self) -> Result<(), StoreError>;
}

/// Rows that [`walk`] reads at a time: some 100 KiB of entries.
pub const WALK_ROWS: usize = 512;

/// Calls `each` for every row of a table whose key begins with `prefix`, in order of keys, some rows at a time.
///
/// # Errors
/// When rows can't be read, or what `each` says; then no further row is read.
pub fn walk<E: From<StoreError>>(
    store: &dyn Store,
    table: Table,
    prefix: &[u8],
    mut each: impl FnMut(Row) -> Result<(), E>,
) -> Result<(), E> {
    let (mut from, end) = (prefix.to_vec(), keys::after(prefix));
    loop {
        let rows = store.scan(table, &from, Some(&end), WALK_ROWS)?;
        let full = rows.len() == WALK_ROWS;
        for row in rows {
            from.clone_from(&row.key);
            each(row)?;
        }
        if !full {
            return Ok(());
        }
        from.push(0);
    }
}

/// Checks the limits of every row of a batch; stores call it before anything else.
///
/// # Errors
/// [`StoreError::Limit`] for the first row that breaks one.
pub fn check_limits(batch: &Batch) -> Result<(), StoreError> {
    for op in batch.ops() {
        let (table, key, value_bytes) = match op {
            Op::Put { table, key, value } => (*table, key, value.len()),
            Op::Delete { table, key } => (*table, key, 0),
        };
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(StoreError::Limit { table, what: "key length" });
        }
        if value_bytes > STORED_BYTES_MAX {
            return Err(StoreError::Limit { table, what: "value length" });
        }
    }
    Ok(())
}
