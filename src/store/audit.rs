//! The audit log: what operators have done. Rows are appended, read, and deleted when they are no longer kept; nothing changes them.

use diesel::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use jiff::Timestamp;
use serde_json::Value;

use super::json::{Json, Legible};
use super::moment::Moment;
use super::retention::ROLE;
use super::schema::leveret::audit;
use super::{Connection, Error, Lease, Transaction};
use crate::contract::api::AuditView;

/// Where a command came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Door {
    /// The HTTP API.
    Http,
    /// The command line.
    Cli,
    /// RabbitMQ.
    Broker,
    /// A bulk job.
    Bulk,
}

/// One action of an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Who.
    pub actor: String,
    /// Through which door.
    pub door: Door,
    /// What was done.
    pub action: String,
    /// The kind of the object.
    pub subject: &'static str,
    /// The id or name of the object.
    pub object: String,
    /// Why, as the operator worded it.
    pub reason: Option<String>,
    /// What came of it.
    pub outcome: String,
    /// Further facts; no data of instances.
    pub details: Option<Value>,
}

/// Appends an entry, in the transaction of the action.
///
/// # Errors
/// As for any query.
pub async fn append(conn: &mut Connection, entry: &Entry) -> Result<(), Error> {
    let door: &'static str = entry.door.into();
    diesel::insert_into(audit::table)
        .values((
            audit::actor.eq(&entry.actor),
            audit::door.eq(door),
            audit::action.eq(&entry.action),
            audit::subject.eq(entry.subject),
            audit::object.eq(&entry.object),
            audit::reason.eq(&entry.reason),
            audit::outcome.eq(&entry.outcome),
            audit::details.eq(entry.details.as_ref().map(Json)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Which entries are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those with numbers below this one.
    pub before: Option<i64>,
    /// At most this number.
    pub limit: i64,
    /// Only of this person or sender.
    pub actor: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only about this kind of object.
    pub subject: Option<String>,
    /// Only about this object.
    pub object: Option<String>,
}

type Columns = (i64, Moment, String, String, String, String, String, Option<String>, String, Option<Legible>);

/// Entries, newest first.
///
/// # Errors
/// As for any query.
pub async fn list(conn: &mut Connection, filter: &Filter) -> Result<Vec<AuditView>, Error> {
    let mut query = audit::table.filter(audit::id.lt(filter.before.unwrap_or(i64::MAX))).into_boxed();
    if let Some(actor) = &filter.actor {
        query = query.filter(audit::actor.eq(actor));
    }
    if let Some(action) = &filter.action {
        query = query.filter(audit::action.eq(action));
    }
    if let Some(subject) = &filter.subject {
        query = query.filter(audit::subject.eq(subject));
    }
    if let Some(object) = &filter.object {
        query = query.filter(audit::object.eq(object));
    }
    let rows: Vec<Columns> = query.order(audit::id.desc()).limit(filter.limit).load(conn).await?;
    let view = |(id, at, actor, door, action, subject, object, reason, outcome, details): Columns| AuditView {
        id,
        at: at.0,
        actor,
        door,
        action,
        subject,
        object,
        reason,
        outcome,
        details: details.and_then(|details| details.0),
    };
    Ok(rows.into_iter().map(view).collect())
}

/// Deletes at most `limit` entries from before a moment; returns their number. Their numbers rise with time, so only the oldest are
/// looked at.
///
/// # Errors
/// `Bug` if the user of the database may not become the role that deletes: nothing is deleted then.
pub async fn delete_before(lease: Lease, before: Timestamp, limit: i64) -> Result<usize, Error> {
    let mut transaction = Transaction::begin(lease).await?;
    let oldest: Vec<(i64, Moment)> = audit::table
        .order(audit::id)
        .limit(limit)
        .select((audit::id, audit::at))
        .for_update()
        .skip_locked()
        .load(&mut *transaction)
        .await?;
    let old: Vec<i64> = oldest.into_iter().filter(|(_, at)| at.0 < before).map(|(id, _)| id).collect();
    let mut deleted = 0;
    if !old.is_empty() {
        // Last, because the role holds until the end of the transaction.
        transaction.batch_execute(&format!("SET LOCAL ROLE {ROLE}")).await?;
        deleted = diesel::delete(audit::table.filter(audit::id.eq_any(old))).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(deleted)
}
