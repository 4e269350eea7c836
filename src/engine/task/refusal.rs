//! Why an action on a task is refused.

use jiff::Timestamp;

use super::super::Refusal;

/// Why an action on a task is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TaskRefusal {
    /// It is closed.
    #[error("the task is closed: {0}")]
    Closed(String),
    /// It has changed since it was read.
    #[error("the task has changed: its revision is {found}, not {expected}; read it again")]
    Stale {
        /// The revision that the person has read.
        expected: i64,
        /// Its revision now.
        found: i64,
    },
    /// The user is neither among the users nor in one of the groups.
    #[error("`{0}` is not a candidate for this task")]
    NotCandidate(String),
    /// The user is excluded.
    #[error("`{0}` is excluded from this task")]
    Excluded(String),
    /// It is assigned to another user.
    #[error("the task is assigned to `{0}`")]
    Assigned(String),
    /// It is claimed by another user.
    #[error("the task is claimed by `{by}` until {until}")]
    Claimed {
        /// The user.
        by: String,
        /// The end of the lease.
        until: Timestamp,
    },
    /// The user has not claimed it.
    #[error("`{0}` has not claimed this task: claim it first")]
    NotHeld(String),
    /// The decision is missing, or not one of the task.
    #[error("{0}")]
    Decision(String),
    /// The form does not fit its schema.
    #[error("the form does not fit: {}", .0.join("; "))]
    Form(Vec<String>),
    /// The user has voted.
    #[error("`{0}` has voted already: each user has one vote")]
    Voted(String),
    /// The action is not possible with a vote.
    #[error("the task is a vote: {0}")]
    Vote(&'static str),
}

impl From<TaskRefusal> for Refusal {
    fn from(refusal: TaskRefusal) -> Self {
        Refusal::Task(refusal)
    }
}
