//! Effects: the rows that are written in the same commit as the instance. A closed list.

use jiff::Timestamp;
use serde_json::Value;

use super::call::{Call, CallChange, CallClosed, CallId};
use super::command::Sender;
use super::instance::{BranchId, Instance};
use super::search::Attribute;
use super::task::{Closed, Task, TaskId};

/// The outcome of a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The changed instance; its revision is still the one that was loaded.
    pub instance: Instance,
    /// Everything that is written with it, in order.
    pub effects: Vec<Effect>,
    /// The kind of the activity, or of the command: a label of metrics.
    pub kind: &'static str,
}

impl Step {
    /// Writes who has sent the command into its first history entry.
    pub fn sign(&mut self, sender: &Sender) {
        for effect in &mut self.effects {
            if let Effect::Record(entry) = effect {
                return sender.sign(&mut entry.details);
            }
        }
    }
}

/// One change to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Append to the history.
    Record(Entry),
    /// Publish an event.
    Publish(Event),
    /// Open a wait.
    Open(Bookmark),
    /// Consume the bookmark of the command; it must be open.
    Consume(i64),
    /// Close a bookmark whose wait has ended otherwise; it must be open.
    Close(i64),
    /// Remove a kept message; it must be there.
    TakeMessage(i64),
    /// Open a task and show it to its candidates.
    OpenTask(Box<Task>),
    /// Change a task; it must be open and have the revision it was loaded with.
    ChangeTask(Box<Task>),
    /// The same, and also its candidates or its order in lists.
    OfferTask(Box<Task>),
    /// Close a task; it must be open.
    CloseTask {
        /// The task.
        id: TaskId,
        /// How it ended.
        closed: Closed,
    },
    /// Make a user the last in the round robin of an activity.
    AdvanceRoundRobin {
        /// The activity.
        activity: String,
        /// The user.
        user: String,
    },
    /// Open a call, which is due at once.
    OpenCall(Box<Call>),
    /// Change a call; it must be open, with this dispatch number.
    ChangeCall {
        /// The call.
        id: CallId,
        /// Its current dispatch number.
        dispatch: u32,
        /// The change.
        change: CallChange,
    },
    /// Close a call; it must be open.
    CloseCall {
        /// The call.
        id: CallId,
        /// How it ended.
        closed: CallClosed,
    },
    /// Write the search attributes of the instance.
    Index(Vec<Attribute>),
    /// Publish the command of a timer that came due while the instance was suspended.
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
    /// The kind, in the past tense.
    pub kind: EntryKind,
    /// The activity.
    pub activity: Option<String>,
    /// The branch.
    pub branch: Option<BranchId>,
    /// Details, limited in size.
    pub details: Value,
}

/// The kind of a history entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
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
    IncidentFailed,
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
    InstanceTerminated,
    WaitSkipped,
    BranchJumped,
    BranchRerun,
    VariablesSet,
    QueueChanged,
    PriorityChanged,
}

impl EntryKind {
    /// The word used in the table, the API and documents.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// An event for subscribers.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The event's own name: the routing key is `<definition>.<name>`.
    pub name: String,
    /// Its data.
    pub data: Value,
    /// When it happened.
    pub at: Timestamp,
    /// The fingerprint of the group of incidents that it tells of: while the group is muted, it is not published.
    pub group: Option<String>,
}

/// One open wait of a branch, or of the whole instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Bookmark {
    /// Its number inside the instance.
    pub number: i64,
    /// The branch that waits; none for the timeout of the instance and for a suspension by a command.
    pub branch: Option<BranchId>,
    /// The activity of the branch.
    pub activity: Option<String>,
    /// The kind of the wait.
    pub kind: BookmarkKind,
    /// When it is due, for timers.
    pub due_at: Option<Timestamp>,
    /// Name and key of the message, for messages.
    pub message: Option<(String, String)>,
    /// The failure, for interventions.
    pub details: Value,
    /// The fingerprint of an incident.
    pub fingerprint: Option<String>,
}

/// What a bookmark waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum BookmarkKind {
    /// A point in time.
    Timer,
    /// A message with a name and key.
    Message,
    /// A person, after a failure or after `suspend`.
    Intervention,
    /// The completion of a task.
    Task,
    /// The outcome of a call.
    Call,
}

impl BookmarkKind {
    /// The word used in the table, the API and documents.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
