//! Messages about calls: requests to external workers, and their replies.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The outcome of a call, from an external worker or from the callback of an `http` activity. Without an `error` it succeeded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CallComplete {
    /// The call.
    pub call: Uuid,
    /// The token of the attempt.
    pub token: String,
    /// The result.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// The error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CallError>,
}

/// The error of a call.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CallError {
    /// The code, words joined by dots. The activity fails with `worker.<code>`.
    pub code: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Further data for `on_error`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// The external worker is alive and working on the call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CallHeartbeat {
    /// The call.
    pub call: Uuid,
    /// The token of the attempt.
    pub token: String,
}

/// The progress of an external worker; also a heartbeat.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CallProgress {
    /// The call.
    pub call: Uuid,
    /// The token of the attempt.
    pub token: String,
    /// The progress: any JSON.
    #[serde(default)]
    pub progress: Value,
}

/// The wake-up for a call, written by Leveret itself. AMQP property `type`: `make`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Make {
    /// The call.
    pub call: Uuid,
    /// The dispatch number of the call.
    pub dispatch: u32,
}

/// A request to an external worker. AMQP property `type`: `call`.
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
    /// The token of this attempt, to be sent back with every reply.
    pub token: String,
    /// The idempotency key: the same for every attempt.
    pub idempotency_key: String,
    /// A reply after this time is too late.
    pub deadline: Option<Timestamp>,
    /// The attempt is lost if no heartbeat arrives for this time, as in `30s`.
    pub heartbeat_for: Option<String>,
    /// The instance.
    pub instance: Uuid,
    /// The activity.
    pub activity: String,
    /// The input.
    pub input: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refused, the work would be done again.
    #[test]
    fn unknown_fields_of_a_reply_are_ignored() {
        let reply = r#"{"call": "2d726b8a-e1d9-5e9a-8afe-8ad6ae145452", "token": "1-a", "took_ms": 7,
                       "error": {"code": "no_label", "message": "m", "stack": ["a"]}}"#;
        let read: CallComplete = serde_json::from_str(reply).unwrap();
        assert_eq!(read.error.map(|error| error.code).as_deref(), Some("no_label"));
    }
}
