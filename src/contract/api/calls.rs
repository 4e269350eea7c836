//! Bodies about calls.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// `POST /api/v1/calls/{id}/complete`: the callback of a target, or the reply of an external worker. Without an `error` it succeeded.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CallCompleteRequest {
    /// The token of the attempt.
    #[cfg_attr(feature = "server", schemars(length(min = 1, max = crate::contract::NAME_MAX)))]
    pub token: String,
    /// The result.
    #[serde(default)]
    pub result: Value,
    /// The error.
    pub error: Option<crate::contract::CallError>,
}

/// `POST /api/v1/calls/{id}/resolve`: what a person has found out about an unknown call.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CallResolveRequest {
    /// `succeeded`, `failed` or `retry`.
    #[cfg_attr(feature = "server", schemars(extend("enum" = ["succeeded", "failed", "retry"])))]
    pub outcome: String,
    /// The result of a success.
    #[serde(default)]
    pub result: Value,
    /// The error of a failure.
    pub error: Option<crate::contract::CallError>,
    /// The reason, kept in the history.
    #[serde(alias = "note")]
    pub reason: Option<String>,
}

/// A call in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CallSummary {
    /// Its id, which is also its idempotency key.
    pub id: Uuid,
    /// Its instance.
    pub instance: Uuid,
    /// The instance's business key.
    pub key: Option<String>,
    /// The definition.
    pub definition: String,
    /// The activity.
    pub activity: String,
    /// `http` or `work`.
    pub kind: String,
    /// The target, whose limits and circuit breaker apply.
    pub target: String,
    /// `pending`, `running`, `waiting`, `reported`, `unknown`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// The current or next attempt.
    pub attempt: u32,
    /// Whether a probe asks the target for the outcome of the attempt.
    pub probing: bool,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When the current attempt began.
    pub begun_at: Option<Timestamp>,
    /// When the next attempt is due, or the current one expires.
    pub due_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The code of the last error.
    pub code: Option<String>,
}

/// A call with all details.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CallView {
    /// The same as in a list.
    #[serde(flatten)]
    pub summary: CallSummary,
    /// The request. Secrets appear by their names.
    pub request: Value,
    /// The probe that asks the target for an unknown outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<Value>,
    /// Whether a callback completes it.
    pub callback: bool,
    /// The timeout of an attempt, in milliseconds.
    pub timeout_ms: Option<i64>,
    /// Milliseconds without a heartbeat after which the attempt of an external worker is lost.
    pub heartbeat_ms: Option<i64>,
    /// The time at which every attempt ends.
    pub until: Option<Timestamp>,
    /// The limits its activity sets on the target.
    pub limits: Option<Value>,
    /// The result; while it waits for a callback, the answer of the target.
    pub result: Option<Value>,
    /// The error of the last attempt.
    pub error: Option<Value>,
    /// The outcome that was reported while the instance was suspended.
    pub outcome: Option<Value>,
    /// The last outcome that came too late: `dispatch` (its dispatch number), `at` and `outcome`. Of an unknown call, the missing outcome.
    pub late: Option<Value>,
    /// The number of progress reports, and the last one.
    pub progress: Option<Value>,
}
