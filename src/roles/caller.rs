//! Makes calls, outside of any transaction: marks an attempt, sends its request, and records its outcome together with the next
//! step of its instance. Safe on every node at once: the number under which a call was handed out lets one outcome win.
// Whoever dies in between leaves an attempt marked as running. After its deadline it is unknown, and its definition decides.

mod attempt;
pub mod limits;
pub mod outgoing;
mod wording;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::app::{App, rest};
use crate::broker::Queue;
use crate::engine::CallKind;
use crate::resilience::concurrency::Bulkhead;
use crate::step::calls::Begin;
use crate::step::{self, Error, Moved};
use crate::store::calls::{self, Due, Room};
use crate::store::{self};
use limits::{Admitted, Limits, Wanted};
use outgoing::Client;

/// Calls claimed in one turn, so that the last of them is not claimed again before its turn has come.
const BATCH_MAX: usize = 64;
/// Attempts given up in one turn.
const OVERDUE_MAX: i64 = 100;
/// Hints in hand at once.
const HINTS_MAX: u16 = 64;
/// The shortest rest, so that a call that is due but locked elsewhere makes no hot loop.
const REST_MIN: Duration = Duration::from_millis(5);

/// What the attempts of a process share.
#[derive(Clone)]
struct Desk {
    app: App,
    client: Client,
    /// One bound for all targets: attempts at once.
    places: Arc<Semaphore>,
    /// One bound for each of them.
    bulkhead: Arc<Mutex<Bulkhead>>,
    /// What all processes together may do.
    limits: Limits,
    /// Rung when a call may be due, or a place is free again.
    bell: Arc<Notify>,
}

/// A place an attempt takes up; free again when it goes.
struct Place {
    desk: Desk,
    target: String,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.desk.with_bulkhead(|bulkhead| bulkhead.leave(&self.target));
        self.desk.bell.notify_one();
    }
}

impl Desk {
    fn with_bulkhead<T>(&self, act: impl FnOnce(&mut Bulkhead) -> T) -> T {
        act(&mut self.bulkhead.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A place for one more attempt at a target, if there is room.
    fn place(&self, target: &str) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        self.with_bulkhead(|bulkhead| bulkhead.enter(target)).then(|| Place {
            desk: self.clone(),
            target: target.to_owned(),
            _permit: permit,
        })
    }

    /// How many calls may be claimed.
    fn room(&self) -> Room {
        let per_target = self.app.config.calls.per_target;
        let total = self.places.available_permits().min(BATCH_MAX);
        let mut narrow: HashMap<String, u32> = self.limits.narrow().into_iter().collect();
        self.with_bulkhead(|bulkhead| {
            for (target, room) in &mut narrow {
                *room = bulkhead.room(target).min(*room);
            }
            for target in bulkhead.busy() {
                narrow.entry(target.to_owned()).or_insert_with(|| bulkhead.room(target));
            }
        });
        let narrow =
            narrow.into_iter().map(|(target, room)| (target, i32::try_from(room).unwrap_or(i32::MAX))).collect();
        Room {
            total: i64::try_from(total).unwrap_or_default(),
            per_target: i32::try_from(per_target).unwrap_or(i32::MAX),
            narrow,
        }
    }

    async fn put_off(&self, due: &Due, until: Timestamp) -> Result<(), store::Error> {
        let mut conn = self.app.store.duties().await?;
        calls::put_off(&mut conn, due.id, due.run, until).await
    }

    async fn put_off_without_room(&self, due: &Due, wanted: &Wanted) -> Result<(), store::Error> {
        let until = self.limits.refused(&due.target, wanted).await;
        self.put_off(due, until).await
    }

    /// How long until a target is open to more.
    fn until_open(&self) -> Duration {
        let until = |at: Timestamp| Duration::try_from(at.duration_since(self.app.clock.now())).unwrap_or_default();
        self.limits.next_at().map_or(Duration::MAX, until).max(REST_MIN)
    }
}

/// Starts the loops of the role.
pub fn start(app: &App) {
    let bell = app.take_calls();
    let heard = bell.clone();
    app.supervise("caller", move |app| run(app, bell.clone()));
    app.supervise("caller's ear", move |app| listen(app, heard.clone()));
    app.supervise("caller's watch", |app| async move { watch(&app).await });
}

/// Makes what is due, and rests until somebody rings or the next call is due.
async fn run(app: App, bell: Arc<Notify>) -> Result<(), store::Error> {
    let client = Client::new(&app.config.outgoing, app.clock.clone()).map_err(store::Error::Bug)?;
    let per_target = u32::try_from(app.config.calls.per_target).unwrap_or(u32::MAX);
    let desk = Desk {
        client,
        places: Arc::new(Semaphore::new(app.config.calls.concurrency)),
        bulkhead: Arc::new(Mutex::new(Bulkhead::new(per_target))),
        limits: Limits::new(&app),
        bell,
        app,
    };
    while !desk.app.stop.is_cancelled() {
        let asked = desk.bell.notified();
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
    if room.total == 0 {
        return Ok(false);
    }
    let due = {
        let mut conn = desk.app.store.duties().await?;
        calls::claim_due(&mut conn, &room).await?
    };
    if !due.is_empty() {
        step::fail_point("caller::claimed");
    }
    let full = i64::try_from(due.len()).is_ok_and(|count| count >= room.total);
    for one in due {
        begin(desk, one).await?;
    }
    Ok(full)
}

async fn begin(desk: &Desk, due: Due) -> Result<(), store::Error> {
    let place = match due.kind {
        CallKind::Work => None,
        CallKind::Http => match desk.place(&due.target) {
            Some(place) => Some(place),
            // Somebody took the room meanwhile: whoever has a free place next takes it.
            None => return desk.put_off(&due, due.due_at).await,
        },
    };
    let wanted = Wanted::read(due.limits.as_ref());
    // One after the other: two that ask at once would both look at the row.
    if let Admitted::NotBefore(until, _) = desk.limits.admit(&due.target, &wanted).await? {
        return desk.put_off(&due, until).await;
    }
    let Some(place) = place else {
        return match step::calls::hand_to_worker(&desk.app, due.id, due.run, wanted.at_once(&due.target)).await? {
            Begin::NoRoom => desk.put_off_without_room(&due, &wanted).await,
            Begin::Begun(()) | Begin::Gone => Ok(()),
        };
    };
    let desk = desk.clone();
    let tasks = desk.app.tasks.clone();
    tasks.spawn(async move {
        if let Err(error) = Box::pin(attempt::make(&desk, &due, &wanted)).await {
            tracing::warn!(%error, call = %due.id, "an attempt could not be begun; it is tried again");
        }
        drop(place);
    });
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
