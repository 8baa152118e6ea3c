//! A reply to somebody whom nobody knows: only the holder of a receipt can find and open it.
//!
//! The author keeps 128 random bits, as a QR code or as letters on paper. From them follows a key pair; its public half travels
//! inside the sealed contribution, so that the board can answer to it. The id of the reply is a hash of that half: it stands in
//! the open beside the sealed answer and says nothing about the author, but two answers to one receipt share it.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::{SEALED_STEPS, SealError, SealPublic, SealSecret, pad};
use crate::cbor::Writer;
use crate::hash::{short, tagged};
use crate::letters;
use crate::model::{ReplyId, WijkId};

const TAG: &str = "samenspraak/reply/v1";

/// Bytes of a receipt's secret: 128 bits, so that it can't be guessed from replies that anybody may hold for ever.
pub const RECEIPT_BYTES: usize = 16;
/// Letters that carry the secret.
const SECRET_LETTERS: usize = 26;
/// Letters behind them that tell a slip of the pen from a receipt of another wijk: one wrong letter in a thousand goes unseen.
const CHECK_LETTERS: usize = 2;
/// Letters of a receipt: seven groups of four.
pub const RECEIPT_LETTERS: usize = SECRET_LETTERS + CHECK_LETTERS;

/// The secret of a receipt. Wiped from memory when it goes, and never printed but as letters for its holder.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiptSecret([u8; RECEIPT_BYTES]);

/// A text that is no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Too few letters, or too many.
    #[error("a receipt has {RECEIPT_LETTERS} letters and digits in groups of four; this has {letters}")]
    Length {
        /// How many were found.
        letters: usize,
    },
    /// A sign that no receipt has.
    #[error("{sign:?} does not occur on a receipt")]
    Sign {
        /// The sign.
        sign: char,
    },
    /// The last letters do not fit the others.
    #[error("a letter was read or typed wrong")]
    Check,
}

impl ReceiptSecret {
    /// From random bytes.
    #[must_use]
    pub const fn new(random: [u8; RECEIPT_BYTES]) -> Self {
        Self(random)
    }

    /// Its bytes, for its holder's own store.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; RECEIPT_BYTES] {
        self.0
    }

    /// 28 letters in groups of four; the last two follow from the others.
    #[must_use]
    pub fn letters(&self) -> String {
        let mut values = Zeroizing::new(letters::split(&self.0));
        values.extend(self.check());
        letters::write(&values)
    }

    /// Reads letters as people type them: any case, any spacing, O for 0, I and L for 1.
    ///
    /// # Errors
    /// When it is no receipt, or a letter is wrong.
    pub fn parse(text: &str) -> Result<Self, ReceiptError> {
        let values = Zeroizing::new(letters::read(text).map_err(|sign| ReceiptError::Sign { sign })?);
        if values.len() != RECEIPT_LETTERS {
            return Err(ReceiptError::Length { letters: values.len() });
        }
        let (secret, check) = values.split_at(SECRET_LETTERS);
        let secret = Self(letters::join(secret).ok_or(ReceiptError::Check)?);
        if secret.check() == check { Ok(secret) } else { Err(ReceiptError::Check) }
    }

    /// The values of the last letters.
    fn check(&self) -> [u8; CHECK_LETTERS] {
        let hash = tagged("samenspraak/reply-check/v1", 1, |w| {
            w.bytes(&self.0);
        });
        [hash[0] >> 3, hash[1] >> 3]
    }

    /// The key that replies are sealed to. Takes some milliseconds on purpose.
    #[must_use]
    pub fn key(&self, wijk: WijkId) -> SealSecret {
        let stretched = Zeroizing::new(letters::stretch(&self.0, wijk.as_bytes()));
        SealSecret::from_seed("samenspraak/reply-key/v1", stretched.as_slice())
    }
}

impl fmt::Debug for ReceiptSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiptSecret(…)")
    }
}

impl Drop for ReceiptSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// By this the holder of a receipt finds its replies.
#[must_use]
pub fn reply_id(to: &SealPublic) -> ReplyId {
    ReplyId::new(short(tagged("samenspraak/reply-id/v1", 1, |w| {
        w.bytes(to.as_bytes());
    })))
}

/// What is authenticated with a reply: `[tag, wijk, id]`.
fn aad(wijk: WijkId, to: &SealPublic) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(3).text(TAG).bytes(wijk.as_bytes()).bytes(reply_id(to).as_bytes());
    w.finish()
}

/// Seals a reply to the key of a receipt. The result has one of the sizes in [`SEALED_STEPS`]; `entropy` serves for this one
/// call.
///
/// # Errors
/// When the reply is too long, or the author gave a weak key.
pub fn seal_reply(to: &SealPublic, wijk: WijkId, plain: &[u8], entropy: [u8; 32]) -> Result<Vec<u8>, SealError> {
    pad::seal(to, TAG, &aad(wijk, to), plain, entropy, &SEALED_STEPS)
}

/// Opens a reply with the key of a receipt. Who answered is not said here: replies stand in signed entries.
///
/// # Errors
/// When it is not exactly what [`seal_reply`] made to this key in this wijk.
pub fn open_reply(secret: &SealSecret, wijk: WijkId, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    pad::open(secret, TAG, &aad(wijk, &secret.public()), sealed, &SEALED_STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIJK: WijkId = WijkId::new([1; 32]);

    fn receipt() -> ReceiptSecret {
        ReceiptSecret::new(std::array::from_fn(|at| (at * 91 + 17) as u8))
    }

    #[test]
    fn a_receipt_is_read_as_people_type_it() {
        let letters = receipt().letters();
        assert_eq!(letters.len(), 28 + 6);
        assert_eq!(ReceiptSecret::parse(&letters).unwrap().0, receipt().0);
        let sloppy = letters.to_lowercase().replace('0', "o").replace('1', "l").replace('-', "  ");
        assert_eq!(ReceiptSecret::parse(&sloppy).unwrap().0, receipt().0);
        assert_eq!(ReceiptSecret::parse("ABCD").unwrap_err(), ReceiptError::Length { letters: 4 });
        assert_eq!(ReceiptSecret::parse("ABCU").unwrap_err(), ReceiptError::Sign { sign: 'U' });
        assert_eq!(ReceiptSecret::parse(&format!("{letters}0")).unwrap_err(), ReceiptError::Length { letters: 29 });
    }

    /// All single slips and all swaps of neighbours on one receipt; a thousandth part may go unseen.
    #[test]
    fn a_slip_of_the_pen_is_noticed() {
        let values = letters::read(&receipt().letters()).unwrap();
        let (mut slips, mut unseen) = (0, 0);
        let mut judge = |wrong: &[u8]| {
            slips += 1;
            unseen += usize::from(ReceiptSecret::parse(&letters::write(wrong)).is_ok());
        };
        for at in 0..values.len() {
            for value in (0..32).filter(|value| *value != values[at]) {
                let mut wrong = values.clone();
                wrong[at] = value;
                judge(&wrong);
            }
            if at > 0 && values[at] != values[at - 1] {
                let mut wrong = values.clone();
                wrong.swap(at, at - 1);
                judge(&wrong);
            }
        }
        assert!(slips > 850 && unseen <= slips / 200, "{unseen} of {slips} unseen");
    }

    #[test]
    fn only_the_receipt_opens_the_reply() {
        let key = receipt().key(WIJK);
        let sealed = seal_reply(&key.public(), WIJK, b"Er komt een lamp", [3; 32]).unwrap();
        let again = ReceiptSecret::parse(&receipt().letters()).unwrap().key(WIJK);
        assert_eq!(reply_id(&again.public()), reply_id(&key.public()));
        assert_eq!(open_reply(&again, WIJK, &sealed), Ok(b"Er komt een lamp".to_vec()));
        assert_eq!(open_reply(&key, WijkId::new([2; 32]), &sealed), Err(SealError::Closed));
        let other = ReceiptSecret::new([0; 16]).key(WIJK);
        assert_eq!(open_reply(&other, WIJK, &sealed), Err(SealError::Closed));
    }

    #[test]
    fn a_receipt_has_another_key_in_another_wijk() {
        assert_ne!(receipt().key(WIJK).public(), receipt().key(WijkId::new([2; 32])).public());
    }
}
