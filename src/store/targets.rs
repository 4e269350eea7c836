//! What all processes know together about the targets of calls: circuit breakers, and token buckets of rates.
//!
//! A change locks its row for one short transaction, normally at most once a second for each target and process.

mod buckets;
mod show;

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, RunQueryDsl};
use jiff::Timestamp;

use super::json::Document;
use super::locks::{lock_all, lock_number};
use super::moment::Moment;
use super::{Connection, Error};
use crate::limits::breaker::{Breaker, State};
use crate::limits::bulkhead;
use crate::limits::rate::Rate;

pub use buckets::Buckets;
pub use show::{Cursor, list};

/// Rows of targets that are unused for this long are deleted.
pub const UNUSED_FOR: Duration = Duration::from_secs(7 * 86_400);

/// The state of a target.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetState {
    /// The circuit breaker.
    pub breaker: Breaker,
    /// Code of the last failure.
    pub last_failure: Option<String>,
    /// Time of the last failure.
    pub failed_at: Option<Timestamp>,
    /// Attempts that may begin, by rate.
    pub buckets: Buckets,
    /// The newest rate limit.
    pub rate: Option<Rate>,
    /// The newest concurrency limit.
    pub concurrency: Option<u32>,
}

#[derive(QueryableByName)]
struct TargetRow {
    #[diesel(sql_type = Text)]
    breaker: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    until: Option<Moment>,
    #[diesel(sql_type = BigInt)]
    failed: i64,
    #[diesel(sql_type = Integer)]
    seen: i32,
    #[diesel(sql_type = Integer)]
    opened: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    asked_at: Option<Moment>,
    #[diesel(sql_type = Nullable<Text>)]
    last_failure: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    failed_at: Option<Moment>,
    #[diesel(sql_type = Jsonb)]
    buckets: Document,
    #[diesel(sql_type = Nullable<Integer>)]
    rate_count: Option<i32>,
    #[diesel(sql_type = Nullable<BigInt>)]
    rate_per_ms: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    concurrency: Option<i32>,
    #[diesel(sql_type = Timestamptz)]
    now: Moment,
}

impl TargetRow {
    fn standing(self) -> Result<TargetState, Error> {
        let until = self.until.map(Timestamp::from);
        let state = match (self.breaker.as_str(), until) {
            ("closed", _) => State::Closed,
            ("open", Some(until)) => State::Open { until },
            ("half_open", Some(until)) => State::HalfOpen { until },
            (other, _) => return Err(Error::Bug(format!("unknown state `{other}` of a breaker: use a newer binary"))),
        };
        let window = u64::from_ne_bytes(self.failed.to_ne_bytes());
        let rate = self
            .rate_count
            .zip(self.rate_per_ms)
            .map(|(count, per)| Rate { count: count.unsigned_abs(), per: Duration::from_millis(per.unsigned_abs()) });
        let breaker = Breaker {
            state,
            window,
            seen: self.seen.unsigned_abs(),
            opened: self.opened.unsigned_abs(),
            probed_at: self.asked_at.map(Timestamp::from),
        };
        Ok(TargetState {
            breaker,
            last_failure: self.last_failure,
            failed_at: self.failed_at.map(Timestamp::from),
            buckets: Buckets::read(&self.buckets)?,
            rate,
            concurrency: self.concurrency.map(i32::unsigned_abs),
        })
    }
}

/// Changes the state of a target, or of a key of it (empty: the target as a whole), in a transaction of its own; `act`
/// gets the database's time. Returns what `act` returns, the new state and that time.
pub async fn change<T: Send>(
    conn: &mut Connection,
    target: &str,
    key: &str,
    act: impl FnOnce(&mut TargetState, Timestamp) -> T + Send,
) -> Result<(T, TargetState, Timestamp), Error> {
    conn.transaction::<_, Error, _>(async |conn| {
        let row = lock(conn, target, key).await?;
        let now = row.now.0;
        let before = row.standing()?;
        let mut after = before.clone();
        let said = act(&mut after, now);
        if after != before {
            save(conn, target, key, &after).await?;
        }
        Ok((said, after, now))
    })
    .await
}

/// Inserts the row if it is missing; locks it in either case.
async fn lock(conn: &mut Connection, target: &str, key: &str) -> Result<TargetRow, Error> {
    let row = diesel::sql_query(
        "INSERT INTO leveret.targets AS t (target, key) VALUES ($1, $2)
         ON CONFLICT (target, key) DO UPDATE SET used_at = clock_timestamp()
         RETURNING t.breaker, t.until, t.failed, t.seen, t.opened, t.asked_at, t.last_failure, t.failed_at, t.buckets,
                   t.rate_count, t.rate_per_ms, t.concurrency, clock_timestamp() AS now",
    )
    .bind::<Text, _>(target)
    .bind::<Text, _>(key)
    .get_result(conn)
    .await?;
    Ok(row)
}

async fn save(conn: &mut Connection, target: &str, key: &str, standing: &TargetState) -> Result<(), Error> {
    let breaker = &standing.breaker;
    let until = match breaker.state {
        State::Closed => None,
        State::Open { until } | State::HalfOpen { until } => Some(Moment(until)),
    };
    let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let per_ms = |rate: Rate| i64::try_from(rate.per.as_millis()).unwrap_or(i64::MAX);
    let changed = diesel::sql_query(
        "UPDATE leveret.targets SET breaker = $3, until = $4, failed = $5, seen = $6, opened = $7, last_failure = $8,
         failed_at = $9, buckets = $10, rate_count = $11, rate_per_ms = $12, concurrency = $13, asked_at = $14
         WHERE target = $1 AND key = $2",
    )
    .bind::<Text, _>(target)
    .bind::<Text, _>(key)
    .bind::<Text, _>(breaker.state.name())
    .bind::<Nullable<Timestamptz>, _>(until)
    .bind::<BigInt, _>(i64::from_ne_bytes(breaker.window.to_ne_bytes()))
    .bind::<Integer, _>(whole(breaker.seen))
    .bind::<Integer, _>(whole(breaker.opened))
    .bind::<Nullable<Text>, _>(&standing.last_failure)
    .bind::<Nullable<Timestamptz>, _>(standing.failed_at.map(Moment))
    .bind::<Jsonb, _>(standing.buckets.write()?)
    .bind::<Nullable<Integer>, _>(standing.rate.map(|rate| whole(rate.count)))
    .bind::<Nullable<BigInt>, _>(standing.rate.map(per_ms))
    .bind::<Nullable<Integer>, _>(standing.concurrency.map(whole))
    .bind::<Nullable<Timestamptz>, _>(breaker.probed_at.map(Moment))
    .execute(conn)
    .await?;
    if changed == 1 { Ok(()) } else { Err(Error::Bug("the row of a target disappeared while it was locked".into())) }
}

/// Whether another attempt may begin beside those under way, for a target or a key of it; the limit is stored for
/// display. The caller begins the attempt in the same transaction: until that ends all other callers wait.
///
/// # Errors
/// `Busy` if the lock timeout expires.
pub async fn has_room(conn: &mut Connection, target: &str, key: Option<&str>, limit: u32) -> Result<bool, Error> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        running: i64,
    }
    let length = target.len().to_be_bytes();
    let number = lock_number(&[b"target", &length, target.as_bytes(), key.unwrap_or_default().as_bytes()]);
    lock_all(conn, vec![number]).await?;
    // A later statement than the lock, so that it sees attempts that the previous holder of the lock has begun. A limit
    // that is stored already is not written again for every attempt.
    let count: Count = diesel::sql_query(
        "WITH said AS (INSERT INTO leveret.targets (target, key, concurrency) SELECT $1, coalesce($2, ''), $4
            WHERE NOT EXISTS (SELECT FROM leveret.targets AS t WHERE t.target = $1 AND t.key = coalesce($2, '')
                               AND t.concurrency = $4 AND t.used_at > clock_timestamp() - interval '1 minute')
           ON CONFLICT (target, key) DO UPDATE SET concurrency = $4, used_at = clock_timestamp())
         SELECT count(*) AS running FROM (SELECT FROM leveret.calls AS c
          WHERE c.target = $1 AND c.state IN ('running', 'waiting') AND ($2::text IS NULL OR c.limits->>'key' = $2)
          LIMIT $3) AS under_way",
    )
    .bind::<Text, _>(target)
    .bind::<Nullable<Text>, _>(key)
    .bind::<BigInt, _>(i64::from(limit))
    .bind::<Integer, _>(i32::try_from(limit).unwrap_or(i32::MAX))
    .get_result(conn)
    .await?;
    Ok(bulkhead::has_room(limit, count.running.unsigned_abs()))
}

/// Deletes rows of targets that were not used for a long time, except if a breaker stays open for longer; returns how
/// many.
pub async fn delete_unused_before(conn: &mut Connection, before: Timestamp, limit: i64) -> Result<usize, Error> {
    let deleted = diesel::sql_query(
        "DELETE FROM leveret.targets WHERE (target, key) IN (SELECT target, key FROM leveret.targets
          WHERE used_at < $1 AND (until IS NULL OR until < $1) LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Timestamptz, _>(Moment(before))
    .bind::<BigInt, _>(limit)
    .execute(conn)
    .await?;
    Ok(deleted)
}
