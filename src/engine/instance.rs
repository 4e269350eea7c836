//! The state of one run, as the engine sees it: plain values that are loaded, changed in memory and committed whole.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

mod values;

/// The format in which this binary writes `branches`; a newer one is left to newer workers.
pub const STATE_FORMAT: i16 = 1;

/// Identity of an instance: a UUIDv7, so that ids are ordered by their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub Uuid);

impl fmt::Display for InstanceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl FromStr for InstanceId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Identity of a branch inside its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BranchId(pub i32);

/// The branch every instance starts with.
pub const ROOT: BranchId = BranchId(0);

/// Where an instance stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It moves, or waits for something that will come.
    Running,
    /// It waits for a person after a failure; nothing fires.
    Suspended,
    /// It is undoing what it did.
    Compensating,
    /// It reached its end.
    Completed,
    /// It ended with an error.
    Failed,
    /// It was called off.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a life.
    pub const ALL: [Status; 6] = [
        Status::Running,
        Status::Suspended,
        Status::Compensating,
        Status::Completed,
        Status::Failed,
        Status::Cancelled,
    ];

    /// The word used in tables, API and documents.
    pub fn name(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Suspended => "suspended",
            Status::Compensating => "compensating",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    pub fn parse(name: &str) -> Option<Status> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether nothing will ever happen to the instance again.
    pub fn has_ended(self) -> bool {
        match self {
            Status::Running | Status::Suspended | Status::Compensating => false,
            Status::Completed | Status::Failed | Status::Cancelled => true,
        }
    }
}

/// One run of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its identity.
    pub id: InstanceId,
    /// The definition's name.
    pub definition: String,
    /// The definition's version; kept for life.
    pub version: i32,
    /// Where it stands in its life.
    pub status: Status,
    /// The concurrency token: every commit compares and raises it. 0 before the first commit.
    pub revision: i64,
    /// The business key, unique among live instances of the definition.
    pub key: Option<String>,
    /// The queue of its step commands.
    pub queue: String,
    /// Higher goes first where there is a choice.
    pub priority: i16,
    /// What it was started with, defaults filled in.
    pub input: Map<String, Value>,
    /// The declared variables.
    pub variables: Map<String, Value>,
    /// What it ended with.
    pub output: Option<Value>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Its lines of control and counters.
    pub state: State,
    /// How many history rows it has.
    pub history_count: i64,
    /// The hash of its newest history row.
    pub history_hash: [u8; 32],
    /// When it was started.
    pub started_at: Timestamp,
    /// By whom: the `app_id` of the command, or a user.
    pub started_by: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// W3C trace context of the start, carried on with everything it publishes.
    pub trace: Option<String>,
}

impl Instance {
    /// Whether a branch could go on at once.
    pub fn is_ready(&self) -> bool {
        self.ready_branch().is_some()
    }

    /// The first branch that could go on at once.
    pub fn ready_branch(&self) -> Option<&Branch> {
        match self.status {
            Status::Running | Status::Compensating => {}
            // Nothing moves before somebody says so, and then what is ready gets a new step command.
            Status::Suspended | Status::Completed | Status::Failed | Status::Cancelled => return None,
        }
        self.state.branches.iter().find(|branch| branch.phase == Phase::Ready)
    }
}

/// What the column `branches` holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// The live lines of control; none when the instance has ended.
    pub branches: Vec<Branch>,
    /// How many times each activity was begun.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub visits: BTreeMap<String, u32>,
    /// Who completed each task activity last; null before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub actors: BTreeMap<String, Option<String>>,
    /// The number the next bookmark gets, counted from 1.
    #[serde(default)]
    pub bookmarks: i64,
    /// The open timer of the definition's own `timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Deadline>,
    /// The open bookmark of a suspension by hand; `resume` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<i64>,
}

/// The definition's own `timeout`, once an instance has started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deadline {
    /// Its timer's bookmark.
    pub bookmark: i64,
    /// When it is due.
    pub due_at: Timestamp,
}

/// One line of control; it stands at one activity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Its identity inside the instance.
    pub id: BranchId,
    /// Raised by every step of the branch; a step command names it.
    pub sequence: i64,
    /// The activity it stands at.
    pub activity: String,
    /// Ready or waiting.
    pub phase: Phase,
    /// The attempt at the activity that runs or runs next, from 1.
    pub attempt: u32,
    /// Steps since the last wait, bounded by `limits.steps_max`.
    #[serde(default)]
    pub steps: u32,
    /// How often a worker died over the step it stands at.
    #[serde(default)]
    pub crashes: u32,
    /// Failures counted per retry policy of the activity, by its position in the list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<usize, u32>,
    /// When the first attempt failed: `retry.within` counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Timestamp>,
}

impl Branch {
    /// What it waits for; nothing if it can go on at once, or is done and its instance suspended.
    pub fn waits(&self) -> &[Wait] {
        match &self.phase {
            Phase::Ready | Phase::Concluded(_) => &[],
            Phase::Waiting(waits) => waits,
        }
    }
}

/// Whether a branch can go on at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The next step can be taken now.
    Ready,
    /// One of these bookmarks moves it on.
    Waiting(Vec<Wait>),
    /// What it waited for ended while the instance was suspended; `resume` goes on with it.
    Concluded(Concluded),
}

/// How work ended that nobody could go on with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Concluded {
    /// When it ended.
    pub at: Timestamp,
    /// What it returned, if it succeeded; a null is a result too.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// How it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// One open bookmark, as its branch knows it.
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

impl Concluded {
    pub(super) fn outcome(self) -> Result<Value, Failure> {
        self.failure.map_or(Ok(self.result.unwrap_or_default()), Err)
    }
}

/// What a branch waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitOn {
    /// A moment: [`Wait::due_at`].
    Timer(TimerKind),
    /// The message at this position of the `receive`.
    Message {
        /// Position in the list, from 0.
        index: usize,
    },
    /// A person, after a failure.
    Intervention {
        /// What went wrong.
        failure: Failure,
        /// The result of the work, where only `output` or `next` failed: `retry` evaluates those again.
        // A null is a result too: the work was done.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        result: Option<Value>,
    },
    /// A person, to complete a task.
    Task,
    /// The outcome of a call.
    Call {
        /// The dispatch number: an outcome with another number is too late.
        dispatch: u32,
        /// Set while the target is asked whether it executed the last attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probing: Option<Probing>,
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
        /// Which one, from 0.
        index: usize,
    },
    /// Offers the task to more people.
    Escalation {
        /// Position in the list, from 0.
        index: usize,
    },
}

/// Asking a target whether it carried out what nobody knows the outcome of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probing {
    /// What is known of the attempt.
    pub failure: Failure,
    /// How often it was asked.
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

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// An error of an activity: data in the instance, not a Rust error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Dotted, for programs.
    pub code: String,
    /// A sentence, for people.
    pub message: String,
    /// Anything more, for `on_error`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

impl Failure {
    /// A failure without data.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), data: Value::Null }
    }
}
