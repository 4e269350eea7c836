//! Conversion between a call of the engine and its row.

use std::time::Duration;

use diesel::prelude::*;
use uuid::Uuid;

use super::super::Error;
use super::super::json::Document;
use super::super::moment::{Moment, millis};
use super::super::schema::leveret::calls;
use super::Sent;
use crate::engine::{Call, CallKind, Instance};

/// An attempt or dispatch number as the table stores it.
pub(super) fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// An attempt or dispatch number as the engine counts it.
pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

pub(super) fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

pub(super) fn kind(name: &str) -> Result<CallKind, Error> {
    CallKind::parse(name).ok_or_else(|| Error::Bug(format!("unknown kind of call `{name}`: use a newer binary")))
}

/// All columns that a commit writes.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = calls)]
pub(super) struct CallRow {
    pub(super) id: Uuid,
    pub(super) instance_id: Uuid,
    pub(super) bookmark: i64,
    pub(super) definition: String,
    pub(super) activity: String,
    pub(super) instance_key: Option<String>,
    pub(super) kind: String,
    pub(super) target: String,
    pub(super) state: String,
    pub(super) attempt: i32,
    pub(super) dispatch: i32,
    pub(super) purpose: String,
    pub(super) request: Document,
    pub(super) probe: Option<Document>,
    pub(super) timeout_ms: Option<i64>,
    pub(super) heartbeat_ms: Option<i64>,
    pub(super) until: Option<Moment>,
    pub(super) callback: bool,
    pub(super) limits: Option<Document>,
    pub(super) trace: Option<String>,
    pub(super) token_hash: Option<Vec<u8>>,
    pub(super) opened_at: Moment,
    pub(super) begun_at: Option<Moment>,
    pub(super) deadline: Option<Moment>,
    pub(super) next_at: Option<Moment>,
    pub(super) ended_at: Option<Moment>,
    pub(super) reported_at: Option<Moment>,
    pub(super) outcome: Option<Document>,
    pub(super) result: Option<Document>,
    pub(super) error: Option<Document>,
    pub(super) progress: Option<Document>,
    pub(super) late: Option<Document>,
}

impl CallRow {
    /// A call that is opened; already running if its request is sent with the same commit.
    pub(super) fn of(instance: &Instance, call: &Call, begun: Option<Sent>) -> Result<CallRow, Error> {
        Ok(CallRow {
            id: call.id.0,
            instance_id: instance.id.0,
            bookmark: call.bookmark,
            definition: instance.definition.clone(),
            activity: call.activity.clone(),
            instance_key: instance.key.clone(),
            kind: call.kind.name().to_owned(),
            target: call.target.clone(),
            state: if begun.is_some() { "running" } else { "pending" }.to_owned(),
            attempt: 1,
            dispatch: 1,
            purpose: "attempt".to_owned(),
            request: Document(call.request.clone()),
            probe: call.probe.clone().map(Document),
            timeout_ms: call.timeout.map(millis),
            heartbeat_ms: call.heartbeat.map(millis),
            until: call.until.map(Moment),
            callback: call.callback,
            limits: call.limits.clone().map(Document),
            trace: instance.trace.clone(),
            token_hash: begun.map(|sent| sent.token_hash.to_vec()),
            opened_at: Moment(call.opened_at),
            begun_at: begun.map(|_| Moment(call.opened_at)),
            deadline: begun.and_then(|sent| sent.deadline).map(Moment),
            next_at: match begun {
                Some(sent) => sent.deadline.map(Moment),
                None => Some(Moment(call.opened_at)),
            },
            ended_at: None,
            reported_at: None,
            outcome: None,
            result: None,
            error: None,
            progress: None,
            late: None,
        })
    }
}
