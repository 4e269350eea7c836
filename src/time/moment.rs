//! Moments as text: RFC 3339 with a UTC offset, up to the end of the year 9999.

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::fmt::temporal::Pieces;

/// The last second that has a date in every time zone. Its fractions are left out: not all conversions of jiff take them.
pub const LAST: Timestamp = Timestamp::constant(253_402_207_200, 0);
/// The date in UTC of [`LAST`].
const LAST_DATE: Date = date(9999, 12, 30);
/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// Reads a moment. `9999-12-31T23:59:59Z`, which people write for "never", and every other moment of the year 9999 after [`LAST`]
/// is [`LAST`].
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(|moment: Timestamp| moment.min(LAST)).or_else(|| {
        let pieces = Pieces::parse(text).ok()?;
        (pieces.time().is_some() && pieces.to_numeric_offset().is_some() && pieces.date() >= LAST_DATE).then_some(LAST)
    })
}

/// The moment from its seconds since 1970; as [`parse`] at the end of the year 9999.
pub fn from_second(second: i64) -> Option<Timestamp> {
    let is_late = second > LAST.as_second() && second <= LAST_SECOND;
    if is_late { Some(LAST) } else { Timestamp::from_second(second).ok() }
}

/// Reads an option of a command line.
///
/// # Errors
/// What to write.
pub fn option(text: &str) -> Result<Timestamp, String> {
    parse(text).ok_or_else(|| WANTED.into())
}

const WANTED: &str = "write a time with its UTC offset, as in 2026-01-31T09:00:00Z";

/// For an optional field with `#[serde(deserialize_with = "…")]`.
///
/// # Errors
/// It is neither null nor a moment.
pub fn deserialize_option<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let text = <Option<String> as serde::Deserialize>::deserialize(from)?;
    text.map(|text| parse(&text).ok_or_else(|| serde::de::Error::custom(WANTED))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_year_9999_is_the_last_moment() {
        for text in [
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59.999999999Z",
            "9999-12-31T23:59:59+00:00",
            "9999-12-31T23:59:59-08:00",
            "9999-12-30T23:00:00Z",
            "9999-12-30T22:00:00.5Z",
        ] {
            assert_eq!(parse(text), Some(LAST), "{text}");
        }
        assert_eq!(parse("9999-12-30T21:00:00Z").unwrap().to_string(), "9999-12-30T21:00:00Z");
        assert_eq!(LAST.to_string(), "9999-12-30T22:00:00Z");
        assert!(
            Timestamp::MAX >= LAST && Timestamp::from_microsecond(LAST.as_microsecond()).is_ok_and(|last| last == LAST)
        );
        assert_eq!(from_second(LAST_SECOND), Some(LAST));
        assert_eq!(from_second(LAST_SECOND + 1), None);
        assert_eq!(from_second(0), Some(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "9999-12-31", "9999-12-31T23:59:59", "10000-01-01T00:00:00Z", "9999-12-32T00:00:00Z", "never"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
