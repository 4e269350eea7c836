//! Operations on an instance: what is asked, and what would change.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::contract::{Jump, Operation, Rerun, SetPriority, SetQueue, SetVariables, Skip, Target};

/// What every operation accepts: `POST /api/v1/instances/{id}/cancel`, `/terminate`, `/retry`, `/suspend` and `/resume` accept nothing
/// else.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ControlRequest {
    /// The reason, kept in the history. `note` means the same.
    #[serde(alias = "note")]
    pub reason: Option<String>,
    /// The person who acts, kept in the history.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub actor: Option<String>,
    /// The revision that was seen; the header `If-Match` means the same.
    pub revision: Option<i64>,
    /// Change nothing, and answer what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /api/v1/instances/{id}/skip`
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SkipRequest {
    /// The activity that is meant.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub activity: Option<String>,
    /// Its result.
    #[serde(default)]
    pub result: Value,
    /// The reason, kept in the history.
    #[serde(alias = "note")]
    pub reason: Option<String>,
    /// The person who acts.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub actor: Option<String>,
    /// The revision that was seen.
    pub revision: Option<i64>,
    /// Change nothing, and answer what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /api/v1/instances/{id}/jump` and `/rerun`
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MoveRequest {
    /// The activity to continue at, or to begin again from.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub activity: String,
    /// The reason, kept in the history.
    #[serde(alias = "note")]
    pub reason: Option<String>,
    /// The person who acts.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub actor: Option<String>,
    /// The revision that was seen.
    pub revision: Option<i64>,
    /// Change nothing, and answer what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// `PATCH /api/v1/instances/{id}/variables`
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VariablesRequest {
    /// The new values by name.
    pub variables: Map<String, Value>,
    /// The reason, kept in the history.
    #[serde(alias = "note")]
    pub reason: Option<String>,
    /// The person who acts.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub actor: Option<String>,
    /// The revision that was seen.
    pub revision: Option<i64>,
    /// Change nothing, and answer what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /api/v1/instances/{id}/queue`
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct QueueRequest {
    /// The queue.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub queue: String,
    /// The reason, kept in the history.
    #[serde(alias = "note")]
    pub reason: Option<String>,
    /// The person who acts.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub actor: Option<String>,
    /// The revision that was seen.
    pub revision: Option<i64>,
    /// Change nothing, and answer what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /api/v1/instances/{id}/priority`
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PriorityRequest {
    /// The priority.
    pub priority: i16,
    /// The reason, kept in the history.
    #[serde(alias = "note")]
    pub reason: Option<String>,
    /// The person who acts.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub actor: Option<String>,
    /// The revision that was seen.
    pub revision: Option<i64>,
    /// Change nothing, and answer what would change.
    #[serde(default)]
    pub dry_run: bool,
}

impl ControlRequest {
    /// The target that the request names.
    pub fn target(self, id: Uuid) -> Target {
        let Self { reason, actor, revision, dry_run } = self;
        Target { instance: Some(id), reason, actor, revision, dry_run, ..Target::default() }
    }
}

impl SkipRequest {
    /// The operation that the request asks for.
    pub fn operation(self, id: Uuid) -> Operation {
        let Self { activity, result, reason, actor, revision, dry_run } = self;
        let target = ControlRequest { reason, actor, revision, dry_run }.target(id);
        Operation::Skip(Skip { target, activity, result })
    }
}

impl MoveRequest {
    /// As a `jump`.
    pub fn jump(self, id: Uuid) -> Operation {
        let (target, activity) = self.split(id);
        Operation::Jump(Jump { target, activity })
    }

    /// As a `rerun`.
    pub fn rerun(self, id: Uuid) -> Operation {
        let (target, activity) = self.split(id);
        Operation::Rerun(Rerun { target, activity })
    }

    fn split(self, id: Uuid) -> (Target, String) {
        let Self { activity, reason, actor, revision, dry_run } = self;
        (ControlRequest { reason, actor, revision, dry_run }.target(id), activity)
    }
}

impl VariablesRequest {
    /// The operation that the request asks for.
    pub fn operation(self, id: Uuid) -> Operation {
        let Self { variables, reason, actor, revision, dry_run } = self;
        let target = ControlRequest { reason, actor, revision, dry_run }.target(id);
        Operation::SetVariables(SetVariables { target, variables })
    }
}

impl QueueRequest {
    /// The operation that the request asks for.
    pub fn operation(self, id: Uuid) -> Operation {
        let Self { queue, reason, actor, revision, dry_run } = self;
        let target = ControlRequest { reason, actor, revision, dry_run }.target(id);
        Operation::SetQueue(SetQueue { target, queue })
    }
}

impl PriorityRequest {
    /// The operation that the request asks for.
    pub fn operation(self, id: Uuid) -> Operation {
        let Self { priority, reason, actor, revision, dry_run } = self;
        let target = ControlRequest { reason, actor, revision, dry_run }.target(id);
        Operation::SetPriority(SetPriority { target, priority })
    }
}

/// What an operation would change, with `dry_run`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ControlPreview {
    /// The instance.
    pub id: Uuid,
    /// Always true: nothing was changed.
    pub dry_run: bool,
    /// Its revision now. With it as `If-Match`, the operation does what is shown here, or is refused.
    pub revision: i64,
    /// Its status.
    pub status: Transition<String>,
    /// The activities of its branches.
    pub at: Transition<Vec<String>>,
    /// The queue of its step commands.
    pub queue: Transition<String>,
    /// Its priority.
    pub priority: Transition<i16>,
    /// The variables that get another value, with that value.
    pub variables: Map<String, Value>,
    /// The waits that end.
    pub ends: Vec<WaitPreview>,
    /// The waits that begin.
    pub opens: Vec<WaitPreview>,
    /// The entries of its history, or of the one that starts.
    pub history: Vec<EntryView>,
    /// The events that are published.
    pub events: Vec<String>,
    /// The instance that starts, with the rerun of one that has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<NewInstanceView>,
    /// With a rerun, what was done since the activity was begun. It is kept, not undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_since: Option<DoneView>,
}

/// A value before and after.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Transition<T> {
    /// Before.
    pub from: T,
    /// After.
    pub to: T,
}

/// A wait that ends or begins.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct WaitPreview {
    /// Its number inside the instance.
    pub bookmark: i64,
    /// `timer`, `timeout`, `retry`, `task_timer`, `message`, `intervention`, `task`, `call`.
    pub kind: String,
    /// The activity that waits.
    pub activity: String,
    /// The due time of a timer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

/// An entry of the history that would be written.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct EntryView {
    /// Its kind.
    pub kind: String,
    /// Its activity.
    pub activity: Option<String>,
    /// Its details.
    pub details: Value,
}

/// An instance that would start.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct NewInstanceView {
    /// The definition's name.
    pub definition: String,
    /// The definition's version.
    pub version: i32,
    /// Business key.
    pub key: Option<String>,
    /// The activity at which it begins.
    pub at: Vec<String>,
    /// Its variables.
    pub variables: Map<String, Value>,
}

/// What was done since an activity was begun.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct DoneView {
    /// The completed activities, oldest first.
    pub items: Vec<EntryPlace>,
    /// Whether there are more than are listed or were read.
    pub more: bool,
}

/// A place in the history.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct EntryPlace {
    /// The number of the row.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// The activity.
    pub activity: String,
}
