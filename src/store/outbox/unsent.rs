//! Unpublished rows of the outbox: claimed by the relay, and postponed or marked dead when the broker returns them.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Claimable, OutboxRow, millis};
use crate::engine::InstanceId;
use crate::store::json::Document;
use crate::store::moment::Moment;
use crate::store::schema::functions::clock_timestamp;
use crate::store::schema::leveret::outbox;
use crate::store::sql::{Sql, claim};
use crate::store::{Connection, Error};

/// Maximum seconds until a returned row is published again.
const REST_MAX: i32 = 60;

/// Claims at most `limit` rows that are not published yet for `hold_for`, oldest first; fewer if their bodies exceed
/// `bytes_max`, but at least one.
///
/// A row that cannot be read is logged and marked dead: it is never published to a wrong exchange, and delays no other row.
pub async fn claim_unsent(
    conn: &mut Connection,
    limit: i64,
    bytes_max: i64,
    hold_for: Duration,
) -> Result<Vec<OutboxRow>, Error> {
    let text = claim(ClaimUnsent::TEXT, limit);
    let rows: Vec<Claimed> = ClaimUnsent::bind_text(text, (bytes_max, millis(hold_for))).get_results(conn).await?;
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
    Document,
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
        headers: serde_json::from_value(headers.0).map_err(|error| format!("its headers cannot be read: {error}"))?,
        body,
        due_at: due_at.map(Timestamp::from),
        instance_id: instance_id.map(InstanceId),
        claimable: Claimable::After(hold_for),
    })
}

struct ClaimUnsent;

impl Sql for ClaimUnsent {
    type Binds = (BigInt, BigInt);
    type Row = (
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
    const TEXT: &'static str = include_str!("claim_unsent.sql");
}

/// Counts a return of each row: no queue is bound to its routing key. After `attempts_max` returns a row is dead; until
/// then it is postponed, twice as long each time. Returns the rows that became dead.
pub async fn mark_returned(conn: &mut Connection, ids: &[Uuid], attempts_max: i32) -> Result<Vec<Uuid>, Error> {
    let rows: Vec<(Uuid, bool)> = MarkReturned::bind((ids, attempts_max, REST_MAX)).get_results(conn).await?;
    Ok(rows.into_iter().filter(|(_, is_dead)| *is_dead).map(|(id, _)| id).collect())
}

struct MarkReturned;

impl Sql for MarkReturned {
    type Binds = (Array<SqlUuid>, Integer, Integer);
    type Row = (SqlUuid, Bool);
    const TEXT: &'static str = "
        UPDATE leveret.outbox
           SET attempts = attempts + 1,
               claimable_at = now() + make_interval(secs => least(power(2, attempts), $3)),
               dead_at = CASE WHEN attempts + 1 >= $2 THEN now() END
         WHERE dead_at IS NULL AND id = ANY ($1)
        RETURNING id, dead_at IS NOT NULL";
}

/// Gives rows back that this process cannot publish now, so that others claim them at once. Returns how many still existed.
pub async fn release(conn: &mut Connection, ids: &[Uuid]) -> Result<usize, Error> {
    let rows = outbox::table.filter(outbox::id.eq_any(ids.to_vec()).and(outbox::dead_at.is_null()));
    let released = rows.filter(outbox::claimable_at.gt(diesel::dsl::now));
    Ok(diesel::update(released).set(outbox::claimable_at.eq(diesel::dsl::now)).execute(conn).await?)
}

/// Makes dead rows publishable again: the given one, or the oldest `limit`. Returns how many.
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

/// Rows that wait to be published, at most `max`; without those that are put off for longer than a minute.
pub async fn count_waiting(conn: &mut Connection, max: i64) -> Result<i64, Error> {
    Ok(CountWaiting::bind((max,)).get_result(conn).await?)
}

struct CountWaiting;

impl Sql for CountWaiting {
    type Binds = (BigInt,);
    type Row = BigInt;
    const TEXT: &'static str = "
        SELECT count(*) FROM (SELECT FROM leveret.outbox
                               WHERE dead_at IS NULL AND claimable_at < now() + interval '1 minute' LIMIT $1) AS waiting";
}
