//! Bulk jobs: preview, start, list, show, pause, resume and abort.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::ApiState;
use super::answer::Answer;
use super::problem::Problem;
use super::request::{self, Commanding, Id, Query, Said};
use crate::command::audit::Asked;
use crate::command::bulk as jobs;
use crate::contract::api::Page;
use crate::contract::bulk::{BulkAnswer, BulkItemView, BulkOperation, BulkRequest, BulkView};
use crate::contract::{LIST, LIST_MAX};
use crate::store::bulk::{self, Change};

pub(super) async fn start(
    State(api): State<ApiState>,
    Commanding(headers): Commanding,
    Said(mut request, bytes): Said<BulkRequest>,
) -> Result<Answer<BulkAnswer>, Problem> {
    request::filter(&request.filter)?;
    BulkOperation::read(&request.operation, &request.arguments).map_err(Problem::invalid)?;
    if request.dry_run {
        return Ok(Answer::ok(BulkAnswer::Preview(jobs::preview(&api.app, &request).await?)));
    }
    request.actor = request::acting("actor", request.actor)?;
    let origin = request::naming(request::origin(&api, &headers, &bytes)?, request.actor.as_deref());
    let job = jobs::start(&api.app, &request, &origin).await?;
    Ok(Answer::new(StatusCode::CREATED, BulkAnswer::Job(job)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// The `next` of the page before.
    cursor: Option<Uuid>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<BulkView>>, Problem> {
    let limit = request::page(query.limit)?;
    let mut conn = api.app.store.background().await?;
    let items = bulk::list(&mut conn, query.cursor, limit).await?;
    Ok(Json(Page::of(items, limit, |last| last.id.to_string(), |item| item)))
}

pub(super) async fn get(State(api): State<ApiState>, Id(id): Id) -> Result<Json<BulkView>, Problem> {
    Ok(Json(jobs::get(&api.app, id).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemsQuery {
    /// Only those of this state.
    #[schemars(extend("enum" = ["open", "done", "refused", "failed"]))]
    state: Option<String>,
    /// The `next` of the page before.
    cursor: Option<Uuid>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

pub(super) async fn items(
    State(api): State<ApiState>,
    Id(id): Id,
    Query(query): Query<ItemsQuery>,
) -> Result<Json<Page<BulkItemView>>, Problem> {
    let limit = request::page(query.limit)?;
    jobs::get(&api.app, id).await?;
    let mut conn = api.app.store.background().await?;
    let items = bulk::list_items(&mut conn, id, query.state.as_deref(), query.cursor, limit).await?;
    Ok(Json(Page::of(items, limit, |last| last.instance.to_string(), |item| item)))
}

pub(super) async fn pause(
    api: State<ApiState>,
    id: Id,
    Commanding(headers): Commanding,
) -> Result<Json<BulkView>, Problem> {
    change(api, id, Change::Pause, &headers).await
}

pub(super) async fn resume(
    api: State<ApiState>,
    id: Id,
    Commanding(headers): Commanding,
) -> Result<Json<BulkView>, Problem> {
    change(api, id, Change::Resume, &headers).await
}

pub(super) async fn abort(
    api: State<ApiState>,
    id: Id,
    Commanding(headers): Commanding,
) -> Result<Json<BulkView>, Problem> {
    change(api, id, Change::Abort, &headers).await
}

async fn change(
    State(api): State<ApiState>,
    Id(id): Id,
    change: Change,
    headers: &HeaderMap,
) -> Result<Json<BulkView>, Problem> {
    let verb = match change {
        Change::Pause => "bulk.pause",
        Change::Resume => "bulk.resume",
        Change::Abort => "bulk.abort",
    };
    let (origin, actor) = request::asked(&api, headers, verb, &id.to_string(), b"")?;
    let asked = Asked { actor: &actor, origin: origin.as_ref(), seen: None };
    Ok(Json(jobs::change(&api.app, id, change, asked).await?))
}
