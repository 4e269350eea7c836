//! Silent instances: ready, but without a step for long. They are claimed to publish their step commands again, less
//! and less often.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::engine::{BranchId, InstanceId, Phase, State};
use crate::store::json::Document;
use crate::store::sql::Sql;
use crate::store::{Connection, Error};

/// A silent instance: its id, its ready branches with their sequences, the queue for its step commands.
pub type Silent = (InstanceId, Vec<(BranchId, i64)>, String);

/// Claims at most `limit` instances that are ready and have not moved for `after`, or for their own recheck time if
/// that is longer; the recheck time is doubled, up to `after_max`. Suspended instances and those with a queue for their step commands
/// in `step_queues_excluded` are left out.
pub async fn claim_silent(
    conn: &mut Connection,
    after: Duration,
    after_max: Duration,
    step_queues_excluded: &[String],
    limit: i64,
) -> Result<Vec<Silent>, Error> {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let claim = ClaimSilent::bind_limit(limit, (step_queues_excluded, millis(after), millis(after_max)));
    let rows: Vec<(Uuid, String, Document)> = claim.get_results(conn).await?;
    Ok(rows
        .into_iter()
        .map(|(id, queue, branches)| {
            // A state that only newer binaries can read is left to them: no branch is returned.
            let state: State = branches.read().unwrap_or_default();
            let ready = state.branches.iter().filter(|branch| branch.phase == Phase::Ready);
            (InstanceId(id), ready.map(|branch| (branch.id, branch.sequence)).collect(), queue)
        })
        .collect())
}

struct ClaimSilent;

impl Sql for ClaimSilent {
    type Binds = (Array<Text>, BigInt, BigInt);
    type Row = (SqlUuid, Text, Jsonb);
    const TEXT: &'static str = include_str!("claim_silent.sql");
}

/// The queues for the step commands of the instances that are ready.
pub async fn ready_step_queues(conn: &mut Connection) -> Result<Vec<String>, Error> {
    Ok(ReadyStepQueues::bind(()).get_results(conn).await?)
}

struct ReadyStepQueues;

impl Sql for ReadyStepQueues {
    type Binds = ();
    type Row = Text;
    // From queue to queue through the index: a backlog in one queue is not read.
    const TEXT: &'static str = "
        WITH RECURSIVE step_queues AS (
            SELECT min(queue || CASE WHEN priority > 0 THEN '.urgent' ELSE '' END) AS step_queue FROM leveret.instances WHERE ready
            UNION ALL
            SELECT (SELECT min(i.queue || CASE WHEN i.priority > 0 THEN '.urgent' ELSE '' END)
                      FROM leveret.instances AS i
                     WHERE i.ready AND i.queue || CASE WHEN i.priority > 0 THEN '.urgent' ELSE '' END > step_queues.step_queue)
              FROM step_queues
             WHERE step_queues.step_queue IS NOT NULL
        )
        SELECT step_queue FROM step_queues WHERE step_queue IS NOT NULL";
}
