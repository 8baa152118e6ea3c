//! Invitation cards: 80 random bits as 16 letters, and the key that follows from them.
//!
//! A card is printed or shown as a QR code. The wijk's id stands in the link, so that nobody can pose as the wijk; only the
//! public half of the key stands in the log, and Argon2id makes guessing letters from it costly.

use std::fmt;

use crate::entry::sign::Key;
use crate::letters;
use crate::model::{InvitationKey, PersonId, WijkId};

/// Bytes of a card's secret: 80 bits, sixteen letters.
pub const SECRET_BYTES: usize = 10;

/// The secret on a card.
#[derive(Clone, PartialEq, Eq)]
pub struct CardSecret([u8; SECRET_BYTES]);

impl fmt::Debug for CardSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardSecret(…)")
    }
}

/// A text that is no card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Not sixteen letters.
    #[error("a card has 16 letters and digits in groups of four; this has {letters}")]
    Length {
        /// How many were found.
        letters: usize,
    },
    /// A sign that no card has.
    #[error("{sign:?} does not occur on a card")]
    Sign {
        /// The sign.
        sign: char,
    },
    /// A link without the wijk's 64 digits, or with half a person.
    #[error("this is no link of a card: after # come the 64 digits of the wijk, a dot and 16 letters")]
    Link,
    /// A link that is no circle's.
    #[error(
        "this is no card of a circle: after kring# come the 64 digits of the wijk, 32 of the circle, and 16 letters"
    )]
    CircleLink,
}

impl CardSecret {
    /// From random bytes.
    #[must_use]
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random)
    }

    /// Sixteen letters in groups of four.
    #[must_use]
    pub fn letters(&self) -> String {
        letters::write(&letters::split(&self.0))
    }

    /// Reads letters as people type them: any case, any spacing, O for 0, I and L for 1.
    ///
    /// # Errors
    /// When it is no card.
    pub fn parse(text: &str) -> Result<Self, CardError> {
        let values = letters::read(text).map_err(|sign| CardError::Sign { sign })?;
        // Sixteen letters are exactly eighty bits, so nothing but their number can be wrong.
        letters::join(&values).map(Self).ok_or(CardError::Length { letters: values.len() })
    }

    /// The card's key. Takes some milliseconds on purpose.
    #[must_use]
    pub fn key(&self, wijk: WijkId) -> Key {
        Key::from_secret(&letters::stretch(&self.0, wijk.as_bytes()))
    }

    /// The public half of the card's key.
    #[must_use]
    pub fn public(&self, wijk: WijkId) -> InvitationKey {
        InvitationKey::new(*self.key(wijk).id().as_bytes())
    }
}

/// What a card's QR code holds: where the server is, which wijk, and the secret. The part after `#` is never sent to a
/// server by a browser. A card for one more device of a person also names that person, behind another dot: a device says
/// whose it is in the first thing it signs, so letters alone are not enough there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardLink {
    /// Address of the server, `http://…` or `https://…`.
    pub server: String,
    /// The wijk.
    pub wijk: WijkId,
    /// The secret.
    pub secret: CardSecret,
    /// The person whose device joins with it; `None` for a card that makes a person of its own.
    pub device_of: Option<PersonId>,
}

impl CardLink {
    /// Reads a link.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, CardError> {
        let (address, tail) = text.trim().split_once('#').ok_or(CardError::Link)?;
        let (wijk, rest) = tail.split_once('.').ok_or(CardError::Link)?;
        let (letters, person) = match rest.split_once('.') {
            Some((letters, person)) => (letters, Some(PersonId::from_hex(person).ok_or(CardError::Link)?)),
            None => (rest, None),
        };
        let server = address.strip_suffix("/kaart").ok_or(CardError::Link)?;
        if !server.starts_with("http://") && !server.starts_with("https://") {
            return Err(CardError::Link);
        }
        Ok(Self {
            server: server.to_owned(),
            wijk: WijkId::from_hex(wijk).ok_or(CardError::Link)?,
            secret: CardSecret::parse(letters)?,
            device_of: person,
        })
    }
}

impl fmt::Display for CardLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/kaart#{}.{}", self.server, self.wijk, self.secret.letters())?;
        self.device_of.map_or(Ok(()), |person| write!(f, ".{person}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_as_people_type_them() {
        let card = CardSecret::new([0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf]);
        let letters = card.letters();
        assert_eq!(letters.len(), 19);
        assert_eq!(CardSecret::parse(&letters), Ok(card.clone()));
        let sloppy = letters.to_lowercase().replace('0', "o").replace('1', "l").replace('-', "  ");
        assert_eq!(CardSecret::parse(&sloppy), Ok(card));
        assert_eq!(CardSecret::parse("ABCD"), Err(CardError::Length { letters: 4 }));
        assert_eq!(CardSecret::parse("ABCD-EFGH-JKMN-PQR!"), Err(CardError::Sign { sign: '!' }));
    }

    #[test]
    fn a_link_is_read_back() {
        let mut link = CardLink {
            server: "http://127.0.0.1:7447".into(),
            wijk: WijkId::new([7; 32]),
            secret: CardSecret::new([9; SECRET_BYTES]),
            device_of: None,
        };
        let before = link.to_string();
        assert_eq!(CardLink::parse(&before).as_ref(), Ok(&link));
        link.device_of = Some(PersonId::new([0xab; 16]));
        let with_person = link.to_string();
        assert_eq!(
            with_person,
            format!("{before}.{}", "ab".repeat(16)),
            "what stood on cards of before stays as it was"
        );
        assert_eq!(CardLink::parse(&with_person), Ok(link));
        for bad in ["", "http://x/kaart", "x/kaart#aa.bb", "http://x/kaart#00.ABCD-EFGH-JKMN-PQRS"] {
            assert!(CardLink::parse(bad).is_err(), "{bad}");
        }
        for tail in [".", ".ab", ".abab.", &format!(".{}", "AB".repeat(16)), &format!(".{}.", "ab".repeat(16))] {
            assert!(CardLink::parse(&format!("{before}{tail}")).is_err(), "{tail}");
        }
    }

    #[test]
    fn the_same_letters_give_another_key_in_another_wijk() {
        let card = CardSecret::new([1; SECRET_BYTES]);
        assert_ne!(card.public(WijkId::new([1; 32])), card.public(WijkId::new([2; 32])));
    }
}
