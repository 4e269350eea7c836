//! Durations as text: `250ms`, `30s`, `1h30m`, `2d`, `1w`.

use std::time::Duration;

/// The longest duration accepted: a hundred years.
pub const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Reads a duration: one or more numbers, each with a unit (`ms s m h d w`), largest unit first by custom, not by rule.
///
/// # Errors
/// A sentence with the problem and an example.
pub fn parse(text: &str) -> Result<Duration, String> {
    let invalid =
        || format!("`{text}` is not a valid duration: write a number and a unit, as in 250ms, 30s, 15m, 2h or 3d");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let seconds = match &rest[..letters] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return Err(invalid()),
        };
        total += number * seconds;
        rest = rest[letters..].trim_start();
    }
    if total > DURATION_MAX.as_secs_f64() {
        return Err(format!("`{text}` is longer than a hundred years"));
    }
    // The database keeps microseconds.
    Ok(Duration::from_micros((total * 1e6).round() as u64))
}

/// Formats a duration so that [`parse`] can read it.
pub fn format(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let mut rest = duration.as_millis();
    if rest == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (size, unit) in UNITS {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

/// For `#[serde(with = "…")]` in settings.
pub mod serde_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes `"30s"`.
    pub fn serialize<S: Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&super::format(*duration))
    }

    /// Reads `"30s"`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        super::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1_500)));
    }

    #[test]
    fn an_invalid_duration_is_refused() {
        for text in ["", "5", "s", "5x", "-1s", "1e9d", "99999999d", "٣s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_formatted_duration_parses_as_itself() {
        for millis in [0, 1, 999, 61_000, 90_061_001] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
