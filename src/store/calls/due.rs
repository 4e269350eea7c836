//! Which calls are to be made next.

use diesel::sql_types::{BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::super::moment::Moment;
use super::super::sql::Sql;
use super::super::{Connection, Error};
use super::row;
use crate::engine::{CallId, CallKind};

/// A claimed call is left to whoever claimed it for this long.
pub(super) const CLAIM_SECONDS: i32 = 15;
/// A call of a suspended instance is looked at again after this.
const SUSPENDED_SECONDS: i32 = 5;

/// Calls of either kind that are claimed at once.
pub const CLAIMED_MAX: i64 = 64;

/// A call to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct DueCall {
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
pub async fn claim_due(conn: &mut Connection, room: &Room) -> Result<Vec<DueCall>, Error> {
    type Claimed = (Uuid, i32, String, String, Option<Value>, i64, Moment, bool);
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
    // An update returns its rows in any order; the oldest goes first.
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
                limits,
                limit_group,
                due_at: due_at.0,
            })
        })
        .collect()
}

/// The statement names twice as many: calls over HTTP and calls of workers.
const _: () = assert!(CLAIMED_MAX == 64, "claim_due.sql has this number too");

struct ClaimDue;

impl Sql for ClaimDue {
    type Binds = (Jsonb, BigInt, Integer, BigInt, Jsonb, Integer, Integer);
    type Row = (SqlUuid, Integer, Text, Text, Nullable<Jsonb>, BigInt, Timestamptz, Bool);
    const TEXT: &'static str = include_str!("claim_due.sql");
}

/// As an object: looking one up costs the same whatever plan is made for how many.
fn rooms(rooms: impl Iterator<Item = (String, i32)>) -> Value {
    Value::Object(rooms.map(|(name, room)| (name, Value::from(room))).collect())
}

/// Puts a call off that may not be made yet, but not beyond the end of its time; it counts as no attempt. Nothing, if it is no
/// longer to be made.
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
