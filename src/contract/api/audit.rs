//! Bodies about the audit log.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One action of an operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct AuditView {
    /// Its number.
    pub id: i64,
    /// When it was done.
    pub at: Timestamp,
    /// Who: a person where the door knows one, or else the verified user of RabbitMQ, or the sender of the command.
    pub actor: String,
    /// Through which door it came: `http`, `cli` or `broker`.
    pub door: String,
    /// What was done: `suspend`, `call.resolve`, `schedule.pause`.
    pub action: String,
    /// The kind of the object: `instance`, `task`, `call`, `schedule`, `definition`, `dead_letter`.
    pub subject: String,
    /// The id or name of the object.
    pub object: String,
    /// Why, as the operator worded it.
    pub reason: Option<String>,
    /// What came of it.
    pub outcome: String,
    /// Further facts, such as numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}
