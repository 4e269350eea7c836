//! What outsiders see: the messages on the broker. Changing anything here is a breaking change.

pub mod api;
#[cfg(feature = "server")]
pub mod asyncapi;
mod calls;
pub mod events;
mod exchange;
mod fit;
pub mod schedule;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use calls::{CallComplete, CallError, CallHeartbeat, CallProgress, Make, WorkRequest};
pub use exchange::Exchange;
pub use fit::{DEPTH_MAX, Unfit, find_unfit, is_too_deep, refuse_unfit, too_deep};

/// The schema version this binary speaks; carried in the AMQP header `schema`, absent means 1.
pub const SCHEMA: i64 = 1;
/// The largest body of a message from outside, in bytes.
pub const BODY_MAX: usize = 256 * 1024;
/// The longest name, key or id in a command, in bytes.
pub const NAME_MAX: usize = 255;

/// Why a text cannot be a name, key or id in a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has {0} bytes; it must have from 1 to {NAME_MAX} and no \\u0000")]
pub struct InvalidName(usize);

/// Checks a name, key or id in a command, for every API alike.
///
/// # Errors
/// [`InvalidName`] if it is empty, longer than [`NAME_MAX`], or contains `\u0000`, which PostgreSQL cannot store.
pub fn check_name(text: &str) -> Result<(), InvalidName> {
    match text.is_empty() || text.len() > NAME_MAX || text.contains('\0') {
        true => Err(InvalidName(text.len())),
        false => Ok(()),
    }
}

/// Everything a worker may be asked by message. The AMQP property `type` names the variant.
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
    /// `fire`: a timer's hint, written by Leveret itself.
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
    /// `timer.reschedule`
    Reschedule(Reschedule),
    /// `deliver`: one of many copies of a broadcast, written by Leveret itself.
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

/// Send a message to whoever waits for its name and key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Message {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// What it says.
    #[serde(default)]
    pub data: Value,
    /// Seconds it is kept if nobody waits yet; the configured time when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// To everybody who waits when it is handled, and never kept.
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
    /// Why; kept in the history. `note` means the same.
    #[serde(default, alias = "note", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Let an open timer be due at another moment: one of `due_at` and `after`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Reschedule {
    /// Whose timer.
    #[serde(flatten)]
    pub target: Target,
    /// The timer's number inside the instance.
    pub bookmark: i64,
    /// When it will be due; a moment that has passed is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Or so long from now, as in `2h`.
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
    /// The sequence the branch had when this was written.
    pub sequence: i64,
}

/// A timer may be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fire {
    /// The instance.
    pub instance: Uuid,
    /// The timer's bookmark.
    pub bookmark: i64,
    /// When it is due by the database's clock.
    pub due_at: Timestamp,
}

/// Do a task, or cast a vote.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskComplete {
    /// The task; events name it.
    pub task: Uuid,
    /// Who does it.
    pub user: String,
    /// The groups they belong to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The revision of the task they have seen; without it that is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// One of the task's decisions; none where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// What was filled in.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub form: Value,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Take a task to oneself for a while.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskClaim {
    /// The task; events name it.
    pub task: Uuid,
    /// Who takes it.
    pub user: String,
    /// The groups they belong to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Seconds it is to last; `tasks.lease_for` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<u32>,
}

/// Give a task back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TaskRelease {
    /// The task; events name it.
    pub task: Uuid,
    /// Who gives it back.
    pub user: String,
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
    /// What it says.
    #[serde(default)]
    pub data: Value,
}

/// Who sent a message from outside, and which one it is: a repetition is known by this pair.
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
    /// Receivers drop what they have seen before by this.
    pub id: String,
    /// `leveret/<definition>`
    pub source: String,
    /// `<definition>.<event>`: also the routing key.
    #[serde(rename = "type")]
    pub kind: String,
    /// The instance.
    pub subject: String,
    /// When it happened.
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// What it says.
    pub data: Value,
}
