//! What a decision asks for: rows to write in the same commit as the instance. A closed list.

use jiff::Timestamp;
use serde_json::Value;

use super::call::{Call, CallChange, CallClosed, CallId};
use super::instance::{BranchId, Instance};
use super::task::{Closed, Task, TaskId};

/// The outcome of a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The instance as it will be; its revision is still the one that was loaded.
    pub instance: Instance,
    /// Everything to be written with it, in order.
    pub effects: Vec<Effect>,
    /// The kind of the activity the step was about (a label of metrics), or of the command.
    pub kind: &'static str,
}

/// One thing to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Append to the history.
    Record(Entry),
    /// Publish an event.
    Publish(Event),
    /// Open a wait.
    Open(Bookmark),
    /// Take the bookmark the command was for; it must be open.
    Consume(i64),
    /// Close a bookmark that is no longer waited for; it must be open.
    Close(i64),
    /// Remove a kept message; it must be there.
    TakeMessage(i64),
    /// Open a task, seen by those who may do it.
    OpenTask(Box<Task>),
    /// Change a task; it must be open and have the revision it was loaded with.
    ChangeTask(Box<Task>),
    /// The same, and with it who sees it, or in which order.
    OfferTask(Box<Task>),
    /// Close a task; it must be open.
    CloseTask {
        /// Which one.
        id: TaskId,
        /// How it ended.
        closed: Closed,
    },
    /// Put a user at the end of the turns of an activity.
    AdvanceRoundRobin {
        /// The activity.
        activity: String,
        /// The user.
        user: String,
    },
    /// Open a call, to be made at once.
    OpenCall(Box<Call>),
    /// Change a call; it must be open, and handed out under that number last.
    ChangeCall {
        /// Which one.
        id: CallId,
        /// The number of the last handing-out.
        dispatch: u32,
        /// What is done next with it.
        change: CallChange,
    },
    /// Close a call; it must be open.
    CloseCall {
        /// Which one.
        id: CallId,
        /// How it ended.
        closed: CallClosed,
    },
    /// Ask again for a timer that came due while nothing moved.
    Remind {
        /// Its bookmark.
        bookmark: i64,
        /// When it was due.
        due_at: Timestamp,
    },
}

/// One history row before it is numbered and hashed.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What happened, in the past tense.
    pub kind: EntryKind,
    /// The activity it happened at.
    pub activity: Option<String>,
    /// The branch it happened to.
    pub branch: Option<BranchId>,
    /// More, bounded in size.
    pub details: Value,
}

/// What can happen to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it; docs/protocol.md lists their details")]
pub enum EntryKind {
    InstanceStarted,
    InstanceCompleted,
    InstanceFailed,
    InstanceCancelled,
    ActivityCompleted,
    ActivitySkipped,
    ActivityFailed,
    ActivityRetryScheduled,
    ErrorCaught,
    WaitOpened,
    TimerFired,
    MessageReceived,
    WaitTimedOut,
    IncidentOpened,
    IncidentRetried,
    WorkerCrashed,
    TaskOpened,
    TaskClaimed,
    TaskReleased,
    TaskReassigned,
    TaskDelegated,
    TaskVoted,
    TaskReminded,
    TaskOverdue,
    TaskEscalated,
    TaskCompleted,
    InstanceSuspended,
    InstanceResumed,
    TimerRescheduled,
    CallOpened,
    CallUnknown,
    CallResolved,
    CallProgressed,
}

impl EntryKind {
    /// The word used in the table, the API and documents.
    pub fn name(self) -> &'static str {
        match self {
            EntryKind::InstanceStarted => "InstanceStarted",
            EntryKind::InstanceCompleted => "InstanceCompleted",
            EntryKind::InstanceFailed => "InstanceFailed",
            EntryKind::InstanceCancelled => "InstanceCancelled",
            EntryKind::ActivityCompleted => "ActivityCompleted",
            EntryKind::ActivitySkipped => "ActivitySkipped",
            EntryKind::ActivityFailed => "ActivityFailed",
            EntryKind::ActivityRetryScheduled => "ActivityRetryScheduled",
            EntryKind::ErrorCaught => "ErrorCaught",
            EntryKind::WaitOpened => "WaitOpened",
            EntryKind::TimerFired => "TimerFired",
            EntryKind::MessageReceived => "MessageReceived",
            EntryKind::WaitTimedOut => "WaitTimedOut",
            EntryKind::IncidentOpened => "IncidentOpened",
            EntryKind::IncidentRetried => "IncidentRetried",
            EntryKind::WorkerCrashed => "WorkerCrashed",
            EntryKind::TaskOpened => "TaskOpened",
            EntryKind::TaskClaimed => "TaskClaimed",
            EntryKind::TaskReleased => "TaskReleased",
            EntryKind::TaskReassigned => "TaskReassigned",
            EntryKind::TaskDelegated => "TaskDelegated",
            EntryKind::TaskVoted => "TaskVoted",
            EntryKind::TaskReminded => "TaskReminded",
            EntryKind::TaskOverdue => "TaskOverdue",
            EntryKind::TaskEscalated => "TaskEscalated",
            EntryKind::TaskCompleted => "TaskCompleted",
            EntryKind::InstanceSuspended => "InstanceSuspended",
            EntryKind::InstanceResumed => "InstanceResumed",
            EntryKind::TimerRescheduled => "TimerRescheduled",
            EntryKind::CallOpened => "CallOpened",
            EntryKind::CallUnknown => "CallUnknown",
            EntryKind::CallResolved => "CallResolved",
            EntryKind::CallProgressed => "CallProgressed",
        }
    }
}

/// Something to be told to whoever listens.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The event's own name: the routing key is `<definition>.<name>`.
    pub name: String,
    /// What it says.
    pub data: Value,
    /// When it happened.
    pub at: Timestamp,
}

/// One open wait of a branch, or of the whole instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Bookmark {
    /// Its number inside the instance.
    pub number: i64,
    /// The branch that waits; none for the instance's own timeout and for a suspension by hand.
    pub branch: Option<BranchId>,
    /// The activity it waits at.
    pub activity: Option<String>,
    /// What it waits for.
    pub kind: BookmarkKind,
    /// When it is due, for timers.
    pub due_at: Option<Timestamp>,
    /// Name and key of the message, for messages.
    pub message: Option<(String, String)>,
    /// The failure, for interventions.
    pub details: Value,
}

/// What a bookmark waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookmarkKind {
    /// A moment.
    Timer,
    /// A message of a name and key.
    Message,
    /// A person: after a failure, or because one asked for it.
    Intervention,
    /// A person, to do a task.
    Task,
    /// Work outside.
    Call,
}

impl BookmarkKind {
    /// The word used in the table, the API and documents.
    pub fn name(self) -> &'static str {
        match self {
            BookmarkKind::Timer => "timer",
            BookmarkKind::Message => "message",
            BookmarkKind::Intervention => "intervention",
            BookmarkKind::Task => "task",
            BookmarkKind::Call => "call",
        }
    }
}
