//! Stuck instances: those that nothing will ever move. There must be none.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::moment::millis;
use super::{Connection, Error};
use crate::engine::InstanceId;

/// An instance that will not move by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck {
    /// The instance.
    pub instance: InstanceId,
    /// Why it will not.
    pub why: Why,
}

/// Why an instance will not move by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Why {
    /// It is live, neither ready nor waiting, and no row of the outbox is about it.
    Forgotten,
    /// It is ready, and neither a worker nor the timers role has touched it for too long.
    Silent,
    /// A timer, or the deadline of a call, is overdue.
    Overdue,
    /// It has ended and still has open bookmarks or calls.
    Unclosed,
}

impl Why {
    /// The word used in output.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

// A dead outbox row does not move an instance, and neither does an event. The time limit of the whole instance (a
// bookmark without a branch) would end the instance and not move it, so it does not count either; a suspension by a
// person has no branch and counts, because that person will resume the instance.
const LIST: &str = "
    SELECT i.id, 'forgotten' AS why FROM leveret.instances AS i
     WHERE i.ended_at IS NULL AND NOT i.ready
       AND NOT EXISTS (SELECT FROM leveret.bookmarks AS b
                        WHERE b.instance_id = i.id AND b.consumed_at IS NULL
                          AND (b.branch IS NOT NULL OR b.kind = 'intervention'))
       AND NOT EXISTS (SELECT FROM leveret.outbox AS o
                        WHERE o.instance_id = i.id AND o.dead_at IS NULL AND o.exchange <> 'events')
    UNION ALL
    SELECT i.id, 'silent' FROM leveret.instances AS i
     WHERE i.ready AND i.status <> 'suspended'
       AND coalesce(i.rechecked_at, i.moved_at) < now() - greatest(i.recheck_for, 60000) * interval '1 millisecond'
    UNION ALL
    SELECT b.instance_id, 'overdue' FROM leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id
     WHERE b.consumed_at IS NULL AND b.due_at < now() - interval '1 minute'
       AND i.status <> 'suspended' AND i.ended_at IS NULL
    UNION ALL
    SELECT c.instance_id, 'overdue' FROM leveret.calls AS c JOIN leveret.instances AS i ON i.id = c.instance_id
     WHERE c.state IN ('running', 'waiting') AND c.next_at < now() - interval '1 minute' AND i.status <> 'suspended'
    UNION ALL
    SELECT DISTINCT c.instance_id, 'unclosed' FROM leveret.calls AS c
      LEFT JOIN leveret.instances AS i ON i.id = c.instance_id
     WHERE c.ended_at IS NULL AND (i.id IS NULL OR i.ended_at IS NOT NULL)
    UNION ALL
    SELECT DISTINCT b.instance_id, 'unclosed' FROM leveret.bookmarks AS b
      LEFT JOIN leveret.instances AS i ON i.id = b.instance_id
     WHERE b.consumed_at IS NULL AND (i.id IS NULL OR i.ended_at IS NOT NULL)
    LIMIT $1";

/// At most `limit` stuck instances. Reads all live instances: for `doctor`, and for tests at rest.
pub async fn list(conn: &mut Connection, limit: i64) -> Result<Vec<Stuck>, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        id: Uuid,
        #[diesel(sql_type = Text)]
        why: String,
    }
    let rows: Vec<Row> = diesel::sql_query(LIST).bind::<BigInt, _>(limit).get_results(conn).await?;
    rows.into_iter()
        .map(|row| {
            let why = row.why.parse().map_err(|_| Error::Bug(format!("unknown reason `{}`", row.why)))?;
            Ok(Stuck { instance: InstanceId(row.id), why })
        })
        .collect()
}

/// Instances of a queue that are ready and that no worker has taken for a while.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Untaken {
    /// The queue.
    #[diesel(sql_type = Text)]
    pub queue: String,
    /// The activity that is next.
    #[diesel(sql_type = Text)]
    pub activity: String,
    /// Number of instances.
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

/// Instances that are ready and have not moved for two minutes, by queue and activity, largest group first: the queue
/// has no worker, the handler is missing, or there is a backlog. It does not matter how often the timers role has
/// published their commands again.
pub async fn untaken(conn: &mut Connection, limit: i64) -> Result<Vec<Untaken>, Error> {
    Ok(diesel::sql_query(
        "SELECT i.queue, coalesce(b->>'activity', '?') AS activity, count(*) AS count FROM leveret.instances AS i,
           jsonb_array_elements(i.branches->'branches') AS b
          WHERE i.ready AND i.status <> 'suspended' AND i.moved_at < now() - interval '2 minutes'
          GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT $1",
    )
    .bind::<BigInt, _>(limit)
    .get_results(conn)
    .await?)
}

/// How many instances look stuck, by indexes only: ready and untouched for longer than twice `recovery.after`, or with
/// a timer more than a minute overdue. For a metric that is read often.
pub async fn count(conn: &mut Connection, recovery_after: Duration) -> Result<i64, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let twice = millis(recovery_after.saturating_mul(2));
    let row: Row = diesel::sql_query(
        "SELECT (SELECT count(*) FROM leveret.instances WHERE ready AND status <> 'suspended'
                    AND coalesce(rechecked_at, moved_at) < now() - greatest(recheck_for, $1) * interval '1 millisecond')
              + (SELECT count(*) FROM leveret.bookmarks
                  WHERE consumed_at IS NULL AND next_check_at < now() - interval '1 minute') AS count",
    )
    .bind::<BigInt, _>(twice)
    .get_result(conn)
    .await?;
    Ok(row.count)
}
