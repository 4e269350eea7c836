//! The outbox: messages that are committed and not yet confirmed. Commits write them; they are deleted after the
//! confirm of the broker, commands that nobody outside would send again when they are handled.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::json::Json;
use super::moment::{Moment, millis};
use super::schema::functions::clock_timestamp;
use super::schema::leveret::outbox;
use super::sql::Part;
use super::{Connection, Error};
use crate::contract::Exchange;
use crate::engine::InstanceId;

mod forwarded;
mod listener;
mod unsent;

pub use forwarded::{delete_handled, keep_confirmed};
pub use listener::{Listener, promise_to_look};
pub use unsent::{claim_unsent, count_waiting, mark_returned, release, revive};

/// A message to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// UUIDv7; also the AMQP `message_id` if the field `message_id` is empty.
    pub id: Uuid,
    /// Where it is published.
    pub exchange: Exchange,
    /// The routing key.
    pub routing_key: String,
    /// The AMQP property `type`.
    pub kind: String,
    /// The AMQP property `app_id`.
    pub app_id: Option<String>,
    /// The AMQP property `message_id`.
    pub message_id: Option<String>,
    /// The AMQP property `reply_to`: the queue for the answer.
    pub reply_to: Option<String>,
    /// The AMQP property `correlation_id`: what the answer names.
    pub correlation_id: Option<String>,
    /// AMQP headers.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// It must not be delivered before.
    pub due_at: Option<Timestamp>,
    /// The instance it is about.
    pub instance_id: Option<InstanceId>,
    /// When the relay may claim it. Meaningless in claimed rows.
    pub claimable: Claimable,
}

impl OutboxRow {
    /// Approximate memory of a row besides its body, in bytes.
    const ROW_BYTES: usize = 512;

    /// A message with nothing but what every message has; the sweep may take it at once.
    pub fn new(
        id: Uuid,
        exchange: Exchange,
        routing_key: impl Into<String>,
        kind: impl Into<String>,
        body: Vec<u8>,
    ) -> Self {
        Self {
            id,
            exchange,
            routing_key: routing_key.into(),
            kind: kind.into(),
            app_id: None,
            message_id: None,
            reply_to: None,
            correlation_id: None,
            headers: BTreeMap::new(),
            body,
            due_at: None,
            instance_id: None,
            claimable: Claimable::Now,
        }
    }

    /// Sets the AMQP property `app_id`.
    #[must_use]
    pub fn with_app_id(self, app_id: impl Into<String>) -> Self {
        Self { app_id: Some(app_id.into()), ..self }
    }

    /// Sets the AMQP property `message_id`, which is otherwise the row's id.
    #[must_use]
    pub fn with_message_id(self, message_id: impl Into<String>) -> Self {
        Self { message_id: Some(message_id.into()), ..self }
    }

    /// Sets the AMQP property `reply_to`.
    #[must_use]
    pub fn with_reply_to(self, queue: impl Into<String>) -> Self {
        Self { reply_to: Some(queue.into()), ..self }
    }

    /// Sets the AMQP property `correlation_id`.
    #[must_use]
    pub fn with_correlation_id(self, id: impl Into<String>) -> Self {
        Self { correlation_id: Some(id.into()), ..self }
    }

    /// Adds an AMQP header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Sets the time before which it must not arrive.
    #[must_use]
    pub fn with_due_at(self, due_at: Timestamp) -> Self {
        Self { due_at: Some(due_at), ..self }
    }

    /// Sets the instance it is about.
    #[must_use]
    pub fn with_instance(self, id: InstanceId) -> Self {
        Self { instance_id: Some(id), ..self }
    }

    /// Sets when the sweep may take it.
    #[must_use]
    pub fn with_claimable(self, claimable: Claimable) -> Self {
        Self { claimable, ..self }
    }

    /// Bytes it takes in memory, and on its way to the broker.
    pub fn size(&self) -> usize {
        self.body.len().saturating_add(Self::ROW_BYTES)
    }
}

/// When the relay may claim and publish a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimable {
    /// At once: its commit wakes the relay.
    Now,
    /// Its writer publishes it itself and has this long: `outbox.publish_queue_for`.
    After(Duration),
}

/// Number and age of the rows in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Rows that are not published yet.
    pub unsent: i64,
    /// Rows that the broker returned too often.
    pub dead: i64,
    /// Age of the oldest row that is not published yet.
    pub oldest_age: Option<Duration>,
}

/// Writes rows, in one statement for any number.
pub async fn push(conn: &mut Connection, rows: &[OutboxRow]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    Push(OutboxColumns::new(rows)).execute(conn).await?;
    Ok(())
}

struct Push<'a>(OutboxColumns<'a>);

impl QueryId for Push<'_> {
    type QueryId = Push<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for Push<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk(&mut out, Feed::Always)
    }
}

/// Deletes rows that the broker has confirmed; returns how many still existed.
pub async fn delete(conn: &mut Connection, ids: &[Uuid]) -> Result<usize, Error> {
    Ok(diesel::delete(outbox::table.filter(outbox::id.eq_any(ids.to_vec()))).execute(conn).await?)
}

/// Number and age of rows. Reads every row: normally the outbox is short.
pub async fn find_backlog(conn: &mut Connection) -> Result<Backlog, Error> {
    use diesel::dsl::{count_star, min};
    let unsent = outbox::table.filter(outbox::dead_at.is_null().and(outbox::confirmed_at.is_null()));
    let oldest: Option<Moment> = unsent.select(min(outbox::created_at)).first(conn).await?;
    let unsent: i64 = unsent.select(count_star()).first(conn).await?;
    let dead: i64 = outbox::table.filter(outbox::dead_at.is_not_null()).select(count_star()).first(conn).await?;
    let now: Moment = diesel::select(clock_timestamp()).get_result(conn).await?;
    let oldest_age = oldest.and_then(|oldest| Duration::try_from(now.0.duration_since(oldest.0)).ok());
    Ok(Backlog { unsent, dead, oldest_age })
}

/// When the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    /// If the statement of a commit has moved its instance.
    Moved,
    /// Always.
    Always,
}

const INSERT: &str = "
INSERT INTO leveret.outbox (id, exchange, routing_key, kind, app_id, message_id, reply_to, correlation_id,
                            headers, body, due_at, instance_id, claimable_at)
SELECT row.id, row.exchange, row.routing_key, row.kind, row.app_id, row.message_id, row.reply_to, row.correlation_id,
       row.headers, row.body, row.due_at, row.instance_id,
       CASE row.claimable_in WHEN 0 THEN leveret.claimable_now() ELSE now() + row.claimable_in * interval '1 millisecond' END
  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
       AS row (id, exchange, routing_key, kind, app_id, message_id, reply_to, correlation_id, headers, body, due_at,
               instance_id, claimable_in)";

/// Outbox rows as arrays, so that one prepared statement writes any number of them.
pub(super) struct OutboxColumns<'a> {
    ids: Vec<Uuid>,
    exchanges: Vec<&'a str>,
    routing_keys: Vec<&'a str>,
    kinds: Vec<&'a str>,
    app_ids: Vec<Option<&'a str>>,
    message_ids: Vec<Option<&'a str>>,
    reply_tos: Vec<Option<&'a str>>,
    correlation_ids: Vec<Option<&'a str>>,
    headers: Vec<Json<'a, BTreeMap<String, String>>>,
    bodies: Vec<&'a [u8]>,
    due: Vec<Option<Moment>>,
    instances: Vec<Option<Uuid>>,
    claimable_in: Vec<i64>,
}

impl<'a> OutboxColumns<'a> {
    pub(super) fn new(rows: &'a [OutboxRow]) -> Self {
        OutboxColumns {
            ids: rows.iter().map(|row| row.id).collect(),
            exchanges: rows.iter().map(|row| row.exchange.name()).collect(),
            routing_keys: rows.iter().map(|row| row.routing_key.as_str()).collect(),
            kinds: rows.iter().map(|row| row.kind.as_str()).collect(),
            app_ids: rows.iter().map(|row| row.app_id.as_deref()).collect(),
            message_ids: rows.iter().map(|row| row.message_id.as_deref()).collect(),
            reply_tos: rows.iter().map(|row| row.reply_to.as_deref()).collect(),
            correlation_ids: rows.iter().map(|row| row.correlation_id.as_deref()).collect(),
            headers: rows.iter().map(|row| Json(&row.headers)).collect(),
            bodies: rows.iter().map(|row| row.body.as_slice()).collect(),
            due: rows.iter().map(|row| row.due_at.map(Moment)).collect(),
            instances: rows.iter().map(|row| row.instance_id.map(|id| id.0)).collect(),
            claimable_in: rows
                .iter()
                .map(|row| match row.claimable {
                    Claimable::Now => 0,
                    Claimable::After(hold_for) => millis(hold_for),
                })
                .collect(),
        }
    }

    /// Writes all rows, inside the statement of a commit or alone.
    pub(super) fn walk<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>, feed: Feed) -> QueryResult<()> {
        let mut part = Part::new(INSERT, out);
        part.bind::<Array<SqlUuid>, _>(&self.ids)?;
        part.bind::<Array<Text>, _>(&self.exchanges)?;
        part.bind::<Array<Text>, _>(&self.routing_keys)?;
        part.bind::<Array<Text>, _>(&self.kinds)?;
        part.bind::<Array<Nullable<Text>>, _>(&self.app_ids)?;
        part.bind::<Array<Nullable<Text>>, _>(&self.message_ids)?;
        part.bind::<Array<Nullable<Text>>, _>(&self.reply_tos)?;
        part.bind::<Array<Nullable<Text>>, _>(&self.correlation_ids)?;
        part.bind::<Array<Jsonb>, _>(&self.headers)?;
        part.bind::<Array<Binary>, _>(&self.bodies)?;
        part.bind::<Array<Nullable<Timestamptz>>, _>(&self.due)?;
        part.bind::<Array<Nullable<SqlUuid>>, _>(&self.instances)?;
        part.bind::<Array<BigInt>, _>(&self.claimable_in)?;
        part.end()?;
        match feed {
            Feed::Moved => out.push_sql(", moved"),
            Feed::Always => {}
        }
        Ok(())
    }
}
