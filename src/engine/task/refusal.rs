//! Why a task cannot be acted upon: each reason is one of its own.

use jiff::Timestamp;

use super::super::Refusal;

/// Why a task cannot be acted upon like this.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TaskRefusal {
    /// It is closed.
    #[error("the task is closed: {0}")]
    Closed(String),
    /// It has changed since it was read.
    #[error("the task has changed: its revision is {found}, not {expected}; read it again")]
    Stale {
        /// The revision the caller had read.
        expected: i64,
        /// The one it has.
        found: i64,
    },
    /// The user is neither among the users nor in one of the groups.
    #[error("`{0}` is no candidate for this task")]
    NotCandidate(String),
    /// The user is excluded.
    #[error("`{0}` is excluded from this task")]
    Excluded(String),
    /// It is somebody else's.
    #[error("the task is assigned to `{0}`")]
    Assigned(String),
    /// Somebody else has claimed it.
    #[error("the task is claimed by `{by}` until {until}")]
    Claimed {
        /// Who.
        by: String,
        /// Until when.
        until: Timestamp,
    },
    /// The user does not hold it.
    #[error("`{0}` does not hold this task: claim it first")]
    NotHeld(String),
    /// The decision is none of this task's.
    #[error("{0}")]
    Decision(String),
    /// What was filled in does not fit.
    #[error("the form does not fit: {}", .0.join("; "))]
    Form(Vec<String>),
    /// The user has voted.
    #[error("`{0}` has voted already, and everybody votes once")]
    Voted(String),
    /// It cannot be done with a vote.
    #[error("the task is a vote: {0}")]
    Vote(&'static str),
}

impl From<TaskRefusal> for Refusal {
    fn from(refusal: TaskRefusal) -> Self {
        Refusal::Task(refusal)
    }
}
