//! A registered statement as the work of a `run` step: its parameters, and what its failures are called.

use serde_json::{Value, json};

use crate::app::App;
use crate::engine::Failure;
use crate::store::Connection;
use crate::store::statements::{self, StatementError};

/// Runs the statement of that name; what it yields is the activity's `result`.
pub(super) async fn run(app: &App, name: &str, params: &Value, conn: &mut Connection) -> Result<Value, Failure> {
    let Some(statement) = app.statements.get(name) else {
        return Err(Failure::new("statement.unknown", format!("no statement is registered as `{name}`")));
    };
    let values = statement
        .bind(params)
        .map_err(|wrong| Failure::new("statement.params", format!("the statement `{name}`: {wrong}")))?;
    let bytes_max = app.config.limits.rows_bytes_max;
    match statements::run(conn, statement, &values, bytes_max).await {
        Ok(done) => Ok(json!({ "count": done.count, "rows": done.rows })),
        Err(StatementError::Database(kind, message)) => Err(Failure::new(format!("database.{kind}"), message)),
        Err(StatementError::Rows) => {
            let message = format!("the statement `{name}` returned more than {} rows", statement.rows_max);
            Err(Failure::new("limit.rows", message))
        }
        Err(StatementError::Bytes) => {
            let message = format!("the rows of the statement `{name}` have more than {bytes_max} bytes");
            Err(Failure::new("limit.rows_bytes", message))
        }
        Err(StatementError::Row(message)) => {
            Err(Failure::new("statement.result", format!("a row of the statement `{name}` cannot be kept: {message}")))
        }
    }
}
