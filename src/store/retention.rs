//! Deletes what is no longer kept, in bounded batches that any number of processes may take side by side.

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use jiff::Timestamp;
use uuid::Uuid;

use super::moment::Moment;
use super::sql::Sql;
use super::{Connection, Error, Lease, Transaction};
use crate::engine::InstanceId;
use crate::failpoint;
use crate::seeded::{self, Bug};

mod counts;

pub use counts::{count_audit, count_closed, count_dead_letters, count_inbox, count_messages};

/// The role that may delete history.
pub const ROLE: &str = "leveret_retention";

/// Whose instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// Of this definition.
    Definition(String),
    /// Of every other than these.
    AllBut(Vec<String>),
}

impl Of {
    /// The condition, and the names it compares with.
    pub(super) fn condition(&self) -> (&'static str, Vec<&str>) {
        match self {
            // One definition of an array, so that both have the same placeholders; its index gives the order.
            Of::Definition(name) => ("definition = ($1::text[])[1]", vec![name]),
            Of::AllBut(names) => ("definition <> ALL ($1)", names.iter().map(String::as_str).collect()),
        }
    }
}

/// One page of instances in the order of their start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The number of instances looked at: less than the limit on the last page.
    pub seen: usize,
    /// The last of them.
    pub last: Option<InstanceId>,
    /// The number of those deleted.
    pub deleted: usize,
}

/// Whether the history of an instance must be exported before it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It is deleted when its time is over.
    Time,
    /// Its whole history must be in a verified export as well.
    Export,
}

impl After {
    fn condition(self) -> &'static str {
        match self {
            After::Time => "true",
            After::Export => {
                "EXISTS (SELECT FROM leveret.exported AS x JOIN leveret.exports AS e ON e.id = x.export_id
                          WHERE x.instance_id = i.id AND x.history_count = i.history_count AND e.verified_at IS NOT NULL)"
            }
        }
    }
}

/// Looks at the next `limit` instances after `after`, and deletes those that ended before a moment, with their history, bookmarks, tasks
/// and calls. An instance whose parent lives is kept.
///
/// # Errors
/// `Bug` if the user of the database may not become the role [`ROLE`]: nothing is deleted then.
pub async fn delete_instances(
    lease: Lease,
    of: &Of,
    before: Timestamp,
    needs: After,
    after: Option<InstanceId>,
    limit: i64,
) -> Result<Page, Error> {
    type Columns = (i64, Option<Uuid>, Option<Vec<Uuid>>);
    let (condition, names) = of.condition();
    let after = after.map_or(Uuid::nil(), |id| id.0);
    let text = DeleteInstances::TEXT.replace("{which}", condition).replace("{limit}", &limit.to_string());
    let mut text = text.replace("{exported}", needs.condition());
    if seeded::is(Bug::CleanerDeletesTheLiving) {
        text = text.replace("page.ended_at < $3", "coalesce(page.ended_at, '-infinity') < $3");
    }
    let mut transaction = Transaction::begin(lease).await?;
    let (seen, last, gone): Columns =
        DeleteInstances::bind_text(text, (names, after, Moment(before))).get_result(&mut *transaction).await?;
    let gone = gone.unwrap_or_default();
    if !gone.is_empty() {
        // Last, because the role holds until the end of the transaction.
        failpoint::reach("retention::instances_deleted");
        transaction.batch_execute(&format!("SET LOCAL ROLE {ROLE}")).await?;
        DeleteHistory::bind((&gone,)).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(Page { seen: usize::try_from(seen).unwrap_or(0), last: last.map(InstanceId), deleted: gone.len() })
}

struct DeleteInstances;

impl Sql for DeleteInstances {
    type Binds = (Array<Text>, SqlUuid, Timestamptz);
    type Row = (BigInt, Nullable<SqlUuid>, Nullable<Array<SqlUuid>>);
    const TEXT: &'static str = include_str!("retention/instances.sql");
}

struct DeleteHistory;

impl Sql for DeleteHistory {
    type Binds = (Array<SqlUuid>,);
    type Row = ();
    const TEXT: &'static str = "DELETE FROM leveret.history WHERE instance_id = ANY ($1)";
}

/// Looks at the next `limit` instances after `after` that live and began before a moment, and deletes what was closed in them before it:
/// consumed bookmarks, closed tasks and ended calls, at most `limit` of each.
///
/// # Errors
/// As for any query.
pub async fn delete_closed(
    conn: &mut Connection,
    before: Timestamp,
    after: Option<InstanceId>,
    limit: i64,
) -> Result<Page, Error> {
    let after = after.map_or(Uuid::nil(), |id| id.0);
    let (seen, last, deleted): (i64, Option<Uuid>, i64) =
        DeleteClosed::bind_limit(limit, (after, Moment(before))).get_result(conn).await?;
    let count = |number| usize::try_from(number).unwrap_or(0);
    Ok(Page { seen: count(seen), last: last.map(InstanceId), deleted: count(deleted) })
}

struct DeleteClosed;

impl Sql for DeleteClosed {
    type Binds = (SqlUuid, Timestamptz);
    type Row = (BigInt, Nullable<SqlUuid>, BigInt);
    const TEXT: &'static str = include_str!("retention/closed.sql");
}

/// The number of instances that ended before a moment, counted up to `limit`.
///
/// # Errors
/// As for any query.
pub async fn count_instances(conn: &mut Connection, of: &Of, before: Timestamp, limit: i64) -> Result<i64, Error> {
    let (condition, names) = of.condition();
    let text = CountInstances::TEXT.replace("{which}", condition).replace("{limit}", &limit.to_string());
    Ok(CountInstances::bind_text(text, (names, Moment(before))).get_result(conn).await?)
}

struct CountInstances;

impl Sql for CountInstances {
    type Binds = (Array<Text>, Timestamptz);
    type Row = BigInt;
    const TEXT: &'static str = "
        SELECT count(*) FROM (SELECT FROM leveret.instances
         WHERE {which} AND id < leveret.uuid_at($2) AND ended_at < $2 LIMIT {limit}) AS ended";
}

/// Deletes at most `limit` inbox rows of commands received before a moment; returns their number.
///
/// # Errors
/// As for any query.
pub async fn delete_inbox(conn: &mut Connection, before: Timestamp, limit: i64) -> Result<usize, Error> {
    Ok(DeleteInbox::bind_limit(limit, (Moment(before),)).execute(conn).await?)
}

struct DeleteInbox;

impl Sql for DeleteInbox {
    type Binds = (Timestamptz,);
    type Row = ();
    const TEXT: &'static str = "
        DELETE FROM leveret.inbox WHERE (app_id, message_id) IN (SELECT app_id, message_id FROM leveret.inbox
         WHERE received_at < $1
           -- A command that could still be published again must be known.
           AND NOT EXISTS (SELECT FROM leveret.outbox AS o WHERE o.confirmed_at IS NOT NULL
                              AND o.app_id = inbox.app_id AND o.message_id = inbox.message_id)
         ORDER BY received_at LIMIT {limit} FOR UPDATE SKIP LOCKED)";
}

/// Deletes at most `limit` dead letters that failed before a moment, for the last time; returns their number.
///
/// # Errors
/// As for any query.
pub async fn delete_dead_letters(conn: &mut Connection, before: Timestamp, limit: i64) -> Result<usize, Error> {
    Ok(DeleteDeadLetters::bind_limit(limit, (Moment(before),)).execute(conn).await?)
}

struct DeleteDeadLetters;

impl Sql for DeleteDeadLetters {
    type Binds = (Timestamptz,);
    type Row = ();
    const TEXT: &'static str = "
        DELETE FROM leveret.dead_letters WHERE id IN (SELECT id FROM leveret.dead_letters
         WHERE coalesce(failed_at, received_at) < $1 ORDER BY coalesce(failed_at, received_at) LIMIT {limit}
           FOR UPDATE SKIP LOCKED)";
}

/// The newest version of each definition that says how long its instances are kept, with what it says; at most `limit`.
///
/// # Errors
/// As for any query.
pub async fn of_definitions(conn: &mut Connection, limit: i64) -> Result<Vec<(String, String)>, Error> {
    Ok(OfDefinitions::bind_limit(limit, ()).get_results(conn).await?)
}

struct OfDefinitions;

impl Sql for OfDefinitions {
    type Binds = ();
    type Row = (Text, Text);
    const TEXT: &'static str = "
        SELECT name, retention
          FROM (SELECT DISTINCT ON (name) name, content ->> 'retention' AS retention
                  FROM leveret.definitions ORDER BY name, version DESC) AS newest
         WHERE retention IS NOT NULL ORDER BY name LIMIT {limit}";
}

/// Whether the user of the database may delete history.
///
/// # Errors
/// As for any query.
pub async fn is_allowed(conn: &mut Connection) -> Result<bool, Error> {
    Ok(IsAllowed::bind(()).get_result(conn).await?)
}

struct IsAllowed;

impl Sql for IsAllowed {
    type Binds = ();
    type Row = Bool;
    const TEXT: &'static str = "SELECT leveret.may_delete_history()";
}

/// Drops the partitions of history of whole months before a moment in which no instance is left; returns how many.
///
/// # Errors
/// `Busy` if history is in use for longer than the lock timeout.
pub async fn drop_empty_partitions(conn: &mut Connection, before: Timestamp) -> Result<usize, Error> {
    diesel::define_sql_function! {
        #[sql_name = "leveret.drop_empty_history_partitions"]
        fn drop_empty_history_partitions(before: Timestamptz) -> diesel::sql_types::Integer;
    }
    let dropped: i32 = diesel::select(drop_empty_history_partitions(Moment(before))).get_result(conn).await?;
    Ok(usize::try_from(dropped).unwrap_or(0))
}
