//! The wijk's directory: its name, its place, its themes and buurten. Holds no personal data.

/// Longest name in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// Themes of one wijk: five principles and local ones below them.
pub const THEMES_MAX: usize = 64;
/// Buurten of one wijk: the largest Dutch wijken have about thirty.
pub const BUURTEN_MAX: usize = 64;

/// A code of Statistics Netherlands (CBS): `WK` + 6 characters or `BU` + 8; letters may occur.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AreaCode(String);

impl AreaCode {
    /// Parses and checks a code.
    ///
    /// # Errors
    /// When it has not that form; the text says which form is expected.
    pub fn parse(text: &str) -> Result<Self, AreaCodeError> {
        let tail_len = match text.get(..2) {
            Some("WK") => 6,
            Some("BU") => 8,
            _ => return Err(AreaCodeError { text: text.chars().take(32).collect() }),
        };
        let tail = &text.as_bytes()[2..];
        if tail.len() == tail_len && tail.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(AreaCodeError { text: text.chars().take(32).collect() })
        }
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no CBS code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no CBS code: a wijk is WK and 6 characters, a buurt BU and 8, digits or capitals")]
pub struct AreaCodeError {
    /// The beginning of the text.
    pub text: String,
}

/// A theme contributions can be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Its number; 1-5 are the five principles.
    pub number: u64,
    /// Its name on screen.
    pub name: String,
}

/// A part of the wijk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buurt {
    /// CBS code.
    pub code: AreaCode,
    /// Its name.
    pub name: String,
}

/// The directory. Of several the one with the highest counter counts, ties by entry id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Name of the wijk.
    pub name: String,
    /// Municipality.
    pub municipality: String,
    /// CBS code of the wijk.
    pub code: AreaCode,
    /// Year the codes are of: CBS redraws them.
    pub reference_year: u64,
    /// Themes.
    pub themes: Vec<Theme>,
    /// Buurten.
    pub buurten: Vec<Buurt>,
    /// One more than the directory it follows.
    pub counter: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_wijken_and_buurten_are_told_from_other_text() {
        for good in ["WK036312", "BU03631200", "WK0363AA", "BU0363AA01"] {
            assert_eq!(AreaCode::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "WK", "WK03631", "BU036312", "wk036312", "WK03631é", "GM0363", "WK0363120"] {
            assert!(AreaCode::parse(bad).is_err(), "{bad}");
        }
    }
}
