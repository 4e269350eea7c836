//! Rows nobody has published yet: claimed by the sweep, and put off or given up when the broker returns them.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{Claimable, OutboxRow, millis};
use crate::engine::InstanceId;
use crate::store::moment::Moment;
use crate::store::schema::functions::clock_timestamp;
use crate::store::schema::leveret::outbox;
use crate::store::{Connection, Error};

/// A row the broker returned rests this long at most before it is tried again, in seconds.
const REST_MAX: i32 = 60;

/// Takes at most `limit` rows that nobody has published yet, the longest waiting first, `hold_for` this long; fewer where
/// their bodies come to `bytes_max`, and one in any case.
///
/// A row that cannot be read is logged and marked dead: it is never published to a wrong place, and holds up no other.
pub async fn claim_unsent(
    conn: &mut Connection,
    (limit, bytes_max): (i64, i64),
    hold_for: Duration,
) -> Result<Vec<OutboxRow>, Error> {
    let claim = ClaimUnsent { limit, bytes_max, hold_for: millis(hold_for) };
    let rows: Vec<Claimed> = claim.get_results(conn).await?;
    let mut read = Vec::with_capacity(rows.len());
    let mut unreadable = Vec::new();
    for row in rows {
        let id = row.0;
        match self::read(row, hold_for) {
            Ok(row) => read.push(row),
            Err(problem) => {
                tracing::error!(%id, "outbox row marked dead: {problem}");
                unreadable.push(id);
            }
        }
    }
    if !unreadable.is_empty() {
        let rows = outbox::table.filter(outbox::id.eq_any(unreadable));
        diesel::update(rows).set(outbox::dead_at.eq(clock_timestamp().nullable())).execute(conn).await?;
    }
    Ok(read)
}

type Claimed = (
    Uuid,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Value,
    Vec<u8>,
    Option<Moment>,
    Option<Uuid>,
);

fn read(row: Claimed, hold_for: Duration) -> Result<OutboxRow, String> {
    let (
        id,
        exchange,
        routing_key,
        kind,
        app_id,
        message_id,
        reply_to,
        correlation_id,
        headers,
        body,
        due_at,
        instance_id,
    ) = row;
    Ok(OutboxRow {
        id,
        exchange: exchange.parse().map_err(|_| format!("the exchange `{exchange}` is unknown"))?,
        routing_key,
        kind,
        app_id,
        message_id,
        reply_to,
        correlation_id,
        headers: serde_json::from_value(headers).map_err(|error| format!("its headers cannot be read: {error}"))?,
        body,
        due_at: due_at.map(Timestamp::from),
        instance_id: instance_id.map(InstanceId),
        claimable: Claimable::After(hold_for),
    })
}

struct ClaimUnsent {
    limit: i64,
    bytes_max: i64,
    hold_for: i64,
}

// The limit is part of the text: unknown, it would be taken for a tenth of the backlog, and all of it be read.
impl QueryId for ClaimUnsent {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for ClaimUnsent {
    type SqlType = (
        SqlUuid,
        Text,
        Text,
        Text,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Text>,
        Jsonb,
        Binary,
        Nullable<Timestamptz>,
        Nullable<SqlUuid>,
    );
}

impl QueryFragment<Pg> for ClaimUnsent {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH unsent AS (SELECT id, claimable_at, octet_length(body) AS bytes FROM leveret.outbox WHERE dead_at IS NULL AND claimable_at <= now() \
             ORDER BY claimable_at LIMIT ",
        );
        out.push_sql(&self.limit.to_string());
        // The length of a body is known without reading it. What is locked and not taken is free again with this statement.
        out.push_sql(
            " FOR UPDATE SKIP LOCKED), fitting AS (SELECT id FROM (SELECT id, \
             sum(bytes) OVER (ORDER BY claimable_at, id) - bytes AS before FROM unsent) AS summed WHERE before < ",
        );
        out.push_bind_param::<BigInt, _>(&self.bytes_max)?;
        out.push_sql(") UPDATE leveret.outbox AS o SET claimable_at = now() + ");
        out.push_bind_param::<BigInt, _>(&self.hold_for)?;
        out.push_sql(
            " * interval '1 millisecond' FROM fitting WHERE o.id = fitting.id RETURNING o.id, o.exchange, \
             o.routing_key, o.kind, o.app_id, o.message_id, o.reply_to, o.correlation_id, o.headers, o.body, o.due_at, \
             o.instance_id",
        );
        Ok(())
    }
}

/// Counts a return of each row: nobody is bound to its routing key. After `attempts_max` of them a row is dead; until
/// then it rests, twice as long each time. Returns the rows that died now.
pub async fn mark_returned(conn: &mut Connection, ids: &[Uuid], attempts_max: i32) -> Result<Vec<Uuid>, Error> {
    let rows: Vec<(Uuid, bool)> = MarkReturned { ids: ids.to_vec(), attempts_max }.get_results(conn).await?;
    Ok(rows.into_iter().filter(|(_, is_dead)| *is_dead).map(|(id, _)| id).collect())
}

struct MarkReturned {
    ids: Vec<Uuid>,
    attempts_max: i32,
}

impl QueryId for MarkReturned {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for MarkReturned {
    type SqlType = (SqlUuid, Bool);
}

impl QueryFragment<Pg> for MarkReturned {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE leveret.outbox SET attempts = attempts + 1, \
             claimable_at = now() + make_interval(secs => least(power(2, attempts), ",
        );
        out.push_bind_param::<Integer, _>(&REST_MAX)?;
        out.push_sql(")), dead_at = CASE WHEN attempts + 1 >= ");
        out.push_bind_param::<Integer, _>(&self.attempts_max)?;
        out.push_sql(" THEN now() END WHERE dead_at IS NULL AND id = ANY(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.ids)?;
        out.push_sql(") RETURNING id, dead_at IS NOT NULL");
        Ok(())
    }
}

/// Lets rows that were given up be published again: that one, or the oldest `limit`. Returns how many there were.
pub async fn revive(conn: &mut Connection, id: Option<Uuid>, limit: i64) -> Result<usize, Error> {
    let mut dead = outbox::table.filter(outbox::dead_at.is_not_null()).select(outbox::id).into_boxed();
    if let Some(id) = id {
        dead = dead.filter(outbox::id.eq(id));
    }
    let ids: Vec<Uuid> = dead.order(outbox::id).limit(limit).load(conn).await?;
    let revived = diesel::update(outbox::table.filter(outbox::id.eq_any(ids).and(outbox::dead_at.is_not_null())))
        .set((outbox::dead_at.eq(None::<Moment>), outbox::attempts.eq(0), outbox::claimable_at.eq(diesel::dsl::now)))
        .execute(conn)
        .await?;
    Ok(revived)
}
