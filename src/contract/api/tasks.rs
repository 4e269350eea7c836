//! Bodies about tasks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// `POST /api/v1/tasks/{id}/complete`. In all bodies about tasks `user` may be left out where requests are authenticated: it is the caller.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskCompleteRequest {
    /// The user who completes it.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub user: String,
    /// The groups of the user; those of an authenticated caller when left out.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(max = crate::contract::PEOPLE_MAX), inner(length(min = 1, max = crate::contract::NAME_MAX))))]
    pub groups: Vec<String>,
    /// One of the decisions of the task.
    pub decision: Option<String>,
    /// The form as filled in.
    #[serde(default)]
    pub form: Value,
    /// A comment, kept in the history.
    pub comment: Option<String>,
}

/// `POST /api/v1/tasks/{id}/claim` and `/extend`
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskClaimRequest {
    /// The user who claims it.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub user: String,
    /// The groups of the user; those of an authenticated caller when left out.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(max = crate::contract::PEOPLE_MAX), inner(length(min = 1, max = crate::contract::NAME_MAX))))]
    pub groups: Vec<String>,
    /// The duration of the claim, as in `30m`; `tasks.lease_for` when left out.
    #[cfg_attr(feature = "server", schemars(extend("format" = "leveret-duration")))]
    pub lease: Option<String>,
}

/// `POST /api/v1/tasks/claim-next`
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskNextRequest {
    /// The user who claims it.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub user: String,
    /// The groups of the user; those of an authenticated caller when left out.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(max = crate::contract::PEOPLE_MAX), inner(length(min = 1, max = crate::contract::NAME_MAX))))]
    pub groups: Vec<String>,
    /// The duration of the claim, as in `30m`; `tasks.lease_for` when left out.
    #[cfg_attr(feature = "server", schemars(extend("format" = "leveret-duration")))]
    pub lease: Option<String>,
    /// Only tasks of this definition.
    pub definition: Option<String>,
}

/// `POST /api/v1/tasks/{id}/release`
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskReleaseRequest {
    /// The user who releases it.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub user: String,
    /// The groups of the user; those of an authenticated caller when left out.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(max = crate::contract::PEOPLE_MAX), inner(length(min = 1, max = crate::contract::NAME_MAX))))]
    pub groups: Vec<String>,
}

/// `POST /api/v1/tasks/{id}/reassign` and `/delegate`
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskAssignRequest {
    /// The acting user.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub user: String,
    /// The groups of the user; those of an authenticated caller when left out.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(max = crate::contract::PEOPLE_MAX), inner(length(min = 1, max = crate::contract::NAME_MAX))))]
    pub groups: Vec<String>,
    /// The new assignee; `reassign` without one offers the task to all candidates again.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub to: Option<String>,
    /// A comment, kept in the history.
    pub comment: Option<String>,
}

/// `POST /api/v1/tasks/{id}/draft`
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskDraftRequest {
    /// The user who has claimed it.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub user: String,
    /// The groups of the user; those of an authenticated caller when left out.
    #[serde(default)]
    #[cfg_attr(feature = "server", schemars(length(max = crate::contract::PEOPLE_MAX), inner(length(min = 1, max = crate::contract::NAME_MAX))))]
    pub groups: Vec<String>,
    /// The form as filled in so far; null deletes the draft.
    #[serde(default)]
    pub form: Value,
}

/// A task in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskSummary {
    /// Its id.
    pub id: Uuid,
    /// The waiting instance.
    pub instance: Uuid,
    /// Its business key.
    pub key: Option<String>,
    /// Its definition.
    pub definition: String,
    /// The activity.
    pub activity: String,
    /// The revision: incremented by every change, and compared with `If-Match`.
    pub revision: i64,
    /// The title.
    pub title: String,
    /// The priority: higher comes first.
    pub priority: i16,
    /// `open`, `completed`, `undecided`, `timed_out`, `cancelled`.
    pub state: String,
    /// The assigned user.
    pub assignee: Option<String>,
    /// The user who has claimed it.
    pub claimed_by: Option<String>,
    /// When the claim expires.
    pub lease_until: Option<Timestamp>,
    /// Whether it is a vote.
    pub vote: bool,
    /// When it is due.
    pub due_at: Option<Timestamp>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// The user who completed it.
    pub completed_by: Option<String>,
}

/// A task with all details.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskView {
    /// The same as in a list.
    #[serde(flatten)]
    pub summary: TaskSummary,
    /// The description.
    pub description: Option<String>,
    /// Data to be shown with it.
    pub data: Value,
    /// The labels of the activity.
    pub labels: Value,
    /// Users who may complete it.
    pub users: Vec<String>,
    /// Groups whose members may complete it.
    pub groups: Vec<String>,
    /// Users who may not complete it.
    pub excluded: Vec<String>,
    /// The user it returns to when the assignee releases it.
    pub delegated_by: Option<String>,
    /// Names and labels of its decisions.
    pub decisions: Value,
    /// The JSON Schema of the form.
    pub form: Option<Value>,
    /// The form as filled in so far.
    pub draft: Option<Value>,
    /// The number of votes for each decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<Value>,
    /// The votes: user, decision, time and comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ballots: Option<Value>,
    /// Its result.
    pub result: Option<Value>,
}

/// The number of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskCount {
    /// The number, at most 1,000.
    pub count: i64,
    /// Whether there are more.
    pub more: bool,
}
