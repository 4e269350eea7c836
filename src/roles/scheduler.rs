//! Starts what is scheduled. Safe on every node at once: a tick is claimed by one, and its start is known by its message id.

use std::time::Duration;

use crate::app::{App, rest};
use crate::step::schedule;
use crate::store::{self, schedules};

/// Ticks handled in one turn.
const BATCH_MAX: usize = 100;
/// The shortest rest, so that a schedule that is due but claimed elsewhere makes no hot loop.
const REST_MIN: Duration = Duration::from_millis(20);

/// Handles ticks when they are due by the database's clock.
///
/// # Errors
/// As for any query.
pub async fn run(app: &App) -> Result<(), store::Error> {
    while !app.stop.is_cancelled() {
        if run_once(app).await? < BATCH_MAX {
            rest(app, until_next(app).await?).await;
        }
    }
    Ok(())
}

/// Handles the ticks that are due now, one at a time; says how many.
///
/// # Errors
/// As for any query.
pub async fn run_once(app: &App) -> Result<usize, store::Error> {
    let mut count = 0;
    while count < BATCH_MAX && schedule::tick(app).await? {
        count += 1;
    }
    Ok(count)
}

/// The time until the next one, but never longer than `timers.sweep_every`: a schedule may be made meanwhile.
async fn until_next(app: &App) -> Result<Duration, store::Error> {
    let next = {
        let mut conn = app.store.duties().await?;
        schedules::next_wake_at(&mut conn).await?
    };
    let longest = app.config.timers.sweep_every;
    let until = next.map_or(longest, |(at, now)| Duration::try_from(at.duration_since(now)).unwrap_or_default());
    Ok(until.clamp(REST_MIN.min(longest), longest))
}
