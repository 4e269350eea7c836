//! Messages about calls: what workers outside are asked, and what they answer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The outcome of a call: of a worker, or of an `http` that awaits a callback. Without an `error` it succeeded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CallComplete {
    /// The call.
    pub call: Uuid,
    /// The token of the attempt.
    pub token: String,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CallError>,
}

/// What went wrong with a call.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CallError {
    /// Dotted words; the error of the activity is `worker.<code>`.
    pub code: String,
    /// A sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Anything more, for `on_error`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// A worker is still at it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CallHeartbeat {
    /// The call.
    pub call: Uuid,
    /// The token of the attempt.
    pub token: String,
}

/// A worker tells how far it is; a heartbeat too.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CallProgress {
    /// The call.
    pub call: Uuid,
    /// The token of the attempt.
    pub token: String,
    /// Whatever tells it.
    #[serde(default)]
    pub progress: Value,
}

/// A call is to be made: a wake-up, written by Leveret itself. AMQP property `type`: `make`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Make {
    /// The call.
    pub call: Uuid,
    /// The number it is handed out under.
    pub dispatch: u32,
}

/// What a worker outside receives. AMQP property `type`: `call`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct WorkRequest {
    /// The schema version of this message.
    pub schema: i64,
    /// The call.
    pub call: Uuid,
    /// The name of the work.
    pub name: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// To be sent back with every answer; of this attempt only.
    pub token: String,
    /// The same on every attempt.
    pub idempotency_key: String,
    /// From then on an answer is too late.
    pub deadline: Option<Timestamp>,
    /// Whoever is silent for longer is taken for dead.
    pub heartbeat_for: Option<String>,
    /// The instance.
    pub instance: Uuid,
    /// The activity.
    pub activity: String,
    /// What is to be done.
    pub input: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that tells more than it is asked for is understood: its work would be done again.
    #[test]
    fn what_a_worker_adds_is_left_alone() {
        let told = r#"{"call": "2d726b8a-e1d9-5e9a-8afe-8ad6ae145452", "token": "1-a", "took_ms": 7,
                       "error": {"code": "no_label", "message": "m", "stack": ["a"]}}"#;
        let read: CallComplete = serde_json::from_str(told).unwrap();
        assert_eq!(read.error.map(|error| error.code).as_deref(), Some("no_label"));
    }
}
