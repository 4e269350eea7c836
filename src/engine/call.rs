//! Calls: work outside the database, over HTTP or by an external worker. A call is a row beside its instance. One step opens it and
//! a later step closes it, with its outcome.
//!
//! The engine decides what is sent, which answers are accepted, whether and when another attempt is made, and what happens if the
//! outcome is unknown. It sends nothing itself.

mod answer;
mod complete;
mod dispatched;
mod open;
mod outcome;
mod request;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::instance::{Failure, InstanceId};

pub(super) use complete::{abandon, complete, complete_in, progress};

/// The largest request, in bytes of JSON.
pub const REQUEST_MAX: usize = 1024 * 1024;

/// Identity of a call, derived from its instance and bookmark: a decision needs no random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub Uuid);

impl CallId {
    /// The call of a bookmark.
    pub fn of(instance: InstanceId, bookmark: i64) -> Self {
        Self(Uuid::new_v5(&instance.0, format!("call {bookmark}").as_bytes()))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// How a call is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum CallKind {
    /// By a request over HTTP.
    Http,
    /// By a message to an external worker.
    Work,
}

impl CallKind {
    /// The word used in the table, the API and metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<CallKind> {
        name.parse().ok()
    }
}

/// A call when it is opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Its identity and idempotency key: the same in every attempt.
    pub id: CallId,
    /// The bookmark under which its branch waits.
    pub bookmark: i64,
    /// The activity that opened it.
    pub activity: String,
    /// How it is sent.
    pub kind: CallKind,
    /// The key of its circuit breaker and limits: `https://host:port`, or `work:<name>`.
    pub target: String,
    /// The request, with placeholders for secrets.
    pub request: Value,
    /// The request that asks the target whether it executed the call.
    pub probe: Option<Value>,
    /// The time limit of one attempt.
    pub timeout: Option<Duration>,
    /// The longest time between two heartbeats of the external worker.
    pub heartbeat: Option<Duration>,
    /// No attempt runs after this time.
    pub until: Option<Timestamp>,
    /// Whether its outcome arrives as a callback.
    pub callback: bool,
    /// Its limits: `rate` (`count`, `per_ms`), `concurrency`, `key`.
    pub limits: Option<Value>,
    /// When it was opened.
    pub opened_at: Timestamp,
}

/// A change to an open call.
#[derive(Debug, Clone, PartialEq)]
pub enum CallChange {
    /// It is dispatched again.
    Again {
        /// The attempt, from 1. A probe does not raise it.
        attempt: u32,
        /// The new dispatch number: an outcome with an older one is too late.
        dispatch: u32,
        /// When it is dispatched.
        due_at: Timestamp,
        /// No attempt runs after this time.
        until: Option<Timestamp>,
        /// An attempt or a probe.
        purpose: CallPurpose,
        /// The failure of the attempt before.
        failure: Failure,
    },
    /// The target has accepted it and will call back.
    Await {
        /// The answer of the target.
        response: Value,
    },
    /// Its outcome is unknown: a person has to find it out.
    Unknown {
        /// The new dispatch number: an outcome that still arrives is too late.
        dispatch: u32,
        /// What is known.
        failure: Failure,
    },
}

/// What a call is dispatched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallPurpose {
    /// To be executed.
    Attempt,
    /// To ask whether it was executed.
    Probe,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CallClosed {
    /// The kind of its end.
    pub end: CallEnd,
    /// Its result, if it succeeded.
    pub result: Option<Value>,
    /// Its failure, if it failed.
    pub failure: Option<Failure>,
}

/// The kind of the end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum CallEnd {
    /// With a result.
    Succeeded,
    /// With an error, after its last attempt.
    Failed,
    /// Its branch no longer waits for it. The target may still execute what was sent.
    Cancelled,
}

impl CallEnd {
    /// The word used in the table, the API and metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// How one attempt ended, as its sender saw it. Kept with the call while the instance is suspended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CallOutcome {
    /// The target answered over HTTP.
    Answered {
        /// The HTTP status.
        status: u16,
        /// Headers; their names in lower case.
        headers: Map<String, Value>,
        /// JSON if it parses as JSON, otherwise text.
        body: Value,
        /// Why the body was not kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cut: Option<Cut>,
        /// `Retry-After` of the target, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The external worker or the callback reports success.
    Done {
        /// The result.
        result: Value,
    },
    /// It was certainly not executed, or the external worker or the callback reports a failure.
    Failed {
        /// The failure.
        failure: Failure,
    },
    /// It may have been executed, or not.
    Unknown {
        /// What is known.
        failure: Failure,
    },
}

/// Why the body of an answer was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// It is longer than `outgoing.response_max`.
    Long,
    /// It contains `\u0000`, which PostgreSQL cannot store.
    Nul,
    /// It nests too deeply to be read again.
    Deep,
    /// It has a number that would become another one.
    Number,
}

impl Cut {
    /// The error code if the activity needs the body.
    pub fn code(self) -> &'static str {
        match self {
            Cut::Long => "limit.response",
            Cut::Nul | Cut::Deep | Cut::Number => "http.response",
        }
    }

    /// The end of a sentence that begins with the answer.
    fn why(self) -> &'static str {
        match self {
            Cut::Long => "has more bytes than `outgoing.response_max` allows",
            Cut::Nul => "contains \\u0000, which cannot be stored",
            Cut::Deep => "nests too deeply to be stored",
            Cut::Number => {
                "has a number that fits neither a 64-bit integer nor a double (the target must send it as text)"
            }
        }
    }
}

/// An outcome that arrived while its instance was suspended.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedOutcome {
    /// The call's bookmark.
    pub bookmark: i64,
    /// Its dispatch number.
    pub dispatch: u32,
    /// When it arrived.
    pub at: Timestamp,
    /// The outcome.
    pub outcome: CallOutcome,
}

/// What a person has found out about a call.
#[derive(Debug, Clone, PartialEq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Resolution {
    /// It was executed.
    #[strum(serialize = "succeeded")]
    Done {
        /// Its result.
        result: Value,
    },
    /// It was not executed, and will not be.
    Failed {
        /// The failure.
        failure: Failure,
    },
    /// Try again, with the same idempotency key.
    #[strum(serialize = "retry")]
    Again,
}

impl Resolution {
    /// The word used in the history.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}
