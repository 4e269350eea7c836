//! How often branches went from one activity to another, and how long that took: of the newest instances of a version.

use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use diesel_async::RunQueryDsl;

use super::super::sql::Sql;
use super::super::{Connection, Error};

/// The newest instances of a definition that are looked at, of whatever version.
const NEWEST_MAX: i64 = 5_000;

/// One way, with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// The activity that was ended before; none at the start.
    pub from: Option<String>,
    /// Whether an error of it was handled.
    pub by_error: bool,
    /// The activity that was ended next; none at the end.
    pub to: Option<String>,
    /// How often.
    pub count: i64,
    /// From the end of the one to the end of the other, on average, in milliseconds.
    pub millis: i64,
}

/// The ways of the newest instances of a version, at most `limit` of them.
///
/// # Errors
/// As for any query.
pub async fn traffic(conn: &mut Connection, definition: &str, version: i32, limit: i64) -> Result<Vec<Traffic>, Error> {
    let rows: Vec<Row> = Ways::bind((definition, version, limit, NEWEST_MAX)).load(conn).await?;
    let way = |(from, by_error, to, count, millis): Row| Traffic { from, by_error, to, count, millis };
    Ok(rows.into_iter().map(way).collect())
}

/// From, by an error, to, count, milliseconds.
type Row = (Option<String>, bool, Option<String>, i64, i64);

struct Ways;

impl Sql for Ways {
    type Binds = (Text, Integer, BigInt, BigInt);
    type Row = (Nullable<Text>, Bool, Nullable<Text>, BigInt, BigInt);
    // The entries of a jump are read, too: what comes after one was not reached along a way.
    const TEXT: &'static str = "
        WITH newest AS (
            SELECT id, version FROM leveret.instances WHERE definition = $1 ORDER BY id DESC LIMIT $4
        ), chosen AS (
            SELECT id FROM newest WHERE version = $2 ORDER BY id DESC LIMIT $3
        ), ended AS (
            SELECT h.kind, h.activity, h.at, lag(h.kind) OVER w AS before_kind, lag(h.activity) OVER w AS before, lag(h.at) OVER w AS before_at
              FROM chosen AS c JOIN leveret.history AS h ON h.instance_id = c.id
             WHERE h.kind IN ('InstanceStarted', 'ActivityCompleted', 'ActivitySkipped', 'ErrorCaught', 'InstanceCompleted',
                              'BranchJumped', 'BranchRerun')
            WINDOW w AS (PARTITION BY h.instance_id ORDER BY h.number)
        )
        SELECT CASE WHEN before_kind <> 'InstanceStarted' THEN before END, before_kind = 'ErrorCaught',
               CASE WHEN kind <> 'InstanceCompleted' THEN activity END, count(*),
               coalesce(avg(extract(epoch FROM at - before_at)) * 1000, 0)::bigint
          FROM ended
         WHERE before_kind IS NOT NULL AND before_kind NOT IN ('BranchJumped', 'BranchRerun')
           AND kind NOT IN ('BranchJumped', 'BranchRerun', 'InstanceStarted')
         GROUP BY 1, 2, 3 ORDER BY 1 NULLS FIRST, 2, 3";
}
