//! The state of an instance: plain values that are loaded, changed in memory and committed as a whole.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

mod branch;
mod values;
mod wait;

pub use branch::{Branch, Concluded, Phase};
pub use wait::{Probing, TaskTimer, TimerKind, Wait, WaitOn};

/// The format in which this binary writes `branches`; a newer one is left to newer workers.
pub const STATE_FORMAT: i16 = 1;

/// Identity of an instance: a UUIDv7, so that ids are ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub Uuid);

impl fmt::Display for InstanceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl FromStr for InstanceId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Identity of a branch inside its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BranchId(pub i32);

/// The first branch of every instance.
pub const ROOT: BranchId = BranchId(0);

/// The status of an instance.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::VariantArray,
    strum::VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// It takes steps, or waits.
    Running,
    /// It waits for a person, after a failure or a command; it takes no step meanwhile.
    Suspended,
    /// It compensates what it has done.
    Compensating,
    /// It reached its end.
    Completed,
    /// It ended with an error.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl Status {
    /// Every status, in the order of the life of an instance.
    pub const ALL: &[Status] = <Self as strum::VariantArray>::VARIANTS;
    /// Their names.
    pub const NAMES: &[&str] = <Self as strum::VariantNames>::VARIANTS;

    /// The word used in tables, API and documents.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The status with this name.
    pub fn parse(name: &str) -> Option<Status> {
        name.parse().ok()
    }

    /// Whether the status is final.
    pub fn has_ended(self) -> bool {
        match self {
            Status::Running | Status::Suspended | Status::Compensating => false,
            Status::Completed | Status::Failed | Status::Cancelled => true,
        }
    }
}

/// One execution of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its identity.
    pub id: InstanceId,
    /// The definition's name.
    pub definition: String,
    /// The version of the definition; it never changes.
    pub version: i32,
    /// Its status.
    pub status: Status,
    /// The concurrency token: every commit compares and raises it. 0 before the first commit.
    pub revision: i64,
    /// The business key, unique among live instances of the definition.
    pub key: Option<String>,
    /// The queue of its step commands.
    pub queue: String,
    /// A higher priority is served first.
    pub priority: i16,
    /// Its input, with defaults filled in.
    pub input: Map<String, Value>,
    /// The declared variables.
    pub variables: Map<String, Value>,
    /// Its output, once it has completed.
    pub output: Option<Value>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Its branches and counters.
    pub state: State,
    /// The number of its history rows.
    pub history_count: i64,
    /// The hash of its newest history row.
    pub history_hash: [u8; 32],
    /// When it was started.
    pub started_at: Timestamp,
    /// Who started it: the `app_id` of the command, or a user.
    pub started_by: Option<String>,
    /// The user of the broker who sent the start, where the broker has verified one.
    pub user_id: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// W3C trace context of the start; everything it publishes carries it.
    pub trace: Option<String>,
}

impl Instance {
    /// Whether a branch is ready for its next step.
    pub fn is_ready(&self) -> bool {
        self.ready_branch().is_some()
    }

    /// The first branch that is ready for its next step.
    pub fn ready_branch(&self) -> Option<&Branch> {
        match self.status {
            Status::Running | Status::Compensating => {}
            // It moves only after `retry` or `resume`, which write a new step command for a ready branch.
            Status::Suspended | Status::Completed | Status::Failed | Status::Cancelled => return None,
        }
        self.state.branches.iter().find(|branch| branch.phase == Phase::Ready)
    }
}

/// The content of the column `branches`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// The branches; empty when the instance has ended.
    pub branches: Vec<Branch>,
    /// How often each activity was begun.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub visits: BTreeMap<String, u32>,
    /// Who completed each task activity last; null before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub actors: BTreeMap<String, Option<String>>,
    /// The number of the next bookmark, from 1.
    #[serde(default)]
    pub bookmarks: i64,
    /// The open timer of the `timeout` of the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Deadline>,
    /// The open bookmark of a suspension by a command; `resume` consumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<i64>,
}

/// The deadline of an instance, by the `timeout` of its definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deadline {
    /// Its timer's bookmark.
    pub bookmark: i64,
    /// When it is due.
    pub due_at: Timestamp,
}

/// An error of an activity: data in the instance, not a Rust error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// A dotted code, for programs.
    pub code: String,
    /// A sentence, for people.
    pub message: String,
    /// Any JSON, for `on_error`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

impl Failure {
    /// A failure without data.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), data: Value::Null }
    }
}
