//! Cards of a circle: what a facilitator hands to somebody in private. Only the circle's own space knows that there is one.

use std::fmt;

use super::card::{CardError, CardSecret};
use crate::entry::sign::Key;
use crate::hash::tagged;
use crate::model::id::from_hex;
use crate::model::{SpaceId, WijkId};

/// What a card of a circle holds. There is no server's address on it: whoever can use it belongs to the wijk already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircleLink {
    /// The wijk.
    pub wijk: WijkId,
    /// The circle.
    pub circle: SpaceId,
    /// The secret.
    pub secret: CardSecret,
}

/// How the text of such a card begins.
const PREFIX: &str = "kring#";

impl CircleLink {
    /// Reads a link.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, CardError> {
        let mut parts = text.trim().strip_prefix(PREFIX).ok_or(CardError::CircleLink)?.splitn(3, '.');
        let mut next = || parts.next().ok_or(CardError::CircleLink);
        let wijk = WijkId::from_hex(next()?).ok_or(CardError::CircleLink)?;
        let circle = SpaceId::Circle(from_hex(next()?).ok_or(CardError::CircleLink)?);
        Ok(Self { wijk, circle, secret: CardSecret::parse(next()?)? })
    }

    /// The card's key: the same letters give another one in another circle. Takes some milliseconds on purpose.
    #[must_use]
    pub fn key(&self) -> Key {
        // The salt has the length of a wijk's id, which is the salt of its own cards.
        self.secret.key(WijkId::new(tagged("samenspraak/circle-card/v1", 2, |w| {
            w.bytes(self.wijk.as_bytes()).bytes(&self.circle.to_bytes());
        })))
    }
}

impl fmt::Display for CircleLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = match self.circle {
            SpaceId::Circle(id) => hex::encode(id),
            _ => String::new(),
        };
        write!(f, "{PREFIX}{}.{id}.{}", self.wijk, self.secret.letters())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_s_link_is_read_back_and_its_key_is_the_circle_s() {
        let secret = CardSecret::new([9; 10]);
        let link = CircleLink { wijk: WijkId::new([7; 32]), circle: SpaceId::Circle([3; 16]), secret };
        assert_eq!(CircleLink::parse(&link.to_string()), Ok(link.clone()));
        let other = CircleLink { circle: SpaceId::Circle([4; 16]), ..link.clone() };
        assert_ne!(link.key().id(), other.key().id());
        for bad in ["", "kring#", "kring#00.11.ABCD", &link.to_string()[..80]] {
            assert!(CircleLink::parse(bad).is_err(), "{bad}");
        }
    }
}
