//! The inbox: handled commands from outside. A repetition, recognised by sender and message id, gets the same answer.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Binary, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::json::{Document, Json};
use super::schema::leveret::inbox;
use super::sql::Part;
use super::{Connection, Error};
use crate::engine::InstanceId;
use crate::seeded::{self, Bug};

/// A handled command.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxRow {
    /// The sender.
    pub app_id: String,
    /// The message id of the sender: the idempotency key.
    pub message_id: String,
    /// The command's `type`.
    pub command: String,
    /// SHA-256 of its body: the same id with another body is refused.
    pub body_hash: [u8; 32],
    /// The instance it was applied to.
    pub instance_id: Option<InstanceId>,
    /// Outcome of the command.
    pub outcome: Outcome,
    /// The answer that was sent.
    pub answer: Value,
}

/// Outcome of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// It was applied.
    Accepted,
    /// It was refused, for the reason in the answer.
    Refused,
}

impl Outcome {
    /// The word used in the table.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The row of a command, if it was handled before.
pub async fn find(conn: &mut Connection, app_id: &str, message_id: &str) -> Result<Option<InboxRow>, Error> {
    type Columns = (String, String, String, Vec<u8>, Option<Uuid>, String, Document);
    if seeded::is(Bug::InboxNotAsked) {
        return Ok(None);
    }
    let row: Option<Columns> = inbox::table
        .find((app_id, message_id))
        .select((
            inbox::app_id,
            inbox::message_id,
            inbox::command,
            inbox::body_hash,
            inbox::instance_id,
            inbox::outcome,
            inbox::answer,
        ))
        .first(conn)
        .await
        .optional()?;
    row.map(|(app_id, message_id, command, body_hash, instance, outcome, answer)| {
        Ok(InboxRow {
            body_hash: body_hash.try_into().map_err(|_| Error::Bug("a body hash must have 32 bytes".into()))?,
            instance_id: instance.map(InstanceId),
            outcome: if outcome == Outcome::Accepted.name() { Outcome::Accepted } else { Outcome::Refused },
            app_id,
            message_id,
            command,
            answer: answer.0,
        })
    })
    .transpose()
}

/// The existing row that prevented an insert.
pub(super) async fn get(conn: &mut Connection, row: &InboxRow) -> Result<InboxRow, Error> {
    // A row that disappears in between was deleted by the cleaner: decide again.
    find(conn, &row.app_id, &row.message_id).await?.ok_or(Error::Conflict)
}

/// Stores a handled command; false if it was handled before. Waits for a transaction that is handling the same command.
pub async fn insert(conn: &mut Connection, row: &InboxRow) -> Result<bool, Error> {
    Ok(Insert(InboxColumns::new(row)).execute(conn).await? == 1)
}

pub(super) struct Insert<'a>(pub(super) InboxColumns<'a>);

impl QueryId for Insert<'_> {
    type QueryId = Insert<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for Insert<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk(&mut out)
    }
}

const INSERT: &str = "
INSERT INTO leveret.inbox (app_id, message_id, command, body_hash, instance_id, outcome, answer)
SELECT $1, $2, $3, $4, $5, $6, $7";

const WHILE_NEWEST: &str = "
 WHERE (SELECT max(version) FROM leveret.definitions WHERE status = 'active' AND name = $1) = $2";

/// The columns of a row.
pub(super) struct InboxColumns<'a> {
    row: &'a InboxRow,
    answer: Json<'a, Value>,
    outcome: &'static str,
    instance: Option<Uuid>,
    /// Insert only if this is the newest active version of that definition.
    newest: Option<(&'a str, i32)>,
}

impl<'a> InboxColumns<'a> {
    pub(super) fn new(row: &'a InboxRow) -> Self {
        InboxColumns {
            row,
            answer: Json(&row.answer),
            outcome: row.outcome.name(),
            instance: row.instance_id.map(|id| id.0),
            newest: None,
        }
    }

    /// The same, but only if this is the newest active version of the definition: checked by the statement itself, so
    /// that callers may cache the version.
    pub(super) fn while_newest(row: &'a InboxRow, definition: &'a str, version: i32) -> Self {
        InboxColumns { newest: Some((definition, version)), ..Self::new(row) }
    }

    /// Inserts the row, unless the command was handled before.
    pub(super) fn walk<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut part = Part::new(INSERT, out);
        part.bind::<Text, _>(&self.row.app_id)?;
        part.bind::<Text, _>(&self.row.message_id)?;
        part.bind::<Text, _>(&self.row.command)?;
        part.bind::<Binary, _>(&self.row.body_hash)?;
        part.bind::<Nullable<SqlUuid>, _>(&self.instance)?;
        part.bind::<Text, _>(&self.outcome)?;
        part.bind::<Jsonb, _>(&self.answer)?;
        part.end()?;
        match &self.newest {
            Some((definition, version)) => {
                let mut part = Part::new(WHILE_NEWEST, out);
                part.bind::<Text, _>(definition)?;
                part.bind::<Integer, _>(version)?;
                part.end()?;
            }
            // Without a condition PostgreSQL would read ON CONFLICT as that of a join.
            None => out.push_sql("\n WHERE true"),
        }
        out.push_sql(if seeded::is(Bug::InboxNotAsked) {
            "\nON CONFLICT (app_id, message_id) DO UPDATE SET received_at = now()"
        } else {
            "\nON CONFLICT (app_id, message_id) DO NOTHING"
        });
        Ok(())
    }
}
