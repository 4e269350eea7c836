//! Outcomes that cannot move their instance: kept until it is resumed, or for display if they came too late.

use diesel::prelude::*;
use diesel::sql_types::{Integer, Jsonb, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::super::json::{Document, Json};
use super::super::moment::Moment;
use super::super::schema::leveret::calls;
use super::super::sql::Sql;
use super::super::{Connection, Error};
use super::row;
use crate::engine::{CallId, CallOutcome, InstanceId, ReportedOutcome};

/// Keeps the outcome of an attempt until its instance is resumed; false if the attempt was neither under way nor being
/// probed. After an unknown outcome the token stays valid, and a later report replaces it.
pub async fn record(conn: &mut Connection, id: CallId, dispatch: u32, outcome: &CallOutcome) -> Result<bool, Error> {
    let changed = Record::bind((id.0, row::number(dispatch), Json(outcome))).execute(conn).await?;
    Ok(changed == 1)
}

struct Record;

impl Sql for Record {
    type Binds = (SqlUuid, Integer, Jsonb);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.calls
           SET state = 'reported', reported_at = clock_timestamp(), outcome = $3, next_at = NULL,
               token_hash = CASE WHEN $3->>'outcome' = 'unknown' THEN token_hash END
         WHERE id = $1 AND dispatch = $2
           AND (state IN ('running', 'waiting')
                OR (state = 'pending' AND purpose = 'probe')
                OR (state = 'reported' AND outcome->>'outcome' = 'unknown' AND $3->>'outcome' <> 'unknown'))";
}

/// Makes a call wait for its callback; returns how many calls wait or have an outcome. An outcome that was reported
/// already stays: the callback may arrive before the answer that announces it.
pub(super) async fn wait(conn: &mut Connection, id: CallId, dispatch: i32, response: &Value) -> Result<usize, Error> {
    let waits = Wait::bind((id.0, dispatch, Json(response))).execute(conn).await?;
    if waits > 0 {
        return Ok(waits);
    }
    let reported = calls::table.find(id.0).filter(calls::state.eq("reported").and(calls::dispatch.eq(dispatch)));
    let reported: i64 = reported.count().get_result(conn).await?;
    Ok(usize::try_from(reported).unwrap_or_default())
}

struct Wait;

impl Sql for Wait {
    type Binds = (SqlUuid, Integer, Jsonb);
    type Row = ();
    // The time limit of the attempt counts from its begin; without one it waits until the time limit of the call.
    const TEXT: &'static str = "
        UPDATE leveret.calls
           SET state = 'waiting', result = $3, reported_at = NULL, outcome = NULL,
               deadline = least(until, begun_at + timeout_ms * interval '1 millisecond'),
               next_at = least(until, begun_at + timeout_ms * interval '1 millisecond')
         WHERE id = $1 AND dispatch = $2 AND ended_at IS NULL
           AND (state = 'running' OR (state = 'reported' AND outcome->>'outcome' IN ('answered', 'unknown')))";
}

/// The kept outcomes of the calls of an instance, in order of arrival.
pub async fn reported(conn: &mut Connection, instance: InstanceId) -> Result<Vec<ReportedOutcome>, Error> {
    type Columns = (i64, i32, Option<Moment>, Option<Document>);
    let rows: Vec<Columns> = calls::table
        .filter(calls::instance_id.eq(instance.0).and(calls::state.eq("reported")))
        .order((calls::reported_at, calls::bookmark))
        .select((calls::bookmark, calls::dispatch, calls::reported_at, calls::outcome))
        .load(conn)
        .await?;
    let mut reported = Vec::with_capacity(rows.len());
    for (bookmark, dispatch, at, outcome) in rows {
        let (Some(at), Some(outcome)) = (at, outcome) else { continue };
        let outcome = serde_json::from_value(outcome.0)
            .map_err(|error| Error::Bug(format!("the outcome of a call cannot be read: {error}")))?;
        reported.push(ReportedOutcome { bookmark, dispatch: row::count(dispatch), at: at.0, outcome });
    }
    Ok(reported)
}

/// Keeps that the time limit of a call ended before it began, until its instance is resumed.
pub async fn keep_lapsed(conn: &mut Connection, id: CallId, dispatch: u32, outcome: &CallOutcome) -> Result<(), Error> {
    KeepLapsed::bind((id.0, row::number(dispatch), Json(outcome))).execute(conn).await?;
    Ok(())
}

struct KeepLapsed;

impl Sql for KeepLapsed {
    type Binds = (SqlUuid, Integer, Jsonb);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.calls
           SET state = 'reported', reported_at = clock_timestamp(), outcome = $3, next_at = NULL
         WHERE id = $1 AND dispatch = $2 AND state = 'pending'";
}

/// Stores an outcome that came too late, for display: the call was cancelled, had failed, or was dispatched again
/// since. Returns whether that was so; an unknown outcome is not stored.
pub async fn note_late(conn: &mut Connection, id: CallId, dispatch: u32, outcome: &CallOutcome) -> Result<bool, Error> {
    match outcome {
        CallOutcome::Unknown { .. } => return Ok(false),
        CallOutcome::Answered { .. } | CallOutcome::Done { .. } | CallOutcome::Failed { .. } => {}
    }
    let changed = NoteLate::bind((id.0, row::number(dispatch), Json(outcome))).execute(conn).await?;
    Ok(changed == 1)
}

struct NoteLate;

impl Sql for NoteLate {
    type Binds = (SqlUuid, Integer, Jsonb);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.calls
           SET late = jsonb_build_object('dispatch', $2, 'at', to_jsonb(clock_timestamp()), 'outcome', $3)
         WHERE id = $1 AND state <> 'succeeded'
           AND (dispatch > $2 OR (dispatch = $2 AND state IN ('failed', 'cancelled')))";
}
