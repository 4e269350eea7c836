//! Calls: list and show them, complete them with a token, resolve unknown ones.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ApiState;
use super::problem::Problem;
use super::request::{self, About, Id};
use crate::command::calls::Reported;
use crate::command::{self, Applied};
use crate::contract::api::{CallCompleteRequest, CallResolveRequest, CallSummary, CallView, Page};
use crate::engine::{CallId, CallOutcome, Resolution};
use crate::store::calls::{self, Filter, STATES};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    state: Option<String>,
    definition: Option<String>,
    instance: Option<Uuid>,
    target: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<CallSummary>>, Problem> {
    let Query(query) = query?;
    if let Some(state) = query.state.as_deref().filter(|state| *state != "open" && !STATES.contains(state)) {
        let state = request::shorten(state);
        return Err(Problem::invalid(format!("`{state}` is not a call state: use open, {}", STATES.join(", "))));
    }
    let before = match &query.cursor {
        None => None,
        Some(cursor) => {
            let place = Filter::place(cursor);
            Some(place.ok_or_else(|| Problem::invalid("`cursor` must be the `next` of an earlier page"))?)
        }
    };
    let filter = Filter {
        state: query.state,
        definition: query.definition,
        instance: query.instance,
        target: query.target,
        before,
        limit: request::page(query.limit)?,
    };
    let mut conn = api.app.store.background().await?;
    Ok(Json(calls::page(&mut conn, &filter).await?))
}

pub(super) async fn get(State(api): State<ApiState>, Id(id): Id) -> Result<Json<CallView>, Problem> {
    view(&api, CallId(id)).await.map(Json)
}

async fn view(api: &ApiState, id: CallId) -> Result<CallView, Problem> {
    let mut conn = api.app.store.background().await?;
    calls::view(&mut conn, id).await?.ok_or_else(|| Problem::not_found(format!("there is no call {id}")))
}

/// The callback of a target. The token authorises it; the answer only says whether the outcome was accepted.
pub(super) async fn complete(State(api): State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    let request: CallCompleteRequest = about.body()?;
    request::bounded("token", &request.token)?;
    let outcome = command::calls::outcome(request.result, request.error).map_err(Problem::invalid)?;
    let origin = about.origin(&api, "call.complete")?;
    let taken = command::calls::complete(&api.app, CallId(about.id), &request.token, outcome, &origin).await?;
    let word = match taken {
        Applied::New(Reported::To(_)) => "completed".to_owned(),
        Applied::New(Reported::Kept(_)) => "kept".to_owned(),
        Applied::New(Reported::Noted(_)) => "noted".to_owned(),
        Applied::Repeated(answer) => answer.outcome,
    };
    Ok(Json(json!({ "outcome": word })))
}

/// The outcome of an unknown call, as a person found it out.
pub(super) async fn resolve(State(api): State<ApiState>, about: About) -> Result<Json<CallView>, Problem> {
    let request: CallResolveRequest = about.body()?;
    let resolution = match (request.outcome.as_str(), request.error) {
        ("succeeded", None) => Resolution::Done { result: request.result },
        ("failed", Some(error)) => match command::calls::outcome(Value::Null, Some(error)).map_err(Problem::invalid)? {
            CallOutcome::Failed { failure } => Resolution::Failed { failure },
            CallOutcome::Answered { .. } | CallOutcome::Done { .. } | CallOutcome::Unknown { .. } => {
                return Err(Problem::internal("the error of a call did not become a failure"));
            }
        },
        ("retry", None) => Resolution::Again,
        ("failed", None) => {
            return Err(Problem::invalid("the outcome `failed` needs an error: `error: { code, message, data }`"));
        }
        ("succeeded" | "retry", Some(_)) => {
            return Err(Problem::invalid("`error` is allowed only with the outcome `failed`"));
        }
        (other, _) => {
            let other = request::shorten(other);
            return Err(Problem::invalid(format!("`{other}` is not an outcome: use succeeded, failed or retry")));
        }
    };
    let origin = about.origin(&api, "call.resolve")?;
    let id = CallId(about.id);
    command::calls::resolve(&api.app, id, resolution, request.reason, &origin).await?;
    view(&api, id).await.map(Json)
}
