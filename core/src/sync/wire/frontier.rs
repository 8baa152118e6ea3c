//! Frames of a comparison of frontiers as bytes.

use super::codec::{head, space};
use super::{ChainHead, FRONTIER_CHAINS_MAX, Frame, HOLES_MAX};
use crate::cbor::{CborError, Reader, Writer};
use crate::entry::Signature;
use crate::model::{DeviceId, EntryId};

/// Writes such a frame; others are written elsewhere.
pub(super) fn encode(frame: &Frame, w: &mut Writer) {
    match frame {
        Frame::Frontier { space, chains, last } => {
            w.array(4).uint(18).bytes(&space.to_bytes()).array(chains.len());
            for chain in chains {
                w.array(3).bytes(chain.device.as_bytes()).uint(chain.seq).bytes(chain.id.as_bytes());
            }
            w.bool(*last);
        }
        Frame::Wanted { space, chains, holes, last } => {
            w.array(5).uint(19).bytes(&space.to_bytes()).array(chains.len());
            for (device, first_seq) in chains {
                w.array(2).bytes(device.as_bytes()).uint(*first_seq);
            }
            w.array(holes.len());
            for id in holes {
                w.bytes(id.as_bytes());
            }
            w.bool(*last);
        }
        Frame::Shown { space, epoch, head, signature } => {
            w.array(6).uint(20).bytes(&space.to_bytes()).bytes(epoch);
            w.uint(head.next).bytes(&head.hash).bytes(&signature.0);
        }
        _ => {}
    }
}

/// Reads the rest of such a frame.
pub(super) fn decode(number: u64, r: &mut Reader<'_>) -> Result<Frame, CborError> {
    Ok(match number {
        18 => {
            let space = space(r)?;
            let chain = |r: &mut Reader<'_>| {
                r.array_of(3)?;
                Ok(ChainHead { device: DeviceId::new(r.exact()?), seq: r.uint()?, id: EntryId::new(r.exact()?) })
            };
            let chains = list(r, FRONTIER_CHAINS_MAX, chain)?;
            Frame::Frontier { space, chains, last: r.bool()? }
        }
        19 => {
            let space = space(r)?;
            let chain = |r: &mut Reader<'_>| {
                r.array_of(2)?;
                Ok((DeviceId::new(r.exact()?), r.uint()?))
            };
            let chains = list(r, FRONTIER_CHAINS_MAX, chain)?;
            let holes = list(r, HOLES_MAX, |r| Ok(EntryId::new(r.exact()?)))?;
            Frame::Wanted { space, chains, holes, last: r.bool()? }
        }
        _ => Frame::Shown { space: space(r)?, epoch: r.exact()?, head: head(r)?, signature: Signature(r.exact()?) },
    })
}

/// A list without room set aside for what may not follow.
fn list<T>(
    r: &mut Reader<'_>,
    max: usize,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, CborError>,
) -> Result<Vec<T>, CborError> {
    let len = r.array(max)?;
    let mut items = Vec::new();
    for _ in 0..len {
        items.push(item(r)?);
    }
    Ok(items)
}
