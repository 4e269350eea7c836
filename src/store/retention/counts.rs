//! What the cleaner would delete, counted up to a limit.

use diesel::sql_types::{BigInt, Timestamptz};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use crate::store::moment::Moment;
use crate::store::sql::Sql;
use crate::store::{Connection, Error};

/// Inbox rows of commands received before a moment.
///
/// # Errors
/// As for any query.
pub async fn count_inbox(conn: &mut Connection, before: Timestamp, limit: i64) -> Result<i64, Error> {
    Ok(CountInbox::bind_limit(limit, (Moment(before),)).get_result(conn).await?)
}

struct CountInbox;

impl Sql for CountInbox {
    type Binds = (Timestamptz,);
    type Row = BigInt;
    const TEXT: &'static str =
        "SELECT count(*) FROM (SELECT FROM leveret.inbox WHERE received_at < $1 LIMIT {limit}) AS old";
}

/// Dead letters that failed before a moment, for the last time.
///
/// # Errors
/// As for any query.
pub async fn count_dead_letters(conn: &mut Connection, before: Timestamp, limit: i64) -> Result<i64, Error> {
    Ok(CountDeadLetters::bind_limit(limit, (Moment(before),)).get_result(conn).await?)
}

struct CountDeadLetters;

impl Sql for CountDeadLetters {
    type Binds = (Timestamptz,);
    type Row = BigInt;
    const TEXT: &'static str = "
        SELECT count(*) FROM (SELECT FROM leveret.dead_letters
                               WHERE coalesce(failed_at, received_at) < $1 LIMIT {limit}) AS old";
}

/// Entries of the audit log before a moment.
///
/// # Errors
/// As for any query.
pub async fn count_audit(conn: &mut Connection, before: Timestamp, limit: i64) -> Result<i64, Error> {
    Ok(CountAudit::bind_limit(limit, (Moment(before),)).get_result(conn).await?)
}

struct CountAudit;

impl Sql for CountAudit {
    type Binds = (Timestamptz,);
    type Row = BigInt;
    const TEXT: &'static str = "SELECT count(*) FROM (SELECT FROM leveret.audit WHERE at < $1 LIMIT {limit}) AS old";
}

/// Messages that have expired.
///
/// # Errors
/// As for any query.
pub async fn count_messages(conn: &mut Connection, before: Timestamp, limit: i64) -> Result<i64, Error> {
    Ok(CountMessages::bind_limit(limit, (Moment(before),)).get_result(conn).await?)
}

struct CountMessages;

impl Sql for CountMessages {
    type Binds = (Timestamptz,);
    type Row = BigInt;
    const TEXT: &'static str =
        "SELECT count(*) FROM (SELECT FROM leveret.messages WHERE expires_at < $1 LIMIT {limit}) AS old";
}

/// What was closed before a moment in instances that live: consumed bookmarks, closed tasks and ended calls. Those of ended instances go
/// with them.
///
/// # Errors
/// As for any query.
pub async fn count_closed(conn: &mut Connection, before: Timestamp, limit: i64) -> Result<i64, Error> {
    Ok(CountClosed::bind_limit(limit, (Moment(before),)).get_result(conn).await?)
}

struct CountClosed;

impl Sql for CountClosed {
    type Binds = (Timestamptz,);
    type Row = BigInt;
    // From the instances: those that live and began before the moment.
    const TEXT: &'static str = "
        SELECT count(*) FROM (
            SELECT FROM leveret.instances AS i,
                   LATERAL (SELECT FROM leveret.bookmarks AS b WHERE b.instance_id = i.id AND b.consumed_at < $1
                            UNION ALL
                            SELECT FROM leveret.tasks AS t WHERE t.instance_id = i.id AND t.closed_at < $1
                            UNION ALL
                            SELECT FROM leveret.calls AS c WHERE c.instance_id = i.id AND c.ended_at < $1) AS closed
             WHERE i.ended_at IS NULL AND i.id < leveret.uuid_at($1) LIMIT {limit}) AS old";
}
