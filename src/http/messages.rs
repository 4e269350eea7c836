//! Send a message to the instances that wait for its name and key; list kept messages.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Body};
use crate::command::{self, Applied, Delivered};
use crate::contract::Message;
use crate::contract::api::{MessageRequest, MessageView, Page};
use crate::store::messages::Filter;
use crate::store::views;

pub(super) async fn send(
    State(api): State<ApiState>,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let request: MessageRequest = request::body(&bytes)?;
    request::bounded("name", &request.name)?;
    request::bounded("key", &request.key)?;
    let origin = request::origin(&api, &headers, &bytes)?;
    let MessageRequest { name, key, data, ttl, broadcast } = request;
    let message = Message { name, key, data, ttl, broadcast };
    Ok(match command::message(&api.app, message, &origin).await? {
        Applied::New(Delivered::To(committed)) => {
            (StatusCode::OK, Json(json!({ "outcome": "delivered", "instance": committed.instance.id })))
        }
        Applied::New(Delivered::Kept) => (StatusCode::ACCEPTED, Json(json!({ "outcome": "kept" }))),
        Applied::New(Delivered::Broadcast(receivers)) => {
            (StatusCode::ACCEPTED, Json(json!({ "outcome": "broadcast", "receivers": receivers })))
        }
        Applied::Repeated(answer) => (StatusCode::OK, Json(json!(answer))),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    name: Option<String>,
    key: Option<String>,
    cursor: Option<i64>,
    limit: Option<i64>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<MessageView>>, Problem> {
    let Query(query) = query?;
    let limit = request::page(query.limit)?;
    let filter = Filter { name: query.name, key: query.key, before: query.cursor, limit };
    let mut conn = api.app.store.background().await?;
    Ok(Json(views::messages(&mut conn, &filter).await?))
}
