//! Changes of a call between two steps of its instance: an attempt begins; and its position, for reports.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::super::json::Document;
use super::super::moment::{Moment, millis};
use super::super::schema::leveret::calls;
use super::super::sql::Sql;
use super::super::{Connection, Error};
use super::row;
use crate::engine::{CallId, CallKind, CallPurpose, InstanceId};

/// Milliseconds after the timeout of a request at which others conclude that its process has died.
const GRACE_MS: i64 = 5_000;

/// An attempt that has begun, with everything needed to make it.
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
    /// Its dispatch number.
    pub dispatch: u32,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Over HTTP, or by an external worker.
    pub kind: CallKind,
    /// The target, whose limits and breaker apply.
    pub target: String,
    /// What to send: the request, or the probe.
    pub request: Value,
    /// Attempt or probe.
    pub purpose: CallPurpose,
    /// Whether its target answers later, with a callback.
    pub callback: bool,
    /// An external worker that is silent for longer is taken for dead.
    pub heartbeat: Option<Duration>,
    /// How long the attempt may take from now.
    pub timeout: Option<Duration>,
    /// When that time ends.
    pub deadline: Option<Timestamp>,
    /// W3C trace context of the instance.
    pub trace: Option<String>,
    /// Whether the attempt before had no outcome in time: the process that made it may have died.
    pub after_timeout: bool,
}

/// Time limits of requests whatever their call says, so that the death of the process that makes one is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Longest {
    /// Of any request.
    pub request: Duration,
    /// Of a request that a callback answers: the call may wait for days, its request may not.
    pub announced: Duration,
}

/// Marks an attempt as begun; none if the call is no longer pending under that dispatch number, if its time is over, or
/// while its instance is suspended.
///
/// `longest` limits attempts over HTTP.
pub async fn mark_running(
    conn: &mut Connection,
    id: CallId,
    dispatch: u32,
    token_hash: &[u8; 32],
    longest: Longest,
) -> Result<Option<Begun>, Error> {
    type Marked = (
        (Uuid, i64, String, i32, String, String, String),
        (Document, Option<Document>, bool, Option<i64>, Option<Moment>, Moment, Option<String>, bool),
    );
    let mark = MarkRunning::bind((
        id.0,
        row::number(dispatch),
        GRACE_MS,
        token_hash.as_slice(),
        millis(longest.request),
        millis(longest.announced),
    ));
    let marked: Option<Marked> = mark.get_result(conn).await.optional()?;
    let Some(((instance, bookmark, activity, attempt, kind, target, purpose), more)) = marked else { return Ok(None) };
    let (request, probe, callback, heartbeat, deadline, now, trace, after_timeout) = more;
    let purpose = if purpose == "probe" { CallPurpose::Probe } else { CallPurpose::Attempt };
    let until = |deadline: Moment| Duration::try_from(deadline.0.duration_since(now.0)).unwrap_or_default();
    Ok(Some(Begun {
        id,
        instance: InstanceId(instance),
        bookmark,
        activity,
        dispatch,
        attempt: row::count(attempt),
        kind: row::kind(&kind)?,
        target,
        request: match (purpose, probe) {
            (CallPurpose::Probe, Some(probe)) => probe.0,
            (CallPurpose::Probe | CallPurpose::Attempt, _) => request.0,
        },
        purpose,
        callback,
        heartbeat: heartbeat.map(row::duration),
        timeout: deadline.map(until),
        deadline: deadline.map(Timestamp::from),
        trace,
        after_timeout,
    }))
}

struct MarkRunning;

impl Sql for MarkRunning {
    type Binds = (SqlUuid, Integer, BigInt, Binary, BigInt, BigInt);
    type Row = (
        (SqlUuid, BigInt, Text, Integer, Text, Text, Text),
        (Jsonb, Nullable<Jsonb>, Bool, Nullable<BigInt>, Nullable<Timestamptz>, Timestamptz, Nullable<Text>, Bool),
    );
    const TEXT: &'static str = include_str!("mark_running.sql");
}

/// Position of a call, for reports about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its instance.
    pub instance: InstanceId,
    /// Its bookmark.
    pub bookmark: i64,
    /// Its dispatch number.
    pub dispatch: u32,
    /// The attempt.
    pub attempt: u32,
    /// The name of its state.
    pub state: String,
    /// SHA-256 of the token of the current attempt.
    pub token_hash: Option<Vec<u8>>,
}

/// The position of a call.
pub async fn find(conn: &mut Connection, id: CallId) -> Result<Option<Place>, Error> {
    type Columns = (Uuid, i64, i32, i32, String, Option<Vec<u8>>);
    let columns =
        (calls::instance_id, calls::bookmark, calls::dispatch, calls::attempt, calls::state, calls::token_hash);
    let found: Option<Columns> = calls::table.find(id.0).select(columns).first(conn).await.optional()?;
    Ok(found.map(|(instance, bookmark, dispatch, attempt, state, token_hash)| Place {
        instance: InstanceId(instance),
        bookmark,
        dispatch: row::count(dispatch),
        attempt: row::count(attempt),
        state,
        token_hash,
    }))
}
