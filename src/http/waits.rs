//! Open timers and incidents: list them, reschedule timers.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Body, Path};
use crate::command::{self, Applied};
use crate::contract::api::{IncidentView, Page, RescheduleRequest, TimerView};
use crate::contract::{Reschedule, Target};
use crate::store::waits::{self, Cursor, IncidentFilter};
use crate::time::duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimersQuery {
    instance: Option<Uuid>,
    cursor: Option<String>,
    limit: Option<i64>,
}

pub(super) async fn timers(
    State(api): State<ApiState>,
    query: Result<Query<TimersQuery>, QueryRejection>,
) -> Result<Json<Page<TimerView>>, Problem> {
    let Query(query) = query?;
    let limit = request::page(query.limit)?;
    let after = cursor(query.cursor.as_deref())?;
    let mut conn = api.app.store.background().await?;
    Ok(Json(waits::timers(&mut conn, query.instance, after, limit).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentsQuery {
    definition: Option<String>,
    fingerprint: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

pub(super) async fn incidents(
    State(api): State<ApiState>,
    query: Result<Query<IncidentsQuery>, QueryRejection>,
) -> Result<Json<Page<IncidentView>>, Problem> {
    let Query(query) = query?;
    let limit = request::page(query.limit)?;
    let before = cursor(query.cursor.as_deref())?;
    let filter = IncidentFilter { definition: query.definition, fingerprint: query.fingerprint, before, limit };
    let mut conn = api.app.store.background().await?;
    Ok(Json(waits::incidents(&mut conn, &filter).await?))
}

fn cursor(text: Option<&str>) -> Result<Option<Cursor>, Problem> {
    text.map(str::parse).transpose().map_err(Problem::invalid)
}

pub(super) async fn reschedule(
    State(api): State<ApiState>,
    Path((instance, bookmark)): Path<(Uuid, i64)>,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<Json<Value>, Problem> {
    let request: RescheduleRequest = request::body(&bytes)?;
    if request.due_at.is_some() == request.after.is_some() {
        return Err(Problem::invalid("send either `due_at` (a time) or `after` (a duration such as 2h)"));
    }
    request.after.as_deref().map(duration::parse).transpose().map_err(Problem::invalid)?;
    // An idempotency key covers the path as well.
    let identity = [b"reschedule".as_slice(), instance.as_bytes(), &bookmark.to_be_bytes(), &bytes].concat();
    let origin = request::origin(&api, &headers, &identity)?;
    let actor = request::acting("actor", None)?;
    let target = Target { instance: Some(instance), reason: request.reason, actor, ..Target::default() };
    let command = Reschedule { target, bookmark, due_at: request.due_at, after: request.after };
    match command::reschedule(&api.app, &command, &origin).await? {
        Applied::New(committed) => {
            let timer = command::newest_timer(&committed.instance);
            let (bookmark, due_at) = timer.unzip();
            Ok(Json(json!({ "instance": instance, "bookmark": bookmark, "due_at": due_at })))
        }
        Applied::Repeated(answer) => Ok(Json(json!({ "instance": instance, "outcome": answer.outcome }))),
    }
}
