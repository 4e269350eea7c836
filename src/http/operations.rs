//! Dead letters: list, show and redrive them.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Acting, Commanding, Path, Query, Said};
use crate::command;
use crate::command::audit::Asked;
use crate::command::dead_letter::{self, Batch, Range};
use crate::contract::api::{
    DeadLetterReason, DeadLetterRefusal, DeadLetterRequest, DeadLetterView, DeadLettersAnswer, DeadLettersPreview,
    DeadLettersRequest, DeadLettersView, DroppedView, Page, RedrivenView,
};
use crate::contract::{LIST, LIST_MAX};
use crate::store::dead_letters::{self, Filter, Group, Which};
use crate::store::views;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// The `next` of the page before.
    cursor: Option<i64>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

pub(super) async fn dead_letters(
    State(api): State<ApiState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<DeadLetterView>>, Problem> {
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
    Commanding(headers): Commanding,
    Said(DeadLetterRequest { reason }, bytes): Said<DeadLetterRequest>,
) -> Result<Json<RedrivenView>, Problem> {
    let (origin, actor) = request::asked(&api, &headers, "dead_letter.redrive", &id.to_string(), &bytes)?;
    let asked = Asked { actor: &actor, origin: origin.as_ref(), seen: None };
    let message_id = command::redrive(&api.app, id, reason.as_deref(), asked).await?;
    Ok(Json(RedrivenView { id, message_id }))
}

pub(super) async fn drop_one(
    State(api): State<ApiState>,
    Path(id): Path<i64>,
    Commanding(headers): Commanding,
    Said(DeadLetterRequest { reason }, bytes): Said<DeadLetterRequest>,
) -> Result<Json<DroppedView>, Problem> {
    let (origin, actor) = request::asked(&api, &headers, "dead_letter.drop", &id.to_string(), &bytes)?;
    let asked = Asked { actor: &actor, origin: origin.as_ref(), seen: None };
    dead_letter::discard(&api.app, id, reason.as_deref(), asked).await?;
    Ok(Json(DroppedView { id, dropped: true }))
}

/// What is done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Redrive,
    Drop,
}

pub(super) async fn redrive_all(
    api: State<ApiState>,
    headers: Acting,
    Said(said, _): Said<DeadLettersRequest>,
) -> Result<Json<DeadLettersAnswer>, Problem> {
    batch(api, headers, said, Deed::Redrive).await
}

pub(super) async fn drop_all(
    api: State<ApiState>,
    headers: Acting,
    Said(said, _): Said<DeadLettersRequest>,
) -> Result<Json<DeadLettersAnswer>, Problem> {
    batch(api, headers, said, Deed::Drop).await
}

async fn batch(
    State(api): State<ApiState>,
    Acting(headers): Acting,
    said: DeadLettersRequest,
    deed: Deed,
) -> Result<Json<DeadLettersAnswer>, Problem> {
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
        let count = groups.iter().map(|group| group.count).sum();
        let view = |Group { reason, count, sample }| DeadLetterReason { reason, count, sample };
        let items = groups.into_iter().map(view).collect();
        return Ok(Json(DeadLettersAnswer::Preview(DeadLettersPreview { count, items, upto })));
    }
    let range = Range { after, upto, limit };
    let reason = reason.as_deref();
    let done = match deed {
        Deed::Redrive => dead_letter::redrive_batch(&api.app, &filter, range, reason, &actor).await?,
        Deed::Drop => dead_letter::discard_batch(&api.app, &filter, range, reason, &actor).await?,
    };
    let Batch { done, refused, refusals, next } = done;
    let refusals = refusals.into_iter().map(|(id, why)| DeadLetterRefusal { id, why }).collect();
    Ok(Json(DeadLettersAnswer::Done(DeadLettersView { done, refused, refusals, next, upto })))
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
