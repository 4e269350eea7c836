//! How long what has ended is kept.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::duration;

/// The word for no end.
pub const FOREVER: &str = "forever";

/// How long what has ended is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// For this long.
    For(Duration),
    /// Until a person deletes it.
    Forever,
}

impl Retention {
    /// Reads a duration, or `forever`.
    ///
    /// # Errors
    /// A sentence with the problem and an example.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == FOREVER {
            return Ok(Retention::Forever);
        }
        duration::parse(text).map(Retention::For).map_err(|problem| format!("{problem}, or `{FOREVER}`"))
    }

    /// What ended before this moment is no longer kept; none if everything is.
    pub fn ends(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Retention::For(time) => now.checked_sub(time).ok(),
            Retention::Forever => None,
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Retention::For(time) => out.write_str(&duration::format(*time)),
            Retention::Forever => out.write_str(FOREVER),
        }
    }
}

impl Serialize for Retention {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_duration_or_forever() {
        let month = Retention::For(Duration::from_secs(30 * 86_400));
        assert_eq!(Retention::parse("30d"), Ok(month));
        assert_eq!(Retention::parse(" forever "), Ok(Retention::Forever));
        assert!(Retention::parse("ever").unwrap_err().contains("`forever`"));
        for one in [month, Retention::Forever] {
            assert_eq!(Retention::parse(&one.to_string()), Ok(one));
        }
    }

    #[test]
    fn it_ends_in_the_past_or_never() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let end = Retention::For(Duration::from_secs(86_400)).ends(now);
        assert_eq!(end, Some("2026-11-27T12:00:00Z".parse().unwrap()));
        assert_eq!(Retention::Forever.ends(now), None);
    }
}
