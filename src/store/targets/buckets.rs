//! Token buckets of a target, or of a key of it: one for each rate. Activities with different rates neither wait for
//! each other's tokens nor take them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::Error;
use super::super::json::Document;
use crate::limits::rate::{Bucket, Rate};

/// Maximum number of rates of one key; others are of definitions that are no longer used.
const RATES_MAX: usize = 8;

/// Token buckets by rate.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Buckets(Vec<(Rate, Bucket)>);

/// A bucket as it is stored.
#[derive(Serialize, Deserialize)]
struct Written {
    count: u32,
    per_ms: u64,
    tokens: f64,
    /// In microseconds.
    filled_at: i64,
}

impl Buckets {
    /// The bucket of a rate; a full one if there is none yet.
    pub fn of(&mut self, rate: &Rate, now: Timestamp) -> &mut Bucket {
        let known = self.0.iter().position(|(known, _)| known == rate);
        let at = known.unwrap_or_else(|| {
            if self.0.len() >= RATES_MAX {
                let unused = (0..self.0.len()).min_by_key(|at| self.0[*at].1.filled_at).unwrap_or_default();
                self.0.remove(unused);
            }
            self.0.push((*rate, Bucket::full(rate, now)));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    pub(super) fn read(value: &Document) -> Result<Self, Error> {
        let written: Vec<Written> =
            value.read().ok_or_else(|| Error::Bug("the token buckets of a target cannot be read".into()))?;
        let bucket = |Written { count, per_ms, tokens, filled_at }| {
            let filled_at = Timestamp::from_microsecond(filled_at).unwrap_or(Timestamp::UNIX_EPOCH);
            (Rate { count, per: Duration::from_millis(per_ms) }, Bucket { tokens, filled_at })
        };
        Ok(Self(written.into_iter().map(bucket).collect()))
    }

    pub(super) fn write(&self) -> Result<Document, Error> {
        let written = |(Rate { count, per }, Bucket { tokens, filled_at }): &(Rate, Bucket)| Written {
            count: *count,
            per_ms: u64::try_from(per.as_millis()).unwrap_or(u64::MAX),
            tokens: *tokens,
            filled_at: filled_at.as_microsecond(),
        };
        let written: Vec<Written> = self.0.iter().map(written).collect();
        Document::of(&written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURLY: Rate = Rate { count: 1, per: Duration::from_secs(3_600) };
    const QUICK: Rate = Rate { count: 100, per: Duration::from_secs(1) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn one_rate_neither_fills_nor_empties_the_bucket_of_another() {
        let mut buckets = Buckets::default();
        assert_eq!(buckets.of(&HOURLY, at(0)).take(&HOURLY, 5, at(0)), 1);
        for second in 1..3_600 {
            assert_eq!(buckets.of(&QUICK, at(second)).take(&QUICK, 200, at(second)), 100);
            assert_eq!(buckets.of(&HOURLY, at(second)).take(&HOURLY, 1, at(second)), 0);
        }
        assert_eq!(buckets.of(&HOURLY, at(3_601)).take(&HOURLY, 5, at(3_601)), 1);
    }

    #[test]
    fn buckets_read_back_and_are_bounded() {
        let mut buckets = Buckets::default();
        for count in 1..50 {
            let rate = Rate { count, ..HOURLY };
            buckets.of(&rate, at(i64::from(count))).take(&rate, 1, at(i64::from(count)));
        }
        assert_eq!((buckets.0.len(), buckets.0[0].0.count), (RATES_MAX, 42));
        assert_eq!(Buckets::read(&buckets.write().unwrap()).unwrap(), buckets);
        assert!(Buckets::read(&Document(serde_json::json!([{ "count": 1 }]))).is_err());
    }
}
