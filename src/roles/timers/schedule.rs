//! Starts what is scheduled. Safe on every node at once: a tick is claimed by one, and its start is known by its message id.

use std::time::Duration;

use futures_util::future::join_all;

use crate::app::{App, sleep_or_stop};
use crate::step::schedule;
use crate::store::{self, schedules};

/// Ticks handled in one turn by each queue, so that the process can be asked to stop in between.
const BATCH_MAX: usize = 100;
/// Ticks handled at once: on the first of the month many come together, and each is a few round trips.
const AT_ONCE: usize = 4;
/// The shortest rest, so that a schedule that is due but claimed elsewhere makes no hot loop.
const REST_MIN: Duration = Duration::from_millis(20);

/// Handles ticks when they are due by the database's clock.
pub async fn run(app: &App) -> Result<(), store::Error> {
    while !app.stop.is_cancelled() {
        run_once(app).await?;
        sleep_or_stop(app, until_next(app).await?).await;
    }
    Ok(())
}

/// Handles the ticks that are due now; says how many.
pub async fn run_once(app: &App) -> Result<usize, store::Error> {
    let counts = join_all((0..AT_ONCE).map(|_| Box::pin(work(app)))).await;
    counts.into_iter().sum()
}

async fn work(app: &App) -> Result<usize, store::Error> {
    let mut count = 0;
    while count < BATCH_MAX && !app.stop.is_cancelled() && schedule::tick(app).await? {
        count += 1;
    }
    Ok(count)
}

/// The time until the next one, but never longer than `timers.sweep_every`: a schedule may be made meanwhile.
async fn until_next(app: &App) -> Result<Duration, store::Error> {
    let next = {
        let mut conn = app.store.background().await?;
        schedules::next_wake_at(&mut conn).await?
    };
    Ok(crate::roles::until_next(next, REST_MIN, app.config.timers.sweep_every))
}
