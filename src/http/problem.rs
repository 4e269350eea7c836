//! Errors as `application/problem+json` (RFC 9457), with a stable `type`.

mod kind;
mod page;
pub(super) mod place;

use std::time::Duration;

use axum::Json;
use axum::extract::Request;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use kind::{Kind, Line};
pub use page::page;
pub(super) use page::told;

use crate::contract::api::Place;
use crate::engine::TaskRefusal;
use crate::{command, store};

/// The longest time that `Retry-After` names, in seconds: a limit may be raised meanwhile.
const RETRY_AFTER_MAX: u32 = 3_600;

/// The seconds of `Retry-After`, rounded up.
fn seconds_until(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs().saturating_add(1)).unwrap_or(u32::MAX).min(RETRY_AFTER_MAX)
}

// The texts are boxed: an error is part of every result.
/// An error. `type` is for programs, the rest for people.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Problem {
    /// The kind, stable, for programs to compare.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The kind in words.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// What is wrong, where, and what to do.
    detail: Box<str>,
    /// The page about this kind, at this server.
    help: Box<str>,
    /// The places in a refused body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Place>,
    /// The trace of the request, if it had a `traceparent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<Box<str>>,
    /// The header `Retry-After`.
    #[serde(skip)]
    retry_after: Option<u32>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let Line { urn, status, title, .. } = kind.line();
        let (detail, help) = (detail.into().into(), format!("/problems/{}", kind.name()).into());
        Self { kind: urn, title, status, detail, help, errors: Vec::new(), trace_id: None, retry_after: None }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, detail)
    }

    /// A body that is refused at these places.
    pub(super) fn refused(kind: Kind, detail: impl Into<String>, errors: Vec<Place>) -> Self {
        Self { errors, ..Self::new(kind, detail) }
    }

    pub(super) fn stopping() -> Self {
        let detail = "this process stops; send the request again with the same `Idempotency-Key`";
        Self::new(Kind::Unavailable, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, detail)
    }

    /// The request names a user for whom its caller may not act.
    pub(super) fn other_user(detail: impl Into<String>) -> Self {
        Self::new(Kind::OtherUser, detail)
    }

    /// The caller has to wait before it sends another request.
    pub(super) fn too_many(wait: Duration) -> Self {
        let retry_after = Some(seconds_until(wait));
        let detail = "too many requests of this caller; `Retry-After` says when to send the next one";
        Self { retry_after, ..Self::new(Kind::Rate, detail) }
    }

    /// The sentence for people.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    fn schedule(problems: Vec<command::schedule::Problem>) -> Self {
        let detail = format!("{} problems; `errors` lists them all", problems.len());
        Self::refused(Kind::Schedule, detail, problems.into_iter().map(place::of_schedule).collect())
    }

    pub(crate) fn task(refusal: &TaskRefusal) -> Self {
        let (kind, errors) = match refusal {
            TaskRefusal::Closed(_) => (Kind::TaskClosed, Vec::new()),
            TaskRefusal::Stale { .. } => (Kind::TaskStale, Vec::new()),
            TaskRefusal::NotCandidate(_) => (Kind::TaskNotCandidate, Vec::new()),
            TaskRefusal::Excluded(_) => (Kind::TaskExcluded, Vec::new()),
            TaskRefusal::Assigned(_) => (Kind::TaskAssigned, Vec::new()),
            TaskRefusal::Claimed { .. } => (Kind::TaskClaimed, Vec::new()),
            TaskRefusal::NotHeld(_) => (Kind::TaskNotHeld, Vec::new()),
            TaskRefusal::Decision(_) => (Kind::TaskDecision, Vec::new()),
            TaskRefusal::Form(problems) => {
                (Kind::TaskForm, problems.iter().map(|problem| place::pointed(problem)).collect())
            }
            TaskRefusal::Voted(_) => (Kind::TaskVoted, Vec::new()),
            TaskRefusal::Vote(_) => (Kind::TaskVote, Vec::new()),
        };
        Self::refused(kind, refusal.to_string(), errors)
    }

    fn limited(detail: String, wait: Duration) -> Self {
        let retry_after = Some(seconds_until(wait));
        Self { retry_after, ..Self::new(Kind::Limited, detail) }
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(Kind::Bug, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after.or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(1));
        let mut response = (status, Json(&self)).into_response();
        let json = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
        }
        // For `traced`, which knows the request.
        response.extensions_mut().insert(Box::new(self));
        response
    }
}

/// Adds the trace of the request to a problem.
pub(super) async fn traced(request: Request, next: Next) -> Response {
    let trace = trace_id(request.headers());
    let mut response = next.run(request).await;
    let Some(trace) = trace else { return response };
    match response.extensions_mut().remove::<Box<Problem>>() {
        None => response,
        Some(problem) => {
            let headers = std::mem::take(response.headers_mut());
            let mut traced = Problem { trace_id: Some(trace.into()), ..*problem }.into_response();
            // What other layers have added, such as `Allow`, stays; the length is another one.
            for (name, value) in headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
                traced.headers_mut().entry(name).or_insert_with(|| value.clone());
            }
            traced
        }
    }
}

/// The trace id of a `traceparent` of version 0, which has four parts.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let parent = headers.get("traceparent")?.to_str().ok()?;
    let [_, trace, span, _] = parent.split('-').collect::<Vec<_>>().try_into().ok()?;
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hex(trace, 32) && is_hex(span, 16)).then(|| trace.to_ascii_lowercase())
}

impl From<command::Error> for Problem {
    fn from(error: command::Error) -> Self {
        match error {
            command::Error::Store(error) => error.into(),
            command::Error::Refused(why) | command::Error::Late(why) => Problem::new(Kind::Refused, why),
            command::Error::Limited { why, wait, .. } => Problem::limited(why, wait),
            command::Error::Changed(why) => Problem::new(Kind::Stale, why),
            command::Error::Invalid { why, problems } => {
                let errors = problems.iter().map(|problem| place::pointed(problem)).collect();
                Problem::refused(Kind::Input, why, errors)
            }
            command::Error::NotFound(what) => Problem::not_found(what),
            command::Error::Task(refusal) => Problem::task(&refusal),
            reused @ command::Error::Reused(_) => Problem::new(Kind::IdempotencyKeyReused, reused.to_string()),
        }
    }
}

impl From<command::schedule::Error> for Problem {
    fn from(error: command::schedule::Error) -> Self {
        match error {
            command::schedule::Error::Problems(problems) => Problem::schedule(problems),
            command::schedule::Error::Step(error) => error.into(),
            missing @ command::schedule::Error::NotFound(_) => Problem::not_found(missing.to_string()),
            stale @ command::schedule::Error::Stale { .. } => Problem::new(Kind::ScheduleStale, stale.to_string()),
            exists @ command::schedule::Error::Exists(_) => command::Error::Refused(exists.to_string()).into(),
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(why) => {
                tracing::warn!(error = %why, "request failed: the database is unavailable");
                let detail = "the database does not answer; send the request again with the same `Idempotency-Key`";
                Problem::new(Kind::Unavailable, detail)
            }
            slow if slow.is_slow() => {
                Problem::new(Kind::Slow, "a statement exceeded `database.statement_timeout`; nothing was written")
            }
            store::Error::Busy(_) | store::Error::Conflict | store::Error::Rejected { .. } => {
                let detail = "another command is changing this at the moment; nothing was written: send it again";
                Problem::new(Kind::Busy, detail)
            }
            store::Error::NotFound(what) => Problem::not_found(what),
            store::Error::Duplicate(what) | store::Error::Bug(what) => {
                tracing::error!(error = %what, "request failed: internal error");
                Problem::internal("the log of the server has the details")
            }
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            true => Problem::new(Kind::TooLarge, "the body exceeds the limit of this route"),
            false => Problem::invalid(rejection.body_text()),
        }
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Problem::invalid(rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Problem::invalid(rejection.body_text())
    }
}

pub(crate) async fn no_route(uri: Uri) -> Problem {
    Problem::not_found(format!("no route matches `{}`; the API is under /api/v1", uri.path()))
}

pub(crate) async fn no_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("`{}` does not support {method}; the header `Allow` lists the supported methods", uri.path());
    Problem::new(Kind::Method, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_timeout_is_not_reported_as_busy() {
        let problem = |why: &str| Problem::from(store::Error::Busy(why.into()));
        let slow = problem("canceling statement due to statement timeout");
        assert_eq!((slow.status, slow.kind), (503, "urn:leveret:slow"));
        assert_eq!(problem("canceling statement due to lock timeout").kind, "urn:leveret:busy");
    }

    #[test]
    fn every_kind_has_a_name_and_an_error_status_of_its_own() {
        let names: std::collections::BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!((400..600).contains(&kind.line().status), "{kind:?}");
            assert_eq!(Kind::find(kind.name()), Some(*kind));
            assert!(StatusCode::from_u16(kind.line().status).is_ok(), "{kind:?}");
        }
    }

    #[test]
    fn the_trace_is_that_of_a_valid_header() {
        let of = |text: &'static str| {
            trace_id(&HeaderMap::from_iter([(
                header::HeaderName::from_static("traceparent"),
                header::HeaderValue::from_static(text),
            )]))
        };
        let valid = "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(of(valid).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for invalid in ["", "00-1-2-3", "00-4bf92f3577b34da6a3ce929d0e0e473x-00f067aa0ba902b7-01", "x"] {
            assert_eq!(of(invalid), None, "{invalid}");
        }
    }
}
