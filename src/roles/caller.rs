//! The role `caller`: marks an attempt as begun, sends its request outside of any transaction, and records its outcome together
//! with the next step of its instance. Safe on every node at once: the dispatch number lets exactly one outcome win.
// A process that dies in between leaves an attempt marked as running. After its deadline its outcome is unknown, and the
// definition decides what follows.

mod attempt;
mod charset;
pub mod limits;
mod mapping;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::Instrument;

use crate::app::{App, sleep_or_stop};
use crate::broker::Queue;
use crate::command::calls::Begin;
use crate::command::{self, Error, Executed};
use crate::engine::CallKind;
use crate::store::calls::{self, DueCall};
use crate::store::{self};
use crate::telemetry::spans;
use limits::{Admission, LimitKey, Permit};
use slots::{Caller, Slots};

/// The most overdue attempts that one pass expires.
const OVERDUE_MAX: i64 = 100;
/// Prefetched wake-ups.
const WAKE_UPS_MAX: u16 = 64;
/// The shortest sleep, so that a call that is due but locked elsewhere causes no hot loop.
const SLEEP_MIN: Duration = Duration::from_millis(5);

/// Starts the loops of the role.
pub fn start(app: &App) {
    let wake_up = app.take_calls();
    let notify = wake_up.clone();
    let slots = Slots::new(app, wake_up);
    app.supervise("caller", move |app| run(app, slots.clone()));
    app.supervise("wake-up listener", move |app| listen(app, notify.clone()));
    app.supervise("deadline watcher", |app| async move { watch(&app).await });
}

/// Makes the calls that are due, then sleeps until a wake-up or until the next call is due.
async fn run(app: App, slots: Slots) -> Result<(), store::Error> {
    let caller = Caller::new(app, slots)?;
    while !caller.app.stop.is_cancelled() {
        let woken = caller.wake_up().notified();
        if make_due(&caller).instrument(spans::pass("caller")).await? {
            continue;
        }
        let sleep = until_next(&caller.app).await?.min(caller.until_open());
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(sleep) => {}
            () = caller.app.stop.cancelled() => {}
        }
    }
    Ok(())
}

/// One pass: begins the calls that are due and have a slot. Returns whether more may be due.
async fn make_due(caller: &Caller) -> Result<bool, store::Error> {
    let room = caller.room();
    let due = {
        let mut conn = caller.app.store.background().await?;
        calls::claim_due(&mut conn, &room).await?
    };
    if !due.is_empty() {
        command::fail_point("caller::claimed");
    }
    let count = |kind| i64::try_from(due.iter().filter(|one| one.kind == kind).count()).unwrap_or(i64::MAX);
    let full = (count(CallKind::Http) >= room.http, count(CallKind::Work) >= room.work);
    for one in due {
        let id = one.id;
        match begin(caller, one).await {
            Ok(()) => {}
            Err(error @ store::Error::Unavailable(_)) => return Err(error),
            // The error of one call does not affect others. It is tried again when its claim expires.
            Err(error) => {
                tracing::error!(%error, call = %id, "could not begin a call; retrying when its claim expires")
            }
        }
    }
    Ok(full.1 || (full.0 && caller.has_free_slots()))
}

async fn begin(caller: &Caller, due: DueCall) -> Result<(), store::Error> {
    let slot = match due.kind {
        CallKind::Work => None,
        CallKind::Http => match caller.slot(&due.target) {
            Some(slot) => Some(slot),
            // The slot was taken meanwhile: the next process with a free slot makes the call.
            None => return caller.put_back(&due).await,
        },
    };
    let limit_key = LimitKey::read(due.limits.as_ref(), due.limit_group);
    // One after the other: concurrent requests would all read the row.
    let permit = match caller.limits.admit(&due.target, &limit_key).await? {
        Admission::Go(permit) => permit,
        Admission::NotBefore(until, reason) => return caller.put_off(&due, until, reason).await,
    };
    // A call that waits in its limit group is not claimed, so it is counted when its wait is over.
    if let Some((_, reason)) = permit.opened.filter(|(at, _)| due.due_at < *at) {
        crate::telemetry::count_put_off(reason.name());
    }
    let Some(slot) = slot else {
        return send_to_external_worker(caller, &due, &permit).await;
    };
    let caller = caller.clone();
    let tasks = caller.app.tasks.clone();
    tasks.spawn(async move {
        if let Err(error) = Box::pin(attempt::make(&caller, &due, &permit)).await {
            caller.limits.unused(&permit).await;
            tracing::warn!(%error, call = %due.id, "could not begin an attempt; retrying");
        }
        drop(slot);
    });
    Ok(())
}

/// Sends a request to an external worker.
async fn send_to_external_worker(caller: &Caller, due: &DueCall, permit: &Permit) -> Result<(), store::Error> {
    let at_once = permit.limit_key.at_once(&due.target);
    match command::calls::send_to_external_worker(&caller.app, due.id, due.dispatch, at_once).await {
        Ok(Begin::NoRoom) => return caller.put_back_without_room(due, permit).await,
        Ok(Begin::Begun(())) => caller.limits.begun(permit),
        Ok(Begin::Stale) => caller.limits.unused(permit).await,
        Err(error) => {
            caller.limits.unused(permit).await;
            return Err(error);
        }
    }
    Ok(())
}

/// Receives wake-ups for new calls. They are acknowledged at once, because the database says which calls are due.
async fn listen(app: App, due: Arc<Notify>) -> Result<(), store::Error> {
    let mut wake_ups = app.broker.consume(Queue::Calls, WAKE_UPS_MAX);
    loop {
        tokio::select! {
            wake_up = wake_ups.next() => {
                let Some(wake_up) = wake_up else { return Ok(()) };
                due.notify_one();
                if let Err(error) = wake_up.ack().await {
                    tracing::debug!(%error, "could not acknowledge a wake-up; it will be redelivered");
                }
            }
            () = app.stop.cancelled() => break,
        }
    }
    wake_ups.cancel().await;
    Ok(())
}

/// Expires attempts whose outcome did not arrive in time.
async fn watch(app: &App) -> Result<(), store::Error> {
    while !app.stop.is_cancelled() {
        if expire_overdue(app).instrument(spans::pass("deadlines")).await? < OVERDUE_MAX as usize {
            // Spread over time: the processes need not all query at the same moment.
            sleep_or_stop(app, until_next(app).await?.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
        }
    }
    Ok(())
}

/// One pass; returns how many overdue attempts it found.
pub async fn expire_overdue(app: &App) -> Result<usize, store::Error> {
    let overdue = {
        let mut conn = app.store.background().await?;
        calls::claim_overdue(&mut conn, OVERDUE_MAX).await?
    };
    let count = overdue.len();
    for one in overdue {
        let id = one.id;
        let kind = one.kind;
        match command::calls::expire(app, one).await {
            Ok(Executed::Committed(_)) => crate::telemetry::count_call(kind.name(), "expired"),
            // An outcome arrived at the last moment, or it is kept until the instance moves.
            Ok(Executed::Refused(_) | Executed::Conflict) => {}
            Err(Error::Store(error @ (store::Error::Unavailable(_) | store::Error::Busy(_)))) => return Err(error),
            Err(error) => {
                tracing::error!(%error, call = %id, "could not expire an attempt; retrying")
            }
        }
    }
    Ok(count)
}

/// The time until the next call is due or overdue, at most `calls.sweep_every`.
async fn until_next(app: &App) -> Result<Duration, store::Error> {
    let (next, now) = {
        let mut conn = app.store.background().await?;
        calls::next_at(&mut conn).await?
    };
    app.clock.observe(now);
    Ok(super::until_next(next.map(|next| (next, now)), SLEEP_MIN, app.config.calls.sweep_every))
}
