//! Send a message to the instances that wait for its name and key; list kept messages.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ApiState;
use super::answer::Answer;
use super::problem::Problem;
use super::request::{self, Commanding, Query, Said};
use crate::command::{self, Answer as Answered, Applied, Delivered};
use crate::contract::api::{MessageAnswer, MessageRequest, MessageView, Page};
use crate::contract::{LIST, LIST_MAX, Message};
use crate::store::messages::Filter;
use crate::store::views;

pub(super) async fn send(
    State(api): State<ApiState>,
    Commanding(headers): Commanding,
    Said(request, bytes): Said<MessageRequest>,
) -> Result<Answer<MessageAnswer>, Problem> {
    request::bounded("name", &request.name)?;
    request::bounded("key", &request.key)?;
    let origin = request::origin(&api, &headers, &bytes)?;
    let MessageRequest { name, key, data, ttl, broadcast } = request;
    let message = Message { name, key, data, ttl, broadcast };
    let of = |outcome: &str| MessageAnswer { outcome: outcome.into(), ..MessageAnswer::default() };
    let (status, answer) = match command::message(&api.app, message, &origin).await? {
        Applied::New(Delivered::To(committed)) => {
            (StatusCode::OK, MessageAnswer { instance: Some(committed.instance.id.0), ..of("delivered") })
        }
        Applied::New(Delivered::Kept) => (StatusCode::ACCEPTED, of("kept")),
        Applied::New(Delivered::Broadcast(receivers)) => {
            (StatusCode::ACCEPTED, MessageAnswer { receivers: Some(receivers), ..of("broadcast") })
        }
        Applied::Repeated(answer) => {
            let Answered { outcome, instance, receivers, reason, .. } = answer;
            let instance = instance.map(|instance| instance.0);
            (StatusCode::OK, MessageAnswer { outcome, instance, receivers, reason })
        }
    };
    Ok(Answer::new(status, answer))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Only those of this name.
    name: Option<String>,
    /// Only those with this key.
    key: Option<String>,
    /// The `next` of the page before.
    cursor: Option<i64>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<MessageView>>, Problem> {
    let limit = request::page(query.limit)?;
    let filter = Filter { name: query.name, key: query.key, before: query.cursor, limit };
    let mut conn = api.app.store.background().await?;
    Ok(Json(views::messages(&mut conn, &filter).await?))
}
