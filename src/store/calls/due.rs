//! Which calls are to be made next.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
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

/// Calls of either kind that are claimed at once.
pub const CLAIMED_MAX: i64 = 64;

const SUSPENDED: &str = "suspended";

/// A call to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// Which one.
    pub id: CallId,
    /// The number it is handed out under.
    pub dispatch: u32,
    /// How it is made.
    pub kind: CallKind,
    /// Whose limits and breaker it falls under.
    pub target: String,
    /// How much of the target it may take.
    pub limits: Option<Value>,
    /// The limit group of those of its target that may take the same; 0 if there are no limits.
    pub limit_group: i64,
    /// Since when it has been due.
    pub due_at: Timestamp,
}

/// How many calls a turn takes.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// Over HTTP in all.
    pub http: i64,
    /// For workers in all, and of any one of them: they take up no place here.
    pub work: i64,
    /// Over HTTP, of any one target.
    pub per_target: i32,
    /// Of targets that have less room left than that.
    pub narrow: Vec<(String, i32)>,
    /// Of limit groups at a target that have less.
    pub groups: Vec<(String, i64, i32)>,
}

/// Takes calls that are due, target by target so that none starves another, and limit group by limit group so that what waits for a limit is
/// in nobody's way, for 15 seconds. Calls of suspended instances are put off, and not returned; those whose time is over are left
/// to [`super::claim_overdue`].
pub async fn claim_due(conn: &mut Connection, room: &Room) -> Result<Vec<Due>, Error> {
    type Claimed = (Uuid, i32, String, String, Option<Value>, i64, Moment, bool);
    let mut rows: Vec<Claimed> = ClaimDue::of(room).get_results(conn).await?;
    // An update returns its rows in any order; the oldest goes first.
    rows.sort_by_key(|(.., due_at, _)| due_at.0);
    rows.into_iter()
        .filter(|(.., suspended)| !suspended)
        .map(|(id, dispatch, kind, target, limits, limit_group, due_at, _)| {
            let kind = row::kind(&kind)?;
            Ok(Due {
                id: CallId(id),
                dispatch: row::count(dispatch),
                kind,
                target,
                limits,
                limit_group,
                due_at: due_at.0,
            })
        })
        .collect()
}

/// From limit group to limit group through the index, however many calls wait in each.
pub(super) const LIMIT_GROUPS: &str = "WITH RECURSIVE limit_groups AS (\
       (SELECT c.target, c.limit_group FROM leveret.calls AS c WHERE c.state = 'pending' ORDER BY c.target, c.limit_group LIMIT 1) \
       UNION ALL \
       SELECT next.target, next.limit_group FROM limit_groups AS q CROSS JOIN LATERAL (\
         SELECT c.target, c.limit_group FROM leveret.calls AS c WHERE c.state = 'pending' \
            AND (c.target, c.limit_group) > (q.target, q.limit_group) ORDER BY c.target, c.limit_group LIMIT 1) AS next)";

struct ClaimDue {
    http: i64,
    work: i64,
    per_target: i32,
    /// By target.
    narrow: Value,
    /// By target and limit group.
    groups: Value,
}

impl ClaimDue {
    fn of(room: &Room) -> Self {
        let groups = room.groups.iter().map(|(target, queue, room)| (format!("{target} {queue}"), *room));
        Self {
            http: room.http.min(CLAIMED_MAX),
            work: room.work.min(CLAIMED_MAX),
            per_target: room.per_target,
            narrow: rooms(room.narrow.iter().cloned()),
            groups: rooms(groups),
        }
    }
}

/// As an object: looking one up costs the same whatever plan is made for how many.
fn rooms(rooms: impl Iterator<Item = (String, i32)>) -> Value {
    Value::Object(rooms.map(|(name, room)| (name, Value::from(room))).collect())
}

impl QueryId for ClaimDue {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for ClaimDue {
    type SqlType = (SqlUuid, Integer, Text, Text, Nullable<Jsonb>, BigInt, Timestamptz, Bool);
}

impl QueryFragment<Pg> for ClaimDue {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The oldest of each limit group, then of each target, then of all.
        out.push_sql(LIMIT_GROUPS);
        out.push_sql(", room AS (SELECT q.target, q.limit_group, least((");
        out.push_bind_param::<Jsonb, _>(&self.narrow)?;
        out.push_sql("->>q.target)::int, CASE WHEN starts_with(q.target, 'work:') THEN ");
        out.push_bind_param::<BigInt, _>(&self.work)?;
        out.push_sql(" ELSE least(");
        out.push_bind_param::<Integer, _>(&self.per_target)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.http)?;
        out.push_sql(") END) AS of_target, (");
        out.push_bind_param::<Jsonb, _>(&self.groups)?;
        out.push_sql(
            "->>(q.target || ' ' || q.limit_group))::int AS of_group FROM limit_groups AS q), \
             found AS (SELECT first.id, first.kind, first.next_at, r.of_target, \
                 row_number() OVER (PARTITION BY r.target ORDER BY first.next_at, first.id) AS at_target \
               FROM room AS r CROSS JOIN LATERAL (\
                 SELECT c.id, c.kind, c.next_at FROM leveret.calls AS c \
                  WHERE c.state = 'pending' AND c.target = r.target AND c.limit_group = r.limit_group \
                    AND c.next_at <= statement_timestamp() ORDER BY c.next_at \
                  LIMIT least(r.of_target, r.of_group) FOR UPDATE SKIP LOCKED) AS first), \
             fair AS (SELECT f.id, f.kind, f.next_at, row_number() OVER (PARTITION BY f.kind ORDER BY f.next_at, f.id) AS of_kind \
               FROM found AS f WHERE f.at_target <= f.of_target), \
             judged AS (SELECT due.id, due.next_at, coalesce((SELECT i.status FROM leveret.instances AS i \
               JOIN leveret.calls AS c ON c.instance_id = i.id WHERE c.id = due.id) = ",
        );
        out.push_bind_param::<Text, _>(&SUSPENDED)?;
        out.push_sql(", false) AS suspended FROM fair AS due WHERE due.of_kind <= CASE due.kind WHEN 'work' THEN ");
        out.push_bind_param::<BigInt, _>(&self.work)?;
        out.push_sql(" ELSE ");
        out.push_bind_param::<BigInt, _>(&self.http)?;
        // The bound is part of the text, so that the planner knows how few rows are wanted.
        out.push_sql(" END LIMIT ");
        out.push_sql(&(2 * CLAIMED_MAX).to_string());
        out.push_sql(
            ") UPDATE leveret.calls AS c SET next_at = clock_timestamp() + make_interval(secs => CASE WHEN judged.suspended THEN ",
        );
        out.push_bind_param::<Integer, _>(&SUSPENDED_SECONDS)?;
        out.push_sql(" ELSE ");
        out.push_bind_param::<Integer, _>(&CLAIM_SECONDS)?;
        out.push_sql(
            " END) FROM judged WHERE c.id = judged.id AND c.state = 'pending' \
             RETURNING c.id, c.dispatch, c.kind, c.target, c.limits, c.limit_group, judged.next_at, judged.suspended",
        );
        Ok(())
    }
}

/// Puts a call off that may not be made yet, but not beyond the end of its time; it counts as no attempt. Nothing, if it is no
/// longer to be made.
pub async fn put_off(conn: &mut Connection, id: CallId, dispatch: u32, until: Timestamp) -> Result<(), Error> {
    let put_off = "UPDATE leveret.calls SET next_at = least($3, CASE WHEN purpose = 'attempt' THEN until END) \
                   WHERE id = $1 AND dispatch = $2 AND state = 'pending'";
    diesel::sql_query(put_off)
        .bind::<SqlUuid, _>(id.0)
        .bind::<Integer, _>(row::number(dispatch))
        .bind::<Timestamptz, _>(Moment(until))
        .execute(conn)
        .await?;
    Ok(())
}
