//! Dead letters: list, show and redrive them.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Path};
use crate::command;
use crate::contract::api::{DeadLetterView, Page};
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

pub(super) async fn redrive(State(api): State<ApiState>, Path(id): Path<i64>) -> Result<Json<Value>, Problem> {
    let message_id = command::redrive(&api.app, id).await?;
    Ok(Json(json!({ "id": id, "message_id": message_id })))
}
