//! Calls: written with the commit of their instance, claimed for dispatch, and completed under the lock of their
//! instance.

use diesel::prelude::*;
use diesel::sql_types::{Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;

use super::json::{Document, Json};
use super::moment::Moment;
use super::schema::leveret::calls;
use super::sql::Sql;
use super::{Connection, Error, refuse_unfit};
use crate::engine::{Call, CallChange, CallClosed, CallId, CallPurpose, Instance};

mod due;
mod heard;
mod kept;
mod mark;
mod overdue;
mod row;
mod show;

pub use due::{CLAIMED_MAX, DueCall, Room, claim_due, put_off};
pub use heard::{beat, tell_progress};
pub use kept::{keep_lapsed, note_late, record, reported};
pub use mark::{Begun, Longest, Place, find, mark_running};
pub use overdue::{Over, OverdueCall, claim_overdue, next_at};
use row::CallRow;
pub use show::{Filter, STATES, count_open, page, view};

/// One change of a call in a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum CallWrite {
    /// A call is opened.
    Open {
        /// The call, from the engine.
        call: Box<Call>,
        /// If its request is sent with the same commit: its token and deadline.
        begun: Option<Sent>,
    },
    /// A call changes; it must be open and have this dispatch number.
    Change {
        /// The call.
        id: CallId,
        /// The dispatch number.
        dispatch: u32,
        /// The change.
        change: Box<CallChange>,
    },
    /// A call is closed; it must be open.
    Close(CallId, Box<CallClosed>),
}

/// A request that is sent with the commit that opens its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// SHA-256 of the attempt's token.
    pub token_hash: [u8; 32],
    /// From then on the outcome of the attempt is unknown. Silence of its worker counts from its first sign of life:
    /// until then the request may wait in its queue.
    pub deadline: Option<Timestamp>,
}

impl CallWrite {
    /// Checks that PostgreSQL can store it.
    pub(super) fn refuse_what_cannot_be_kept(&self) -> Result<(), Error> {
        let refuse = |value: &Value| {
            refuse_unfit(value).map_err(|problem| Error::Bug(format!("a call cannot be stored: {problem}")))
        };
        match self {
            CallWrite::Open { call, .. } => [&call.request].into_iter().chain(&call.probe).try_for_each(refuse),
            CallWrite::Change { change, .. } => match change.as_ref() {
                CallChange::Again { failure, .. } | CallChange::Unknown { failure, .. } => refuse(&failure.data),
                CallChange::Await { response } => refuse(response),
            },
            CallWrite::Close(_, closed) => {
                closed.result.iter().chain(closed.failure.as_ref().map(|failure| &failure.data)).try_for_each(refuse)
            }
        }
    }
}

/// Writes the changes of calls of a commit, after the row of the instance; false if a call was not as it had been loaded.
pub(super) async fn write(conn: &mut Connection, instance: &Instance, writes: &[CallWrite]) -> Result<bool, Error> {
    for one in writes {
        let changed = match one {
            CallWrite::Open { call, begun } => {
                let row = CallRow::of(instance, call, *begun)?;
                diesel::insert_into(calls::table).values(row).execute(conn).await?
            }
            CallWrite::Change { id, dispatch, change } => self::change(conn, *id, *dispatch, change).await?,
            CallWrite::Close(id, closed) => close(conn, *id, closed).await?,
        };
        if changed != 1 {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn change(conn: &mut Connection, id: CallId, dispatch: u32, change: &CallChange) -> Result<usize, Error> {
    let held = calls::table.find(id.0).filter(calls::ended_at.is_null().and(calls::dispatch.eq(row::number(dispatch))));
    let nothing = (
        calls::begun_at.eq(None::<Moment>),
        calls::deadline.eq(None::<Moment>),
        calls::reported_at.eq(None::<Moment>),
        calls::outcome.eq(None::<Document>),
        calls::progress.eq(None::<Document>),
    );
    Ok(match change {
        CallChange::Again { attempt, dispatch, due_at, until, purpose, failure } => {
            // A probe asks about an attempt whose token stays valid until the next attempt.
            let proof = match purpose {
                CallPurpose::Attempt => Some(calls::token_hash.eq(None::<Vec<u8>>)),
                CallPurpose::Probe => None,
            };
            let purpose = purpose_name(*purpose);
            let handed = (calls::attempt.eq(row::number(*attempt)), calls::dispatch.eq(row::number(*dispatch)));
            let when = (calls::next_at.eq(Some(Moment(*due_at))), calls::until.eq(until.map(Moment)));
            let why = (calls::state.eq("pending"), calls::purpose.eq(purpose), calls::error.eq(Some(Json(failure))));
            diesel::update(held).set((handed, when, why, proof, nothing)).execute(conn).await?
        }
        CallChange::Await { response } => kept::wait(conn, id, row::number(dispatch), response).await?,
        CallChange::Unknown { dispatch, failure } => {
            // The token stays valid: its owner may know the outcome.
            let unknown = (
                calls::state.eq("unknown"),
                calls::dispatch.eq(row::number(*dispatch)),
                calls::next_at.eq(None::<Moment>),
                calls::error.eq(Some(Json(failure))),
            );
            diesel::update(held).set((unknown, nothing)).execute(conn).await?
        }
    })
}

fn purpose_name(purpose: CallPurpose) -> &'static str {
    match purpose {
        CallPurpose::Attempt => "attempt",
        CallPurpose::Probe => "probe",
    }
}

async fn close(conn: &mut Connection, id: CallId, closed: &CallClosed) -> Result<usize, Error> {
    let (result, error) = (closed.result.as_ref().map(Json), closed.failure.as_ref().map(Json));
    Ok(Close::bind((id.0, closed.end.name(), result, error)).execute(conn).await?)
}

struct Close;

impl Sql for Close {
    type Binds = (SqlUuid, Text, Nullable<Jsonb>, Nullable<Jsonb>);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.calls
           SET ended_at = clock_timestamp(), next_at = NULL, token_hash = NULL,
               state = $2, result = $3, error = coalesce($4, error)
         WHERE id = $1 AND ended_at IS NULL";
}
