//! Waits: the open bookmarks of a branch, as the instance knows them.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Failure;

/// One open bookmark of a branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// The bookmark's number inside the instance.
    pub bookmark: i64,
    /// When it is due, for timers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// What the branch waits for.
    pub on: WaitOn,
}

/// What a branch waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitOn {
    /// A point in time: [`Wait::due_at`].
    Timer(TimerKind),
    /// The message at this index of the `receive`.
    Message {
        /// Index in the list, from 0.
        index: usize,
    },
    /// A person, after a failure.
    Intervention {
        /// The failure.
        failure: Failure,
        /// The result of the work, if only `output` or `next` failed: `retry` evaluates those again.
        // A null is a result too: the work was done.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        result: Option<Value>,
    },
    /// The completion of a task.
    Task,
    /// The outcome of a call.
    Call {
        /// The dispatch number: an outcome with another number is too late.
        dispatch: u32,
        /// Set while the target is asked whether it executed the last attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probing: Option<Probing>,
        /// Whether the target has accepted the request and will call back: then its silence is an error.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        accepted: bool,
    },
}

/// What a timer does when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimerKind {
    /// It completes a `wait`.
    Wait,
    /// It ends the waits of the activity with the error `timeout`.
    Timeout,
    /// It ends the pause before the next attempt.
    Retry,
    /// It acts on an open task, which stays open.
    Task(TaskTimer),
}

/// What a timer of a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskTimer {
    /// Reports the task as overdue.
    Overdue,
    /// Sends a reminder.
    Reminder {
        /// Index of the reminder, from 0.
        index: usize,
    },
    /// Offers the task to more people.
    Escalation {
        /// Index in the list, from 0.
        index: usize,
    },
}

/// The state of a probe, which asks the target whether it executed an attempt with an unknown outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probing {
    /// The failure of the attempt.
    pub failure: Failure,
    /// Probes so far.
    pub tries: u32,
}

impl WaitOn {
    /// The failure of an incident.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            WaitOn::Intervention { failure, .. } => Some(failure),
            WaitOn::Timer(_) | WaitOn::Message { .. } | WaitOn::Task | WaitOn::Call { .. } => None,
        }
    }
}

/// Reads a member that is present: a null is a value too.
pub(super) fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}
