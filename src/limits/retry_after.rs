//! `Retry-After`: how long a server asks to be left alone.

use std::time::Duration;

use jiff::Timestamp;

/// Reads the header: seconds, or a date that is compared with `now` (the `Date` of the same response where there is one, so
/// that the two clocks are one). What has passed is zero; nothing is longer than `max`; what cannot be read is `None`.
pub fn parse(text: &str, now: Timestamp, max: Duration) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are still only: long.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(max));
    }
    let until = http_date(text)?;
    let wait = Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO);
    Some(wait.min(max))
}

/// A date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`, and the two obsolete forms.
pub fn http_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(moment) = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text) {
        return Some(moment);
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].iter().find_map(|format| {
        let read = jiff::fmt::strtime::parse(format, text).ok()?.to_datetime().ok()?;
        Some(read.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(600);

    fn wait(text: &str) -> Option<u64> {
        parse(text, "1994-11-06T08:49:07Z".parse().unwrap(), MAX).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait(" 0 "), Some(0));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30));
        assert_eq!(wait("Sunday, 06-Nov-94 08:49:37 GMT"), Some(30));
        assert_eq!(wait("Sun Nov  6 08:49:37 1994"), Some(30));
    }

    #[test]
    fn what_has_passed_is_now_and_nothing_is_longer_than_the_bound() {
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(wait("Sun, 06 Nov 2094 08:00:00 GMT"), Some(600));
        assert_eq!(wait("99999999999999999999999999"), Some(600));
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for text in ["", "soon", "-5", "1.5", "12s", "Sun, 06 Foo 1994 08:49:37 GMT"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }
}
