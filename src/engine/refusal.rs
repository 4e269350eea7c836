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
    /// The variables do not fit the definition.
    #[error("the variables do not fit the definition: {}", .0.join("; "))]
    Variables(Vec<String>),
    /// The instance has changed since the sender has read it.
    #[error("the instance has changed: it has revision {is}, not {seen}; read it again")]
    Changed {
        /// The revision that the sender has seen.
        seen: i64,
        /// The revision that it has.
        is: i64,
    },
    /// `skip` of an activity that is about to take its next step.
    #[error("`{0}` does not wait and has no incident: there is nothing to skip; send `suspend` first, or `jump`")]
    NotWaiting(String),
    /// `skip` of another activity than the one at which the instance is.
    #[error("the instance is at `{at}`, not at `{meant}`")]
    NotAt {
        /// The activity that the sender has named.
        meant: String,
        /// The activity of the instance.
        at: String,
    },
    /// `skip` of an activity that does not go on from its success.
    #[error(
        "`{activity}` is a `{kind}`, which has no result to go on with: send `jump` with the activity to continue at"
    )]
    NothingAfter {
        /// The activity.
        activity: String,
        /// Its kind.
        kind: &'static str,
    },
    /// The given result does not fit `output` or `next` of the activity.
    #[error("the result does not fit `{activity}`: {why}")]
    Unfit {
        /// The activity.
        activity: String,
        /// What failed.
        why: String,
    },
    /// The definition has no activity of this id.
    #[error("version {version} of the definition has no activity `{activity}`")]
    NoActivity {
        /// The id.
        activity: String,
        /// The version of the definition that the instance keeps.
        version: i32,
    },
    /// `rerun` from an activity that was never begun.
    #[error("`{0}` was never begun in this instance: name an activity that was, or send `jump`")]
    NeverBegun(String),
    /// `rerun` of an instance as a new one, although it lives.
    #[error("the instance has not ended")]
    NotEnded,
    /// The name is not one of a queue.
    #[error("`{0}` is not the name of a queue: use lower-case letters, digits, `_` and `-`, starting with a letter")]
    NotAQueue(String),
    /// The instance has this queue.
    #[error("the queue is `{0}` already")]
    SameQueue(String),
    /// The instance has this priority.
    #[error("the priority is {0} already")]
    SamePriority(i16),
    /// The definition does not fit the instance, or the task does not exist: a defect of the caller.
    #[error("the definition does not fit the instance")]
    Mismatch,
    /// The action on the task is refused.
    #[error(transparent)]
    Task(TaskRefusal),
}
