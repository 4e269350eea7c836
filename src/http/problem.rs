//! Errors as `application/problem+json` (RFC 9457), with a stable `type`.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::TaskRefusal;
use crate::{command, store};

/// The longest time that `Retry-After` names, in seconds: a limit may be raised meanwhile.
const RETRY_AFTER_MAX: u64 = 3_600;

/// An error response: `kind` for programs, the rest for people.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    /// Stable, for programs to compare.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Value>,
    /// The header `Retry-After`.
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, title, status: status.as_u16(), detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "urn:leveret:invalid", "Invalid request", detail)
    }

    pub(super) fn timeout(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "urn:leveret:timeout", "Request timeout", detail)
    }

    pub(super) fn stopping() -> Self {
        let detail = "this process stops; send the request again with the same `Idempotency-Key`";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "urn:leveret:unavailable", "Temporarily unavailable", detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "urn:leveret:unavailable", "Temporarily unavailable", detail)
    }

    /// The request names a user for whom its caller may not act.
    pub(super) fn other_user(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "urn:leveret:other-user", "Another user", detail)
    }

    /// The caller has to wait before it sends another request.
    pub(super) fn too_many(wait: Duration) -> Self {
        let retry_after = Some(wait.as_secs().saturating_add(1).min(RETRY_AFTER_MAX));
        let detail = "too many requests of this caller; `Retry-After` says when to send the next one";
        let kind = "urn:leveret:rate";
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, kind, "Too many requests", detail) }
    }

    /// The sentence for people.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn media_type(detail: impl Into<String>) -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "urn:leveret:media-type", "Unsupported media type", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "urn:leveret:not-found", "Not found", detail)
    }

    pub(crate) fn document(detail: impl Into<String>, errors: Vec<Value>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self { errors, ..Self::new(status, "urn:leveret:definition", "Invalid definition", detail) }
    }

    fn schedule(problems: Vec<command::schedule::Problem>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let detail = format!("{} problems; `errors` lists them all", problems.len());
        let errors = problems.into_iter().filter_map(|problem| serde_json::to_value(problem).ok()).collect();
        Self { errors, ..Self::new(status, "urn:leveret:schedule", "Invalid schedule", detail) }
    }

    pub(crate) fn task(refusal: &TaskRefusal) -> Self {
        let (status, kind, title) = match refusal {
            TaskRefusal::Closed(_) => (StatusCode::CONFLICT, "urn:leveret:task-closed", "The task is closed"),
            TaskRefusal::Stale { .. } => (StatusCode::CONFLICT, "urn:leveret:task-stale", "The task has changed"),
            TaskRefusal::NotCandidate(_) => {
                (StatusCode::FORBIDDEN, "urn:leveret:task-not-candidate", "The user is not a candidate")
            }
            TaskRefusal::Excluded(_) => (StatusCode::FORBIDDEN, "urn:leveret:task-excluded", "The user is excluded"),
            TaskRefusal::Assigned(_) => {
                (StatusCode::FORBIDDEN, "urn:leveret:task-assigned", "The task is assigned to another user")
            }
            TaskRefusal::Claimed { .. } => {
                (StatusCode::CONFLICT, "urn:leveret:task-claimed", "The task is claimed by another user")
            }
            TaskRefusal::NotHeld(_) => {
                (StatusCode::CONFLICT, "urn:leveret:task-not-held", "The user has not claimed the task")
            }
            TaskRefusal::Decision(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "urn:leveret:task-decision", "Invalid decision")
            }
            TaskRefusal::Form(_) => (StatusCode::UNPROCESSABLE_ENTITY, "urn:leveret:task-form", "Invalid form"),
            TaskRefusal::Voted(_) => (StatusCode::CONFLICT, "urn:leveret:task-voted", "The user has voted already"),
            TaskRefusal::Vote(_) => (StatusCode::CONFLICT, "urn:leveret:task-vote", "The task is a vote"),
        };
        let errors = match refusal {
            TaskRefusal::Form(problems) => problems.iter().map(|problem| pointed(problem)).collect(),
            TaskRefusal::Closed(_)
            | TaskRefusal::Stale { .. }
            | TaskRefusal::NotCandidate(_)
            | TaskRefusal::Excluded(_)
            | TaskRefusal::Assigned(_)
            | TaskRefusal::Claimed { .. }
            | TaskRefusal::NotHeld(_)
            | TaskRefusal::Decision(_)
            | TaskRefusal::Voted(_)
            | TaskRefusal::Vote(_) => Vec::new(),
        };
        Self { errors, ..Self::new(status, kind, title, refusal.to_string()) }
    }

    fn limited(detail: String, wait: Duration) -> Self {
        let retry_after = Some(wait.as_secs().saturating_add(1).min(RETRY_AFTER_MAX));
        let kind = "urn:leveret:limited";
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, kind, "A limit of starts is reached", detail) }
    }

    pub(crate) fn overloaded(detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "urn:leveret:overloaded", "Temporarily unavailable", detail)
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "urn:leveret:bug", "Internal error", detail)
    }
}

/// A problem of an input or a form; its text begins with a JSON pointer.
fn pointed(problem: &str) -> Value {
    let (pointer, detail) = problem.split_once(": ").unwrap_or(("/", problem));
    json!({ "pointer": pointer, "detail": detail })
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after.or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(1));
        let mut response = (status, Json(self)).into_response();
        let json = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
        }
        response
    }
}

impl From<command::Error> for Problem {
    fn from(error: command::Error) -> Self {
        let title = "Command refused";
        match error {
            command::Error::Store(error) => error.into(),
            command::Error::Refused(why) | command::Error::Late(why) => {
                Problem::new(StatusCode::CONFLICT, "urn:leveret:refused", title, why)
            }
            command::Error::Limited { why, wait, .. } => Problem::limited(why, wait),
            command::Error::Changed(why) => {
                Problem::new(StatusCode::CONFLICT, "urn:leveret:stale", "The instance has changed", why)
            }
            command::Error::Invalid { why, problems } => {
                let errors = problems.iter().map(|problem| pointed(problem)).collect();
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Problem { errors, ..Problem::new(status, "urn:leveret:input", "Invalid input", why) }
            }
            command::Error::NotFound(what) => Problem::not_found(what),
            command::Error::Task(refusal) => Problem::task(&refusal),
            reused @ command::Error::Reused(_) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Problem::new(status, "urn:leveret:idempotency-key-reused", title, reused.to_string())
            }
        }
    }
}

impl From<command::schedule::Error> for Problem {
    fn from(error: command::schedule::Error) -> Self {
        match error {
            command::schedule::Error::Problems(problems) => Problem::schedule(problems),
            command::schedule::Error::Step(error) => error.into(),
            missing @ command::schedule::Error::NotFound(_) => Problem::not_found(missing.to_string()),
            stale @ command::schedule::Error::Stale { .. } => {
                let title = "The schedule has changed";
                Problem::new(StatusCode::CONFLICT, "urn:leveret:schedule-stale", title, stale.to_string())
            }
            exists @ command::schedule::Error::Exists(_) => command::Error::Refused(exists.to_string()).into(),
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let away = "Temporarily unavailable";
        match error {
            store::Error::Unavailable(why) => {
                tracing::warn!(error = %why, "request failed: the database is unavailable");
                let detail = "the database does not answer; send the request again with the same `Idempotency-Key`";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "urn:leveret:unavailable", away, detail)
            }
            slow if slow.is_slow() => {
                let detail = "a statement exceeded `database.statement_timeout`; nothing was written";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "urn:leveret:slow", away, detail)
            }
            store::Error::Busy(_) | store::Error::Conflict | store::Error::Rejected { .. } => {
                let detail = "another command is changing this at the moment; nothing was written: send it again";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "urn:leveret:busy", away, detail)
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
        let status = rejection.status();
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = "the body exceeds the limit of this route";
            return Problem::new(status, "urn:leveret:too-large", "Body too large", detail);
        }
        Problem::invalid(rejection.body_text())
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
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "urn:leveret:method", "Method not allowed", detail)
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
}
