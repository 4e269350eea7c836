//! Errors as `application/problem+json` (RFC 9457), with a stable `type`.

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::TaskRefusal;
use crate::{step, store};

/// What went wrong, for a program and for a person.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    /// Stable; programs compare this.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Value>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, title, status: status.as_u16(), detail: detail.into(), errors: Vec::new() }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "urn:leveret:invalid", "The request is not valid", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "urn:leveret:not-found", "There is no such thing", detail)
    }

    pub(crate) fn document(detail: impl Into<String>, errors: Vec<Value>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self { errors, ..Self::new(status, "urn:leveret:definition", "The definition has problems", detail) }
    }

    fn schedule(problems: Vec<step::schedule::Problem>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let detail = format!("{} problems; `errors` lists them all", problems.len());
        let errors = problems.into_iter().filter_map(|problem| serde_json::to_value(problem).ok()).collect();
        Self { errors, ..Self::new(status, "urn:leveret:schedule", "The schedule has problems", detail) }
    }

    pub(crate) fn task(refusal: &TaskRefusal) -> Self {
        let (status, kind, title) = match refusal {
            TaskRefusal::Closed(_) => (StatusCode::CONFLICT, "urn:leveret:task-closed", "The task is closed"),
            TaskRefusal::Stale { .. } => (StatusCode::CONFLICT, "urn:leveret:task-stale", "The task has changed"),
            TaskRefusal::NotCandidate(_) => {
                (StatusCode::FORBIDDEN, "urn:leveret:task-not-candidate", "The user is no candidate")
            }
            TaskRefusal::Excluded(_) => (StatusCode::FORBIDDEN, "urn:leveret:task-excluded", "The user is excluded"),
            TaskRefusal::Assigned(_) => {
                (StatusCode::FORBIDDEN, "urn:leveret:task-assigned", "The task is somebody else's")
            }
            TaskRefusal::Claimed { .. } => {
                (StatusCode::CONFLICT, "urn:leveret:task-claimed", "The task is claimed by somebody else")
            }
            TaskRefusal::NotHeld(_) => (StatusCode::CONFLICT, "urn:leveret:task-not-held", "The user does not hold it"),
            TaskRefusal::Decision(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "urn:leveret:task-decision", "The decision does not fit")
            }
            TaskRefusal::Form(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "urn:leveret:task-form", "The form does not fit")
            }
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

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "urn:leveret:bug", "This is a defect of Leveret", detail)
    }
}

/// A problem of an input or a form, which begins with its place.
fn pointed(problem: &str) -> Value {
    let (pointer, detail) = problem.split_once(": ").unwrap_or(("/", problem));
    json!({ "pointer": pointer, "detail": detail })
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let json = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<step::Error> for Problem {
    fn from(error: step::Error) -> Self {
        let title = "The command is refused";
        match error {
            step::Error::Store(error) => error.into(),
            step::Error::Refused(why) | step::Error::Late(why) => {
                Problem::new(StatusCode::CONFLICT, "urn:leveret:refused", title, why)
            }
            step::Error::Invalid { why, problems } => {
                let errors = problems.iter().map(|problem| pointed(problem)).collect();
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Problem { errors, ..Problem::new(status, "urn:leveret:input", "The input does not fit", why) }
            }
            step::Error::NotFound(what) => Problem::not_found(what),
            step::Error::Task(refusal) => Problem::task(&refusal),
            reused @ step::Error::Reused(_) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Problem::new(status, "urn:leveret:idempotency-key-reused", title, reused.to_string())
            }
        }
    }
}

impl From<step::schedule::Error> for Problem {
    fn from(error: step::schedule::Error) -> Self {
        match error {
            step::schedule::Error::Problems(problems) => Problem::schedule(problems),
            step::schedule::Error::Step(error) => error.into(),
            missing @ step::schedule::Error::NotFound(_) => Problem::not_found(missing.to_string()),
            stale @ step::schedule::Error::Stale { .. } => {
                let title = "The schedule has changed";
                Problem::new(StatusCode::CONFLICT, "urn:leveret:schedule-stale", title, stale.to_string())
            }
            exists @ step::schedule::Error::Exists(_) => step::Error::Refused(exists.to_string()).into(),
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let away = "Try again in a moment";
        match error {
            store::Error::Unavailable(why) => {
                tracing::warn!(error = %why, "a request could not be answered: the database is away");
                let detail = "the database does not answer; nothing is known to have been written";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "urn:leveret:unavailable", away, detail)
            }
            slow if slow.is_slow() => {
                let detail = "the database took longer over this than a statement may, and nothing came of it";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "urn:leveret:slow", away, detail)
            }
            store::Error::Busy(_) | store::Error::Conflict | store::Error::Rejected { .. } => {
                let detail = "somebody else is moving this; nothing was written";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "urn:leveret:busy", away, detail)
            }
            store::Error::NotFound(what) => Problem::not_found(what),
            store::Error::Duplicate(what) | store::Error::Bug(what) => {
                tracing::error!(error = %what, "a request failed");
                Problem::internal("see the log of the server")
            }
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        let status = rejection.status();
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = "the body has more bytes than this route takes";
            return Problem::new(status, "urn:leveret:too-large", "The body is too large", detail);
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
    Problem::not_found(format!("nothing is served at `{}`; the API begins with /api/v1", uri.path()))
}

pub(crate) async fn no_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("`{}` does not take {method}; the header `Allow` says what it takes", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "urn:leveret:method", "The path does not take this method", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_takes_too_long_is_not_taken_for_somebody_in_the_way() {
        let said = |why: &str| Problem::from(store::Error::Busy(why.into()));
        let slow = said("canceling statement due to statement timeout");
        assert_eq!((slow.status, slow.kind), (503, "urn:leveret:slow"));
        assert_eq!(said("canceling statement due to lock timeout").kind, "urn:leveret:busy");
    }
}
