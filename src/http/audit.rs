//! The audit log.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Query};
use crate::contract::api::{AuditView, Page};
use crate::contract::{LIST, LIST_MAX};
use crate::store::audit::Filter;
use crate::store::views;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// The `next` of the page before.
    cursor: Option<i64>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
    /// By this person or sender.
    actor: Option<String>,
    /// This action, as in `schedule.pause`.
    action: Option<String>,
    /// On this kind of object.
    subject: Option<String>,
    /// On the object with this id or name.
    object: Option<String>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<AuditView>>, Problem> {
    let limit = request::page(query.limit)?;
    let ListQuery { cursor: before, actor, action, subject, object, .. } = query;
    let filter = Filter { before, limit, actor, action, subject, object };
    let mut conn = api.app.store.background().await?;
    Ok(Json(views::audit(&mut conn, &filter).await?))
}
