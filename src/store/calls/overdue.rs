//! Calls whose time is over: of which nothing was heard for too long, or which could not even be begun.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::moment::Moment;
use super::super::{Connection, Error};
use super::due::{CLAIM_SECONDS, LIMIT_GROUPS};
use super::row;
use crate::engine::{CallId, CallKind, InstanceId};

/// A call whose time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// Which one.
    pub id: CallId,
    /// Its instance.
    pub instance: InstanceId,
    /// Its bookmark.
    pub bookmark: i64,
    /// The number it was handed out under.
    pub dispatch: u32,
    /// How it is made.
    pub kind: CallKind,
    /// Which time.
    pub over: Over,
}

/// Which time of a call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// That of the attempt that runs.
    Attempt,
    /// That in which its worker had to tell that it lives.
    Heartbeat,
    /// That of the whole call, before its next attempt was begun.
    Whole,
}

/// Takes calls whose time is over, for 15 seconds: those under way, by deadline or heartbeat, and those that wait to be made.
pub async fn claim_overdue(conn: &mut Connection, limit: i64) -> Result<Vec<Overdue>, Error> {
    type Claimed = (Uuid, Uuid, i64, i32, String, bool, bool);
    let rows: Vec<Claimed> = ClaimOverdue(limit).get_results(conn).await?;
    rows.into_iter()
        .map(|(id, instance, bookmark, dispatch, kind, lapsed, expired)| {
            let (id, instance, kind) = (CallId(id), InstanceId(instance), row::kind(&kind)?);
            let over = match (lapsed, expired) {
                (true, _) => Over::Whole,
                (false, true) => Over::Attempt,
                (false, false) => Over::Heartbeat,
            };
            Ok(Overdue { id, instance, bookmark, dispatch: row::count(dispatch), kind, over })
        })
        .collect()
}

struct ClaimOverdue(i64);

// The limit is part of the text, so that the planner knows how few rows are wanted.
impl QueryId for ClaimOverdue {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for ClaimOverdue {
    type SqlType = (SqlUuid, SqlUuid, BigInt, Integer, Text, Bool, Bool);
}

impl QueryFragment<Pg> for ClaimOverdue {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let limit = self.0.to_string();
        // The time is asked for in a query of its own, so that it bounds what is read of an index.
        out.push_sql(
            "WITH silent AS (SELECT id FROM leveret.calls WHERE state IN ('running', 'waiting') AND next_at IS NOT NULL \
               AND next_at <= (SELECT clock_timestamp()) ORDER BY next_at LIMIT ",
        );
        out.push_sql(&limit);
        // Whoever has claimed one of them has moved its `next_at`.
        out.push_sql(
            " FOR UPDATE SKIP LOCKED), lapsed AS (SELECT id FROM leveret.calls WHERE state = 'pending' \
               AND purpose = 'attempt' AND until <= (SELECT clock_timestamp()) AND next_at <= (SELECT clock_timestamp()) \
               ORDER BY until LIMIT ",
        );
        out.push_sql(&limit);
        out.push_sql(
            " FOR UPDATE SKIP LOCKED), due AS (SELECT id, false AS lapsed FROM silent UNION ALL SELECT id, true FROM lapsed) \
             UPDATE leveret.calls AS c SET next_at = clock_timestamp() + make_interval(secs => ",
        );
        out.push_bind_param::<Integer, _>(&CLAIM_SECONDS)?;
        out.push_sql(
            ") FROM due WHERE c.id = due.id RETURNING c.id, c.instance_id, c.bookmark, c.dispatch, c.kind, due.lapsed, \
             coalesce(c.deadline <= clock_timestamp(), false)",
        );
        Ok(())
    }
}

/// When the next call wants to be looked at, and the database's time; none when there is none.
pub async fn next_at(conn: &mut Connection) -> Result<(Option<Timestamp>, Timestamp), Error> {
    let (next, now): (Option<Moment>, Moment) = NextAt.get_result(conn).await?;
    Ok((next.map(Timestamp::from), now.0))
}

struct NextAt;

impl QueryId for NextAt {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for NextAt {
    type SqlType = (Nullable<Timestamptz>, Timestamptz);
}

impl QueryFragment<Pg> for NextAt {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Of each limit group the first; what is due already and could not be taken waits for room, not for a moment.
        out.push_sql(LIMIT_GROUPS);
        out.push_sql(
            " SELECT least((SELECT min(first.next_at) FROM limit_groups AS q CROSS JOIN LATERAL (\
                       SELECT c.next_at FROM leveret.calls AS c WHERE c.state = 'pending' AND c.target = q.target \
                          AND c.limit_group = q.limit_group AND c.next_at > statement_timestamp() ORDER BY c.next_at LIMIT 1) AS first), \
                    (SELECT c.next_at FROM leveret.calls AS c WHERE c.state IN ('running', 'waiting') \
                        AND c.next_at IS NOT NULL ORDER BY c.next_at LIMIT 1), \
                    (SELECT greatest(c.until, c.next_at) FROM leveret.calls AS c WHERE c.state = 'pending' \
                        AND c.purpose = 'attempt' AND c.until IS NOT NULL ORDER BY c.until LIMIT 1)), clock_timestamp()",
        );
        Ok(())
    }
}
