//! Frames as bytes.

use super::{Frame, PROTOCOL_VERSION, Piece, PieceLine, RUNS_MAX, Reach, Receipt, ReceiptLine, RefusalCode};
use crate::cbor::{CborError, Reader, Writer};
use crate::entry::{Run, Signature};
use crate::gate::Verdict;
use crate::gate::limits::{BATCH_ENTRIES_MAX, FRAME_BYTES_MAX};
use crate::model::{DeviceId, EntryId, SpaceId, SubjectId, WijkId};
use crate::replica::RunBatch;
use crate::seal::DROP_STEPS;
use crate::store::log::LogHead;
use crate::sync::ServerCertificate;
use crate::sync::segment::SEGMENT_BYTES_MAX;
impl Frame {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Self::Hello { wijk, certificate: c, nonce } => {
                w.array(8).uint(0).uint(PROTOCOL_VERSION).bytes(wijk.as_bytes()).bytes(c.identity.as_bytes());
                w.bytes(&c.epoch).bytes(c.epoch_key.as_bytes()).bytes(&c.signature.0).bytes(nonce);
            }
            Self::Prove { device, signature } => {
                w.array(3).uint(1).bytes(device.as_bytes()).bytes(&signature.0);
            }
            Self::Subscribe { space, epoch, cursor } => {
                w.array(5).uint(2).bytes(&space.to_bytes()).bytes(epoch).uint(cursor.next).bytes(&cursor.hash);
            }
            Self::Push { push, space, batch } => {
                w.array(5).uint(3).uint(*push).bytes(&space.to_bytes());
                encode_runs(&mut w, &batch.runs);
                w.array(batch.order.len());
                for at in &batch.order {
                    w.uint(u64::from(*at));
                }
            }
            Self::Receipt(receipt) => encode_receipt(&mut w, receipt),
            Self::Refused { push, space, code, expected_seq } => {
                w.array(5).uint(5);
                optional(&mut w, *push);
                w.bytes(&space.to_bytes()).uint(code.number());
                optional(&mut w, *expected_seq);
            }
            Self::Piece(piece) => encode_piece(&mut w, piece),
            Self::Current { space, epoch, head, signature } => {
                w.array(6).uint(7).bytes(&space.to_bytes()).bytes(epoch);
                w.uint(head.next).bytes(&head.hash).bytes(&signature.0);
            }
            Self::Restart { space, epoch } => {
                w.array(3).uint(8).bytes(&space.to_bytes()).bytes(epoch);
            }
            Self::Bye => {
                w.array(1).uint(9);
            }
            Self::Drop { drop, envelope } => {
                w.array(3).uint(10).uint(*drop).bytes(envelope);
            }
            Self::Dropped { drop, digest, day, signature } => {
                w.array(5).uint(11).uint(*drop).bytes(digest).uint(u64::from(*day)).bytes(&signature.0);
            }
            Self::DropRefused { drop, code } => {
                w.array(3).uint(12).uint(*drop).uint(code.number());
            }
            Self::Confirm { space, epoch, next } => {
                w.array(4).uint(13).bytes(&space.to_bytes()).bytes(epoch).uint(*next);
            }
            Self::Confirmed { space, next } => {
                w.array(3).uint(14).bytes(&space.to_bytes()).uint(*next);
            }
            Self::AskErased { space, subject } => {
                w.array(3).uint(15).bytes(&space.to_bytes()).bytes(subject.as_bytes());
            }
            Self::Erased { space, subject, reach } => {
                w.array(5).uint(16).bytes(&space.to_bytes()).bytes(subject.as_bytes());
                optional(&mut w, reach.map(|reach| reach.devices));
                optional(&mut w, reach.map(|reach| reach.confirmed));
            }
            Self::Segment { space, epoch, from, packed } => {
                w.array(5).uint(17).bytes(&space.to_bytes()).bytes(epoch).uint(*from).bytes(packed);
            }
            Self::Attend { subject, writes } => {
                w.array(3).uint(21);
                optional_subject(&mut w, *subject);
                w.bool(*writes);
            }
            Self::Attending { subject, present, writing } => {
                w.array(4).uint(22);
                optional_subject(&mut w, *subject);
                w.uint(*present).uint(*writing);
            }
            Self::Frontier { .. } | Self::Wanted { .. } | Self::Shown { .. } => super::frontier::encode(self, &mut w),
        }
        w.finish()
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When it is longer than [`FRAME_BYTES_MAX`], has another form, or is of another version of the protocol.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(CborError { at: 0, what: "a frame within its limit" });
        }
        let mut r = Reader::new(bytes);
        let len = r.array(8)?;
        let number = r.uint()?;
        let expected = [8, 3, 5, 5, 7, 5, 7, 6, 3, 1, 3, 5, 3, 4, 3, 3, 5, 5, 4, 5, 6, 3, 4];
        let known = usize::try_from(number).ok().and_then(|at| expected.get(at));
        if known != Some(&len) {
            return Err(r.error("a known frame of its length"));
        }
        let frame = match number {
            0 => decode_hello(&mut r)?,
            1 => Self::Prove { device: DeviceId::new(r.exact()?), signature: Signature(r.exact()?) },
            2 => Self::Subscribe { space: space(&mut r)?, epoch: r.exact()?, cursor: head(&mut r)? },
            3 => {
                let (push, space, runs) = (r.uint()?, space(&mut r)?, decode_runs(&mut r)?);
                let count = r.array(BATCH_ENTRIES_MAX)?;
                let order = (0..count).map(|_| small(&mut r)).collect::<Result<_, _>>()?;
                Self::Push { push, space, batch: RunBatch { runs, order } }
            }
            4 => Self::Receipt(decode_receipt(&mut r)?),
            5 => Self::Refused {
                push: read_optional(&mut r)?,
                space: space(&mut r)?,
                code: RefusalCode::from_number(r.uint()?),
                expected_seq: read_optional(&mut r)?,
            },
            6 => Self::Piece(decode_piece(&mut r)?),
            7 => Self::Current {
                space: space(&mut r)?,
                epoch: r.exact()?,
                head: head(&mut r)?,
                signature: Signature(r.exact()?),
            },
            8 => Self::Restart { space: space(&mut r)?, epoch: r.exact()? },
            10 => Self::Drop { drop: r.uint()?, envelope: r.bytes(DROP_STEPS[2])?.to_vec() },
            11 => Self::Dropped {
                drop: r.uint()?,
                digest: r.exact()?,
                day: small(&mut r)?,
                signature: Signature(r.exact()?),
            },
            12 => Self::DropRefused { drop: r.uint()?, code: RefusalCode::from_number(r.uint()?) },
            13 => Self::Confirm { space: space(&mut r)?, epoch: r.exact()?, next: r.uint()? },
            14 => Self::Confirmed { space: space(&mut r)?, next: r.uint()? },
            15 => Self::AskErased { space: space(&mut r)?, subject: SubjectId::new(r.exact()?) },
            16 => Self::Erased { space: space(&mut r)?, subject: SubjectId::new(r.exact()?), reach: reach(&mut r)? },
            17 => Self::Segment {
                space: space(&mut r)?,
                epoch: r.exact()?,
                from: r.uint()?,
                packed: r.bytes(SEGMENT_BYTES_MAX)?.to_vec(),
            },
            18..=20 => super::frontier::decode(number, &mut r)?,
            21 => Self::Attend { subject: read_optional_subject(&mut r)?, writes: r.bool()? },
            22 => attending(&mut r)?,
            _ => Self::Bye,
        };
        r.end()?;
        Ok(frame)
    }
}

fn optional(w: &mut Writer, value: Option<u64>) {
    match value {
        Some(value) => w.uint(value),
        None => w.null(),
    };
}

fn read_optional(r: &mut Reader<'_>) -> Result<Option<u64>, CborError> {
    if r.null()? { Ok(None) } else { r.uint().map(Some) }
}

fn optional_subject(w: &mut Writer, subject: Option<SubjectId>) {
    match subject {
        Some(subject) => w.bytes(subject.as_bytes()),
        None => w.null(),
    };
}

fn read_optional_subject(r: &mut Reader<'_>) -> Result<Option<SubjectId>, CborError> {
    if r.null()? { Ok(None) } else { r.exact().map(SubjectId::new).map(Some) }
}

fn reach(r: &mut Reader<'_>) -> Result<Option<Reach>, CborError> {
    match (read_optional(r)?, read_optional(r)?) {
        (None, None) => Ok(None),
        (Some(devices), Some(confirmed)) if confirmed <= devices => Ok(Some(Reach { devices, confirmed })),
        _ => Err(r.error("so many of so many devices, or nothing")),
    }
}

fn attending(r: &mut Reader<'_>) -> Result<Frame, CborError> {
    let (subject, present, writing) = (read_optional_subject(r)?, r.uint()?, r.uint()?);
    match writing <= present {
        true => Ok(Frame::Attending { subject, present, writing }),
        false => Err(r.error("writers among those who are present")),
    }
}

pub(super) fn space(r: &mut Reader<'_>) -> Result<SpaceId, CborError> {
    SpaceId::from_bytes(r.bytes(17)?).ok_or_else(|| r.error("a space"))
}

pub(super) fn head(r: &mut Reader<'_>) -> Result<LogHead, CborError> {
    Ok(LogHead { next: r.uint()?, hash: r.exact()? })
}

fn small(r: &mut Reader<'_>) -> Result<u32, CborError> {
    u32::try_from(r.uint()?).map_err(|_| r.error("a small number"))
}

fn verdict(r: &mut Reader<'_>) -> Result<Verdict, CborError> {
    Ok(Verdict::from_number(r.uint()?))
}

fn decode_hello(r: &mut Reader<'_>) -> Result<Frame, CborError> {
    if r.uint()? != PROTOCOL_VERSION {
        return Err(r.error("version 1 of the protocol"));
    }
    Ok(Frame::Hello {
        wijk: WijkId::new(r.exact()?),
        certificate: ServerCertificate {
            identity: DeviceId::new(r.exact()?),
            epoch: r.exact()?,
            epoch_key: DeviceId::new(r.exact()?),
            signature: Signature(r.exact()?),
        },
        nonce: r.exact()?,
    })
}

fn encode_runs(w: &mut Writer, runs: &[Run]) {
    w.array(runs.len());
    for run in runs {
        run.encode(w);
    }
}

fn decode_runs(r: &mut Reader<'_>) -> Result<Vec<Run>, CborError> {
    let len = r.array(RUNS_MAX)?;
    let (mut runs, mut entries) = (Vec::with_capacity(len), 0);
    for _ in 0..len {
        let run = Run::decode(r)?;
        // Each run is bounded, and so are all together: an entry takes far more memory than bytes in a frame.
        entries += run.entries.len();
        if entries > BATCH_ENTRIES_MAX {
            return Err(r.error("entries within the limit of a batch"));
        }
        runs.push(run);
    }
    Ok(runs)
}

fn encode_receipt(w: &mut Writer, receipt: &Receipt) {
    w.array(7).uint(4).uint(receipt.push).bytes(&receipt.space.to_bytes()).bytes(&receipt.epoch);
    w.array(receipt.lines.len());
    for line in &receipt.lines {
        w.array(4).bytes(line.id.as_bytes()).uint(line.number);
        w.uint(u64::from(line.day)).uint(line.verdict.number());
    }
    w.array(2).uint(receipt.head.next).bytes(&receipt.head.hash).bytes(&receipt.signature.0);
}

fn decode_receipt(r: &mut Reader<'_>) -> Result<Receipt, CborError> {
    let (push, space, epoch) = (r.uint()?, space(r)?, r.exact()?);
    let len = r.array(BATCH_ENTRIES_MAX)?;
    let mut lines = Vec::new();
    for _ in 0..len {
        r.array_of(4)?;
        lines.push(ReceiptLine {
            id: EntryId::new(r.exact()?),
            number: r.uint()?,
            day: small(r)?,
            verdict: verdict(r)?,
        });
    }
    r.array_of(2)?;
    Ok(Receipt { push, space, epoch, lines, head: head(r)?, signature: Signature(r.exact()?) })
}

fn encode_piece(w: &mut Writer, piece: &Piece) {
    w.array(7).uint(6).bytes(&piece.space.to_bytes()).bytes(&piece.epoch).uint(piece.from);
    encode_runs(w, &piece.runs);
    w.array(piece.lines.len());
    for line in &piece.lines {
        match line {
            PieceLine::Next(run) => w.uint(u64::from(*run)),
            PieceLine::Again(id) => w.bytes(id.as_bytes()),
        };
    }
    w.array(piece.facts.len());
    for (count, day, verdict) in &piece.facts {
        w.array(3).uint(*count).uint(u64::from(*day)).uint(verdict.number());
    }
}

fn decode_piece(r: &mut Reader<'_>) -> Result<Piece, CborError> {
    let (space, epoch, from, runs) = (space(r)?, r.exact()?, r.uint()?, decode_runs(r)?);
    let len = r.array(BATCH_ENTRIES_MAX)?;
    let mut lines = Vec::new();
    for _ in 0..len {
        lines.push(if r.at_bytes() { PieceLine::Again(EntryId::new(r.exact()?)) } else { PieceLine::Next(small(r)?) });
    }
    let groups = r.array(BATCH_ENTRIES_MAX)?;
    let (mut facts, mut total) = (Vec::new(), 0u64);
    for _ in 0..groups {
        r.array_of(3)?;
        let count = r.uint()?;
        total = total.saturating_add(count);
        facts.push((count, small(r)?, verdict(r)?));
    }
    if total != lines.len() as u64 {
        return Err(r.error("facts for as many items as there are"));
    }
    Ok(Piece { space, epoch, from, runs, lines, facts })
}
