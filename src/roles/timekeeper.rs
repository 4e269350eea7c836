//! Wakes what is due and what was forgotten, from PostgreSQL alone: with every message lost, everything still moves.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::app::{App, rest};
use crate::broker::Queue;
use crate::contract;
use crate::step::{self, step_command};
use crate::store::outbox::{self, OutboxRow};
use crate::store::{self, Transaction, bookmarks, history, instances, messages, targets};

/// Timers or branches woken in one transaction.
const BATCH_MAX: i64 = 500;
/// The shortest rest, so that a timer that is due but locked elsewhere makes no hot loop.
const REST_MIN: Duration = Duration::from_millis(5);
/// Lanes whose depth is looked at before each batch of timers.
const LANES_MAX: usize = 100;
/// The shortest rest while a lane is busy, whose timers are looked at and left alone; and how much longer it is than the look.
const REST_BUSY_MIN: Duration = Duration::from_millis(200);
const REST_BUSY_SHARE: u32 = 4;
/// How often partitions for coming months are looked after.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(3_600);
/// How often messages are removed that have expired. Nobody is given one meanwhile.
const EXPIRY_EVERY: Duration = Duration::from_secs(60);

/// Fires due timers punctually enough, and looks after silent branches.
///
/// # Errors
/// As for any query.
pub async fn run(app: &App) -> Result<(), store::Error> {
    let mut housekeeping_at = Instant::now();
    let mut silent_at = Instant::now();
    let mut expiry_at = Instant::now();
    let mut lanes = BTreeSet::new();
    while !app.stop.is_cancelled() {
        if Instant::now() >= housekeeping_at {
            if let Err(error) = keep_house(app).await {
                tracing::warn!(%error, "the house cannot be kept; timers do not wait for it");
            }
            housekeeping_at = Instant::now() + HOUSEKEEPING_EVERY;
        }
        if Instant::now() >= expiry_at {
            let full = expire_messages(app).await? >= BATCH_MAX as usize;
            expiry_at = Instant::now() + if full { REST_MIN } else { EXPIRY_EVERY };
        }
        if Instant::now() >= silent_at {
            let full = wake_silent(app).await? >= BATCH_MAX as usize;
            silent_at = Instant::now() + if full { REST_MIN } else { silent_every(app) };
        }
        let (fired, rest_min) = fire_due(app, &mut lanes).await?;
        if fired < BATCH_MAX as usize {
            sleep_until_next(app, rest_min).await?;
        }
    }
    Ok(())
}

fn silent_every(app: &App) -> Duration {
    // A third of the promise, so that a silent branch is found well within twice `recovery.after`.
    (app.config.recovery.after / 3).max(Duration::from_millis(100))
}

/// One turn of everything; says how much was woken.
///
/// # Errors
/// As for any query.
pub async fn run_once(app: &App) -> Result<usize, store::Error> {
    let (fired, _) = fire_due(app, &mut BTreeSet::new()).await?;
    Ok(fired + wake_silent(app).await? + expire_messages(app).await?)
}

/// Publishes a `fire` for one batch of timers that are due, says for how many, and how long to rest at least if those were
/// all. `lanes` are those it has met before.
async fn fire_due(app: &App, lanes: &mut BTreeSet<String>) -> Result<(usize, Duration), store::Error> {
    let busy = busy_of(app, lanes.iter().cloned()).await;
    let began = Instant::now();
    let mut transaction = Transaction::begin(app.store.duties().await?).await?;
    let due = bookmarks::claim_due(&mut transaction, BATCH_MAX, &busy).await?;
    let rest_min = if busy.is_empty() { REST_MIN } else { REST_BUSY_MIN.max(began.elapsed() * REST_BUSY_SHARE) };
    if lanes.len() > LANES_MAX {
        lanes.clear();
    }
    lanes.extend(due.iter().map(|timer| timer.lane.clone()));
    let rows: Vec<OutboxRow> = due
        .iter()
        .map(|timer| {
            let body = contract::Fire { instance: timer.instance.0, bookmark: timer.number, due_at: timer.due_at };
            step_command(app, &timer.lane, "fire", &body, None)
        })
        .collect::<Result<_, _>>()?;
    if !rows.is_empty() {
        step::fail_point("timekeeper::claimed");
    }
    Ok((commit(app, transaction, rows).await?, rest_min))
}

/// Publishes a `continue` for one batch of branches that are ready and have not moved for too long.
async fn wake_silent(app: &App) -> Result<usize, store::Error> {
    let busy = busy_lanes(app).await?;
    let recovery = &app.config.recovery;
    let mut transaction = Transaction::begin(app.store.duties().await?).await?;
    let silent =
        instances::claim_silent(&mut transaction, recovery.after, recovery.after_max, &busy, BATCH_MAX).await?;
    let mut rows: Vec<OutboxRow> = Vec::with_capacity(silent.len());
    for one in &silent {
        rows.extend(continuations(app, one)?);
    }
    if !rows.is_empty() {
        tracing::info!(branches = rows.len(), "waking branches that have been silent for too long");
        metrics::counter!(crate::telemetry::BRANCHES_WOKEN).increment(rows.len() as u64);
    }
    commit(app, transaction, rows).await
}

fn continuations(app: &App, (instance, branches, lane): &instances::Silent) -> Result<Vec<OutboxRow>, store::Error> {
    branches
        .iter()
        .map(|(branch, sequence)| {
            let body = contract::Continue { instance: instance.0, branch: branch.0, sequence: *sequence };
            step_command(app, lane, "continue", &body, None)
        })
        .collect()
}

/// Lanes whose queue holds undelivered messages: a backlog must not breed.
async fn busy_lanes(app: &App) -> Result<Vec<String>, store::Error> {
    let lanes = {
        let mut conn = app.store.duties().await?;
        instances::ready_lanes(&mut conn).await?
    };
    Ok(busy_of(app, lanes).await)
}

async fn busy_of(app: &App, lanes: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut busy = Vec::new();
    for lane in lanes {
        // Without an answer from the broker nothing could be published anyway: such a lane is left alone too.
        if app.broker.depth(&Queue::Steps(lane.clone())).await.map_or(true, |depth| depth > 0) {
            busy.push(lane);
        }
    }
    busy
}

async fn commit(app: &App, mut transaction: Transaction, rows: Vec<OutboxRow>) -> Result<usize, store::Error> {
    // Also without a row: what was claimed and does not move (timers of suspended instances) is put off by this, and would
    // otherwise be claimed again at once, before all others.
    outbox::push(&mut transaction, &rows).await?;
    transaction.commit().await?;
    let count = rows.len();
    app.hand_over(rows);
    Ok(count)
}

/// Sleeps until the next timer is due, but never longer than `timers.sweep_every`: one may be opened meanwhile.
async fn sleep_until_next(app: &App, rest_min: Duration) -> Result<(), store::Error> {
    let next = {
        let mut conn = app.store.duties().await?;
        bookmarks::next_check_at(&mut conn).await?
    };
    next.iter().for_each(|(_, now)| app.clock.observe(*now));
    rest(app, super::until_next(next, rest_min, app.config.timers.sweep_every)).await;
    Ok(())
}

async fn keep_house(app: &App) -> Result<(), store::Error> {
    let mut conn = app.store.duties().await?;
    history::ensure_partitions(&mut conn, app.clock.now()).await?;
    if let Ok(before) = app.clock.now().checked_sub(targets::UNUSED_FOR) {
        targets::delete_unused_before(&mut conn, before, BATCH_MAX).await?;
    }
    Ok(())
}

/// Removes one batch of messages nobody waited for in time.
async fn expire_messages(app: &App) -> Result<usize, store::Error> {
    let mut conn = app.store.duties().await?;
    messages::delete_expired_before(&mut conn, app.clock.now(), BATCH_MAX).await
}
