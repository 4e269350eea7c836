//! Why a command changes nothing.

use jiff::Timestamp;

use super::instance::Status;
use super::task::TaskRefusal;

/// Why a command changes nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The branch has taken a step since the command was written.
    #[error("the branch has taken a step since this command was written")]
    Stale,
    /// The bookmark is closed, or never existed.
    #[error("bookmark {0} is no longer open")]
    Closed(i64),
    /// The instance has ended.
    #[error("the instance has already ended as {}", .0.name())]
    Ended(Status),
    /// A timer is not due yet.
    #[error("the timer is due at {0}")]
    Early(Timestamp),
    /// The wait's filter does not hold for this message.
    #[error("the filter of the wait does not hold for this message")]
    NotMatching,
    /// There is no incident.
    #[error("the instance has no open incident")]
    NoIncident,
    /// A variable that is to be set is not declared.
    #[error("the definition has no variable `{0}`")]
    UnknownVariable(String),
    /// The variables cannot be set.
    #[error("the variables cannot be set: {0}")]
    Variables(String),
    /// The instance is suspended: it continues after `retry` or `resume`.
    #[error("the instance is suspended")]
    Suspended,
    /// A suspended instance cannot be suspended.
    #[error("the instance is already suspended")]
    AlreadySuspended,
    /// `retry` of an instance that was suspended by a command.
    #[error("the instance was suspended by a command: send `resume`")]
    SuspendedByCommand,
    /// `resume` of an instance that was suspended by a failure.
    #[error("the instance was suspended by a failure: send `retry` or `cancel`")]
    SuspendedByFailure,
    /// `resume` of an instance that is not suspended.
    #[error("the instance is not suspended")]
    NotSuspended,
    /// The bookmark is open and is not a timer.
    #[error("bookmark {0} is not a timer")]
    NotATimer(i64),
    /// Only a call with an unknown outcome can be tried again.
    #[error("the call is running: only a call with an unknown outcome can be tried again")]
    NotUnknown,
    /// The time is after the year 9999.
    #[error("a timer must be due before the year 10000")]
    TooFar,
    /// The input does not fit the definition's schema.
    #[error("the input does not fit the definition: {}", .0.join("; "))]
    Input(Vec<String>),
    /// The definition does not fit the instance, or the task does not exist: a defect of the caller.
    #[error("the definition does not fit the instance")]
    Mismatch,
    /// The action on the task is refused.
    #[error(transparent)]
    Task(TaskRefusal),
}
