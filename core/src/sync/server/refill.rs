//! What a server lacks of what a phone holds: the answer to a frontier.
//!
//! It is read from the rows alone, chain by chain, and remembers nothing, so a phone that lies about what it holds gets an
//! answer to its lie and no more. What it then brings passes the gate like anything else. Must never name a chain that the phone
//! didn't name.

use crate::membership::Members;
use crate::model::{DeviceId, EntryId, SpaceId};
use crate::replica::{Head, ReplicaError};
use crate::store::{Table, keys};
use crate::sync::pieces::{PieceError, PieceReader};
use crate::sync::wire::{ChainHead, Frame, HOLES_MAX};

/// Frames of frontiers on one connection: with [`FRONTIER_CHAINS_MAX`](crate::sync::wire::FRONTIER_CHAINS_MAX) chains each far
/// more than a wijk has in all its spaces. Each costs as many reads of a row as it names chains.
pub(super) const FRONTIERS_MAX: usize = 64;

/// How much a device may hear of what is lacking in a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    /// Everything.
    All,
    /// Which chains aren't here at all: a server that lost a circle doesn't know who was in it.
    Gone,
}

/// The answer to one frame of a frontier; nothing when the device may not ask.
pub(super) fn wanted(
    members: &Members,
    reader: &PieceReader,
    device: DeviceId,
    space: SpaceId,
    chains: &[ChainHead],
    last: bool,
) -> Result<Option<Frame>, PieceError> {
    let may = match members.may_read(device, space) {
        true => May::All,
        false if space.is_closed() && members.is_active(device) => May::Gone,
        false => return Ok(None),
    };
    let mut lacking = Vec::new();
    for chain in chains {
        let row = reader.rows().get(Table::Meta, &keys::chain_head(space, chain.device))?;
        let head = row.map(|row| Head::decode(&row)).transpose();
        let head = head.map_err(|cause| ReplicaError::Row { table: Table::Meta, cause })?;
        match head {
            None => lacking.push((chain.device, 0)),
            Some(head) if may == May::All && head.seq < chain.seq => lacking.push((chain.device, head.seq + 1)),
            // As much or more is here. Another entry at the same place shows when it is pushed.
            Some(_) => {}
        }
    }
    let holes = if last && may == May::All { holes(reader, space)? } else { Vec::new() };
    Ok(Some(Frame::Wanted { space, chains: lacking, holes, last }))
}

fn holes(reader: &PieceReader, space: SpaceId) -> Result<Vec<EntryId>, PieceError> {
    let prefix = keys::holes(space);
    let rows = reader.rows().scan(Table::Meta, &prefix, Some(&keys::after(&prefix)), HOLES_MAX)?;
    Ok(rows.iter().filter_map(|row| row.value.as_slice().try_into().ok().map(EntryId::new)).collect())
}
