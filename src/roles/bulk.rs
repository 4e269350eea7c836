//! The role `bulk`: works off bulk jobs. Safe on every node at once: each claims pages and items in the database.

use std::time::Duration;

use tracing::Instrument;

use crate::app::{App, sleep_or_stop};
use crate::command::bulk;
use crate::store;
use crate::telemetry::spans;

/// The longest pause between two looks for a job.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The shortest pause, so that a job that another process has locked does not make a hot loop.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Claims of one pass, so that a stop is noticed in between.
const BATCH_MAX: usize = 100;

/// Works off bulk jobs until the process stops.
pub async fn run(app: &App) -> Result<(), store::Error> {
    while !app.stop.is_cancelled() {
        run_once(app).instrument(spans::pass("bulk")).await?;
        let next = {
            let mut conn = app.store.background().await?;
            store::bulk::next_due_at(&mut conn).await?
        };
        sleep_or_stop(app, super::until_next(next, PAUSE_MIN, LOOK_EVERY)).await;
    }
    Ok(())
}

/// Works on what is due now; returns the number of claims.
pub async fn run_once(app: &App) -> Result<usize, store::Error> {
    let mut count = 0;
    while count < BATCH_MAX && !app.stop.is_cancelled() && bulk::collect_or_work(app).await? {
        count += 1;
    }
    Ok(count)
}
