//! Rates of this process: requests of a caller, and failed logins of an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::limits::rate::{Bucket, Rate};

/// Callers and addresses that are remembered at once; a full table forgets those that have not been heard of for a while.
const REMEMBERED_MAX: usize = 10_000;
/// Failed logins of one address in the time after the first of them.
const FAILURES_MAX: u32 = 10;
/// That time.
const FAILURES_IN: Duration = Duration::from_secs(60);

/// `limits.requests_per_caller`.
pub(super) struct Rates {
    rate: Option<Rate>,
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl Rates {
    /// This number of requests per second; 0 for no limit.
    pub(super) fn new(per_second: u32) -> Self {
        let rate = (per_second > 0).then_some(Rate { count: per_second, per: Duration::from_secs(1) });
        Self { rate, buckets: Mutex::default() }
    }

    /// Counts a request; how long the caller has to wait, if it was one too many.
    pub(super) fn wait(&self, caller: &str, now: Timestamp) -> Option<Duration> {
        let rate = self.rate.as_ref()?;
        let mut buckets = self.buckets.lock().ok()?;
        if buckets.len() >= REMEMBERED_MAX && !buckets.contains_key(caller) {
            // After a second without requests a bucket is full, as a new one is.
            let second = Duration::from_secs(1);
            buckets.retain(|_, bucket| bucket.filled_at.checked_add(second).is_ok_and(|full_at| full_at > now));
            if buckets.len() >= REMEMBERED_MAX {
                return Some(second);
            }
        }
        let bucket = buckets.entry(caller.to_owned()).or_insert_with(|| Bucket::full(rate, now));
        if bucket.take(rate, 1, now) == 1 {
            return None;
        }
        Some(Duration::try_from(bucket.next_at(rate).duration_since(now)).unwrap_or_default())
    }
}

/// Failed logins by address.
#[derive(Default)]
pub(super) struct Logins(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Clone, Copy)]
struct Failures {
    began: Instant,
    count: u32,
}

impl Logins {
    /// How long an address has to wait before it may try again; none if it may.
    pub(super) fn wait(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.0.lock().ok()?.get(&from).copied()?;
        let left = FAILURES_IN.checked_sub(now - failures.began).filter(|left| !left.is_zero())?;
        (failures.count >= FAILURES_MAX).then_some(left)
    }

    /// Counts a failure.
    pub(super) fn failed(&self, from: IpAddr, now: Instant) {
        let Ok(mut known) = self.0.lock() else { return };
        if known.len() >= REMEMBERED_MAX && !known.contains_key(&from) {
            known.retain(|_, failures| now - failures.began < FAILURES_IN);
            if known.len() >= REMEMBERED_MAX {
                known.clear();
            }
        }
        let new = Failures { began: now, count: 0 };
        let failures = known.entry(from).or_insert(new);
        if now - failures.began >= FAILURES_IN {
            *failures = new;
        }
        failures.count = failures.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn a_caller_beyond_its_rate_waits_and_others_do_not() {
        let rates = Rates::new(2);
        assert_eq!([rates.wait("a", at(0)), rates.wait("a", at(0)), rates.wait("b", at(0))], [None; 3]);
        let wait = rates.wait("a", at(0)).expect("the third of a second");
        assert!(wait > Duration::from_millis(400) && wait <= Duration::from_millis(501), "{wait:?}");
        assert_eq!(rates.wait("a", at(501)), None);
        let unlimited = Rates::new(0);
        assert!((0..1_000).all(|_| unlimited.wait("a", at(0)).is_none()));
    }

    #[test]
    fn a_full_table_forgets_who_is_silent() {
        let rates = Rates::new(1);
        for caller in 0..REMEMBERED_MAX {
            assert_eq!(rates.wait(&caller.to_string(), at(0)), None);
        }
        assert!(rates.wait("one more", at(0)).is_some());
        assert_eq!(rates.wait("one more", at(1_001)), None);
    }

    #[test]
    fn an_address_waits_after_ten_failures_and_others_do_not() {
        let (logins, one, other) = (Logins::default(), IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let now = Instant::now();
        for _ in 0..FAILURES_MAX {
            assert_eq!(logins.wait(one, now), None);
            logins.failed(one, now);
        }
        assert_eq!((logins.wait(one, now), logins.wait(other, now)), (Some(FAILURES_IN), None));
        let later = now + FAILURES_IN;
        assert_eq!(logins.wait(one, later), None);
        logins.failed(one, later);
        assert_eq!(logins.wait(one, later), None, "a new minute");
    }
}
