//! Sealing: making bytes that only the holder of a key can read, and that tell others nothing but which of a few sizes they have.
//!
//! Pure functions over keys and bytes. Everything is HPKE (RFC 9180, `hpke`) to an X25519 key, bound to the place it is meant
//! for, and deterministic in the 32 random bytes it is given: those come from `app::entropy`, new ones for each call.
//!
//! - `body`: a body in a closed space, to the key of the space's generation;
//! - `wrap`: the private half of a generation, to one member's device;
//! - `envelope`: the drop, an outer envelope to the server around a body that the server can't read;
//! - `reply`: an answer that only the holder of a paper receipt can open.
//!
//! Sealing says nothing about who wrote: base mode has no sender. Entries are signed, and a drop carries its device's
//! signature inside. This part must not know stores, members or documents: who belongs to a generation, and which of its keys a
//! device holds, is decided elsewhere.

pub mod body;
pub mod envelope;
pub mod hpke;
pub mod key;
mod pad;
pub mod reply;
pub mod wrap;

pub use body::{Context, open, seal};
pub use envelope::{DROP_BODY_BYTES_MAX, DROP_STEPS, DropInner, open_drop, seal_drop};
pub use key::{SealPublic, SealSecret};
pub use reply::{ReceiptError, ReceiptSecret, open_reply, reply_id, seal_reply};
pub use wrap::{WRAPPED_BYTES, WrapContext, unwrap_generation, wrap_generation};

use crate::cbor::CborError;

pub use crate::model::closed::SEALED_STEPS;

/// Bytes that can be sealed at most: the largest step without what sealing and padding add.
pub const SEALED_PLAIN_BYTES_MAX: usize = pad::room(SEALED_STEPS[SEALED_STEPS.len() - 1]);

/// Why something was not sealed or not opened.
///
/// Opening does not say more than it must: whether a key was the wrong one, a place another one or a byte altered, can't be told
/// apart, and whoever sent it need not learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// More than fits into the largest step.
    #[error("{bytes} bytes are too many to seal; {max} fit")]
    TooLong {
        /// How many there were.
        bytes: usize,
        /// How many fit.
        max: usize,
    },
    /// Not one of the sizes that sealed bytes have.
    #[error("sealed bytes have one of a few sizes; {bytes} is none of them")]
    Size {
        /// How many there were.
        bytes: usize,
    },
    /// A public key with which everybody would share the same secret. Whoever announced it can't be sealed to.
    #[error("this public key is of low order: what is sealed to it could be read by everybody")]
    WeakKey,
    /// The key does not belong to the generation that was named.
    #[error("the key is not that of this generation")]
    OtherGeneration,
    /// Sealed to another key or for another place, or altered.
    #[error("not sealed to this key for this place, or altered since")]
    Closed,
    /// What was inside is not followed by zero bytes only.
    #[error("the padding inside is not what it must be")]
    Padding,
    /// What was inside has another form.
    #[error("what was inside has another form")]
    Form(#[from] CborError),
    /// The signature inside a drop is not that of its device.
    #[error("the signature inside does not fit the device")]
    Signature,
}
