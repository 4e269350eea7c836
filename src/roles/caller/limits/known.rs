//! What one process knows of targets, and what it may conclude without asking. Pure: it is told the time.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{FRESH_FOR, Outcome, REMEMBERED_MAX, UNUSED_FOR};
use crate::limits::breaker::{Breaker, Policy, State, Verdict};

/// Outcomes kept while the database is away; older ones say nothing any more.
const UNSENT_MAX: usize = 64;
/// See the module.
pub(super) struct Known {
    policy: Policy,
    targets: HashMap<String, Target>,
}

#[derive(Default)]
struct Target {
    breaker: Breaker,
    /// When the breaker was learned.
    learned_at: Option<Timestamp>,
    unsent: Vec<Seen>,
}

/// How an attempt went that was let through at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) outcome: Outcome,
    pub(super) began_at: Timestamp,
}

/// What is known of a breaker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Go,
    NotBefore(Timestamp),
    /// Too little: the row has to be looked at.
    Look,
}

/// Takes in how an attempt went.
pub(super) fn take_in(breaker: &mut Breaker, Seen { outcome, began_at }: &Seen, policy: &Policy, now: Timestamp) {
    match outcome {
        Outcome::Answered => breaker.observe(false, *began_at, policy, now),
        Outcome::Failed(_) => breaker.observe(true, *began_at, policy, now),
        Outcome::Nothing => breaker.release(*began_at, now),
    }
}

impl Known {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, targets: HashMap::new() }
    }

    fn target(&mut self, target: &str, now: Timestamp) -> &mut Target {
        if self.targets.len() >= REMEMBERED_MAX && !self.targets.contains_key(target) {
            self.targets.retain(|_, known| !known.unsent.is_empty() || known.is_fresh(now, UNUSED_FOR));
            if self.targets.len() >= REMEMBERED_MAX {
                // Bounded without bookkeeping: the rows know.
                self.targets.clear();
            }
        }
        self.targets.entry(target.to_owned()).or_default()
    }

    pub(super) fn ask(&mut self, target: &str, now: Timestamp) -> Asked {
        let known = self.target(target, now);
        match (known.is_fresh(now, FRESH_FOR), known.breaker.ask(now)) {
            (true, Verdict::Go) => Asked::Go,
            (true, Verdict::NotBefore(until)) => Asked::NotBefore(until),
            (false, _) | (true, Verdict::Probe) => Asked::Look,
        }
    }

    /// Says whether it is time to tell others.
    pub(super) fn observe(&mut self, target: &str, seen: Seen, now: Timestamp) -> bool {
        let policy = self.policy;
        let known = self.target(target, now);
        let before = known.breaker.state;
        if seen.outcome == Outcome::Nothing && before == State::Closed {
            return false;
        }
        take_in(&mut known.breaker, &seen, &policy, now);
        if known.unsent.len() >= UNSENT_MAX {
            known.unsent.remove(0);
        }
        known.unsent.push(seen);
        known.breaker.state != before || !known.is_fresh(now, FRESH_FOR)
    }

    pub(super) fn take_unsent(&mut self, target: &str) -> Vec<Seen> {
        self.targets.get_mut(target).map(|known| std::mem::take(&mut known.unsent)).unwrap_or_default()
    }

    /// Could not be told.
    pub(super) fn give_back(&mut self, target: &str, mut unsent: Vec<Seen>) {
        let Some(known) = self.targets.get_mut(target) else { return };
        unsent.append(&mut known.unsent);
        let older = unsent.len().saturating_sub(UNSENT_MAX);
        known.unsent = unsent.split_off(older);
    }

    pub(super) fn learned(&mut self, target: &str, breaker: Breaker, now: Timestamp) {
        let policy = self.policy;
        let known = self.target(target, now);
        known.breaker = breaker;
        known.learned_at = Some(now);
        // What was observed here while the row was looked at.
        for seen in known.unsent.iter().filter(|seen| seen.outcome != Outcome::Nothing) {
            take_in(&mut known.breaker, seen, &policy, now);
        }
    }

    pub(super) fn spread(&self, target: &str, until: Timestamp, chance: f64) -> Timestamp {
        self.targets.get(target).map_or(until, |known| known.breaker.spread(until, &self.policy, chance))
    }

    pub(super) fn narrow(&self, now: Timestamp) -> Vec<(String, u32)> {
        let room = |(target, known): (&String, &Target)| match known.breaker.state {
            State::Closed => None,
            State::Open { until } => Some((target.clone(), u32::from(until <= now))),
            // One finds out whether whoever asks has had an answer.
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

    fn failed() -> Seen {
        Seen { outcome: Outcome::Failed("http.503".into()), began_at: at(0) }
    }

    fn answered() -> Seen {
        Seen { outcome: Outcome::Answered, began_at: at(0) }
    }

    /// Knows that a target is well.
    fn known() -> Known {
        let mut known = Known::new(POLICY);
        assert_eq!(known.ask("a", at(0)), Asked::Look);
        known.learned("a", Breaker::default(), at(0));
        known
    }

    #[test]
    fn for_a_second_nobody_is_asked() {
        let mut known = known();
        assert_eq!((known.ask("a", at(999)), known.ask("a", at(1_000))), (Asked::Go, Asked::Look));
        assert_eq!(known.ask("b", at(0)), Asked::Look);
    }

    #[test]
    fn what_opens_a_breaker_is_told_at_once_and_the_rest_once_a_second() {
        let mut known = known();
        assert!(!known.observe("a", answered(), at(10)));
        assert!(!known.observe("a", failed(), at(20)));
        assert!(known.observe("a", failed(), at(30)));
        assert_eq!(known.ask("a", at(40)), Asked::NotBefore(at(30_030)));
        assert_eq!(known.take_unsent("a").len(), 3);
        let mut quiet = self::known();
        assert!(!quiet.observe("a", answered(), at(999)) && quiet.observe("a", answered(), at(1_000)));
    }

    #[test]
    fn what_could_not_be_told_is_kept_within_bounds_and_in_order() {
        let mut known = known();
        known.observe("a", failed(), at(1));
        let unsent = known.take_unsent("a");
        known.observe("a", answered(), at(2));
        known.give_back("a", unsent);
        assert_eq!(known.take_unsent("a"), [failed(), answered()]);
        known.give_back("a", vec![answered(); 1_000]);
        assert_eq!(known.take_unsent("a").len(), UNSENT_MAX);
    }

    #[test]
    fn nothing_is_claimed_of_an_open_target_and_one_when_it_is_asked_again() {
        let mut known = known();
        assert_eq!(known.narrow(at(0)), []);
        known.observe("a", failed(), at(0));
        known.observe("a", failed(), at(0));
        assert_eq!((known.narrow(at(1)), known.next_at(at(1))), (vec![("a".into(), 0)], Some(at(30_000))));
        assert_eq!((known.narrow(at(30_000)), known.ask("a", at(30_000))), (vec![("a".into(), 1)], Asked::Look));
        assert_eq!(known.take_unsent("a").len(), 2);
        let asked = Breaker { state: State::HalfOpen { until: at(60_000) }, ..Breaker::default() };
        known.learned("a", asked, at(30_000));
        assert_eq!((known.narrow(at(30_500)), known.next_at(at(30_500))), (vec![("a".into(), 0)], Some(at(31_000))));
        // Somebody else asks: one finds out what came of it.
        assert_eq!((known.narrow(at(31_000)), known.ask("a", at(31_000))), (vec![("a".into(), 1)], Asked::Look));
    }

    #[test]
    fn what_was_sent_before_somebody_asks_decides_nothing_here_either() {
        let mut known = known();
        let mut half_open = Breaker { state: State::Open { until: at(30_000) }, opened: 1, ..Breaker::default() };
        assert!(half_open.probe(&POLICY, at(30_000)));
        known.learned("a", half_open, at(30_000));
        for late in [failed(), answered(), Seen { outcome: Outcome::Nothing, began_at: at(0) }] {
            assert!(!known.observe("a", late, at(30_100)));
            assert_eq!(known.targets["a"].breaker, half_open);
        }
        // Nor after others have said how it stands.
        known.learned("a", half_open, at(30_200));
        assert_eq!(known.targets["a"].breaker, half_open);
        assert!(known.observe("a", Seen { began_at: at(30_050), ..answered() }, at(30_300)));
        assert_eq!(known.ask("a", at(30_400)), Asked::Go);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut known = known();
        for number in 0..REMEMBERED_MAX + 10 {
            known.learned(&number.to_string(), Breaker::default(), at(0));
        }
        assert!(known.targets.len() <= REMEMBERED_MAX);
    }
}
