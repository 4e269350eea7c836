//! Messages that could not be handled.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterView {
    /// Its number.
    pub id: i64,
    /// When it was filed.
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
    /// The instance it names.
    pub instance: Option<Uuid>,
    /// When it was sent once more.
    pub redriven_at: Option<Timestamp>,
    /// Bytes of its body as it came; of more than 1 MiB only the beginning is kept.
    pub body_bytes: i64,
    /// The body as text, cut at 4 KiB, where one letter is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}
