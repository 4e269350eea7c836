//! The time of the database, as well as this machine knows it. Everything that compares moments uses this one clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// What was observed counts for one to two of these, in microseconds: long enough that a quick answer was among it, short
/// enough that two clocks do not drift apart by what matters, and that a database whose clock was set back is believed soon.
const WINDOW: i64 = 5_000_000;
/// Nothing was observed.
const NOTHING: i64 = i64::MIN;

/// The offset between the database's clock and this machine's. Clones share it.
///
/// Every answer of the database is late by its way here, so an offset is never too large, and the largest of the last
/// seconds is the best: never ahead of the database, and not behind it by more than the quickest answer took.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // This machine's own clock is asked once and then counted on: it may be set while the process runs.
    began_at: Timestamp,
    began: Instant,
    /// The largest offset of this window and of the one before, in microseconds.
    current: AtomicI64,
    previous: AtomicI64,
    /// When this window ends, in microseconds since the beginning.
    ends: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(Inner {
            began_at: local_now(),
            began: Instant::now(),
            current: AtomicI64::new(NOTHING),
            previous: AtomicI64::new(NOTHING),
            ends: AtomicI64::new(WINDOW),
        }))
    }
}

impl Clock {
    /// Takes over what the database has just said the time is.
    pub fn observe(&self, database_now: Timestamp) {
        self.observe_at(database_now, self.elapsed());
    }

    /// How far the database's clock is ahead of this machine's, in seconds.
    pub fn offset_seconds(&self) -> f64 {
        self.offset() as f64 / 1e6
    }

    /// The time in the database now; this machine's own time until [`Clock::observe`] was called.
    pub fn now(&self) -> Timestamp {
        self.now_at(self.elapsed())
    }

    fn observe_at(&self, database_now: Timestamp, elapsed: i64) {
        let Inner { began_at, current, previous, ends, .. } = &*self.0;
        let local = began_at.as_microsecond().saturating_add(elapsed);
        let offset = database_now.as_microsecond().saturating_sub(local);
        let end = ends.load(Ordering::Relaxed);
        let is_over = elapsed >= end;
        // The thread that exchanges it opens the next window; a concurrent observation that is lost is one of many.
        if is_over && ends.compare_exchange(end, elapsed + WINDOW, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let last = current.swap(offset, Ordering::Relaxed);
            let is_recent = elapsed < end + WINDOW;
            previous.store(if is_recent { last } else { NOTHING }, Ordering::Relaxed);
        } else {
            current.fetch_max(offset, Ordering::Relaxed);
        }
    }

    fn now_at(&self, elapsed: i64) -> Timestamp {
        let since = SignedDuration::from_micros(elapsed.saturating_add(self.offset()));
        self.0.began_at.checked_add(since).unwrap_or(self.0.began_at)
    }

    fn offset(&self) -> i64 {
        let best = self.0.current.load(Ordering::Relaxed).max(self.0.previous.load(Ordering::Relaxed));
        if best == NOTHING { 0 } else { best }
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.0.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks this machine for the time")]
fn local_now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;
    const SECOND: i64 = 1_000_000;

    /// What a database says that is an hour ahead, and whose answer took so long.
    fn answer(clock: &Clock, elapsed: i64, took: i64) {
        let then = SignedDuration::from_micros(HOUR + elapsed - took);
        clock.observe_at(clock.0.began_at.checked_add(then).expect("in range"), elapsed);
    }

    /// How far the clock is ahead of that database.
    fn ahead(clock: &Clock, elapsed: i64) -> i64 {
        clock.now_at(elapsed).duration_since(clock.0.began_at).as_micros() as i64 - HOUR - elapsed
    }

    #[test]
    fn a_clone_knows_the_databases_time() {
        let clock = Clock::default();
        let shared = clock.clone();
        let hour = SignedDuration::from_hours(1);
        clock.observe(local_now().checked_add(hour).expect("in range"));
        let ahead = shared.now().duration_since(local_now());
        assert!((ahead - hour).abs() < SignedDuration::from_secs(5), "{ahead}");
    }

    #[test]
    fn slow_answers_do_not_hold_the_clock_back() {
        let clock = Clock::default();
        for (at, took) in [(1, 9_000), (2, 300), (3, 80_000), (4, 5_000), (7, 40_000)] {
            answer(&clock, at * SECOND, took);
        }
        assert_eq!(ahead(&clock, 8 * SECOND), -300);
    }

    #[test]
    fn the_clock_is_never_ahead_of_the_database() {
        let clock = Clock::default();
        for at in 1..200 {
            answer(&clock, at * SECOND / 7, at * 37 % 1_000);
            assert!(ahead(&clock, at * SECOND / 7) <= 0, "{at}");
        }
    }

    #[test]
    fn a_database_whose_clock_was_set_back_is_believed_after_two_windows() {
        let clock = Clock::default();
        answer(&clock, SECOND, 100);
        for at in 2..=12 {
            answer(&clock, at * SECOND, 2 * SECOND);
        }
        assert_eq!(ahead(&clock, 12 * SECOND), -2 * SECOND);
    }

    #[test]
    fn after_a_long_silence_only_the_new_answer_counts() {
        let clock = Clock::default();
        answer(&clock, SECOND, 100);
        answer(&clock, 100 * SECOND, 70_000);
        assert_eq!(ahead(&clock, 100 * SECOND), -70_000);
    }
}
