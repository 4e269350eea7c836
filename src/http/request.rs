//! What all commands over HTTP have in common: a bounded JSON body and an `Idempotency-Key`.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderName, header, request::Parts};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::Door;
use super::problem::Problem;
use crate::contract::{self, NAME_MAX};
use crate::step::{Follow, Origin};

/// The sender of commands over HTTP, as the inbox knows it.
const APP_ID: &str = "leveret.http";

/// Reads a JSON body; an empty one is `{}`.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| Problem::invalid(format!("the body is not JSON: {error}")))?;
    contract::refuse_unfit(&value).map_err(Problem::invalid)?;
    serde_path_to_error::deserialize(value)
        .map_err(|error| Problem::invalid(format!("the body does not fit at `{}`: {}", error.path(), error.inner())))
}

/// The identity of a command: its `Idempotency-Key`, or a new one.
pub(super) fn origin(door: &Door, headers: &HeaderMap, body: &[u8]) -> Result<Origin, Problem> {
    // Bytes beyond ASCII are no reason to forget what the client wrote: a repetition would become a second command.
    let written = headers.get("idempotency-key").map(|value| std::str::from_utf8(value.as_bytes()));
    let key = match written.transpose().map_err(|_| Problem::invalid("`Idempotency-Key` is not UTF-8"))? {
        Some(key) => {
            bounded("Idempotency-Key", key)?;
            key.to_owned()
        }
        None => door.app.new_id().to_string(),
    };
    let mut origin = Origin::new(APP_ID, &key, body, Follow::Always);
    let trace = headers.get("traceparent").and_then(|value| value.to_str().ok());
    origin.trace = trace.filter(|trace| trace.len() <= NAME_MAX).map(str::to_owned);
    Ok(origin)
}

/// Which page of a list that goes by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AfterName {
    cursor: Option<String>,
    limit: Option<i64>,
}

impl AfterName {
    /// The name the page begins after, and how many rows it has at most.
    pub(super) fn read(self) -> Result<(Option<String>, i64), Problem> {
        let limit = page(self.limit)?;
        self.cursor.as_deref().map_or(Ok(()), |cursor| bounded("cursor", cursor))?;
        Ok((self.cursor, limit))
    }
}

/// A name in a command must be short and without `\u0000`.
pub(super) fn bounded(what: &str, text: &str) -> Result<(), Problem> {
    contract::check_name(text).map_err(|error| Problem::invalid(format!("`{what}` {error}")))
}

/// The revision in `If-Match`, with or without quotes; `*` compares nothing.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    match text {
        "*" => Ok(None),
        text => match text.trim_matches('"').parse() {
            Ok(revision) => Ok(Some(revision)),
            Err(_) => Err(Problem::invalid("`If-Match` is the `revision` of what is changed, as in its `ETag`")),
        },
    }
}

/// The revision of what is shown, for `If-Match`.
pub(super) fn etag(revision: i64) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{revision}\""))]
}

/// Rows of a page: when nothing is said, and at most.
const PAGE: (i64, i64) = (50, 500);

/// How many rows a list shows.
pub(super) fn page(limit: Option<i64>) -> Result<i64, Problem> {
    let limit = limit.unwrap_or(PAGE.0);
    if (1..=PAGE.1).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::invalid(format!("`limit` must be from 1 to {}", PAGE.1)))
}

/// A body within the route's bound.
pub(super) struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Body(Bytes::from_request(request, state).await?))
    }
}

/// Parts of the path.
pub(super) struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Path(path) = axum::extract::Path::<T>::from_request_parts(parts, state).await?;
        Ok(Path(path))
    }
}

/// An id in the path.
pub(super) struct Id(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await?;
        text.parse().map(Id).map_err(|_| Problem::invalid(format!("`{}` is no id", shorten(&text))))
    }
}

/// A command about the thing whose id is in the path.
pub(super) struct About {
    pub(super) id: Uuid,
    pub(super) headers: HeaderMap,
    bytes: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for About {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Id(id) = Id::from_request_parts(&mut parts, state).await?;
        let headers = parts.headers.clone();
        let Body(bytes) = Body::from_request(Request::from_parts(parts, body), state).await?;
        Ok(About { id, headers, bytes })
    }
}

impl About {
    /// What is asked for.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        body(&self.bytes)
    }

    /// The identity of the command: the path is part of what an idempotency key stands for.
    pub(super) fn origin(&self, door: &Door, verb: &str) -> Result<Origin, Problem> {
        let identity = [verb.as_bytes(), self.id.as_bytes(), &self.bytes].concat();
        origin(door, &self.headers, &identity)
    }
}

pub(super) fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}
