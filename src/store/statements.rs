//! Statements from the settings that definitions may run, on the connection of the transaction of the step.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_query;
use diesel::sql_types::{Array, Integer, Nullable, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use serde_json::Value;

use super::{Connection, Error, QueryError, describe};
use crate::config::statement::{Bound, Piece, Statement};

mod row;

/// Removes our schema from the search path, until the end of the transaction.
const CLOSE: &str = "SELECT set_config('search_path', (SELECT coalesce(string_agg(quote_ident(name), ', '), '')
    FROM unnest(current_schemas(false)) AS name WHERE name <> 'leveret'), true)";

/// Result of a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Number of rows it returned, or wrote if it returns none.
    pub count: usize,
    /// The rows, as JSON.
    pub rows: Vec<Value>,
}

/// Why a statement gave no result; the transaction must go back to its savepoint.
#[derive(Debug)]
pub enum StatementError {
    /// An error of the database: the end of its code (`database.<kind>`) and a message.
    Database(&'static str, String),
    /// More rows than the statement may return.
    Rows,
    /// More bytes than a result may have.
    Bytes,
    /// A row that is not valid JSON within our limits.
    Row(String),
}

impl From<QueryError> for StatementError {
    fn from(error: QueryError) -> Self {
        let (kind, message) = describe(&error);
        StatementError::Database(kind, message)
    }
}

/// Runs a statement with values for its parameters. The returned rows may have `bytes_max` bytes as JSON.
///
/// # Errors
/// See [`StatementError`].
pub async fn run(
    conn: &mut Connection,
    statement: &Statement,
    values: &[Bound],
    bytes_max: usize,
) -> Result<Done, StatementError> {
    // A role with the name of our schema has it in its search path: a plain `tasks` would be one of our tables.
    sql_query(CLOSE).execute(conn).await?;
    let filled = Filled { statement, values };
    if !statement.returns_rows {
        return Ok(Done { count: filled.execute(conn).await?, rows: Vec::new() });
    }
    let mut lines = std::pin::pin!(filled.load_stream::<(String, Vec<i32>)>(conn).await?);
    let (mut rows, mut count, mut bytes) = (Vec::new(), 0_usize, 0_usize);
    // Reads all rows in any case, so that the connection is ready for the next statement.
    while let Some((line, doubles)) = lines.try_next().await? {
        count += 1;
        bytes = bytes.saturating_add(line.len());
        if count <= statement.rows_max && bytes <= bytes_max {
            rows.push(row::read(&line, &doubles).map_err(StatementError::Row));
        }
    }
    match (count > statement.rows_max, bytes > bytes_max) {
        (true, _) => Err(StatementError::Rows),
        (false, true) => Err(StatementError::Bytes),
        (false, false) => Ok(Done { count, rows: rows.into_iter().collect::<Result<_, _>>()? }),
    }
}

/// A statement with its values.
struct Filled<'a> {
    statement: &'a Statement,
    values: &'a [Bound],
}

// The text names the prepared statement.
impl QueryId for Filled<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Filled<'_> {
    type SqlType = (Text, Array<Integer>);
}

impl QueryFragment<Pg> for Filled<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for piece in &self.statement.pieces {
            match piece {
                Piece::Sql(text) => out.push_sql(text),
                Piece::Param(at) => match self.values.get(*at) {
                    Some(Bound::One(text)) => out.push_bind_param::<Nullable<Text>, _>(text)?,
                    Some(Bound::List(texts)) => out.push_bind_param::<Nullable<Array<Text>>, _>(texts)?,
                    None => return Err(QueryError::QueryBuilderError("a parameter has no value".into())),
                },
            }
        }
        Ok(())
    }
}

/// Checks that PostgreSQL accepts a statement, without running it.
///
/// # Errors
/// The error of the statement; `Unavailable` if the database cannot be reached.
pub async fn check(conn: &mut Connection, statement: &Statement) -> Result<(), Error> {
    let text = statement.text();
    let look = format!("BEGIN; {CLOSE}; PREPARE leveret_check AS {text}; DEALLOCATE leveret_check; ROLLBACK");
    let understood = conn.batch_execute(&look).await;
    if understood.is_err() {
        conn.batch_execute("ROLLBACK").await?;
    }
    Ok(understood?)
}
