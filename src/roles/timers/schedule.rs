//! Starts what is scheduled. Safe on every node at once: one node claims a tick, and the message id of the start is unique.

use std::time::Duration;

use futures_util::future::join_all;
use tracing::Instrument;

use crate::app::{App, sleep_or_stop};
use crate::command::schedule;
use crate::store::{self, schedules};
use crate::telemetry::spans;

/// Ticks handled in one pass by each task, so that a stop is noticed in between.
const BATCH_MAX: usize = 100;
/// Ticks handled concurrently: on the first of the month many are due together, and each takes a few round trips.
const CONCURRENCY: usize = 4;
/// The shortest pause, so that a schedule that is due but claimed elsewhere does not make a hot loop.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// Handles ticks that are due by the database's clock, until the process stops.
pub async fn run(app: &App) -> Result<(), store::Error> {
    while !app.stop.is_cancelled() {
        run_once(app).instrument(spans::pass("schedules")).await?;
        sleep_or_stop(app, until_next(app).await?).await;
    }
    Ok(())
}

/// Handles the ticks that are due now; returns their number.
pub async fn run_once(app: &App) -> Result<usize, store::Error> {
    let counts = join_all((0..CONCURRENCY).map(|_| Box::pin(work(app)))).await;
    counts.into_iter().sum()
}

async fn work(app: &App) -> Result<usize, store::Error> {
    let mut count = 0;
    while count < BATCH_MAX && !app.stop.is_cancelled() && schedule::tick(app).await? {
        count += 1;
    }
    Ok(count)
}

/// The time until the next tick, at most `timers.sweep_every`, because a schedule may be created meanwhile.
async fn until_next(app: &App) -> Result<Duration, store::Error> {
    let next = {
        let mut conn = app.store.background().await?;
        schedules::next_wake_at(&mut conn).await?
    };
    Ok(crate::roles::until_next(next, PAUSE_MIN, app.config.timers.sweep_every))
}
