//! Bodies in a segment: changes of documents without what follows from the rest, everything else as it is.

use super::change::{Parts, SPECS};
use super::columns::{Col, Columns, ColumnsReader, unzigzag, zigzag};
use super::seen::{Seen, SeenSession, SeenSubject};
use super::{Author, SegmentError, shape};
use crate::entry::codec::{self, DocumentChange, Opening, Record, actor};
use crate::entry::run::BODY_BYTES_MAX;
use crate::entry::{EraseCommit, Kind, Seed};
use crate::gate::limits::{DEPS_MAX, OTHER_ACTORS_MAX};
use crate::model::SubjectId;

/// Place of the values themselves, the letters of a text, in [`SPECS`].
const VALUE: usize = 8;
/// A body as it is.
const RAW: u64 = 0;
/// A change taken apart.
const CHANGE: u64 = 1;
/// A change taken apart that takes the place of another subject.
const REPLACING: u64 = 2;

/// Packs a body that creates its subject; `None` when it opens none.
pub fn pack_creating(out: &mut Columns, seen: &mut Seen, author: &Author, body: &[u8]) -> Option<()> {
    let opening = codec::opening(body).ok()??;
    let at = seen.create(author.subject(&opening));
    pack(out, seen.at(at)?, author, Some(&opening), body);
    Some(())
}

/// Packs a body about a subject.
pub fn pack_following(out: &mut Columns, seen: &mut SeenSubject, author: &Author, body: &[u8]) {
    pack(out, seen, author, None, body);
}

fn pack(out: &mut Columns, seen: &mut SeenSubject, author: &Author, opening: Option<&Opening>, body: &[u8]) {
    let change = change_of(author, opening, body);
    let parts = change.as_ref().and_then(|change| Some((change, Parts::split(&change.change)?)));
    match parts.filter(|(change, parts)| parts.actor == actor(author.device, seen.subject, &change.session)) {
        Some((change, parts)) => pack_change(out, seen, opening, change, &parts),
        None => {
            out.number(Col::BodyForms, RAW);
            out.number(Col::RawLengths, body.len() as u64);
            out.put(Col::Raws, body);
        }
    }
}

/// The change in a body, if the body says nothing else and says it as we do.
fn change_of(author: &Author, opening: Option<&Opening>, body: &[u8]) -> Option<DocumentChange> {
    if author.kind != Kind::CONTRIBUTION && author.kind != Kind::MEETING {
        return None;
    }
    match codec::decode(author.kind, body) {
        Ok(Some(record @ Record::Change(_))) if codec::encode(opening, &record) == body => match record {
            Record::Change(change) => Some(change),
            _ => None,
        },
        _ => None,
    }
}

fn pack_change(
    out: &mut Columns,
    seen: &mut SeenSubject,
    opening: Option<&Opening>,
    change: &DocumentChange,
    parts: &Parts<'_>,
) {
    match change.replaces {
        None => out.number(Col::BodyForms, CHANGE),
        Some(replaces) => {
            out.number(Col::BodyForms, REPLACING);
            out.put(Col::Subjects, replaces.as_bytes());
        }
    }
    if let Some(opening) = opening {
        out.put(Col::Openings, &opening.seed.0);
        out.put(Col::Openings, &opening.commit.0);
    }
    let session = match seen.sessions.iter().rposition(|known| known.actor == parts.actor) {
        Some(at) => {
            out.number(Col::SessionRefs, (seen.sessions.len() - at) as u64);
            at
        }
        None => {
            out.number(Col::SessionRefs, 0);
            out.put(Col::Sessions, &change.session);
            seen.begin(SeenSession { session: change.session, actor: parts.actor, sequence: 0 })
        }
    };
    out.number(Col::DepCounts, parts.deps.len() as u64);
    for dep in &parts.deps {
        match seen.changes.iter().rposition(|known| known == dep) {
            Some(at) => out.number(Col::DepRefs, (seen.changes.len() - at) as u64),
            None => {
                out.number(Col::DepRefs, 0);
                out.put(Col::Changes, dep);
            }
        }
    }
    let known = &mut seen.sessions[session];
    let follows = known.sequence.checked_add(1) == Some(parts.seq);
    out.number(Col::Sequences, if follows { 0 } else { parts.seq.saturating_add(1) });
    known.sequence = parts.seq;
    out.number(Col::Starts, zigzag((parts.start as i64).wrapping_sub(seen.end as i64)));
    out.number(Col::OtherCounts, parts.others.len() as u64);
    for other in &parts.others {
        match seen.actors.iter().position(|known| known == other) {
            Some(at) => out.number(Col::OtherRefs, at as u64 + 1),
            None => {
                out.number(Col::OtherRefs, 0);
                out.put(Col::Subjects, other);
                seen.actors.push(*other);
            }
        }
    }
    out.number(Col::SpecSets, parts.columns.iter().fold(0, |set, (spec, _)| set | 1 << spec));
    let operations = shape::operations(&parts.columns);
    let text_bytes = parts.columns.iter().find(|(spec, _)| *spec == VALUE).map_or(0, |(_, bytes)| bytes.len());
    out.number(Col::Operations, zigzag((operations as i64).wrapping_sub(text_bytes as i64)));
    for (spec, bytes) in parts.columns.iter().rev() {
        let (shape, rest) = shape::shorten(*spec, bytes, operations, parts.start, &mut seen.last);
        out.put(Col::Shapes, &[shape]);
        if shape::has_rest(shape) {
            out.spec(*spec, &rest);
        }
    }
    seen.end = parts.start.wrapping_add(operations);
    seen.changes.push(parts.join().1);
}

/// Unpacks a body that creates its subject.
///
/// # Errors
/// When it can't be.
pub fn unpack_creating(
    columns: &mut ColumnsReader<'_>,
    seen: &mut Seen,
    author: &Author,
) -> Result<Vec<u8>, SegmentError> {
    let form = columns.number(Col::BodyForms)?;
    if form == RAW {
        let body = raw(columns)?;
        let opening = codec::opening(&body)?.ok_or(SegmentError::Missing { what: "seed and erase commitment" })?;
        seen.create(author.subject(&opening));
        return Ok(body);
    }
    let replaces = replaces(columns, form)?;
    let opening =
        Opening { seed: Seed(columns.exact(Col::Openings)?), commit: EraseCommit(columns.exact(Col::Openings)?) };
    let at = seen.create(author.subject(&opening));
    let seen = seen.at(at).ok_or(SegmentError::Missing { what: "a subject" })?;
    unpack_change(columns, seen, author, Some(&opening), replaces)
}

/// Unpacks a body about a subject.
///
/// # Errors
/// When it can't be.
pub fn unpack_following(
    columns: &mut ColumnsReader<'_>,
    seen: &mut SeenSubject,
    author: &Author,
) -> Result<Vec<u8>, SegmentError> {
    let form = columns.number(Col::BodyForms)?;
    if form == RAW {
        return raw(columns);
    }
    let replaces = replaces(columns, form)?;
    unpack_change(columns, seen, author, None, replaces)
}

fn raw(columns: &mut ColumnsReader<'_>) -> Result<Vec<u8>, SegmentError> {
    let length = columns.number(Col::RawLengths)?;
    within(length, BODY_BYTES_MAX as u64, "so many bytes of a body")?;
    Ok(columns.take(Col::Raws, length)?.to_vec())
}

fn replaces(columns: &mut ColumnsReader<'_>, form: u64) -> Result<Option<SubjectId>, SegmentError> {
    match form {
        CHANGE => Ok(None),
        REPLACING => Ok(Some(SubjectId::new(columns.exact(Col::Subjects)?))),
        _ => Err(SegmentError::Missing { what: "a form of body" }),
    }
}

fn within(count: u64, max: u64, what: &'static str) -> Result<u64, SegmentError> {
    if count <= max { Ok(count) } else { Err(SegmentError::Limit { what }) }
}

/// The place that is so many steps back from the end of `len`; `None` for 0, which stands for something new.
fn back(len: usize, steps: u64, what: &'static str) -> Result<Option<usize>, SegmentError> {
    if steps == 0 {
        return Ok(None);
    }
    let steps = usize::try_from(steps).unwrap_or(usize::MAX);
    len.checked_sub(steps).map(Some).ok_or(SegmentError::Missing { what })
}

fn unpack_change(
    columns: &mut ColumnsReader<'_>,
    seen: &mut SeenSubject,
    author: &Author,
    opening: Option<&Opening>,
    replaces: Option<SubjectId>,
) -> Result<Vec<u8>, SegmentError> {
    let session = match back(seen.sessions.len(), columns.number(Col::SessionRefs)?, "a session")? {
        Some(at) => at,
        None => {
            let session = columns.exact(Col::Sessions)?;
            let actor = actor(author.device, seen.subject, &session);
            seen.begin(SeenSession { session, actor, sequence: 0 })
        }
    };
    let count = within(columns.number(Col::DepCounts)?, DEPS_MAX, "so many dependencies")?;
    let mut deps = Vec::with_capacity(count as usize);
    for _ in 0..count {
        deps.push(match back(seen.changes.len(), columns.number(Col::DepRefs)?, "a change")? {
            Some(at) => seen.changes[at],
            None => columns.exact(Col::Changes)?,
        });
    }
    let seq = match columns.number(Col::Sequences)?.checked_sub(1) {
        None => seen.sessions[session].sequence.saturating_add(1),
        Some(seq) => seq,
    };
    seen.sessions[session].sequence = seq;
    let start = (seen.end as i64).wrapping_add(unzigzag(columns.number(Col::Starts)?)) as u64;
    let count = within(columns.number(Col::OtherCounts)?, OTHER_ACTORS_MAX, "so many actors")?;
    let mut others = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let at = columns.number(Col::OtherRefs)?;
        others.push(match usize::try_from(at).unwrap_or(usize::MAX).checked_sub(1) {
            None => {
                let other = columns.exact(Col::Subjects)?;
                seen.actors.push(other);
                other
            }
            Some(at) => *seen.actors.get(at).ok_or(SegmentError::Missing { what: "an actor" })?,
        });
    }
    let set = within(columns.number(Col::SpecSets)?, (1 << SPECS.len()) - 1, "the columns of a change")?;
    let difference = unzigzag(columns.number(Col::Operations)?);
    let (mut operations, mut unpacked) = (0, Vec::with_capacity(SPECS.len()));
    for spec in (0..SPECS.len()).rev() {
        if set & (1 << spec) != 0 {
            let [shape] = columns.exact(Col::Shapes)?;
            let rest = if shape::has_rest(shape) { columns.spec(spec)? } else { &[] };
            // The text is read before all that says how long it is.
            if spec == VALUE {
                operations = difference.wrapping_add(rest.len() as i64) as u64;
            }
            unpacked.push((spec, shape, rest));
        }
    }
    if set & (1 << VALUE) == 0 {
        operations = difference as u64;
    }
    let mut lengthened = Vec::with_capacity(unpacked.len());
    for (spec, shape, rest) in unpacked.into_iter() {
        lengthened.push((spec, shape::lengthen((spec, shape), rest, operations, start, &mut seen.last)?));
    }
    lengthened.reverse();
    seen.end = start.wrapping_add(operations);
    let parts = Parts {
        deps,
        actor: seen.sessions[session].actor,
        seq,
        start,
        others,
        columns: lengthened.iter().map(|(spec, bytes)| (*spec, bytes.as_slice())).collect(),
    };
    let (chunk, hash) = parts.join();
    within(chunk.len() as u64, BODY_BYTES_MAX as u64, "so many bytes of a body")?;
    seen.changes.push(hash);
    let change = DocumentChange { session: seen.sessions[session].session, change: chunk, replaces };
    Ok(codec::encode(opening, &Record::Change(change)))
}
