//! Bodies about dead letters.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterView {
    /// Its number.
    pub id: i64,
    /// When it was stored.
    pub received_at: Timestamp,
    /// Why it could not be handled.
    pub reason: String,
    /// The queue it came from.
    pub source: String,
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
    /// When it was redriven.
    pub redriven_at: Option<Timestamp>,
    /// Bytes of the original body, of which at most the first MiB is stored.
    pub body_bytes: i64,
    /// The body as text, cut at 4 KiB; only where a single dead letter is requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}
