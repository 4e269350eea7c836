//! Workflow documents by name and version: inserted once, never changed.

use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::{AsyncConnection, RunQueryDsl};
use jiff::Timestamp;
use serde_json::Value;

use super::json::{Document, Json};
use super::moment::Moment;
use super::schema::functions::clock_timestamp;
use super::schema::leveret::definitions;
use super::{Connection, Error, locks, refuse_unfit};
use crate::definition::Parsed;

/// One version of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The definition's name.
    pub name: String,
    /// The version, from 1.
    pub version: i32,
    /// Whether instances may start.
    pub status: Status,
    /// The document as JSON.
    pub content: Value,
    /// SHA-256 of the canonical JSON.
    pub content_hash: Vec<u8>,
    /// When it was applied.
    pub created_at: Timestamp,
}

/// A version without its content, for lists.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The definition's name.
    pub name: String,
    /// The version, from 1.
    pub version: i32,
    /// Whether instances may start.
    pub status: Status,
    /// SHA-256 of the canonical JSON.
    pub content_hash: Vec<u8>,
    /// When it was applied.
    pub created_at: Timestamp,
}

/// Whether instances of a version may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// Not yet.
    Draft,
    /// Yes.
    Active,
    /// No longer.
    Retired,
}

impl Status {
    /// The word used in the table, the API and documents.
    pub fn name(self) -> &'static str {
        self.into()
    }

    fn get(name: &str) -> Result<Status, Error> {
        name.parse().map_err(|_| Error::Bug(format!("unknown status `{name}` of a definition: use a newer binary")))
    }
}

/// Result of applying a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The version with the document.
    pub version: i32,
    /// Whether that version is new.
    pub changed: bool,
}

/// The version that an instance may start on, and the database's time: the newest active one, or the given one if it is
/// active.
pub async fn find_startable(
    conn: &mut Connection,
    name: &str,
    version: Option<i32>,
) -> Result<Option<(i32, Timestamp)>, Error> {
    let active = definitions::table
        .filter(definitions::name.eq(name).and(definitions::status.eq(Status::Active.name())))
        .filter(definitions::version.eq(version.unwrap_or(0)).or(version.is_none().into_sql::<Bool>()))
        .order(definitions::version.desc())
        .select((definitions::version, clock_timestamp()));
    let row: Option<(i32, Moment)> = active.first(conn).await.optional()?;
    Ok(row.map(|(version, now)| (version, now.0)))
}

/// Stores a document as a new active version, unless the newest version already has it.
///
/// # Errors
/// `Bug` if the document holds a value that PostgreSQL cannot store.
pub async fn apply(conn: &mut Connection, parsed: &Parsed) -> Result<Applied, Error> {
    refuse_unfit(&parsed.content).map_err(Error::Bug)?;
    let name = parsed.definition.name.as_str();
    conn.transaction::<Applied, Error, _>(async |conn| {
        // Concurrent calls get versions one after the other.
        locks::lock_all(conn, vec![locks::lock_number(&[b"definition", name.as_bytes()])]).await?;
        let newest: Option<(i32, String, Vec<u8>)> = definitions::table
            .filter(definitions::name.eq(name))
            .order(definitions::version.desc())
            .select((definitions::version, definitions::status, definitions::content_hash))
            .first(conn)
            .await
            .optional()?;
        if let Some((version, status, hash)) = &newest
            && status == Status::Active.name()
            && hash == &parsed.hash
        {
            return Ok(Applied { version: *version, changed: false });
        }
        let version = newest.map_or(0, |newest| newest.0) + 1;
        diesel::insert_into(definitions::table)
            .values((
                definitions::name.eq(name),
                definitions::version.eq(version),
                definitions::status.eq(Status::Active.name()),
                definitions::content.eq(Json(&parsed.content)),
                definitions::content_hash.eq(parsed.hash.as_slice()),
            ))
            .execute(conn)
            .await?;
        Ok(Applied { version, changed: true })
    })
    .await
}

/// A version with any status; without `version` the newest active one.
pub async fn find(conn: &mut Connection, name: &str, version: Option<i32>) -> Result<Option<Stored>, Error> {
    type Columns = (String, i32, String, Document, Vec<u8>, Moment);
    let named = definitions::table.filter(definitions::name.eq(name)).select((
        definitions::name,
        definitions::version,
        definitions::status,
        definitions::content,
        definitions::content_hash,
        definitions::created_at,
    ));
    let row: Option<Columns> = match version {
        Some(version) => named.filter(definitions::version.eq(version)).first(conn).await.optional()?,
        None => named
            .filter(definitions::status.eq(Status::Active.name()))
            .order(definitions::version.desc())
            .first(conn)
            .await
            .optional()?,
    };
    row.map(|(name, version, status, content, content_hash, created_at)| {
        let status = Status::get(&status)?;
        Ok(Stored { name, version, status, content: content.0, content_hash, created_at: created_at.0 })
    })
    .transpose()
}

/// The newest version of each definition, by name: at most `limit` with names after `after`.
pub async fn list(conn: &mut Connection, after: Option<&str>, limit: i64) -> Result<Vec<Summary>, Error> {
    summaries(
        definitions::table
            .filter(definitions::name.gt(after.unwrap_or_default()))
            .distinct_on(definitions::name)
            .order((definitions::name, definitions::version.desc()))
            .limit(limit)
            .select(SUMMARY)
            .load(conn)
            .await?,
    )
}

/// The versions of a definition, newest first, at most `limit`.
pub async fn list_versions(conn: &mut Connection, name: &str, limit: i64) -> Result<Vec<Summary>, Error> {
    summaries(
        definitions::table
            .filter(definitions::name.eq(name))
            .order(definitions::version.desc())
            .limit(limit)
            .select(SUMMARY)
            .load(conn)
            .await?,
    )
}

type SummaryColumns =
    (definitions::name, definitions::version, definitions::status, definitions::content_hash, definitions::created_at);

const SUMMARY: SummaryColumns =
    (definitions::name, definitions::version, definitions::status, definitions::content_hash, definitions::created_at);

fn summaries(rows: Vec<(String, i32, String, Vec<u8>, Moment)>) -> Result<Vec<Summary>, Error> {
    rows.into_iter()
        .map(|(name, version, status, content_hash, created_at)| {
            Ok(Summary { name, version, status: Status::get(&status)?, content_hash, created_at: created_at.0 })
        })
        .collect()
}
