//! Schedules as the HTTP API and `-o json` show them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::empty_object;
use crate::time::duration::serde_text;

/// `PUT /api/v1/schedules/{name}`: what a person says of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// The definition that is started.
    pub definition: String,
    /// Always this version; the newest active one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// When: a cron expression of five fields.
    pub cron: String,
    /// By the clock of this time zone.
    #[serde(default = "utc")]
    pub zone: String,
    /// The input; texts in it are templates, which see `now`, `scheduled_at`, `schedule`, `zone` and `env`.
    #[serde(default = "empty_object")]
    pub input: Value,
    /// What a tick does while the instance of an earlier one lives.
    #[serde(default)]
    pub overlap: Overlap,
    /// Ticks that nobody was there for are started within this time; at least a minute.
    #[serde(default = "an_hour", with = "serde_text")]
    pub catch_up: Duration,
    /// Which of them.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It starts nothing.
    #[default]
    Skip,
    /// It starts another one.
    Allow,
    /// It waits for the end of that instance. One waits; those that come meanwhile start nothing.
    Queue,
    /// It cancels that instance.
    Cancel,
}

/// Which ticks are started of those that nobody was there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

    /// The word used in the table, the API and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Overlap::Skip => "skip",
            Overlap::Allow => "allow",
            Overlap::Queue => "queue",
            Overlap::Cancel => "cancel",
        }
    }

    /// The policy of that name.
    pub fn parse(name: &str) -> Option<Overlap> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

impl Missed {
    /// Both.
    pub const ALL: [Missed; 2] = [Missed::Newest, Missed::All];

    /// The word used in the table, the API and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Missed::Newest => "newest",
            Missed::All => "all",
        }
    }

    /// The choice of that name.
    pub fn parse(name: &str) -> Option<Missed> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// One schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleView {
    /// Its name.
    pub name: String,
    /// What was said of it.
    #[serde(flatten)]
    pub said: ScheduleRequest,
    /// Raised by every change that a person makes.
    pub revision: i64,
    /// The first tick that was not handled yet.
    pub next_at: Option<Timestamp>,
    /// Since when it is paused, if it is.
    pub paused_at: Option<Timestamp>,
    /// A tick that waits for the instance of an earlier one to end.
    pub queued_at: Option<Timestamp>,
    /// The newest tick that was started or could not be.
    pub last_tick_at: Option<Timestamp>,
    /// What was started last.
    pub last_instance: Option<Uuid>,
    /// Why the newest tick could not be started.
    pub last_error: Option<String>,
    /// When it could not.
    pub last_error_at: Option<Timestamp>,
    /// Instances started, those by hand among them.
    pub started: i64,
    /// Ticks that started nothing: overlapping, or missed and too old.
    pub skipped: i64,
    /// Ticks that could not be started.
    pub failed: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a person changed it.
    pub updated_at: Timestamp,
}

/// One moment a schedule will come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickView {
    /// The moment.
    pub at: Timestamp,
    /// As the zone's clock shows it, with its offset.
    pub local: String,
}
