//! Queries of `leveret bench` that the engine itself does not need.

pub mod soak;

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Double, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use jiff::Timestamp;

use super::moment::Moment;
use super::{Connection, Error, QueryError};
use crate::engine::InstanceId;

/// The business table of the workload `handler`.
pub async fn create_rows(conn: &mut Connection) -> Result<(), QueryError> {
    conn.batch_execute(
        "CREATE SCHEMA IF NOT EXISTS bench;
         CREATE TABLE IF NOT EXISTS bench.rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, instance text NOT NULL)",
    )
    .await
}

mod table {
    diesel::table! {
        bench.rows (id) {
            id -> BigInt,
            instance -> Text,
        }
    }
}
use table::rows;

/// One business row, as a handler would write it.
pub async fn insert_row(conn: &mut Connection, instance: &str) -> Result<(), QueryError> {
    use diesel::ExpressionMethods;
    diesel::insert_into(rows::table).values(rows::instance.eq(instance)).execute(conn).await?;
    Ok(())
}

/// Starts an instance as a service does from its own SQL.
pub async fn start(conn: &mut Connection, definition: &str, key: &str) -> Result<(), Error> {
    let query = diesel::sql_query("SELECT leveret.start($1, key => $2)");
    query.bind::<Text, _>(definition).bind::<Text, _>(key).execute(conn).await?;
    Ok(())
}

/// How late the timers of a definition fired, in milliseconds; negative if early.
pub async fn lateness(conn: &mut Connection, definition: &str) -> Result<Vec<f64>, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Double)]
        late_ms: f64,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT extract(epoch FROM b.consumed_at - b.due_at)::float8 * 1000 AS late_ms
           FROM leveret.bookmarks b JOIN leveret.instances i ON i.id = b.instance_id
          WHERE i.definition = $1 AND b.kind = 'timer' AND b.consumed_at IS NOT NULL",
    )
    .bind::<Text, _>(definition)
    .get_results(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.late_ms).collect())
}

/// Open tasks of a definition that are never completed, offered to users and to a group.
pub async fn offer_tasks(conn: &mut Connection, count: i64) -> Result<(), Error> {
    let generated = format!(
        "INSERT INTO leveret.tasks (id, instance_id, bookmark, definition, activity, revision, open, title, data, labels,
           priority, users, groups, excluded, decisions, vote, ballots, opened_at)
         SELECT gen_random_uuid(), gen_random_uuid(), 1, 'others', 'a', 1, true, 'Task ' || n, 'null', '{{}}', n % 5,
           ARRAY['user' || n % 100], ARRAY['others'], '{{}}', '[]', false, '[]', now() - n * interval '1 second'
         FROM generate_series(1, {count}) AS n;
         INSERT INTO leveret.task_candidates (task_id, candidate, definition, priority, opened_at)
         SELECT id, unnest(ARRAY['user:' || users[1], 'group:others']), definition, priority, opened_at
         FROM leveret.tasks WHERE definition = 'others'"
    );
    Ok(conn.batch_execute(&generated).await?)
}

/// How many open tasks of a definition exist.
pub async fn open_tasks(conn: &mut Connection, definition: &str) -> Result<usize, Error> {
    use diesel::{ExpressionMethods, QueryDsl};
    let open = super::schema::leveret::tasks::table
        .filter(super::schema::leveret::tasks::open)
        .filter(super::schema::leveret::tasks::definition.eq(definition));
    let count: i64 = open.count().get_result(conn).await?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Brings the tables into the state of a server that has been running for a while: analyzed, and with written pages.
pub async fn settle(conn: &mut Connection) -> Result<Timestamp, Error> {
    conn.batch_execute("ANALYZE; CHECKPOINT").await?;
    let now: Moment =
        diesel::select(super::schema::functions::clock_timestamp()).get_result(conn).await.map_err(Error::from)?;
    Ok(now.0)
}

/// Timers written by one statement.
const COPIES_MAX: i64 = 10_000;

/// Copies of an instance that waits at its first timer, each with a timer: the first is due at `from`, the last `over`
/// later. `with_wake_ups` ones have wake-ups on their way, as near timers have; others are left to the timers role, as
/// far timers are.
#[derive(Debug, Clone, Copy)]
pub struct Copies {
    /// The instance to copy, without its history.
    pub of: InstanceId,
    /// Number of copies.
    pub count: i64,
    /// When the first timer is due.
    pub from: Timestamp,
    /// Time from the first to the last timer.
    pub over: Duration,
    /// Whether wake-ups are published for them.
    pub with_wake_ups: bool,
}

/// Writes the copies, batch by batch.
pub async fn copy_waiting(conn: &mut Connection, copies: Copies) -> Result<(), Error> {
    let apart = i64::try_from(copies.over.as_micros()).unwrap_or(i64::MAX) / copies.count.max(1);
    let mut made = 0;
    while made < copies.count {
        let batch = COPIES_MAX.min(copies.count - made);
        diesel::sql_query(COPY)
            .bind::<SqlUuid, _>(copies.of.0)
            .bind::<Timestamptz, _>(Moment(copies.from))
            .bind::<BigInt, _>(made)
            .bind::<BigInt, _>(batch)
            .bind::<BigInt, _>(apart)
            .bind::<Bool, _>(copies.with_wake_ups)
            .execute(conn)
            .await?;
        made += batch;
    }
    Ok(())
}

const COPY: &str = r#"
WITH due AS MATERIALIZED (
    SELECT leveret.uuidv7() AS id, $2 + ($3 + n - 1) * $5 * interval '1 microsecond' AS at FROM generate_series(1, $4) AS n
), born AS (
    INSERT INTO leveret.instances (id, definition, version, status, revision, ready, queue, priority, state_format, branches,
                                   variables, input, started_at, moved_at, history_count, history_hash)
    SELECT due.id, i.definition, i.version, i.status, i.revision, i.ready, i.queue, i.priority, i.state_format,
           jsonb_set(i.branches, '{branches,0,phase,waiting,0,due_at}',
                     to_jsonb(to_char(due.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))),
           i.variables, i.input, now(), now(), 0, decode(repeat('00', 32), 'hex')
      FROM leveret.instances AS i, due WHERE i.id = $1
), opened AS (
    INSERT INTO leveret.bookmarks (instance_id, number, branch, activity, kind, due_at, next_check_at, opened_at, details)
    SELECT due.id, b.number, b.branch, b.activity, b.kind, due.at, due.at + CASE WHEN $6 THEN interval '1.5 seconds' ELSE interval '0' END,
           now(), b.details
      FROM leveret.bookmarks AS b, due WHERE b.instance_id = $1 AND b.kind = 'timer'
)
INSERT INTO leveret.outbox (id, exchange, routing_key, kind, body, due_at, instance_id)
SELECT leveret.uuidv7(), 'steps', i.queue, 'fire',
       convert_to(jsonb_build_object('instance', due.id, 'bookmark', b.number, 'due_at',
                  to_char(due.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text, 'UTF8'), due.at, due.id
  FROM leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id, due
 WHERE $6 AND b.instance_id = $1 AND b.kind = 'timer'"#;

/// Copies of an instance with its bookmarks and its history, as if they had begun long ago. The hashes of their history are those of the
/// copied one: `history verify` would find that.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    /// The instance to copy.
    pub of: InstanceId,
    /// Number of copies.
    pub count: i64,
    /// When the first one began.
    pub from: Timestamp,
    /// Time from the first to the last one.
    pub over: Duration,
}

/// Writes the copies, batch by batch.
pub async fn copy_into_past(conn: &mut Connection, past: Past) -> Result<(), Error> {
    let apart = i64::try_from(past.over.as_micros()).unwrap_or(i64::MAX) / past.count.max(1);
    let mut made = 0;
    while made < past.count {
        let batch = COPIES_MAX.min(past.count - made);
        diesel::sql_query(COPY_INTO_PAST)
            .bind::<SqlUuid, _>(past.of.0)
            .bind::<Timestamptz, _>(Moment(past.from))
            .bind::<BigInt, _>(made)
            .bind::<BigInt, _>(batch)
            .bind::<BigInt, _>(apart)
            .execute(conn)
            .await?;
        made += batch;
    }
    Ok(())
}

const COPY_INTO_PAST: &str = r#"
WITH past AS MATERIALIZED (
    SELECT at, (substr(leveret.uuid_at(at)::text, 1, 14) || '7' || substr(random, 1, 3) || '-8' || substr(random, 4, 3) || '-'
                || substr(random, 7, 12))::uuid AS id
      FROM (SELECT $2 + ($3 + n) * $5 * interval '1 microsecond' AS at, md5(random()::text) AS random
              FROM generate_series(1, $4) AS n) AS numbered
), copied AS (
    INSERT INTO leveret.instances (id, definition, version, status, revision, ready, queue, priority, state_format, branches,
                                   variables, input, output, started_at, ended_at, due_at, moved_at, history_count, history_hash)
    SELECT past.id, i.definition, i.version, i.status, i.revision, i.ready, i.queue, i.priority, i.state_format, i.branches,
           i.variables, i.input, i.output, past.at, CASE WHEN i.ended_at IS NOT NULL THEN past.at END, i.due_at, past.at,
           i.history_count, i.history_hash
      FROM leveret.instances AS i, past WHERE i.id = $1
), opened AS (
    INSERT INTO leveret.bookmarks (instance_id, number, branch, activity, kind, due_at, next_check_at, opened_at, details)
    SELECT past.id, b.number, b.branch, b.activity, b.kind, b.due_at, b.next_check_at, past.at, b.details
      FROM leveret.bookmarks AS b, past WHERE b.instance_id = $1
)
INSERT INTO leveret.history (instance_id, number, at, kind, activity, branch, details, salt, digest, previous_hash)
SELECT past.id, h.number, past.at, h.kind, h.activity, h.branch, h.details, h.salt, h.digest, h.previous_hash
  FROM leveret.history AS h, past WHERE h.instance_id = $1"#;

/// How many instances of a definition exist.
pub async fn count_instances(conn: &mut Connection, definition: &str) -> Result<i64, Error> {
    use diesel::{ExpressionMethods, QueryDsl};
    let of =
        super::schema::leveret::instances::table.filter(super::schema::leveret::instances::definition.eq(definition));
    Ok(of.count().get_result(conn).await?)
}

/// How many timers of a definition fired since `since`, how many of them more than once, and how many are due and still
/// open.
pub async fn count_fired(conn: &mut Connection, definition: &str, since: Timestamp) -> Result<(i64, i64, i64), Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        fired: i64,
        #[diesel(sql_type = BigInt)]
        twice: i64,
        #[diesel(sql_type = BigInt)]
        open: i64,
    }
    let row: Row = diesel::sql_query(
        "WITH fired AS (SELECT h.instance_id, count(*) AS times FROM leveret.history AS h
                          JOIN leveret.instances AS i ON i.id = h.instance_id
                         WHERE i.definition = $1 AND h.kind = 'TimerFired' AND h.at >= $2 GROUP BY h.instance_id)
         SELECT count(*) AS fired, count(*) FILTER (WHERE times > 1) AS twice,
                (SELECT count(*) FROM leveret.bookmarks AS b
                  WHERE b.consumed_at IS NULL AND b.due_at < now() + interval '1 hour') AS open FROM fired",
    )
    .bind::<Text, _>(definition)
    .bind::<Timestamptz, _>(Moment(since))
    .get_result(conn)
    .await?;
    Ok((row.fired, row.twice, row.open))
}
