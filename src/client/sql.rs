//! Commands as Diesel expressions, for services with tables in the same database: a command is sent if, and only if, the transaction
//! of the service commits. Needs the feature `client-diesel`; for any PostgreSQL connection, blocking or async.
//!
//! ```no_run
//! # use diesel::pg::Pg;
//! # fn example<C>(conn: &mut C) -> Result<(), diesel::result::Error>
//! # where C: diesel::connection::LoadConnection<Backend = Pg> + diesel::Connection {
//! use diesel::prelude::*;
//! use leveret::client::sql;
//! use serde_json::json;
//!
//! conn.transaction(|conn| {
//!     // … the statements of the service …
//!     let message_id: String =
//!         sql::start("order").key("PO-17").input(json!({"order_id": "PO-17"})).get_result(conn)?;
//!     sql::message("paid", "PO-17").data(json!({"amount": 9800})).execute(conn)?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! With diesel-async, use `diesel_async::RunQueryDsl` and `.await`. A command is also an expression for other statements, as in
//! `order.set(started_by.eq(sql::start("order")))`. Its value is the message id. A command is checked when it is handled: the start
//! of a definition that does not exist becomes a dead letter, and is not an error here.

use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::RunQueryDsl;
use diesel::result::QueryResult;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Integer, Jsonb, Nullable, SmallInt, Text};
use serde_json::{Value, json};

use crate::contract::{OnConflict, json};

/// Starts an instance of a definition.
pub fn start(definition: impl Into<String>) -> Start {
    Start {
        definition: definition.into(),
        input: Content(json!({})),
        key: None,
        version: None,
        on_conflict: OnConflict::Reject,
        message_id: None,
        user: None,
        priority: None,
    }
}

/// Sends a message to an instance that waits for its name and key.
pub fn message(name: impl Into<String>, key: impl Into<String>) -> Message {
    Message { name: name.into(), key: key.into(), data: Content(Value::Null), ttl: None, message_id: None }
}

/// Sends a message to every instance that waits for its name and key when it is handled.
pub fn broadcast(name: impl Into<String>, key: impl Into<String>) -> Broadcast {
    Broadcast { name: name.into(), key: key.into(), data: Content(Value::Null), message_id: None }
}

/// The input or the data. It is written by Leveret and not by Diesel, so that a double stays a double in `jsonb`.
#[derive(Debug, Clone)]
struct Content(Value);

impl ToSql<Jsonb, Pg> for Content {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        use std::io::Write as _;
        // The version of `jsonb` on the wire.
        out.write_all(&[1])?;
        json::write(&self.0, out)?;
        Ok(IsNull::No)
    }
}

/// A start: see [`start`].
#[derive(Debug, Clone)]
pub struct Start {
    definition: String,
    input: Content,
    key: Option<String>,
    version: Option<i32>,
    on_conflict: OnConflict,
    message_id: Option<String>,
    user: Option<String>,
    priority: Option<i16>,
}

impl Start {
    /// The input; `{}` when left out.
    #[must_use]
    pub fn input(self, input: Value) -> Self {
        Self { input: Content(input), ..self }
    }

    /// The business key, unique among live instances of the definition.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// A version; the newest active one when left out.
    #[must_use]
    pub fn version(self, version: i32) -> Self {
        Self { version: Some(version), ..self }
    }

    /// What to do if a live instance has the key; refuse when left out.
    #[must_use]
    pub fn on_conflict(self, on_conflict: OnConflict) -> Self {
        Self { on_conflict, ..self }
    }

    /// The user for whom it is started, as `instance.started_by`; `leveret.sql/` and the role that has logged in when left out.
    #[must_use]
    pub fn user(self, user: impl Into<String>) -> Self {
        Self { user: Some(user.into()), ..self }
    }

    /// The priority; that of the definition when left out.
    #[must_use]
    pub fn priority(self, priority: i16) -> Self {
        Self { priority: Some(priority), ..self }
    }

    /// The identity of the command: a second command with the same id is a duplicate. A new id when left out.
    #[must_use]
    pub fn message_id(self, message_id: impl Into<String>) -> Self {
        Self { message_id: Some(message_id.into()), ..self }
    }
}

/// A message: see [`message`].
#[derive(Debug, Clone)]
pub struct Message {
    name: String,
    key: String,
    data: Content,
    ttl: Option<i32>,
    message_id: Option<String>,
}

impl Message {
    /// The content; null when left out.
    #[must_use]
    pub fn data(self, data: Value) -> Self {
        Self { data: Content(data), ..self }
    }

    /// Seconds it is kept if no instance waits yet; `messages.ttl` when left out.
    #[must_use]
    pub fn ttl(self, seconds: i32) -> Self {
        Self { ttl: Some(seconds), ..self }
    }

    /// The identity of the command, as for a start.
    #[must_use]
    pub fn message_id(self, message_id: impl Into<String>) -> Self {
        Self { message_id: Some(message_id.into()), ..self }
    }
}

/// A broadcast: see [`broadcast`].
#[derive(Debug, Clone)]
pub struct Broadcast {
    name: String,
    key: String,
    data: Content,
    message_id: Option<String>,
}

impl Broadcast {
    /// The content; null when left out.
    #[must_use]
    pub fn data(self, data: Value) -> Self {
        Self { data: Content(data), ..self }
    }

    /// The identity of the command, as for a start.
    #[must_use]
    pub fn message_id(self, message_id: impl Into<String>) -> Self {
        Self { message_id: Some(message_id.into()), ..self }
    }
}

// In parentheses it is both a query and a value in another query; PostgreSQL calls the function once in either case.
impl QueryFragment<Pg> for Start {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let on_conflict = match self.on_conflict {
            OnConflict::Reject => "'reject'",
            OnConflict::Return => "'return'",
            OnConflict::Replace => "'replace'",
        };
        out.push_sql("(SELECT leveret.start(");
        out.push_bind_param::<Text, _>(&self.definition)?;
        out.push_sql(", ");
        out.push_bind_param::<Jsonb, _>(&self.input)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.key)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Integer>, _>(&self.version)?;
        out.push_sql(", ");
        out.push_sql(on_conflict);
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.message_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.user)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<SmallInt>, _>(&self.priority)?;
        out.push_sql("))");
        Ok(())
    }
}

impl QueryFragment<Pg> for Message {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(SELECT leveret.message(");
        out.push_bind_param::<Text, _>(&self.name)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&self.key)?;
        out.push_sql(", ");
        out.push_bind_param::<Jsonb, _>(&self.data)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Integer>, _>(&self.ttl)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.message_id)?;
        out.push_sql("))");
        Ok(())
    }
}

impl QueryFragment<Pg> for Broadcast {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(SELECT leveret.broadcast(");
        out.push_bind_param::<Text, _>(&self.name)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&self.key)?;
        out.push_sql(", ");
        out.push_bind_param::<Jsonb, _>(&self.data)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.message_id)?;
        out.push_sql("))");
        Ok(())
    }
}

macro_rules! query_and_expression {
    ($($command:ident),*) => {$(
        impl Query for $command {
            type SqlType = Text;
        }
        impl Expression for $command {
            type SqlType = Text;
        }
        // Its text depends on `on_conflict`, and prepared statements are cached by their text.
        impl QueryId for $command {
            type QueryId = ();
            const HAS_STATIC_QUERY_ID: bool = false;
        }
        impl ValidGrouping<()> for $command {
            type IsAggregate = is_aggregate::Never;
        }
        impl<Table> AppearsOnTable<Table> for $command {}
        impl<Table> SelectableExpression<Table> for $command {}
        impl<Conn> RunQueryDsl<Conn> for $command {}
    )*};
}

query_and_expression!(Start, Message, Broadcast);
