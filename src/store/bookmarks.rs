//! Bookmarks: the waits of instances. Commits open and finish them; messages and the clock find them.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::json::{Document, Json};
use super::moment::Moment;
use super::schema::functions::clock_timestamp;
use super::schema::leveret::bookmarks;
use super::sql::{Part, Sql, claim};
use super::{Connection, Error};
use crate::engine::{Bookmark, BookmarkKind, BranchId, InstanceId, Status};

pub use super::locks::lock_correlation;

/// How long the timers role leaves a near timer to its wake-up. A wake-up that comes later, because its queue has no leader for the moment,
/// finds the timer fired.
const WAKE_UP_FOR: Duration = Duration::from_millis(1_500);
/// How long a claim of a timer lasts.
const CLAIM_SECONDS: i32 = 30;

/// A bookmark that is opened, or is open.
#[derive(Debug, Clone, PartialEq)]
pub struct BookmarkRow {
    /// Number of the bookmark inside of its instance.
    pub number: i64,
    /// The branch that waits; none for the time limit of the instance.
    pub branch: Option<BranchId>,
    /// The activity that waits.
    pub activity: Option<String>,
    /// What it waits for.
    pub kind: BookmarkKind,
    /// Name and key of the message, if it waits for one.
    pub message: Option<(String, String)>,
    /// When it is due, for timers.
    pub due_at: Option<Timestamp>,
    /// When the timers role checks it, for timers.
    pub next_check_at: Option<Timestamp>,
    /// The failure of an incident; of a suspension by a person, who asked for it and why.
    pub details: Value,
    /// The fingerprint of an incident: equal for incidents of one cause.
    pub fingerprint: Option<String>,
}

impl BookmarkRow {
    /// A far timer is checked when it is due; a near timer a little later, so that its wake-up comes first.
    pub(super) fn open(bookmark: &Bookmark, now: Timestamp, horizon: Duration) -> BookmarkRow {
        let next_check_at = bookmark.due_at.map(|due_at| {
            let is_far = now.checked_add(horizon).is_ok_and(|until| due_at > until);
            if is_far { due_at } else { due_at.checked_add(WAKE_UP_FOR).unwrap_or(due_at) }
        });
        BookmarkRow {
            number: bookmark.number,
            branch: bookmark.branch,
            activity: bookmark.activity.clone(),
            kind: bookmark.kind,
            message: bookmark.message.clone(),
            due_at: bookmark.due_at,
            next_check_at,
            details: bookmark.details.clone(),
            fingerprint: bookmark.fingerprint.clone(),
        }
    }
}

/// A timer that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTimer {
    /// The instance.
    pub instance: InstanceId,
    /// Number of the bookmark.
    pub number: i64,
    /// When it was due.
    pub due_at: Timestamp,
    /// The queue for the step commands of the instance.
    pub step_queue: String,
}

/// An open wait for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The instance that waits.
    pub instance: InstanceId,
    /// Number of the bookmark.
    pub number: i64,
    /// When the wait was opened.
    pub since: Timestamp,
}

impl Waiting {
    /// Before all others: the start of the first page.
    pub const NOBODY: Self = Self { instance: InstanceId(Uuid::nil()), number: 0, since: Timestamp::UNIX_EPOCH };
}

/// Open waits for a message, oldest first: at most `limit` after `after`.
pub async fn waiting(
    conn: &mut Connection,
    name: &str,
    key: &str,
    after: Waiting,
    limit: i64,
) -> Result<Vec<Waiting>, Error> {
    let (since, instance) = (Moment(after.since), after.instance.0);
    let later = bookmarks::opened_at.gt(since).or(bookmarks::opened_at.eq(since).and(
        bookmarks::instance_id
            .gt(instance)
            .or(bookmarks::instance_id.eq(instance).and(bookmarks::number.gt(after.number))),
    ));
    let rows: Vec<(Uuid, i64, Moment)> = bookmarks::table
        .filter(bookmarks::consumed_at.is_null())
        .filter(bookmarks::message_name.eq(name).and(bookmarks::message_key.eq(key)))
        .filter(later)
        .order((bookmarks::opened_at, bookmarks::instance_id, bookmarks::number))
        .limit(limit)
        .select((bookmarks::instance_id, bookmarks::number, bookmarks::opened_at))
        .load(conn)
        .await?;
    let waiting = |(instance, number, since): (Uuid, i64, Moment)| Waiting {
        instance: InstanceId(instance),
        number,
        since: since.0,
    };
    Ok(rows.into_iter().map(waiting).collect())
}

/// Name and key of every message that an instance waits for.
pub async fn awaited(conn: &mut Connection, instance: InstanceId) -> Result<Vec<(String, String)>, Error> {
    let rows: Vec<(Option<String>, Option<String>)> = bookmarks::table
        .filter(bookmarks::instance_id.eq(instance.0).and(bookmarks::consumed_at.is_null()))
        .filter(bookmarks::message_name.is_not_null())
        .order(bookmarks::number)
        .select((bookmarks::message_name, bookmarks::message_key))
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(|(name, key)| name.zip(key)).collect())
}

/// Open bookmarks of an instance, by number.
///
/// # Errors
/// `Bug` for a kind that this binary does not know.
pub async fn list_open(conn: &mut Connection, instance: InstanceId) -> Result<Vec<BookmarkRow>, Error> {
    type Columns = (
        i64,
        Option<i32>,
        Option<String>,
        String,
        Option<String>,
        Option<String>,
        Option<Moment>,
        Option<Moment>,
        Document,
        Option<String>,
    );
    let rows: Vec<Columns> = bookmarks::table
        .filter(bookmarks::instance_id.eq(instance.0).and(bookmarks::consumed_at.is_null()))
        .order(bookmarks::number)
        .select((
            bookmarks::number,
            bookmarks::branch,
            bookmarks::activity,
            bookmarks::kind,
            bookmarks::message_name,
            bookmarks::message_key,
            bookmarks::due_at,
            bookmarks::next_check_at,
            bookmarks::details,
            bookmarks::fingerprint,
        ))
        .load(conn)
        .await?;
    rows.into_iter()
        .map(|(number, branch, activity, kind, name, key, due_at, next_check_at, details, fingerprint)| {
            Ok(BookmarkRow {
                number,
                branch: branch.map(BranchId),
                activity,
                kind: kind_named(&kind)?,
                message: name.zip(key),
                due_at: due_at.map(Timestamp::from),
                next_check_at: next_check_at.map(Timestamp::from),
                details: details.0,
                fingerprint,
            })
        })
        .collect()
}

fn kind_named(name: &str) -> Result<BookmarkKind, Error> {
    [BookmarkKind::Timer, BookmarkKind::Message, BookmarkKind::Intervention, BookmarkKind::Task, BookmarkKind::Call]
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| Error::Bug(format!("unknown kind of bookmark `{name}`: use a newer binary")))
}

/// Claims at most `limit` timers whose check is due, for 30 seconds. Timers of suspended instances are postponed too,
/// but not returned: they do not fire. In the queues of `busy`, timers that may have a `fire` command under way (those
/// that had a wake-up, or were claimed before) are left alone: each sweep would add to the backlog.
pub async fn claim_due(conn: &mut Connection, limit: i64, busy: &[String]) -> Result<Vec<DueTimer>, Error> {
    type Claimed = (Uuid, i64, Option<Moment>, Option<String>, Option<String>);
    let rows: Vec<Claimed> =
        ClaimDue::bind_text(claim(ClaimDue::TEXT, limit), (busy, CLAIM_SECONDS)).get_results(conn).await?;
    Ok(rows
        .into_iter()
        .filter(|(.., status)| status.as_deref() != Some(Status::Suspended.name()))
        .filter_map(|(instance, number, due_at, step_queue, _)| {
            Some(DueTimer { instance: InstanceId(instance), number, due_at: due_at?.0, step_queue: step_queue? })
        })
        .collect())
}

struct ClaimDue;

impl Sql for ClaimDue {
    type Binds = (Array<Text>, Integer);
    type Row = (SqlUuid, BigInt, Nullable<Timestamptz>, Nullable<Text>, Nullable<Text>);
    const TEXT: &'static str = include_str!("bookmarks/claim_due.sql");
}

/// When the next timer must be checked, and the database's time; none if no timer is open.
pub async fn next_check_at(conn: &mut Connection) -> Result<Option<(Timestamp, Timestamp)>, Error> {
    let row: Option<(Option<Moment>, Moment)> = bookmarks::table
        .filter(bookmarks::consumed_at.is_null().and(bookmarks::next_check_at.is_not_null()))
        .order(bookmarks::next_check_at)
        .select((bookmarks::next_check_at, clock_timestamp()))
        .first(conn)
        .await
        .optional()?;
    Ok(row.and_then(|(next, now)| Some((next?.0, now.0))))
}

/// Part of the statement of a commit: all rows, for the instance in `moved`.
const INSERT: &str = "
INSERT INTO leveret.bookmarks (instance_id, opened_at, number, branch, activity, kind,
                               message_name, message_key, due_at, next_check_at, details, fingerprint)
SELECT moved.id, now(), row.*
  FROM moved, unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS row";

/// Bookmarks as arrays, so that one prepared statement writes any number of them.
pub(super) struct BookmarkColumns<'a> {
    numbers: Vec<i64>,
    branches: Vec<Option<i32>>,
    activities: Vec<Option<&'a str>>,
    kinds: Vec<&'static str>,
    names: Vec<Option<&'a str>>,
    keys: Vec<Option<&'a str>>,
    due: Vec<Option<Moment>>,
    checks: Vec<Option<Moment>>,
    details: Vec<Json<'a, Value>>,
    fingerprints: Vec<Option<&'a str>>,
}

impl<'a> BookmarkColumns<'a> {
    pub(super) fn new(rows: &'a [BookmarkRow]) -> Self {
        BookmarkColumns {
            numbers: rows.iter().map(|row| row.number).collect(),
            branches: rows.iter().map(|row| row.branch.map(|branch| branch.0)).collect(),
            activities: rows.iter().map(|row| row.activity.as_deref()).collect(),
            kinds: rows.iter().map(|row| row.kind.name()).collect(),
            names: rows.iter().map(|row| row.message.as_ref().map(|message| message.0.as_str())).collect(),
            keys: rows.iter().map(|row| row.message.as_ref().map(|message| message.1.as_str())).collect(),
            due: rows.iter().map(|row| row.due_at.map(Moment)).collect(),
            checks: rows.iter().map(|row| row.next_check_at.map(Moment)).collect(),
            details: rows.iter().map(|row| Json(&row.details)).collect(),
            fingerprints: rows.iter().map(|row| row.fingerprint.as_deref()).collect(),
        }
    }

    pub(super) fn walk<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut part = Part::new(INSERT, out);
        part.bind::<Array<BigInt>, _>(&self.numbers)?;
        part.bind::<Array<Nullable<Integer>>, _>(&self.branches)?;
        part.bind::<Array<Nullable<Text>>, _>(&self.activities)?;
        part.bind::<Array<Text>, _>(&self.kinds)?;
        part.bind::<Array<Nullable<Text>>, _>(&self.names)?;
        part.bind::<Array<Nullable<Text>>, _>(&self.keys)?;
        part.bind::<Array<Nullable<Timestamptz>>, _>(&self.due)?;
        part.bind::<Array<Nullable<Timestamptz>>, _>(&self.checks)?;
        part.bind::<Array<Jsonb>, _>(&self.details)?;
        part.bind::<Array<Nullable<Text>>, _>(&self.fingerprints)?;
        part.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(due_at: &str) -> BookmarkRow {
        let bookmark = Bookmark {
            number: 1,
            branch: None,
            activity: None,
            kind: BookmarkKind::Timer,
            due_at: Some(due_at.parse().unwrap()),
            message: None,
            details: Value::Null,
            fingerprint: None,
        };
        BookmarkRow::open(&bookmark, "2026-11-24T10:00:00Z".parse().unwrap(), Duration::from_secs(900))
    }

    #[test]
    fn a_near_timer_is_checked_after_its_wake_up() {
        assert_eq!(timer("2026-11-24T10:00:01Z").next_check_at, Some("2026-11-24T10:00:02.5Z".parse().unwrap()));
        assert_eq!(timer("2026-11-24T10:15:00Z").next_check_at, Some("2026-11-24T10:15:01.5Z".parse().unwrap()));
    }

    #[test]
    fn a_far_timer_is_checked_when_it_is_due() {
        assert_eq!(timer("2026-11-24T10:15:01Z").next_check_at, Some("2026-11-24T10:15:01Z".parse().unwrap()));
    }
}
