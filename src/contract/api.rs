//! Bodies of the HTTP API; `-o json` of the command line prints the same.

mod calls;
mod dead_letters;
mod targets;
mod tasks;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::OnConflict;

pub use calls::{CallCompleteRequest, CallResolveRequest, CallSummary, CallView};
pub use dead_letters::DeadLetterView;
pub use targets::{RateView, TargetView};
pub use tasks::{
    HandOverRequest, TaskClaimRequest, TaskCompleteRequest, TaskCount, TaskDraftRequest, TaskNextRequest,
    TaskReleaseRequest, TaskSummary, TaskView,
};

/// `POST /api/v1/instances`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartRequest {
    /// The definition's name.
    pub definition: String,
    /// A version; the newest active one when left out.
    pub version: Option<i32>,
    /// Business key.
    pub key: Option<String>,
    /// What to do if a live instance has the key.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// The input.
    #[serde(default)]
    pub input: Value,
}

/// `POST /api/v1/messages`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// What it says.
    #[serde(default)]
    pub data: Value,
    /// Seconds it is kept if nobody waits yet.
    pub ttl: Option<u32>,
    /// To everybody who waits now, and never kept.
    #[serde(default)]
    pub broadcast: bool,
}

/// `POST /api/v1/instances/{id}/cancel`, `/retry`, `/suspend` and `/resume`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlRequest {
    /// Why; kept in the history. `note` means the same.
    #[serde(alias = "note")]
    pub reason: Option<String>,
}

/// `POST /api/v1/timers/{instance}/{bookmark}/reschedule`: one of `due_at` and `after`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RescheduleRequest {
    /// When it will be due; a moment that has passed is now.
    pub due_at: Option<Timestamp>,
    /// Or so long from now, as in `2h`.
    pub after: Option<String>,
    /// Why; kept in the history.
    pub reason: Option<String>,
}

/// One line of a list of instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// The activities its branches stand at.
    pub at: Vec<String>,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// One instance, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceView {
    /// What a list shows.
    #[serde(flatten)]
    pub summary: InstanceSummary,
    /// Raised by every change.
    pub revision: i64,
    /// Its queue.
    pub queue: String,
    /// Who started it.
    pub started_by: Option<String>,
    /// What it was started with.
    pub input: Value,
    /// Its variables.
    pub variables: Value,
    /// What it ended with.
    pub output: Option<Value>,
    /// Why it failed or is suspended: `code`, `message`, `data`.
    pub error: Option<Value>,
    /// What it waits for.
    pub waits: Vec<WaitView>,
}

/// One open bookmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitView {
    /// Its number inside the instance.
    pub bookmark: i64,
    /// `timer`, `message`, `intervention`, `task`, `call`.
    pub kind: String,
    /// The activity that waits; none for the time limit of the whole instance.
    pub activity: Option<String>,
    /// When it is due, for timers.
    pub due_at: Option<Timestamp>,
    /// The message's name.
    pub name: Option<String>,
    /// The message's key.
    pub key: Option<String>,
    /// The failure, for interventions.
    pub failure: Option<Value>,
    /// The task, for tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Uuid>,
    /// The call, for calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Uuid>,
    /// Why it was suspended, for interventions by hand.
    #[serde(default)]
    pub note: Option<String>,
}

/// One kept message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageView {
    /// The order in which messages are taken.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// What it says.
    pub data: Value,
    /// When it came.
    pub received_at: Timestamp,
    /// When it is removed, unless somebody who is suspended waits for it.
    pub expires_at: Timestamp,
    /// AMQP property `app_id`, or the door it came by.
    pub app_id: Option<String>,
    /// AMQP property `message_id`.
    pub message_id: Option<String>,
    /// The only instance that may take it: a broadcast found it suspended.
    pub instance: Option<Uuid>,
}

/// One open timer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimerView {
    /// Whose it is.
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
    /// The instance's status: a suspended one fires nothing.
    pub status: String,
    /// The activity that waits.
    pub activity: Option<String>,
    /// Since when.
    pub opened_at: Timestamp,
    /// When it is due.
    pub due_at: Timestamp,
}

/// One open incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    /// Whose it is.
    pub instance: Uuid,
    /// The bookmark's number inside the instance.
    pub bookmark: i64,
    /// `failed`: to be retried; `suspended`: by hand, to be resumed.
    pub kind: String,
    /// The definition's name.
    pub definition: String,
    /// Business key.
    pub key: Option<String>,
    /// The activity that failed.
    pub activity: Option<String>,
    /// Since when.
    pub opened_at: Timestamp,
    /// Who suspended it.
    pub by: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// `code`, `message`, `data` of the failure.
    pub failure: Option<Value>,
}

/// One history row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryView {
    /// Counted from 1 without gaps.
    pub number: i64,
    /// When it happened, by the database's clock.
    pub at: Timestamp,
    /// What happened.
    pub kind: String,
    /// Where.
    pub activity: Option<String>,
    /// To which branch.
    pub branch: Option<i32>,
    /// More.
    pub details: Value,
}

/// One version of a definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// The document, where one version is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Ask for the next page with `?cursor=`; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(feature = "server")]
impl<T> Page<T> {
    /// A page of at most `limit` rows, which are shown by `view`. If it is full, the next one begins after the last row's `cursor`.
    pub(crate) fn of<R>(rows: Vec<R>, limit: i64, cursor: impl Fn(&R) -> String, view: impl FnMut(R) -> T) -> Self {
        let full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
        let next = rows.last().filter(|_| full).map(cursor);
        Self { items: rows.into_iter().map(view).collect(), next }
    }
}
