//! Bodies about dead letters.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct DeadLetterView {
    /// Its number.
    pub id: i64,
    /// When it was stored.
    pub received_at: Timestamp,
    /// Why it could not be handled.
    pub reason: String,
    /// The queue it came from.
    pub source: String,
    /// The exchange it was published to.
    pub exchange: String,
    /// Its routing key.
    pub routing_key: String,
    /// AMQP property `type`.
    pub kind: Option<String>,
    /// AMQP property `app_id`.
    pub app_id: Option<String>,
    /// AMQP property `message_id`.
    pub message_id: Option<String>,
    /// AMQP property `user_id`: the user of RabbitMQ who sent it, verified by the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The instance it names.
    pub instance: Option<Uuid>,
    /// How often it has failed: once, and again after being redriven.
    pub failures: i32,
    /// When it failed again last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// How often it was redriven.
    pub redriven: i32,
    /// When it was redriven last; null since it has failed again.
    pub redriven_at: Option<Timestamp>,
    /// The headers; only where a single dead letter is requested.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Bytes of the original body, of which at most the first MiB is stored.
    pub body_bytes: i64,
    /// The body if it is text, cut at 4 KiB; only where a single dead letter is requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The same in hexadecimal if it is not text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_hex: Option<String>,
}

/// `POST /api/v1/dead-letters/redrive` and `…/drop`: one batch of those that everything here fits to. One of the conditions at least is
/// needed, or `all`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeadLettersRequest {
    /// Its reason contains this text.
    pub why: Option<String>,
    /// Its AMQP property `type`.
    pub kind: Option<String>,
    /// The queue it came from, with the prefix or without.
    pub queue: Option<String>,
    /// The definition that it starts, or that of its instance.
    pub definition: Option<String>,
    /// Its AMQP property `app_id`.
    pub app_id: Option<String>,
    /// Every one, if nothing else is said.
    #[serde(default)]
    pub all: bool,
    /// Change nothing: count them by their reasons.
    #[serde(default)]
    pub dry_run: bool,
    /// Only those after this number: `next` of the batch before.
    pub after: Option<i64>,
    /// Only those up to this number: `upto` of the first batch. Those that fail again meanwhile are not taken again.
    pub upto: Option<i64>,
    /// The most in this batch.
    #[cfg_attr(feature = "server", schemars(range(min = 1, max = crate::contract::LIST_MAX)))]
    pub limit: Option<i64>,
    /// Why it is done, for the audit log.
    pub reason: Option<String>,
}

/// `POST /api/v1/dead-letters/{id}/redrive` and `…/drop`
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeadLetterRequest {
    /// Why it is done, for the audit log.
    pub reason: Option<String>,
}

/// A dead letter that was sent again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct RedrivenView {
    /// Its number.
    pub id: i64,
    /// Its new message id.
    pub message_id: Uuid,
}

/// A dead letter that was deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct DroppedView {
    /// Its number.
    pub id: i64,
    /// Always true.
    pub dropped: bool,
}

/// The answer of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum DeadLettersAnswer {
    /// With `dry_run`: what it would take.
    Preview(DeadLettersPreview),
    /// What it has done.
    Done(DeadLettersView),
}

/// What a batch would take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct DeadLettersPreview {
    /// The number of all.
    pub count: i64,
    /// By their reasons.
    pub items: Vec<DeadLetterReason>,
    /// The newest that is counted.
    pub upto: i64,
}

/// Dead letters with one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct DeadLetterReason {
    /// The reason.
    pub reason: String,
    /// The number.
    pub count: i64,
    /// One of them.
    pub sample: i64,
}

/// What a batch has done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct DeadLettersView {
    /// The number of those that were sent again or deleted.
    pub done: usize,
    /// The number of those that were refused.
    pub refused: usize,
    /// The first of these.
    pub refusals: Vec<DeadLetterRefusal>,
    /// The `after` of the next batch; null if there is none.
    pub next: Option<i64>,
    /// The `upto` of the next batch.
    pub upto: i64,
}

/// A dead letter that stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct DeadLetterRefusal {
    /// Its number.
    pub id: i64,
    /// Why.
    pub why: String,
}
