//! Secrets that people type over from paper: letters of Crockford's base 32, and the costly way from a secret to a key.
//!
//! One place for invitation cards and for receipts, so that all of them read and feel the same. Not here: how many letters
//! something has, or what its key opens; see `membership::card` and `seal::reply`.

use argon2::{Algorithm, Argon2, Params, Version};

/// Crockford's base 32: no I, L, O or U, which people read as 1, 1, 0 and V.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Letters between two hyphens: what people keep in mind while they look from paper to screen.
const GROUP: usize = 4;

/// Memory of one derivation. 8 MiB runs on the smallest phone in a moment; the random bits of a secret carry the weight, this
/// only makes each guess dearer.
const ARGON_MEMORY_KIB: u32 = 8 * 1024;
/// Passes over that memory.
const ARGON_PASSES: u32 = 1;

/// Bytes as values of five bits, the first bits first; zero bits fill the last value.
#[must_use]
pub fn split(bytes: &[u8]) -> Vec<u8> {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let values = (bytes.len() * 8).div_ceil(5);
    (0..values).map(|value| (0..5).fold(0, |five, at| five << 1 | bit(value * 5 + at))).collect()
}

/// What [`split`] made of the `N` bytes that come back; nothing when there are not as many values as `N` bytes have, or when the
/// bits that fill the last one are not zero.
#[must_use]
pub fn join<const N: usize>(values: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for at in 0..N * 8 {
        let bit = values.get(at / 5)? >> (4 - at % 5) & 1;
        bytes[at / 8] = bytes[at / 8] << 1 | bit;
    }
    (split(&bytes) == values).then_some(bytes)
}

/// Values of five bits as letters in groups of four.
#[must_use]
pub fn write(values: &[u8]) -> String {
    let mut text = String::with_capacity(values.len() + values.len() / GROUP);
    for (at, value) in values.iter().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(LETTERS[usize::from(value & 31)]));
    }
    text
}

/// Reads letters as people type them: any case, any spacing, O for 0, I and L for 1.
///
/// # Errors
/// The first sign that is no letter.
pub fn read(text: &str) -> Result<Vec<u8>, char> {
    let signs = text.chars().filter(|sign| !sign.is_whitespace() && *sign != '-');
    let value = |sign: char| {
        let upper = match sign.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        LETTERS.iter().position(|letter| char::from(*letter) == upper).map(|at| at as u8).ok_or(sign)
    };
    signs.map(value).collect()
}

/// 32 bytes of key from a typed secret, by Argon2id with the id of the wijk as salt: the same letters give other keys in
/// another wijk. Takes some milliseconds on purpose.
#[must_use]
pub fn stretch(secret: &[u8], salt: &[u8; 32]) -> [u8; 32] {
    let params = Params::new(ARGON_MEMORY_KIB, ARGON_PASSES, 1, Some(32)).expect("constants within Argon2's limits");
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(secret, salt, &mut key)
        .expect("salt and output have allowed lengths");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_their_letters() {
        let bytes: [u8; 16] = std::array::from_fn(|at| (at * 37 + 5) as u8);
        let values = split(&bytes);
        assert_eq!(values.len(), 26);
        assert_eq!(join(&values), Some(bytes));
        assert_eq!(read(&write(&values)), Ok(values));
    }

    #[test]
    fn one_secret_has_one_form() {
        let values = split(&[0; 16]);
        assert_eq!(join::<16>(&values[..25]), None);
        assert_eq!(join::<16>(&[&values[..], &[0]].concat()), None);
        // The two bits behind the last byte.
        for spare in [1, 2, 3] {
            assert_eq!(join::<16>(&[&values[..25], &[spare]].concat()), None);
        }
    }

    #[test]
    fn a_sign_that_is_no_letter_is_named() {
        assert_eq!(read("ab-cu"), Err('u'));
        assert_eq!(read(" oO iI-lL 9z"), Ok(vec![0, 0, 1, 1, 1, 1, 9, 31]));
    }
}
