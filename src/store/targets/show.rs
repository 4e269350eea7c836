//! Targets in the form of the API: their state, and how many calls wait for them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use super::super::moment::Moment;
use super::super::{Connection, Error};
use crate::contract::api::{Page, RateView, TargetView};
use crate::time::duration;

/// Maximum number of calls that are counted for one target.
const COUNT_MAX: i64 = 10_000;

/// The position of a row in the list: where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    target: String,
    key: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}{}", self.target.len(), self.target, self.key)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (length, rest) = text.split_once('.')?;
            let length: usize = length.parse().ok()?;
            Some(Self { target: rest.get(..length)?.to_owned(), key: rest.get(length..)?.to_owned() })
        };
        read().ok_or("invalid cursor: use the `next` of the previous page")
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    target: String,
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Text)]
    breaker: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    until: Option<Moment>,
    #[diesel(sql_type = Integer)]
    opened: i32,
    #[diesel(sql_type = Nullable<Text>)]
    last_failure: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    failed_at: Option<Moment>,
    #[diesel(sql_type = Nullable<Integer>)]
    rate_count: Option<i32>,
    #[diesel(sql_type = Nullable<BigInt>)]
    rate_per_ms: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    concurrency: Option<i32>,
    #[diesel(sql_type = BigInt)]
    waiting: i64,
    #[diesel(sql_type = BigInt)]
    running: i64,
}

/// Targets by name, each followed by its keys; also targets without a row for which calls are pending.
pub async fn list(conn: &mut Connection, after: Option<&Cursor>, limit: i64) -> Result<Page<TargetView>, Error> {
    // From target to target through the index of pending calls, however many there are.
    let rows: Vec<Row> = diesel::sql_query(
        "WITH RECURSIVE pending AS (
           (SELECT c.target FROM leveret.calls AS c WHERE c.state = 'pending' AND c.target >= $1 ORDER BY c.target LIMIT 1)
           UNION ALL
           SELECT (SELECT c.target FROM leveret.calls AS c WHERE c.state = 'pending' AND c.target > p.target
                    ORDER BY c.target LIMIT 1) FROM pending AS p WHERE p.target IS NOT NULL),
         named AS (
           (SELECT p.target, '' AS key FROM pending AS p WHERE p.target IS NOT NULL AND (p.target, '') > ($1, $2) LIMIT $3)
           UNION
           (SELECT t.target, t.key FROM leveret.targets AS t WHERE (t.target, t.key) > ($1, $2)
             ORDER BY t.target, t.key LIMIT $3))
         SELECT n.target, n.key, coalesce(t.breaker, 'closed') AS breaker, t.until, coalesce(t.opened, 0) AS opened,
                t.last_failure, t.failed_at, t.rate_count, t.rate_per_ms, t.concurrency,
                (SELECT count(*) FROM (SELECT FROM leveret.calls AS c WHERE c.state = 'pending' AND c.target = n.target
                   AND (n.key = '' OR c.limits->>'key' = n.key) LIMIT $4) AS w) AS waiting,
                (SELECT count(*) FROM (SELECT FROM leveret.calls AS c WHERE c.state IN ('running', 'waiting')
                   AND c.target = n.target AND (n.key = '' OR c.limits->>'key' = n.key) LIMIT $4) AS r) AS running
           FROM named AS n LEFT JOIN leveret.targets AS t ON t.target = n.target AND t.key = n.key
          ORDER BY n.target, n.key LIMIT $3",
    )
    .bind::<Text, _>(after.map_or("", |after| after.target.as_str()))
    .bind::<Text, _>(after.map_or("", |after| after.key.as_str()))
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(COUNT_MAX)
    .get_results(conn)
    .await?;
    let cursor = |row: &Row| Cursor { target: row.target.clone(), key: row.key.clone() }.to_string();
    Ok(Page::of(rows, limit, cursor, view))
}

fn view(row: Row) -> TargetView {
    let rate = row.rate_count.zip(row.rate_per_ms).map(|(count, per)| RateView {
        count: count.unsigned_abs(),
        per: duration::format(Duration::from_millis(per.unsigned_abs())),
    });
    TargetView {
        target: row.target,
        key: Some(row.key).filter(|key| !key.is_empty()),
        breaker: row.breaker,
        until: row.until.map(Timestamp::from),
        opened: row.opened.unsigned_abs(),
        last_failure: row.last_failure,
        failed_at: row.failed_at.map(Timestamp::from),
        rate,
        concurrency: row.concurrency.map(i32::unsigned_abs),
        waiting: row.waiting.unsigned_abs(),
        running: row.running.unsigned_abs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_an_invalid_one_is_refused() {
        for (target, key) in [("https://a.test:443", ""), ("work:päck", "7.x"), ("", "")] {
            let cursor = Cursor { target: target.into(), key: key.into() };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in ["", "x", "5.abc", "-1.abc", "1.ä"] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }
}
