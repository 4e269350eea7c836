//! What events and answers say: the `data` of a [`super::CloudEvent`], by its kind.

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
}

/// An instance has completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Completed {
    /// What it ended with.
    pub output: Value,
    /// The business key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// An error, as events tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Failure {
    /// Dotted words.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// Anything more.
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
    /// Why.
    pub error: Failure,
    /// The business key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// An instance was called off, or may go on after it was suspended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Controlled {
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The business key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// An instance stands still: after a failure, or by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Suspended {
    /// The activity that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why they asked.
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
    /// Which.
    pub activity: String,
}

/// A task, as events tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Task {
    /// The task.
    pub task: Uuid,
    /// The activity that waits for it.
    pub activity: String,
    /// What a list shows.
    pub title: String,
    /// Higher goes first.
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

/// A task was offered to more people, or could not be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskEscalated {
    /// The task.
    #[serde(flatten)]
    pub about: Task,
    /// Why it could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// A task belongs to somebody else now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskAssigned {
    /// The task.
    #[serde(flatten)]
    pub about: Task,
    /// Who saw to that.
    pub by: String,
}

/// It is time to remind people of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskReminded {
    /// The task.
    #[serde(flatten)]
    pub about: Task,
    /// The reminder, from 1.
    pub number: u64,
    /// Who holds it.
    pub claimed_by: Option<String>,
}

/// A task is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskCompleted {
    /// The task.
    #[serde(flatten)]
    pub about: Task,
    /// Who did it; nobody in particular after a vote.
    pub by: Option<String>,
    /// How it was decided.
    pub decision: Option<String>,
}

/// Nobody waits for a task any more.
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

/// What the sender of a command is told, if it asks for that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Answer {
    /// The instance it concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Uuid>,
    /// `refused`, or what the command did: `started`, `delivered`, `cancelled` …
    pub outcome: String,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The task it concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Uuid>,
    /// The call it concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Uuid>,
    /// How many waits a broadcast was sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receivers: Option<u64>,
}
