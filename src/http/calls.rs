//! Calls: list and show them, complete them with a token, resolve unknown ones.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::ApiState;
use super::problem::Problem;
use super::request::{self, About, Id, Query};
use crate::command::calls::Reported;
use crate::command::{self, Applied};
use crate::contract::api::{CallAnswer, CallCompleteRequest, CallResolveRequest, CallSummary, CallView, Page};
use crate::contract::{LIST, LIST_MAX};
use crate::engine::{CallId, CallOutcome, Resolution};
use crate::store::calls::{self, Filter, STATES};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Only those of this state; `open` are all that have not ended.
    #[schemars(extend("enum" = std::iter::once("open").chain(STATES).collect::<Vec<_>>()))]
    state: Option<String>,
    /// Only those of this definition.
    definition: Option<String>,
    /// Only those of this instance.
    instance: Option<Uuid>,
    /// Only those to this target.
    target: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<CallSummary>>, Problem> {
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
pub(super) async fn complete(
    State(api): State<ApiState>,
    About(about, request): About<CallCompleteRequest>,
) -> Result<Json<CallAnswer>, Problem> {
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
    Ok(Json(CallAnswer { outcome: word }))
}

/// The outcome of an unknown call, as a person found it out.
pub(super) async fn resolve(
    State(api): State<ApiState>,
    About(about, request): About<CallResolveRequest>,
) -> Result<Json<CallView>, Problem> {
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
