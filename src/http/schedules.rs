//! Make, show, pause and run schedules.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Door;
use super::problem::Problem;
use super::request::{self, Body, Path};
use crate::contract::api::Page;
use crate::contract::schedule::{ScheduleRequest, ScheduleView};
use crate::step::schedule::{self, Expect};
use crate::store::schedules;

/// Moments that are shown: when nothing is said, and at most.
const NEXT: (usize, usize) = (10, 1_000);

pub(super) async fn list(
    State(door): State<Door>,
    query: Result<Query<request::AfterName>, QueryRejection>,
) -> Result<Json<Page<ScheduleView>>, Problem> {
    let (cursor, limit) = query?.0.read()?;
    let mut conn = door.app.store.background().await?;
    let items = schedules::list(&mut conn, cursor.as_deref(), limit).await?;
    Ok(Json(Page::of(items, limit, |last| last.name.clone(), |item| item)))
}

pub(super) async fn put(
    State(door): State<Door>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<impl IntoResponse, Problem> {
    let said: ScheduleRequest = request::body(&bytes)?;
    request::bounded("definition", &said.definition)?;
    let expect = request::if_match(&headers)?.map_or(Expect::Either, Expect::Revision);
    let (view, is_new) = schedule::put(&door.app, &name, said, expect).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, request::etag(view.revision), Json(view)))
}

pub(super) async fn get(State(door): State<Door>, Path(name): Path<String>) -> Result<impl IntoResponse, Problem> {
    named(&name)?;
    let view = schedule::get(&door.app, &name).await?;
    Ok((request::etag(view.revision), Json(view)))
}

pub(super) async fn delete(State(door): State<Door>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    named(&name)?;
    schedule::delete(&door.app, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn pause(State(door): State<Door>, Path(name): Path<String>) -> Result<Json<ScheduleView>, Problem> {
    named(&name)?;
    Ok(Json(schedule::pause(&door.app, &name).await?))
}

pub(super) async fn resume(State(door): State<Door>, Path(name): Path<String>) -> Result<Json<ScheduleView>, Problem> {
    named(&name)?;
    Ok(Json(schedule::resume(&door.app, &name).await?))
}

pub(super) async fn run(
    State(door): State<Door>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Value>), Problem> {
    named(&name)?;
    // The key alone says which run it is: there is no body that could differ.
    let key = request::origin(&door, &headers, b"")?.message_id;
    if key.len() > RUN_KEY_MAX {
        return Err(Problem::invalid(format!("`Idempotency-Key` must have at most {RUN_KEY_MAX} bytes here")));
    }
    let instance = schedule::run_now(&door.app, &name, &key).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": instance }))))
}

/// Name and key are put together where instances may overlap, and have to fit into a business key.
const RUN_KEY_MAX: usize = 128;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextQuery {
    count: Option<usize>,
}

pub(super) async fn next(
    State(door): State<Door>,
    Path(name): Path<String>,
    query: Result<Query<NextQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    named(&name)?;
    let count = query?.0.count.unwrap_or(NEXT.0);
    if !(1..=NEXT.1).contains(&count) {
        return Err(Problem::invalid(format!("`count` must be from 1 to {}", NEXT.1)));
    }
    Ok(Json(json!({ "items": schedule::upcoming(&door.app, &name, count).await? })))
}

fn named(name: &str) -> Result<(), Problem> {
    request::bounded("name", name)
}
