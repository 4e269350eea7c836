//! Publishes a `fire` command for each timer that is due by the database's clock.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::{BATCH_MAX, busy_queues, commit};
use crate::app::{App, sleep_or_stop};
use crate::command::{self, step_command};
use crate::contract;
use crate::roles::until_next;
use crate::store::outbox::OutboxRow;
use crate::store::{self, Transaction, bookmarks};
use crate::telemetry::spans;

/// The shortest pause, so that a timer that is due but locked elsewhere does not make a hot loop.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// The shortest pause while a queue is busy, whose timers are read and left alone.
const PAUSE_BUSY_MIN: Duration = Duration::from_millis(200);
/// While a queue is busy the pause is at least this many times as long as the read.
const PAUSE_BUSY_FACTOR: u32 = 4;
/// Queues whose depth is read before each batch of timers.
const QUEUES_MAX: usize = 100;

/// Fires due timers until the process stops.
pub async fn run(app: &App) -> Result<(), store::Error> {
    let mut queues = BTreeSet::new();
    while !app.stop.is_cancelled() {
        // Commands that cannot be published are left to processes that have a broker.
        tokio::select! {
            () = app.broker.connected() => {}
            () = app.stop.cancelled() => return Ok(()),
        }
        let fired = run_once(app, &mut queues).instrument(spans::pass("timers")).await?;
        if fired.count < BATCH_MAX as usize {
            sleep_until_next(app, fired.pause_min).await?;
        }
    }
    Ok(())
}

/// The result of one pass.
#[derive(Debug)]
pub struct Fired {
    /// The number of timers fired.
    pub count: usize,
    /// The shortest pause if those were all.
    pause_min: Duration,
}

/// Writes a `fire` command for each timer of one batch. `queues` are those that earlier passes had timers for.
pub async fn run_once(app: &App, queues: &mut BTreeSet<String>) -> Result<Fired, store::Error> {
    let busy = busy_queues(app, queues.iter().cloned()).await;
    let began = Instant::now();
    let mut transaction = Transaction::begin(app.store.background().await?).await?;
    let due = bookmarks::claim_due(&mut transaction, BATCH_MAX, &busy).await?;
    let pause_min = if busy.is_empty() { PAUSE_MIN } else { PAUSE_BUSY_MIN.max(began.elapsed() * PAUSE_BUSY_FACTOR) };
    if queues.len() > QUEUES_MAX {
        queues.clear();
    }
    queues.extend(due.iter().map(|timer| timer.step_queue.clone()));
    let rows: Vec<OutboxRow> = due
        .iter()
        .map(|timer| {
            let body = contract::Fire { instance: timer.instance.0, bookmark: timer.number, due_at: timer.due_at };
            step_command(app, &timer.step_queue, "fire", &body, None)
        })
        .collect::<Result<_, _>>()?;
    if !rows.is_empty() {
        command::fail_point("timers::claimed");
    }
    Ok(Fired { count: commit(app, transaction, rows).await?, pause_min })
}

/// Sleeps until the next timer is due, at most `timers.sweep_every`, because another may be opened meanwhile.
async fn sleep_until_next(app: &App, pause_min: Duration) -> Result<(), store::Error> {
    let next = {
        let mut conn = app.store.background().await?;
        bookmarks::next_check_at(&mut conn).await?
    };
    next.iter().for_each(|(_, now)| app.clock.observe(*now));
    sleep_or_stop(app, until_next(next, pause_min, app.config.timers.sweep_every)).await;
    Ok(())
}
