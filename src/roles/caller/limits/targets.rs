//! What one process knows of the breakers of targets, and decides without reading their rows. Pure: the time is an argument.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{FRESH_FOR, REMEMBERED_MAX, TargetOutcome, UNUSED_FOR};
use crate::limits::breaker::{Breaker, Decision, Outcome, Policy, State};

/// The most observations of a target kept while the database is away; older ones no longer matter.
const UNWRITTEN_MAX: usize = 64;

/// The targets this process knows.
pub(super) struct KnownTargets {
    policy: Policy,
    targets: HashMap<String, Target>,
}

#[derive(Default)]
struct Target {
    breaker: Breaker,
    /// When the row was last read.
    learned_at: Option<Timestamp>,
    /// Observations that the row does not contain yet.
    unwritten: Vec<Observation>,
}

/// The outcome of an attempt, and when the attempt was let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Observation {
    pub(super) outcome: TargetOutcome,
    pub(super) began_at: Timestamp,
}

/// The answer of a breaker as far as this process knows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BreakerAnswer {
    Go,
    NotBefore(Timestamp),
    /// Unknown: the row must be read.
    ReadRow,
}

/// Applies an observation to a breaker.
pub(super) fn apply(breaker: &mut Breaker, observation: &Observation, policy: &Policy, now: Timestamp) {
    let began_at = observation.began_at;
    match observation.outcome {
        TargetOutcome::Answered => breaker.observe(Outcome::Answered, began_at, policy, now),
        TargetOutcome::Failed(_) => breaker.observe(Outcome::Failed, began_at, policy, now),
        TargetOutcome::Nothing => breaker.release(began_at, now),
    }
}

impl KnownTargets {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, targets: HashMap::new() }
    }

    fn target(&mut self, target: &str, now: Timestamp) -> &mut Target {
        if self.targets.len() >= REMEMBERED_MAX && !self.targets.contains_key(target) {
            self.targets.retain(|_, known| !known.unwritten.is_empty() || known.is_fresh(now, UNUSED_FOR));
            if self.targets.len() >= REMEMBERED_MAX {
                // A bound without bookkeeping: everything can be read from the rows again.
                self.targets.clear();
            }
        }
        self.targets.entry(target.to_owned()).or_default()
    }

    pub(super) fn decide(&mut self, target: &str, now: Timestamp) -> BreakerAnswer {
        let known = self.target(target, now);
        match (known.is_fresh(now, FRESH_FOR), known.breaker.decide(now)) {
            (true, Decision::Go) => BreakerAnswer::Go,
            (true, Decision::NotBefore(until)) => BreakerAnswer::NotBefore(until),
            (false, _) | (true, Decision::Probe) => BreakerAnswer::ReadRow,
        }
    }

    /// Records an outcome. Returns whether it is time to update the row.
    pub(super) fn observe(&mut self, target: &str, observation: Observation, now: Timestamp) -> bool {
        let policy = self.policy;
        let known = self.target(target, now);
        let before = known.breaker.state;
        if observation.outcome == TargetOutcome::Nothing && before == State::Closed {
            return false;
        }
        apply(&mut known.breaker, &observation, &policy, now);
        if known.unwritten.len() >= UNWRITTEN_MAX {
            known.unwritten.remove(0);
        }
        known.unwritten.push(observation);
        known.breaker.state != before || !known.is_fresh(now, FRESH_FOR)
    }

    pub(super) fn take_unwritten(&mut self, target: &str) -> Vec<Observation> {
        self.targets.get_mut(target).map(|known| std::mem::take(&mut known.unwritten)).unwrap_or_default()
    }

    /// Keeps observations that could not be written.
    pub(super) fn give_back(&mut self, target: &str, mut unwritten: Vec<Observation>) {
        let Some(known) = self.targets.get_mut(target) else { return };
        unwritten.append(&mut known.unwritten);
        let older = unwritten.len().saturating_sub(UNWRITTEN_MAX);
        known.unwritten = unwritten.split_off(older);
    }

    pub(super) fn learned(&mut self, target: &str, breaker: Breaker, now: Timestamp) {
        let policy = self.policy;
        let known = self.target(target, now);
        known.breaker = breaker;
        known.learned_at = Some(now);
        // What was observed here while the row was read.
        for observation in known.unwritten.iter().filter(|observation| observation.outcome != TargetOutcome::Nothing) {
            apply(&mut known.breaker, observation, &policy, now);
        }
    }

    pub(super) fn spread(&self, target: &str, until: Timestamp, chance: f64) -> Timestamp {
        self.targets.get(target).map_or(until, |known| known.breaker.spread(until, &self.policy, chance))
    }

    pub(super) fn narrow(&self, now: Timestamp) -> Vec<(String, u32)> {
        let room = |(target, known): (&String, &Target)| match known.breaker.state {
            State::Closed => None,
            State::Open { until } => Some((target.clone(), u32::from(until <= now))),
            // One call reads the row again, to learn the outcome of the probe.
            State::HalfOpen { .. } => Some((target.clone(), u32::from(!known.is_fresh(now, FRESH_FOR)))),
        };
        self.targets.iter().filter_map(room).collect()
    }

    pub(super) fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let opens = |known: &Target| match known.breaker.state {
            State::Closed => None,
            State::Open { until } => Some(until),
            State::HalfOpen { .. } => known.learned_at.and_then(|at| at.checked_add(FRESH_FOR).ok()),
        };
        self.targets.values().filter_map(opens).filter(|at| *at > now).min()
    }
}

impl Target {
    fn is_fresh(&self, now: Timestamp, time: SignedDuration) -> bool {
        self.learned_at.is_some_and(|at| now.duration_since(at) < time)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const POLICY: Policy = Policy { failures: 2, of: 4, open_for: Duration::from_secs(30) };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn failed() -> Observation {
        Observation { outcome: TargetOutcome::Failed("http.503".into()), began_at: at(0) }
    }

    fn answered() -> Observation {
        Observation { outcome: TargetOutcome::Answered, began_at: at(0) }
    }

    /// Knows the target `a`, whose breaker is closed.
    fn known() -> KnownTargets {
        let mut known = KnownTargets::new(POLICY);
        assert_eq!(known.decide("a", at(0)), BreakerAnswer::ReadRow);
        known.learned("a", Breaker::default(), at(0));
        known
    }

    #[test]
    fn a_row_is_read_once_a_second() {
        let mut known = known();
        assert_eq!(
            (known.decide("a", at(999)), known.decide("a", at(1_000))),
            (BreakerAnswer::Go, BreakerAnswer::ReadRow)
        );
        assert_eq!(known.decide("b", at(0)), BreakerAnswer::ReadRow);
    }

    #[test]
    fn an_opened_breaker_is_written_at_once_and_other_outcomes_once_a_second() {
        let mut known = known();
        assert!(!known.observe("a", answered(), at(10)));
        assert!(!known.observe("a", failed(), at(20)));
        assert!(known.observe("a", failed(), at(30)));
        assert_eq!(known.decide("a", at(40)), BreakerAnswer::NotBefore(at(30_030)));
        assert_eq!(known.take_unwritten("a").len(), 3);
        let mut quiet = self::known();
        assert!(!quiet.observe("a", answered(), at(999)) && quiet.observe("a", answered(), at(1_000)));
    }

    #[test]
    fn unwritten_observations_are_kept_in_order_up_to_a_bound() {
        let mut known = known();
        known.observe("a", failed(), at(1));
        let unwritten = known.take_unwritten("a");
        known.observe("a", answered(), at(2));
        known.give_back("a", unwritten);
        assert_eq!(known.take_unwritten("a"), [failed(), answered()]);
        known.give_back("a", vec![answered(); 1_000]);
        assert_eq!(known.take_unwritten("a").len(), UNWRITTEN_MAX);
    }

    #[test]
    fn an_open_breaker_allows_no_claims_and_one_when_a_probe_is_due() {
        let mut known = known();
        assert_eq!(known.narrow(at(0)), []);
        known.observe("a", failed(), at(0));
        known.observe("a", failed(), at(0));
        assert_eq!((known.narrow(at(1)), known.next_at(at(1))), (vec![("a".into(), 0)], Some(at(30_000))));
        assert_eq!(
            (known.narrow(at(30_000)), known.decide("a", at(30_000))),
            (vec![("a".into(), 1)], BreakerAnswer::ReadRow)
        );
        assert_eq!(known.take_unwritten("a").len(), 2);
        let probed = Breaker { state: State::HalfOpen { until: at(60_000) }, ..Breaker::default() };
        known.learned("a", probed, at(30_000));
        assert_eq!((known.narrow(at(30_500)), known.next_at(at(30_500))), (vec![("a".into(), 0)], Some(at(31_000))));
        // Another process probes: one call learns the outcome.
        assert_eq!(
            (known.narrow(at(31_000)), known.decide("a", at(31_000))),
            (vec![("a".into(), 1)], BreakerAnswer::ReadRow)
        );
    }

    #[test]
    fn attempts_that_began_before_the_probe_do_not_count_here_either() {
        let mut known = known();
        let mut half_open = Breaker { state: State::Open { until: at(30_000) }, opened: 1, ..Breaker::default() };
        assert!(half_open.probe(&POLICY, at(30_000)));
        known.learned("a", half_open, at(30_000));
        for late in [failed(), answered(), Observation { outcome: TargetOutcome::Nothing, began_at: at(0) }] {
            assert!(!known.observe("a", late, at(30_100)));
            assert_eq!(known.targets["a"].breaker, half_open);
        }
        // Nor after the row was read again.
        known.learned("a", half_open, at(30_200));
        assert_eq!(known.targets["a"].breaker, half_open);
        assert!(known.observe("a", Observation { began_at: at(30_050), ..answered() }, at(30_300)));
        assert_eq!(known.decide("a", at(30_400)), BreakerAnswer::Go);
    }

    #[test]
    fn the_number_of_known_targets_is_bounded() {
        let mut known = known();
        for number in 0..REMEMBERED_MAX + 10 {
            known.learned(&number.to_string(), Breaker::default(), at(0));
        }
        assert!(known.targets.len() <= REMEMBERED_MAX);
    }
}
