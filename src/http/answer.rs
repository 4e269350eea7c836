//! What handlers answer: a typed body, its status, and its revision.

use axum::Json;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::openapi::outputs::Outputs;
use super::problem::Problem;

/// A body with its status, and with its revision as `ETag` if it has one.
pub(super) struct Answer<T> {
    status: StatusCode,
    revision: Option<i64>,
    body: T,
}

impl<T> Answer<T> {
    pub(super) fn new(status: StatusCode, body: T) -> Self {
        Self { status, revision: None, body }
    }

    pub(super) fn ok(body: T) -> Self {
        Self::new(StatusCode::OK, body)
    }

    /// With this revision, for a later `If-Match`.
    pub(super) fn tagged(self, revision: i64) -> Self {
        Self { revision: Some(revision), ..self }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(revision) = self.revision
            && let Ok(tag) = header::HeaderValue::from_str(&format!("\"{revision}\""))
        {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// What the document says of an answer.
pub(super) trait Answers {
    fn answer(outputs: &mut Outputs<'_>);
}

impl<T: Answers> Answers for Result<T, Problem> {
    fn answer(outputs: &mut Outputs<'_>) {
        T::answer(outputs);
    }
}

impl<T: JsonSchema> Answers for Answer<T> {
    fn answer(outputs: &mut Outputs<'_>) {
        outputs.body::<T>();
    }
}

impl<T: JsonSchema> Answers for Json<T> {
    fn answer(outputs: &mut Outputs<'_>) {
        outputs.body::<T>();
    }
}

/// A text.
impl Answers for String {
    fn answer(outputs: &mut Outputs<'_>) {
        outputs.text();
    }
}

/// A fixed text.
impl Answers for &'static str {
    fn answer(outputs: &mut Outputs<'_>) {
        outputs.text();
    }
}

/// A text with a header of its own.
impl Answers for ([(HeaderName, &'static str); 1], String) {
    fn answer(outputs: &mut Outputs<'_>) {
        outputs.text();
    }
}

/// A stream, or whatever else has a media type and no schema.
impl Answers for Response {
    fn answer(outputs: &mut Outputs<'_>) {
        outputs.text();
    }
}

/// Nothing but the status.
impl Answers for StatusCode {
    fn answer(_: &mut Outputs<'_>) {}
}
