//! Calls: work outside the database, over HTTP or by a worker. A call is a row of its own beside its instance: opened with the
//! step that comes to it, handed to whoever makes it, and closed with the step that goes on with its outcome.
//!
//! The engine decides everything about it and makes none: what is sent, which answer is a good one, whether it is tried
//! again and when, and what happens if nobody knows whether it was carried out.

mod answer;
mod complete;
mod open;
mod request;
mod resolve;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::instance::{Failure, InstanceId};

pub(super) use complete::{complete, complete_in, left_alone_until, progress};
pub(super) use resolve::{resolve, retry_unknown};

/// The largest request, in bytes of JSON.
pub const REQUEST_MAX: usize = 1024 * 1024;

/// Identity of a call; follows from its instance and bookmark, so that deciding needs no chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub Uuid);

impl CallId {
    /// The call that is waited for under a bookmark.
    pub fn of(instance: InstanceId, bookmark: i64) -> Self {
        Self(Uuid::new_v5(&instance.0, format!("call {bookmark}").as_bytes()))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// By a request over HTTP.
    Http,
    /// By a message to a worker.
    Work,
}

impl CallKind {
    /// The word used in the table, the API and metrics.
    pub fn name(self) -> &'static str {
        match self {
            CallKind::Http => "http",
            CallKind::Work => "work",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<CallKind> {
        [CallKind::Http, CallKind::Work].into_iter().find(|kind| kind.name() == name)
    }
}

/// A call that is opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Its identity, and its idempotency key: the same on every attempt.
    pub id: CallId,
    /// The bookmark it is waited for under.
    pub bookmark: i64,
    /// The activity it is for.
    pub activity: String,
    /// How it is made.
    pub kind: CallKind,
    /// Whose limits and breaker it falls under: `https://host:port`, or `work:<name>`.
    pub target: String,
    /// What is sent, with open places for secrets.
    pub request: Value,
    /// How the target is asked whether it was carried out.
    pub probe: Option<Value>,
    /// The time limit of one attempt.
    pub timeout: Option<Duration>,
    /// A worker silent for longer has died over it.
    pub heartbeat: Option<Duration>,
    /// No attempt goes on for longer.
    pub until: Option<Timestamp>,
    /// Whether it ends with a callback.
    pub callback: bool,
    /// How much of the target it may take: `rate` (`count`, `per_ms`), `concurrency`, `key`.
    pub limits: Option<Value>,
    /// When it was opened.
    pub opened_at: Timestamp,
}

/// What is done next with an open call.
#[derive(Debug, Clone, PartialEq)]
pub enum CallChange {
    /// It is handed out again.
    Again {
        /// The attempt, from 1. A probe is none: it keeps the number.
        attempt: u32,
        /// The number of this handing-out: what comes back under an older one is too late.
        dispatch: u32,
        /// Not before.
        due_at: Timestamp,
        /// No attempt goes on for longer.
        until: Option<Timestamp>,
        /// What for.
        purpose: CallPurpose,
        /// Why.
        failure: Failure,
    },
    /// The target has taken it and will call back.
    Await {
        /// What it answered.
        response: Value,
    },
    /// Nobody knows whether it was carried out, and a person has to find out.
    Unknown {
        /// As above: whatever still comes back is too late.
        dispatch: u32,
        /// What is known.
        failure: Failure,
    },
}

/// What a call is handed out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallPurpose {
    /// To be carried out.
    Attempt,
    /// To ask whether it was.
    Probe,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CallClosed {
    /// In which way.
    pub end: CallEnd,
    /// What came back, if it succeeded.
    pub result: Option<Value>,
    /// What went wrong, if it failed.
    pub failure: Option<Failure>,
}

/// In which way a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallEnd {
    /// With a result.
    Succeeded,
    /// With an error, after its last attempt.
    Failed,
    /// Nobody waits for it any more. What was sent may still be carried out.
    Cancelled,
}

impl CallEnd {
    /// The word used in the table, the API and metrics.
    pub fn name(self) -> &'static str {
        match self {
            CallEnd::Succeeded => "succeeded",
            CallEnd::Failed => "failed",
            CallEnd::Cancelled => "cancelled",
        }
    }
}

/// How one attempt ended, as whoever made it saw it. Kept with the call while its instance is suspended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CallOutcome {
    /// The target answered over HTTP.
    Answered {
        /// The status.
        status: u16,
        /// Names in small letters.
        headers: Map<String, Value>,
        /// JSON if it was, else text.
        body: Value,
        /// Why the body is not there, if it could not be kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cut: Option<Cut>,
        /// For how long the target wants to be left alone, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The worker, or the callback, says it is done.
    Done {
        /// With this.
        result: Value,
    },
    /// It was certainly not carried out, or whoever carried it out says so.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It may have been carried out, or not.
    Unknown {
        /// What is known.
        failure: Failure,
    },
}

/// Why the body of an answer was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// It has more bytes than are kept.
    Long,
    /// It holds `\u0000`, which the database does not take.
    Nul,
}

impl Cut {
    /// The code of the error, where the body is needed.
    pub fn code(self) -> &'static str {
        match self {
            Cut::Long => "limit.response",
            Cut::Nul => "http.response",
        }
    }

    /// The rest of a sentence about the answer.
    fn why(self) -> &'static str {
        match self {
            Cut::Long => "has more bytes than `outgoing.response_max` allows",
            Cut::Nul => "contains \\u0000, which cannot be kept",
        }
    }
}

/// An outcome that came while its instance was suspended.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedOutcome {
    /// The call's bookmark.
    pub bookmark: i64,
    /// The handing-out it belongs to.
    pub dispatch: u32,
    /// When it came.
    pub at: Timestamp,
    /// That.
    pub outcome: CallOutcome,
}

/// What a person found out about a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// It was carried out, with this result.
    Done {
        /// That.
        result: Value,
    },
    /// It was not, and will not be.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It is to be tried again, with the same idempotency key.
    Again,
}

impl Resolution {
    /// The word used in the history.
    pub fn name(&self) -> &'static str {
        match self {
            Resolution::Done { .. } => "succeeded",
            Resolution::Failed { .. } => "failed",
            Resolution::Again => "retry",
        }
    }
}
