//! The targets of calls: servers and external workers.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::ApiState;
use super::problem::Problem;
use super::request;
use crate::contract::api::{Page, TargetView};
use crate::store::targets::{self, Cursor};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetsQuery {
    cursor: Option<String>,
    limit: Option<i64>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    query: Result<Query<TargetsQuery>, QueryRejection>,
) -> Result<Json<Page<TargetView>>, Problem> {
    let Query(query) = query?;
    let limit = request::page(query.limit)?;
    let after: Option<Cursor> = query.cursor.as_deref().map(str::parse).transpose().map_err(Problem::invalid)?;
    let mut conn = api.app.store.background().await?;
    Ok(Json(targets::list(&mut conn, after.as_ref(), limit).await?))
}
