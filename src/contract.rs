//! The public contract: the messages on the broker and the bodies of the HTTP API. Every change here is a breaking change.

pub mod api;
#[cfg(feature = "server")]
pub mod asyncapi;
#[cfg(feature = "server")]
pub mod bulk;
mod calls;
pub mod events;
mod exchange;
pub mod filter;
mod fit;
pub mod json;
mod mark;
mod name;
mod operations;
pub mod schedule;
pub mod scope;
pub mod step_queue;
mod tasks;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::time::moment;

pub use calls::{CallComplete, CallError, CallHeartbeat, CallProgress, Make, WorkRequest};
pub use exchange::Exchange;
pub use fit::{DEPTH_MAX, Unfit, find_unfit, is_too_deep, refuse_unfit, too_deep, too_large};
pub use mark::without_mark;
pub use name::{InvalidName, NAME_MAX, check_name, is_reserved_sender};
pub use operations::{
    Jump, Operation, Rerun, ResolveAction, ResolveIncident, SetPriority, SetQueue, SetVariables, Skip,
};
pub use tasks::{TaskClaim, TaskComplete, TaskRelease, listed_groups};

/// The schema version this binary supports. The AMQP header `schema` carries it; without it a message has version 1.
pub const SCHEMA: i64 = 1;
/// The largest body of a message from outside, in bytes.
pub const BODY_MAX: usize = 256 * 1024;

/// The most users, and the most groups, that a task or the groups of a user name.
pub const PEOPLE_MAX: usize = 500;

/// Rows of a page of a list without `limit`.
pub const LIST: i64 = 50;
/// The most rows of a page of a list, at every door.
pub const LIST_MAX: i64 = 500;

/// A command. The AMQP property `type` names the variant.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `start`
    Start(Start),
    /// `message`
    Message(Message),
    /// `cancel`
    Cancel(Target),
    /// `retry`
    Retry(Target),
    /// `continue`: a step command, written by Leveret itself.
    Continue(Continue),
    /// `fire`: the wake-up of a timer, written by Leveret itself.
    Fire(Fire),
    /// `task.complete`
    TaskComplete(TaskComplete),
    /// `task.claim`
    TaskClaim(TaskClaim),
    /// `task.release`
    TaskRelease(TaskRelease),
    /// `suspend`
    Suspend(Target),
    /// `resume`
    Resume(Target),
    /// `terminate`, `skip`, `jump`, `variables.set`, `rerun`, `queue.set`, `priority.set`, `incident.resolve`
    Operate(Box<Operation>),
    /// `timer.reschedule`
    Reschedule(Reschedule),
    /// `deliver`: one copy of a broadcast, written by Leveret itself.
    Deliver(Deliver),
    /// `call.complete`
    CallComplete(CallComplete),
    /// `call.heartbeat`
    CallHeartbeat(CallHeartbeat),
    /// `call.progress`
    CallProgress(CallProgress),
}

impl Command {
    /// The AMQP property `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Command::Start(_) => "start",
            Command::Message(_) => "message",
            Command::Cancel(_) => "cancel",
            Command::Retry(_) => "retry",
            Command::Continue(_) => "continue",
            Command::Fire(_) => "fire",
            Command::TaskComplete(_) => "task.complete",
            Command::TaskClaim(_) => "task.claim",
            Command::TaskRelease(_) => "task.release",
            Command::Suspend(_) => "suspend",
            Command::Resume(_) => "resume",
            Command::Operate(operation) => operation.kind(),
            Command::Reschedule(_) => "timer.reschedule",
            Command::Deliver(_) => "deliver",
            Command::CallComplete(_) => "call.complete",
            Command::CallHeartbeat(_) => "call.heartbeat",
            Command::CallProgress(_) => "call.progress",
        }
    }
}

/// Start an instance of a definition.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Start {
    /// The definition's name.
    pub definition: String,
    /// A version; the newest active one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// Business key, unique among live instances of the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What to do if a live instance has the key.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// The user for whom it is started, as `instance.started_by`; the sender of the command when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The priority: above 0, its commands go before those of instances that have none. That of the definition when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i16>,
    /// The input; `{}` when left out.
    #[serde(default = "empty_object")]
    pub input: Value,
}

pub(crate) fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

/// What a start does if a live instance of the definition already has its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Refuse.
    #[default]
    Reject,
    /// Answer with the live instance.
    Return,
    /// Cancel the live instance and start a new one.
    Replace,
}

/// Send a message to an instance that waits for its name and key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Message {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Its content.
    #[serde(default)]
    pub data: Value,
    /// Seconds it is kept if no instance waits yet; `messages.ttl` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Deliver it to every instance that waits when it is handled, and never keep it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broadcast: bool,
}

/// Control one instance: by id, or by definition and key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Target {
    /// The instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Uuid>,
    /// Or the definition's name…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// …and the business key of a live instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The reason, kept in the history. `note` means the same.
    #[serde(default, alias = "note", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The person who acts, kept in the history as `by`; the sender of the command when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The revision of the instance that the sender has seen: the command is refused if the instance has changed since. Not compared
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Change nothing, and answer what would change. Only over HTTP and on the command line; elsewhere the command is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Change the due time of an open timer: give `due_at` or `after`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Reschedule {
    /// The instance of the timer.
    #[serde(flatten)]
    pub target: Target,
    /// The timer's number inside the instance.
    pub bookmark: i64,
    /// The new due time; a time in the past fires at once.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "moment::deserialize_option")]
    pub due_at: Option<Timestamp>,
    /// Or a duration from now, as in `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Take the next step of a branch. Ids only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continue {
    /// The instance.
    pub instance: Uuid,
    /// The branch.
    pub branch: i32,
    /// The sequence of the branch when the command was written.
    pub sequence: i64,
}

/// A timer may be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fire {
    /// The instance.
    pub instance: Uuid,
    /// The timer's bookmark.
    pub bookmark: i64,
    /// The due time, by the database's clock.
    pub due_at: Timestamp,
}

/// One copy of a broadcast, for one wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deliver {
    /// The instance.
    pub instance: Uuid,
    /// The wait's bookmark.
    pub bookmark: i64,
    /// The message's name.
    pub name: String,
    /// The message's key.
    pub key: String,
    /// Its content.
    #[serde(default)]
    pub data: Value,
    /// The `app_id` of the broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// The user of the broker who sent it, where the broker has verified one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// The identity of a message from outside: duplicates are recognised by this pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// AMQP property `app_id`.
    pub app_id: String,
    /// AMQP property `message_id`.
    pub message_id: String,
}

/// An event, as CloudEvents 1.0 in structured mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CloudEvent {
    /// Always `1.0`.
    pub specversion: String,
    /// The id of the event: receivers recognise duplicates by it.
    pub id: String,
    /// `leveret/<definition>`
    pub source: String,
    /// `<definition>.<event>`: also the routing key.
    #[serde(rename = "type")]
    pub kind: String,
    /// The instance.
    pub subject: String,
    /// The time of the event.
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// Its content.
    pub data: Value,
}
