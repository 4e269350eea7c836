//! Create, show, pause, run and delete schedules.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Body, Path};
use crate::command::schedule::{self, Expect};
use crate::contract::api::Page;
use crate::contract::schedule::{ScheduleRequest, ScheduleView};
use crate::store::page::Fitting;
use crate::store::schedules;

/// Ticks listed without `count`.
const NEXT: usize = 10;
/// The largest `count`.
const NEXT_MAX: usize = 1_000;

pub(super) async fn list(
    State(api): State<ApiState>,
    query: Result<Query<request::AfterName>, QueryRejection>,
) -> Result<Json<Page<ScheduleView>>, Problem> {
    let (cursor, limit) = query?.0.read()?;
    let mut conn = api.app.store.background().await?;
    let Fitting { rows, full } = schedules::list(&mut conn, cursor.as_deref(), limit).await?;
    Ok(Json(Page::of(rows, full, |last| last.name.clone(), |item| item)))
}

pub(super) async fn put(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<impl IntoResponse, Problem> {
    let request: ScheduleRequest = request::body(&bytes)?;
    request::bounded("definition", &request.definition)?;
    let expect = request::if_match(&headers)?.map_or(Expect::Either, Expect::Revision);
    let (view, is_new) = schedule::put(&api.app, &name, request, expect, &request::actor(&headers)?).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, request::etag(view.revision), Json(view)))
}

pub(super) async fn get(State(api): State<ApiState>, Path(name): Path<String>) -> Result<impl IntoResponse, Problem> {
    named(&name)?;
    let view = schedule::get(&api.app, &name).await?;
    Ok((request::etag(view.revision), Json(view)))
}

pub(super) async fn delete(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    named(&name)?;
    schedule::delete(&api.app, &name, &request::actor(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn pause(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<ScheduleView>, Problem> {
    named(&name)?;
    Ok(Json(schedule::pause(&api.app, &name, &request::actor(&headers)?).await?))
}

pub(super) async fn resume(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<ScheduleView>, Problem> {
    named(&name)?;
    Ok(Json(schedule::resume(&api.app, &name, &request::actor(&headers)?).await?))
}

pub(super) async fn run(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Value>), Problem> {
    named(&name)?;
    // The key alone identifies the run: there is no body.
    let key = request::origin(&api, &headers, b"")?.message_id;
    if key.len() > RUN_KEY_MAX {
        return Err(Problem::invalid(format!(
            "`Idempotency-Key` must have at most {RUN_KEY_MAX} bytes for this route"
        )));
    }
    let instance = schedule::run_now(&api.app, &name, &key, &request::actor(&headers)?).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": instance }))))
}

/// Where instances may overlap, name and key together form the business key, which has a limit.
const RUN_KEY_MAX: usize = 128;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextQuery {
    count: Option<usize>,
}

pub(super) async fn next(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    query: Result<Query<NextQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    named(&name)?;
    let count = query?.0.count.unwrap_or(NEXT);
    if !(1..=NEXT_MAX).contains(&count) {
        return Err(Problem::invalid(format!("`count` must be from 1 to {NEXT_MAX}")));
    }
    Ok(Json(json!({ "items": schedule::upcoming(&api.app, &name, count).await? })))
}

fn named(name: &str) -> Result<(), Problem> {
    request::bounded("name", name)
}
