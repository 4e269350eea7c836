//! What requests have in common: a bounded JSON body, an `Idempotency-Key`, pages, revisions. Each extractor also says what the OpenAPI
//! document tells of it.

mod sent;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, header, request::Parts};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::ApiState;
use super::access::{self, Caller, Proven};
use super::openapi::inputs::{Inputs, Reads};
use super::problem::Problem;
use crate::command::audit::{Actor, Door};
use crate::command::{Follow, Origin};
use crate::contract::filter::Filter;
use crate::contract::{self, LIST, LIST_MAX, NAME_MAX};

pub(super) use sent::{Document, FormBody, Said, arrived, body};

/// The identity of a command: its `Idempotency-Key`, or a new one.
pub(super) fn origin(api: &ApiState, headers: &HeaderMap, body: &[u8]) -> Result<Origin, Problem> {
    // A key outside ASCII is still a key: without it a repetition would become a second command.
    let header = headers.get("idempotency-key").map(|value| std::str::from_utf8(value.as_bytes()));
    let key = match header.transpose().map_err(|_| Problem::invalid("`Idempotency-Key` is not UTF-8"))? {
        Some(key) => {
            bounded("Idempotency-Key", key)?;
            key.to_owned()
        }
        None => api.app.new_id().to_string(),
    };
    let caller = caller();
    let mut origin = Origin::new(&caller.sender(), &key, body, Follow::Always);
    let trace = headers.get("traceparent").and_then(|value| value.to_str().ok());
    origin.trace = trace.filter(|trace| trace.len() <= NAME_MAX).map(str::to_owned);
    origin.by = person(&caller, headers)?;
    origin.via = caller.via(origin.by.as_deref());
    Ok(origin)
}

/// The caller of this request.
fn caller() -> Caller {
    access::current().unwrap_or(Caller::nobody(Proven::NotAsked))
}

/// The user who acts where a request may name one in `what`: the named one, if the caller may act for that user, or else the caller.
pub(super) fn acting(what: &str, named: Option<String>) -> Result<Option<String>, Problem> {
    caller().acting_as(what, named)
}

/// The groups of the user who acts, where a request may name them.
pub(super) fn acting_groups(user: &str, named: Vec<String>) -> Result<Vec<String>, Problem> {
    caller().acting_groups(user, named)
}

/// The origin with the user who acts, as [`acting`] has found it.
pub(super) fn naming(origin: Origin, acting: Option<&str>) -> Origin {
    let caller = caller();
    match acting.filter(|_| caller.is_authenticated()) {
        Some(acting) => Origin { by: Some(acting.to_owned()), via: caller.via(Some(acting)), ..origin },
        None => origin,
    }
}

/// The header in which a proxy that knows its users, or a client, names the person who acts.
const ACTOR: &str = "leveret-actor";

/// The person who acts: the caller or the one for whom it acts; where nobody is asked, the one that the request names.
fn person(caller: &Caller, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    match caller.proven {
        Proven::NotAsked => person_named(headers),
        Proven::Public | Proven::Key | Proven::Token | Proven::Session { .. } => Ok(caller.acting().map(str::to_owned)),
    }
}

fn person_named(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let named = headers.get(ACTOR).map(|value| std::str::from_utf8(value.as_bytes()));
    let named = named.transpose().map_err(|_| Problem::invalid("`Leveret-Actor` is not UTF-8"))?;
    named.map_or(Ok(()), |name| bounded("Leveret-Actor", name))?;
    Ok(named.map(str::to_owned))
}

/// Who acts, for the audit log.
pub(super) fn actor(headers: &HeaderMap) -> Result<Actor, Problem> {
    let caller = caller();
    let named = person(&caller, headers)?;
    let via = caller.via(named.as_deref());
    Ok(Actor { who: named.unwrap_or_else(|| caller.sender()), door: Door::Http, via })
}

/// The identity, if the request has one, and the actor of an action on one object: an idempotency key covers action and object as well.
pub(super) fn asked(
    api: &ApiState,
    headers: &HeaderMap,
    action: &str,
    object: &str,
    body: &[u8],
) -> Result<(Option<Origin>, Actor), Problem> {
    let identity = [action.as_bytes(), object.as_bytes(), body].concat();
    let is_named = headers.contains_key("idempotency-key");
    let origin = is_named.then(|| origin(api, headers, &identity)).transpose()?;
    Ok((origin, actor(headers)?))
}

/// A page of a list that is ordered by name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AfterName {
    /// The `next` of the page before.
    #[schemars(length(min = 1, max = NAME_MAX))]
    cursor: Option<String>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

impl AfterName {
    /// The name after which the page begins, and its size.
    pub(super) fn read(self) -> Result<(Option<String>, i64), Problem> {
        let limit = page(self.limit)?;
        self.cursor.as_deref().map_or(Ok(()), |cursor| bounded("cursor", cursor))?;
        Ok((self.cursor, limit))
    }
}

/// Checks the length of a name, and that it holds no `\u0000`.
pub(super) fn bounded(what: &str, text: &str) -> Result<(), Problem> {
    contract::check_name(text).map_err(|error| Problem::invalid(format!("`{what}` {error}")))
}

/// The revision in `If-Match`, with or without quotes; `*` compares nothing.
fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    match bare.bytes().all(|byte| byte.is_ascii_digit()).then(|| bare.parse().ok()).flatten() {
        Some(revision) => Ok(Some(revision)),
        None => Err(Problem::invalid("`If-Match` must be a `revision`, as in the `ETag` of an earlier response")),
    }
}

/// The revision in `If-Match`.
pub(super) struct IfMatch(pub Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if_match(&parts.headers).map(IfMatch)
    }
}

impl Reads for IfMatch {
    fn read(inputs: &mut Inputs<'_>) {
        inputs.revision();
    }
}

/// The headers of an action of an operator, which say who acts.
pub(super) struct Acting(pub HeaderMap);

impl<S: Send + Sync> FromRequestParts<S> for Acting {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Acting(parts.headers.clone()))
    }
}

impl Reads for Acting {
    fn read(inputs: &mut Inputs<'_>) {
        inputs.actor();
    }
}

/// The headers of a command, which say what it is and who acts.
pub(super) struct Commanding(pub HeaderMap);

impl<S: Send + Sync> FromRequestParts<S> for Commanding {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Commanding(parts.headers.clone()))
    }
}

impl Reads for Commanding {
    fn read(inputs: &mut Inputs<'_>) {
        inputs.actor();
        inputs.identity();
    }
}

/// The parameters of the query.
pub(super) struct Query<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Query(query) = axum::extract::Query::<T>::from_request_parts(parts, state).await?;
        Ok(Query(query))
    }
}

impl<T: JsonSchema> Reads for Query<T> {
    fn read(inputs: &mut Inputs<'_>) {
        inputs.query::<T>();
    }
}

/// A filter of instances.
pub(super) fn filter(text: &str) -> Result<Filter, Problem> {
    Filter::read(text).map_err(|error| Problem::invalid(error.to_string()))
}

/// The number of rows of a page.
pub(super) fn page(limit: Option<i64>) -> Result<i64, Problem> {
    let limit = limit.unwrap_or(LIST);
    if (1..=LIST_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::invalid(format!("`limit` must be from 1 to {LIST_MAX}")))
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

impl<T: JsonSchema> Reads for Path<T> {
    fn read(inputs: &mut Inputs<'_>) {
        inputs.part::<T>();
    }
}

/// Two parts of the path.
pub(super) struct Two<A, B>(pub A, pub B);

impl<A: DeserializeOwned + Send, B: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Two<A, B> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((first, second)) = Path::<(A, B)>::from_request_parts(parts, state).await?;
        Ok(Two(first, second))
    }
}

impl<A: JsonSchema, B: JsonSchema> Reads for Two<A, B> {
    fn read(inputs: &mut Inputs<'_>) {
        inputs.part::<A>();
        inputs.part::<B>();
    }
}

/// An id in the path.
pub(super) struct Id(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await?;
        text.parse()
            .map(Id)
            .map_err(|_| Problem::invalid(format!("`{}` is not a valid id: use a UUID", shorten(&text))))
    }
}

impl Reads for Id {
    fn read(inputs: &mut Inputs<'_>) {
        inputs.part::<Uuid>();
    }
}

/// A command for the resource whose id is in the path, with its body.
pub(super) struct About<T>(pub Subject, pub T);

/// What identifies a command for one resource.
pub(super) struct Subject {
    pub(super) id: Uuid,
    headers: HeaderMap,
    bytes: Bytes,
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequest<S> for About<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Id(id) = Id::from_request_parts(&mut parts, state).await?;
        let headers = parts.headers.clone();
        let Said(said, bytes) = Said::from_request(Request::from_parts(parts, body), state).await?;
        Ok(About(Subject { id, headers, bytes }, said))
    }
}

impl<T: JsonSchema> Reads for About<T> {
    fn read(inputs: &mut Inputs<'_>) {
        Id::read(inputs);
        Commanding::read(inputs);
        Said::<T>::read(inputs);
    }
}

impl Subject {
    /// The identity of the command: an idempotency key covers the path as well.
    pub(super) fn origin(&self, api: &ApiState, verb: &str) -> Result<Origin, Problem> {
        let identity = [verb.as_bytes(), self.id.as_bytes(), &self.bytes].concat();
        origin(api, &self.headers, &identity)
    }
}

/// The beginning of a text from outside, for an error message.
pub(super) fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}
