//! Open timers and incidents: list them, reschedule timers.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Commanding, IfMatch, Query, Said, Two};
use crate::command::{self, Applied};
use crate::contract::api::{IncidentView, Page, RescheduleRequest, RescheduleView, TimerView};
use crate::contract::{LIST, LIST_MAX, Reschedule, Target};
use crate::store::waits::{self, Cursor, IncidentFilter};
use crate::time::duration;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TimersQuery {
    /// Only those of this instance.
    instance: Option<Uuid>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

pub(super) async fn timers(
    State(api): State<ApiState>,
    Query(query): Query<TimersQuery>,
) -> Result<Json<Page<TimerView>>, Problem> {
    let limit = request::page(query.limit)?;
    let after = cursor(query.cursor.as_deref())?;
    let mut conn = api.app.store.background().await?;
    Ok(Json(waits::timers(&mut conn, query.instance, after, limit).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentsQuery {
    /// Only those of this definition.
    definition: Option<String>,
    /// Only those of this cause.
    fingerprint: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

pub(super) async fn incidents(
    State(api): State<ApiState>,
    Query(query): Query<IncidentsQuery>,
) -> Result<Json<Page<IncidentView>>, Problem> {
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
    Two(instance, bookmark): Two<Uuid, i64>,
    Commanding(headers): Commanding,
    IfMatch(revision): IfMatch,
    Said(request, bytes): Said<RescheduleRequest>,
) -> Result<Json<RescheduleView>, Problem> {
    if request.due_at.is_some() == request.after.is_some() {
        return Err(Problem::invalid("send either `due_at` (a time) or `after` (a duration such as 2h)"));
    }
    request.after.as_deref().map(duration::parse).transpose().map_err(Problem::invalid)?;
    // An idempotency key covers the path as well.
    let identity = [b"reschedule".as_slice(), instance.as_bytes(), &bookmark.to_be_bytes(), &bytes].concat();
    let origin = request::origin(&api, &headers, &identity)?;
    let actor = request::acting("actor", None)?;
    let target = Target { instance: Some(instance), reason: request.reason, actor, revision, ..Target::default() };
    let command = Reschedule { target, bookmark, due_at: request.due_at, after: request.after };
    match command::reschedule(&api.app, &command, &origin).await? {
        Applied::New(committed) => {
            let timer = command::newest_timer(&committed.instance);
            let (bookmark, due_at) = timer.unzip();
            Ok(Json(RescheduleView { instance, bookmark, due_at, outcome: None }))
        }
        Applied::Repeated(answer) => {
            Ok(Json(RescheduleView { instance, outcome: Some(answer.outcome), ..RescheduleView::default() }))
        }
    }
}
