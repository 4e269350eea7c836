//! Outbox rows that the pipeline and the roles write for themselves.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

use crate::app::App;
use crate::contract::step_queue::step_queue;
use crate::contract::{self, Exchange};
use crate::engine::Instance;
use crate::store::outbox::{self, OutboxRow};
use crate::store::{self};

/// A command of Leveret to itself as a row: `continue`, `fire` or `deliver`. `step_queue` is the queue that it goes to.
pub(crate) fn step_command(
    app: &App,
    step_queue: &str,
    kind: &str,
    body: &impl Serialize,
    due_at: Option<Timestamp>,
) -> Result<OutboxRow, store::Error> {
    let row =
        OutboxRow::new(app.new_id(), Exchange::Steps, step_queue, kind, encode(body)?).with_claimable(app.claimable());
    Ok(OutboxRow { due_at, ..row })
}

/// The queue for the step commands of an instance.
pub(super) fn step_queue_of(instance: &Instance) -> Cow<'_, str> {
    step_queue(&instance.queue, instance.priority)
}

/// The step command of the ready branch of an instance.
pub(super) fn continuation(instance: &Instance) -> Option<contract::Continue> {
    instance.ready_branch().map(|branch| contract::Continue {
        instance: instance.id.0,
        branch: branch.id.0,
        sequence: branch.sequence,
    })
}

/// Publishes the step command of a ready branch, for a worker that serves it.
pub async fn hand_on(app: &App, instance: &Instance) -> Result<(), store::Error> {
    let Some(continuation) = continuation(instance) else { return Ok(()) };
    let rows = vec![step_command(app, &step_queue_of(instance), "continue", &continuation, None)?];
    let mut conn = app.store.steps().await?;
    outbox::push(&mut conn, &rows).await?;
    drop(conn);
    app.publish(rows);
    Ok(())
}

/// A body as JSON.
pub(super) fn encode(body: &impl Serialize) -> Result<Vec<u8>, store::Error> {
    contract::json::bytes(body)
        .map_err(|error| store::Error::Bug(format!("a message cannot be written as JSON: {error}")))
}
