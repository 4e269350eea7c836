//! What one process knows of targets, and what it may conclude without asking. Pure: it is told the time.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Outcome, later};
use crate::resilience::breaker::{Breaker, Policy, State, Verdict};
use crate::resilience::rate::Rate;

/// What was learned counts for this long; also how often one process leases tokens of one rate.
const FRESH_FOR: SignedDuration = SignedDuration::from_secs(1);
/// Nobody is put off for longer because of a rate: limits change.
const QUEUE_MAX: Duration = Duration::from_secs(300);
/// Outcomes kept while the database is away; older ones say nothing any more.
const UNSENT_MAX: usize = 64;
/// Targets, and rates, remembered; those that were not used lately are forgotten first.
const REMEMBERED_MAX: usize = 10_000;
/// Lately.
const UNUSED_FOR: SignedDuration = SignedDuration::from_secs(60);

/// See the module.
pub(super) struct Known {
    policy: Policy,
    targets: HashMap<String, Target>,
    leases: HashMap<(String, String), Lease>,
}

#[derive(Default)]
struct Target {
    breaker: Breaker,
    /// When the breaker was learned.
    learned_at: Option<Timestamp>,
    unsent: Vec<Outcome>,
    /// There was no room lately; not looked for before.
    full_until: Option<Timestamp>,
}

struct Lease {
    tokens: u32,
    leased_at: Timestamp,
    /// Attempts that have asked since.
    demand: u32,
    /// Nothing is leased before.
    next_at: Timestamp,
    /// When the next of those who are put off comes back.
    queue_at: Timestamp,
}

/// What is known of a breaker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Go,
    NotBefore(Timestamp),
    /// Too little: the row has to be looked at.
    Look,
}

/// What is known of tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Taken,
    NotBefore(Timestamp),
    /// So many are to be leased.
    Lease(u32),
}

impl Known {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, targets: HashMap::new(), leases: HashMap::new() }
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
    pub(super) fn observe(&mut self, target: &str, outcome: Outcome, now: Timestamp) -> bool {
        let policy = self.policy;
        let known = self.target(target, now);
        known.full_until = None;
        let before = known.breaker.state;
        match &outcome {
            Outcome::Answered => known.breaker.observe(false, &policy, now),
            Outcome::Failed(_) => known.breaker.observe(true, &policy, now),
            Outcome::Nothing if before == State::Closed => return false,
            Outcome::Nothing => known.breaker.release(now),
        }
        if known.unsent.len() >= UNSENT_MAX {
            known.unsent.remove(0);
        }
        known.unsent.push(outcome);
        known.breaker.state != before || !known.is_fresh(now, FRESH_FOR)
    }

    pub(super) fn take_unsent(&mut self, target: &str) -> Vec<Outcome> {
        self.targets.get_mut(target).map(|known| std::mem::take(&mut known.unsent)).unwrap_or_default()
    }

    /// Could not be told.
    pub(super) fn give_back(&mut self, target: &str, mut unsent: Vec<Outcome>) {
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
        for outcome in &known.unsent {
            match outcome {
                Outcome::Answered => known.breaker.observe(false, &policy, now),
                Outcome::Failed(_) => known.breaker.observe(true, &policy, now),
                Outcome::Nothing => {}
            }
        }
    }

    pub(super) fn spread(&self, target: &str, until: Timestamp, chance: f64) -> Timestamp {
        self.targets.get(target).map_or(until, |known| known.breaker.spread(until, &self.policy, chance))
    }

    pub(super) fn token(&mut self, target: &str, key: &str, rate: &Rate, now: Timestamp) -> Token {
        let wanted = rate.at_once_max().ceil() as u32;
        let Some(lease) = self.leases.get_mut(&(target.to_owned(), key.to_owned())) else { return Token::Lease(1) };
        lease.demand = lease.demand.saturating_add(1);
        if lease.tokens > 0 && now.duration_since(lease.leased_at) < FRESH_FOR {
            lease.tokens -= 1;
            return Token::Taken;
        }
        if now >= lease.next_at {
            return Token::Lease(lease.demand.clamp(1, wanted));
        }
        let at = lease.queue_at.max(lease.next_at);
        lease.queue_at = later(at, rate.pace()).min(later(now, QUEUE_MAX));
        Token::NotBefore(at)
    }

    /// `next_at`: when there is a token again, if nobody takes it.
    pub(super) fn leased(&mut self, target: &str, key: &str, taken: u32, next_at: Timestamp, now: Timestamp) {
        if self.leases.len() >= REMEMBERED_MAX {
            self.leases.retain(|_, lease| now.duration_since(lease.leased_at) < UNUSED_FOR);
            if self.leases.len() >= REMEMBERED_MAX {
                self.leases.clear();
            }
        }
        let soon = now.checked_add(FRESH_FOR).unwrap_or(now);
        let lease = self.leases.entry((target.to_owned(), key.to_owned())).or_insert(Lease {
            tokens: 0,
            leased_at: now,
            demand: 0,
            next_at: now,
            queue_at: now,
        });
        lease.tokens = taken;
        lease.leased_at = now;
        // The one that made it look asks again.
        lease.demand = 0;
        lease.next_at = next_at.max(soon);
        lease.queue_at = lease.queue_at.max(lease.next_at);
    }

    /// An attempt that was let through found no room.
    pub(super) fn refused(&mut self, target: &str, key: Option<&str>, now: Timestamp) {
        if let Some(lease) = self.leases.get_mut(&(target.to_owned(), key.unwrap_or_default().to_owned())) {
            lease.tokens = lease.tokens.saturating_add(1);
        }
        if key.is_none() {
            self.target(target, now).full_until = now.checked_add(FRESH_FOR).ok();
        }
    }

    /// An attempt has ended: there may be room.
    pub(super) fn left(&mut self, target: &str) {
        if let Some(known) = self.targets.get_mut(target) {
            known.full_until = None;
        }
    }

    pub(super) fn narrow(&self, now: Timestamp) -> Vec<(String, u32)> {
        let mut narrow: HashMap<&String, u32> = HashMap::new();
        let mut at_most = |target, room: u32| {
            let known = narrow.entry(target).or_insert(room);
            *known = room.min(*known);
        };
        for (target, known) in &self.targets {
            match known.breaker.state {
                State::Closed => {}
                State::Open { until } => at_most(target, u32::from(until <= now)),
                // One finds out whether whoever asks has had an answer.
                State::HalfOpen { .. } => at_most(target, u32::from(!known.is_fresh(now, FRESH_FOR))),
            }
            if known.full_until.is_some_and(|until| until > now) {
                at_most(target, 0);
            }
        }
        for ((target, key), lease) in self.leases.iter().filter(|((_, key), _)| key.is_empty()) {
            let fresh = now.duration_since(lease.leased_at) < FRESH_FOR;
            if key.is_empty() && now < lease.next_at {
                at_most(target, if fresh { lease.tokens } else { 0 });
            }
        }
        narrow.into_iter().map(|(target, room)| (target.clone(), room)).collect()
    }

    pub(super) fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let breakers = self.targets.values().filter_map(|known| match known.breaker.state {
            State::Closed => known.full_until,
            State::Open { until } => Some(until),
            State::HalfOpen { .. } => known.learned_at.and_then(|at| at.checked_add(FRESH_FOR).ok()),
        });
        let tokens = self.leases.iter().filter(|((_, key), _)| key.is_empty()).map(|(_, lease)| lease.next_at);
        breakers.chain(tokens).filter(|at| *at > now).min()
    }
}

impl Target {
    fn is_fresh(&self, now: Timestamp, time: SignedDuration) -> bool {
        self.learned_at.is_some_and(|at| now.duration_since(at) < time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { failures: 2, of: 4, open_for: Duration::from_secs(30) };
    const TEN: Rate = Rate { count: 10, per: Duration::from_secs(1) };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn failed() -> Outcome {
        Outcome::Failed("http.503".into())
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
        assert!(!known.observe("a", Outcome::Answered, at(10)));
        assert!(!known.observe("a", failed(), at(20)));
        assert!(known.observe("a", failed(), at(30)));
        assert_eq!(known.ask("a", at(40)), Asked::NotBefore(at(30_030)));
        assert_eq!(known.take_unsent("a").len(), 3);
        let mut quiet = self::known();
        assert!(!quiet.observe("a", Outcome::Answered, at(999)) && quiet.observe("a", Outcome::Answered, at(1_000)));
    }

    #[test]
    fn what_could_not_be_told_is_kept_within_bounds_and_in_order() {
        let mut known = known();
        known.observe("a", failed(), at(1));
        let unsent = known.take_unsent("a");
        known.observe("a", Outcome::Answered, at(2));
        known.give_back("a", unsent);
        assert_eq!(known.take_unsent("a"), [failed(), Outcome::Answered]);
        known.give_back("a", vec![Outcome::Answered; 1_000]);
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
    fn tokens_are_leased_once_a_second_and_those_without_come_back_one_by_one() {
        let mut known = known();
        assert_eq!(known.token("a", "", &TEN, at(0)), Token::Lease(1));
        known.leased("a", "", 2, at(100), at(0));
        assert_eq!(known.narrow(at(0)), [("a".into(), 2)]);
        let asked: Vec<Token> = (0..5).map(|_| known.token("a", "", &TEN, at(10))).collect();
        let later = |millis| Token::NotBefore(at(millis));
        assert_eq!(asked, [Token::Taken, Token::Taken, later(1_000), later(1_100), later(1_200)]);
        assert_eq!((known.narrow(at(500)), known.next_at(at(500))), (vec![("a".into(), 0)], Some(at(1_000))));
        assert_eq!(known.token("a", "", &TEN, at(1_000)), Token::Lease(6));
        assert_eq!(known.narrow(at(1_000)), []);
    }

    #[test]
    fn a_lease_that_was_not_used_is_gone() {
        let mut known = known();
        known.leased("a", "", 5, at(0), at(0));
        assert_eq!(known.token("a", "", &TEN, at(1_500)), Token::Lease(1));
    }

    #[test]
    fn who_finds_no_room_gives_its_token_back() {
        let mut known = known();
        known.leased("a", "", 1, at(0), at(0));
        assert_eq!(known.token("a", "", &TEN, at(1)), Token::Taken);
        known.refused("a", None, at(2));
        assert_eq!(known.narrow(at(3)), [("a".into(), 0)]);
        known.left("a");
        assert_eq!((known.narrow(at(3)), known.token("a", "", &TEN, at(3))), (vec![("a".into(), 1)], Token::Taken));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut known = known();
        for number in 0..REMEMBERED_MAX + 10 {
            known.learned(&number.to_string(), Breaker::default(), at(0));
            known.leased(&number.to_string(), "", 0, at(0), at(0));
        }
        assert!(known.targets.len() <= REMEMBERED_MAX && known.leases.len() <= REMEMBERED_MAX);
    }
}
