//! `Retry-After`: how long a server asks to wait before the next request.

use std::time::Duration;

use jiff::Timestamp;

/// Reads the header: seconds, or a date that is compared with `now` (preferably the `Date` of the same response, so that both
/// come from one clock). At most `max`; zero for a date in the past; `None` if the header is not valid.
pub fn parse(text: &str, now: Timestamp, max: Duration) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit into a number mean a long time.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(max));
    }
    let until = http_date(text)?;
    let wait = Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO);
    Some(wait.min(max))
}

/// A date in the format of HTTP: `Sun, 06 Nov 1994 08:49:37 GMT`, and the two obsolete forms.
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
    fn a_date_in_the_past_is_zero_and_nothing_exceeds_the_bound() {
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(wait("Sun, 06 Nov 2094 08:00:00 GMT"), Some(600));
        assert_eq!(wait("99999999999999999999999999"), Some(600));
    }

    #[test]
    fn an_invalid_header_is_ignored() {
        for text in ["", "soon", "-5", "1.5", "12s", "Sun, 06 Foo 1994 08:49:37 GMT"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }
}
