//! Schedules as the HTTP API and `-o json` show them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::empty_object;
use crate::time::duration::serde_text;

/// `PUT /api/v1/schedules/{name}`: the settings of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// The definition that is started.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub definition: String,
    /// The version; the newest active one at the time of the start when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// The cron expression, of five fields.
    #[cfg_attr(feature = "server", schemars(extend("format" = "leveret-cron")))]
    pub cron: String,
    /// The time zone of the expression.
    #[serde(default = "utc")]
    #[cfg_attr(feature = "server", schemars(extend("format" = "leveret-zone")))]
    pub zone: String,
    /// The input; texts in it are templates, which see `now`, `scheduled_at`, `schedule`, `zone` and `env`.
    #[serde(default = "empty_object")]
    pub input: Value,
    /// What a tick does while the instance of an earlier one lives.
    #[serde(default)]
    pub overlap: Overlap,
    /// A missed tick is started if it is not older than this; at least a minute.
    #[serde(default = "an_hour", with = "serde_text")]
    #[cfg_attr(feature = "server", schemars(with = "String", extend("format" = "leveret-duration")))]
    pub catch_up: Duration,
    /// Which of the missed ticks are started.
    #[serde(default)]
    pub missed: Missed,
}

fn utc() -> String {
    "UTC".into()
}

fn an_hour() -> Duration {
    Duration::from_secs(3_600)
}

/// What a tick does while the instance of an earlier one lives.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, strum::EnumString, strum::IntoStaticStr,
)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Overlap {
    /// It starts nothing.
    #[default]
    Skip,
    /// It starts another one.
    Allow,
    /// It waits for the end of that instance. One tick can wait; further ticks start nothing meanwhile.
    Queue,
    /// It cancels that instance.
    Cancel,
}

/// Which of the missed ticks are started.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, strum::EnumString, strum::IntoStaticStr,
)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Missed {
    /// The newest.
    #[default]
    Newest,
    /// Each, the oldest first.
    All,
}

impl Overlap {
    /// Every policy.
    pub const ALL: [Overlap; 4] = [Overlap::Skip, Overlap::Allow, Overlap::Queue, Overlap::Cancel];

    /// The name in the table, the API and on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The policy of that name.
    pub fn parse(name: &str) -> Option<Overlap> {
        name.parse().ok()
    }
}

impl Missed {
    /// Every choice.
    pub const ALL: [Missed; 2] = [Missed::Newest, Missed::All];

    /// The name in the table, the API and on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The choice of that name.
    pub fn parse(name: &str) -> Option<Missed> {
        name.parse().ok()
    }
}

/// One schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ScheduleView {
    /// Its name.
    pub name: String,
    /// The settings.
    #[serde(flatten)]
    pub said: ScheduleRequest,
    /// The revision: incremented by every change of the settings.
    pub revision: i64,
    /// The first tick that is not handled yet.
    pub next_at: Option<Timestamp>,
    /// When it was paused; null if it is not.
    pub paused_at: Option<Timestamp>,
    /// A tick that waits for the instance of an earlier one to end.
    pub queued_at: Option<Timestamp>,
    /// The newest tick that was started or has failed.
    pub last_tick_at: Option<Timestamp>,
    /// The instance that was started last.
    pub last_instance: Option<Uuid>,
    /// Why the newest failed tick could not be started.
    pub last_error: Option<String>,
    /// The time of that error.
    pub last_error_at: Option<Timestamp>,
    /// The number of instances started, manual starts included.
    pub started: i64,
    /// The number of ticks that started nothing: overlapping, or missed and too old.
    pub skipped: i64,
    /// The number of ticks that could not be started.
    pub failed: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its settings were last changed.
    pub updated_at: Timestamp,
}

/// A coming tick of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TickView {
    /// The time.
    pub at: Timestamp,
    /// The same in the zone of the schedule, with its offset.
    pub local: String,
}
