//! Which calls are to be made next.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::super::moment::Moment;
use super::super::{Connection, Error};
use super::row;
use crate::engine::{CallId, CallKind};

/// A claimed call is left to whoever claimed it for this long.
pub(super) const CLAIM_SECONDS: i32 = 15;
/// A call of a suspended instance is looked at again after this.
const SUSPENDED_SECONDS: i32 = 5;

const SUSPENDED: &str = "suspended";

/// A call to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// Which one.
    pub id: CallId,
    /// The number it is handed out under.
    pub run: u32,
    /// How it is made.
    pub kind: CallKind,
    /// Whose limits and breaker it falls under.
    pub target: String,
    /// How much of the target it may take.
    pub limits: Option<Value>,
    /// Since when it has been due.
    pub due_at: Timestamp,
}

/// How many calls a turn takes.
#[derive(Debug, Clone)]
pub struct Room {
    /// In all.
    pub total: i64,
    /// Of any one target.
    pub per_target: i32,
    /// Of targets that have less room left than that.
    pub narrow: Vec<(String, i32)>,
}

/// Takes calls that are due, target by target so that none starves another, for 15 seconds. Calls of suspended instances are
/// put off, and not returned; those whose time is over are left to [`super::claim_overdue`].
///
/// # Errors
/// Those of the database.
pub async fn claim_due(conn: &mut Connection, room: &Room) -> Result<Vec<Due>, Error> {
    type Claimed = (Uuid, i32, String, String, Option<Value>, Moment, bool);
    let (targets, rooms) = room.narrow.iter().cloned().unzip();
    let claim = ClaimDue { total: room.total, per_target: room.per_target, targets, rooms };
    let rows: Vec<Claimed> = claim.get_results(conn).await?;
    rows.into_iter()
        .filter(|(.., suspended)| !suspended)
        .map(|(id, run, kind, target, limits, due_at, _)| {
            let kind = row::kind(&kind)?;
            Ok(Due { id: CallId(id), run: row::count(run), kind, target, limits, due_at: due_at.0 })
        })
        .collect()
}

struct ClaimDue {
    total: i64,
    per_target: i32,
    targets: Vec<String>,
    rooms: Vec<i32>,
}

impl QueryId for ClaimDue {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for ClaimDue {
    type SqlType = (SqlUuid, Integer, Text, Text, Nullable<Jsonb>, Timestamptz, Bool);
}

impl QueryFragment<Pg> for ClaimDue {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // From target to target through the index, however many calls wait for each; then the oldest of each. The time is asked
        // for in a query of its own, which is made once: else it is no bound of an index, and all that is not due yet is read.
        out.push_sql(
            "WITH RECURSIVE targets AS (\
               (SELECT c.target FROM leveret.calls AS c WHERE c.state = 'pending' ORDER BY c.target LIMIT 1) \
               UNION ALL \
               SELECT (SELECT c.target FROM leveret.calls AS c WHERE c.state = 'pending' AND c.target > t.target \
                        ORDER BY c.target LIMIT 1) FROM targets AS t WHERE t.target IS NOT NULL), \
             due AS (SELECT found.id, found.next_at FROM targets AS t CROSS JOIN LATERAL (\
               SELECT c.id, c.next_at FROM leveret.calls AS c \
                WHERE c.state = 'pending' AND c.target = t.target AND c.next_at <= (SELECT clock_timestamp()) \
                  AND (c.purpose = 'probe' OR c.until IS NULL OR c.until > clock_timestamp()) ORDER BY c.next_at \
                LIMIT coalesce((SELECT narrow.room FROM unnest(",
        );
        out.push_bind_param::<Array<Text>, _>(&self.targets)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&self.rooms)?;
        out.push_sql(") AS narrow (target, room) WHERE narrow.target = t.target), ");
        out.push_bind_param::<Integer, _>(&self.per_target)?;
        out.push_sql(") FOR UPDATE SKIP LOCKED) AS found WHERE t.target IS NOT NULL ORDER BY found.next_at LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.total)?;
        out.push_sql(
            "), judged AS (SELECT due.id, due.next_at, coalesce((SELECT i.status FROM leveret.instances AS i \
               JOIN leveret.calls AS c ON c.instance_id = i.id WHERE c.id = due.id) = ",
        );
        out.push_bind_param::<Text, _>(&SUSPENDED)?;
        out.push_sql(
            ", false) AS suspended FROM due) \
             UPDATE leveret.calls AS c SET next_at = clock_timestamp() + make_interval(secs => CASE WHEN judged.suspended THEN ",
        );
        out.push_bind_param::<Integer, _>(&SUSPENDED_SECONDS)?;
        out.push_sql(" ELSE ");
        out.push_bind_param::<Integer, _>(&CLAIM_SECONDS)?;
        out.push_sql(
            " END) FROM judged WHERE c.id = judged.id AND c.state = 'pending' \
             RETURNING c.id, c.run, c.kind, c.target, c.limits, judged.next_at, judged.suspended",
        );
        Ok(())
    }
}

/// Puts a call off that may not be made yet, but not beyond the end of its time; it counts as no attempt. Nothing, if it is no
/// longer to be made.
///
/// # Errors
/// Those of the database.
pub async fn put_off(conn: &mut Connection, id: CallId, run: u32, until: Timestamp) -> Result<(), Error> {
    let put_off = "UPDATE leveret.calls SET next_at = least($3, CASE WHEN purpose = 'attempt' THEN until END) \
                   WHERE id = $1 AND run = $2 AND state = 'pending'";
    diesel::sql_query(put_off)
        .bind::<SqlUuid, _>(id.0)
        .bind::<Integer, _>(row::number(run))
        .bind::<Timestamptz, _>(Moment(until))
        .execute(conn)
        .await?;
    Ok(())
}
