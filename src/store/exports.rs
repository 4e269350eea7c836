//! Exports of history: which instances are in which file, and which files were verified. An instance is deleted only after that.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::history;
use super::moment::{Moment, millis};
use super::retention::Of;
use super::schema::leveret::instances;
use super::sql::Sql;
use super::{Connection, Error};
use crate::engine::InstanceId;

/// The instances of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The export.
    pub id: Uuid,
    /// Its instances, in the order of their start.
    pub instances: Vec<InstanceId>,
}

/// Claims the next `limit` instances that ended before a moment and are in no export yet. None if there is none.
///
/// # Errors
/// As for any query.
pub async fn claim(
    conn: &mut Connection,
    of: &Of,
    before: Timestamp,
    id: Uuid,
    hold_for: Duration,
    limit: i64,
) -> Result<Option<Claim>, Error> {
    let (condition, names) = of.condition();
    let text = ClaimNext::TEXT.replace("{which}", condition).replace("{limit}", &limit.to_string());
    let claimed: Vec<Uuid> =
        ClaimNext::bind_text(text, (names, Moment(before), id, millis(hold_for))).get_results(conn).await?;
    Ok(Claim::of(id, claimed))
}

struct ClaimNext;

impl Sql for ClaimNext {
    type Binds = (Array<Text>, Timestamptz, SqlUuid, BigInt);
    type Row = SqlUuid;
    const TEXT: &'static str = include_str!("exports/claim.sql");
}

/// Claims an export again whose writer has not ended it in time. None if there is none.
///
/// # Errors
/// As for any query.
pub async fn claim_abandoned(conn: &mut Connection, hold_for: Duration) -> Result<Option<Claim>, Error> {
    let id: Option<Uuid> = ClaimAbandoned::bind((millis(hold_for),)).get_result(conn).await.optional()?;
    let Some(id) = id else { return Ok(None) };
    let claimed: Vec<Uuid> = InExport::bind((id,)).get_results(conn).await?;
    Ok(Some(Claim { id, instances: claimed.into_iter().map(InstanceId).collect() }))
}

struct ClaimAbandoned;

impl Sql for ClaimAbandoned {
    type Binds = (BigInt,);
    type Row = SqlUuid;
    const TEXT: &'static str = "
        UPDATE leveret.exports SET claimed_until = now() + $1 * interval '1 millisecond'
         WHERE id = (SELECT id FROM leveret.exports WHERE verified_at IS NULL AND claimed_until < now()
                      ORDER BY claimed_until LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING id";
}

struct InExport;

impl Sql for InExport {
    type Binds = (SqlUuid,);
    type Row = SqlUuid;
    const TEXT: &'static str = "SELECT instance_id FROM leveret.exported WHERE export_id = $1 ORDER BY instance_id";
}

impl Claim {
    fn of(id: Uuid, claimed: Vec<Uuid>) -> Option<Self> {
        (!claimed.is_empty()).then(|| Claim { id, instances: claimed.into_iter().map(InstanceId).collect() })
    }
}

/// Holds a claim for longer; false if another process has taken it.
///
/// # Errors
/// As for any query.
pub async fn hold(conn: &mut Connection, id: Uuid, hold_for: Duration) -> Result<bool, Error> {
    Ok(Hold::bind((id, millis(hold_for))).execute(conn).await? == 1)
}

struct Hold;

impl Sql for Hold {
    type Binds = (SqlUuid, BigInt);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.exports SET claimed_until = now() + $2 * interval '1 millisecond'
         WHERE id = $1 AND verified_at IS NULL AND claimed_until > now()";
}

/// A file that was written and read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// The number of history rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: [u8; 32],
}

/// Notes that a file was verified: its instances may be deleted.
///
/// # Errors
/// As for any query.
pub async fn mark_verified(conn: &mut Connection, id: Uuid, file: &File) -> Result<(), Error> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let values = (id, file.name.as_str(), number(file.rows), number(file.bytes), file.sha256.as_slice());
    MarkVerified::bind(values).execute(conn).await?;
    Ok(())
}

struct MarkVerified;

impl Sql for MarkVerified {
    type Binds = (SqlUuid, Text, BigInt, BigInt, Binary);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.exports SET file = $2, rows = $3, bytes = $4, sha256 = $5, verified_at = now() WHERE id = $1";
}

/// The line of an instance in an export; none if it does not exist.
///
/// # Errors
/// As for any query.
pub async fn instance(conn: &mut Connection, id: InstanceId) -> Result<Option<Value>, Error> {
    type Columns = (String, i32, Option<String>, String, Moment, Option<Moment>, Option<Uuid>, i64, Vec<u8>);
    let row: Option<Columns> = instances::table
        .find(id.0)
        .select((
            instances::definition,
            instances::version,
            instances::key,
            instances::status,
            instances::started_at,
            instances::ended_at,
            instances::parent,
            instances::history_count,
            instances::history_hash,
        ))
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(|(definition, version, key, status, started_at, ended_at, parent, count, hash)| {
        json!({
            "kind": "instance", "id": id, "definition": definition, "version": version, "key": key, "status": status,
            "started_at": started_at.0, "ended_at": ended_at.map(|at| at.0), "parent": parent,
            "history_count": count, "history_hash": hex::encode(hash),
        })
    }))
}

/// The line of a history row in an export, from which its hash can be computed again.
pub fn line(id: InstanceId, row: &history::HistoryRow) -> Value {
    json!({
        "kind": "history", "instance": id, "number": row.number, "at": row.at, "what": row.kind,
        "activity": row.activity, "branch": row.branch, "details": row.details,
        "salt": row.salt.as_ref().map(hex::encode), "digest": hex::encode(&row.digest),
        "previous_hash": hex::encode(&row.previous_hash),
    })
}

/// Exports that were claimed longer ago than their time, and never verified.
///
/// # Errors
/// As for any query.
pub async fn count_abandoned(conn: &mut Connection) -> Result<i64, Error> {
    Ok(CountAbandoned::bind(()).get_result(conn).await?)
}

struct CountAbandoned;

impl Sql for CountAbandoned {
    type Binds = ();
    type Row = BigInt;
    const TEXT: &'static str =
        "SELECT count(*) FROM leveret.exports WHERE verified_at IS NULL AND claimed_until < now() - interval '1 hour'";
}
