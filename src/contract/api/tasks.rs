//! Bodies of the tasks of people.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

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
