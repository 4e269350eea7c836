//! What requests send: JSON, documents and forms, each within the limit of its route, of a stated media type, and in time.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::super::listener::Arrival;
use super::super::openapi::inputs::{Inputs, Reads};
use super::super::problem::{Kind, Problem, place};
use super::shorten;
use crate::contract;

/// Reads a JSON body; an empty one is `{}`.
pub(in crate::http) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = contract::without_mark(bytes);
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    let value = contract::json::read(bytes).map_err(|refused| Problem::invalid(format!("the body {refused}")))?;
    contract::refuse_unfit(&value).map_err(Problem::invalid)?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let detail = format!("the body is invalid at `{}`: {}", error.path(), error.inner());
        Problem::refused(Kind::Invalid, detail, vec![place::read(error.path(), error.inner().to_string())])
    })
}

/// The media type of commands.
const JSON: &[&str] = &["application/json"];
/// Media types of documents.
const DOCUMENTS: &[&str] = &["application/json", "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];

/// A JSON body within the limit of its route, with the bytes in which it was said.
pub(in crate::http) struct Said<T>(pub T, pub Bytes);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequest<S> for Said<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = typed(request, state, JSON).await?;
        Ok(Said(body(&bytes)?, bytes))
    }
}

impl<T: JsonSchema> Reads for Said<T> {
    fn read(inputs: &mut Inputs<'_>) {
        inputs.json::<T>();
    }
}

/// A document, in YAML or JSON.
pub(in crate::http) struct Document(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Document(typed(request, state, DOCUMENTS).await?))
    }
}

/// The media type of a form of a page.
const FORM: &[&str] = &["application/x-www-form-urlencoded"];

/// What a form of a page sends.
pub(in crate::http) struct FormBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for FormBody {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(FormBody(typed(request, state, FORM).await?))
    }
}

impl Reads for Document {
    fn read(inputs: &mut Inputs<'_>) {
        inputs.document(&DOCUMENTS[..2]);
    }
}

/// A body whose media type is stated. A browser sends other types for any page without asking first.
async fn typed<S: Send + Sync>(request: Request, state: &S, types: &[&str]) -> Result<Bytes, Problem> {
    let stated = request.headers().get(header::CONTENT_TYPE);
    let stated = stated.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let bytes = arrived(request, state).await?;
    let kind = stated.as_deref().map(|stated| stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    if bytes.is_empty() || kind.as_deref().is_some_and(|kind| types.contains(&kind)) {
        return Ok(bytes);
    }
    let stated = stated.map_or("none".to_owned(), |stated| format!("`{}`", shorten(&stated)));
    let detail = format!("send the body with `Content-Type: {}`; it has {stated}", types.join("` or `"));
    Err(Problem::new(Kind::MediaType, detail))
}

/// The body, once it has arrived: in its time, and before the process stops.
pub(in crate::http) async fn arrived<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let Some(Arrival { within, stop }) = request.extensions().get::<Arrival>().cloned() else {
        return Ok(Bytes::from_request(request, state).await?);
    };
    let arrived = tokio::time::timeout(within, Bytes::from_request(request, state));
    tokio::select! {
        // A body that has arrived is handled, also when the process stops.
        biased;
        arrived = arrived => match arrived {
            Ok(bytes) => Ok(bytes?),
            Err(_) => {
                let within = crate::time::duration::format(within);
                Err(Problem::new(Kind::Timeout, format!("the body did not arrive within {within}")))
            }
        },
        () = stop.cancelled() => Err(Problem::stopping()),
    }
}
