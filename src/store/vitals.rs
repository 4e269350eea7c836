//! What the database says of its own state: late timers, waiting dead letters, partitions, rights, and tables that vacuum does not keep up
//! with.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use super::retention::ROLE;
use super::sql::Sql;
use super::{Connection, Error};

/// How late the oldest open timer is of an instance that is not suspended.
///
/// # Errors
/// As for any query.
pub async fn timer_lag(conn: &mut Connection) -> Result<Duration, Error> {
    let lag: i64 = TimerLag::bind(()).get_result(conn).await?;
    Ok(Duration::from_millis(u64::try_from(lag).unwrap_or(0)))
}

struct TimerLag;

impl Sql for TimerLag {
    type Binds = ();
    type Row = BigInt;
    const TEXT: &'static str = "
        SELECT coalesce(max(extract(epoch FROM now() - b.due_at)) * 1000, 0)::bigint
          FROM leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id
         WHERE b.consumed_at IS NULL AND b.next_check_at < now() AND b.due_at < now()
           AND i.ended_at IS NULL AND i.status <> 'suspended'";
}

/// Dead letters that wait for a person, and those of them that have failed again.
///
/// # Errors
/// As for any query.
pub async fn dead_letters(conn: &mut Connection) -> Result<(i64, i64), Error> {
    Ok(DeadLetters::bind(()).get_result(conn).await?)
}

struct DeadLetters;

impl Sql for DeadLetters {
    type Binds = ();
    type Row = (BigInt, BigInt);
    const TEXT: &'static str = "
        SELECT count(*), count(*) FILTER (WHERE failures > 1) FROM leveret.dead_letters WHERE redriven_at IS NULL";
}

/// The partitions of history that should exist by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partitions {
    /// The names of those that are missing: of this month and of the two after it.
    pub missing: Vec<String>,
    /// Whether rows are outside of all of them.
    pub has_others: bool,
}

/// Which partitions are missing.
///
/// # Errors
/// As for any query.
pub async fn partitions(conn: &mut Connection) -> Result<Partitions, Error> {
    let (missing, has_others) = FindPartitions::bind(()).get_result(conn).await?;
    Ok(Partitions { missing, has_others })
}

struct FindPartitions;

impl Sql for FindPartitions {
    type Binds = ();
    type Row = (Array<Text>, Bool);
    const TEXT: &'static str = "
        SELECT coalesce((SELECT array_agg(name ORDER BY name) FROM (
                  SELECT 'history_' || to_char((now() AT TIME ZONE 'UTC') + make_interval(months => ahead), 'YYYYMM') AS name
                    FROM generate_series(0, 2) AS ahead) AS due
                 WHERE to_regclass('leveret.' || name) IS NULL), '{}'),
               EXISTS (SELECT FROM leveret.history_other)";
}

/// Rights that are missing: of the role that deletes and erases, on the tables of which only it may delete, and of this user.
///
/// # Errors
/// As for any query.
pub async fn missing_rights(conn: &mut Connection) -> Result<Vec<String>, Error> {
    Ok(MissingRights::bind(()).get_results(conn).await?)
}

struct MissingRights;

impl Sql for MissingRights {
    type Binds = ();
    type Row = Text;
    const TEXT: &'static str = "
        SELECT 'GRANT ' || wanted.rights || ' ON ' || wanted.relation || ' TO leveret_retention'
          FROM (VALUES ('SELECT, UPDATE, DELETE, TRUNCATE', 'leveret.history'),
                       ('SELECT, DELETE', 'leveret.audit')) AS wanted (rights, relation)
         WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = 'leveret_retention')
           AND EXISTS (SELECT FROM unnest(string_to_array(wanted.rights, ', ')) AS each (one)
                        WHERE NOT has_table_privilege('leveret_retention', wanted.relation, each.one))
        UNION ALL
        SELECT 'GRANT USAGE ON SCHEMA leveret TO leveret_retention'
         WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = 'leveret_retention')
           AND NOT has_schema_privilege('leveret_retention', 'leveret', 'USAGE')
        UNION ALL
        SELECT 'GRANT CREATE ON SCHEMA leveret TO ' || quote_ident(current_user)
         WHERE NOT has_schema_privilege(current_user, 'leveret', 'CREATE')";
}

/// Gives the role that deletes and erases its rights, as the migration does.
///
/// # Errors
/// `Bug` if this user does not own the tables.
pub async fn grant_rights(conn: &mut Connection) -> Result<(), Error> {
    let grants = format!(
        "GRANT USAGE ON SCHEMA leveret TO {ROLE};
         GRANT SELECT, UPDATE, DELETE, TRUNCATE ON leveret.history, leveret.history_other TO {ROLE};
         GRANT SELECT, DELETE ON leveret.audit TO {ROLE}"
    );
    Ok(conn.batch_execute(&grants).await?)
}

/// A table with many dead rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bloated {
    /// The table.
    pub table: String,
    /// Rows that nothing sees any more.
    pub dead: i64,
    /// Rows that are seen.
    pub live: i64,
}

/// Tables with at least `dead_min` dead rows, and more of them than rows that are seen; the worst first, at most `limit`.
///
/// # Errors
/// As for any query.
pub async fn bloated(conn: &mut Connection, dead_min: i64, limit: i64) -> Result<Vec<Bloated>, Error> {
    let rows: Vec<(String, i64, i64)> = FindBloated::bind_limit(limit, (dead_min,)).get_results(conn).await?;
    Ok(rows.into_iter().map(|(table, dead, live)| Bloated { table, dead, live }).collect())
}

struct FindBloated;

impl Sql for FindBloated {
    type Binds = (BigInt,);
    type Row = (Text, BigInt, BigInt);
    const TEXT: &'static str = "
        SELECT relname::text, n_dead_tup, n_live_tup FROM pg_stat_user_tables
         WHERE schemaname = 'leveret' AND n_dead_tup >= $1 AND n_dead_tup > n_live_tup
         ORDER BY n_dead_tup DESC LIMIT {limit}";
}
