//! `?wait=`: a request that waits for the end of the instance it has started. Their number is bounded, because each holds a connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use super::problem::{Kind, Problem};
use crate::app::App;
use crate::engine::InstanceId;
use crate::store::{self, instances};

/// The longest wait.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);
/// The pause before the first look after a wait began; it doubles.
const LOOK_AFTER: Duration = Duration::from_millis(20);
/// The longest pause between two looks.
const LOOK_AFTER_MAX: Duration = Duration::from_millis(250);
/// A look may take this part of the time between two: the database is slow when it has much to do.
const SHARE: u32 = 4;

/// The waits that this process allows at once.
#[derive(Clone)]
pub(super) struct Seats(Arc<Semaphore>);

/// A wait that is allowed, until it is dropped.
pub(super) struct Seat(OwnedSemaphorePermit);

impl Seats {
    /// No more than half of the connections, of which there may be fewer than the settings say: the others are for requests that do
    /// not wait.
    pub(super) fn new(waits_max: usize, connections_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(waits_max.min(connections_max / 2).max(1))))
    }

    /// Takes a seat. Before the start: then a refused request has started nothing.
    pub(super) fn take(&self) -> Result<Seat, Problem> {
        self.0.clone().try_acquire_owned().map(Seat).map_err(|_| {
            let detail = "as many requests wait as `http.waits_max` allows, and nothing was started: send it again without \
                          `?wait=`, or later";
            Problem::new(Kind::Full, detail)
        })
    }
}

/// A longer wait ends earlier: the instance is shown as it is.
fn bounded(time: Duration) -> Duration {
    time.min(WAIT_MAX)
}

/// Waits until the instance has ended, the time is up, or the process stops.
pub(super) async fn ended(app: &App, seat: Seat, id: InstanceId, time: Duration) {
    let wait = app.endings.wait(id);
    tokio::select! {
        () = wait.ended() => {}
        () = sleep(bounded(time)) => {}
        () = app.stop.cancelled() => {}
    }
    drop(seat.0);
}

/// Looks for ends that other processes have committed, as long as requests wait here.
pub(super) async fn watch(app: App) -> Result<(), store::Error> {
    let mut pace = Pace { looked: Instant::now(), pause: LOOK_AFTER };
    loop {
        let awaited = app.endings.awaited();
        tokio::select! {
            () = app.stop.cancelled() => return Ok(()),
            () = app.endings.joined() => pace.joined(awaited.is_empty(), Instant::now()),
            () = sleep_until(pace.next()), if !awaited.is_empty() => {
                let began = Instant::now();
                look(&app, &awaited).await?;
                pace.looked(began, Instant::now());
            }
        }
    }
}

/// One look at all instances that are waited for.
async fn look(app: &App, awaited: &[InstanceId]) -> Result<(), store::Error> {
    let mut conn = app.store.background().await?;
    let ended = instances::find_ended(&mut conn, awaited).await?;
    drop(conn);
    ended.into_iter().for_each(|id| app.endings.ended(id));
    Ok(())
}

/// When the next look is due.
struct Pace {
    looked: Instant,
    pause: Duration,
}

impl Pace {
    fn next(&self) -> Instant {
        self.looked + self.pause
    }

    /// A wait has begun: most instances end soon. It never moves a look that was due to a later time.
    fn joined(&mut self, nobody_waited: bool, now: Instant) {
        self.pause = self.pause.min(LOOK_AFTER);
        if nobody_waited {
            self.looked = now;
        }
    }

    fn looked(&mut self, began: Instant, ended: Instant) {
        let took = ended - began;
        self.pause = (self.pause * 2).min(LOOK_AFTER_MAX).max(took * SHARE);
        self.looked = ended;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rarer_until_another_wait_begins_and_never_stop() {
        let start = Instant::now();
        let mut pace = Pace { looked: start, pause: LOOK_AFTER_MAX };
        pace.joined(true, start);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let due = pace.next();
            pauses.push((due - pace.looked).as_millis());
            pace.looked(due, due);
        }
        assert_eq!(pauses, [20, 40, 80, 160, 250, 250]);
        let due = pace.looked + LOOK_AFTER;
        for millis in 1..100 {
            pace.joined(false, start + Duration::from_secs(10) + Duration::from_millis(millis));
            assert_eq!(pace.next(), due, "waits that begin all the time do not put it off");
        }
        pace.looked(due, due + Duration::from_secs(1));
        assert_eq!(pace.pause, Duration::from_secs(4), "a slow database is asked less");
    }

    #[test]
    fn a_longer_wait_ends_after_a_minute() {
        let seconds = |count: u64| bounded(Duration::from_secs(count)).as_secs();
        assert_eq!([seconds(59), seconds(60), seconds(61), seconds(u64::MAX)], [59, 60, 60, 60]);
    }

    #[test]
    fn a_wait_beyond_the_bound_is_refused_until_another_is_over() {
        for (waits_max, connections_max) in [(2, 100), (100, 5)] {
            let seats = Seats::new(waits_max, connections_max);
            let (first, _second) = (seats.take().unwrap(), seats.take().unwrap());
            assert!(seats.take().is_err());
            drop(first);
            assert!(seats.take().is_ok());
        }
    }
}
