//! Time zones, from tables inside this binary: whatever the machine knows or does not know, all processes agree.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::cron::Wrong;
use super::cursor::shortened;
use super::problems::nearest;

pub(super) static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone by its name in the tables of IANA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Finds a zone, whatever the case of its letters.
    ///
    /// # Errors
    /// There is none of that name; the hint knows a similar one.
    pub fn find(name: &str) -> Result<Zone, Wrong> {
        let found = ZONES.get(name).ok();
        let found = found.and_then(|zone| Some(Zone { name: zone.iana_name()?.to_owned(), zone }));
        found.filter(|_| name != "Etc/Unknown").ok_or_else(|| {
            let names: Vec<String> = ZONES.available().map(|name| name.to_string()).collect();
            let near = nearest(name, names.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`?"));
            let hint =
                near.unwrap_or_else(|| "a region and a city, as in Europe/Berlin or America/New_York, or UTC".into());
            Wrong { message: format!("there is no time zone `{}`", shortened(name)), hint }
        })
    }

    /// Universal time.
    pub fn utc() -> Zone {
        Zone { name: "UTC".into(), zone: TimeZone::UTC }
    }

    /// When its clock changes.
    pub(super) fn rules(&self) -> &TimeZone {
        &self.zone
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A moment as the zone's clock shows it, with its offset: `2026-12-01T06:00:00+01:00`.
    pub fn show(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}
