//! The commands of an instance, after an entry point has checked them.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::call::{CallOutcome, Resolution};
use super::instance::{BranchId, InstanceId};
use super::task::{Act, Person};

/// The start of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The id of the new instance.
    pub id: InstanceId,
    /// The version of the definition; it never changes during the life of the instance.
    pub version: i32,
    /// Its business key.
    pub key: Option<String>,
    /// Its priority; that of the definition when left out.
    pub priority: Option<i16>,
    /// The input as it was sent; it is checked against the schema of the definition.
    pub input: Value,
    /// Who started it: the `app_id` of the command, or a user.
    pub by: Option<String>,
    /// The user of the broker who sent it, where the broker has verified one.
    pub user_id: Option<String>,
    /// W3C trace context.
    pub trace: Option<String>,
}

/// A command to an instance that exists.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A person or a service controls the instance.
    Instance(Control, Audit),
    /// A person resolves the incidents of the instance.
    Incident(Remedy, Audit),
    /// A person acts on a task.
    Task(TaskCommand),
    /// Something is reported about a call.
    Call(CallCommand),
    /// Leveret moves the instance itself.
    Internal(Internal),
}

/// How a person resolves the incidents of an instance, besides what every instance can be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Remedy {
    /// Set these variables, and try the activities again.
    Retry {
        /// Declared variables by name.
        variables: Map<String, Value>,
    },
    /// End the instance as failed.
    Fail,
}

/// How a person or a service controls an instance.
#[derive(Debug, Clone, PartialEq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Control {
    /// End it.
    Cancel,
    /// End it at once, whatever its definition says about a cancellation.
    Terminate,
    /// Try again what has an incident.
    Retry,
    /// Pause it until `resume`.
    Suspend,
    /// Continue it after `suspend`.
    Resume,
    /// Give an open timer another time.
    #[strum(serialize = "timer.reschedule")]
    Reschedule {
        /// The timer's bookmark.
        bookmark: i64,
        /// The new time.
        due: Due,
    },
    /// Complete what it waits for, or what has an incident, with a result.
    Skip {
        /// The activity that is meant; the one at which it is when left out.
        activity: Option<String>,
        /// The result that `output` and `next` read.
        result: Value,
    },
    /// Continue at another activity.
    Jump {
        /// Its id.
        to: String,
    },
    /// Give variables other values.
    #[strum(serialize = "variables.set")]
    SetVariables {
        /// The new values by name.
        values: Map<String, Value>,
    },
    /// Continue at an activity that was begun before. An instance that has ended begins as a new one: see [`super::restart`].
    Rerun {
        /// Its id.
        from: String,
    },
    /// Change the queue of its step commands.
    #[strum(serialize = "queue.set")]
    SetQueue {
        /// The queue.
        queue: String,
    },
    /// Resolve its incidents.
    #[strum(serialize = "incident.retry")]
    Resolve {
        /// How.
        remedy: Remedy,
    },
    /// Change its priority.
    #[strum(serialize = "priority.set")]
    SetPriority {
        /// The priority.
        priority: i16,
    },
}

impl Control {
    /// The command's name in messages.
    pub fn name(&self) -> &'static str {
        // As over HTTP, where each has a path of its own.
        if let Control::Resolve { remedy: Remedy::Fail } = self { "incident.fail" } else { self.into() }
    }

    /// The outcome in the answer to its sender.
    pub fn outcome(&self) -> &'static str {
        match self {
            Control::Cancel => "cancelled",
            Control::Terminate => "terminated",
            Control::Retry => "retried",
            Control::Suspend => "suspended",
            Control::Resume => "resumed",
            Control::Reschedule { .. } => "rescheduled",
            Control::Skip { .. } => "skipped",
            Control::Jump { .. } => "jumped",
            Control::SetVariables { .. } => "set",
            Control::Rerun { .. } => "rerun",
            Control::SetQueue { .. } => "queued",
            Control::SetPriority { .. } => "prioritised",
            Control::Resolve { remedy: Remedy::Retry { .. } } => "retried",
            Control::Resolve { remedy: Remedy::Fail } => "failed",
        }
    }
}

/// Who sent a command, and why; both go into the history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// The `app_id` of the command, or a user.
    pub by: Option<String>,
    /// The reason, as the sender worded it.
    pub reason: Option<String>,
}

impl Audit {
    /// The details `by` and `reason` of a history entry, where they are known.
    pub(super) fn details(self) -> Map<String, Value> {
        let mut details = Map::new();
        details.extend(self.by.map(|by| ("by".into(), json!(by))));
        details.extend(self.reason.map(|reason| ("reason".into(), json!(reason))));
        details
    }
}

/// A person acts on a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskCommand {
    /// The task's bookmark.
    pub bookmark: i64,
    /// The person.
    pub person: Person,
    /// The revision of the task that the person has seen; if the task has another one, the command is refused.
    pub seen: Option<i64>,
    /// The action.
    pub act: Act,
}

/// Something is reported about a call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallCommand {
    /// The call's bookmark.
    pub bookmark: i64,
    /// The report.
    pub report: CallReport,
}

/// What is reported about a call.
#[derive(Debug, Clone, PartialEq)]
pub enum CallReport {
    /// An attempt has ended.
    Completed {
        /// The dispatch number of the attempt.
        dispatch: u32,
        /// How it ended.
        outcome: CallOutcome,
    },
    /// Whatever follows the end of an attempt has ended the processes that executed it: nobody knows its outcome.
    GivenUp {
        /// The dispatch number of the attempt.
        dispatch: u32,
        /// Why it is given up.
        why: String,
    },
    /// An external worker reports progress.
    Progress {
        /// The dispatch number of the attempt.
        dispatch: u32,
        /// Any JSON.
        progress: Value,
    },
    /// A person has found out the outcome.
    Resolved {
        /// The outcome, or a request to try again.
        resolution: Resolution,
        /// Who sent it, and why.
        audit: Audit,
    },
}

/// A command that Leveret sends to itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Internal {
    /// Take the next step of a branch.
    Continue {
        /// The branch.
        branch: BranchId,
        /// The sequence of the branch when this was written; an older one is stale.
        sequence: i64,
    },
    /// A timer may be due.
    Fire {
        /// The timer's bookmark.
        bookmark: i64,
    },
    /// A message for an open wait.
    Deliver {
        /// The wait's bookmark.
        bookmark: i64,
        /// The message.
        message: Message,
    },
    /// A worker died during this branch's step; above `crash_max` crashes an incident is opened.
    Crash {
        /// The branch.
        branch: BranchId,
        /// The sequence of the step command that was redelivered.
        sequence: i64,
        /// `worker.crash_max`.
        crash_max: u32,
    },
    /// The wake-up of this timer cannot be executed: the branch that waits gets an incident.
    Unfireable {
        /// The timer's bookmark.
        bookmark: i64,
        /// Why it cannot be executed.
        why: String,
    },
    /// The step command of this branch cannot be delivered: an incident is opened.
    Undeliverable {
        /// The branch.
        branch: BranchId,
        /// The sequence of the step command.
        sequence: i64,
        /// Why it cannot be delivered.
        why: String,
    },
}

impl Command {
    /// Whether the command replays what was missed while the instance was suspended. Its transaction locks the names and keys of
    /// the awaited messages before the instance: messages take their locks in that order too.
    pub fn replays(&self) -> bool {
        match self {
            Command::Incident(Remedy::Retry { .. }, _) => true,
            Command::Incident(Remedy::Fail, _) => false,
            Command::Instance(what, _) => match what {
                Control::Retry | Control::Resume | Control::Resolve { remedy: Remedy::Retry { .. } } => true,
                Control::Resolve { remedy: Remedy::Fail } => false,
                // Of an instance with an incident, which continues.
                Control::Skip { .. } | Control::Jump { .. } | Control::Rerun { .. } => true,
                Control::Cancel | Control::Terminate | Control::Suspend | Control::Reschedule { .. } => false,
                Control::SetVariables { .. } | Control::SetQueue { .. } | Control::SetPriority { .. } => false,
            },
            Command::Call(CallCommand { report: CallReport::Resolved { .. }, .. }) => true,
            Command::Call(CallCommand {
                report: CallReport::Completed { .. } | CallReport::GivenUp { .. } | CallReport::Progress { .. },
                ..
            }) => false,
            Command::Task(_) | Command::Internal(_) => false,
        }
    }
}

impl From<Internal> for Command {
    fn from(command: Internal) -> Self {
        Command::Internal(command)
    }
}

impl From<TaskCommand> for Command {
    fn from(command: TaskCommand) -> Self {
        Command::Task(command)
    }
}

impl From<CallCommand> for Command {
    fn from(command: CallCommand) -> Self {
        Command::Call(command)
    }
}

/// The new time of a timer. A time in the past fires at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At this time.
    At(Timestamp),
    /// This long after now.
    After(Duration),
}

/// A message with name and key.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Its body.
    pub data: Value,
    /// Its row, if it arrived before its wait.
    pub kept: Option<i64>,
    /// Who sent it; none if that is not known.
    pub sender: Option<Sender>,
}

/// Who sent a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sender {
    /// The `app_id` of the command.
    pub app_id: String,
    /// The user of the broker, where the broker has verified one.
    pub user_id: Option<String>,
}

impl Sender {
    /// Writes into the details of a history entry who has sent its command. `by` is who acts: a user, or else the sender; `sender` is
    /// there if it is another.
    pub fn sign(&self, details: &mut Value) {
        if details.is_null() {
            *details = json!({});
        }
        let Value::Object(details) = details else { return };
        match details.get("by") {
            None => details.insert("by".into(), json!(self.app_id)),
            Some(by) if *by == self.app_id.as_str() => None,
            Some(_) => details.insert("sender".into(), json!(self.app_id)),
        };
        details.extend(self.user_id.iter().map(|user_id| ("user_id".into(), json!(user_id))));
    }
}
