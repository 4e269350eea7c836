//! Signs of life of an external worker: heartbeats and progress.

use diesel::sql_types::{BigInt, Integer, Jsonb, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::super::json::Json;
use super::super::sql::Sql;
use super::super::{Connection, Error};
use super::row;
use crate::engine::CallId;

/// Stores a heartbeat; false if the attempt is not under way.
pub async fn beat(conn: &mut Connection, id: CallId, dispatch: u32) -> Result<bool, Error> {
    let changed = Beat::bind((id.0, row::number(dispatch))).execute(conn).await?;
    Ok(changed == 1)
}

struct Beat;

impl Sql for Beat {
    type Binds = (SqlUuid, Integer);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.calls
           SET next_at = least(deadline, clock_timestamp() + heartbeat_ms * interval '1 millisecond')
         WHERE id = $1 AND dispatch = $2 AND state = 'running'";
}

/// Stores progress, which is a heartbeat too; false if the attempt is not under way, or has reported progress
/// `times_max` times already.
pub async fn tell_progress(
    conn: &mut Connection,
    id: CallId,
    dispatch: u32,
    progress: &Value,
    times_max: i64,
) -> Result<bool, Error> {
    let changed = Progress::bind((id.0, row::number(dispatch), Json(progress), times_max)).execute(conn).await?;
    Ok(changed == 1)
}

struct Progress;

impl Sql for Progress {
    type Binds = (SqlUuid, Integer, Jsonb, BigInt);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.calls
           SET next_at = least(deadline, clock_timestamp() + heartbeat_ms * interval '1 millisecond'),
               progress = jsonb_build_object('count', coalesce((progress->>'count')::bigint, 0) + 1,
                                             'last', $3,
                                             'at', to_jsonb(clock_timestamp()))
         WHERE id = $1 AND dispatch = $2 AND state = 'running' AND coalesce((progress->>'count')::bigint, 0) < $4";
}
