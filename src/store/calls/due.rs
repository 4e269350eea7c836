//! Claims of calls that are due.

use diesel::sql_types::{BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::super::json::Document;
use super::super::moment::Moment;
use super::super::sql::Sql;
use super::super::{Connection, Error};
use super::row;
use crate::engine::{CallId, CallKind};

/// How long a claim of a call lasts.
pub(super) const CLAIM_SECONDS: i32 = 15;
/// How long a call of a suspended instance is postponed.
const SUSPENDED_SECONDS: i32 = 5;

/// Maximum number of calls of each kind in one claim.
pub const CLAIMED_MAX: i64 = 64;

/// A call to dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct DueCall {
    /// The call.
    pub id: CallId,
    /// Its dispatch number.
    pub dispatch: u32,
    /// Over HTTP, or by an external worker.
    pub kind: CallKind,
    /// The target, whose limits and breaker apply.
    pub target: String,
    /// The limits that the activity sets.
    pub limits: Option<Value>,
    /// The same number for calls of a target with the same limits; 0 without limits.
    pub limit_group: i64,
    /// When it became due.
    pub due_at: Timestamp,
}

/// How many calls a claim may take.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// All calls over HTTP.
    pub http: i64,
    /// All calls for external workers, and of any one of them: they need no slot here.
    pub work: i64,
    /// Calls over HTTP of any one target.
    pub per_target: i32,
    /// Targets with fewer free slots than that.
    pub narrow: Vec<(String, i32)>,
    /// Limit groups of a target with fewer free slots.
    pub groups: Vec<(String, i64, i32)>,
}

/// Claims calls that are due for 15 seconds: fairly by target, so that none starves another, and by limit group, so
/// that calls that wait for a limit do not block others. Calls of suspended instances are postponed and not returned;
/// those whose time is over are left to [`super::claim_overdue`].
pub async fn claim_due(conn: &mut Connection, room: &Room) -> Result<Vec<DueCall>, Error> {
    type Claimed = (Uuid, i32, String, String, Option<Document>, i64, Moment, bool);
    let mut rows: Vec<Claimed> = ClaimDue::bind((
        rooms(room.narrow.iter().cloned()),
        room.work.min(CLAIMED_MAX),
        room.per_target,
        room.http.min(CLAIMED_MAX),
        rooms(room.groups.iter().map(|(target, group, room)| (format!("{target} {group}"), *room))),
        SUSPENDED_SECONDS,
        CLAIM_SECONDS,
    ))
    .get_results(conn)
    .await?;
    // An update returns its rows in any order; the oldest comes first.
    rows.sort_by_key(|(.., due_at, _)| due_at.0);
    rows.into_iter()
        .filter(|(.., suspended)| !suspended)
        .map(|(id, dispatch, kind, target, limits, limit_group, due_at, _)| {
            let kind = row::kind(&kind)?;
            Ok(DueCall {
                id: CallId(id),
                dispatch: row::count(dispatch),
                kind,
                target,
                limits: limits.map(Value::from),
                limit_group,
                due_at: due_at.0,
            })
        })
        .collect()
}

/// The statement contains twice this number: calls over HTTP and calls for external workers.
const _: () = assert!(CLAIMED_MAX == 64, "claim_due.sql has this number too");

struct ClaimDue;

impl Sql for ClaimDue {
    type Binds = (Jsonb, BigInt, Integer, BigInt, Jsonb, Integer, Integer);
    type Row = (SqlUuid, Integer, Text, Text, Nullable<Jsonb>, BigInt, Timestamptz, Bool);
    const TEXT: &'static str = include_str!("claim_due.sql");
}

/// As an object: a lookup costs the same with any plan.
fn rooms(rooms: impl Iterator<Item = (String, i32)>) -> Document {
    Document(Value::Object(rooms.map(|(name, room)| (name, Value::from(room))).collect()))
}

/// Postpones a call, but not beyond its time limit; it does not count as an attempt. Does nothing if the call is no
/// longer pending under that dispatch number.
pub async fn put_off(conn: &mut Connection, id: CallId, dispatch: u32, until: Timestamp) -> Result<(), Error> {
    PutOff::bind((id.0, row::number(dispatch), Moment(until))).execute(conn).await?;
    Ok(())
}

struct PutOff;

impl Sql for PutOff {
    type Binds = (SqlUuid, Integer, Timestamptz);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.calls
           SET next_at = least($3, CASE WHEN purpose = 'attempt' THEN until END)
         WHERE id = $1 AND dispatch = $2 AND state = 'pending'";
}
