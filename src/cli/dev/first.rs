//! What there is to see in the first minute: an instance that ends, and one that waits for a person.

use anyhow::Result;
use serde_json::{Value, json};

use crate::app::App;
use crate::command::{self, Follow, Origin};
use crate::contract::{OnConflict, Start};
use crate::store::definitions;

/// The sender of the first starts.
const APP_ID: &str = "leveret.dev";
/// The business key of the first instances.
const KEY: &str = "first";

/// What is there to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    /// Whether an expense report waits for its approval, unless somebody has decided it since.
    pub(super) is_task_waiting: bool,
}

/// Starts the first instances of the examples, if they are there. A repetition starts nothing, because the ids of the commands are known.
pub(super) async fn show(app: &App) -> Result<Shown> {
    start(app, "line", json!({})).await?;
    let report = json!({ "by": "ann", "amount": 240, "purpose": "train tickets" });
    let is_task_waiting = start(app, "expense", report).await?;
    Ok(Shown { is_task_waiting })
}

/// Whether there is such a definition: elsewhere, other documents are developed.
async fn start(app: &App, definition: &str, input: Value) -> Result<bool> {
    let mut conn = app.store.background().await?;
    let is_there = definitions::find(&mut conn, definition, None).await?.is_some();
    drop(conn);
    if !is_there {
        return Ok(false);
    }
    let start = Start {
        definition: definition.to_owned(),
        key: Some(KEY.to_owned()),
        on_conflict: OnConflict::Return,
        user: Some("ann".to_owned()),
        input,
        ..Start::default()
    };
    let origin = Origin::new(APP_ID, &format!("first {definition}"), b"", Follow::Always);
    command::start(app, start, &origin).await?;
    Ok(true)
}
