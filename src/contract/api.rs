//! Bodies of the HTTP API; `-o json` of the command line prints the same.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::OnConflict;

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
pub struct SteerRequest {
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
    /// Its lane.
    pub lane: String,
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
    /// `timer`, `message`, `intervention`, `task`.
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

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterView {
    /// Its number.
    pub id: i64,
    /// When it was filed.
    pub received_at: Timestamp,
    /// Why it could not be handled.
    pub reason: String,
    /// The queue it came from.
    pub source: String,
    /// Its routing key.
    pub routing_key: String,
    /// AMQP property `type`.
    pub kind: Option<String>,
    /// AMQP property `app_id`.
    pub app_id: Option<String>,
    /// AMQP property `message_id`.
    pub message_id: Option<String>,
    /// The body as text, cut at 4 KiB, where one letter is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// `POST /api/v1/tasks/{id}/complete`. Who acts is said by the caller until there is access control.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskCompleteRequest {
    /// Who does it.
    pub user: String,
    /// The groups they belong to.
    #[serde(default)]
    pub groups: Vec<String>,
    /// One of the task's decisions.
    pub decision: Option<String>,
    /// What was filled in.
    #[serde(default)]
    pub form: Value,
    /// Why.
    pub comment: Option<String>,
}

/// `POST /api/v1/tasks/{id}/claim` and `/extend`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskClaimRequest {
    /// Who takes it.
    pub user: String,
    /// The groups they belong to.
    #[serde(default)]
    pub groups: Vec<String>,
    /// For how long, as in `30m`; `tasks.lease_for` when left out.
    pub lease: Option<String>,
}

/// `POST /api/v1/tasks/claim-next`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskNextRequest {
    /// Who takes it.
    pub user: String,
    /// The groups they belong to.
    #[serde(default)]
    pub groups: Vec<String>,
    /// For how long, as in `30m`; `tasks.lease_for` when left out.
    pub lease: Option<String>,
    /// Only of this definition.
    pub definition: Option<String>,
}

/// `POST /api/v1/tasks/{id}/release`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskReleaseRequest {
    /// Who gives it back.
    pub user: String,
    /// The groups they belong to.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// `POST /api/v1/tasks/{id}/reassign` and `/delegate`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOverRequest {
    /// Who says so.
    pub user: String,
    /// The groups they belong to.
    #[serde(default)]
    pub groups: Vec<String>,
    /// To whom; `reassign` without it gives the task back to all candidates.
    pub to: Option<String>,
    /// Why.
    pub comment: Option<String>,
}

/// `POST /api/v1/tasks/{id}/draft`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskDraftRequest {
    /// Who holds it.
    pub user: String,
    /// The groups they belong to.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What was filled in so far; null forgets it.
    #[serde(default)]
    pub form: Value,
}

/// One line of a list of tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSummary {
    /// Its id.
    pub id: Uuid,
    /// The instance that waits.
    pub instance: Uuid,
    /// Its business key.
    pub key: Option<String>,
    /// Its definition.
    pub definition: String,
    /// The activity.
    pub activity: String,
    /// Raised by every change; `If-Match` compares it.
    pub revision: i64,
    /// What it is about.
    pub title: String,
    /// Higher goes first.
    pub priority: i16,
    /// `open`, `completed`, `undecided`, `timed_out`, `cancelled`.
    pub state: String,
    /// Whose it is.
    pub assignee: Option<String>,
    /// Who does it just now.
    pub claimed_by: Option<String>,
    /// Until when that holds.
    pub lease_until: Option<Timestamp>,
    /// Whether it is a vote.
    pub vote: bool,
    /// When it should be done.
    pub due_at: Option<Timestamp>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Who did it.
    pub completed_by: Option<String>,
}

/// One task, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// What a list shows.
    #[serde(flatten)]
    pub summary: TaskSummary,
    /// A longer text.
    pub description: Option<String>,
    /// Shown with it.
    pub data: Value,
    /// The activity's labels.
    pub labels: Value,
    /// Users who may do it.
    pub users: Vec<String>,
    /// Groups whose members may do it.
    pub groups: Vec<String>,
    /// Users who may not.
    pub excluded: Vec<String>,
    /// Who gets it back when the assignee releases it.
    pub delegated_by: Option<String>,
    /// Names and labels of its decisions.
    pub decisions: Value,
    /// JSON Schema of what is filled in.
    pub form: Option<Value>,
    /// What was filled in so far.
    pub draft: Option<Value>,
    /// Of a vote: how many there are for each decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<Value>,
    /// Of a vote: who has voted how, when and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ballots: Option<Value>,
    /// What it was completed with.
    pub result: Option<Value>,
}

/// How many tasks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCount {
    /// So many, at most 1,000.
    pub count: i64,
    /// Whether there are more.
    pub more: bool,
}
