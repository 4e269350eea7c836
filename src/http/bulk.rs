//! Bulk jobs: preview, start, list, show, pause, resume and abort.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Body, Id};
use crate::command::bulk as jobs;
use crate::contract::api::Page;
use crate::contract::bulk::{BulkItemView, BulkOperation, BulkRequest, BulkView};
use crate::store::bulk::{self, Change};

pub(super) async fn start(
    State(api): State<ApiState>,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<Response, Problem> {
    let mut request: BulkRequest = request::body(&bytes)?;
    request::filter(&request.filter)?;
    BulkOperation::read(&request.operation, &request.arguments).map_err(Problem::invalid)?;
    if request.dry_run {
        return Ok(Json(jobs::preview(&api.app, &request).await?).into_response());
    }
    request.actor = request::acting("actor", request.actor)?;
    let origin = request::naming(request::origin(&api, &headers, &bytes)?, request.actor.as_deref());
    Ok((StatusCode::CREATED, Json(jobs::start(&api.app, &request, &origin).await?)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    cursor: Option<Uuid>,
    limit: Option<i64>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<BulkView>>, Problem> {
    let Query(query) = query?;
    let limit = request::page(query.limit)?;
    let mut conn = api.app.store.background().await?;
    let items = bulk::list(&mut conn, query.cursor, limit).await?;
    Ok(Json(Page::of(items, limit, |last| last.id.to_string(), |item| item)))
}

pub(super) async fn get(State(api): State<ApiState>, Id(id): Id) -> Result<Json<BulkView>, Problem> {
    Ok(Json(jobs::get(&api.app, id).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemsQuery {
    state: Option<String>,
    cursor: Option<Uuid>,
    limit: Option<i64>,
}

pub(super) async fn items(
    State(api): State<ApiState>,
    Id(id): Id,
    query: Result<Query<ItemsQuery>, QueryRejection>,
) -> Result<Json<Page<BulkItemView>>, Problem> {
    let Query(query) = query?;
    let limit = request::page(query.limit)?;
    jobs::get(&api.app, id).await?;
    let mut conn = api.app.store.background().await?;
    let items = bulk::list_items(&mut conn, id, query.state.as_deref(), query.cursor, limit).await?;
    Ok(Json(Page::of(items, limit, |last| last.instance.to_string(), |item| item)))
}

pub(super) async fn pause(api: State<ApiState>, id: Id, headers: HeaderMap) -> Result<Json<BulkView>, Problem> {
    change(api, id, Change::Pause, &headers).await
}

pub(super) async fn resume(api: State<ApiState>, id: Id, headers: HeaderMap) -> Result<Json<BulkView>, Problem> {
    change(api, id, Change::Resume, &headers).await
}

pub(super) async fn abort(api: State<ApiState>, id: Id, headers: HeaderMap) -> Result<Json<BulkView>, Problem> {
    change(api, id, Change::Abort, &headers).await
}

async fn change(
    State(api): State<ApiState>,
    Id(id): Id,
    change: Change,
    headers: &HeaderMap,
) -> Result<Json<BulkView>, Problem> {
    Ok(Json(jobs::change(&api.app, id, change, &request::actor(headers)?).await?))
}
