//! Days as the log has them, and dates as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

use time::format_description::well_known::Iso8601;
use time::{Date, Duration};

/// Today, as days since 1 January 1970 (UTC).
#[must_use]
pub fn today() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs() / 86_400).unwrap_or(u32::MAX)
}

const FIRST: Date = match Date::from_ordinal_date(1970, 1) {
    Ok(date) => date,
    Err(_) => Date::MIN,
};

/// The calendar date of a day; the last one there is for days beyond the calendar.
#[must_use]
pub fn date(day: u32) -> Date {
    FIRST.checked_add(Duration::days(i64::from(day))).unwrap_or(Date::MAX)
}

/// Reads `2027-05-01`.
///
/// # Errors
/// When it is no date after 1970; the text says what is expected.
pub fn parse(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is no date: write year, month and day as in 2027-05-01");
    let date = Date::parse(text, &Iso8601::DATE).map_err(|_| wrong())?;
    u32::try_from((date - FIRST).whole_days()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_agree() {
        assert_eq!(parse("1970-01-01"), Ok(0));
        assert_eq!(parse("2026-11-22"), Ok(20_779));
        assert_eq!(date(20_779).to_string(), "2026-11-22");
        for bad in ["", "2026-13-01", "1969-12-31", "morgen"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
