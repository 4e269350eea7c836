//! Makes calls, outside of any transaction: marks an attempt, sends its request, and records its outcome together with the next
//! step of its instance. Safe on every node at once: the number under which a call was handed out lets one outcome win.
// Whoever dies in between leaves an attempt marked as running. After its deadline it is unknown, and its definition decides.

mod attempt;
mod desk;
pub mod limits;
pub mod outgoing;
mod wording;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::app::{App, rest};
use crate::broker::Queue;
use crate::engine::CallKind;
use crate::step::calls::Begin;
use crate::step::{self, Error, Moved};
use crate::store::calls::{self, Due};
use crate::store::{self};
use desk::{Desk, Places};
use limits::{Admitted, Pass, Wanted};

/// Attempts given up in one turn.
const OVERDUE_MAX: i64 = 100;
/// Hints in hand at once.
const HINTS_MAX: u16 = 64;
/// The shortest rest, so that a call that is due but locked elsewhere makes no hot loop.
const REST_MIN: Duration = Duration::from_millis(5);

/// Starts the loops of the role.
pub fn start(app: &App) {
    let bell = app.take_calls();
    let heard = bell.clone();
    let places = Places::new(app, bell);
    app.supervise("caller", move |app| run(app, places.clone()));
    app.supervise("caller's ear", move |app| listen(app, heard.clone()));
    app.supervise("caller's watch", |app| async move { watch(&app).await });
}

/// Makes what is due, and rests until somebody rings or the next call is due.
async fn run(app: App, places: Places) -> Result<(), store::Error> {
    let desk = Desk::new(app, places)?;
    while !desk.app.stop.is_cancelled() {
        let asked = desk.bell().notified();
        if make_due(&desk).await? {
            continue;
        }
        let sleep = until_next(&desk.app).await?.min(desk.until_open());
        tokio::select! {
            () = asked => {}
            () = tokio::time::sleep(sleep) => {}
            () = desk.app.stop.cancelled() => {}
        }
    }
    Ok(())
}

/// One turn: begins what is due and has room. Says whether there may be more.
async fn make_due(desk: &Desk) -> Result<bool, store::Error> {
    let room = desk.room();
    let due = {
        let mut conn = desk.app.store.duties().await?;
        calls::claim_due(&mut conn, &room).await?
    };
    if !due.is_empty() {
        step::fail_point("caller::claimed");
    }
    let count = |kind| i64::try_from(due.iter().filter(|one| one.kind == kind).count()).unwrap_or(i64::MAX);
    let full = (count(CallKind::Http) >= room.http, count(CallKind::Work) >= room.work);
    for one in due {
        let id = one.id;
        match begin(desk, one).await {
            Ok(()) => {}
            Err(error @ store::Error::Unavailable(_)) => return Err(error),
            // What is wrong with one call is nobody else's matter. It stays claimed, and is looked at again after that.
            Err(error) => tracing::error!(%error, call = %id, "a call could not be begun; it is looked at again"),
        }
    }
    Ok(full.1 || (full.0 && desk.has_places()))
}

async fn begin(desk: &Desk, due: Due) -> Result<(), store::Error> {
    let place = match due.kind {
        CallKind::Work => None,
        CallKind::Http => match desk.place(&due.target) {
            Some(place) => Some(place),
            // Somebody took the room meanwhile: whoever has a free place next takes it.
            None => return desk.put_back(&due).await,
        },
    };
    let wanted = Wanted::read(due.limits.as_ref(), due.queue);
    // One after the other: two that ask at once would both look at the row.
    let pass = match desk.limits.admit(&due.target, &wanted).await? {
        Admitted::Go(pass) => pass,
        Admitted::NotBefore(until, reason) => return desk.put_off(&due, until, reason).await,
    };
    // What waited in its queue was not claimed meanwhile: it is counted when its wait is over.
    if let Some((_, reason)) = pass.opened.filter(|(at, _)| due.due_at < *at) {
        crate::telemetry::count_put_off(reason.name());
    }
    let Some(place) = place else {
        return hand_over(desk, &due, &pass).await;
    };
    let desk = desk.clone();
    let tasks = desk.app.tasks.clone();
    tasks.spawn(async move {
        if let Err(error) = Box::pin(attempt::make(&desk, &due, &pass)).await {
            desk.limits.unused(&pass).await;
            tracing::warn!(%error, call = %due.id, "an attempt could not be begun; it is tried again");
        }
        drop(place);
    });
    Ok(())
}

/// Sends a request to a worker.
async fn hand_over(desk: &Desk, due: &Due, pass: &Pass) -> Result<(), store::Error> {
    let at_once = pass.wanted.at_once(&due.target);
    match step::calls::hand_to_worker(&desk.app, due.id, due.run, at_once).await {
        Ok(Begin::NoRoom) => return desk.put_back_without_room(due, pass).await,
        Ok(Begin::Begun(())) => desk.limits.begun(pass),
        Ok(Begin::Gone) => desk.limits.unused(pass).await,
        Err(error) => {
            desk.limits.unused(pass).await;
            return Err(error);
        }
    }
    Ok(())
}

/// Hears hints that a call is to be made. What they say is looked up, so that they are acknowledged at once.
async fn listen(app: App, bell: Arc<Notify>) -> Result<(), store::Error> {
    let mut hints = app.broker.consume(Queue::Calls, HINTS_MAX);
    loop {
        tokio::select! {
            hint = hints.next() => {
                let Some(hint) = hint else { return Ok(()) };
                bell.notify_one();
                if let Err(error) = hint.ack().await {
                    tracing::debug!(%error, "an acknowledgement was lost; the hint comes again");
                }
            }
            () = app.stop.cancelled() => break,
        }
    }
    hints.cancel().await;
    Ok(())
}

/// Gives up attempts of which nothing was heard in time.
async fn watch(app: &App) -> Result<(), store::Error> {
    while !app.stop.is_cancelled() {
        if give_up_overdue(app).await? < OVERDUE_MAX as usize {
            // Spread over the processes: they need not all look at the same moment.
            rest(app, until_next(app).await?.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
        }
    }
    Ok(())
}

/// One turn; says how many attempts were given up.
///
/// # Errors
/// As for any query.
pub async fn give_up_overdue(app: &App) -> Result<usize, store::Error> {
    let overdue = {
        let mut conn = app.store.duties().await?;
        calls::claim_overdue(&mut conn, OVERDUE_MAX).await?
    };
    let count = overdue.len();
    for one in overdue {
        let id = one.id;
        let kind = one.kind;
        match step::calls::expire(app, one).await {
            Ok(Moved::To(_)) => crate::telemetry::count_call(kind.name(), "expired"),
            // Something was heard at the last moment, or it is kept until its instance moves.
            Ok(Moved::Refused(_) | Moved::Elsewhere) => {}
            Err(Error::Store(error @ (store::Error::Unavailable(_) | store::Error::Busy(_)))) => return Err(error),
            Err(error) => {
                tracing::error!(%error, call = %id, "an attempt could not be given up; it is looked at again")
            }
        }
    }
    Ok(count)
}

/// How long until the next call wants to be looked at, but never longer than `calls.sweep_every`.
async fn until_next(app: &App) -> Result<Duration, store::Error> {
    let (next, now) = {
        let mut conn = app.store.duties().await?;
        calls::next_at(&mut conn).await?
    };
    app.clock.observe(now);
    Ok(super::until_next(next.map(|next| (next, now)), REST_MIN, app.config.calls.sweep_every))
}
