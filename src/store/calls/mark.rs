//! What is done to a call between two steps of its instance: it is begun, heard of, and its outcome kept for later.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::super::moment::Moment;
use super::super::schema::leveret::calls;
use super::super::{Connection, Error};
use super::row;
use crate::engine::{CallId, CallKind, CallOutcome, CallPurpose, InstanceId, Settled};

/// Whoever makes a request notices its timeout; this much later others conclude that it has died over it.
const GRACE_MS: i64 = 5_000;

/// An attempt that has begun: everything its maker needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// The call.
    pub id: CallId,
    /// Its instance.
    pub instance: InstanceId,
    /// Its bookmark.
    pub bookmark: i64,
    /// The activity it is for.
    pub activity: String,
    /// The number it was handed out under.
    pub run: u32,
    /// The attempt, from 1.
    pub attempt: u32,
    /// How it is made.
    pub kind: CallKind,
    /// Whose limits and breaker it falls under.
    pub target: String,
    /// What is to be sent: the request, or the probe.
    pub request: Value,
    /// What for.
    pub purpose: CallPurpose,
    /// Whether it ends with a callback.
    pub callback: bool,
    /// A worker silent for longer has died over it.
    pub heartbeat: Option<Duration>,
    /// For how long the attempt may go on from now.
    pub timeout: Option<Duration>,
    /// Until when that is.
    pub deadline: Option<Timestamp>,
    /// W3C trace context of the instance.
    pub trace: Option<String>,
}

/// Marks an attempt as begun; none if the call is no longer to be made under that number.
///
/// `timeout_max` bounds attempts that have no limit of their own and are watched by their maker.
///
/// # Errors
/// Those of the database.
pub async fn mark_running(
    conn: &mut Connection,
    id: CallId,
    run: u32,
    token_hash: &[u8; 32],
    timeout_max: Duration,
) -> Result<Option<Begun>, Error> {
    type Marked = (
        (Uuid, i64, String, i32, String, String, String),
        (Value, Option<Value>, bool, Option<i64>, Option<Moment>, Moment, Option<String>),
    );
    let mark = MarkRunning {
        id: id.0,
        run: row::number(run),
        token_hash: token_hash.as_slice(),
        timeout_max: row::millis(timeout_max),
    };
    let marked: Option<Marked> = mark.get_result(conn).await.optional()?;
    let Some(((instance, bookmark, activity, attempt, kind, target, purpose), more)) = marked else { return Ok(None) };
    let (request, probe, callback, heartbeat, deadline, now, trace) = more;
    let purpose = if purpose == "probe" { CallPurpose::Probe } else { CallPurpose::Attempt };
    let until = |deadline: Moment| Duration::try_from(deadline.0.duration_since(now.0)).unwrap_or_default();
    Ok(Some(Begun {
        id,
        instance: InstanceId(instance),
        bookmark,
        activity,
        run,
        attempt: row::count(attempt),
        kind: row::kind(&kind)?,
        target,
        request: match (purpose, probe) {
            (CallPurpose::Probe, Some(probe)) => probe,
            (CallPurpose::Probe | CallPurpose::Attempt, _) => request,
        },
        purpose,
        callback,
        heartbeat: heartbeat.map(row::duration),
        timeout: deadline.map(until),
        deadline: deadline.map(Timestamp::from),
        trace,
    }))
}

struct MarkRunning<'a> {
    id: Uuid,
    run: i32,
    token_hash: &'a [u8],
    timeout_max: i64,
}

impl QueryId for MarkRunning<'_> {
    type QueryId = MarkRunning<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for MarkRunning<'_> {
    type SqlType = (
        (SqlUuid, BigInt, Text, Integer, Text, Text, Text),
        (Jsonb, Nullable<Jsonb>, Bool, Nullable<BigInt>, Nullable<Timestamptz>, Timestamptz, Nullable<Text>),
    );
}

impl QueryFragment<Pg> for MarkRunning<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // An attempt without a limit that nobody would miss has one all the same, or its maker's death would go unnoticed.
        out.push_sql(
            "UPDATE leveret.calls AS c SET state = 'running', begun_at = t.now, deadline = t.deadline, next_at = CASE \
               WHEN c.kind = 'work' THEN least(t.deadline, t.now + c.heartbeat_ms * interval '1 millisecond') \
               ELSE t.deadline + ",
        );
        out.push_bind_param::<BigInt, _>(&GRACE_MS)?;
        out.push_sql(" * interval '1 millisecond' END, token_hash = ");
        out.push_bind_param::<Binary, _>(&self.token_hash)?;
        out.push_sql(
            " FROM (SELECT w.id, n.now, least(w.until, n.now + CASE WHEN w.timeout_ms IS NULL AND w.kind = 'work' \
               THEN NULL ELSE coalesce(w.timeout_ms, ",
        );
        out.push_bind_param::<BigInt, _>(&self.timeout_max)?;
        out.push_sql(
            ") END * interval '1 millisecond') AS deadline FROM leveret.calls AS w, \
             (SELECT clock_timestamp() AS now) AS n WHERE w.id = ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.id)?;
        out.push_sql(") AS t WHERE c.id = t.id AND c.run = ");
        out.push_bind_param::<Integer, _>(&self.run)?;
        out.push_sql(
            " AND c.state = 'pending' RETURNING c.instance_id, c.bookmark, c.activity, c.attempt, c.kind, c.target, \
             c.purpose, c.request, c.probe, c.callback, c.heartbeat_ms, c.deadline, t.now, c.trace",
        );
        Ok(())
    }
}

/// Where a call stands, for whoever says something about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its instance.
    pub instance: InstanceId,
    /// Its bookmark.
    pub bookmark: i64,
    /// The number it was handed out under last.
    pub run: u32,
    /// The attempt.
    pub attempt: u32,
    /// The word for how it stands.
    pub state: String,
    /// SHA-256 of the token of the attempt that runs.
    pub token_hash: Option<Vec<u8>>,
}

/// Where a call stands.
///
/// # Errors
/// Those of the database.
pub async fn find(conn: &mut Connection, id: CallId) -> Result<Option<Place>, Error> {
    type Columns = (Uuid, i64, i32, i32, String, Option<Vec<u8>>);
    let columns = (calls::instance_id, calls::bookmark, calls::run, calls::attempt, calls::state, calls::token_hash);
    let found: Option<Columns> = calls::table.find(id.0).select(columns).first(conn).await.optional()?;
    Ok(found.map(|(instance, bookmark, run, attempt, state, token_hash)| Place {
        instance: InstanceId(instance),
        bookmark,
        run: row::count(run),
        attempt: row::count(attempt),
        state,
        token_hash,
    }))
}

/// Keeps the outcome of an attempt until its instance moves again; whether the attempt was still under way.
///
/// # Errors
/// Those of the database.
pub async fn record(conn: &mut Connection, id: CallId, run: u32, outcome: &CallOutcome) -> Result<bool, Error> {
    let changed = diesel::sql_query(
        "UPDATE leveret.calls SET state = 'settled', settled_at = clock_timestamp(), outcome = $3, next_at = NULL, \
         token_hash = NULL WHERE id = $1 AND run = $2 AND state IN ('running', 'waiting')",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Integer, _>(row::number(run))
    .bind::<Jsonb, _>(row::json(outcome)?)
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// The kept outcomes of an instance's calls, in the order in which they came.
///
/// # Errors
/// Those of the database.
pub async fn settled(conn: &mut Connection, instance: InstanceId) -> Result<Vec<Settled>, Error> {
    type Columns = (i64, i32, Option<Moment>, Option<Value>);
    let rows: Vec<Columns> = calls::table
        .filter(calls::instance_id.eq(instance.0).and(calls::state.eq("settled")))
        .order((calls::settled_at, calls::bookmark))
        .select((calls::bookmark, calls::run, calls::settled_at, calls::outcome))
        .load(conn)
        .await?;
    let mut settled = Vec::with_capacity(rows.len());
    for (bookmark, run, at, outcome) in rows {
        let (Some(at), Some(outcome)) = (at, outcome) else { continue };
        let outcome = serde_json::from_value(outcome)
            .map_err(|error| Error::Bug(format!("the outcome of a call cannot be read: {error}")))?;
        settled.push(Settled { bookmark, run: row::count(run), at: at.0, outcome });
    }
    Ok(settled)
}

/// Writes down what came back of a call nobody waits for any more, so that somebody can still tell.
///
/// # Errors
/// Those of the database.
pub async fn note_late(conn: &mut Connection, id: CallId, run: u32, outcome: &CallOutcome) -> Result<(), Error> {
    diesel::sql_query(
        "UPDATE leveret.calls SET outcome = $3, settled_at = clock_timestamp() \
         WHERE id = $1 AND run = $2 AND state = 'cancelled' AND outcome IS NULL",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Integer, _>(row::number(run))
    .bind::<Jsonb, _>(row::json(outcome)?)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes down that a worker lives; whether the attempt is under way.
///
/// # Errors
/// Those of the database.
pub async fn beat(conn: &mut Connection, id: CallId, run: u32) -> Result<bool, Error> {
    let changed = diesel::sql_query(
        "UPDATE leveret.calls SET next_at = least(deadline, clock_timestamp() + heartbeat_ms * interval '1 millisecond') \
         WHERE id = $1 AND run = $2 AND state = 'running'",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Integer, _>(row::number(run))
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// Writes down how far a worker is, which is a heartbeat too; false if the attempt is not under way, or if it has told
/// `times_max` times already.
///
/// # Errors
/// Those of the database.
pub async fn tell_progress(
    conn: &mut Connection,
    (id, run): (CallId, u32),
    progress: &Value,
    times_max: i64,
) -> Result<bool, Error> {
    let changed = diesel::sql_query(
        "UPDATE leveret.calls SET next_at = least(deadline, clock_timestamp() + heartbeat_ms * interval '1 millisecond'), \
         progress = jsonb_build_object('count', coalesce((progress->>'count')::bigint, 0) + 1, 'last', $3, \
                                       'at', to_jsonb(clock_timestamp())) \
         WHERE id = $1 AND run = $2 AND state = 'running' AND coalesce((progress->>'count')::bigint, 0) < $4",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Integer, _>(row::number(run))
    .bind::<Jsonb, _>(progress)
    .bind::<BigInt, _>(times_max)
    .execute(conn)
    .await?;
    Ok(changed == 1)
}
