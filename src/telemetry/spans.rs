//! Spans: the context of log lines. They carry names and ids, never bodies, variables or secrets.
//!
//! Those of deliveries and steps are on the hot path, and exist at the level `debug` only: at `info` they cost some percent of the
//! throughput, and the lines written there name their instance themselves.

use tracing::Span;
use tracing::field::{Empty, display};

use crate::engine::{Branch, Instance};

/// One HTTP request. `route` is the pattern of the path (`/api/v1/instances/{id}`); `status` is recorded with the response.
pub fn request(method: &str, route: &str) -> Span {
    tracing::info_span!("request", method, route, status = Empty)
}

/// One delivery, from its receipt to its acknowledgement. `kind` is the AMQP property `type`.
pub fn delivery(queue: &str, kind: Option<&str>) -> Span {
    tracing::debug_span!("delivery", queue, kind)
}

/// One step of a branch.
pub fn step(instance: &Instance, branch: &Branch) -> Span {
    let (id, attempt) = (display(instance.id), branch.attempt);
    let (definition, activity) = (instance.definition.as_str(), branch.activity.as_str());
    tracing::debug_span!("step", instance = id, definition, activity, attempt)
}

/// One attempt at a call over HTTP.
pub fn call(call: impl std::fmt::Display, target: &str, activity: &str, attempt: u32) -> Span {
    tracing::info_span!("call", call = display(call), target, activity, attempt)
}

/// One pass of a role over the database.
pub fn pass(role: &'static str) -> Span {
    tracing::info_span!("pass", role)
}
