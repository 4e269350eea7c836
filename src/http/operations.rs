//! What operators look at.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Door;
use super::problem::Problem;
use crate::store::views;

/// Letters of one answer, newest first.
const LETTERS_MAX: i64 = 200;

pub(super) async fn dead_letters(State(door): State<Door>) -> Result<Json<Value>, Problem> {
    let mut conn = door.app.store.duties().await?;
    Ok(Json(json!({ "items": views::dead_letters(&mut conn, LETTERS_MAX).await? })))
}
