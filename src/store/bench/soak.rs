//! Queries of `leveret bench soak`.

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Double, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use super::super::{Connection, Error};

/// Starts instances, each with its key as the id of its command: a repetition starts nothing.
pub async fn start(conn: &mut Connection, definitions: &[&str], keys: &[&str]) -> Result<(), Error> {
    diesel::sql_query(
        "SELECT leveret.start(d, key => k, message_id => k) FROM unnest($1::text[], $2::text[]) AS wanted (d, k)",
    )
    .bind::<Array<Text>, _>(definitions)
    .bind::<Array<Text>, _>(keys)
    .execute(conn)
    .await?;
    Ok(())
}

/// Sends messages; a repetition sends nothing.
pub async fn send(conn: &mut Connection, names: &[&str], keys: &[&str]) -> Result<(), Error> {
    diesel::sql_query(
        "SELECT leveret.message(n, k, message_id => n || '-' || k) FROM unnest($1::text[], $2::text[]) AS wanted (n, k)",
    )
    .bind::<Array<Text>, _>(names)
    .bind::<Array<Text>, _>(keys)
    .execute(conn)
    .await?;
    Ok(())
}

/// An instance that has ended.
#[derive(Debug, QueryableByName)]
pub struct Ended {
    /// Its key.
    #[diesel(sql_type = Text)]
    pub key: String,
    /// How it ended.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// The business rows that it wrote.
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
}

/// Which of these have ended.
pub async fn ended(conn: &mut Connection, keys: &[&str]) -> Result<Vec<Ended>, Error> {
    let ended = diesel::sql_query(
        "SELECT i.key, i.status, count(r.id) AS rows
           FROM leveret.instances AS i LEFT JOIN bench.rows AS r ON r.instance = i.key
          WHERE i.key = ANY ($1) AND i.ended_at IS NOT NULL
          GROUP BY i.key, i.status",
    );
    Ok(ended.bind::<Array<Text>, _>(keys).get_results(conn).await?)
}

/// Deletes the business rows of instances.
pub async fn delete_rows(conn: &mut Connection, keys: &[String]) -> Result<(), Error> {
    let deleted = diesel::sql_query("DELETE FROM bench.rows WHERE instance = ANY ($1)");
    deleted.bind::<Array<Text>, _>(keys).execute(conn).await?;
    Ok(())
}

/// What is there at one moment.
#[derive(Debug, QueryableByName)]
pub struct Sizes {
    /// Connections to the database, this one included.
    #[diesel(sql_type = BigInt)]
    pub connections: i64,
    /// All tables of Leveret, with their indexes.
    #[diesel(sql_type = Double)]
    pub tables_mb: f64,
}

/// Counts them.
pub async fn sizes(conn: &mut Connection) -> Result<Sizes, Error> {
    let sizes = diesel::sql_query(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections,
                (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c
                  WHERE c.relnamespace = 'leveret'::regnamespace AND c.relkind = 'r')::float8 / 1e6 AS tables_mb",
    );
    Ok(sizes.get_result(conn).await?)
}

/// A table with its indexes.
#[derive(Debug, Clone, QueryableByName)]
pub struct TableSize {
    /// Its name.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// Its size.
    #[diesel(sql_type = Double)]
    pub mb: f64,
}

/// The size of each table.
pub async fn tables(conn: &mut Connection) -> Result<Vec<TableSize>, Error> {
    let sizes = diesel::sql_query(
        "SELECT c.relname::text AS name, pg_total_relation_size(c.oid)::float8 / 1e6 AS mb FROM pg_class AS c
          WHERE c.relnamespace = 'leveret'::regnamespace AND c.relkind = 'r'",
    );
    Ok(sizes.get_results(conn).await?)
}

/// What should not be there when everything has ended.
#[derive(Debug, QueryableByName)]
pub struct Left {
    /// Business rows of instances that had ended when they were written.
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
    /// Rows of the outbox that are to be published now.
    #[diesel(sql_type = BigInt)]
    pub outbox: i64,
    /// Dead letters.
    #[diesel(sql_type = BigInt)]
    pub dead_letters: i64,
}

/// Counts it.
pub async fn left(conn: &mut Connection) -> Result<Left, Error> {
    let left = diesel::sql_query(
        "SELECT (SELECT count(*) FROM bench.rows) AS rows,
                (SELECT count(*) FROM leveret.outbox WHERE due_at IS NULL OR due_at < now() - interval '10 seconds') AS outbox,
                (SELECT count(*) FROM leveret.dead_letters) AS dead_letters",
    );
    Ok(left.get_result(conn).await?)
}

/// Ends every other connection to the database.
pub async fn end_connections(conn: &mut Connection) -> Result<(), Error> {
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    Ok(conn.batch_execute(ended).await?)
}

/// Makes the room of deleted rows free again.
pub async fn vacuum(conn: &mut Connection) -> Result<(), Error> {
    Ok(conn.batch_execute("VACUUM").await?)
}
