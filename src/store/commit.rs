//! Commits, in two forms: one statement if the revision is the only guard, and a transaction for everything else.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use futures_util::{future::OptionFuture, join};
use jiff::Timestamp;

use super::inbox::{InboxColumns, InboxRow};
use super::moment::Moment;
use super::schema::leveret::messages;
use super::sql::Sql;
use super::statement::Statement;
use super::write::Write;
use super::{Connection, Error, calls, inbox, tasks};
use crate::seeded::{self, Bug};

/// Outcome of a start.
#[derive(Debug, Clone, PartialEq)]
pub enum Started {
    /// It is committed; holds the database's time.
    Committed(Timestamp),
    /// The command was handled before; holds its inbox row.
    Duplicate(InboxRow),
    /// A live instance of the definition has the business key. Nothing was written, not even the inbox row.
    KeyTaken,
    /// The version is not the newest active one of its definition. Nothing was written, not even the inbox row.
    Outdated,
}

/// Which version of the definition a start asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The newest active one; the instance of the write must have it.
    Newest,
    /// That of the write, whatever other versions exist.
    Named,
}

/// Outcome of a guarded write. On anything but `Committed` the transaction must be rolled back: see [`Undone`].
#[derive(Debug, Clone, PartialEq)]
#[must_use = "what is not committed must be rolled back"]
pub enum Guarded {
    /// It will be committed with the transaction; holds the database's time.
    Committed(Timestamp),
    /// Another commit moved the instance, finished a bookmark or took a message.
    Conflict,
    /// The command was handled before; holds its inbox row.
    Duplicate(InboxRow),
}

impl Guarded {
    /// Turns everything but a commit into an error, so that leaving the closure of the transaction with `?` rolls back.
    ///
    /// # Errors
    /// Why nothing is committed.
    pub fn or_undo(self) -> Result<Timestamp, Undone> {
        match self {
            Guarded::Committed(now) => Ok(now),
            Guarded::Conflict => Err(Undone::Conflict),
            Guarded::Duplicate(row) => Err(Undone::Duplicate(Box::new(row))),
        }
    }
}

/// Why a transaction was rolled back: the error type of closures around [`guarded`].
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// Another commit moved the instance, finished a bookmark or took a message.
    #[error("another commit was first")]
    Conflict,
    /// The command was handled before; holds its inbox row.
    #[error("the command was handled before")]
    Duplicate(Box<InboxRow>),
    /// A query failed.
    #[error(transparent)]
    Failed(Error),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        match error {
            Error::Conflict => Undone::Conflict,
            error => Undone::Failed(error),
        }
    }
}

impl From<diesel::result::Error> for Undone {
    fn from(error: diesel::result::Error) -> Self {
        Error::from(error).into()
    }
}

/// Commits a write whose only guard is the revision, in one statement. Returns the database's time, or none if another
/// commit moved the instance.
///
/// # Errors
/// `Bug` if the write has other guards.
pub async fn plain(conn: &mut Connection, write: &Write) -> Result<Option<Timestamp>, Error> {
    if !write.is_plain() {
        return Err(Error::Bug(
            "a write that finishes bookmarks, takes messages or changes tasks or calls is not plain".into(),
        ));
    }
    let now: Option<Moment> = Statement::new(write, None).get_result(conn).await.optional()?;
    Ok(now.map(Timestamp::from))
}

/// Commits a start in one statement that depends on its inbox row. Not for use inside a transaction: a taken key is an
/// error of the statement and would abort the whole transaction.
///
/// # Errors
/// `Bug` if the write is not a start, or waits for a message at once: that is for [`guarded`], with the lock of name
/// and key.
pub async fn start(conn: &mut Connection, write: &Write, row: &InboxRow, asked: Asked) -> Result<Started, Error> {
    if write.expected.is_some() {
        return Err(Error::Bug("this write is not a start: its instance exists already".into()));
    }
    if !write.is_plain() {
        return Err(Error::Bug("a start that waits for a message needs a transaction".into()));
    }
    let columns = match asked {
        Asked::Newest => InboxColumns::while_newest(row, &write.instance.definition, write.instance.version),
        Asked::Named => InboxColumns::new(row),
    };
    match Statement::new(write, Some(columns)).get_result::<Moment>(conn).await.optional().map_err(Error::from) {
        Ok(Some(now)) => Ok(Started::Committed(now.0)),
        Ok(None) => match inbox::find(conn, &row.app_id, &row.message_id).await? {
            Some(row) => Ok(Started::Duplicate(row)),
            None => Ok(Started::Outdated),
        },
        Err(error) if error.is_key_taken() => Ok(Started::KeyTaken),
        Err(error) => Err(error),
    }
}

/// [`guarded`] in a transaction of its own, which is rolled back unless the outcome is `Committed`.
pub async fn whole(conn: &mut Connection, write: &Write, row: Option<&InboxRow>) -> Result<Guarded, Error> {
    let done = conn.transaction::<_, Undone, _>(async |conn| guarded(conn, write, row).await?.or_undo()).await;
    match done {
        Ok(now) => Ok(Guarded::Committed(now)),
        Err(Undone::Conflict) => Ok(Guarded::Conflict),
        Err(Undone::Duplicate(row)) => Ok(Guarded::Duplicate(*row)),
        Err(Undone::Failed(error)) => Err(error),
    }
}

/// Writes inside a transaction that the caller has opened, and checks how many rows each statement changed.
///
/// The order is always the same: the row of the instance (history, new bookmarks and outbox depend on it: they are only
/// written under the lock of that row), inbox, finished bookmarks, messages. All statements are sent at once and
/// answered in order. Only a start writes the inbox first: otherwise its repetition would fail on its own business key.
///
/// # Errors
/// A taken business key is `Duplicate`, see [`Error::is_key_taken`].
pub async fn guarded(conn: &mut Connection, write: &Write, row: Option<&InboxRow>) -> Result<Guarded, Error> {
    let is_start = write.expected.is_none();
    let (asked_first, asked_later) = if is_start { (row, None) } else { (None, row) };
    let shared: &Connection = conn;
    let (mut first, mut second, mut third, mut fourth) = (shared, shared, shared, shared);
    let moved = Statement::new(write, asked_first.map(InboxColumns::new)).get_result::<Moment>(&mut first);
    let asked: OptionFuture<_> =
        asked_later.map(|row| inbox::Insert(InboxColumns::new(row)).execute(&mut second)).into();
    let finished: OptionFuture<_> = (!write.finish.is_empty() && !seeded::is(Bug::BookmarkNotConsumed))
        .then(|| Finish::bind((write.instance.id.0, write.finish.as_slice())).execute(&mut third))
        .into();
    let taken: OptionFuture<_> = (!write.take.is_empty())
        .then(|| diesel::delete(messages::table.filter(messages::id.eq_any(write.take.clone()))).execute(&mut fourth))
        .into();
    let (moved, asked, finished, taken) = join!(moved, asked, finished, taken);

    let repetition = match (moved.optional()?, asked.transpose()?) {
        (None, _) if !is_start => return Ok(Guarded::Conflict),
        (None, _) => asked_first,
        (Some(_), Some(0)) => asked_later,
        (Some(now), _) => {
            let is_whole = (finished.transpose()?.unwrap_or(0) == write.finish.len()
                || seeded::is(Bug::BookmarkNotConsumed))
                && taken.transpose()?.unwrap_or(0) == write.take.len();
            let is_whole = is_whole
                && tasks::write(conn, &write.instance, &write.tasks).await?
                && calls::write(conn, &write.instance, &write.calls).await?;
            return Ok(if is_whole { Guarded::Committed(now.0) } else { Guarded::Conflict });
        }
    };
    match repetition {
        Some(row) => Ok(Guarded::Duplicate(inbox::get(conn, row).await?)),
        None => Ok(Guarded::Conflict),
    }
}

struct Finish;

impl Sql for Finish {
    type Binds = (SqlUuid, Array<BigInt>);
    type Row = ();
    // Not now(), which is when the transaction began: a timer that was due at the decision would seem to have fired
    // early.
    const TEXT: &'static str = "
        UPDATE leveret.bookmarks
           SET consumed_at = clock_timestamp()
         WHERE instance_id = $1 AND number = ANY ($2) AND consumed_at IS NULL";
}
