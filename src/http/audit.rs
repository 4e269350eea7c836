//! The audit log.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::ApiState;
use super::problem::Problem;
use super::request;
use crate::contract::api::{AuditView, Page};
use crate::store::audit::Filter;
use crate::store::views;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    cursor: Option<i64>,
    limit: Option<i64>,
    actor: Option<String>,
    action: Option<String>,
    subject: Option<String>,
    object: Option<String>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<AuditView>>, Problem> {
    let Query(query) = query?;
    let limit = request::page(query.limit)?;
    let ListQuery { cursor: before, actor, action, subject, object, .. } = query;
    let filter = Filter { before, limit, actor, action, subject, object };
    let mut conn = api.app.store.background().await?;
    Ok(Json(views::audit(&mut conn, &filter).await?))
}
