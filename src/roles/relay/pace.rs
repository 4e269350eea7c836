//! When the relay sweeps next: when it is notified of rows, by itself again and again while there are many, and at the latest after the
//! pause between two sweeps.

use std::time::Duration;

use tokio::time::Instant;

/// Rows of one window, written by others, after which the relay looks by itself: transactions that notify commit one after the other.
const NOTIFIED_MAX: usize = 200;
/// The time in which they are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// The pause while it looks by itself.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long it promises to look by itself; see `leveret.relay_looks_until`.
pub(super) const LOOK_FOR: Duration = Duration::from_secs(1);
/// It looks for this much longer, for transactions that wrote a row before the end of the promise and commit later.
const LOOK_ON: Duration = Duration::from_secs(1);
/// The first pause after a notification whose rows another process took. It doubles each time, so that a crowd of processes does not
/// sweep for the same row.
const YIELD_MIN: Duration = Duration::from_millis(10);

/// What the relay does after a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Waits for a notification, then for this pause, then sweeps.
    Listen(Duration),
    /// Sweeps again after this pause.
    Look(Duration),
    /// The same, after it has promised to look for [`LOOK_FOR`].
    Promise(Duration),
}

/// What the last sweeps have found.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    rows: usize,
    promised_until: Option<Instant>,
    yields_for: Duration,
    sweep_every: Duration,
}

impl Pace {
    pub(super) fn new(now: Instant, sweep_every: Duration) -> Self {
        Self { began: now, rows: 0, promised_until: None, yields_for: Duration::ZERO, sweep_every }
    }

    /// A sweep has found `found` rows.
    pub(super) fn after(&mut self, found: usize, now: Instant) -> Next {
        if now.duration_since(self.began) >= WINDOW {
            self.began = now;
            self.rows = 0;
        }
        self.rows = self.rows.saturating_add(found);
        if found > 0 {
            self.yields_for = Duration::ZERO;
        }
        let left = self.promised_until.map(|until| until.saturating_duration_since(now));
        if self.rows >= NOTIFIED_MAX && left.is_none_or(|left| left < LOOK_FOR / 2) {
            self.promised_until = Some(now + LOOK_FOR);
            return Next::Promise(LOOK_EVERY);
        }
        if self.promised_until.is_some_and(|until| now < until + LOOK_ON) {
            return Next::Look(LOOK_EVERY);
        }
        self.promised_until = None;
        Next::Listen(self.yields_for)
    }

    /// A notification came, and its rows were gone.
    pub(super) fn yield_longer(&mut self) {
        self.yields_for = (self.yields_for * 2).clamp(YIELD_MIN, self.sweep_every.max(YIELD_MIN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWEEP_EVERY: Duration = Duration::from_secs(1);

    #[test]
    fn few_rows_are_waited_for_by_listening() {
        let began = Instant::now();
        let mut pace = Pace::new(began, SWEEP_EVERY);
        for second in 0..10 {
            for _ in 0..NOTIFIED_MAX - 1 {
                assert_eq!(pace.after(1, began + second * WINDOW), Next::Listen(Duration::ZERO), "second {second}");
            }
        }
    }

    #[test]
    fn many_rows_make_it_look_by_itself_until_some_time_after_the_promise() {
        let began = Instant::now();
        let mut pace = Pace::new(began, SWEEP_EVERY);
        let at = |millis| began + Duration::from_millis(millis);
        assert_eq!(pace.after(NOTIFIED_MAX, at(0)), Next::Promise(LOOK_EVERY));
        assert_eq!(pace.after(1, at(400)), Next::Look(LOOK_EVERY), "the promise holds long enough");
        assert_eq!(pace.after(1, at(600)), Next::Promise(LOOK_EVERY), "it is renewed in time");
        assert_eq!(pace.after(0, at(1_610)), Next::Look(LOOK_EVERY), "transactions may commit late");
        assert_eq!(pace.after(0, at(2_590)), Next::Look(LOOK_EVERY));
        assert_eq!(pace.after(0, at(2_610)), Next::Listen(Duration::ZERO));
    }

    #[test]
    fn a_process_that_finds_nothing_leaves_the_rows_to_others_and_comes_back_when_it_finds_some() {
        let now = Instant::now();
        let mut pace = Pace::new(now, SWEEP_EVERY);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pace.yield_longer();
            pauses.push(pace.after(0, now));
        }
        assert_eq!(pauses[0], Next::Listen(YIELD_MIN));
        assert_eq!(pauses[1], Next::Listen(2 * YIELD_MIN));
        assert_eq!(pauses[8], Next::Listen(SWEEP_EVERY), "never longer than the pause between two sweeps");
        assert_eq!(pace.after(1, now), Next::Listen(Duration::ZERO));
    }
}
