//! What an instance can be asked to do, once a door has checked it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::definition::Runs;

use super::call::{CallOutcome, ReportedOutcome, Resolution};
use super::instance::{BranchId, Failure, InstanceId};
use super::task::{Act, Assignment, Person, Task, TaskId, TaskRefusal};

/// The birth of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The identity it will have.
    pub id: InstanceId,
    /// The version it keeps for life.
    pub version: i32,
    /// Its business key.
    pub key: Option<String>,
    /// As sent; checked against the definition's schema.
    pub input: Value,
    /// Who asked.
    pub by: Option<String>,
    /// W3C trace context.
    pub trace: Option<String>,
}

/// Everything else an instance can be asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Take the next step of a branch.
    Continue {
        /// Which branch.
        branch: BranchId,
        /// The sequence it had when this was written; an older one is stale.
        sequence: i64,
    },
    /// A timer is due.
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
    /// Try again what failed for good.
    Retry {
        /// Who asked.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Call the instance off.
    Cancel {
        /// Who asked.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// A worker died over this branch's step; one more crash than allowed opens an incident.
    Crash {
        /// Which branch.
        branch: BranchId,
        /// The sequence of the step command that came again.
        sequence: i64,
        /// `worker.crash_max`.
        crash_max: u32,
    },
    /// A worker cannot carry out this branch's step, and nobody else could: a person has to look.
    Undeliverable {
        /// Which branch.
        branch: BranchId,
        /// The sequence of the step command.
        sequence: i64,
        /// Why.
        why: String,
    },
    /// A person does something with a task.
    Act {
        /// The task's bookmark.
        bookmark: i64,
        /// Who.
        person: Person,
        /// The revision of the task that person has seen; none does not ask.
        seen: Option<i64>,
        /// What.
        act: Act,
    },
    /// Let the instance stand still until somebody says `resume`.
    Suspend {
        /// Who asked.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Let an instance move again that was suspended by hand.
    Resume {
        /// Who asked.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Let an open timer be due at another moment.
    Reschedule {
        /// The timer's bookmark.
        bookmark: i64,
        /// When it will be due.
        due: Due,
        /// Who asked.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// An attempt at a call has ended.
    CompleteCall {
        /// The call's bookmark.
        bookmark: i64,
        /// The number it was handed out under.
        dispatch: u32,
        /// How.
        outcome: CallOutcome,
    },
    /// A worker tells how far it is.
    Progress {
        /// The call's bookmark.
        bookmark: i64,
        /// The number it was handed out under.
        dispatch: u32,
        /// That.
        progress: Value,
    },
    /// A person tells what became of a call.
    Resolve {
        /// The call's bookmark.
        bookmark: i64,
        /// That.
        resolution: Resolution,
        /// Who asked.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
}

/// A moment to come, as a person says it. One that has passed is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Then.
    At(Timestamp),
    /// So long from now.
    After(Duration),
}

/// A message with name and key.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// What it says.
    pub data: Value,
    /// The row it was kept in, if it came before its wait.
    pub kept: Option<i64>,
}

/// What surrounds a step and is not the instance's own: time, chance and configuration, all as values.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The database's time; the same in the whole step.
    pub now: Timestamp,
    /// A number from 0 (included) to 1 (excluded), for the jitter of retries.
    pub chance: f64,
    /// The environment variables that expressions may read.
    pub env: &'a Map<String, Value>,
    /// `limits.steps_max`: steps of a branch since its last wait.
    pub steps_max: u32,
    /// `limits.variables_max`: bytes of all variables as JSON.
    pub variables_max: usize,
    /// `timeouts.database`: the default timeout of a handler.
    pub handler_timeout: Duration,
    /// `timeouts.http`: the default timeout of an attempt over HTTP.
    pub http_timeout: Duration,
    /// `timeouts.activity`: the default timeout of an attempt by a worker.
    pub call_timeout: Duration,
    /// `retry.*`: the policy of activities that write none.
    pub retry: &'a crate::definition::Retry,
}

/// What a decision requires beyond the instance.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// A handler is to be run inside the step's transaction.
    Handler(HandlerCall),
    /// Kept messages of these names and keys, oldest first.
    Messages(Vec<(String, String)>),
    /// A task, as it stands under its lock.
    Task(TaskId),
    /// How high each of these users stands, under the lock of that.
    Standing(Assignment),
}

/// One run of a handler.
#[derive(Debug, Clone, PartialEq)]
pub struct HandlerCall {
    /// The branch it is run for.
    pub branch: BranchId,
    /// The activity it is run for.
    pub activity: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// What is run, by its registered name.
    pub runs: Runs,
    /// What it receives.
    pub input: Value,
    /// After this its connection is closed and the attempt has failed with `timeout`.
    pub timeout: Option<Duration>,
}

/// The answers to a [`Need`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// How the handler ended.
    pub handler: Option<Result<Value, Failure>>,
    /// Kept messages, oldest first.
    pub messages: Vec<Message>,
    /// The task.
    pub task: Option<Task>,
    /// By turns or by load; whoever is not named stands at 0.
    pub standing: Option<Vec<(String, i64)>>,
    /// Kept messages that open waits of a suspended instance would have had, oldest first.
    pub missed: Vec<MissedMessage>,
    /// Outcomes of calls that came while the instance was suspended.
    pub reported: Vec<ReportedOutcome>,
}

/// A message that came for an open wait while its instance was suspended.
#[derive(Debug, Clone, PartialEq)]
pub struct MissedMessage {
    /// The wait's bookmark.
    pub bookmark: i64,
    /// When the message came.
    pub at: Timestamp,
    /// The message, as it was kept.
    pub message: Message,
}

/// Why a command changes nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The branch has moved on since the command was written.
    #[error("the branch has moved on since this command was written")]
    Stale,
    /// The bookmark was taken or closed before.
    #[error("bookmark {0} is no longer open")]
    Gone(i64),
    /// The instance has ended.
    #[error("the instance has already ended as {}", .0.name())]
    Ended(super::instance::Status),
    /// A timer is not due yet.
    #[error("the timer is due at {0}")]
    Early(Timestamp),
    /// The wait's filter does not hold for this message.
    #[error("the filter of the wait does not hold for this message")]
    NotMatching,
    /// There is no incident to retry.
    #[error("the instance has no open incident to retry")]
    NoIncident,
    /// The instance is suspended: it moves again after `retry` or `resume`.
    #[error("the instance is suspended")]
    Suspended,
    /// It is suspended, and cannot be more so.
    #[error("the instance is suspended already")]
    AlreadySuspended,
    /// It was suspended by hand, so there is nothing to try again.
    #[error("the instance was suspended by hand: `resume` lets it go on")]
    ByHand,
    /// It was suspended by a failure, so it cannot simply go on.
    #[error("the instance was suspended by a failure: `retry` tries again, `cancel` calls it off")]
    ByFailure,
    /// It is not suspended.
    #[error("the instance is not suspended")]
    NotSuspended,
    /// The bookmark is open, and no timer.
    #[error("bookmark {0} is no timer")]
    NoTimer(i64),
    /// What became of the call is not unknown.
    #[error("the call is under route: only one whose outcome is unknown can be tried again by hand")]
    NotUnknown,
    /// Calendars do not go that far.
    #[error("a timer must be due before the year 10000")]
    TooFar,
    /// The input does not fit the definition's schema.
    #[error("the input does not fit the definition: {}", .0.join("; "))]
    Input(Vec<String>),
    /// The decision needs a fact that was not supplied: a defect of the caller.
    #[error("the decision needs a fact that was not supplied")]
    Missing,
    /// The task cannot be acted upon like this.
    #[error(transparent)]
    Task(TaskRefusal),
}
