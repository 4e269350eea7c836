//! Create, show, pause, run and delete schedules.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ApiState;
use super::answer::Answer;
use super::problem::Problem;
use super::request::{self, Acting, AfterName, Commanding, IfMatch, Path, Query, Said};
use crate::command::audit::Asked;
use crate::command::schedule::{self, Expect};
use crate::contract::api::{Page, StartedView, TicksView};
use crate::contract::schedule::{ScheduleRequest, ScheduleView};
use crate::store::page::Fitting;
use crate::store::schedules;

/// Ticks listed without `count`.
const NEXT: usize = 10;
/// The largest `count`.
const NEXT_MAX: usize = 1_000;

pub(super) async fn list(
    State(api): State<ApiState>,
    Query(query): Query<AfterName>,
) -> Result<Json<Page<ScheduleView>>, Problem> {
    let (cursor, limit) = query.read()?;
    let mut conn = api.app.store.background().await?;
    let Fitting { rows, full } = schedules::list(&mut conn, cursor.as_deref(), limit).await?;
    Ok(Json(Page::of(rows, full, |last| last.name.clone(), |item| item)))
}

pub(super) async fn put(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Acting(headers): Acting,
    IfMatch(seen): IfMatch,
    Said(request, _): Said<ScheduleRequest>,
) -> Result<Answer<ScheduleView>, Problem> {
    request::bounded("definition", &request.definition)?;
    let expect = seen.map_or(Expect::Either, Expect::Revision);
    let (view, is_new) = schedule::put(&api.app, &name, request, expect, &request::actor(&headers)?).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(tagged(status, view))
}

pub(super) async fn get(
    State(api): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Answer<ScheduleView>, Problem> {
    named(&name)?;
    let view = schedule::get(&api.app, &name).await?;
    Ok(tagged(StatusCode::OK, view))
}

pub(super) async fn delete(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Acting(headers): Acting,
    IfMatch(seen): IfMatch,
) -> Result<StatusCode, Problem> {
    named(&name)?;
    let actor = request::actor(&headers)?;
    schedule::delete(&api.app, &name, Asked { actor: &actor, origin: None, seen }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn pause(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Commanding(headers): Commanding,
    IfMatch(seen): IfMatch,
) -> Result<Answer<ScheduleView>, Problem> {
    named(&name)?;
    let (origin, actor) = request::asked(&api, &headers, "schedule.pause", &name, b"")?;
    let asked = Asked { actor: &actor, origin: origin.as_ref(), seen };
    Ok(tagged(StatusCode::OK, schedule::pause(&api.app, &name, asked).await?))
}

pub(super) async fn resume(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Commanding(headers): Commanding,
    IfMatch(seen): IfMatch,
) -> Result<Answer<ScheduleView>, Problem> {
    named(&name)?;
    let (origin, actor) = request::asked(&api, &headers, "schedule.resume", &name, b"")?;
    let asked = Asked { actor: &actor, origin: origin.as_ref(), seen };
    Ok(tagged(StatusCode::OK, schedule::resume(&api.app, &name, asked).await?))
}

pub(super) async fn run(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Commanding(headers): Commanding,
    IfMatch(seen): IfMatch,
) -> Result<Answer<StartedView>, Problem> {
    named(&name)?;
    // The key alone identifies the run: there is no body.
    let key = request::origin(&api, &headers, b"")?.message_id;
    if key.len() > RUN_KEY_MAX {
        return Err(Problem::invalid(format!(
            "`Idempotency-Key` must have at most {RUN_KEY_MAX} bytes for this route"
        )));
    }
    let actor = request::actor(&headers)?;
    let asked = Asked { actor: &actor, origin: None, seen };
    let instance = schedule::run_now(&api.app, &name, &key, asked).await?;
    Ok(Answer::new(StatusCode::CREATED, StartedView { id: instance.0 }))
}

/// Where instances may overlap, name and key together form the business key, which has a limit.
const RUN_KEY_MAX: usize = 128;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NextQuery {
    /// The number of ticks.
    #[schemars(range(min = 1, max = NEXT_MAX), extend("default" = NEXT))]
    count: Option<usize>,
}

pub(super) async fn next(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Query(query): Query<NextQuery>,
) -> Result<Json<TicksView>, Problem> {
    named(&name)?;
    let count = query.count.unwrap_or(NEXT);
    if !(1..=NEXT_MAX).contains(&count) {
        return Err(Problem::invalid(format!("`count` must be from 1 to {NEXT_MAX}")));
    }
    Ok(Json(TicksView { items: schedule::upcoming(&api.app, &name, count).await? }))
}

/// A schedule with its revision.
fn tagged(status: StatusCode, view: ScheduleView) -> Answer<ScheduleView> {
    let revision = view.revision;
    Answer::new(status, view).tagged(revision)
}

fn named(name: &str) -> Result<(), Problem> {
    request::bounded("name", name)
}
