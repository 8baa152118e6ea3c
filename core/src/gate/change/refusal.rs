//! Why a change is refused: one variant for each thing that can be wrong, with its facts.
//!
//! A refusal is for ever and the same everywhere, so nothing here may depend on what else a replica has
//! seen. The numbers are written into documents and shown to people: never reuse or change one.

/// Why bytes are not a change that anybody should keep. Never says what the change contains.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeRefusal {
    /// More bytes than any change we accept.
    #[error("the change has {bytes} bytes, at most {max} are accepted")]
    TooLarge {
        /// Bytes that came in.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The bytes do not begin like an automerge chunk.
    #[error("these bytes are no automerge chunk")]
    NotAChunk,
    /// A whole document, a bundle, or something newer.
    #[error("a chunk of kind {kind} is not one change")]
    ChunkKind {
        /// The kind byte of the chunk.
        kind: u8,
    },
    /// The bytes end in the middle of something.
    #[error("the change ends early, at byte {at}")]
    Truncated {
        /// Offset in the chunk or in the column that is being read.
        at: usize,
    },
    /// More bytes after the one chunk.
    #[error("{bytes} bytes follow the change")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// The compressed form cannot be inflated.
    #[error("the compressed change cannot be inflated")]
    NotInflatable,
    /// The compressed form inflates to more than the limit.
    #[error("the change inflates to more than {max} bytes")]
    InflatesTooLarge {
        /// The limit.
        max: usize,
    },
    /// The checksum is not that of the content.
    #[error("the checksum of the change does not match its content")]
    Checksum,
    /// A number that is written too long, or that does not fit.
    #[error("a number at byte {at} is not in its shortest form or too large")]
    Number {
        /// Offset in the chunk or in the column that is being read.
        at: usize,
    },
    /// More direct dependencies than the limit.
    #[error("the change has {found} dependencies, at most {max} are accepted")]
    TooManyDeps {
        /// How many it names.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// The same dependency twice.
    #[error("the change names a dependency twice")]
    DuplicateDep,
    /// An actor id that is not ours.
    #[error("an actor id has {found} bytes")]
    ActorLength {
        /// Its bytes.
        found: u64,
    },
    /// A sequence number outside the range.
    #[error("sequence number {found} is not in 1..={max}")]
    Seq {
        /// The number.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// The operation counters do not fit.
    #[error("operations starting at {start_op} do not fit in 1..={max}")]
    OpCounter {
        /// The counter of the first operation.
        start_op: u64,
        /// The limit.
        max: u64,
    },
    /// A time, which would show when somebody types.
    #[error("the change carries a time")]
    TimeSet,
    /// A message, which we never write.
    #[error("the change carries a message of {bytes} bytes")]
    MessageSet {
        /// Its length.
        bytes: u64,
    },
    /// More other actors than the limit.
    #[error("the change refers to {found} other actors, at most {max} are accepted")]
    TooManyActors {
        /// How many.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// The other actors are not sorted, or one occurs twice or is the author.
    #[error("the other actors of the change are not sorted and distinct")]
    ActorOrder,
    /// A column that is not part of a change of ours.
    #[error("column {spec} is not part of a change")]
    ColumnUnknown {
        /// Its specification.
        spec: u64,
    },
    /// A column out of order or twice.
    #[error("column {spec} is out of order")]
    ColumnOrder {
        /// Its specification.
        spec: u64,
    },
    /// A compressed column, which only documents have.
    #[error("column {spec} is compressed")]
    ColumnDeflated {
        /// Its specification.
        spec: u64,
    },
    /// A column without bytes, which is left out by everyone honest.
    #[error("column {spec} is empty")]
    ColumnEmpty {
        /// Its specification.
        spec: u64,
    },
    /// Bytes after the columns.
    #[error("{bytes} bytes follow the columns")]
    ExtraBytes {
        /// How many.
        bytes: usize,
    },
    /// More operations than the limit.
    #[error("the change has {found} operations, at most {max} are accepted")]
    TooManyOps {
        /// How many.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// A column that does not have one value for each operation.
    #[error("column {spec} has {found} values where {expected} belong")]
    ColumnLength {
        /// Its specification.
        spec: u32,
        /// Its values.
        found: u64,
        /// One for each operation, or for each predecessor.
        expected: u64,
    },
    /// A run of nothing.
    #[error("column {spec} has an empty run")]
    EmptyRun {
        /// Its specification.
        spec: u32,
    },
    /// No value where one is needed.
    #[error("column {spec} lacks a value")]
    NullValue {
        /// Its specification.
        spec: u32,
    },
    /// An action that automerge does not know, or a mark.
    #[error("action {found} is not accepted")]
    Action {
        /// Its number.
        found: u64,
    },
    /// More new objects than the limit.
    #[error("the change makes {found} objects, at most {max} are accepted")]
    TooManyObjects {
        /// How many.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// More predecessors than the limit.
    #[error("the change names {found} predecessors, at most {max} are accepted")]
    TooManyPredecessors {
        /// How many.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// Keys that grow too large when each operation gets its own.
    #[error("the keys of the change expand to {found} bytes, at most {max} are accepted")]
    KeysTooLarge {
        /// How many bytes.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// A value whose length its kind does not allow.
    #[error("a value of kind {kind} has {length} bytes")]
    ValueLength {
        /// Automerge's number of the kind.
        kind: u8,
        /// Its bytes.
        length: u64,
    },
    /// The lengths of the values do not add up to their bytes.
    #[error("the values need {found} bytes and have {expected}")]
    ValueBytes {
        /// The sum of the lengths.
        found: u64,
        /// The bytes of the value column.
        expected: u64,
    },
    /// A reference to an actor that the change does not name.
    #[error("actor {found} of {actors} is referred to")]
    ActorIndex {
        /// The index.
        found: u64,
        /// How many actors the change names, with its author.
        actors: u64,
    },
    /// A reference to an operation that cannot exist yet.
    #[error("column {spec} refers to an operation outside 0..={max}")]
    Reference {
        /// Its specification.
        spec: u32,
        /// The last operation of this change.
        max: u64,
    },
    /// Automerge cannot read it.
    #[error("automerge cannot read the change")]
    Unreadable {
        /// What automerge says.
        #[source]
        source: automerge::LoadChangeError,
    },
    /// Automerge panics on it.
    #[error("automerge panics on the change")]
    ReadPanics,
    /// An operation inserts, which only lists and texts know, under a key, which only maps have. Automerge applies it and
    /// panics (with debug assertions) on the next honest change of the same map.
    #[error("an operation inserts under a key of a map")]
    InsertUnderKey,
    /// Automerge reads something else than we did.
    #[error("automerge reads another change from these bytes")]
    ReadDiffers,
}

impl ChangeRefusal {
    /// The number of this refusal in signed verdicts and in the words shown to the author.
    pub fn number(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 1,
            Self::NotAChunk => 2,
            Self::ChunkKind { .. } => 3,
            Self::Truncated { .. } => 4,
            Self::TrailingBytes { .. } => 5,
            Self::NotInflatable => 6,
            Self::InflatesTooLarge { .. } => 7,
            Self::Checksum => 8,
            Self::Number { .. } => 9,
            Self::TooManyDeps { .. } => 10,
            Self::DuplicateDep => 11,
            Self::ActorLength { .. } => 12,
            Self::Seq { .. } => 13,
            Self::OpCounter { .. } => 14,
            Self::TimeSet => 15,
            Self::MessageSet { .. } => 16,
            Self::TooManyActors { .. } => 17,
            Self::ActorOrder => 18,
            Self::ColumnUnknown { .. } => 19,
            Self::ColumnOrder { .. } => 20,
            Self::ColumnDeflated { .. } => 21,
            Self::ColumnEmpty { .. } => 22,
            Self::ExtraBytes { .. } => 23,
            Self::TooManyOps { .. } => 24,
            Self::ColumnLength { .. } => 25,
            Self::EmptyRun { .. } => 26,
            Self::NullValue { .. } => 27,
            Self::Action { .. } => 28,
            Self::TooManyObjects { .. } => 29,
            Self::TooManyPredecessors { .. } => 30,
            Self::KeysTooLarge { .. } => 31,
            Self::ValueLength { .. } => 32,
            Self::ValueBytes { .. } => 33,
            Self::ActorIndex { .. } => 34,
            Self::Reference { .. } => 35,
            Self::Unreadable { .. } => 36,
            Self::ReadPanics => 37,
            Self::ReadDiffers => 38,
            Self::InsertUnderKey => 39,
        }
    }
}
