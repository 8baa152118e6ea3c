//! Counting what the columns of a change hold, from their runs and without expanding one.
//!
//! A run of twenty million operations takes five bytes, so nothing here may loop over, or allocate for, the
//! length of a run. The work is linear in the runs, and so in the bytes. What columns there are and how
//! they are written is automerge's change format; what they mean together is checked later by automerge
//! itself, on a copy (`gate::fold`).

use super::reader::Reader;
use super::{ChangeRefusal, Work, limits};

/// A column is named by its number and the kind of its values, as automerge packs them.
pub(crate) type Spec = u32;
const OBJECT_ACTOR: Spec = 1;
const OBJECT_COUNTER: Spec = 2;
const KEY_ACTOR: Spec = 17;
const KEY_COUNTER: Spec = 19;
const KEY_TEXT: Spec = 21;
const INSERT: Spec = 52;
const ACTION: Spec = 66;
const VALUE_META: Spec = 86;
const VALUE: Spec = 87;
const PRED_COUNT: Spec = 112;
const PRED_ACTOR: Spec = 113;
const PRED_COUNTER: Spec = 115;
/// Every column of a change of ours, in the order in which they are written. Automerge has two more, for
/// marks (148 and 165). See [`ACTION_MAX`] for why they are refused.
pub(crate) const SPECS: [Spec; 12] = [
    OBJECT_ACTOR,
    OBJECT_COUNTER,
    KEY_ACTOR,
    KEY_COUNTER,
    KEY_TEXT,
    INSERT,
    ACTION,
    VALUE_META,
    VALUE,
    PRED_COUNT,
    PRED_ACTOR,
    PRED_COUNTER,
];
/// The bit of a specification that says the column is compressed on its own.
const DEFLATED: u64 = 0b1000;

/// The actions that make an object: map, list, text, table.
const MAKES: [u64; 4] = [0, 2, 4, 6];
/// The last action we accept: making a table. Automerge also knows marks (7), which our apps never write. Two
/// malformed ones panic in automerge (with debug assertions), and again in a destructor while that panic unwinds.
/// Such a panic cannot be caught: a change of 64 bytes would end the process that folds it.
const ACTION_MAX: u64 = 6;

/// What the columns hold.
pub(super) struct Counted {
    pub(super) ops: u64,
    pub(super) objects_made: u64,
    pub(super) max_op: u64,
}

/// Reads the column table and the columns; they must be all that is left.
pub(super) fn count(
    reader: &mut Reader<'_>,
    actors: u64,
    start_op: u64,
    work: &mut Work,
) -> Result<Counted, ChangeRefusal> {
    let mut columns = Columns { data: table(reader)?, actors, max_op: 0, work };
    let (ops, objects_made) = columns.actions()?;
    // `start_op` is at least one and both are far from the end of 64 bits.
    columns.max_op = start_op + ops - 1;
    if columns.max_op > limits::OP_COUNTER_MAX {
        return Err(ChangeRefusal::OpCounter { start_op, max: limits::OP_COUNTER_MAX });
    }
    for (spec, need) in [(OBJECT_ACTOR, Need::Maybe), (KEY_ACTOR, Need::Maybe)] {
        columns.actor_indices(spec, need, ops)?;
    }
    columns.counters(OBJECT_COUNTER, Need::Maybe, ops, Step::Absolute)?;
    columns.counters(KEY_COUNTER, Need::Maybe, ops, Step::Delta)?;
    let keys = columns.texts(KEY_TEXT, ops)?;
    let inserts = columns.booleans(INSERT, ops)?;
    if meet(&keys, &inserts) {
        return Err(ChangeRefusal::InsertUnderKey);
    }
    columns.values(ops)?;
    let predecessors = columns.predecessors(ops)?;
    columns.actor_indices(PRED_ACTOR, Need::Always, predecessors)?;
    columns.counters(PRED_COUNTER, Need::Always, predecessors, Step::Delta)?;
    Ok(Counted { ops, objects_made, max_op: columns.max_op })
}

/// Runs of a column as whether something is there, and how many times.
type Flags = Vec<(bool, u64)>;

/// Whether both columns are set in any row. Linear in their runs.
fn meet(a: &Flags, b: &Flags) -> bool {
    let (mut a, mut b) = (a.iter().copied(), b.iter().copied());
    let (mut left, mut right) = (a.next(), b.next());
    while let (Some((in_a, many_a)), Some((in_b, many_b))) = (left, right) {
        let both = many_a.min(many_b);
        if in_a && in_b && both > 0 {
            return true;
        }
        left = if many_a > both { Some((in_a, many_a - both)) } else { a.next() };
        right = if many_b > both { Some((in_b, many_b - both)) } else { b.next() };
    }
    false
}

/// The bytes of each column, in the order of [`SPECS`]; empty when it is absent.
fn table<'a>(reader: &mut Reader<'a>) -> Result<[&'a [u8]; SPECS.len()], ChangeRefusal> {
    let mut lengths = [0u64; SPECS.len()];
    let mut next = 0;
    for _ in 0..reader.unsigned()? {
        let spec = reader.unsigned()?;
        let length = reader.unsigned()?;
        if spec & DEFLATED != 0 {
            return Err(ChangeRefusal::ColumnDeflated { spec });
        }
        let position = SPECS.iter().position(|known| u64::from(*known) == spec);
        let Some(position) = position else {
            return Err(ChangeRefusal::ColumnUnknown { spec });
        };
        if position < next {
            return Err(ChangeRefusal::ColumnOrder { spec });
        }
        if length == 0 {
            return Err(ChangeRefusal::ColumnEmpty { spec });
        }
        lengths[position] = length;
        next = position + 1;
    }
    let mut data = [&[][..]; SPECS.len()];
    for (column, length) in data.iter_mut().zip(lengths) {
        *column = reader.take(length)?;
    }
    match reader.rest().len() {
        0 => Ok(data),
        bytes => Err(ChangeRefusal::ExtraBytes { bytes }),
    }
}

/// Whether automerge needs a value for every row, or writes nothing when there is none at all.
#[derive(Clone, Copy, PartialEq)]
enum Need {
    Always,
    Maybe,
}

/// How a counter column is written: as numbers, or as steps from the number before.
#[derive(Clone, Copy)]
enum Step {
    Absolute,
    Delta,
}

struct Columns<'a, 'w> {
    data: [&'a [u8]; SPECS.len()],
    actors: u64,
    max_op: u64,
    work: &'w mut Work,
}

impl<'a> Columns<'a, '_> {
    fn bytes(&self, spec: Spec) -> &'a [u8] {
        let position = SPECS.iter().position(|known| *known == spec);
        position.map_or(&[], |position| self.data[position])
    }

    /// Visits the runs of a column as (value, how many times) and returns how many values there are.
    /// A sum too large for 64 bits stays at their end, which is above every limit.
    fn runs<V>(
        &mut self,
        spec: Spec,
        read: impl Fn(&mut Reader<'a>) -> Result<V, ChangeRefusal>,
        mut visit: impl FnMut(Option<V>, u64) -> Result<(), ChangeRefusal>,
    ) -> Result<u64, ChangeRefusal> {
        let mut reader = Reader::new(self.bytes(spec));
        let mut values = 0u64;
        while !reader.is_empty() {
            self.work.runs_read += 1;
            let count = match reader.signed()? {
                0 => {
                    let count = reader.unsigned()?;
                    visit(None, count)?;
                    count
                }
                repeated @ 1.. => {
                    let value = read(&mut reader)?;
                    visit(Some(value), repeated.unsigned_abs())?;
                    repeated.unsigned_abs()
                }
                literal => {
                    // Each literal takes at least one byte, so this loop ends with the column.
                    for _ in 0..literal.unsigned_abs() {
                        self.work.runs_read += 1;
                        visit(Some(read(&mut reader)?), 1)?;
                    }
                    literal.unsigned_abs()
                }
            };
            if count == 0 {
                return Err(ChangeRefusal::EmptyRun { spec });
            }
            values = values.saturating_add(count);
        }
        Ok(values)
    }

    fn check_length(&self, spec: Spec, need: Need, found: u64, expected: u64) -> Result<(), ChangeRefusal> {
        let absent = need == Need::Maybe && self.bytes(spec).is_empty();
        if found == expected || absent { Ok(()) } else { Err(ChangeRefusal::ColumnLength { spec, found, expected }) }
    }

    /// The actions decide how many operations there are.
    fn actions(&mut self) -> Result<(u64, u64), ChangeRefusal> {
        let mut objects_made = 0u64;
        let ops = self.runs(ACTION, Reader::unsigned, |action, count| match action {
            None => Err(ChangeRefusal::NullValue { spec: ACTION }),
            Some(found) if found > ACTION_MAX => Err(ChangeRefusal::Action { found }),
            Some(action) => {
                if MAKES.contains(&action) {
                    objects_made = objects_made.saturating_add(count);
                }
                Ok(())
            }
        })?;
        if ops > limits::OPS_PER_CHANGE_MAX {
            return Err(ChangeRefusal::TooManyOps { found: ops, max: limits::OPS_PER_CHANGE_MAX });
        }
        if objects_made > limits::OBJECTS_PER_CHANGE_MAX {
            return Err(ChangeRefusal::TooManyObjects { found: objects_made, max: limits::OBJECTS_PER_CHANGE_MAX });
        }
        Ok((ops, objects_made))
    }

    fn actor_indices(&mut self, spec: Spec, need: Need, expected: u64) -> Result<(), ChangeRefusal> {
        let actors = self.actors;
        let found = self.runs(spec, Reader::unsigned, |index, _| match index {
            None if need == Need::Always => Err(ChangeRefusal::NullValue { spec }),
            Some(found) if found >= actors => Err(ChangeRefusal::ActorIndex { found, actors }),
            _ => Ok(()),
        })?;
        self.check_length(spec, need, found, expected)
    }

    /// Counters of operations that are referred to: none can be later than the last of this change.
    fn counters(&mut self, spec: Spec, need: Need, expected: u64, step: Step) -> Result<(), ChangeRefusal> {
        let max = self.max_op;
        let refused = || ChangeRefusal::Reference { spec, max };
        let allowed = |value: i128| (0..=i128::from(max)).contains(&value);
        let mut last = 0i128;
        let read = |reader: &mut Reader<'a>| match step {
            Step::Absolute => reader.unsigned().map(i128::from),
            Step::Delta => reader.signed().map(i128::from),
        };
        let found = self.runs(spec, read, |value, count| {
            let Some(value) = value else {
                return if need == Need::Always { Err(ChangeRefusal::NullValue { spec }) } else { Ok(()) };
            };
            let (first, end) = match step {
                Step::Absolute => (value, value),
                // Both factors are below 2^64, and a sum of equal steps lies between its ends.
                Step::Delta => (last + value, last.saturating_add(value.saturating_mul(i128::from(count)))),
            };
            last = end;
            if allowed(first) && allowed(end) { Ok(()) } else { Err(refused()) }
        })?;
        self.check_length(spec, need, found, expected)
    }

    /// Map keys: automerge gives each operation its own copy of a repeated one.
    fn texts(&mut self, spec: Spec, expected: u64) -> Result<Flags, ChangeRefusal> {
        let (mut expanded, mut flags) = (0u64, Flags::new());
        let read = |reader: &mut Reader<'a>| {
            let length = reader.unsigned()?;
            reader.take(length).map(|_| length)
        };
        let found = self.runs(spec, read, |length, count| {
            expanded = expanded.saturating_add(length.unwrap_or(0).saturating_mul(count));
            flags.push((length.is_some(), count));
            Ok(())
        })?;
        if expanded > limits::KEY_BYTES_EXPANDED_MAX {
            return Err(ChangeRefusal::KeysTooLarge { found: expanded, max: limits::KEY_BYTES_EXPANDED_MAX });
        }
        self.check_length(spec, Need::Maybe, found, expected)?;
        Ok(flags)
    }

    /// Booleans are written as the lengths of runs that alternate, beginning with false.
    fn booleans(&mut self, spec: Spec, expected: u64) -> Result<Flags, ChangeRefusal> {
        let (mut flags, mut set) = (Flags::new(), false);
        let mut reader = Reader::new(self.bytes(spec));
        let (mut found, mut first) = (0u64, true);
        while !reader.is_empty() {
            self.work.runs_read += 1;
            let count = reader.unsigned()?;
            // Only the first run may be empty: then the column begins with true.
            if count == 0 && (!first || reader.is_empty()) {
                return Err(ChangeRefusal::EmptyRun { spec });
            }
            found = found.saturating_add(count);
            first = false;
            flags.push((set, count));
            set = !set;
        }
        self.check_length(spec, Need::Always, found, expected)?;
        Ok(flags)
    }

    /// The lengths of the values must be exactly the bytes there are.
    fn values(&mut self, ops: u64) -> Result<(), ChangeRefusal> {
        let mut needed = 0u64;
        let found = self.runs(VALUE_META, Reader::unsigned, |meta, count| {
            let Some(meta) = meta else {
                return Err(ChangeRefusal::NullValue { spec: VALUE_META });
            };
            let (kind, length) = ((meta & 0b1111) as u8, meta >> 4);
            let fits = match kind {
                0..=2 => length == 0,          // null, false, true
                3 | 4 | 8 | 9 => length <= 10, // numbers, counters, times
                5 => length == 8,              // floating point
                _ => true,                     // texts, bytes, and what automerge keeps for later
            };
            if !fits {
                return Err(ChangeRefusal::ValueLength { kind, length });
            }
            needed = needed.saturating_add(length.saturating_mul(count));
            Ok(())
        })?;
        let expected = self.bytes(VALUE).len() as u64;
        if needed != expected {
            return Err(ChangeRefusal::ValueBytes { found: needed, expected });
        }
        self.check_length(VALUE_META, Need::Always, found, ops)
    }

    /// The sum of the predecessors of all operations.
    fn predecessors(&mut self, ops: u64) -> Result<u64, ChangeRefusal> {
        let mut predecessors = 0u64;
        let found = self.runs(PRED_COUNT, Reader::unsigned, |each, count| {
            let Some(each) = each else {
                return Err(ChangeRefusal::NullValue { spec: PRED_COUNT });
            };
            predecessors = predecessors.saturating_add(each.saturating_mul(count));
            Ok(())
        })?;
        self.check_length(PRED_COUNT, Need::Always, found, ops)?;
        if predecessors > limits::PREDECESSORS_PER_CHANGE_MAX {
            return Err(ChangeRefusal::TooManyPredecessors {
                found: predecessors,
                max: limits::PREDECESSORS_PER_CHANGE_MAX,
            });
        }
        Ok(predecessors)
    }
}
