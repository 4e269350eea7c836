//! Start, list and show instances.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ApiState;
use super::answer::Answer;
use super::problem::Problem;
use super::request::{self, Commanding, Id, Query, Said};
use super::waiting;
use crate::command::{self, Applied, Started};
use crate::contract::api::{HistoryView, InstanceSummary, InstanceView, Page, StartAnswer, StartRequest, StartedView};
use crate::contract::filter::FILTER_MAX;
use crate::contract::{LIST, LIST_MAX, Start};
use crate::engine::{InstanceId, Status};
use crate::store::instances::Filter;
use crate::store::views;
use crate::time::duration;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartQuery {
    /// Answer when the instance has ended, or after this time; at most `60s`.
    #[schemars(extend("format" = "leveret-duration"))]
    wait: Option<String>,
}

pub(super) async fn start(
    State(api): State<ApiState>,
    Query(query): Query<StartQuery>,
    Commanding(headers): Commanding,
    Said(request, bytes): Said<StartRequest>,
) -> Result<Answer<StartAnswer>, Problem> {
    let wait = query.wait.map(|text| duration::parse(&text)).transpose().map_err(Problem::invalid)?;
    request::bounded("definition", &request.definition)?;
    request.key.as_deref().map_or(Ok(()), |key| request::bounded("key", key))?;
    request.user.as_deref().map_or(Ok(()), |user| request::bounded("user", user))?;
    let user = request::acting("user", request.user)?;
    let origin = request::naming(request::origin(&api, &headers, &bytes)?, user.as_deref());
    let wait = wait.map(|time| Ok::<_, Problem>((time, api.waits.take()?))).transpose()?;
    let command = Start {
        definition: request.definition,
        version: request.version,
        key: request.key,
        on_conflict: request.on_conflict,
        user,
        priority: request.priority,
        input: request.input,
    };
    let (code, id) = match command::start(&api.app, command, &origin).await? {
        Applied::New(Started::New(committed)) => (StatusCode::CREATED, committed.instance.id),
        Applied::Repeated(answer) => {
            let why = || answer.reason.clone().unwrap_or_default();
            let id = answer.instance.ok_or_else(|| Problem::from(command::Error::Refused(why())))?;
            let code = if answer.outcome == "started" { StatusCode::CREATED } else { StatusCode::OK };
            (code, id)
        }
        Applied::New(Started::Existing(id)) => (StatusCode::OK, id),
    };
    let view = match wait {
        Some((time, seat)) => {
            waiting::ended(&api.app, seat, id, time).await;
            view(&api, id).await?
        }
        None => None,
    };
    let body = match view {
        Some(view) => StartAnswer::Whole(Box::new(view)),
        None => StartAnswer::Id(StartedView { id: id.0 }),
    };
    Ok(Answer::new(code, body))
}

async fn view(api: &ApiState, id: InstanceId) -> Result<Option<InstanceView>, Problem> {
    let mut conn = api.app.store.background().await?;
    Ok(views::instance(&mut conn, id).await?)
}

pub(super) async fn get(State(api): State<ApiState>, Id(id): Id) -> Result<Answer<InstanceView>, Problem> {
    let view = view(&api, InstanceId(id)).await?;
    let view = view.ok_or_else(|| Problem::not_found(format!("there is no instance {id}")))?;
    let revision = view.revision;
    Ok(Answer::ok(view).tagged(revision))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Terms that must all hold, as in `status:running var.amount>1000`. It goes alone.
    #[schemars(length(max = FILTER_MAX), extend("format" = "leveret-filter"))]
    filter: Option<String>,
    /// Only those of this definition.
    definition: Option<String>,
    /// Only those with this status.
    #[schemars(extend("enum" = Status::NAMES))]
    status: Option<String>,
    /// Only those with this business key.
    key: Option<String>,
    /// The `next` of the page before.
    cursor: Option<uuid::Uuid>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<InstanceSummary>>, Problem> {
    let limit = request::page(query.limit)?;
    let before = query.cursor.map(InstanceId);
    if let Some(text) = &query.filter {
        if query.definition.is_some() || query.status.is_some() || query.key.is_some() {
            let detail = "`filter` goes alone: write `definition:…`, `status:…` and `key:…` inside of it";
            return Err(Problem::invalid(detail));
        }
        let filter = request::filter(text)?;
        let mut conn = api.app.store.background().await?;
        return Ok(Json(views::found(&mut conn, &filter, before, limit, api.app.clock.now()).await?));
    }
    let status = query.status.map(|name| Status::parse(&name).ok_or(name)).transpose().map_err(|name| {
        let known = Status::NAMES.join(", ");
        Problem::invalid(format!("`{}` is not a status: use {known}", request::shorten(&name)))
    })?;
    let filter = Filter { definition: query.definition, status, key: query.key, before, limit, ..Filter::default() };
    let mut conn = api.app.store.background().await?;
    Ok(Json(views::instances(&mut conn, &filter).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// The number of the row before the page.
    #[serde(default)]
    after: i64,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST_MAX))]
    limit: Option<i64>,
}

pub(super) async fn history(
    State(api): State<ApiState>,
    Id(id): Id,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Page<HistoryView>>, Problem> {
    let limit = request::page(query.limit.or(Some(LIST_MAX)))?;
    let mut conn = api.app.store.background().await?;
    let items = views::history(&mut conn, InstanceId(id), query.after, limit).await?;
    if items.is_empty() && views::instance(&mut conn, InstanceId(id)).await?.is_none() {
        return Err(Problem::not_found(format!("there is no instance {id}")));
    }
    Ok(Json(Page::of(items, limit, |last| last.number.to_string(), |item| item)))
}
