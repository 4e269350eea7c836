//! Send a message to whoever waits for its name and key.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Door;
use super::problem::Problem;
use super::request::{self, Body};
use crate::contract::Message;
use crate::contract::api::MessageRequest;
use crate::step::{self, Delivered};

pub(super) async fn send(
    State(door): State<Door>,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let request: MessageRequest = request::body(&bytes)?;
    request::bounded("name", &request.name)?;
    request::bounded("key", &request.key)?;
    let origin = request::origin(&door, &headers, &bytes)?;
    let message = Message { name: request.name, key: request.key, data: request.data, ttl: request.ttl };
    Ok(match step::message(&door.app, message, &origin).await? {
        Delivered::To(position) => {
            (StatusCode::OK, Json(json!({ "outcome": "delivered", "instance": position.instance.id })))
        }
        Delivered::Kept => (StatusCode::ACCEPTED, Json(json!({ "outcome": "kept" }))),
        Delivered::Known(answer) => (StatusCode::OK, Json(json!(answer))),
    })
}
