//! Tasks: work for people. A task is a row beside its instance; a decision gets the row as a fact and returns it changed.

mod act;
mod assign;
mod claim;
mod open;
mod refusal;
mod timers;
mod vote;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::instance::InstanceId;
pub use crate::contract::PEOPLE_MAX;
use crate::definition::{AssignBy, Decision};

pub(super) use act::{Actor, act, still_open};
pub use refusal::TaskRefusal;
pub use vote::counted;

/// The longest comment, in bytes.
pub const COMMENT_MAX: usize = 4 * 1024;
/// The largest form or draft, in bytes of JSON.
pub const FORM_MAX: usize = 128 * 1024;

/// Identity of a task, derived from its instance and bookmark: a decision needs no random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub Uuid);

impl TaskId {
    /// The task of a bookmark.
    pub fn of(instance: InstanceId, bookmark: i64) -> Self {
        Self(Uuid::new_v5(&instance.0, format!("task {bookmark}").as_bytes()))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Work for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its identity.
    pub id: TaskId,
    /// Raised by every change and compared with `If-Match`. 0 before the first commit.
    pub revision: i64,
    /// The bookmark of its wait.
    pub bookmark: i64,
    /// The activity that opened it.
    pub activity: String,
    /// The line in a list of tasks.
    pub title: String,
    /// A longer text.
    pub description: Option<String>,
    /// Shown with it, not editable.
    pub data: Value,
    /// The activity's labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// A higher priority is listed first.
    pub priority: i16,
    /// Users who may complete it.
    pub users: Vec<String>,
    /// Groups whose members may complete it.
    pub groups: Vec<String>,
    /// Users who may not complete it.
    pub excluded: Vec<String>,
    /// The only user who may complete it, if it is assigned.
    pub assignee: Option<String>,
    /// The user who delegated it, and gets it back if it is released.
    pub delegated_by: Option<String>,
    /// The claim of a user, with its lease.
    pub claim: Option<Claim>,
    /// The possible decisions.
    pub decisions: Vec<Decision>,
    /// JSON Schema of the form.
    pub form: Option<Value>,
    /// The saved form, not completed yet.
    pub draft: Option<Value>,
    /// Whether each of the users has one vote.
    pub vote: bool,
    /// The votes so far, in order.
    pub ballots: Vec<Ballot>,
    /// When it should be completed.
    pub due_at: Option<Timestamp>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How it ended; none while it is open.
    pub closed: Option<Closed>,
}

/// A claim on a task, with a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The user.
    pub by: String,
    /// The end of the lease: from then on any candidate may claim the task.
    pub until: Timestamp,
}

/// One vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ballot {
    /// The user.
    pub user: String,
    /// The decision.
    pub decision: String,
    /// A comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When it was cast.
    pub at: Timestamp,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    /// The kind of its end.
    pub outcome: TaskOutcome,
    /// Who completed it; of a vote, who voted last.
    pub by: Option<String>,
    /// The result of the activity.
    pub result: Value,
    /// The votes, if it is a vote.
    pub ballots: Vec<Ballot>,
}

/// The kind of the end of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum TaskOutcome {
    /// A person completed it.
    Completed,
    /// Every candidate has voted and no rule holds.
    Undecided,
    /// It was open longer than its timeout.
    TimedOut,
    /// Its branch no longer waits for it.
    Cancelled,
}

impl TaskOutcome {
    /// The word used in the table, the API and documents.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The outcome with this name.
    pub fn parse(name: &str) -> Option<TaskOutcome> {
        name.parse().ok()
    }
}

/// A person who acts on a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// Their name.
    pub user: String,
    /// The groups they belong to.
    pub groups: Vec<String>,
}

/// An action on a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Complete it; if it is a vote, cast a vote.
    Complete {
        /// One of the declared decisions; none if no decision is declared.
        decision: Option<String>,
        /// The form.
        form: Value,
        /// A comment.
        comment: Option<String>,
    },
    /// Claim it for the duration of a lease.
    Claim {
        /// The duration of the lease.
        lease_for: Duration,
    },
    /// Extend the lease, counted from now.
    Extend {
        /// The duration of the lease.
        lease_for: Duration,
    },
    /// Release it.
    Release,
    /// Assign it to a user, or back to all candidates. The sender need not be a candidate.
    Reassign {
        /// The user.
        to: Option<String>,
        /// A comment.
        comment: Option<String>,
    },
    /// Assign it to another user, on behalf of a candidate.
    Delegate {
        /// The user.
        to: String,
        /// A comment.
        comment: Option<String>,
    },
    /// Save the form without completing it.
    Draft {
        /// The form.
        form: Value,
    },
}

impl Act {
    /// The name of the command.
    pub fn kind(&self) -> &'static str {
        match self {
            Act::Complete { .. } => "task.complete",
            Act::Claim { .. } => "task.claim",
            Act::Extend { .. } => "task.extend",
            Act::Release => "task.release",
            Act::Reassign { .. } => "task.reassign",
            Act::Delegate { .. } => "task.delegate",
            Act::Draft { .. } => "task.draft",
        }
    }

    /// The outcome in the answer to the sender.
    pub fn outcome(&self) -> &'static str {
        match self {
            Act::Complete { .. } => "completed",
            Act::Claim { .. } => "claimed",
            Act::Extend { .. } => "extended",
            Act::Release => "released",
            Act::Reassign { .. } => "reassigned",
            Act::Delegate { .. } => "delegated",
            Act::Draft { .. } => "saved",
        }
    }
}

/// What the choice of an assignee requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Round robin or least loaded; the other strategies need no fact.
    pub strategy: AssignBy,
    /// The activity, for round robin.
    pub activity: String,
    /// The users to choose from.
    pub users: Vec<String>,
}

impl Task {
    /// The claim, if its lease has not expired.
    pub fn holder(&self, now: Timestamp) -> Option<&Claim> {
        self.claim.as_ref().filter(|claim| claim.until > now)
    }
}
