//! A circuit breaker: a target that fails too often gets no attempts for a while, then one probe that finds out whether it is back.
//!
//! Written by hand, because its state is a row that all processes share; the crates keep it in the memory of one.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The most outcomes that a breaker remembers.
pub const OF_MAX: u32 = 64;
/// The retries of a target that keeps failing are spread over at most this many pauses.
const SPREAD_MAX: u32 = 8;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The breaker opens at this many failures, so fewer attempts never open it.
    pub failures: u32,
    /// How many of the last outcomes count, at most [`OF_MAX`].
    pub of: u32,
    /// How long the breaker stays open before one probe is let through, and how long it waits for the outcome of that probe.
    pub open_for: Duration,
}

/// The breaker of a target. The same outcomes in the same order give the same breaker in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Breaker {
    /// Closed, open or half open.
    pub state: State,
    /// The last outcomes, one bit each, the newest lowest; set for a failed one.
    pub window: u64,
    /// How many bits of `window` are outcomes.
    pub seen: u32,
    /// How often it has opened since it was last closed.
    pub opened: u32,
    /// When the last probe was let through. Outcomes of attempts that began earlier are ignored: they describe the target as it
    /// was then.
    pub probed_at: Option<Timestamp>,
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(tag = "state", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Every attempt is let through.
    #[default]
    Closed,
    /// No attempt is let through.
    Open {
        /// When a probe is let through.
        until: Timestamp,
    },
    /// A probe was let through; no other attempt is until its outcome is known.
    HalfOpen {
        /// When the probe expires and another one is let through.
        until: Timestamp,
    },
}

impl State {
    /// The word used in the table, the API and metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The answer to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may begin.
    Go,
    /// It may begin as the probe, if [`Breaker::probe`] returns true.
    Probe,
    /// It may not begin before this time.
    NotBefore(Timestamp),
}

/// The outcome of an attempt, as a breaker counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The target answered.
    Answered,
    /// The target did not answer, or answered that it cannot serve requests.
    Failed,
}

impl Breaker {
    /// Whether an attempt may begin now.
    pub fn decide(&self, now: Timestamp) -> Decision {
        match self.state {
            State::Closed => Decision::Go,
            State::Open { until } | State::HalfOpen { until } if until <= now => Decision::Probe,
            State::Open { until } | State::HalfOpen { until } => Decision::NotBefore(until),
        }
    }

    /// Lets one probe through; false if another one is under way, or the breaker is not due for one.
    pub fn probe(&mut self, policy: &Policy, now: Timestamp) -> bool {
        let free = self.decide(now) == Decision::Probe;
        if free {
            self.state = State::HalfOpen { until: after(now, policy.open_for) };
            self.probed_at = Some(now);
        }
        free
    }

    /// Takes the probe back that was let through at `began_at`: its attempt was not made.
    pub fn release(&mut self, began_at: Timestamp, now: Timestamp) {
        if matches!(self.state, State::HalfOpen { .. }) && !self.is_late(began_at, now) {
            self.state = State::Open { until: now };
        }
    }

    fn is_late(&self, began_at: Timestamp, now: Timestamp) -> bool {
        // A probe in the future means that the clock was set back since.
        self.probed_at.is_some_and(|probed_at| began_at < probed_at && probed_at <= now)
    }

    /// Records the outcome of an attempt that began at `began_at`.
    pub fn observe(&mut self, outcome: Outcome, began_at: Timestamp, policy: &Policy, now: Timestamp) {
        if self.is_late(began_at, now) {
            return;
        }
        match (self.state, outcome) {
            // Such an attempt began before the breaker opened: even a failing target answers some of many attempts.
            (State::Open { .. }, _) => {}
            (State::HalfOpen { .. }, Outcome::Failed) => self.open(policy, now),
            (State::HalfOpen { .. }, Outcome::Answered) => {
                *self = Self { probed_at: self.probed_at, ..Self::default() }
            }
            (State::Closed, _) => {
                let of = policy.of.clamp(1, OF_MAX);
                let kept = u64::MAX >> (OF_MAX - of);
                self.window = ((self.window << 1) | u64::from(outcome == Outcome::Failed)) & kept;
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
        *self = Self { state, opened, probed_at: self.probed_at, ..Self::default() };
    }

    /// When to retry after a refusal: spread over time, and over a longer one the more often the breaker has opened.
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
        outcomes.chars().for_each(|outcome| {
            breaker.observe(if outcome == 'x' { Outcome::Failed } else { Outcome::Answered }, at(0), &POLICY, at(0))
        });
        breaker
    }

    #[test]
    fn five_failures_among_ten_outcomes_open_it() {
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
    fn one_probe_after_the_pause_closes_or_reopens_it() {
        let mut breaker = after_outcomes("xxxxx");
        assert_eq!(breaker.decide(at(29)), Decision::NotBefore(at(30)));
        assert!(!breaker.probe(&POLICY, at(29)));
        assert_eq!(breaker.decide(at(30)), Decision::Probe);
        assert!(breaker.probe(&POLICY, at(31)) && !breaker.probe(&POLICY, at(31)));
        assert_eq!(breaker.decide(at(32)), Decision::NotBefore(at(61)));
        let mut failing = breaker;
        failing.observe(Outcome::Failed, at(32), &POLICY, at(33));
        assert_eq!((failing.decide(at(34)), failing.opened), (Decision::NotBefore(at(63)), 2));
        breaker.observe(Outcome::Answered, at(32), &POLICY, at(33));
        assert_eq!(breaker, Breaker { probed_at: Some(at(31)), ..Breaker::default() });
    }

    #[test]
    fn a_probe_without_an_answer_expires() {
        let mut breaker = after_outcomes("xxxxx");
        assert!(breaker.probe(&POLICY, at(30)));
        assert_eq!(breaker.decide(at(60)), Decision::Probe);
        assert!(breaker.probe(&POLICY, at(60)));
        breaker.release(at(60), at(61));
        assert_eq!(breaker.decide(at(61)), Decision::Probe);
    }

    #[test]
    fn late_outcomes_neither_extend_nor_end_the_pause() {
        let mut breaker = after_outcomes("xxxxx");
        breaker.observe(Outcome::Failed, at(0), &POLICY, at(20));
        assert_eq!(breaker.decide(at(20)), Decision::NotBefore(at(30)));
        breaker.observe(Outcome::Answered, at(0), &POLICY, at(21));
        assert_eq!(breaker.decide(at(21)), Decision::NotBefore(at(30)));
    }

    #[test]
    fn only_attempts_that_began_after_the_probe_count() {
        let mut breaker = after_outcomes("xxxxx");
        assert!(breaker.probe(&POLICY, at(30)));
        // They were sent while the breaker was closed and say nothing about the target now.
        let probing = breaker;
        breaker.observe(Outcome::Failed, at(1), &POLICY, at(31));
        breaker.observe(Outcome::Answered, at(1), &POLICY, at(31));
        breaker.release(at(1), at(31));
        assert_eq!(breaker, probing);
        breaker.observe(Outcome::Answered, at(30), &POLICY, at(32));
        assert_eq!(breaker.state, State::Closed);
        // More late failures do not open it again.
        (0..5).for_each(|_| breaker.observe(Outcome::Failed, at(29), &POLICY, at(33)));
        assert_eq!((breaker.state, breaker.seen), (State::Closed, 0));
        (0..5).for_each(|_| breaker.observe(Outcome::Failed, at(31), &POLICY, at(33)));
        assert_eq!(breaker.state, State::Open { until: at(63) });
    }

    #[test]
    fn retries_are_spread_over_time() {
        let mut breaker = after_outcomes("xxxxx");
        assert_eq!(breaker.spread(at(30), &POLICY, 0.5), at(45));
        breaker.opened = 100;
        assert_eq!(breaker.spread(at(30), &POLICY, 0.5), at(150));
    }

    proptest! {
        #[test]
        fn only_one_probe_is_let_through_while_it_is_not_closed(events in proptest::collection::vec((0u8..4, 0i64..20), 1..200)) {
            let mut breaker = Breaker::default();
            let mut now = 0;
            let mut probe_until = 0;
            for (event, later) in events {
                now += later;
                match event {
                    0 => breaker.observe(Outcome::Failed, at(now), &POLICY, at(now)),
                    1 => breaker.observe(Outcome::Answered, at(now), &POLICY, at(now)),
                    2 => breaker.release(at(now), at(now)),
                    _ => {
                        let closed = breaker.state == State::Closed;
                        if breaker.probe(&POLICY, at(now)) {
                            prop_assert!(!closed);
                            probe_until = now + 30;
                            prop_assert_eq!(breaker.decide(at(now)), Decision::NotBefore(at(probe_until)));
                        }
                    }
                }
                prop_assert!(breaker.seen <= 10 && breaker.window < 1 << 10 && breaker.window.count_ones() < 5);
                if let State::HalfOpen { until } = breaker.state {
                    prop_assert_eq!(until, at(probe_until));
                }
            }
        }

        #[test]
        fn a_breaker_survives_serialization(outcomes in "[x.]{0,30}") {
            let breaker = after_outcomes(&outcomes);
            let text = serde_json::to_string(&breaker).unwrap();
            prop_assert_eq!(serde_json::from_str::<Breaker>(&text).unwrap(), breaker);
        }
    }
}
