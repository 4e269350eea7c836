//! Bodies of the HTTP API. The command line prints the same with `-o json`.

mod answers;
mod audit;
mod calls;
mod control;
mod dead_letters;
mod incidents;
mod keys;
mod targets;
mod tasks;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::OnConflict;

pub use answers::{
    CallAnswer, ControlAnswer, ControlView, DefinitionAppliedView, DefinitionCheckView, GroupChangedView,
    IncidentResolveAnswer, MessageAnswer, Place, RepeatedView, RescheduleView, StartAnswer, StartedView, TicksView,
};
pub use audit::AuditView;
pub use calls::{CallCompleteRequest, CallResolveRequest, CallSummary, CallView};
pub use control::{
    ControlPreview, ControlRequest, DoneView, EntryPlace, EntryView, MoveRequest, NewInstanceView, PriorityRequest,
    QueueRequest, SkipRequest, Transition, VariablesRequest, WaitPreview,
};
pub use dead_letters::{
    DeadLetterReason, DeadLetterRefusal, DeadLetterRequest, DeadLetterView, DeadLettersAnswer, DeadLettersPreview,
    DeadLettersRequest, DeadLettersView, DroppedView, RedrivenView,
};
pub use incidents::{
    GroupAssignRequest, GroupCommentRequest, GroupMuteRequest, IncidentGroupDetails, IncidentGroupView,
    IncidentNoteView, IncidentResolveRequest, IncidentResolveView, IncidentSample,
};
pub use keys::ApiKeyView;
pub use targets::{RateView, TargetView};
pub use tasks::{
    TaskAssignRequest, TaskClaimRequest, TaskCompleteRequest, TaskCount, TaskDraftRequest, TaskNextRequest,
    TaskReleaseRequest, TaskSummary, TaskView,
};

/// `POST /api/v1/instances`
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StartRequest {
    /// The definition's name.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub definition: String,
    /// A version; the newest active one when left out.
    pub version: Option<i32>,
    /// Business key.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub key: Option<String>,
    /// What to do if a live instance has the key.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// The user for whom it is started, as `instance.started_by`; `leveret.http` when left out.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub user: Option<String>,
    /// The priority; that of the definition when left out.
    pub priority: Option<i16>,
    /// The input.
    #[serde(default)]
    pub input: Value,
}

/// `POST /api/v1/messages`
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// Its name.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub name: String,
    /// Its key.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub key: String,
    /// Its content.
    #[serde(default)]
    pub data: Value,
    /// Seconds it is kept if no instance waits yet.
    pub ttl: Option<u32>,
    /// Deliver it to every instance that waits now, and never keep it.
    #[serde(default)]
    pub broadcast: bool,
}

/// `POST /api/v1/timers/{instance}/{bookmark}/reschedule`: one of `due_at` and `after`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RescheduleRequest {
    /// The new due time; a time in the past fires at once.
    #[serde(default, deserialize_with = "crate::time::moment::deserialize_option")]
    pub due_at: Option<Timestamp>,
    /// Or a duration from now, as in `2h`.
    #[cfg_attr(feature = "server", schemars(extend("format" = "leveret-duration")))]
    pub after: Option<String>,
    /// The reason, kept in the history.
    pub reason: Option<String>,
}

/// An instance in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct InstanceSummary {
    /// Its id.
    pub id: Uuid,
    /// The definition's name.
    pub definition: String,
    /// The definition's version.
    pub version: i32,
    /// Business key.
    pub key: Option<String>,
    /// `running`, `suspended`, `completed`, `failed`, `cancelled`.
    pub status: String,
    /// The current activities of its branches.
    pub at: Vec<String>,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// An instance with all details.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct InstanceView {
    /// The same as in a list.
    #[serde(flatten)]
    pub summary: InstanceSummary,
    /// The revision: incremented by every change.
    pub revision: i64,
    /// Its queue.
    pub queue: String,
    /// Its priority.
    #[serde(default)]
    pub priority: i16,
    /// The user for whom it was started, or else the sender.
    pub started_by: Option<String>,
    /// The user of RabbitMQ who sent the start, where the broker has verified one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Its input.
    pub input: Value,
    /// Its variables.
    pub variables: Value,
    /// Its output.
    pub output: Option<Value>,
    /// Why it failed or is suspended: `code`, `message`, `data`; of an incident also `attempt` and `input`.
    pub error: Option<Value>,
    /// Its open waits.
    pub waits: Vec<WaitView>,
}

/// An open bookmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct WaitView {
    /// Its number inside the instance.
    pub bookmark: i64,
    /// `timer`, `message`, `intervention`, `task`, `call`.
    pub kind: String,
    /// The waiting activity; null for the timeout of the whole instance.
    pub activity: Option<String>,
    /// The due time of a timer.
    pub due_at: Option<Timestamp>,
    /// The message's name.
    pub name: Option<String>,
    /// The message's key.
    pub key: Option<String>,
    /// The failure of an intervention.
    pub failure: Option<Value>,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Uuid>,
    /// The call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Uuid>,
    /// Why the instance was suspended by a command.
    #[serde(default)]
    pub note: Option<String>,
}

/// A kept message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct MessageView {
    /// The id; messages are delivered in the order of their ids.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Its content.
    pub data: Value,
    /// When it was received.
    pub received_at: Timestamp,
    /// When it expires, unless a suspended instance waits for it.
    pub expires_at: Timestamp,
    /// The AMQP property `app_id`, or the API it came through.
    pub app_id: Option<String>,
    /// AMQP property `message_id`.
    pub message_id: Option<String>,
    /// The user of RabbitMQ who sent it, where the broker has verified one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The only instance that may receive it: it was suspended when a broadcast was delivered.
    pub instance: Option<Uuid>,
}

/// An open timer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TimerView {
    /// Its instance.
    pub instance: Uuid,
    /// Its number inside the instance.
    pub bookmark: i64,
    /// `wait`, `timeout` (of an activity), `retry` (the pause before an attempt), `deadline` (of the instance), `due`,
    /// `reminder`, `escalation` (of a task), `timer`.
    pub what: String,
    /// The definition's name.
    pub definition: String,
    /// Business key.
    pub key: Option<String>,
    /// The status of the instance: timers of a suspended one do not fire.
    pub status: String,
    /// The waiting activity.
    pub activity: Option<String>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The due time.
    pub due_at: Timestamp,
}

/// An open incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct IncidentView {
    /// Its instance.
    pub instance: Uuid,
    /// The bookmark's number inside the instance.
    pub bookmark: i64,
    /// `failed`: by a failure, to be retried; `suspended`: by a command, to be resumed.
    pub kind: String,
    /// The definition's name.
    pub definition: String,
    /// Business key.
    pub key: Option<String>,
    /// The activity that failed.
    pub activity: Option<String>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The sender that suspended it.
    pub by: Option<String>,
    /// The reason given.
    pub note: Option<String>,
    /// Of the failure `code`, `message`, `data`, the `attempt`, and of a `run` and a `call` the `input`.
    pub failure: Option<Value>,
    /// The version of the definition.
    #[serde(default)]
    pub version: Option<i32>,
    /// Its group: equal for incidents of one cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// A history row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct HistoryView {
    /// The number, counted from 1 without gaps.
    pub number: i64,
    /// The time, by the database's clock.
    pub at: Timestamp,
    /// The kind, such as `ActivityCompleted`.
    pub kind: String,
    /// The activity.
    pub activity: Option<String>,
    /// The branch.
    pub branch: Option<i32>,
    /// Details that depend on the kind.
    pub details: Value,
}

/// A version of a definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct DefinitionView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i32,
    /// `active` or `retired`.
    pub status: String,
    /// SHA-256 of its canonical JSON.
    pub hash: String,
    /// When it was applied.
    pub created_at: Timestamp,
    /// The document; only where a single version is requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema), schemars(rename = "{T}Page"))]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The `cursor` of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(feature = "server")]
impl<T> Page<T> {
    /// A page of at most `limit` rows, each mapped by `view`. If it is full, the next page begins after the `cursor` of the last row.
    pub(crate) fn of<R>(rows: Vec<R>, limit: i64, cursor: impl Fn(&R) -> String, view: impl FnMut(R) -> T) -> Self {
        let full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
        let next = rows.last().filter(|_| full).map(cursor);
        Self { items: rows.into_iter().map(view).collect(), next }
    }
}
