//! A token bucket: a number of tokens per time, spread evenly, with no burst larger than the tokens of one second.
//!
//! Written by hand, because its state is a row that all processes share; the crates keep it in the memory of one.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A number of tokens per time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// The number of tokens; zero counts as one.
    pub count: u32,
    /// The time in which they fall due; zero counts as a microsecond.
    pub per: Duration,
}

impl Rate {
    /// Tokens per second.
    pub fn per_second(&self) -> f64 {
        f64::from(self.count.max(1)) / self.per.as_secs_f64().max(1e-6)
    }

    /// The capacity of a bucket: the tokens of one second, and at least one. More would be a burst.
    pub fn at_once_max(&self) -> f64 {
        self.per_second().clamp(1.0, f64::from(self.count.max(1)))
    }

    /// The time between two tokens.
    pub fn pace(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second())
    }
}

/// The available tokens. All processes take them from the same bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Available tokens at `filled_at`; only whole ones can be taken.
    pub tokens: f64,
    /// When `tokens` was computed.
    pub filled_at: Timestamp,
}

impl Bucket {
    /// A full bucket.
    pub fn full(rate: &Rate, now: Timestamp) -> Self {
        Self { tokens: rate.at_once_max(), filled_at: now }
    }

    /// Takes up to `wanted` tokens; returns how many.
    pub fn take(&mut self, rate: &Rate, wanted: u32, now: Timestamp) -> u32 {
        self.fill(rate, now);
        let taken = wanted.min(self.tokens.max(0.0).floor() as u32);
        self.tokens -= f64::from(taken);
        taken
    }

    /// When the next whole token is available, if none is taken before.
    pub fn next_at(&self, rate: &Rate) -> Timestamp {
        let missing = (1.0 - self.tokens).max(0.0);
        let wait = Duration::try_from_secs_f64(missing / rate.per_second()).unwrap_or(Duration::MAX);
        // Rounded up, so that a token is available at that moment.
        let wait = SignedDuration::from_micros(i64::try_from(wait.as_micros().saturating_add(1)).unwrap_or(i64::MAX));
        if missing == 0.0 { self.filled_at } else { self.filled_at.checked_add(wait).unwrap_or(Timestamp::MAX) }
    }

    fn fill(&mut self, rate: &Rate, now: Timestamp) {
        // A clock that was set back neither adds tokens nor removes any.
        let passed = now.duration_since(self.filled_at).as_secs_f64().max(0.0);
        self.tokens = (self.tokens + passed * rate.per_second()).min(rate.at_once_max());
        self.filled_at = self.filled_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEN: Rate = Rate { count: 10, per: Duration::from_secs(1) };
    const SIX_A_MINUTE: Rate = Rate { count: 6, per: Duration::from_secs(60) };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn tokens_fall_due_evenly() {
        let mut bucket = Bucket::full(&TEN, at(0));
        assert_eq!((bucket.take(&TEN, 100, at(0)), bucket.take(&TEN, 1, at(99))), (10, 0));
        assert_eq!((bucket.take(&TEN, 5, at(300)), bucket.take(&TEN, 100, at(60_000))), (3, 10));
    }

    #[test]
    fn a_slow_rate_has_no_bursts() {
        let mut bucket = Bucket::full(&SIX_A_MINUTE, at(0));
        assert_eq!((bucket.take(&SIX_A_MINUTE, 6, at(0)), bucket.take(&SIX_A_MINUTE, 6, at(600_000))), (1, 1));
        assert!(bucket.next_at(&SIX_A_MINUTE).duration_since(at(610_000)).as_millis() <= 1);
    }

    #[test]
    fn a_clock_that_was_set_back_adds_no_tokens() {
        let mut bucket = Bucket::full(&TEN, at(10_000));
        assert_eq!(bucket.take(&TEN, 10, at(10_000)), 10);
        assert_eq!((bucket.take(&TEN, 10, at(0)), bucket.take(&TEN, 10, at(10_100))), (0, 1));
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_the_tokens_of_one_second(count in 1u32..50, per in 1u64..120, asks in proptest::collection::vec((0i64..3_000, 0u32..100), 1..100)) {
            let rate = Rate { count, per: Duration::from_secs(per) };
            let mut bucket = Bucket::full(&rate, at(0));
            let (mut now, mut taken) = (0, 0);
            for (later, wanted) in asks {
                now += later;
                taken += bucket.take(&rate, wanted, at(now));
                let allowed = rate.at_once_max() + now as f64 / 1_000.0 * rate.per_second();
                prop_assert!(f64::from(taken) <= allowed + 1e-6, "{taken} of {allowed}");
            }
        }

        #[test]
        fn a_token_is_available_at_the_promised_moment(count in 1u32..1_000, per in 1u64..4_000, wanted in 0u32..1_000, later in 0i64..10_000) {
            let rate = Rate { count, per: Duration::from_secs(per) };
            let mut bucket = Bucket::full(&rate, at(0));
            bucket.take(&rate, wanted, at(later));
            let next = bucket.next_at(&rate);
            prop_assert_eq!(bucket.take(&rate, 1, next), 1);
        }
    }
}
