//! The drop: an outer envelope to the server around a body that the server can't read.
//!
//! The author's device signs inside, so the server learns who may write and how much, checks that, forgets it, and appends
//! the inner body on a chain of its own. Whoever relays the drop sees neither the device nor what it says, only which of
//! three sizes it has. The server knows who and not what; the board will know what and not who.

use super::{SEALED_STEPS, SealError, SealPublic, SealSecret, pad};
use crate::cbor::{CborError, Reader, Writer};
use crate::entry::sign::{Key, verify};
use crate::entry::{Kind, Signature};
use crate::hash::{Hash, tagged};
use crate::model::{DeviceId, SpaceId, WijkId};

const TAG: &str = "samenspraak/drop-envelope/v1";

/// Bytes by which a drop is larger than the sealed body it carries: what stands around the body there, and the envelope.
const DROP_ROOM_BYTES: usize = 1024;

/// The sizes of drops in bytes, one for each size of a sealed body.
pub const DROP_STEPS: [usize; 3] =
    [SEALED_STEPS[0] + DROP_ROOM_BYTES, SEALED_STEPS[1] + DROP_ROOM_BYTES, SEALED_STEPS[2] + DROP_ROOM_BYTES];

/// Bytes of a body in a drop at most: the largest sealed one, and half of the room for the fields that stand beside it in the
/// clear. The other half is more than device, signature, space, kind and their CBOR need.
pub const DROP_BODY_BYTES_MAX: usize = SEALED_STEPS[2] + DROP_ROOM_BYTES / 2;

/// Bytes of a space's byte form at most.
const SPACE_BYTES_MAX: usize = 17;

/// What the server takes out of a drop and appends.
#[derive(Clone, PartialEq, Eq)]
pub struct DropInner {
    /// The space it is for.
    pub space: SpaceId,
    /// Kind of the entry that the server makes of it.
    pub kind: Kind,
    /// Body of that entry: seed and commitment in the clear, the rest sealed; or a tombstone.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for DropInner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the body: logs must not tie a body to the device it came from.
        write!(f, "DropInner for {:?}: {:?}, {} bytes", self.space, self.kind, self.body.len())
    }
}

impl DropInner {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.array(3).bytes(&self.space.to_bytes()).uint(self.kind.0).bytes(&self.body);
        w.finish()
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        r.array_of(3)?;
        let space = SpaceId::from_bytes(r.bytes(SPACE_BYTES_MAX)?).ok_or_else(|| r.error("a space"))?;
        Ok(Self { space, kind: Kind(r.uint()?), body: r.bytes(DROP_BODY_BYTES_MAX)?.to_vec() })
    }

    /// By this a server knows a drop again that arrives twice, whichever envelope it is in and whoever sends it.
    #[must_use]
    pub fn digest(&self) -> Hash {
        tagged("samenspraak/drop-inner/v1", 1, |w| {
            w.raw(&self.encode());
        })
    }
}

/// What the device signs.
fn message(wijk: WijkId, inner: &DropInner) -> Hash {
    tagged("samenspraak/drop/v1", 2, |w| {
        w.bytes(wijk.as_bytes()).bytes(&inner.digest());
    })
}

/// What is authenticated with the envelope: `[tag, wijk]`.
fn aad(wijk: WijkId) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(2).text(TAG).bytes(wijk.as_bytes());
    w.finish()
}

fn encode(device: DeviceId, signature: &Signature, inner: &DropInner) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(3).bytes(device.as_bytes()).bytes(&signature.0).raw(&inner.encode());
    w.finish()
}

/// Puts a body into an envelope to the server, signed inside by the device. The result has one of the sizes in [`DROP_STEPS`];
/// `entropy` serves for this one call.
///
/// # Errors
/// When the body is longer than [`DROP_BODY_BYTES_MAX`], or the server's key is weak.
pub fn seal_drop(
    server: &SealPublic,
    wijk: WijkId,
    device: &Key,
    inner: &DropInner,
    entropy: [u8; 32],
) -> Result<Vec<u8>, SealError> {
    if inner.body.len() > DROP_BODY_BYTES_MAX {
        return Err(SealError::TooLong { bytes: inner.body.len(), max: DROP_BODY_BYTES_MAX });
    }
    let signature = device.sign(&message(wijk, inner));
    let plain = encode(device.id(), &signature, inner);
    pad::seal(server, TAG, &aad(wijk), &plain, entropy, &DROP_STEPS)
}

/// Opens a drop, and says which device signed it. Whether that device may write is for the caller to judge.
///
/// # Errors
/// When it is not a drop for this server and wijk in its one form, or the signature is not the device's.
pub fn open_drop(server: &SealSecret, wijk: WijkId, bytes: &[u8]) -> Result<(DeviceId, DropInner), SealError> {
    let plain = pad::open(server, TAG, &aad(wijk), bytes, &DROP_STEPS)?;
    let mut r = Reader::new(&plain);
    r.array_of(3)?;
    let (device, signature) = (DeviceId::new(r.exact()?), Signature(r.exact()?));
    let inner = DropInner::read(&mut r)?;
    r.end()?;
    if encode(device, &signature, &inner) != plain {
        return Err(SealError::Form(CborError { at: 0, what: "deterministic CBOR" }));
    }
    if !verify(device, &message(wijk, &inner), &signature) {
        return Err(SealError::Signature);
    }
    Ok((device, inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIJK: WijkId = WijkId::new([1; 32]);

    fn server() -> SealSecret {
        SealSecret::new([2; 32])
    }

    fn device() -> Key {
        Key::from_secret(&[3; 32])
    }

    fn inner(bytes: usize) -> DropInner {
        DropInner { space: SpaceId::Inbox, kind: Kind::CONTRIBUTION, body: vec![b'x'; bytes] }
    }

    /// An envelope around any bytes, as somebody makes it who does not keep to the rules.
    fn forged(plain: &[u8]) -> Result<(DeviceId, DropInner), SealError> {
        let bytes = pad::seal(&server().public(), TAG, &aad(WIJK), plain, [4; 32], &DROP_STEPS).unwrap();
        open_drop(&server(), WIJK, &bytes)
    }

    #[test]
    fn the_server_learns_the_device_and_nobody_else_does() {
        let bytes = seal_drop(&server().public(), WIJK, &device(), &inner(1100), [4; 32]).unwrap();
        assert_eq!(open_drop(&server(), WIJK, &bytes), Ok((device().id(), inner(1100))));
        assert!(!bytes.windows(8).any(|window| device().id().as_bytes().windows(8).any(|own| own == window)));
        assert_eq!(open_drop(&SealSecret::new([9; 32]), WIJK, &bytes), Err(SealError::Closed));
        assert_eq!(open_drop(&server(), WijkId::new([9; 32]), &bytes), Err(SealError::Closed));
    }

    #[test]
    fn a_sealed_body_of_each_step_fits_into_the_drop_of_that_step() {
        let circle = |bytes| DropInner { space: SpaceId::Circle([5; 16]), kind: Kind(u64::MAX), body: vec![0; bytes] };
        for (sealed, drop) in SEALED_STEPS.into_iter().zip(DROP_STEPS) {
            let bytes =
                seal_drop(&server().public(), WIJK, &device(), &circle(sealed + DROP_ROOM_BYTES / 2), [4; 32]).unwrap();
            assert_eq!(bytes.len(), drop);
            assert!(open_drop(&server(), WIJK, &bytes).is_ok());
        }
        let long = seal_drop(&server().public(), WIJK, &device(), &inner(DROP_BODY_BYTES_MAX + 1), [4; 32]);
        assert_eq!(long, Err(SealError::TooLong { bytes: DROP_BODY_BYTES_MAX + 1, max: DROP_BODY_BYTES_MAX }));
    }

    #[test]
    fn a_drop_in_the_name_of_another_device_is_refused() {
        let signature = device().sign(&message(WIJK, &inner(10)));
        let honest = encode(device().id(), &signature, &inner(10));
        assert!(forged(&honest).is_ok());
        let other = Key::from_secret(&[8; 32]).id();
        assert_eq!(forged(&encode(other, &signature, &inner(10))), Err(SealError::Signature));
        assert_eq!(forged(&encode(device().id(), &signature, &inner(11))), Err(SealError::Signature));
        let elsewhere = device().sign(&message(WijkId::new([9; 32]), &inner(10)));
        assert_eq!(forged(&encode(device().id(), &elsewhere, &inner(10))), Err(SealError::Signature));
        // A key of low order "signs" everything: R and s are zero, and so is what is compared.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut anything = [0; 64];
        anything[0] = 1;
        assert_eq!(
            forged(&encode(DeviceId::new(neutral), &Signature(anything), &inner(10))),
            Err(SealError::Signature)
        );
    }

    #[test]
    fn a_drop_has_one_form() {
        let signature = device().sign(&message(WIJK, &inner(10)));
        let honest = encode(device().id(), &signature, &inner(10));
        let longer = [&honest[..], &[0]].concat();
        assert!(matches!(forged(&longer), Err(SealError::Form(_))));
        // The array's length in two bytes where one does.
        let wider = [&[0x98, 3], &honest[1..]].concat();
        assert!(matches!(forged(&wider), Err(SealError::Form(_))));
        assert!(matches!(forged(&[]), Err(SealError::Form(_))));
    }

    #[test]
    fn the_same_drop_twice_is_known_again() {
        let one = |entropy| {
            let bytes = seal_drop(&server().public(), WIJK, &device(), &inner(10), entropy).unwrap();
            (open_drop(&server(), WIJK, &bytes).unwrap().1.digest(), bytes)
        };
        let (first, second) = (one([4; 32]), one([5; 32]));
        assert_eq!(first.0, second.0);
        assert_ne!(first.1, second.1);
        assert_ne!(inner(10).digest(), inner(11).digest());
    }
}
