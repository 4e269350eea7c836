//! What the attempts of a process share: slots, limits and the HTTP client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::limits::{Limits, Permit, Reason};
use crate::app::App;
use crate::limits::bulkhead::Bulkhead;
use crate::outgoing::Client;
use crate::store::calls::{self, DueCall, Room};
use crate::store::{self};
use crate::telemetry;

/// Limit groups that open within this time are served together, so that many keys cause no hot loop.
const OPENS_APART: Duration = Duration::from_millis(50);

/// Outlives a role that failed and restarts, so that attempts under way keep their slots.
#[derive(Clone)]
pub(super) struct Slots {
    /// Bounds the attempts to all targets together.
    all: Arc<Semaphore>,
    /// Bounds the attempts to each target.
    bulkhead: Arc<SyncMutex<Bulkhead>>,
    /// The limits of all processes together.
    limits: Limits,
    /// Held while a response is recorded that may have ended a process: one at a time, so that a crash names the culprit.
    suspect: Arc<Mutex<()>>,
    /// Notified when a call may be due, or a slot was freed.
    wake_up: Arc<Notify>,
}

impl Slots {
    pub(super) fn new(app: &App, wake_up: Arc<Notify>) -> Self {
        let per_target = u32::try_from(app.config.calls.per_target).unwrap_or(u32::MAX);
        Self {
            all: Arc::new(Semaphore::new(app.config.calls.concurrency)),
            bulkhead: Arc::new(SyncMutex::new(Bulkhead::new(per_target))),
            limits: Limits::new(app),
            suspect: Arc::default(),
            wake_up,
        }
    }

    fn with_bulkhead<T>(&self, act: impl FnOnce(&mut Bulkhead) -> T) -> T {
        act(&mut self.bulkhead.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A slot for one more attempt to a target, if one is free.
    fn take(&self, target: &str) -> Option<Slot> {
        let permit = self.all.clone().try_acquire_owned().ok()?;
        let entered = self.with_bulkhead(|bulkhead| bulkhead.enter(target));
        entered.then(|| Slot { slots: self.clone(), target: target.to_owned(), _permit: permit })
    }
}

/// The slot of an attempt, freed when it is dropped.
pub(super) struct Slot {
    slots: Slots,
    target: String,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.with_bulkhead(|bulkhead| bulkhead.leave(&self.target));
        self.slots.wake_up.notify_one();
    }
}

/// What an attempt needs.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) app: App,
    pub(super) client: Client,
    pub(super) limits: Limits,
    slots: Slots,
}

impl Caller {
    pub(super) fn new(app: App, slots: Slots) -> Result<Self, store::Error> {
        let client = Client::new(&app.config.outgoing, app.clock.clone()).map_err(store::Error::Bug)?;
        Ok(Self { app, client, limits: slots.limits.clone(), slots })
    }

    pub(super) fn wake_up(&self) -> &Notify {
        &self.slots.wake_up
    }

    /// The turn of a response that may have ended a process.
    pub(super) async fn suspect_turn(&self) -> OwnedMutexGuard<()> {
        self.slots.suspect.clone().lock_owned().await
    }

    /// A slot for one more attempt to a target, if one is free.
    pub(super) fn slot(&self, target: &str) -> Option<Slot> {
        self.slots.take(target)
    }

    /// Whether an attempt to any target could have a slot.
    pub(super) fn has_free_slots(&self) -> bool {
        self.slots.all.available_permits() > 0
    }

    /// How many calls may be claimed. Calls to external workers need no slot.
    pub(super) fn room(&self) -> Room {
        let whole = |room: u32| i32::try_from(room).unwrap_or(i32::MAX);
        let mut narrow: HashMap<String, u32> = self.limits.narrow().into_iter().collect();
        self.slots.with_bulkhead(|bulkhead| {
            for (target, room) in &mut narrow {
                *room = bulkhead.room(target).min(*room);
            }
            for target in bulkhead.busy() {
                narrow.entry(target.to_owned()).or_insert_with(|| bulkhead.room(target));
            }
        });
        Room {
            // Few enough that the last one is begun before its claim expires.
            http: i64::try_from(self.slots.all.available_permits()).unwrap_or(i64::MAX).min(calls::CLAIMED_MAX),
            work: calls::CLAIMED_MAX,
            per_target: i32::try_from(self.app.config.calls.per_target).unwrap_or(i32::MAX),
            narrow: narrow.into_iter().map(|(target, room)| (target, whole(room))).collect(),
            groups: self.limits.rooms().into_iter().map(|(target, group, room)| (target, group, whole(room))).collect(),
        }
    }

    /// Puts a call off that may not begin. A call that waits for its limit group keeps its place: it is not claimed before the
    /// group opens, and then the oldest goes first.
    pub(super) async fn put_off(&self, due: &DueCall, until: Timestamp, reason: Reason) -> Result<(), store::Error> {
        match reason {
            Reason::Breaker => {
                telemetry::count_put_off(reason.name());
                self.put_off_until(due, until).await
            }
            Reason::Rate | Reason::Concurrency => self.put_back(due).await,
        }
    }

    /// Gives a claimed call back unchanged.
    pub(super) async fn put_back(&self, due: &DueCall) -> Result<(), store::Error> {
        self.put_off_until(due, due.due_at).await
    }

    /// Gives a call back whose target has reached its concurrency.
    pub(super) async fn put_back_without_room(&self, due: &DueCall, permit: &Permit) -> Result<(), store::Error> {
        self.limits.refused(permit).await;
        self.put_back(due).await
    }

    async fn put_off_until(&self, due: &DueCall, until: Timestamp) -> Result<(), store::Error> {
        let mut conn = self.app.store.background().await?;
        calls::put_off(&mut conn, due.id, due.dispatch, until).await
    }

    /// The time until a breaker or a limit group opens.
    pub(super) fn until_open(&self) -> Duration {
        let until = |at: Timestamp| Duration::try_from(at.duration_since(self.app.clock.now())).unwrap_or_default();
        self.limits.next_at().map_or(Duration::MAX, until).max(OPENS_APART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::handlers::Handlers;

    #[tokio::test]
    async fn a_role_that_restarts_has_no_more_slots_than_before() {
        let mut config = Config::default();
        config.database.url = "postgres://nobody@127.0.0.1:1/none".into();
        (config.calls.concurrency, config.calls.per_target) = (2, 1);
        let app = App::without_publisher(config, Handlers::new(), "caller").unwrap();
        let slots = Slots::new(&app, Arc::default());
        let before = Caller::new(app.clone(), slots.clone()).unwrap();
        let first = before.slot("https://a.test:443").unwrap();
        drop(before);
        let after = Caller::new(app, slots).unwrap();
        assert!(after.slot("https://a.test:443").is_none());
        assert_eq!((after.room().http, after.room().narrow), (1, vec![("https://a.test:443".to_owned(), 0)]));
        // Calls to external workers need none.
        let other = after.slot("https://b.test:443").unwrap();
        assert_eq!((after.has_free_slots(), after.room().http, after.room().work), (false, 0, 64));
        drop((first, other));
        assert_eq!((after.room().http, after.room().narrow), (2, vec![]));
    }
}
