//! Publishes a `continue` command for each branch that is ready and has not moved for too long: its step command was lost.

use std::time::Duration;

use tracing::Instrument;

use super::{BATCH_MAX, busy_queues, commit};
use crate::app::{App, sleep_or_stop};
use crate::command::step_command;
use crate::contract;
use crate::store::outbox::OutboxRow;
use crate::store::{self, Transaction, instances};
use crate::telemetry::{self, spans};

/// The shortest pause between two sweeps.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The pause after a full batch.
const PAUSE_FULL: Duration = Duration::from_millis(5);

/// Recovers silent branches until the process stops.
pub async fn run(app: &App) -> Result<(), store::Error> {
    while !app.stop.is_cancelled() {
        // Commands that cannot be published are left to processes that have a broker.
        tokio::select! {
            () = app.broker.connected() => {}
            () = app.stop.cancelled() => return Ok(()),
        }
        let full = run_once(app).instrument(spans::pass("recovery")).await? >= BATCH_MAX as usize;
        // A third of the setting, so that a silent branch is found well within twice `recovery.after`.
        let pause = (app.config.recovery.after / 3).max(PAUSE_MIN);
        sleep_or_stop(app, if full { PAUSE_FULL } else { pause }).await;
    }
    Ok(())
}

/// Writes a `continue` command for each silent branch of one batch of instances; returns the number of commands.
pub async fn run_once(app: &App) -> Result<usize, store::Error> {
    let ready = {
        let mut conn = app.store.background().await?;
        instances::ready_step_queues(&mut conn).await?
    };
    let busy = busy_queues(app, ready).await;
    let recovery = &app.config.recovery;
    let mut transaction = Transaction::begin(app.store.background().await?).await?;
    let silent =
        instances::claim_silent(&mut transaction, recovery.after, recovery.after_max, &busy, BATCH_MAX).await?;
    let mut rows: Vec<OutboxRow> = Vec::with_capacity(silent.len());
    for one in &silent {
        rows.extend(continuations(app, one)?);
    }
    if !rows.is_empty() {
        tracing::info!(branches = rows.len(), "recovering branches that have been silent for too long");
        metrics::counter!(telemetry::BRANCHES_RECOVERED).increment(rows.len() as u64);
    }
    commit(app, transaction, rows).await
}

fn continuations(
    app: &App,
    (instance, branches, step_queue): &instances::Silent,
) -> Result<Vec<OutboxRow>, store::Error> {
    branches
        .iter()
        .map(|(branch, sequence)| {
            let body = contract::Continue { instance: instance.0, branch: branch.0, sequence: *sequence };
            step_command(app, step_queue, "continue", &body, None)
        })
        .collect()
}
