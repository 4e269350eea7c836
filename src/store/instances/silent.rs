//! Instances that could move and do not: claimed so that their step commands are published again, ever less often.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use crate::engine::{BranchId, InstanceId, Phase, State};
use crate::store::{Connection, Error};

/// An instance that could move and has not: itself, its ready branches with their sequences, its queue.
pub type Silent = (InstanceId, Vec<(BranchId, i64)>, String);

/// Takes at most `limit` instances that are ready and have not moved for `after`, or for their own recheck time if that
/// is longer; the recheck time is doubled, up to `after_max`. Suspended instances and `queues_excluded` are left alone.
pub async fn claim_silent(
    conn: &mut Connection,
    after: Duration,
    after_max: Duration,
    queues_excluded: &[String],
    limit: i64,
) -> Result<Vec<Silent>, Error> {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let claim = ClaimSilent {
        queues_excluded: queues_excluded.to_vec(),
        after: millis(after),
        after_max: millis(after_max),
        limit,
    };
    let rows: Vec<(Uuid, String, Value)> = claim.get_results(conn).await?;
    Ok(rows
        .into_iter()
        .map(|(id, queue, branches)| {
            // What only newer binaries can read is left to them: no branch is named.
            let state: State = serde_json::from_value(branches).unwrap_or_default();
            let ready = state.branches.iter().filter(|branch| branch.phase == Phase::Ready);
            (InstanceId(id), ready.map(|branch| (branch.id, branch.sequence)).collect(), queue)
        })
        .collect())
}

struct ClaimSilent {
    queues_excluded: Vec<String>,
    after: i64,
    after_max: i64,
    limit: i64,
}

// The limit is part of the text: unknown, it would be taken for a tenth of what is ready, and all instances be read.
impl QueryId for ClaimSilent {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for ClaimSilent {
    type SqlType = (SqlUuid, Text, Jsonb);
}

impl QueryFragment<Pg> for ClaimSilent {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH silent AS (SELECT id FROM leveret.instances WHERE ready AND status <> 'suspended' AND queue <> ALL(",
        );
        out.push_bind_param::<Array<Text>, _>(&self.queues_excluded)?;
        out.push_sql(") AND coalesce(rechecked_at, moved_at) < now() - greatest(recheck_for, ");
        out.push_bind_param::<BigInt, _>(&self.after)?;
        out.push_sql(") * interval '1 millisecond' LIMIT ");
        out.push_sql(&self.limit.to_string());
        out.push_sql(
            " FOR NO KEY UPDATE SKIP LOCKED) UPDATE leveret.instances AS i SET rechecked_at = now(), \
             recheck_for = least(greatest(i.recheck_for, ",
        );
        out.push_bind_param::<BigInt, _>(&self.after)?;
        out.push_sql(") * 2, ");
        out.push_bind_param::<BigInt, _>(&self.after_max)?;
        out.push_sql(") FROM silent WHERE i.id = silent.id RETURNING i.id, i.queue, i.branches");
        Ok(())
    }
}

/// The queues that have instances which could move.
pub async fn ready_queues(conn: &mut Connection) -> Result<Vec<String>, Error> {
    Ok(ReadyLanes.get_results(conn).await?)
}

#[derive(QueryId)]
struct ReadyLanes;

impl Query for ReadyLanes {
    type SqlType = Text;
}

// From queue to queue through the index: a backlog in one queue is not read.
impl QueryFragment<Pg> for ReadyLanes {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH RECURSIVE queues AS (SELECT min(queue) AS queue FROM leveret.instances WHERE ready UNION ALL \
             SELECT (SELECT min(i.queue) FROM leveret.instances AS i WHERE i.ready AND i.queue > queues.queue) \
             FROM queues WHERE queues.queue IS NOT NULL) SELECT queue FROM queues WHERE queue IS NOT NULL",
        );
        Ok(())
    }
}
