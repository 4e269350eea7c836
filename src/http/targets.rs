//! The targets of calls: servers and external workers.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Query};
use crate::contract::api::{Page, TargetView};
use crate::contract::{LIST, LIST_MAX};
use crate::store::targets::{self, Cursor};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetsQuery {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    Query(query): Query<TargetsQuery>,
) -> Result<Json<Page<TargetView>>, Problem> {
    let limit = request::page(query.limit)?;
    let after: Option<Cursor> = query.cursor.as_deref().map(str::parse).transpose().map_err(Problem::invalid)?;
    let mut conn = api.app.store.background().await?;
    Ok(Json(targets::list(&mut conn, after.as_ref(), limit).await?))
}
