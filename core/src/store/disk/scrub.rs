//! Taking the bytes of deleted and replaced values out of the journal.
//!
//! A segment that holds such values is written anew without them, beside the old one, flushed, and renamed over it. Frames keep
//! their numbers; deletions stay, as small tombstones, so that a segment not yet rewritten cannot bring a value back. Which
//! values live is read from the journal, never asked of sled. Must never drop a live value: a crash or an error at any point
//! leaves every segment whole, old or new, and both replay to the same rows.

use super::files::{io_error, read_whole};
use super::frame::{FrameView, HEADER_BYTES, Location, StoreId, index_key, write_frame};
use super::journal::Journal;
use super::replay::{Damage, Live, Reading, Until, replay};
use crate::store::StoreError;

/// Rewrites what must be; returns where the live rows stand now, or `None` when nothing was dead. When something failed on the way the error comes with
/// them, because the segments rewritten until then have moved their rows.
///
/// # Errors
/// When nothing was changed yet: damage, or files that cannot be read.
pub fn scrub(journal: &mut Journal) -> Result<(Option<Live>, Result<(), StoreError>), StoreError> {
    let read = replay(&journal.dir, &journal.segments, Until::RunningTo(journal.end), Reading::Strict)?;
    if read.dead_values == 0 {
        // An earlier call may have failed just before this.
        let flushed = journal.files.sync_dir(&journal.dir);
        return Ok((None, flushed.map_err(|error| io_error(&journal.dir, error))));
    }
    let mut live = read.live;
    let result = rewrite_all(journal, &mut live);
    Ok((Some(live), result))
}

fn rewrite_all(journal: &mut Journal, live: &mut Live) -> Result<(), StoreError> {
    let store_id = journal.store_id;
    let segments: Vec<u64> = journal.segments.keys().copied().collect();
    for segment in segments {
        let path = journal.path(segment);
        let Some(file) = journal.segments.get(&segment) else { continue };
        let bytes = read_whole(file.as_ref()).map_err(|error| io_error(&path, error))?;
        let rewritten = without_dead(&store_id, segment, &bytes, live).map_err(|(offset, what)| {
            let place = format!("{} at byte {offset}", path.display());
            StoreError::from(Damage { place, what: what.into() })
        })?;
        if let Some((content, moved)) = rewritten {
            journal.replace(segment, &content)?;
            live.extend(moved);
        }
    }
    journal.files.sync_dir(&journal.dir).map_err(|error| io_error(&journal.dir, error))
}

type Rewritten = (Vec<u8>, Vec<(Vec<u8>, Location)>);

/// The segment without dead values and the new places of the live ones; `None` when nothing in it is dead.
fn without_dead(
    store_id: &StoreId,
    segment: u64,
    bytes: &[u8],
    live: &Live,
) -> Result<Option<Rewritten>, (usize, &'static str)> {
    let mut content = bytes.get(..HEADER_BYTES).ok_or((0, "segment header is incomplete"))?.to_vec();
    let mut moved = Vec::new();
    let mut dead = false;
    let mut offset = HEADER_BYTES;
    while offset < bytes.len() {
        let frame = FrameView::decode(store_id, bytes, offset).map_err(|fault| (offset, fault))?;
        let mut ops = Vec::new();
        let mut count = 0;
        let mut kept = Vec::new();
        let each = |op: super::frame::OpView<'_>, at: Location| {
            let key = index_key(op.table, op.key);
            if op.value.is_some() {
                if live.get(&key) != Some(&at) {
                    dead = true;
                    return;
                }
                kept.push((key, ops.len(), at));
            }
            count += 1;
            ops.extend_from_slice(op.bytes);
        };
        frame.each_op(store_id, segment, each).map_err(|fault| (offset, fault))?;
        let ops_start = write_frame(store_id, frame.number, frame.group, count, &ops, &mut content);
        for (key, start, at) in kept {
            // Nothing moves backwards in a file that only shrinks, so it still fits.
            let offset =
                u32::try_from(ops_start + start).map_err(|_| (offset, "row is beyond the limits of a segment"))?;
            moved.push((key, Location { offset, ..at }));
        }
        offset = frame.end;
    }
    Ok(dead.then_some((content, moved)))
}
