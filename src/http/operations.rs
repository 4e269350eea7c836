//! Dead letters: list, show and redrive them.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Body, Path};
use crate::command;
use crate::command::dead_letter::{self, Range};
use crate::contract::api::{DeadLetterRequest, DeadLetterView, DeadLettersRequest, Page};
use crate::store::dead_letters::{self, Filter, Which};
use crate::store::views;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    cursor: Option<i64>,
    limit: Option<i64>,
}

pub(super) async fn dead_letters(
    State(api): State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<DeadLetterView>>, Problem> {
    let Query(query) = query?;
    let limit = request::page(query.limit)?;
    let mut conn = api.app.store.background().await?;
    Ok(Json(views::dead_letters(&mut conn, query.cursor, limit).await?))
}

pub(super) async fn dead_letter(
    State(api): State<ApiState>,
    Path(id): Path<i64>,
) -> Result<Json<DeadLetterView>, Problem> {
    let mut conn = api.app.store.background().await?;
    let found = views::dead_letter(&mut conn, id).await?;
    found.map(Json).ok_or_else(|| Problem::not_found(format!("there is no dead letter {id}")))
}

pub(super) async fn redrive(
    State(api): State<ApiState>,
    Path(id): Path<i64>,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<Json<Value>, Problem> {
    let DeadLetterRequest { reason } = request::body(&bytes)?;
    let message_id = command::redrive(&api.app, id, reason.as_deref(), &request::actor(&headers)?).await?;
    Ok(Json(json!({ "id": id, "message_id": message_id })))
}

pub(super) async fn drop_one(
    State(api): State<ApiState>,
    Path(id): Path<i64>,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<Json<Value>, Problem> {
    let DeadLetterRequest { reason } = request::body(&bytes)?;
    dead_letter::discard(&api.app, id, reason.as_deref(), &request::actor(&headers)?).await?;
    Ok(Json(json!({ "id": id, "dropped": true })))
}

/// What is done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Redrive,
    Drop,
}

pub(super) async fn redrive_all(api: State<ApiState>, headers: HeaderMap, body: Body) -> Result<Json<Value>, Problem> {
    batch(api, headers, body, Deed::Redrive).await
}

pub(super) async fn drop_all(api: State<ApiState>, headers: HeaderMap, body: Body) -> Result<Json<Value>, Problem> {
    batch(api, headers, body, Deed::Drop).await
}

async fn batch(
    State(api): State<ApiState>,
    headers: HeaderMap,
    Body(bytes): Body,
    deed: Deed,
) -> Result<Json<Value>, Problem> {
    let said: DeadLettersRequest = request::body(&bytes)?;
    let limit = request::page(said.limit)?;
    let (reason, actor) = (said.reason.clone(), request::actor(&headers)?);
    let (is_dry, after, upto) = (said.dry_run, said.after.unwrap_or(0), said.upto);
    let filter = filter(&api, said)?;
    let upto = match upto {
        Some(upto) => upto,
        None => dead_letters::newest(&mut *api.app.store.background().await?).await?,
    };
    if is_dry {
        let which = if deed == Deed::Redrive { Which::Waiting } else { Which::All };
        let groups = dead_letter::preview(&api.app, &filter, which, upto).await?;
        let items =
            groups.iter().map(|group| json!({ "reason": group.reason, "count": group.count, "sample": group.sample }));
        let count: i64 = groups.iter().map(|group| group.count).sum();
        return Ok(Json(json!({ "count": count, "items": items.collect::<Vec<_>>(), "upto": upto })));
    }
    let range = Range { after, upto, limit };
    let reason = reason.as_deref();
    let done = match deed {
        Deed::Redrive => dead_letter::redrive_batch(&api.app, &filter, range, reason, &actor).await?,
        Deed::Drop => dead_letter::discard_batch(&api.app, &filter, range, reason, &actor).await?,
    };
    let refusals: Vec<Value> = done.refusals.iter().map(|(id, why)| json!({ "id": id, "why": why })).collect();
    Ok(Json(json!({
        "done": done.done, "refused": done.refused, "refusals": refusals, "next": done.next, "upto": upto,
    })))
}

fn filter(api: &ApiState, said: DeadLettersRequest) -> Result<Filter, Problem> {
    let DeadLettersRequest { why, kind, queue, definition, app_id, all, .. } = said;
    let queue = queue.map(|queue| dead_letter::queue(&api.app, &queue));
    let filter = Filter { why, kind, queue, definition, app_id };
    if filter == Filter::default() && !all {
        return Err(Problem::invalid("say which: `why`, `kind`, `queue`, `definition` or `app_id`, or else `all`"));
    }
    Ok(filter)
}
