//! Erases the data of a person: what instances, their tasks, calls and history hold, kept messages and dead letters.
//!
//! The hash of a history row covers a salted digest of its details, and not the details: without details and salt nothing can be guessed
//! from the digest, and the chain is as whole as before.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Uuid as SqlUuid};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use uuid::Uuid;

use super::retention::ROLE;
use super::schema::leveret::{dead_letters, instances, messages};
use super::sql::Sql;
use super::{Connection, Error, Lease, Transaction};
use crate::engine::InstanceId;

/// Whether an instance can be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The instance.
    pub id: InstanceId,
    /// Whether it has ended: what lives needs its data.
    pub has_ended: bool,
}

/// The instances with a business key after `after`, in the order of their start; of one definition or of all.
///
/// # Errors
/// As for any query.
pub async fn find_by_key(
    conn: &mut Connection,
    key: &str,
    definition: Option<&str>,
    after: Option<InstanceId>,
    limit: i64,
) -> Result<Vec<Candidate>, Error> {
    let mut query = instances::table
        .filter(instances::key.eq(key).and(instances::id.gt(after.map_or(Uuid::nil(), |id| id.0))))
        .into_boxed();
    if let Some(definition) = definition {
        query = query.filter(instances::definition.eq(definition));
    }
    let rows: Vec<(Uuid, bool)> = query
        .order(instances::id)
        .limit(limit)
        .select((instances::id, instances::ended_at.is_not_null()))
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(|(id, has_ended)| Candidate { id: InstanceId(id), has_ended }).collect())
}

/// One instance by its id.
///
/// # Errors
/// As for any query.
pub async fn find(conn: &mut Connection, id: InstanceId) -> Result<Option<Candidate>, Error> {
    let found: Option<bool> =
        instances::table.find(id.0).select(instances::ended_at.is_not_null()).first(conn).await.optional()?;
    Ok(found.map(|has_ended| Candidate { id, has_ended }))
}

/// What belongs to one instance and is erased, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Rows of history that had details.
    pub history: i64,
    /// Tasks.
    pub tasks: i64,
    /// Calls.
    pub calls: i64,
    /// Dead letters about it.
    pub dead_letters: i64,
}

/// Counts what [`instance`] and [`history`] would erase.
///
/// # Errors
/// As for any query.
pub async fn count(conn: &mut Connection, id: InstanceId) -> Result<Erased, Error> {
    let (history, tasks, calls, dead_letters) = Count::bind((id.0,)).get_result(conn).await?;
    Ok(Erased { history, tasks, calls, dead_letters })
}

struct Count;

impl Sql for Count {
    type Binds = (SqlUuid,);
    type Row = (BigInt, BigInt, BigInt, BigInt);
    const TEXT: &'static str = "
        SELECT (SELECT count(*) FROM leveret.history WHERE instance_id = $1 AND salt IS NOT NULL),
               (SELECT count(*) FROM leveret.tasks WHERE instance_id = $1),
               (SELECT count(*) FROM leveret.calls WHERE instance_id = $1),
               (SELECT count(*) FROM leveret.dead_letters WHERE instance_id = $1)";
}

/// Erases what an ended instance holds: it stays as an empty row with its history. Its bookmarks, tasks, calls, dead letters and messages
/// of its own are deleted. None if it lives, or does not exist.
///
/// # Errors
/// As for any query.
pub async fn instance(conn: &mut Connection, id: InstanceId) -> Result<Option<Erased>, Error> {
    let (is_there, tasks, calls, dead_letters): (bool, i64, i64, i64) =
        EraseInstance::bind((id.0,)).get_result(conn).await?;
    Ok(is_there.then_some(Erased { history: 0, tasks, calls, dead_letters }))
}

struct EraseInstance;

impl Sql for EraseInstance {
    type Binds = (SqlUuid,);
    type Row = (Bool, BigInt, BigInt, BigInt);
    const TEXT: &'static str = include_str!("erasure/instance.sql");
}

/// Erases details and salts of at most `limit` rows of history; returns their number.
///
/// # Errors
/// `Bug` if the user of the database may not become the role that erases: nothing is erased then.
pub async fn history(lease: Lease, id: InstanceId, limit: i64) -> Result<usize, Error> {
    let mut transaction = Transaction::begin(lease).await?;
    transaction.batch_execute(&format!("SET LOCAL ROLE {ROLE}")).await?;
    let erased = EraseHistory::bind_limit(limit, (id.0,)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(erased)
}

struct EraseHistory;

impl Sql for EraseHistory {
    type Binds = (SqlUuid,);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.history SET details = NULL, salt = NULL
         WHERE instance_id = $1 AND number IN (SELECT number FROM leveret.history
               WHERE instance_id = $1 AND salt IS NOT NULL ORDER BY number LIMIT {limit})";
}

/// The number of kept messages with a key.
///
/// # Errors
/// As for any query.
pub async fn count_messages(conn: &mut Connection, key: &str) -> Result<i64, Error> {
    Ok(messages::table.filter(messages::key.eq(key)).count().get_result(conn).await?)
}

/// Deletes at most `limit` kept messages with a key; returns their number.
///
/// # Errors
/// As for any query.
pub async fn messages(conn: &mut Connection, key: &str, limit: i64) -> Result<usize, Error> {
    let ids: Vec<i64> = messages::table
        .filter(messages::key.eq(key))
        .order(messages::id)
        .limit(limit)
        .select(messages::id)
        .load(conn)
        .await?;
    Ok(diesel::delete(messages::table.filter(messages::id.eq_any(ids))).execute(conn).await?)
}

/// Dead letters above the number `after` whose body contains a text, with their bodies; at most `limit`.
///
/// # Errors
/// As for any query.
pub async fn letters_with(
    conn: &mut Connection,
    text: &[u8],
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Vec<u8>)>, Error> {
    Ok(LettersWith::bind_limit(limit, (after, text)).get_results(conn).await?)
}

struct LettersWith;

impl Sql for LettersWith {
    type Binds = (BigInt, Binary);
    type Row = (BigInt, Binary);
    const TEXT: &'static str = "
        SELECT id, body FROM leveret.dead_letters WHERE id > $1 AND position($2 IN body) > 0 ORDER BY id LIMIT {limit}";
}

/// Deletes dead letters; returns their number.
///
/// # Errors
/// As for any query.
pub async fn letters(conn: &mut Connection, ids: &[i64]) -> Result<usize, Error> {
    Ok(diesel::delete(dead_letters::table.filter(dead_letters::id.eq_any(ids))).execute(conn).await?)
}
