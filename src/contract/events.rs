//! The `data` of each kind of [`super::CloudEvent`], and the answer to a command.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// An instance was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Started {
    /// The business key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The ended instance that this one runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<Uuid>,
}

/// An instance has completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Completed {
    /// The output.
    pub output: Value,
    /// The business key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A failure, as events report it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Failure {
    /// The code, words joined by dots.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// Further data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// The attempt that failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// An instance has failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Failed {
    /// The failure.
    pub error: Failure,
    /// The business key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// An instance was cancelled or resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Controlled {
    /// Who sent the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The reason given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it was ended by `terminate`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminated: bool,
    /// The business key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// An instance was suspended, by a failure or by a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Suspended {
    /// The activity that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// The failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Who sent the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The reason given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The business key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// An activity has completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ActivityCompleted {
    /// The activity.
    pub activity: String,
}

/// A task, as events report it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Task {
    /// The task.
    pub task: Uuid,
    /// The activity that waits for it.
    pub activity: String,
    /// The title.
    pub title: String,
    /// The priority: higher comes first.
    pub priority: i16,
    /// The one user who may do it.
    pub assignee: Option<String>,
    /// Users who may do it.
    pub users: Vec<String>,
    /// Groups whose members may do it.
    pub groups: Vec<String>,
    /// When it is due.
    pub due_at: Option<Timestamp>,
    /// The business key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A task was offered to more people, or this has failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskEscalated {
    /// The task.
    #[serde(flatten)]
    pub about: Task,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// A task has another assignee.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskAssigned {
    /// The task.
    #[serde(flatten)]
    pub about: Task,
    /// The user who changed the assignee.
    pub by: String,
}

/// A reminder of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskReminded {
    /// The task.
    #[serde(flatten)]
    pub about: Task,
    /// The number of the reminder, from 1.
    pub number: u64,
    /// The user who has claimed it.
    pub claimed_by: Option<String>,
}

/// A task was completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskCompleted {
    /// The task.
    #[serde(flatten)]
    pub about: Task,
    /// The user who completed it; null after a vote.
    pub by: Option<String>,
    /// The decision.
    pub decision: Option<String>,
}

/// A task was closed without being completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskClosed {
    /// The task.
    pub task: Uuid,
    /// `timed_out`, `cancelled` or `undecided`.
    pub outcome: String,
    /// The business key.
    pub key: Option<String>,
}

/// The answer to a command that has set `reply_to`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Answer {
    /// The instance concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Uuid>,
    /// `refused`, or the effect of the command: `started`, `delivered`, `cancelled` …
    pub outcome: String,
    /// The reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The task concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Uuid>,
    /// The call concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Uuid>,
    /// The number of waits a broadcast was sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receivers: Option<u64>,
}
