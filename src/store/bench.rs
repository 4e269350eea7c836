//! What `leveret bench` asks of the tables beyond what the engine does itself.

use diesel::QueryableByName;
use diesel::sql_types::{Double, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use jiff::Timestamp;

use super::moment::Moment;
use super::{Connection, Error, QueryError};

/// The business table of the workload `handler`.
///
/// # Errors
/// Those of the database.
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
///
/// # Errors
/// Those of the database.
pub async fn insert_row(conn: &mut Connection, instance: &str) -> Result<(), QueryError> {
    use diesel::ExpressionMethods;
    diesel::insert_into(rows::table).values(rows::instance.eq(instance)).execute(conn).await?;
    Ok(())
}

/// How late the timers of a definition fired, in milliseconds; negative would be early.
///
/// # Errors
/// Those of the database.
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

/// Open tasks of a definition that nobody acts upon, offered to users and to a group.
///
/// # Errors
/// Those of the database.
pub async fn offer_tasks(conn: &mut Connection, count: i64) -> Result<(), Error> {
    let generated = format!(
        "INSERT INTO leveret.tasks (id, instance_id, bookmark, definition, activity, revision, open, title, data, labels, \
           priority, users, groups, excluded, decisions, vote, ballots, opened_at)
         SELECT gen_random_uuid(), gen_random_uuid(), 1, 'others', 'a', 1, true, 'Task ' || n, 'null', '{{}}', n % 5, \
           ARRAY['user' || n % 100], ARRAY['others'], '{{}}', '[]', false, '[]', now() - n * interval '1 second'
         FROM generate_series(1, {count}) AS n;
         INSERT INTO leveret.task_candidates (task_id, candidate, definition, priority, opened_at)
         SELECT id, unnest(ARRAY['user:' || users[1], 'group:others']), definition, priority, opened_at
         FROM leveret.tasks WHERE definition = 'others'"
    );
    Ok(conn.batch_execute(&generated).await?)
}

/// How many open tasks of a definition there are.
///
/// # Errors
/// Those of the database.
pub async fn open_tasks(conn: &mut Connection, definition: &str) -> Result<usize, Error> {
    use diesel::{ExpressionMethods, QueryDsl};
    let open = super::schema::leveret::tasks::table
        .filter(super::schema::leveret::tasks::open)
        .filter(super::schema::leveret::tasks::definition.eq(definition));
    let count: i64 = open.count().get_result(conn).await?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Plans as a server that has been up for a while would have them, and no old pages to write meanwhile.
///
/// # Errors
/// Those of the database.
pub async fn settle(conn: &mut Connection) -> Result<Timestamp, Error> {
    conn.batch_execute("ANALYZE; CHECKPOINT").await?;
    let now: Moment =
        diesel::select(super::schema::functions::clock_timestamp()).get_result(conn).await.map_err(Error::from)?;
    Ok(now.0)
}
