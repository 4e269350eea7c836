//! Calls whose time is over: silent for too long, or not begun in time.

use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::moment::Moment;
use super::super::sql::Sql;
use super::super::{Connection, Error};
use super::due::CLAIM_SECONDS;
use super::row;
use crate::engine::{CallId, CallKind, InstanceId};

/// A call whose time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueCall {
    /// The call.
    pub id: CallId,
    /// Its instance.
    pub instance: InstanceId,
    /// Its bookmark.
    pub bookmark: i64,
    /// Its dispatch number.
    pub dispatch: u32,
    /// Over HTTP, or by an external worker.
    pub kind: CallKind,
    /// Which time limit is over.
    pub over: Over,
}

/// A time limit of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// That of the attempt under way.
    Attempt,
    /// That of the heartbeat of its worker.
    Heartbeat,
    /// That of the whole call, before its next attempt began.
    Whole,
}

/// Claims calls whose time is over for 15 seconds: those under way, by deadline or heartbeat, and those that are pending.
pub async fn claim_overdue(conn: &mut Connection, limit: i64) -> Result<Vec<OverdueCall>, Error> {
    type Claimed = (Uuid, Uuid, i64, i32, String, bool, bool);
    let rows: Vec<Claimed> = ClaimOverdue::bind_limit(limit, (CLAIM_SECONDS,)).get_results(conn).await?;
    rows.into_iter()
        .map(|(id, instance, bookmark, dispatch, kind, lapsed, expired)| {
            let (id, instance, kind) = (CallId(id), InstanceId(instance), row::kind(&kind)?);
            let over = match (lapsed, expired) {
                (true, _) => Over::Whole,
                (false, true) => Over::Attempt,
                (false, false) => Over::Heartbeat,
            };
            Ok(OverdueCall { id, instance, bookmark, dispatch: row::count(dispatch), kind, over })
        })
        .collect()
}

struct ClaimOverdue;

impl Sql for ClaimOverdue {
    type Binds = (Integer,);
    type Row = (SqlUuid, SqlUuid, BigInt, Integer, Text, Bool, Bool);
    const TEXT: &'static str = include_str!("claim_overdue.sql");
}

/// When the next call must be checked (none if there is none), and the database's time.
pub async fn next_at(conn: &mut Connection) -> Result<(Option<Timestamp>, Timestamp), Error> {
    let (next, now): (Option<Moment>, Moment) = NextAt::bind(()).get_result(conn).await?;
    Ok((next.map(Timestamp::from), now.0))
}

struct NextAt;

impl Sql for NextAt {
    type Binds = ();
    type Row = (Nullable<Timestamptz>, Timestamptz);
    const TEXT: &'static str = include_str!("next_at.sql");
}
