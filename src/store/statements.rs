//! Statements that are registered in the settings, run for definitions on the connection of the step's transaction.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_query;
use diesel::sql_types::{Array, Nullable, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use serde_json::Value;

use super::{Connection, Error, QueryError, describe};
use crate::config::statement::{Bound, Piece, Statement};

/// Takes our schema out of the path, until the end of the transaction.
const CLOSE: &str = "SELECT set_config('search_path', (SELECT coalesce(string_agg(quote_ident(name), ', '), '') \
    FROM unnest(current_schemas(false)) AS name WHERE name <> 'leveret'), true)";

/// What a statement did.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Rows it returned, or wrote where it returns none.
    pub count: usize,
    /// The rows, as JSON.
    pub rows: Vec<Value>,
}

/// Why there is no result; the transaction has to go back to its savepoint.
#[derive(Debug)]
pub enum Fault {
    /// The database: the end of a code (`database.<kind>`) and a sentence.
    Database(&'static str, String),
    /// More rows than the statement may return.
    Rows,
    /// More bytes than a result may have.
    Bytes,
    /// A row that is no JSON value within our bounds.
    Row(String),
}

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        let (kind, message) = describe(&error);
        Fault::Database(kind, message)
    }
}

/// Runs a statement with values for its parameters; its rows may have `bytes_max` bytes as JSON.
///
/// # Errors
/// See [`Fault`].
pub async fn run(
    conn: &mut Connection,
    statement: &Statement,
    values: &[Bound],
    bytes_max: usize,
) -> Result<Done, Fault> {
    // A role that is named like our schema has it in its path: a plain `tasks` would be one of our tables.
    sql_query(CLOSE).execute(conn).await?;
    let filled = Filled { statement, values };
    if !statement.returns_rows {
        return Ok(Done { count: filled.execute(conn).await?, rows: Vec::new() });
    }
    let mut lines = std::pin::pin!(filled.load_stream::<String>(conn).await?);
    let (mut rows, mut count, mut bytes) = (Vec::new(), 0_usize, 0_usize);
    // To the end in any case, so that the connection is ready for the next statement.
    while let Some(line) = lines.try_next().await? {
        count += 1;
        bytes = bytes.saturating_add(line.len());
        if count <= statement.rows_max && bytes <= bytes_max {
            rows.push(serde_json::from_str(&line).map_err(|error| Fault::Row(error.to_string())));
        }
    }
    match (count > statement.rows_max, bytes > bytes_max) {
        (true, _) => Err(Fault::Rows),
        (false, true) => Err(Fault::Bytes),
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
    type SqlType = Text;
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

/// Says whether PostgreSQL understands a statement, without running it.
///
/// # Errors
/// What is wrong with it, or that the database is away.
pub async fn check(conn: &mut Connection, statement: &Statement) -> Result<(), Error> {
    let text = statement.text();
    let look = format!("BEGIN; {CLOSE}; PREPARE leveret_look AS {text}; DEALLOCATE leveret_look; ROLLBACK");
    let understood = conn.batch_execute(&look).await;
    if understood.is_err() {
        conn.batch_execute("ROLLBACK").await?;
    }
    Ok(understood?)
}
