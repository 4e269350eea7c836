//! Tasks: what waits for a person. A task is a row of its own beside its instance, loaded for a decision and given back changed.

mod act;
mod assign;
mod hold;
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
use crate::definition::{AssignBy, Decision};

pub(super) use act::{Actor, act, still_open};
pub use refusal::TaskRefusal;
pub use vote::counted;

/// Users, and groups, a task names at most.
pub const PEOPLE_MAX: usize = 500;
/// The longest comment, in bytes.
pub const COMMENT_MAX: usize = 4 * 1024;
/// The largest form or draft, in bytes of JSON.
pub const FORM_MAX: usize = 128 * 1024;

/// Identity of a task; follows from its instance and bookmark, so that deciding needs no chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub Uuid);

impl TaskId {
    /// The task that waits under a bookmark.
    pub fn of(instance: InstanceId, bookmark: i64) -> Self {
        Self(Uuid::new_v5(&instance.0, format!("task {bookmark}").as_bytes()))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// What waits for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its identity.
    pub id: TaskId,
    /// Raised by every change; what `If-Match` compares. 0 before the first commit.
    pub revision: i64,
    /// The bookmark it waits under.
    pub bookmark: i64,
    /// The activity it is for.
    pub activity: String,
    /// What a list shows.
    pub title: String,
    /// A longer text.
    pub description: Option<String>,
    /// Shown with it, not to be edited.
    pub data: Value,
    /// The activity's labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Higher goes first.
    pub priority: i16,
    /// Users who may do it.
    pub users: Vec<String>,
    /// Groups whose members may do it.
    pub groups: Vec<String>,
    /// Users who may not.
    pub excluded: Vec<String>,
    /// Whose it is; nobody else may do it then.
    pub assignee: Option<String>,
    /// Who delegated it, and gets it back if it is released.
    pub delegated_by: Option<String>,
    /// Who does it just now, and until when that holds.
    pub claim: Option<Claim>,
    /// How it can be decided.
    pub decisions: Vec<Decision>,
    /// JSON Schema of what is filled in.
    pub form: Option<Value>,
    /// What was filled in so far.
    pub draft: Option<Value>,
    /// Whether each of the users has one vote.
    pub vote: bool,
    /// The votes so far, in their order.
    pub ballots: Vec<Ballot>,
    /// When it should be done.
    pub due_at: Option<Timestamp>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How it ended; none while it is open.
    pub closed: Option<Closed>,
}

/// A hold on a task for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose.
    pub by: String,
    /// From then on anybody may claim it again.
    pub until: Timestamp,
}

/// One vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ballot {
    /// Whose.
    pub user: String,
    /// What for.
    pub decision: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    /// In which way.
    pub outcome: TaskOutcome,
    /// Who did it, if it was done; of a vote, whose vote was the last.
    pub by: Option<String>,
    /// What it was completed with.
    pub result: Value,
    /// The votes, if there were any since it was loaded.
    pub ballots: Vec<Ballot>,
}

/// In which way a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskOutcome {
    /// Somebody did it.
    Completed,
    /// Everybody has voted and no rule holds.
    Undecided,
    /// It took longer than its timeout.
    TimedOut,
    /// Nobody waits for it any more.
    Cancelled,
}

impl TaskOutcome {
    /// Every outcome.
    pub const ALL: [TaskOutcome; 4] =
        [TaskOutcome::Completed, TaskOutcome::Undecided, TaskOutcome::TimedOut, TaskOutcome::Cancelled];

    /// The word used in the table, the API and documents.
    pub fn name(self) -> &'static str {
        match self {
            TaskOutcome::Completed => "completed",
            TaskOutcome::Undecided => "undecided",
            TaskOutcome::TimedOut => "timed_out",
            TaskOutcome::Cancelled => "cancelled",
        }
    }

    /// The outcome of that name.
    pub fn parse(name: &str) -> Option<TaskOutcome> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// Their name.
    pub user: String,
    /// The groups they belong to.
    pub groups: Vec<String>,
}

/// What is done with a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Do it; of a vote, cast one.
    Complete {
        /// One of the declared decisions; none where none are declared.
        decision: Option<String>,
        /// What was filled in.
        form: Value,
        /// Why.
        comment: Option<String>,
    },
    /// Take it to oneself for a while.
    Claim {
        /// For so long.
        lease_for: Duration,
    },
    /// Keep what was claimed for longer, counted from now.
    Extend {
        /// For so long.
        lease_for: Duration,
    },
    /// Give it back.
    Release,
    /// Give it to somebody, or back to all candidates. Whoever says so need not be a candidate.
    Reassign {
        /// To whom.
        to: Option<String>,
        /// Why.
        comment: Option<String>,
    },
    /// Let somebody else do what one could do oneself.
    Delegate {
        /// Whom.
        to: String,
        /// Why.
        comment: Option<String>,
    },
    /// Keep what was filled in so far.
    Draft {
        /// That.
        form: Value,
    },
}

impl Act {
    /// The command's name.
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

    /// What has become of the task afterwards.
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

/// What choosing an assignee requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// How one is chosen: by turns or by load, the others need nothing.
    pub strategy: AssignBy,
    /// The activity, for turns.
    pub activity: String,
    /// From these.
    pub users: Vec<String>,
}

impl Task {
    /// Whoever holds it by a claim that has not expired.
    pub fn holder(&self, now: Timestamp) -> Option<&Claim> {
        self.claim.as_ref().filter(|claim| claim.until > now)
    }
}
