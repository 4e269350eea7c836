//! Bodies of calls.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// `POST /api/v1/calls/{id}/complete`: the callback of a target, or the reply of a worker. Without an `error` it succeeded.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallCompleteRequest {
    /// The token of the attempt.
    pub token: String,
    /// What came of it.
    #[serde(default)]
    pub result: Value,
    /// What went wrong.
    pub error: Option<crate::contract::CallError>,
}

/// `POST /api/v1/calls/{id}/resolve`: what a person found out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallResolveRequest {
    /// `succeeded`, `failed` or `retry`.
    pub outcome: String,
    /// What it succeeded with.
    #[serde(default)]
    pub result: Value,
    /// What it failed with.
    pub error: Option<crate::contract::CallError>,
    /// Why; kept in the history.
    #[serde(alias = "note")]
    pub reason: Option<String>,
}

/// A call in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Whose limits and breaker it falls under.
    pub target: String,
    /// `pending`, `running`, `waiting`, `reported`, `unknown`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// The attempt that runs, or runs next.
    pub attempt: u32,
    /// Whether the target is being asked what became of the attempt.
    pub probing: bool,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When the attempt that runs was begun.
    pub begun_at: Option<Timestamp>,
    /// When it is made, or given up.
    pub due_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The code of the last error.
    pub code: Option<String>,
}

/// One call, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallView {
    /// As in lists.
    #[serde(flatten)]
    pub summary: CallSummary,
    /// What is sent. Secrets stand by their names.
    pub request: Value,
    /// How the target is asked what became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<Value>,
    /// Whether it ends with a callback.
    pub callback: bool,
    /// The time limit of one attempt, in milliseconds.
    pub timeout_ms: Option<i64>,
    /// A worker silent for so many milliseconds has died over it.
    pub heartbeat_ms: Option<i64>,
    /// No attempt goes on for longer.
    pub until: Option<Timestamp>,
    /// How much of its target it may take.
    pub limits: Option<Value>,
    /// What it succeeded with; while it waits for a callback, what its target answered.
    pub result: Option<Value>,
    /// Why the last attempt failed.
    pub error: Option<Value>,
    /// What came while its instance was suspended.
    pub outcome: Option<Value>,
    /// What was told of it last when nothing waited for that any more: `run`, the handing-out it belongs to, `at`, and the
    /// `outcome`. Of an unknown call it is what nobody knew.
    pub late: Option<Value>,
    /// How often its worker told of its progress, and what it said last.
    pub progress: Option<Value>,
}
