//! Time zones, from tables inside this binary: every process agrees, whatever its machine has installed.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::Error;
use crate::text::{nearest, shortened};

/// The time zones of the IANA database that is compiled in.
pub(crate) static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Finds a zone by its IANA name; upper and lower case are the same.
    ///
    /// # Errors
    /// The name is unknown; the hint suggests a similar one.
    pub fn find(name: &str) -> Result<Zone, Error> {
        let found = ZONES.get(name).ok();
        let found = found.and_then(|zone| Some(Zone { name: zone.iana_name()?.to_owned(), zone }));
        found.filter(|_| name != "Etc/Unknown").ok_or_else(|| {
            let names: Vec<String> = ZONES.available().map(|name| name.to_string()).collect();
            let near = nearest(name, names.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`?"));
            let hint =
                near.unwrap_or_else(|| "write an IANA name such as Europe/Berlin or America/New_York, or UTC".into());
            Error { message: format!("unknown time zone `{}`", shortened(name)), hint }
        })
    }

    /// Universal time.
    pub fn utc() -> Zone {
        Zone { name: "UTC".into(), zone: TimeZone::UTC }
    }

    /// The offsets of this zone and the moments at which they change.
    pub(super) fn rules(&self) -> &TimeZone {
        &self.zone
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The local time of a moment in this zone, with its offset: `2026-12-01T06:00:00+01:00`.
    pub fn show(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}
