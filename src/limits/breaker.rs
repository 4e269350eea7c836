//! A circuit breaker: who fails too often is left alone for a while, then asked by one attempt whether it is back.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Outcomes that can be looked back on.
pub const OF_MAX: u32 = 64;
/// A target that stays away has what waits for it spread over at most this many times the pause.
const SPREAD_MAX: u32 = 8;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// It opens at this many failures, so that fewer attempts than that never open it.
    pub failures: u32,
    /// Among so many last outcomes, [`OF_MAX`] at most.
    pub of: u32,
    /// Nobody is let through for so long; then one is. Also how long that one may take before another is.
    pub open_for: Duration,
}

/// What is known of a target. The same for everybody who has seen the same outcomes in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Breaker {
    /// How it stands.
    pub state: State,
    /// The last outcomes, the newest lowest; set where one failed.
    pub window: u64,
    /// How many of them there are.
    pub seen: u32,
    /// How often it has opened without having been closed in between.
    pub opened: u32,
    /// When one was let through last to ask. What was begun before says nothing any more: whoever is late with a failure was
    /// sent to the target as it was then.
    pub asked_at: Option<Timestamp>,
}

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Everybody is let through.
    #[default]
    Closed,
    /// Nobody is.
    Open {
        /// From then on one is.
        until: Timestamp,
    },
    /// One was, and nobody else is before its outcome is known.
    HalfOpen {
        /// It is not waited for any longer.
        until: Timestamp,
    },
}

impl State {
    /// The word used in the table, the API and metrics.
    pub fn name(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
        }
    }
}

/// Whether an attempt may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Go,
    /// Whoever takes this place may ([`Breaker::probe`]).
    Probe,
    /// Not before.
    NotBefore(Timestamp),
}

impl Breaker {
    /// Whether an attempt may go now.
    pub fn ask(&self, now: Timestamp) -> Verdict {
        match self.state {
            State::Closed => Verdict::Go,
            State::Open { until } | State::HalfOpen { until } if until <= now => Verdict::Probe,
            State::Open { until } | State::HalfOpen { until } => Verdict::NotBefore(until),
        }
    }

    /// Takes the place of the one that is let through; false if somebody has it, or everybody is let through.
    pub fn probe(&mut self, policy: &Policy, now: Timestamp) -> bool {
        let free = self.ask(now) == Verdict::Probe;
        if free {
            self.state = State::HalfOpen { until: after(now, policy.open_for) };
            self.asked_at = Some(now);
        }
        free
    }

    /// Gives the place back unused: whoever was let through at `began_at` asks nothing.
    pub fn release(&mut self, began_at: Timestamp, now: Timestamp) {
        if matches!(self.state, State::HalfOpen { .. }) && !self.is_late(began_at, now) {
            self.state = State::Open { until: now };
        }
    }

    fn is_late(&self, began_at: Timestamp, now: Timestamp) -> bool {
        // A moment that is still to come is that of a clock which was set back since.
        self.asked_at.is_some_and(|asked_at| began_at < asked_at && asked_at <= now)
    }

    /// Takes in an outcome of what was begun at `began_at`.
    pub fn observe(&mut self, failed: bool, began_at: Timestamp, policy: &Policy, now: Timestamp) {
        if self.is_late(began_at, now) {
            return;
        }
        match (self.state, failed) {
            // What began before it opened says nothing new: among many attempts some succeed at a target that is failing.
            (State::Open { .. }, _) => {}
            (State::HalfOpen { .. }, true) => self.open(policy, now),
            (State::HalfOpen { .. }, false) => *self = Self { asked_at: self.asked_at, ..Self::default() },
            (State::Closed, _) => {
                let of = policy.of.clamp(1, OF_MAX);
                let kept = u64::MAX >> (OF_MAX - of);
                self.window = ((self.window << 1) | u64::from(failed)) & kept;
                self.seen = (self.seen + 1).min(of);
                if self.window.count_ones() >= policy.failures.max(1) {
                    self.open(policy, now);
                }
            }
        }
    }

    fn open(&mut self, policy: &Policy, now: Timestamp) {
        let opened = self.opened.saturating_add(1);
        let state = State::Open { until: after(now, policy.open_for) };
        *self = Self { state, opened, asked_at: self.asked_at, ..Self::default() };
    }

    /// When to come back after a refusal: not all at the same moment, and the later the longer the target has been away.
    /// `chance` is a number from 0 (included) to 1 (excluded).
    pub fn spread(&self, until: Timestamp, policy: &Policy, chance: f64) -> Timestamp {
        let times = self.opened.clamp(1, SPREAD_MAX);
        after(until, policy.open_for.mul_f64(f64::from(times) * chance.clamp(0.0, 1.0)))
    }
}

fn after(moment: Timestamp, time: Duration) -> Timestamp {
    SignedDuration::try_from(time).ok().and_then(|time| moment.checked_add(time).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy { failures: 5, of: 10, open_for: Duration::from_secs(30) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn after_outcomes(outcomes: &str) -> Breaker {
        let mut breaker = Breaker::default();
        outcomes.chars().for_each(|outcome| breaker.observe(outcome == 'x', at(0), &POLICY, at(0)));
        breaker
    }

    #[test]
    fn half_of_the_last_ten_open_it() {
        for (outcomes, open) in [
            ("", false),
            ("xxxx", false),
            ("xxxxx", true),
            (".x.x.x.x.", false),
            (".x.x.x.x.x", true),
            ("xxxx......x", false),
            ("xxxx.....x", true),
            ("....................xxxx", false),
        ] {
            assert_eq!(matches!(after_outcomes(outcomes).state, State::Open { .. }), open, "{outcomes}");
        }
    }

    #[test]
    fn one_asks_after_the_pause_and_closes_or_opens_it() {
        let mut breaker = after_outcomes("xxxxx");
        assert_eq!(breaker.ask(at(29)), Verdict::NotBefore(at(30)));
        assert!(!breaker.probe(&POLICY, at(29)));
        assert_eq!(breaker.ask(at(30)), Verdict::Probe);
        assert!(breaker.probe(&POLICY, at(31)) && !breaker.probe(&POLICY, at(31)));
        assert_eq!(breaker.ask(at(32)), Verdict::NotBefore(at(61)));
        let mut failing = breaker;
        failing.observe(true, at(32), &POLICY, at(33));
        assert_eq!((failing.ask(at(34)), failing.opened), (Verdict::NotBefore(at(63)), 2));
        breaker.observe(false, at(32), &POLICY, at(33));
        assert_eq!(breaker, Breaker { asked_at: Some(at(31)), ..Breaker::default() });
    }

    #[test]
    fn whoever_dies_while_it_asks_is_not_waited_for_for_ever() {
        let mut breaker = after_outcomes("xxxxx");
        assert!(breaker.probe(&POLICY, at(30)));
        assert_eq!(breaker.ask(at(60)), Verdict::Probe);
        assert!(breaker.probe(&POLICY, at(60)));
        breaker.release(at(60), at(61));
        assert_eq!(breaker.ask(at(61)), Verdict::Probe);
    }

    #[test]
    fn late_outcomes_neither_prolong_a_pause_nor_end_it() {
        let mut breaker = after_outcomes("xxxxx");
        breaker.observe(true, at(0), &POLICY, at(20));
        assert_eq!(breaker.ask(at(20)), Verdict::NotBefore(at(30)));
        breaker.observe(false, at(0), &POLICY, at(21));
        assert_eq!(breaker.ask(at(21)), Verdict::NotBefore(at(30)));
    }

    #[test]
    fn only_what_was_begun_since_somebody_asks_decides() {
        let mut breaker = after_outcomes("xxxxx");
        assert!(breaker.probe(&POLICY, at(30)));
        // Sent while it was closed, and heard of only now: neither is about how the target is.
        let asking = breaker;
        breaker.observe(true, at(1), &POLICY, at(31));
        breaker.observe(false, at(1), &POLICY, at(31));
        breaker.release(at(1), at(31));
        assert_eq!(breaker, asking);
        breaker.observe(false, at(30), &POLICY, at(32));
        assert_eq!(breaker.state, State::Closed);
        // More of them do not open it again.
        (0..5).for_each(|_| breaker.observe(true, at(29), &POLICY, at(33)));
        assert_eq!((breaker.state, breaker.seen), (State::Closed, 0));
        (0..5).for_each(|_| breaker.observe(true, at(31), &POLICY, at(33)));
        assert_eq!(breaker.state, State::Open { until: at(63) });
    }

    #[test]
    fn those_who_wait_come_back_one_after_the_other() {
        let mut breaker = after_outcomes("xxxxx");
        assert_eq!(breaker.spread(at(30), &POLICY, 0.5), at(45));
        breaker.opened = 100;
        assert_eq!(breaker.spread(at(30), &POLICY, 0.5), at(150));
    }

    proptest! {
        #[test]
        fn nobody_but_one_is_let_through_while_it_is_not_closed(events in proptest::collection::vec((0u8..4, 0i64..20), 1..200)) {
            let mut breaker = Breaker::default();
            let mut now = 0;
            let mut asking_until = 0;
            for (event, later) in events {
                now += later;
                match event {
                    0 => breaker.observe(true, at(now), &POLICY, at(now)),
                    1 => breaker.observe(false, at(now), &POLICY, at(now)),
                    2 => breaker.release(at(now), at(now)),
                    _ => {
                        let closed = breaker.state == State::Closed;
                        if breaker.probe(&POLICY, at(now)) {
                            prop_assert!(!closed);
                            asking_until = now + 30;
                            prop_assert_eq!(breaker.ask(at(now)), Verdict::NotBefore(at(asking_until)));
                        }
                    }
                }
                prop_assert!(breaker.seen <= 10 && breaker.window < 1 << 10 && breaker.window.count_ones() < 5);
                if let State::HalfOpen { until } = breaker.state {
                    prop_assert_eq!(until, at(asking_until));
                }
            }
        }

        #[test]
        fn what_is_written_reads_back(outcomes in "[x.]{0,30}") {
            let breaker = after_outcomes(&outcomes);
            let text = serde_json::to_string(&breaker).unwrap();
            prop_assert_eq!(serde_json::from_str::<Breaker>(&text).unwrap(), breaker);
        }
    }
}
